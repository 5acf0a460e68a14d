//! The definition, decoded one element at a time and summed in `f64`.
#![cfg(test)]

use crate::ops::Gather;
use crate::ops::quantized_matmul::reference::decode_row;
use crate::{QuantizedTensor, Tensor};

pub(super) fn gather_qmm(
    x: &Tensor,
    w: &QuantizedTensor,
    matrices: usize,
    gather: Gather<'_>,
) -> Tensor {
    let n = w.rows / matrices;
    let (rows, mut row) = (x.to_vec(), vec![0.0; w.columns]);
    let mut out = Vec::new();
    for (&lhs, &matrix) in gather.lhs_indices.iter().zip(gather.rhs_indices) {
        let x = &rows[lhs as usize * w.columns..][..w.columns];
        for j in 0..n {
            decode_row(w, matrix as usize * n + j, &mut row);
            let products = x.iter().zip(&row).map(|(&x, &w)| f64::from(x) * f64::from(w));
            out.push(products.sum::<f64>() as f32);
        }
    }
    x.device().tensor(&[gather.lhs_indices.len(), n], out)
}
