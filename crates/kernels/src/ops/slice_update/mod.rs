//! `x` with some of its rows replaced: `y[start + i] = update[i]` for each of `updates`.
//!
//! | operand     | shape                                |
//! | ----------- | ------------------------------------ |
//! | `x`, `y`    | `[rows, n]`                          |
//! | `update`    | `[t, n]`, with `start + t <= rows`   |
//!
//! (MLX's own operation takes one update, of any slice.)

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::Tensor;
use crate::tensor::Backend;

/// Replaces rows of activations by those of each of `updates`, which stand in order and apart.
///
/// # Panics
///
/// If an update does not lie within `x` and behind the one before it, or has another width.
#[track_caller]
pub fn slice_update(x: &Tensor, updates: &[(usize, Tensor)]) -> Tensor {
    let &[rows, width] = x.shape() else { panic!("slice_update: shape {:?}", x.shape()) };
    let end = updates.iter().try_fold(0, |end, (start, update)| {
        let fits = *start >= end && update.shape().len() == 2 && update.width() == width;
        fits.then(|| start + update.rows())
    });
    assert!(end.is_some_and(|end| end <= rows), "slice_update: updates of {rows} rows");
    if updates.is_empty() {
        return x.clone();
    }
    match x.backend() {
        Backend::Cpu => cpu::slice_update(x, updates),
        Backend::Mlx(_) => mlx::slice_update(x, updates),
    }
}
