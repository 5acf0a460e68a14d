//! Element by element.

use super::Clamp;
use crate::Tensor;
use crate::cpu::elementwise::zip;
use crate::cpu::simd::elementwise::Binary;
use crate::cpu::simd::{Simd, exp};

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
    zip(clamp, gate, up)
}
