//! The definition.
#![cfg(test)]

use crate::ops::quantized_matmul::reference::decode_row;
use crate::{QuantizedTensor, Tensor};

pub(super) fn quantized_take(w: &QuantizedTensor, indices: &[u32]) -> Tensor {
    let mut out = vec![0.0; indices.len() * w.columns];
    for (out, &index) in out.chunks_exact_mut(w.columns).zip(indices) {
        decode_row(w, index as usize, out);
    }
    w.weight.device().tensor(&[indices.len(), w.columns], out)
}
