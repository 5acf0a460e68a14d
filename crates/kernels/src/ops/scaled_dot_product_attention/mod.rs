//! `y = softmax(q k^T * scale) v` within each sequence of a packed batch, without a cache: what
//! encoders do.
//!
//! | operand | shape                     |
//! | ------- | ------------------------- |
//! | `q`     | `[rows, heads, d]`        |
//! | `k`     | `[rows, kv_heads, d]`     |
//! | `v`     | `[rows, kv_heads, dv]`    |
//! | `y`     | `[rows, heads * dv]`      |
//!
//! Query head `h` reads key/value head `h / (heads / kv_heads)`. `sequences` are ranges of rows,
//! in order and without gaps; rows of different sequences do not see each other.

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::Tensor;
use crate::tensor::Backend;

/// Which keys a query sees, within its sequence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mask {
    /// All of them.
    Full,
    /// Itself and those before it.
    Causal,
    /// Those at most this far before or after it.
    Local(usize),
}

impl Mask {
    /// The keys that query `i` of `len` sees.
    pub(crate) fn visible(self, i: usize, len: usize) -> Range<usize> {
        match self {
            Self::Full => 0..len,
            Self::Causal => 0..i + 1,
            Self::Local(reach) => i.saturating_sub(reach)..(i + reach + 1).min(len),
        }
    }
}

/// Attends within each of `sequences`.
///
/// # Panics
///
/// If a shape does not fit.
#[track_caller]
pub fn scaled_dot_product_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    sequences: &[Range<usize>],
    scale: f32,
    mask: Mask,
) -> Tensor {
    let (&[rows, heads, d], &[k_rows, kv_heads, k_d], &[v_rows, v_heads, _]) =
        (q.shape(), k.shape(), v.shape())
    else {
        panic!("attention: shapes {:?}, {:?}, {:?}", q.shape(), k.shape(), v.shape())
    };
    assert_eq!((k_rows, v_rows, k_d, v_heads), (rows, rows, d, kv_heads), "attention: shapes");
    assert!(kv_heads > 0 && heads.is_multiple_of(kv_heads), "attention: {heads} over {kv_heads}");
    let covered = sequences.iter().try_fold(0, |at, sequence| {
        (at == sequence.start && at <= sequence.end).then_some(sequence.end)
    });
    assert_eq!(covered, Some(rows), "attention: the sequences do not cover the rows");
    match q.backend() {
        Backend::Cpu => cpu::attention(&cpu::Operands { q, k, v, scale, mask }, sequences),
        Backend::Mlx(_) => mlx::attention([q, k, v], sequences, scale, mask),
    }
}
