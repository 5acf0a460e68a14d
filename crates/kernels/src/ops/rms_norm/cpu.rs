//! Row by row; eight partial sums let the compiler use vectors.

use crate::Tensor;

pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32) -> Tensor {
    let mut out = x.cpu().buffer(x.elements());
    let (data, weight, n) = (x.data(), weight.data(), x.width());
    x.cpu().pool().run_rows(&mut out, n, |rows, out| {
        let x = &data[rows.start * n..];
        for (out, x) in out.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
            let scale = (squares(x) / n as f32 + eps).sqrt().recip();
            for ((out, x), w) in out.iter_mut().zip(x).zip(weight) {
                *out = x * scale * w;
            }
        }
    });
    Tensor::from_buffer(x.shape(), out)
}

fn squares(x: &[f32]) -> f32 {
    let (groups, rest) = x.as_chunks::<16>();
    let mut sums = [0.0; 16];
    for group in groups {
        for (sum, x) in sums.iter_mut().zip(group) {
            *sum += x * x;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>()
}
