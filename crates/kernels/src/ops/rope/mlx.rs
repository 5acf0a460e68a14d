//! `fast.rope`, each row a batch of its own with its own offset. It takes periods and divides by them:
//! angles differ from the definition by a rounding or two.

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
    let periods = table(rope.freqs.iter().map(|freq| freq.recip()).collect());
    let rotated = x.array().rope(positions, &periods, rope.traditional);
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
