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

pub(crate) use cpu::LaidOut;
pub(super) use cpu::{decode_rows, multiply_each};

use crate::cpu::simd::quantized::Level;
use crate::tensor::Backend;
use crate::{QuantizedTensor, Tensor};

/// Multiplies the rows of `x` with the transpose of `w`.
///
/// # Panics
///
/// If the inner extents differ.
#[track_caller]
pub fn quantized_matmul(x: &Tensor, w: &QuantizedTensor) -> Tensor {
    let [y] = quantized_matmuls(x, [w]);
    y
}

/// Multiplies the rows of `x` with the transpose of each weight: [`quantized_matmul`] to the bit,
/// but on the CPU threads are set to work once, and activations are rounded once for all weights
/// of one format.
///
/// # Panics
///
/// If the inner extents differ.
#[track_caller]
pub fn quantized_matmuls<const N: usize>(x: &Tensor, ws: [&QuantizedTensor; N]) -> [Tensor; N] {
    let &[_, k] = x.shape() else { panic!("quantized_matmul: shape {:?}", x.shape()) };
    for w in ws {
        assert_eq!(k, w.columns, "quantized_matmul: inner extents");
    }
    match x.backend() {
        Backend::Cpu => cpu::multiply(Level::of(x.cpu().isa()), x, ws),
        Backend::Mlx(_) => ws.map(|w| mlx::quantized_matmul(x, w)),
    }
}
