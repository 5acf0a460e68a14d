//! One task for each row of a sequence; the scores of a head are kept whole.

use std::ops::Range;

use super::Mask;
use crate::Tensor;

pub(super) struct Operands<'a> {
    pub(super) q: &'a Tensor,
    pub(super) k: &'a Tensor,
    pub(super) v: &'a Tensor,
    pub(super) scale: f32,
    pub(super) mask: Mask,
}

pub(super) fn attention(operands: &Operands<'_>, sequences: &[Range<usize>]) -> Tensor {
    let Operands { q, k, v, scale, mask } = *operands;
    let (heads, d, kv_heads, dv) = (q.shape()[1], q.shape()[2], v.shape()[1], v.shape()[2]);
    let rows = q.shape()[0];
    let mut out = q.cpu().buffer(rows * heads * dv);
    let (queries, keys, values) = (q.data(), k.data(), v.data());
    q.cpu().pool().run_rows(&mut out, heads * dv, |range, out| {
        let mut scores = Vec::new();
        for (row, out) in range.zip(out.chunks_exact_mut(heads * dv)) {
            let at = sequences.partition_point(|sequence| sequence.end <= row);
            let sequence = &sequences[at];
            let visible = mask.visible(row - sequence.start, sequence.len());
            for (head, out) in out.chunks_exact_mut(dv).enumerate() {
                let kv_head = head / (heads / kv_heads);
                let query = &queries[(row * heads + head) * d..][..d];
                scores.clear();
                scores.extend(visible.clone().map(|j| {
                    let key = &keys[((sequence.start + j) * kv_heads + kv_head) * d..][..d];
                    query.iter().zip(key).map(|(a, b)| a * b).sum::<f32>() * scale
                }));
                let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let mut sum = 0.0;
                for score in &mut scores {
                    *score = (*score - max).exp();
                    sum += *score;
                }
                out.fill(0.0);
                for (j, score) in visible.clone().zip(&scores) {
                    let weight = score / sum;
                    let value = &values[((sequence.start + j) * kv_heads + kv_head) * dv..][..dv];
                    for (out, value) in out.iter_mut().zip(value) {
                        *out += weight * value;
                    }
                }
            }
        }
    });
    Tensor::from_buffer(&[rows, heads * dv], out)
}
