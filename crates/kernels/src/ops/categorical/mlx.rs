//! Reductions, a running sum over blocks, and, where `top_k` or `top_p` cut, a sort.

use super::{Choice, Draw};
use crate::Tensor;

pub(super) fn categorical(logits: &Tensor, draws: &[Draw]) -> Choice {
    let chosen = logits.array().categorical(draws);
    let [tokens, outcomes] = chosen.map(|array| Tensor::from_array(&[draws.len()], array));
    Choice::new(tokens, outcomes, logits.width())
}
