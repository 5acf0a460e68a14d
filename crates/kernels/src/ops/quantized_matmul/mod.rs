//! `y = x w^T` with a quantized `w`.
//!
//! | operand | shape     |
//! | ------- | --------- |
//! | `x`     | `[m, k]`  |
//! | `w`     | `[n, k]`, in the layout of [`QuantizedTensor`](crate::QuantizedTensor) |
//! | `y`     | `[m, n]`  |
//!
//! An element of `w` is `scale * code + bias` (affine), or its element value times its group's
//! scale. With [`Precision::Exact`](crate::Precision) activations stay `f32`; with
//! [`Precision::Fast`](crate::Precision) the CPU rounds them to 8 bits for each group.

mod cpu;
mod mlx;
pub(super) mod reference;
#[cfg(test)]
mod tests;

pub(super) use cpu::decode_rows;

use crate::tensor::Backend;
use crate::{QuantizedTensor, Tensor};

/// Multiplies the rows of `x` with the transpose of `w`.
///
/// # Panics
///
/// If the inner extents differ.
#[track_caller]
pub fn quantized_matmul(x: &Tensor, w: &QuantizedTensor) -> Tensor {
    let &[_, k] = x.shape() else { panic!("quantized_matmul: shape {:?}", x.shape()) };
    assert_eq!(k, w.columns, "quantized_matmul: inner extents");
    match x.backend() {
        Backend::Cpu => cpu::quantized_matmul(x, w),
        Backend::Mlx(_) => mlx::quantized_matmul(x, w),
    }
}
