//! Element by element.

use crate::Tensor;
use crate::cpu::elementwise::zip;
use crate::cpu::simd::Simd;
use crate::cpu::simd::elementwise::Binary;

#[derive(Clone, Copy)]
struct Add;

impl Binary for Add {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, a: S::Lanes, b: S::Lanes) -> S::Lanes {
        simd.add(a, b)
    }
}

pub(super) fn add(a: &Tensor, b: &Tensor) -> Tensor {
    zip(Add, a, b)
}
