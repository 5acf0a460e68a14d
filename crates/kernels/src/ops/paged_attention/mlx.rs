//! `fast.scaled_dot_product_attention`, once for each span, over the pages where they lie if they lie
//! in a row. What a window has left behind is cut off; the rest of it is a mask. One call for several
//! spans would have to gather their pasts side by side, which cost more than it saved.

use super::PagedAttention;
use crate::mlx::Array;
use crate::{KvCache, Span, Tensor};

pub(super) fn paged_attention(
    q: &Tensor,
    cache: &KvCache,
    spans: &[Span],
    how: PagedAttention<'_>,
) -> Tensor {
    let &[rows, heads, _] = q.shape() else { unreachable!("checked") };
    let pages = cache.mlx_pages();
    let one = |span: &Span| {
        let first = how.visible(span.start).start;
        // A token that sees all of what is kept as codes meets them where they lie. With more rows
        // than one it is quicker to decode them first.
        if span.rows.len() == 1
            && how.sinks.is_none()
            && let Some((codes, quantization)) =
                pages.codes(how.layer, &span.pages, first..span.end())
        {
            let query = q.array().slice_rows(span.rows.start, span.rows.end);
            let [keys, values] = &codes;
            return query.coded_attention([keys, values], how.scale, quantization);
        }
        let (keys, values) = pages.past(how.layer, &span.pages, first..span.end());
        let queries = q.array().slice_rows(span.rows.start, span.rows.end);
        let back = how.window.map(|window| window.saturating_sub(1));
        let sinks = how.sinks.map(Tensor::array);
        Array::attention([&queries, &keys, &values], sinks, how.scale, (back, Some(0)))
    };
    let shape = [rows, heads * cache.layer(how.layer).value_dim];
    let mut parts = spans.iter().filter(|span| !span.rows.is_empty()).map(one);
    match parts.next() {
        Some(first) => {
            let rest: Vec<_> = parts.collect();
            Tensor::from_array(&shape, Array::concatenate(first, &rest))
        }
        None => q.device().tensor(&shape, Vec::new()),
    }
}
