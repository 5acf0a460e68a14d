//! Rotates pairs of elements of each head by angles that grow with the position.
//!
//! For pair `i` of `d/2` pairs at position `p`: `(a, b) -> (a cos t - b sin t, a sin t + b cos t)`
//! with `t = p * freqs[i]`. Pair `i` is `(x[i], x[i + d/2])`, or `(x[2i], x[2i + 1])` if
//! `traditional`. Elements of a head beyond the first `d` stay as they are.
//!
//! | operand     | shape               |
//! | ----------- | ------------------- |
//! | `x`, `y`    | `[rows, heads, n]`  |
//! | `positions` | `[rows]`            |
//! | `freqs`     | `[d/2]`, `d <= n`   |
//!
//! Source: Su et al., "RoFormer" (2021).

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::Tensor;
use crate::tensor::Backend;

/// The frequencies of a rotary embedding, in radians for each position.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// One for each pair.
    pub freqs: Vec<f32>,
    /// Whether a pair is two neighbours instead of two halves.
    pub traditional: bool,
    /// A factor of the rotated elements, which some ways of extending the context ask for.
    pub scale: f32,
}

impl Rope {
    /// `freqs[i] = base^(-2i/dims)`, in halves, unscaled.
    pub fn new(dims: usize, base: f32) -> Self {
        let freqs = (0..dims / 2).map(|i| base.powf(-2.0 * i as f32 / dims as f32)).collect();
        Self { freqs, traditional: false, scale: 1.0 }
    }
}

/// Rotates `x`, whose row `r` stands at `positions[r]`.
///
/// # Panics
///
/// If a shape does not fit.
#[track_caller]
pub fn rope(x: &Tensor, positions: &[u32], rope: &Rope) -> Tensor {
    let &[rows, _, n] = x.shape() else { panic!("rope: shape {:?}", x.shape()) };
    assert_eq!(rows, positions.len(), "rope: one position a row");
    assert!(rope.freqs.len() * 2 <= n, "rope: {} pairs in a head of {n}", rope.freqs.len());
    match x.backend() {
        Backend::Cpu => cpu::rope(x, positions, rope),
        Backend::Mlx(_) => mlx::rope(x, positions, rope),
    }
}
