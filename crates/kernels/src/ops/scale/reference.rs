//! The definition.
#![cfg(test)]

use crate::Tensor;

pub(super) fn scale(x: &Tensor, factor: f32) -> Tensor {
    let out = x.to_vec().into_iter().map(|x| x * factor).collect();
    x.device().tensor(x.shape(), out)
}
