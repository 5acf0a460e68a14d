//! MLX has no fused form outside its compiler: three elementwise operations.

use crate::Tensor;

pub(super) fn swiglu(gate: &Tensor, up: &Tensor) -> Tensor {
    Tensor::from_array(gate.shape(), gate.array().swiglu(up.array()))
}
