//! What the engine asks of a generative architecture.

use kernels::Tensor;

use crate::{Batch, Cache, LayerCache, Vision};

/// A network that continues sequences.
pub trait Decoder: Send {
    /// What each layer remembers.
    fn layers(&self) -> Vec<LayerCache>;

    /// The length up to which a network computes a sequence in one way, and beyond it in another:
    /// what was kept of a shorter one is of no use for a longer one then. `None` if it always
    /// computes alike.
    fn turn(&self) -> Option<usize> {
        None
    }

    /// How it sees, if it does.
    fn vision(&self) -> Option<&dyn Vision> {
        None
    }

    /// Runs the layers over `batch`, reading and extending the pages of its spans. Returns the
    /// hidden states, `[rows, hidden]`.
    fn forward(&self, batch: &Batch, cache: &mut Cache) -> Tensor;

    /// Turns hidden states `[rows, hidden]` into logits `[rows, vocabulary]`.
    ///
    /// Split from [`Decoder::forward`] so that the engine scores only the rows it samples, and so
    /// that whoever wants hidden states can stop there.
    fn unembed(&self, hidden: &Tensor) -> Tensor;
}
