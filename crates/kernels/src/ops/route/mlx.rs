//! A softmax and a sort.

use super::{Routed, Routing};
use crate::Tensor;

pub(super) fn route(scores: &Tensor, routing: &Routing) -> Routed {
    let n = scores.rows() * routing.chosen;
    let [experts, weights] =
        scores.array().route(routing).map(|array| Tensor::from_array(&[n], array));
    Routed { experts, weights }
}
