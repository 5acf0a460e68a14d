//! `y = factor * x`, elementwise. (For MLX it is a product with a number of the array's own type.)

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::Tensor;
use crate::tensor::Backend;

/// Multiplies each element with `factor`.
#[track_caller]
pub fn scale(x: &Tensor, factor: f32) -> Tensor {
    match x.backend() {
        Backend::Cpu => cpu::scale(x, factor),
        Backend::Mlx(_) => mlx::scale(x, factor),
    }
}
