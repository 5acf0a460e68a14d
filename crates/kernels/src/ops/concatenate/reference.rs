//! The definition.
#![cfg(test)]

use crate::Tensor;

pub(super) fn concatenate(parts: &[&Tensor]) -> Vec<f32> {
    let all: Vec<_> = parts.iter().map(|part| (part.to_vec(), part.width())).collect();
    let mut out = Vec::new();
    for row in 0..parts[0].rows() {
        for (numbers, width) in &all {
            out.extend_from_slice(&numbers[row * width..][..*width]);
        }
    }
    out
}
