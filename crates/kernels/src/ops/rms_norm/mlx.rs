//! `fast.rms_norm`.

use crate::Tensor;

pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32) -> Tensor {
    Tensor::from_array(x.shape(), x.array().rms_norm(weight.array(), eps))
}
