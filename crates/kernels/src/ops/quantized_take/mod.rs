//! `y[i] = w[indices[i]]`: rows of a quantized table, decoded.
//!
//! | operand   | shape        |
//! | --------- | ------------ |
//! | `w`       | `[rows, n]`, in the layout of [`QuantizedTensor`](crate::QuantizedTensor) |
//! | `indices` | `[t]`        |
//! | `y`       | `[t, n]`     |

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::tensor::Backend;
use crate::{QuantizedTensor, Tensor};

/// Picks and decodes rows.
///
/// # Panics
///
/// If an index is not below the number of rows.
#[track_caller]
pub fn quantized_take(w: &QuantizedTensor, indices: &[u32]) -> Tensor {
    for &index in indices {
        assert!((index as usize) < w.rows, "quantized_take: row {index} of {}", w.rows);
    }
    match w.weight.backend() {
        Backend::Cpu => cpu::quantized_take(w, indices),
        Backend::Mlx(_) => mlx::quantized_take(w, indices),
    }
}
