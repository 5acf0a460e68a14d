//! Element by element.

use crate::Tensor;
use crate::cpu::elementwise::zip;
use crate::cpu::simd::elementwise::Binary;
use crate::cpu::simd::{Simd, exp};

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
    zip(Swiglu, gate, up)
}
