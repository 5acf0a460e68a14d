//! Element by element.

use super::Gelu;
use crate::Tensor;
use crate::cpu::elementwise::map;
use crate::cpu::simd::elementwise::Binary;
use crate::cpu::simd::{Simd, exp, normal_cdf};

impl Binary for Gelu {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, x: S::Lanes, _: S::Lanes) -> S::Lanes {
        match self {
            Self::Erf => simd.mul(x, normal_cdf(simd, x)),
            Self::Tanh => {
                // (1 + tanh u) / 2 = 1 / (1 + exp(-2u)); the constant is 2 sqrt(2 / pi).
                const TWO_ROOTS: f32 = 1.595_769;
                let cubic = simd.mul(simd.mul(x, x), simd.splat(-0.044715 * TWO_ROOTS));
                let minus_2u = simd.mul(x, simd.add(cubic, simd.splat(-TWO_ROOTS)));
                simd.div(x, simd.add(simd.splat(1.0), exp(simd, minus_2u)))
            }
            Self::Quick => {
                let minus = exp(simd, simd.mul(x, simd.splat(-1.702)));
                simd.div(x, simd.add(simd.splat(1.0), minus))
            }
        }
    }
}

pub(super) fn gelu(x: &Tensor, form: Gelu) -> Tensor {
    map(form, x)
}
