//! `y = g * sigmoid(alpha * g) * (u + 1)`, elementwise, with `g = min(gate, limit)` and
//! `u = max(min(up, limit), -limit)`: a gated product whose operands cannot run away.
//!
//! All operands have one shape. Source: the reference implementation that OpenAI published with its
//! open weights (2025), where `alpha` is 1.702 and `limit` 7.

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::Tensor;
use crate::tensor::Backend;

/// The two numbers of a clamped gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clamp {
    /// How steep the gate is.
    pub alpha: f32,
    /// How far either operand may be from zero; the gate only above it.
    pub limit: f32,
}

/// Multiplies what is one more than the clamped `up` by the clamped and sigmoid-weighted `gate`.
///
/// # Panics
///
/// If the shapes differ.
#[track_caller]
pub fn clamped_swiglu(gate: &Tensor, up: &Tensor, clamp: Clamp) -> Tensor {
    assert_eq!(gate.shape(), up.shape(), "clamped_swiglu: shapes");
    match gate.backend() {
        Backend::Cpu => cpu::clamped_swiglu(gate, up, clamp),
        Backend::Mlx(_) => mlx::clamped_swiglu(gate, up, clamp),
    }
}
