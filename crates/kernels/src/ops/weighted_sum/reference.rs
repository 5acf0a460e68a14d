//! The definition, summed in `f64`.
#![cfg(test)]

use crate::Tensor;

pub(super) fn weighted_sum(x: &Tensor, weights: &[f32], each: usize) -> Tensor {
    let (numbers, n) = (x.to_vec(), x.width());
    let mut out = Vec::new();
    for row in 0..weights.len() / each {
        for column in 0..n {
            let terms = (row * each..(row + 1) * each)
                .map(|i| f64::from(weights[i]) * f64::from(numbers[i * n + column]));
            out.push(terms.sum::<f64>() as f32);
        }
    }
    x.device().tensor(&[weights.len() / each, n], out)
}
