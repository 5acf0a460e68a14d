//! Row by row, in two passes, so that a large mean costs no digits of the variance.

use crate::Tensor;

pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f32) -> Tensor {
    let mut out = x.cpu().buffer(x.elements());
    let (data, weight, n) = (x.data(), weight.data(), x.width());
    let bias = bias.map(Tensor::data);
    x.cpu().pool().run_rows(&mut out, n, |rows, out| {
        let x = &data[rows.start * n..];
        for (out, x) in out.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
            let mean = sum(x, |v| v) / n as f32;
            let scale = (sum(x, |v| (v - mean) * (v - mean)) / n as f32 + eps).sqrt().recip();
            for ((out, x), w) in out.iter_mut().zip(x).zip(weight) {
                *out = (x - mean) * scale * w;
            }
            if let Some(bias) = bias {
                for (out, b) in out.iter_mut().zip(bias) {
                    *out += b;
                }
            }
        }
    });
    Tensor::from_buffer(x.shape(), out)
}

/// The sum of `term` over `x`, in sixteen parts that the compiler can keep in vectors.
fn sum(x: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (groups, rest) = x.as_chunks::<16>();
    let mut sums = [0.0; 16];
    for group in groups {
        for (sum, &x) in sums.iter_mut().zip(group) {
            *sum += term(x);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|&x| term(x)).sum::<f32>()
}
