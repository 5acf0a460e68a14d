//! Row by row, in parallel where there is enough to do.

use crate::Tensor;
use crate::cpu::simd::elementwise::{Binary, Zip};
use crate::cpu::simd::{Simd, dispatch};

#[derive(Clone, Copy)]
struct Multiply;

impl Binary for Multiply {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, a: S::Lanes, b: S::Lanes) -> S::Lanes {
        simd.mul(a, b)
    }
}

pub(super) fn multiply(a: &Tensor, b: &Tensor) -> Tensor {
    let cpu = a.cpu();
    let mut out = cpu.buffer(a.elements());
    let (x, y, width) = (a.data(), b.data(), a.width().max(1));
    cpu.pool().run_rows(&mut out, width, |rows, out| {
        let range = rows.start * width..rows.end * width;
        let x = &x[range.clone()];
        if y.len() == width {
            for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                dispatch(cpu.isa(), Zip { function: Multiply, a: x, b: y, out });
            }
        } else {
            dispatch(cpu.isa(), Zip { function: Multiply, a: x, b: &y[range], out });
        }
    });
    Tensor::from_buffer(a.shape(), out)
}
