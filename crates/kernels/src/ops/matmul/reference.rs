//! The definition, summed in `f64`.
#![cfg(test)]

use crate::Tensor;

pub(super) fn matmul(x: &Tensor, w: &Tensor) -> Tensor {
    let (k, n) = (x.width(), w.rows());
    let w = w.to_vec();
    let mut out = Vec::new();
    for x in x.to_vec().chunks_exact(k) {
        for w in w.chunks_exact(k) {
            let products = x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w));
            out.push(products.sum::<f64>() as f32);
        }
    }
    x.device().tensor(&[x.rows(), n], out)
}
