//! The definition.
#![cfg(test)]

use super::Rope;
use crate::Tensor;

pub(super) fn rope(x: &Tensor, positions: &[u32], rope: &Rope) -> Tensor {
    let &[_, heads, n] = x.shape() else { panic!("rope: shape") };
    let pairs = rope.freqs.len();
    let mut out = x.to_vec();
    for (row, position) in out.chunks_exact_mut(heads * n).zip(positions.chunks_exact(rope.axes()))
    {
        for head in row.chunks_exact_mut(n) {
            for (i, &freq) in rope.freqs.iter().enumerate() {
                let (first, second) =
                    if rope.traditional { (2 * i, 2 * i + 1) } else { (i, i + pairs) };
                let (sin, cos) = (position[rope.axis(i)] as f32 * freq).sin_cos();
                let (a, b) = (head[first], head[second]);
                head[first] = (a * cos - b * sin) * rope.scale;
                head[second] = (a * sin + b * cos) * rope.scale;
            }
        }
    }
    x.device().tensor(x.shape(), out)
}
