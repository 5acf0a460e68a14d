//! As MLX concatenates, along the last axis.

use crate::Tensor;
use crate::mlx::Array;

pub(super) fn concatenate(parts: &[&Tensor], shape: &[usize]) -> Tensor {
    let parts: Vec<&Array> = parts.iter().map(|part| part.array()).collect();
    Tensor::from_array(shape, Array::concatenate_columns(&parts))
}
