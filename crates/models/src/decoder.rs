//! What the engine asks of a generative architecture.

use kernels::Tensor;

use crate::{Batch, Cache, LayerCache};

/// A network that continues sequences.
pub trait Decoder: Send {
    /// What each layer remembers.
    fn layers(&self) -> Vec<LayerCache>;

    /// Runs the layers over `batch`, reading and extending the pages of its spans. Returns the
    /// hidden states, `[rows, hidden]`.
    fn forward(&self, batch: &Batch, cache: &mut Cache) -> Tensor;

    /// Turns hidden states `[rows, hidden]` into logits `[rows, vocabulary]`.
    ///
    /// Split from [`Decoder::forward`] so that the engine scores only the rows it samples, and so
    /// that whoever wants hidden states can stop there.
    fn unembed(&self, hidden: &Tensor) -> Tensor;
}
