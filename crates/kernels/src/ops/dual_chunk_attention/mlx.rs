//! MLX has no fused form: all scores of each form, of which each key keeps one.

use super::DualChunk;
use crate::mlx::Array;
use crate::{KvCache, Span, Tensor};

pub(super) fn dual_chunk_attention(
    forms: [&Tensor; 3],
    cache: &KvCache,
    spans: &[Span],
    how: DualChunk,
) -> Tensor {
    let &[rows, heads, _] = forms[0].shape() else { unreachable!("checked") };
    let pages = cache.mlx_pages();
    let one = |span: &Span| {
        let (keys, values) = pages.past(how.layer, &span.pages, 0..span.end());
        let [a, b, c] = forms.map(|form| form.array().slice_rows(span.rows.start, span.rows.end));
        Array::chunked_attention([&a, &b, &c, &keys, &values], how.scale, how.chunk)
    };
    let shape = [rows, heads * cache.layer(how.layer).value_dim];
    let mut parts = spans.iter().filter(|span| !span.rows.is_empty()).map(one);
    match parts.next() {
        Some(first) => {
            let rest: Vec<_> = parts.collect();
            Tensor::from_array(&shape, Array::concatenate(first, &rest))
        }
        None => forms[0].device().tensor(&shape, Vec::new()),
    }
}
