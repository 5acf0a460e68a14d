//! `y = a * b`, elementwise; `b` may be one row that every row of `a` is multiplied with.
//!
//! | operand  | shape            |
//! | -------- | ---------------- |
//! | `a`, `y` | `[.., n]`        |
//! | `b`      | as `a`, or `[n]` |

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::Tensor;
use crate::tensor::Backend;

/// Multiplies `a` with `b`.
///
/// # Panics
///
/// If the shapes do not fit.
#[track_caller]
pub fn multiply(a: &Tensor, b: &Tensor) -> Tensor {
    let fits = a.shape() == b.shape() || b.shape() == [a.width()];
    assert!(fits, "multiply: shapes {:?} and {:?}", a.shape(), b.shape());
    match a.backend() {
        Backend::Cpu => cpu::multiply(a, b),
        Backend::Mlx(_) => mlx::multiply(a, b),
    }
}
