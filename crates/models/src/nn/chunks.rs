//! Long contexts in chunks: no key seems farther away than the network was trained for.
//!
//! With chunks of `chunk = chunk_size - local_size` positions, a key at position `p` is rotated as if
//! it stood at `p % chunk`, and a query in three forms: as if at `p % chunk` for keys of its own
//! chunk, at `min(p % chunk + chunk, chunk_size)` for those of the chunk before, and at
//! `min(2 chunk - 1, chunk_size)` for all before that. In sequences longer than
//! `original_max_position_embeddings`, keys are multiplied by `1 + 0.1 ln(length / original)`.
//!
//! Within the first chunk all of this is plain attention. What the configuration says of sparse
//! attention is a way to compute less of it on other devices, and of no concern here: every key is
//! looked at.
//!
//! Source: An et al., "Training-Free Long-Context Scaling of Large Language Models" (2024), and as
//! vLLM computes it for models of a million tokens. Like there, a key keeps the factor
//! that its sequence's length asked for when it was stored.

use kernels::ops::DualChunk;
use kernels::{KvCache, Tensor, ops};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Rotation;
use crate::{Batch, Result, Scope};

/// `dual_chunk_attention_config`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChunksConfig {
    chunk_size: Option<usize>,
    local_size: Option<usize>,
    original_max_position_embeddings: Option<usize>,
    #[serde(rename = "sparse_attention_config")]
    _sparse: Option<IgnoredAny>,
    #[serde(rename = "sparse_attention_enabled")]
    _sparse_enabled: Option<IgnoredAny>,
    #[serde(rename = "sparse_attention_threshold")]
    _sparse_threshold: Option<IgnoredAny>,
    #[serde(rename = "sparse_attention_last_q")]
    _sparse_last: Option<IgnoredAny>,
}

/// How positions are cut.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    /// The farthest that a query is rotated.
    farthest: usize,
    /// Positions in a chunk.
    chunk: usize,
    /// The length up to which keys have no factor, if longer ones have.
    original: Option<usize>,
}

impl ChunksConfig {
    /// The chunks that the fields describe; what is absent is as in vLLM.
    pub(crate) fn build(&self, scope: &Scope<'_>) -> Result<Chunks> {
        let size = self.chunk_size.unwrap_or(8192);
        let local = self.local_size.unwrap_or(1024);
        let field = "dual_chunk_attention_config.chunk_size";
        scope.expect(
            local < size && size <= u32::MAX as usize / 2,
            field,
            size,
            "above local_size",
        )?;
        let original = self.original_max_position_embeddings.filter(|&length| length > 0);
        Ok(Chunks { farthest: size, chunk: size - local, original })
    }
}

impl Chunks {
    /// Rotates keys `[rows, heads, n]`, and multiplies those of long sequences.
    pub(crate) fn keys(&self, k: &Tensor, rope: &Rotation, batch: &Batch) -> Tensor {
        let k = ops::rope(k, &self.positions(batch, |within| within), rope.rope());
        let factors = batch.spans.iter().zip(&batch.lengths);
        let factors: Vec<f32> = factors
            .flat_map(|(span, &length)| std::iter::repeat_n(self.factor(length), span.rows.len()))
            .collect();
        if factors.iter().all(|&factor| factor == 1.0) {
            return k;
        }
        let rows = factors.len();
        let flat = k.reshape(&[rows, k.elements() / rows.max(1)]);
        ops::weighted_sum(&flat, &k.device().tensor(&[factors.len()], factors), 1)
            .reshape(k.shape())
    }

    /// Attends with `q: [rows, heads, n]`, not rotated yet.
    pub(crate) fn attend(
        &self,
        q: &Tensor,
        rope: &Rotation,
        (batch, cache): (&Batch, &KvCache),
        (layer, scale): (usize, f32),
    ) -> Tensor {
        let rotated = |positions: Vec<u32>| ops::rope(q, &positions, rope.rope());
        let same = rotated(self.positions(batch, |within| within));
        let longest = batch.spans.iter().map(kernels::Span::end).max().unwrap_or(0);
        if longest <= self.chunk {
            let how = ops::PagedAttention { layer, scale, window: None, sinks: None };
            return ops::paged_attention(&same, cache, &batch.spans, how);
        }
        let (chunk, farthest) = (self.chunk as u32, self.farthest as u32);
        let next = rotated(self.positions(batch, |within| (within + chunk).min(farthest)));
        let far = rotated(self.positions(batch, |_| (2 * chunk - 1).min(farthest)));
        let how = DualChunk { layer, scale, chunk: self.chunk };
        ops::dual_chunk_attention([&same, &next, &far], cache, &batch.spans, how)
    }

    /// What `place` makes of each row's position within its chunk.
    fn positions(&self, batch: &Batch, place: impl Fn(u32) -> u32) -> Vec<u32> {
        let chunk = self.chunk as u32;
        batch.positions.iter().map(|&position| place(position % chunk)).collect()
    }

    fn factor(&self, length: usize) -> f32 {
        match self.original {
            Some(original) if length > original => {
                (0.1 * (length as f64 / original as f64).ln() + 1.0) as f32
            }
            _ => 1.0,
        }
    }
}
