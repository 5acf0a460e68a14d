//! Each row of the result in order of its terms, in parallel where there is enough to do.

use crate::Tensor;

pub(super) fn weighted_sum(x: &Tensor, weights: &Tensor, each: usize) -> Tensor {
    let weights = weights.data();
    let (data, n) = (x.data(), x.width());
    let rows = weights.len() / each;
    let mut out = x.cpu().buffer(rows * n);
    x.cpu().pool().run_rows(&mut out, n, |rows, out| {
        for (row, out) in rows.zip(out.chunks_exact_mut(n.max(1))) {
            out.fill(0.0);
            for i in row * each..(row + 1) * each {
                let terms = data[i * n..].iter();
                out.iter_mut().zip(terms).for_each(|(out, x)| *out += weights[i] * x);
            }
        }
    });
    Tensor::from_buffer(&[rows, n], out)
}
