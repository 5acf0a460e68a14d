//! Functions of one or two arrays, element by element: rows in parallel where there is enough to do.

use super::simd::dispatch;
use super::simd::elementwise::{Binary, Zip};
use crate::Tensor;

/// `function` of each element of `a` and the one of `b` in its place; a `b` that is as long as a row
/// of `a` stands beside each row.
pub(crate) fn zip(function: impl Binary + Sync, a: &Tensor, b: &Tensor) -> Tensor {
    let cpu = a.cpu();
    let mut out = cpu.buffer(a.elements());
    let (x, y, width) = (a.data(), b.data(), a.width().max(1));
    cpu.pool().run_rows(&mut out, width, |rows, out| {
        let range = rows.start * width..rows.end * width;
        let x = &x[range.clone()];
        if y.len() == width {
            for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                dispatch(cpu.isa(), Zip { function, a: x, b: y, out });
            }
        } else {
            dispatch(cpu.isa(), Zip { function, a: x, b: &y[range], out });
        }
    });
    Tensor::from_buffer(a.shape(), out)
}

/// `function` of each element of `x`, which it gets twice.
pub(crate) fn map(function: impl Binary + Sync, x: &Tensor) -> Tensor {
    zip(function, x, x)
}
