//! `gather_qmm`, fused.

use crate::ops::Gather;
use crate::{QuantizedTensor, Tensor};

pub(super) fn gather_qmm(
    x: &Tensor,
    w: &QuantizedTensor,
    matrices: usize,
    gather: Gather<'_>,
) -> Tensor {
    let shape = [gather.lhs_indices.len(), w.rows / matrices];
    if shape[0] == 0 {
        return x.device().tensor(&shape, Vec::new());
    }
    let (lhs, rhs) = (gather.lhs_indices, gather.rhs_indices);
    let product = x.array().gather_qmm((w, matrices), lhs, rhs);
    let product = match w.global_scale {
        // MLX takes no scale of the whole tensor here.
        Some(scale) => product.scale(scale / 2688.0),
        None => product,
    };
    Tensor::from_array(&shape, product)
}
