//! `y = silu(gate) * up`, elementwise, with `silu(x) = x / (1 + exp(-x))`.
//!
//! All operands have one shape. Source: Shazeer, "GLU Variants Improve Transformer" (2020).

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::Tensor;
use crate::tensor::Backend;

/// Multiplies `up` by the sigmoid-weighted `gate`.
///
/// # Panics
///
/// If the shapes differ.
#[track_caller]
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Tensor {
    assert_eq!(gate.shape(), up.shape(), "swiglu: shapes");
    match gate.backend() {
        Backend::Cpu => cpu::swiglu(gate, up),
        Backend::Mlx(_) => mlx::swiglu(gate, up),
    }
}
