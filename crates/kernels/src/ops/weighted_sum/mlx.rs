//! A product and a sum over the runs.

use crate::Tensor;

pub(super) fn weighted_sum(x: &Tensor, weights: &Tensor, each: usize) -> Tensor {
    let shape = [weights.elements() / each, x.width()];
    Tensor::from_array(&shape, x.array().weighted_sum(weights.array(), each))
}
