//! Each task takes some rows of the weight, widens one at a time and meets it with every row of
//! the activations.

use crate::Tensor;
use crate::cpu::SharedMut;
use crate::device::to_f32;

/// Rows of the weight that one task takes.
const GRAIN: usize = 8;

pub(super) fn matmul(x: &Tensor, w: &Tensor) -> Tensor {
    let (m, k, n) = (x.rows(), x.width(), w.rows());
    let mut out = x.cpu().buffer(m * n);
    let (data, bytes, size) = (x.data(), w.bytes(), w.dtype().size());
    let parts = SharedMut::new(&mut out);
    x.cpu().pool().run_ranges(n, GRAIN, |columns| {
        for column in columns {
            let row = to_f32(w.dtype(), &bytes[column * k * size..][..k * size]);
            for (i, x) in data.chunks_exact(k).enumerate() {
                let at = i * n + column;
                #[expect(unsafe_code, reason = "tasks write disjoint columns")]
                // SAFETY: each task has columns of its own.
                let out = unsafe { parts.part(at..at + 1) };
                out[0] = dot(x, &row);
            }
        }
    });
    Tensor::from_buffer(&[m, n], out)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (groups_a, rest_a) = a.as_chunks::<16>();
    let (groups_b, rest_b) = b.as_chunks::<16>();
    let mut sums = [0.0; 16];
    for (a, b) in groups_a.iter().zip(groups_b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f32>();
    sums.iter().sum::<f32>() + rest
}
