//! Row by row, in parallel where there is enough to do.

use crate::Tensor;
use crate::cpu::simd::elementwise::{Binary, Zip};
use crate::cpu::simd::{Simd, dispatch, exp};

#[derive(Clone, Copy)]
struct Swiglu;

impl Binary for Swiglu {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, gate: S::Lanes, up: S::Lanes) -> S::Lanes {
        let bell = exp(simd, simd.sub(simd.splat(0.0), gate));
        simd.mul(simd.div(gate, simd.add(simd.splat(1.0), bell)), up)
    }
}

pub(super) fn swiglu(gate: &Tensor, up: &Tensor) -> Tensor {
    let cpu = gate.cpu();
    let mut out = cpu.buffer(gate.elements());
    let (gates, ups, width) = (gate.data(), up.data(), gate.width());
    cpu.pool().run_rows(&mut out, width, |rows, out| {
        let range = rows.start * width..rows.end * width;
        let (a, b) = (&gates[range.clone()], &ups[range]);
        dispatch(cpu.isa(), Zip { function: Swiglu, a, b, out });
    });
    Tensor::from_buffer(gate.shape(), out)
}
