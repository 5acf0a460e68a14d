//! `y[i] = w[indices[i]]`: rows of a quantized table, decoded.
//!
//! | operand   | shape        |
//! | --------- | ------------ |
//! | `w`       | `[rows, n]`, in the layout of [`QuantizedTensor`](crate::QuantizedTensor) |
//! | `indices` | `[t]`, [known](crate::Indices) to the host, or to the device |
//! | `y`       | `[t, n]`     |

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::tensor::Backend;
use crate::{Indices, QuantizedTensor, Tensor};

/// Picks and decodes rows.
///
/// # Panics
///
/// If an index is not below the number of rows; one that only MLX knows is not looked at.
#[track_caller]
pub fn quantized_take<'a>(w: &QuantizedTensor, indices: impl Into<Indices<'a>>) -> Tensor {
    let indices = indices.into();
    indices.validate("quantized_take", w.rows);
    match w.weight.backend() {
        Backend::Cpu => cpu::quantized_take(w, &indices.host()),
        Backend::Mlx(_) => mlx::quantized_take(w, indices),
    }
}
