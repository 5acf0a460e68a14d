//! Row by row, in two passes, so that a large mean costs no digits of the variance.

use crate::Tensor;
use crate::cpu::simd::{Kernel, Simd, SimdSlices as _, dispatch};

struct Rows<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    eps: f32,
    out: &'a mut [f32],
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, weight, bias, eps, out } = self;
        let n = weight.len();
        let zeros = [0.0; 16];
        for (out, x) in out.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
            let mean = total(simd, x, 0.0, false) / n as f32;
            let variance = total(simd, x, mean, true) / n as f32;
            let (mean, scale) = (simd.splat(mean), simd.splat((variance + eps).sqrt().recip()));
            let operands = x.chunks(S::LANES).zip(weight.chunks(S::LANES));
            let rows = out.chunks_mut(S::LANES).zip(operands);
            for (i, (out, (x, weight))) in rows.enumerate() {
                let bias = match bias {
                    Some(bias) => &bias[i * S::LANES..][..out.len()],
                    None => &zeros[..out.len()],
                };
                let x = simd.mul(simd.sub(simd.read(x), mean), scale);
                simd.write(out, simd.fma(x, simd.read(weight), simd.read(bias)));
            }
        }
    }
}

/// The sum of `x - mean`, or of its squares, in four vectors to hide the latency of additions.
#[inline(always)]
fn total<S: Simd>(simd: S, x: &[f32], mean: f32, squared: bool) -> f32 {
    let (means, one) = (simd.splat(mean), simd.splat(1.0));
    let mut sums = [simd.splat(0.0); 4];
    let (blocks, rest) = x.split_at(x.len() - x.len() % S::LANES);
    for block in blocks.chunks(4 * S::LANES) {
        for (sum, x) in sums.iter_mut().zip(block.chunks_exact(S::LANES)) {
            let x = simd.sub(simd.read(x), means);
            *sum = simd.fma(x, if squared { x } else { one }, *sum);
        }
    }
    let sum = simd.sum(simd.add(simd.add(sums[0], sums[1]), simd.add(sums[2], sums[3])));
    let mut last = 0.0;
    for x in rest {
        let x = x - mean;
        last += if squared { x * x } else { x };
    }
    sum + last
}

pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f32) -> Tensor {
    let cpu = x.cpu();
    let mut out = cpu.buffer(x.elements());
    let (data, weight, n) = (x.data(), weight.data(), x.width().max(1));
    let bias = bias.map(Tensor::data);
    cpu.pool().run_rows(&mut out, n, |rows, out| {
        let x = &data[rows.start * n..rows.end * n];
        dispatch(cpu.isa(), Rows { x, weight, bias, eps, out });
    });
    Tensor::from_buffer(x.shape(), out)
}
