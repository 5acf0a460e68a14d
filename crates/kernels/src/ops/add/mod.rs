//! `y = a + b`, elementwise; `b` may be one row that is added to every row of `a`.
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

/// Adds `b` to `a`.
///
/// # Panics
///
/// If the shapes do not fit.
#[track_caller]
pub fn add(a: &Tensor, b: &Tensor) -> Tensor {
    let fits = a.shape() == b.shape() || b.shape() == [a.width()];
    assert!(fits, "add: shapes {:?} and {:?}", a.shape(), b.shape());
    match a.backend() {
        Backend::Cpu => cpu::add(a, b),
        Backend::Mlx(_) => mlx::add(a, b),
    }
}
