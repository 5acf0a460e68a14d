//! Row by row, in parallel where there is enough to do.

use crate::Tensor;
use crate::cpu::simd::elementwise::{Binary, Zip};
use crate::cpu::simd::{Simd, dispatch};

#[derive(Clone, Copy)]
struct Scale(f32);

impl Binary for Scale {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, x: S::Lanes, _: S::Lanes) -> S::Lanes {
        simd.mul(x, simd.splat(self.0))
    }
}

pub(super) fn scale(x: &Tensor, factor: f32) -> Tensor {
    let cpu = x.cpu();
    let mut out = cpu.buffer(x.elements());
    let (data, width) = (x.data(), x.width());
    cpu.pool().run_rows(&mut out, width, |rows, out| {
        let x = &data[rows.start * width..rows.end * width];
        dispatch(cpu.isa(), Zip { function: Scale(factor), a: x, b: x, out });
    });
    Tensor::from_buffer(x.shape(), out)
}
