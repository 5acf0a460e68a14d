//! Element by element.

use crate::Tensor;
use crate::cpu::elementwise::map;
use crate::cpu::simd::Simd;
use crate::cpu::simd::elementwise::Binary;

#[derive(Clone, Copy)]
struct Scale(f32);

impl Binary for Scale {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, x: S::Lanes, _: S::Lanes) -> S::Lanes {
        simd.mul(x, simd.splat(self.0))
    }
}

pub(super) fn scale(x: &Tensor, factor: f32) -> Tensor {
    map(Scale(factor), x)
}
