//! `y[i] = x[lhs_indices[i]] w[rhs_indices[i]]^T` with a quantized stack `w`:
//! [`gather_mm`](crate::ops::gather_mm()) over codes.
//!
//! | operand       | shape                |
//! | ------------- | -------------------- |
//! | `x`           | `[m, k]`             |
//! | `w`           | `[matrices * n, k]`, in the layout of [`QuantizedTensor`](crate::QuantizedTensor): one matrix after the other |
//! | `lhs_indices` | `[t]`, below `m`     |
//! | `rhs_indices` | `[t]`, below `matrices` |
//! | `y`           | `[t, n]`             |
//!
//! Activations are rounded as in [`quantized_matmul`](crate::ops::quantized_matmul()).

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::ops::Pairs;
use crate::tensor::Backend;
use crate::{QuantizedTensor, Tensor};

/// Multiplies chosen rows of `x` with the transposes of chosen ones of the `matrices` in `w`.
///
/// # Panics
///
/// If the inner extents differ, the rows of `w` are no multiple of `matrices`, or an index is out
/// of bounds; one that only MLX knows is not looked at.
#[track_caller]
pub fn gather_qmm<'a>(
    x: &Tensor,
    w: &QuantizedTensor,
    matrices: usize,
    pairs: impl Into<Pairs<'a>>,
) -> Tensor {
    let pairs = pairs.into();
    let &[m, k] = x.shape() else { panic!("gather_qmm: shape {:?}", x.shape()) };
    assert_eq!(k, w.columns, "gather_qmm: inner extents");
    let whole = matrices > 0 && w.rows.is_multiple_of(matrices);
    assert!(whole, "gather_qmm: {} rows in {matrices} matrices", w.rows);
    pairs.validate(m, matrices);
    match x.backend() {
        Backend::Cpu => pairs.host(|gather| cpu::gather_qmm(x, w, matrices, gather)),
        Backend::Mlx(_) => mlx::gather_qmm(x, w, matrices, pairs),
    }
}
