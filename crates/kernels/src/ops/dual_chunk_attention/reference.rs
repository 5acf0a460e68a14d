//! The definition, summed in `f64`.
#![cfg(test)]

use super::DualChunk;
use crate::{KvCache, Span, Tensor};

pub(super) fn dual_chunk_attention(
    forms: [&Tensor; 3],
    cache: &KvCache,
    spans: &[Span],
    how: DualChunk,
) -> Tensor {
    let &[rows, heads, d] = forms[0].shape() else { panic!("shape") };
    let layer = cache.layer(how.layer);
    let (kv_heads, dv) = (layer.kv_heads, layer.value_dim);
    let queries = forms.map(Tensor::to_vec);
    let mut out = vec![0.0; rows * heads * dv];
    for span in spans {
        let (keys, values) = cache.read(how.layer, &span.pages, span.end());
        for (i, row) in span.rows.clone().enumerate() {
            let position = span.start + i;
            for head in 0..heads {
                let kv_head = head / (heads / kv_heads);
                let score = |j: usize| {
                    let form = (position / how.chunk - j / how.chunk).min(2);
                    let query = &queries[form][(row * heads + head) * d..][..d];
                    let key = &keys[(j * kv_heads + kv_head) * d..][..d];
                    let products = query.iter().zip(key);
                    let products = products.map(|(&a, &b)| f64::from(a) * f64::from(b));
                    products.sum::<f64>() * f64::from(how.scale)
                };
                let scores: Vec<f64> = (0..=position).map(score).collect();
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum = scores.iter().map(|s| (s - max).exp()).sum::<f64>();
                for i in 0..dv {
                    let terms = scores.iter().enumerate().map(|(j, score)| {
                        let value = values[(j * kv_heads + kv_head) * dv + i];
                        (score - max).exp() / sum * f64::from(value)
                    });
                    out[(row * heads + head) * dv + i] = terms.sum::<f64>() as f32;
                }
            }
        }
    }
    forms[0].device().tensor(&[rows, heads * dv], out)
}
