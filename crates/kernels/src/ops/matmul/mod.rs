//! `y = x w^T`: the product a linear layer wants, with a dense weight.
//!
//! | operand | shape     | element type    |
//! | ------- | --------- | --------------- |
//! | `x`     | `[m, k]`  | `F32`           |
//! | `w`     | `[n, k]`  | any float       |
//! | `y`     | `[m, n]`  | `F32`           |
//!
//! Sums are taken in `f32`. With [`Precision::Fast`](crate::Precision) the operands may be rounded to
//! `bf16` first.

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::Tensor;
use crate::tensor::Backend;

/// Multiplies the rows of `x` with the transpose of the mapped weight `w`.
///
/// # Panics
///
/// If the inner extents differ.
#[track_caller]
pub fn matmul(x: &Tensor, w: &Tensor) -> Tensor {
    let (&[_, k], &[_, inner]) = (x.shape(), w.shape()) else {
        panic!("matmul: shapes {:?} and {:?}", x.shape(), w.shape())
    };
    assert_eq!(k, inner, "matmul: inner extents");
    match x.backend() {
        Backend::Cpu => cpu::matmul(x, w),
        Backend::Mlx(_) => mlx::matmul(x, w),
    }
}
