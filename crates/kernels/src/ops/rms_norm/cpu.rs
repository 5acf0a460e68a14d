//! Row by row; four partial sums of vectors hide the latency of their additions.

use crate::Tensor;
use crate::cpu::simd::{Kernel, Simd, SimdSlices as _, dispatch};

struct Rows<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let n = self.weight.len();
        for (out, x) in self.out.chunks_exact_mut(n).zip(self.x.chunks_exact(n)) {
            let mut sums = [simd.splat(0.0); 4];
            for x in x.chunks(4 * S::LANES) {
                for (sum, x) in sums.iter_mut().zip(x.chunks(S::LANES)) {
                    let x = simd.read(x);
                    *sum = simd.fma(x, x, *sum);
                }
            }
            let sum = simd.add(simd.add(sums[0], sums[1]), simd.add(sums[2], sums[3]));
            let scale = simd.splat((simd.sum(sum) / n as f32 + self.eps).sqrt().recip());
            let operands = x.chunks(S::LANES).zip(self.weight.chunks(S::LANES));
            for (out, (x, weight)) in out.chunks_mut(S::LANES).zip(operands) {
                simd.write(out, simd.mul(simd.mul(simd.read(x), scale), simd.read(weight)));
            }
        }
    }
}

pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32) -> Tensor {
    let cpu = x.cpu();
    let mut out = cpu.buffer(x.elements());
    let (data, weight, n) = (x.data(), weight.data(), x.width().max(1));
    cpu.pool().run_rows(&mut out, n, |rows, out| {
        let x = &data[rows.start * n..rows.end * n];
        dispatch(cpu.isa(), Rows { x, weight, eps, out });
    });
    Tensor::from_buffer(x.shape(), out)
}
