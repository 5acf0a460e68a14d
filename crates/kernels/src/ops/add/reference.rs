//! The definition.
#![cfg(test)]

use crate::Tensor;

pub(super) fn add(a: &Tensor, b: &Tensor) -> Tensor {
    let b = b.to_vec();
    let sums = a.to_vec().iter().zip(b.iter().cycle()).map(|(a, b)| a + b).collect();
    a.device().tensor(a.shape(), sums)
}
