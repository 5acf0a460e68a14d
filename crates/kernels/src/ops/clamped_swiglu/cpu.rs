//! Row by row, in parallel where there is enough to do.

use super::Clamp;
use crate::Tensor;
use crate::cpu::simd::elementwise::{Binary, Zip};
use crate::cpu::simd::{Simd, dispatch, exp};

impl Binary for Clamp {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, gate: S::Lanes, up: S::Lanes) -> S::Lanes {
        // Comparisons with NaN are false, so it is the operand that stays.
        let (most, least) = (simd.splat(self.limit), simd.splat(-self.limit));
        let gate = simd.where_less(most, gate, most, gate);
        let up = simd.where_less(most, up, most, up);
        let up = simd.where_less(up, least, least, up);
        let bell = exp(simd, simd.mul(gate, simd.splat(-self.alpha)));
        let one = simd.splat(1.0);
        simd.mul(simd.div(gate, simd.add(one, bell)), simd.add(up, one))
    }
}

pub(super) fn clamped_swiglu(gate: &Tensor, up: &Tensor, clamp: Clamp) -> Tensor {
    let cpu = gate.cpu();
    let mut out = cpu.buffer(gate.elements());
    let (gates, ups, width) = (gate.data(), up.data(), gate.width());
    cpu.pool().run_rows(&mut out, width, |rows, out| {
        let range = rows.start * width..rows.end * width;
        let (a, b) = (&gates[range.clone()], &ups[range]);
        dispatch(cpu.isa(), Zip { function: clamp, a, b, out });
    });
    Tensor::from_buffer(gate.shape(), out)
}
