//! The definition.
#![cfg(test)]

use crate::Tensor;

pub(super) fn slice_update(x: &Tensor, updates: &[(usize, Tensor)]) -> Vec<f32> {
    let mut out = x.to_vec();
    for (start, update) in updates {
        for (i, value) in update.to_vec().into_iter().enumerate() {
            out[start * x.width() + i] = value;
        }
    }
    out
}
