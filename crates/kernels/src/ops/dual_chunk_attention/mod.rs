//! Causal attention over the pages of a cache in which a key is met by one of three forms of the
//! query, by how far apart their chunks are.
//!
//! Positions are cut into chunks of `chunk`. With `c` the chunk of the query at position `p`:
//!
//! | keys at                       | are met by  |
//! | ----------------------------- | ----------- |
//! | `c * chunk ..= p`             | `intra`     |
//! | `(c - 1) * chunk .. c * chunk`| `successive`|
//! | `0 .. (c - 1) * chunk`        | `inter`     |
//!
//! All scores go into one softmax. `y` and the shapes are those of
//! [`paged_attention`](crate::ops::paged_attention()). The forms differ in how they were rotated, so
//! that no key seems farther away than the network was trained for.
//!
//! Source: An et al., "Training-Free Long-Context Scaling of Large Language Models" (2024).

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::tensor::Backend;
use crate::{KvCache, Span, Tensor};

/// How the rows of a batch look at a layer of the cache.
#[derive(Clone, Copy, Debug)]
pub struct DualChunk {
    /// Which layer.
    pub layer: usize,
    /// A factor of the scores.
    pub scale: f32,
    /// Positions in a chunk.
    pub chunk: usize,
}

/// How far a key's chunk is behind that of the query.
#[derive(Clone, Copy, Debug)]
enum Behind {
    Same,
    Next,
    Far,
}

impl DualChunk {
    /// The positions that one form of the query at `position` meets. Both ends never decrease.
    fn visible(&self, behind: Behind, position: usize) -> Range<usize> {
        let begin = position / self.chunk * self.chunk;
        let before = begin.saturating_sub(self.chunk);
        match behind {
            Behind::Same => begin..position + 1,
            Behind::Next => before..begin,
            Behind::Far => 0..before,
        }
    }
}

/// Attends from each row over the past of its sequence; `forms` are the queries `[rows, heads, d]`
/// for the same chunk, the one before and all before that.
///
/// # Panics
///
/// If a shape does not fit, a chunk is empty, the spans do not cover the rows, or a page was never
/// written.
#[track_caller]
pub fn dual_chunk_attention(
    forms: [&Tensor; 3],
    cache: &KvCache,
    spans: &[Span],
    how: DualChunk,
) -> Tensor {
    let [q, ..] = forms;
    let &[rows, heads, d] = q.shape() else { panic!("dual_chunk_attention: {:?}", q.shape()) };
    assert!(forms.iter().all(|form| form.shape() == q.shape()), "dual_chunk_attention: forms");
    let layer = cache.layer(how.layer);
    assert_eq!(d, layer.key_dim, "dual_chunk_attention: width of a head");
    let fits = layer.kv_heads > 0 && heads.is_multiple_of(layer.kv_heads) && how.chunk > 0;
    assert!(fits, "dual_chunk_attention: {heads} heads over {}", layer.kv_heads);
    let covered = spans.iter().try_fold(0, |at, span| {
        (at == span.rows.start && at <= span.rows.end).then_some(span.rows.end)
    });
    assert_eq!(covered, Some(rows), "dual_chunk_attention: the spans do not cover the rows");
    match q.backend() {
        Backend::Cpu => cpu::dual_chunk_attention(forms, cache, spans, how),
        Backend::Mlx(_) => mlx::dual_chunk_attention(forms, cache, spans, how),
    }
}
