//! `y = x / sqrt(mean(x^2) + eps) * weight`, over the last axis.
//!
//! | operand  | shape      |
//! | -------- | ---------- |
//! | `x`, `y` | `[.., n]`  |
//! | `weight` | `[n]`      |
//!
//! Source: Zhang and Sennrich, "Root Mean Square Layer Normalization" (2019).

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::Tensor;
use crate::tensor::Backend;

/// Normalizes each row of `x` by its root mean square and scales it by `weight`.
///
/// # Panics
///
/// If `weight` is not one row as wide as `x`.
#[track_caller]
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32) -> Tensor {
    assert_eq!(weight.shape(), [x.width()], "rms_norm: shape of weight");
    match x.backend() {
        Backend::Cpu => cpu::rms_norm(x, weight, eps),
        Backend::Mlx(_) => mlx::rms_norm(x, weight, eps),
    }
}
