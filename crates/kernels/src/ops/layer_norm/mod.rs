//! `y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias`, over the last axis.
//!
//! | operand          | shape     |
//! | ---------------- | --------- |
//! | `x`, `y`         | `[.., n]` |
//! | `weight`, `bias` | `[n]`     |
//!
//! Source: Ba, Kiros and Hinton, "Layer Normalization" (2016).

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::Tensor;
use crate::tensor::Backend;

/// Normalizes each row of `x` to zero mean and unit variance, scales and shifts it.
///
/// # Panics
///
/// If `weight` or `bias` is not one row as wide as `x`.
#[track_caller]
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f32) -> Tensor {
    assert_eq!(weight.shape(), [x.width()], "layer_norm: shape of weight");
    if let Some(bias) = bias {
        assert_eq!(bias.shape(), [x.width()], "layer_norm: shape of bias");
    }
    match x.backend() {
        Backend::Cpu => cpu::layer_norm(x, weight, bias, eps),
        Backend::Mlx(_) => mlx::layer_norm(x, weight, bias, eps),
    }
}
