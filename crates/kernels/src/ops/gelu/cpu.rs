//! Row by row, in parallel where there is enough to do.

use super::Gelu;
use crate::Tensor;
use crate::cpu::simd::elementwise::{Binary, Zip};
use crate::cpu::simd::{Simd, dispatch, exp, normal_cdf};

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
        }
    }
}

pub(super) fn gelu(x: &Tensor, form: Gelu) -> Tensor {
    let cpu = x.cpu();
    let mut out = cpu.buffer(x.elements());
    let (data, width) = (x.data(), x.width());
    cpu.pool().run_rows(&mut out, width, |rows, out| {
        let x = &data[rows.start * width..rows.end * width];
        dispatch(cpu.isa(), Zip { function: form, a: x, b: x, out });
    });
    Tensor::from_buffer(x.shape(), out)
}
