//! `y[r] = sum over i of weights[r * each + i] * x[r * each + i]`: rows in runs of `each`, added up
//! with a weight for each. What joins the answers of several experts.
//!
//! | operand   | shape            |
//! | --------- | ---------------- |
//! | `x`       | `[t * each, n]`  |
//! | `weights` | `[t * each]`     |
//! | `y`       | `[t, n]`         |
//!
//! (In MLX it is a product and a `sum`.)

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::Tensor;
use crate::tensor::Backend;

/// Adds up every `each` rows of `x`, weighted.
///
/// # Panics
///
/// If `each` is zero, the rows are no whole runs, or there is not one weight for each.
#[track_caller]
pub fn weighted_sum(x: &Tensor, weights: &Tensor, each: usize) -> Tensor {
    let &[rows, n] = x.shape() else { panic!("weighted_sum: shape {:?}", x.shape()) };
    assert_eq!([rows], weights.shape(), "weighted_sum: weights");
    assert!(each > 0 && rows.is_multiple_of(each), "weighted_sum: {rows} rows by {each}");
    if rows == 0 {
        return x.device().tensor(&[0, n], Vec::new());
    }
    match x.backend() {
        Backend::Cpu => cpu::weighted_sum(x, weights, each),
        Backend::Mlx(_) => mlx::weighted_sum(x, weights, each),
    }
}
