//! Functions of one or two arrays, element by element.

use super::{Kernel, Simd, SimdSlices as _};

/// A function of two lanes.
pub(crate) trait Binary: Copy {
    /// The function. Implementations are `#[inline(always)]`.
    fn apply<S: Simd>(self, simd: S, a: S::Lanes, b: S::Lanes) -> S::Lanes;
}

/// `out[i] = f(a[i], b[i])`; a function of one array gets it twice.
pub(crate) struct Zip<'a, F> {
    pub(crate) function: F,
    pub(crate) a: &'a [f32],
    pub(crate) b: &'a [f32],
    pub(crate) out: &'a mut [f32],
}

impl<F: Binary> Kernel for Zip<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { function, a, b, out } = self;
        let (a, b) = (a.chunks(S::LANES), b.chunks(S::LANES));
        for ((out, a), b) in out.chunks_mut(S::LANES).zip(a).zip(b) {
            simd.write(out, function.apply(simd, simd.read(a), simd.read(b)));
        }
    }
}
