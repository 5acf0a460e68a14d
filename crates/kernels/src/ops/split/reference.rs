//! The definition.
#![cfg(test)]

use std::ops::Range;

use crate::Tensor;

pub(super) fn columns(x: &Tensor, columns: Range<usize>) -> Vec<f32> {
    let kept = x.to_vec().into_iter().enumerate();
    let kept = kept.filter(|(i, _)| columns.contains(&(i % x.width())));
    kept.map(|(_, x)| x).collect()
}
