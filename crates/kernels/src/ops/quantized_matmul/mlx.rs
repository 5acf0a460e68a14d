//! `quantized_matmul`, fused.

use crate::{QuantizedTensor, Tensor};

pub(super) fn quantized_matmul(x: &Tensor, w: &QuantizedTensor) -> Tensor {
    let product = x.array().quantized_matmul(w);
    let product = match w.global_scale {
        // MLX takes no scale of the whole tensor here.
        Some(scale) => product.scale(scale / 2688.0),
        None => product,
    };
    Tensor::from_array(&[x.shape()[0], w.rows], product)
}
