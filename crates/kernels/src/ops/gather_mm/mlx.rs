//! In the type of the activations: a stack of another is converted on the way.

use super::Gather;
use crate::Tensor;

pub(super) fn gather_mm(x: &Tensor, w: &Tensor, gather: Gather<'_>) -> Tensor {
    let shape = [gather.lhs_indices.len(), w.shape()[1]];
    if shape[0] == 0 {
        return x.device().tensor(&shape, Vec::new());
    }
    let product = x.array().gather_mm(w.array(), gather.lhs_indices, gather.rhs_indices);
    Tensor::from_array(&shape, product)
}
