//! MLX has no fused form outside its compiler: a few elementwise operations.

use super::Gelu;
use crate::Tensor;

pub(super) fn gelu(x: &Tensor, form: Gelu) -> Tensor {
    Tensor::from_array(x.shape(), x.array().gelu(form == Gelu::Tanh))
}
