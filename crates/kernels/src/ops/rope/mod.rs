//! Rotates pairs of elements of each head by angles that grow with the position.
//!
//! For pair `i` of `d/2` pairs at position `p`: `(a, b) -> (a cos t - b sin t, a sin t + b cos t)`
//! with `t = p * freqs[i]`. Pair `i` is `(x[i], x[i + d/2])`, or `(x[2i], x[2i + 1])` if
//! `traditional`. Elements of a head beyond the first `d` stay as they are. A row may stand at a
//! position on each of several axes; each pair then goes by the one on its own axis.
//!
//! | operand     | shape               |
//! | ----------- | ------------------- |
//! | `x`, `y`    | `[rows, heads, n]`  |
//! | `positions` | `[rows, axes]`      |
//! | `freqs`     | `[d/2]`, `d <= n`   |
//!
//! Sources: Su et al., "RoFormer" (2021); several axes: Wang et al., "Enhancing
//! Vision-Language Model's Perception of the World at Any Resolution" (2024).

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
    /// The axis that each pair goes by; all by the first if empty, or beyond its end. Only halves
    /// go by several.
    pub axes: Vec<u8>,
}

impl Rope {
    /// `freqs[i] = base^(-2i/dims)`, in halves, unscaled.
    pub fn new(dims: usize, base: f32) -> Self {
        let freqs = (0..dims / 2).map(|i| base.powf(-2.0 * i as f32 / dims as f32)).collect();
        Self { freqs, traditional: false, scale: 1.0, axes: Vec::new() }
    }

    /// How many positions a row has.
    pub fn axes(&self) -> usize {
        usize::from(self.axes.iter().copied().max().unwrap_or(0)) + 1
    }

    /// The axis of pair `i`.
    fn axis(&self, i: usize) -> usize {
        self.axes.get(i).copied().unwrap_or(0).into()
    }
}

/// Rotates `x`, whose row `r` stands at `positions[r]`, or at those `axes` positions.
///
/// # Panics
///
/// If a shape does not fit.
#[track_caller]
pub fn rope(x: &Tensor, positions: &[u32], rope: &Rope) -> Tensor {
    let &[rows, _, n] = x.shape() else { panic!("rope: shape {:?}", x.shape()) };
    assert_eq!(rows * rope.axes(), positions.len(), "rope: a position on each axis for each row");
    assert!(rope.axes() == 1 || !rope.traditional, "rope: neighbours on several axes");
    assert!(rope.freqs.len() * 2 <= n, "rope: {} pairs in a head of {n}", rope.freqs.len());
    match x.backend() {
        Backend::Cpu => cpu::rope(x, positions, rope),
        Backend::Mlx(_) => mlx::rope(x, positions, rope),
    }
}
