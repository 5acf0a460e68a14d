//! What the engine asks of an architecture that reads whole passages.

use kernels::{Span, Tensor};

use crate::nn::Linear;
use crate::{Batch, Vision};

/// A network that sees a passage in both directions at once.
pub trait Encoder: Send {
    /// Runs the layers over `batch`, whose spans all start at 0. Returns the hidden states,
    /// `[rows, hidden]`.
    fn forward(&self, batch: &Batch) -> Tensor;

    /// How it sees, if it does.
    fn vision(&self) -> Option<&dyn Vision> {
        None
    }

    /// How it makes a vector of each token, for a network that is made for late interaction.
    fn retrieval(&self) -> Option<Retrieval<'_>> {
        None
    }

    /// Whether an embedding is normalized to zero mean and unit variance before its first elements are taken for the
    /// whole, as the network was trained.
    fn centred_before_cut(&self) -> bool {
        false
    }
}

/// An encoder that judges passages, or pairs of them: a cross-encoder.
pub trait Classifier: Encoder {
    /// How many classes it tells apart; one for a network that gives a single score.
    fn labels(&self) -> usize;

    /// A logit for each class, `[spans, labels]`, of the passages that `spans` mark in `hidden`, the hidden states that
    /// [`forward`](Encoder::forward) gave. No span is empty.
    fn classify(&self, hidden: &Tensor, spans: &[Span]) -> Tensor;
}

/// How a network for late interaction is used: pages and queries become a vector for each of their tokens.
#[derive(Clone, Copy, Debug)]
pub struct Retrieval<'a> {
    /// The map from hidden states to vectors, whose length is then one.
    pub vectors: &'a Linear,
    /// What is said of the image of a page, with its mention.
    pub image: &'static str,
    /// What stands before and after a query.
    pub query: [&'static str; 2],
}
