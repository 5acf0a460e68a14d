//! `x` cut into columns: `y[i]` holds the elements `sizes[0] + .. + sizes[i - 1]` and the following
//! `sizes[i]` of each row.
//!
//! | operand | shape                                  |
//! | ------- | -------------------------------------- |
//! | `x`     | `[.., n]`                              |
//! | `y[i]`  | `[.., sizes[i]]`; the sizes add up to `n` |
//!
//! (MLX's own operation cuts along any axis, and is told where.)

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::Tensor;
use crate::tensor::Backend;

/// Cuts the rows of `x` into parts of so many elements.
///
/// # Panics
///
/// If the sizes do not add up to the width.
#[track_caller]
pub fn split<const N: usize>(x: &Tensor, sizes: [usize; N]) -> [Tensor; N] {
    assert_eq!(sizes.iter().sum::<usize>(), x.width(), "split: sizes {sizes:?}");
    let mut from = 0;
    sizes.map(|size| {
        let columns = from..from + size;
        from += size;
        let mut shape = x.shape().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = size;
        }
        match x.backend() {
            Backend::Cpu => cpu::columns(x, columns, &shape),
            Backend::Mlx(_) => mlx::columns(x, columns, &shape),
        }
    })
}
