//! The definition.
#![cfg(test)]

use super::Gelu;
use crate::Tensor;

pub(super) fn gelu(x: &Tensor, form: Gelu) -> Tensor {
    let out = x.to_vec().into_iter().map(|x| form.apply(x)).collect();
    x.device().tensor(x.shape(), out)
}

impl Gelu {
    pub(super) fn apply(self, x: f32) -> f32 {
        match self {
            Self::Erf => 0.5 * x * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2)),
            Self::Tanh => {
                let root = (2.0 / std::f32::consts::PI).sqrt();
                0.5 * x * (1.0 + (root * (x + 0.044715 * x * x * x)).tanh())
            }
            Self::Quick => x / (1.0 + (-1.702 * x).exp()),
        }
    }
}
