//! The definition, summed in `f64`.
#![cfg(test)]

use half::{bf16, f16};

use super::PagedAttention;
use crate::{DType, KvCache, KvQuantization, Span, Tensor};

pub(super) fn paged_attention(
    q: &Tensor,
    cache: &KvCache,
    spans: &[Span],
    how: PagedAttention<'_>,
) -> Tensor {
    let &[rows, heads, d] = q.shape() else { panic!("shape") };
    let layer = cache.layer(how.layer);
    let (kv_heads, dv) = (layer.kv_heads, layer.value_dim);
    let queries = q.to_vec();
    let mut out = vec![0.0; rows * heads * dv];
    for span in spans {
        let (keys, values) = cache.read(how.layer, &span.pages, span.end());
        for (i, row) in span.rows.clone().enumerate() {
            let visible = how.visible(span.start + i);
            for head in 0..heads {
                let query = &queries[(row * heads + head) * d..][..d];
                let kv_head = head / (heads / kv_heads);
                let scores: Vec<f64> = visible
                    .clone()
                    .map(|j| {
                        let key = &keys[(j * kv_heads + kv_head) * d..][..d];
                        let products =
                            query.iter().zip(key).map(|(&a, &b)| f64::from(a) * f64::from(b));
                        products.sum::<f64>() * f64::from(how.scale)
                    })
                    .collect();
                let sink = how.sinks.map(|sinks| f64::from(sinks.to_vec()[head]));
                let all = || scores.iter().copied().chain(sink);
                let max = all().fold(f64::NEG_INFINITY, f64::max);
                let sum = all().map(|s| (s - max).exp()).sum::<f64>();
                for i in 0..dv {
                    let terms = visible.clone().zip(&scores).map(|(j, score)| {
                        let value = values[(j * kv_heads + kv_head) * dv + i];
                        (score - max).exp() / sum * f64::from(value)
                    });
                    out[(row * heads + head) * dv + i] = terms.sum::<f64>() as f32;
                }
            }
        }
    }
    q.device().tensor(&[rows, heads * dv], out)
}

/// What is left of `x`, groups one after the other, when it is stored as codes: MLX's affine
/// quantization, with scales and biases of type `scales`.
pub(super) fn coded(x: &[f32], how: KvQuantization, scales: DType) -> Vec<f32> {
    let most = f64::from((1_u32 << how.bits) - 1);
    let store = |x: f64| match scales {
        DType::F16 => f16::from_f64(x).to_f64(),
        DType::BF16 => bf16::from_f64(x).to_f64(),
        DType::F32 | DType::U8 | DType::U32 => f64::from(x as f32),
    };
    let mut out = Vec::new();
    for group in x.chunks_exact(how.group_size) {
        let group: Vec<f64> = group.iter().map(|&x| f64::from(x)).collect();
        let low = group.iter().copied().fold(f64::INFINITY, f64::min);
        let high = group.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let step = ((high - low) / most).max(1e-7);
        let (step, edge) = if low.abs() > high.abs() { (step, low) } else { (-step, high) };
        let steps = (edge / step).round_ties_even();
        let (scale, bias) = if steps == 0.0 { (step, 0.0) } else { (edge / steps, edge) };
        let (scale, bias) = (store(scale), store(bias));
        let code = |x: f64| ((x - bias) / scale).round_ties_even().clamp(0.0, most);
        out.extend(group.iter().map(|&x| (scale * code(x) + bias) as f32));
    }
    out
}
