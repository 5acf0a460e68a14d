//! What the engine asks of an architecture that reads whole passages.

use kernels::Tensor;

use crate::Batch;

/// A network that sees a passage in both directions at once.
pub trait Encoder: Send {
    /// Runs the layers over `batch`, whose spans all start at 0. Returns the hidden states,
    /// `[rows, hidden]`.
    fn forward(&self, batch: &Batch) -> Tensor;
}
