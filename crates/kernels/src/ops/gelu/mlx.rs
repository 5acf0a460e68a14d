//! MLX has no fused form outside its compiler: a few elementwise operations. The quick form is one of
//! SiLU: `x s(cx) = (cx) s(cx) / c`.

use super::Gelu;
use crate::mlx::Array;
use crate::{DType, Tensor};

pub(super) fn gelu(x: &Tensor, form: Gelu) -> Tensor {
    let array = x.array();
    let y = match form {
        Gelu::Erf => array.gelu(false),
        Gelu::Tanh => array.gelu(true),
        Gelu::Quick => {
            const FACTOR: f32 = 1.702;
            let one = Array::from_bytes(array.mlx(), &[1], DType::F32, &1f32.to_le_bytes());
            let wide = array.as_type(DType::F32).scale(FACTOR);
            wide.swiglu(&one).scale(FACTOR.recip()).as_type(x.dtype())
        }
    };
    Tensor::from_array(x.shape(), y)
}
