//! A language network and a vision network, side by side.

use kernels::Tensor;

use crate::{Batch, Cache, Decoder, Encoder, LayerCache, Model, Network, Vision};

/// A language network, alone or to be shown images, and what callers of a [`Model`] must know of it.
#[derive(Debug)]
pub struct Language<L> {
    /// The network.
    pub network: L,
    /// See [`Model::vocabulary`].
    pub vocabulary: usize,
    /// See [`Model::context`].
    pub context: usize,
    /// See [`Model::hidden`].
    pub hidden: usize,
}

impl<L: Decoder + 'static> Language<L> {
    /// The model of this network alone.
    pub fn alone(self, architecture: &'static str) -> Model {
        let Self { network, vocabulary, context, hidden } = self;
        let network = Network::Decoder(Box::new(network));
        Model { architecture, network, vocabulary, context, hidden }
    }

    /// The model of this network and `vision`, which is `[.., hidden]` wide.
    pub fn seeing<V: Vision + 'static>(self, architecture: &'static str, vision: V) -> Model {
        let Self { network, vocabulary, context, hidden } = self;
        let network = Seeing { language: network, vision };
        Language { network, vocabulary, context, hidden }.alone(architecture)
    }
}

/// `language`, which is shown what `vision` makes of images.
#[derive(Debug)]
pub struct Seeing<L, V> {
    /// Reads tokens, and features among them.
    pub language: L,
    /// Makes the features.
    pub vision: V,
}

impl<L: Decoder, V: Vision> Decoder for Seeing<L, V> {
    fn layers(&self) -> Vec<LayerCache> {
        self.language.layers()
    }

    fn turn(&self) -> Option<usize> {
        self.language.turn()
    }

    fn vision(&self) -> Option<&dyn Vision> {
        Some(&self.vision)
    }

    fn forward(&self, batch: &Batch, cache: &mut Cache) -> Tensor {
        self.language.forward(batch, cache)
    }

    fn unembed(&self, hidden: &Tensor) -> Tensor {
        self.language.unembed(hidden)
    }
}

impl<L: Encoder, V: Vision> Encoder for Seeing<L, V> {
    fn vision(&self) -> Option<&dyn Vision> {
        Some(&self.vision)
    }

    fn forward(&self, batch: &Batch) -> Tensor {
        self.language.forward(batch)
    }

    fn centred_before_cut(&self) -> bool {
        self.language.centred_before_cut()
    }
}
