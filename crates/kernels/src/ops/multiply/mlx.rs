//! As MLX multiplies.

use crate::Tensor;

pub(super) fn multiply(a: &Tensor, b: &Tensor) -> Tensor {
    Tensor::from_array(a.shape(), a.array().multiply(b.array()))
}
