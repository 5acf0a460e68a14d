//! `fast.layer_norm`.

use crate::Tensor;

pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f32) -> Tensor {
    let bias = bias.map(Tensor::array);
    Tensor::from_array(x.shape(), x.array().layer_norm(weight.array(), bias, eps))
}
