//! `gather_qmm`, fused.

use crate::ops::Pairs;
use crate::{QuantizedTensor, Tensor};

pub(super) fn gather_qmm(
    x: &Tensor,
    w: &QuantizedTensor,
    matrices: usize,
    pairs: Pairs<'_>,
) -> Tensor {
    let shape = [pairs.lhs_indices.len(), w.rows / matrices];
    if shape[0] == 0 {
        return x.device().tensor(&shape, Vec::new());
    }
    let rows = x.array();
    let product = pairs
        .lhs_indices
        .on(rows, |lhs| pairs.rhs_indices.on(rows, |rhs| rows.gather_qmm((w, matrices), lhs, rhs)));
    let product = match w.global_scale {
        // MLX takes no scale of the whole tensor here.
        Some(scale) => product.scale(scale / 2688.0),
        None => product,
    };
    Tensor::from_array(&shape, product)
}
