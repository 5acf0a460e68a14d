//! `y = softmax(q k^T * scale) v`, causal, over the pages of a cache: what decoders do.
//!
//! | operand | shape                    |
//! | ------- | ------------------------ |
//! | `q`     | `[rows, heads, key_dim]` |
//! | `y`     | `[rows, heads * value_dim]` |
//!
//! Row `r` of a span stands at position `p = start + r` of its sequence and sees the keys and
//! values at positions up to `p`, or at the last `window` of them, its own included. They must have been
//! [appended](crate::KvCache::append) before. Query head `h` reads key/value head
//! `h / (heads / kv_heads)`. One span may be a whole prompt, another a single token.
//!
//! A head may have a *sink*: a score `s` that takes part in the softmax without a value, so that its
//! weights add up to less than one (Xiao et al., "Efficient Streaming Language Models with Attention
//! Sinks", 2023, in the form with a learned score).

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::tensor::Backend;
use crate::{KvCache, Span, Tensor};

/// How the rows of a batch look at a layer of the cache.
#[derive(Clone, Copy, Debug)]
pub struct PagedAttention<'a> {
    /// Which layer.
    pub layer: usize,
    /// A factor of the scores.
    pub scale: f32,
    /// How many positions a token sees, its own included; all if absent.
    pub window: Option<usize>,
    /// A further score of each head, `[heads]`.
    pub sinks: Option<&'a Tensor>,
}

impl PagedAttention<'_> {
    /// The positions that the token at `position` sees.
    pub(crate) fn visible(&self, position: usize) -> std::ops::Range<usize> {
        let reach = self.window.unwrap_or(usize::MAX);
        (position + 1).saturating_sub(reach)..position + 1
    }
}

/// Attends from each row over the past of its sequence.
///
/// # Panics
///
/// If a shape does not fit, the spans do not cover the rows, or a page was never written.
#[track_caller]
pub fn paged_attention(
    q: &Tensor,
    cache: &KvCache,
    spans: &[Span],
    how: PagedAttention<'_>,
) -> Tensor {
    let &[rows, heads, d] = q.shape() else { panic!("paged_attention: shape {:?}", q.shape()) };
    let layer = cache.layer(how.layer);
    assert_eq!(d, layer.key_dim, "paged_attention: width of a head");
    let fits = layer.kv_heads > 0 && heads.is_multiple_of(layer.kv_heads);
    assert!(fits, "paged_attention: {heads} heads over {}", layer.kv_heads);
    if let Some(sinks) = how.sinks {
        assert_eq!(sinks.shape(), [heads], "paged_attention: sinks");
    }
    let covered = spans.iter().try_fold(0, |at, span| {
        (at == span.rows.start && at <= span.rows.end).then_some(span.rows.end)
    });
    assert_eq!(covered, Some(rows), "paged_attention: the spans do not cover the rows");
    match q.backend() {
        Backend::Cpu => cpu::paged_attention(q, cache, spans, how),
        Backend::Mlx(_) => mlx::paged_attention(q, cache, spans, how),
    }
}
