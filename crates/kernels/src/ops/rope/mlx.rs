//! `fast.rope`, each row a batch of its own with its own offset. It takes periods and divides by them:
//! angles differ from the definition by a rounding or two. It knows one axis: where a row stands
//! elsewhere on another, sines and cosines come from the host.

use super::Rope;
use crate::mlx::Array;
use crate::{DType, Tensor};

pub(super) fn rope(x: &Tensor, positions: &[u32], rope: &Rope) -> Tensor {
    let pairs = rope.freqs.len();
    let mlx = x.array().mlx();
    let table = |numbers: Vec<f32>| {
        let bytes: Vec<[u8; 4]> = numbers.into_iter().map(f32::to_le_bytes).collect();
        Array::from_bytes(mlx, &[bytes.len()], DType::F32, bytes.as_flattened())
    };
    let axes = rope.axes();
    let of_first: Vec<u32> = positions.iter().copied().step_by(axes).collect();
    if positions.chunks_exact(axes).any(|at| at.iter().any(|position| *position != at[0])) {
        return apart(x, positions, rope);
    }
    let periods = table(rope.freqs.iter().map(|freq| freq.recip()).collect());
    let rotated = x.array().rope(&of_first, &periods, rope.traditional);
    if rope.scale == 1.0 {
        return Tensor::from_array(x.shape(), rotated);
    }
    // MLX's own `scale` is one of positions.
    let rotated = if pairs * 2 == x.width() {
        rotated.scale(rope.scale)
    } else {
        let factor = |i| if i < 2 * pairs { rope.scale } else { 1.0 };
        rotated.multiply(&table((0..x.width()).map(factor).collect()).as_type(x.dtype()))
    };
    Tensor::from_array(x.shape(), rotated)
}

/// Halves whose pairs go by several axes, as the definition says it.
fn apart(x: &Tensor, positions: &[u32], rope: &Rope) -> Tensor {
    let (pairs, rows) = (rope.freqs.len(), x.shape()[0]);
    let angles = || {
        let row = |at: &[u32]| {
            let angle = |(i, freq): (usize, &f32)| at[rope.axis(i)] as f32 * freq;
            rope.freqs.iter().enumerate().map(angle).collect::<Vec<_>>()
        };
        positions.chunks_exact(rope.axes()).flat_map(row)
    };
    let table = |numbers: &dyn Fn(f32) -> f32| {
        let bytes: Vec<_> =
            angles().map(|angle| (numbers(angle) * rope.scale).to_le_bytes()).collect();
        let shape = [rows, 1, pairs];
        Array::from_bytes(x.array().mlx(), &shape, DType::F32, bytes.as_flattened())
    };
    let (sin, cos, minus) =
        (table(&|angle| angle.sin()), table(&|angle| angle.cos()), table(&|angle| -angle.sin()));
    let wide = x.array().as_type(DType::F32);
    let [a, b] = [0, pairs].map(|from| wide.slice_columns(from, from + pairs));
    let first = a.multiply(&cos).add(&b.multiply(&minus));
    let second = a.multiply(&sin).add(&b.multiply(&cos));
    let rest = wide.slice_columns(2 * pairs, x.width());
    let parts = [&first, &second, &rest];
    let parts = if x.width() == 2 * pairs { &parts[..2] } else { &parts[..] };
    Tensor::from_array(x.shape(), Array::concatenate_columns(parts).as_type(x.dtype()))
}
