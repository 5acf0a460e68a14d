//! `y[i] = table[indices[i]]`: rows of a table, as `f32`.
//!
//! | operand   | shape        | element type |
//! | --------- | ------------ | ------------ |
//! | `table`   | `[rows, n]`  | any float    |
//! | `indices` | `[t]`        |              |
//! | `y`       | `[t, n]`     | `F32`        |

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::Tensor;
use crate::tensor::Backend;

/// Picks rows of a mapped weight or of activations.
///
/// # Panics
///
/// If an index is not below the number of rows.
#[track_caller]
pub fn take(table: &Tensor, indices: &[u32]) -> Tensor {
    let &[rows, _] = table.shape() else { panic!("take: shape {:?}", table.shape()) };
    for &index in indices {
        assert!((index as usize) < rows, "take: row {index} of {rows}");
    }
    match table.backend() {
        Backend::Cpu => cpu::take(table, indices),
        Backend::Mlx(_) => mlx::take(table, indices),
    }
}
