//! A language network and a vision network, side by side.

use kernels::Tensor;

use crate::{Batch, Cache, Decoder, Encoder, LayerCache, Vision};

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
