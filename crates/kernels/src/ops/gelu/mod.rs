//! `y = x * Phi(x)`, elementwise, with `Phi` the distribution function of the standard normal.
//!
//! Source: Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016), which also gives the forms
//! with a hyperbolic tangent and with a logistic function that some checkpoints were trained with.

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::Tensor;
use crate::tensor::Backend;

/// Which form a checkpoint was trained with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Gelu {
    /// `x/2 * (1 + erf(x / sqrt(2)))`.
    Erf,
    /// `x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))`.
    Tanh,
    /// `x / (1 + exp(-1.702 x))`.
    Quick,
}

/// Weighs each element by the probability that a normal variable is below it.
#[track_caller]
pub fn gelu(x: &Tensor, form: Gelu) -> Tensor {
    match x.backend() {
        Backend::Cpu => cpu::gelu(x, form),
        Backend::Mlx(_) => mlx::gelu(x, form),
    }
}
