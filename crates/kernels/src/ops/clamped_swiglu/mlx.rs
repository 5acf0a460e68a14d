//! MLX has no fused form outside its compiler: a few elementwise operations.

use super::Clamp;
use crate::Tensor;

pub(super) fn clamped_swiglu(gate: &Tensor, up: &Tensor, clamp: Clamp) -> Tensor {
    let product = gate.array().clamped_swiglu(up.array(), clamp.alpha, clamp.limit);
    Tensor::from_array(gate.shape(), product)
}
