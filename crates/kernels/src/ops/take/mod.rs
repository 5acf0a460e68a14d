//! `y[i] = table[indices[i]]`: rows of a table, as `f32`.
//!
//! | operand   | shape        | element type |
//! | --------- | ------------ | ------------ |
//! | `table`   | `[rows, n]`  | any float    |
//! | `indices` | `[t]`        | [known](crate::Indices) to the host, or to the device |
//! | `y`       | `[t, n]`     | `F32`        |

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::tensor::Backend;
use crate::{Indices, Tensor};

/// Picks rows of a mapped weight or of activations.
///
/// # Panics
///
/// If an index is not below the number of rows; one that only MLX knows is not looked at.
#[track_caller]
pub fn take<'a>(table: &Tensor, indices: impl Into<Indices<'a>>) -> Tensor {
    let indices = indices.into();
    let &[rows, _] = table.shape() else { panic!("take: shape {:?}", table.shape()) };
    indices.validate("take", rows);
    match table.backend() {
        Backend::Cpu => cpu::take(table, &indices.host()),
        Backend::Mlx(_) => mlx::take(table, indices),
    }
}
