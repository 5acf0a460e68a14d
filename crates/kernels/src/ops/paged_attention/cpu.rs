//! One task for each row and key/value head: the heads of a group share each page that is read.
//! The softmax runs along the pages, keeping the largest score so far (Milakov and Gimelshein,
//! "Online normalizer calculation for softmax", 2018).

use super::PagedAttention;
use crate::cpu::SharedMut;
use crate::{KvCache, Span, Tensor};

pub(super) fn paged_attention(
    q: &Tensor,
    cache: &KvCache,
    spans: &[Span],
    how: PagedAttention,
) -> Tensor {
    let pages = cache.cpu_pages();
    let layer = pages.layer(how.layer);
    let (rows, heads, d) = (q.shape()[0], q.shape()[1], q.shape()[2]);
    let (kv_heads, dv, page_size) = (layer.kv_heads, layer.value_dim, pages.page_size());
    let group = heads / kv_heads;
    let mut out = q.cpu().buffer(rows * heads * dv);
    let queries = q.data();
    let parts = SharedMut::new(&mut out);
    q.cpu().pool().run(rows * kv_heads, |task| {
        let (row, kv_head) = (task / kv_heads, task % kv_heads);
        let span = &spans[spans.partition_point(|span| span.rows.end <= row)];
        let visible = how.visible(span.start + row - span.rows.start);
        let first_head = row * heads + kv_head * group;
        let queries = &queries[first_head * d..][..group * d];
        #[expect(unsafe_code, reason = "tasks write disjoint heads")]
        // SAFETY: each task has heads of its own.
        let out = unsafe { parts.part(first_head * dv..(first_head + group) * dv) };
        out.fill(0.0);
        let mut state = vec![(f32::NEG_INFINITY, 0.0_f32); group];
        let (mut keys, mut values) = (vec![0.0; page_size * d], vec![0.0; page_size * dv]);
        let mut scores = vec![0.0; page_size];
        for number in visible.start / page_size..visible.end.div_ceil(page_size) {
            let page = span.pages[number];
            let from = visible.start.saturating_sub(number * page_size);
            let to = (visible.end - number * page_size).min(page_size);
            pages.keys(how.layer, page, kv_head).widen_into(&mut keys[..to * d]);
            pages.values(how.layer, page, kv_head).widen_into(&mut values[..to * dv]);
            let scores = &mut scores[..to - from];
            for (head, (max, sum)) in state.iter_mut().enumerate() {
                let query = &queries[head * d..][..d];
                let mut page_max = f32::NEG_INFINITY;
                for (score, key) in scores.iter_mut().zip(keys[from * d..].chunks_exact(d)) {
                    *score = query.iter().zip(key).map(|(a, b)| a * b).sum::<f32>() * how.scale;
                    page_max = page_max.max(*score);
                }
                let out = &mut out[head * dv..][..dv];
                if page_max > *max {
                    let shrink = (*max - page_max).exp();
                    *max = page_max;
                    *sum *= shrink;
                    out.iter_mut().for_each(|out| *out *= shrink);
                }
                for (score, value) in scores.iter().zip(values[from * dv..].chunks_exact(dv)) {
                    let weight = (score - *max).exp();
                    *sum += weight;
                    for (out, value) in out.iter_mut().zip(value) {
                        *out += weight * value;
                    }
                }
            }
        }
        for (out, (_, sum)) in out.chunks_exact_mut(dv).zip(&state) {
            out.iter_mut().for_each(|out| *out /= sum);
        }
    });
    Tensor::from_buffer(&[rows, heads * dv], out)
}
