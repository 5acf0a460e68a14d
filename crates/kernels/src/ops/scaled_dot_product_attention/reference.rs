//! The definition, summed in `f64`.
#![cfg(test)]

use std::ops::Range;

use super::Mask;
use crate::Tensor;

pub(super) fn attention(
    [q, k, v]: [&Tensor; 3],
    sequences: &[Range<usize>],
    scale: f32,
    mask: Mask,
) -> Tensor {
    let (&[rows, heads, d], &[_, kv_heads, dv]) = (q.shape(), v.shape()) else { panic!("shapes") };
    let (queries, keys, values) = (q.to_vec(), k.to_vec(), v.to_vec());
    let mut out = vec![0.0; rows * heads * dv];
    for sequence in sequences {
        for row in sequence.clone() {
            for head in 0..heads {
                let at = (row * heads + head) * d;
                let kv_head = head / (heads / kv_heads);
                let visible = mask.visible(row - sequence.start, sequence.len());
                let scores: Vec<f64> = visible
                    .clone()
                    .map(|j| {
                        let key = &keys[((sequence.start + j) * kv_heads + kv_head) * d..][..d];
                        let products = queries[at..at + d].iter().zip(key);
                        products.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
                            * f64::from(scale)
                    })
                    .collect();
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum = scores.iter().map(|s| (s - max).exp()).sum::<f64>();
                for i in 0..dv {
                    let terms = visible.clone().zip(&scores).map(|(j, score)| {
                        let at = ((sequence.start + j) * kv_heads + kv_head) * dv;
                        (score - max).exp() / sum * f64::from(values[at + i])
                    });
                    out[(row * heads + head) * dv + i] = terms.sum::<f64>() as f32;
                }
            }
        }
    }
    q.device().tensor(&[rows, heads * dv], out)
}
