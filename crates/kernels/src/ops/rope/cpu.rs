//! The angles of a row are computed once and serve all of its heads.

use super::Rope;
use crate::Tensor;

pub(super) fn rope(x: &Tensor, positions: &[u32], rope: &Rope) -> Tensor {
    let (n, width) = (x.width(), x.elements().checked_div(x.shape()[0]).unwrap_or(0));
    let axes = rope.axes();
    let mut out = x.cpu().buffer(x.elements());
    let data = x.data();
    x.cpu().pool().run_rows(&mut out, width, |rows, out| {
        let pairs = rope.freqs.len();
        let (mut sin, mut cos) = (vec![0.0; pairs], vec![0.0; pairs]);
        let x = &data[rows.start * width..];
        for ((row, out), x) in rows.zip(out.chunks_exact_mut(width)).zip(x.chunks_exact(width)) {
            let at = &positions[row * axes..][..axes];
            for (i, ((sin, cos), freq)) in sin.iter_mut().zip(&mut cos).zip(&rope.freqs).enumerate()
            {
                let (s, c) = (at[rope.axis(i)] as f32 * freq).sin_cos();
                (*sin, *cos) = (s * rope.scale, c * rope.scale);
            }
            for (out, x) in out.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
                if rope.traditional {
                    neighbours(out, x, &sin, &cos);
                } else {
                    halves(out, x, &sin, &cos);
                }
            }
        }
    });
    Tensor::from_buffer(x.shape(), out)
}

fn halves(out: &mut [f32], x: &[f32], sin: &[f32], cos: &[f32]) {
    let pairs = sin.len();
    let (x, rest) = x.split_at(2 * pairs);
    let (a, b) = x.split_at(pairs);
    let (out, out_rest) = out.split_at_mut(2 * pairs);
    let (first, second) = out.split_at_mut(pairs);
    for i in 0..pairs {
        first[i] = a[i] * cos[i] - b[i] * sin[i];
        second[i] = a[i] * sin[i] + b[i] * cos[i];
    }
    out_rest.copy_from_slice(rest);
}

fn neighbours(out: &mut [f32], x: &[f32], sin: &[f32], cos: &[f32]) {
    let (x, rest) = x.split_at(2 * sin.len());
    let (out, out_rest) = out.split_at_mut(2 * sin.len());
    let (out, x) = (out.as_chunks_mut::<2>().0, x.as_chunks::<2>().0);
    for (((out, [a, b]), sin), cos) in out.iter_mut().zip(x).zip(sin).zip(cos) {
        *out = [a * cos - b * sin, a * sin + b * cos];
    }
    out_rest.copy_from_slice(rest);
}
