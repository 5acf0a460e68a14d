//! The definition, summed in `f64`.
#![cfg(test)]

use super::Gather;
use crate::Tensor;

pub(super) fn gather_mm(x: &Tensor, w: &Tensor, gather: Gather<'_>) -> Tensor {
    let &[_, n, k] = w.shape() else { panic!("shape") };
    let (rows, stack) = (x.to_vec(), w.to_vec());
    let mut out = Vec::new();
    for (&row, &matrix) in gather.lhs_indices.iter().zip(gather.rhs_indices) {
        let x = &rows[row as usize * k..][..k];
        for w in stack[matrix as usize * n * k..][..n * k].chunks_exact(k) {
            let products = x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w));
            out.push(products.sum::<f64>() as f32);
        }
    }
    x.device().tensor(&[gather.lhs_indices.len(), n], out)
}
