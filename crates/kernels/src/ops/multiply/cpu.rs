//! Element by element.

use crate::Tensor;
use crate::cpu::elementwise::zip;
use crate::cpu::simd::Simd;
use crate::cpu::simd::elementwise::Binary;

#[derive(Clone, Copy)]
struct Multiply;

impl Binary for Multiply {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, a: S::Lanes, b: S::Lanes) -> S::Lanes {
        simd.mul(a, b)
    }
}

pub(super) fn multiply(a: &Tensor, b: &Tensor) -> Tensor {
    zip(Multiply, a, b)
}
