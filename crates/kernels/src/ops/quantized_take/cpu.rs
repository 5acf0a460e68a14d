//! A lookup touches a few rows: decoding them one element at a time costs nothing that shows.

use crate::ops::quantized_matmul::reference::decode_row;
use crate::{QuantizedTensor, Tensor};

pub(super) fn quantized_take(w: &QuantizedTensor, indices: &[u32]) -> Tensor {
    let mut out = w.weight.cpu().buffer(indices.len() * w.columns);
    w.weight.cpu().pool().run_rows(&mut out, w.columns, |rows, out| {
        for (out, &index) in out.chunks_exact_mut(w.columns).zip(&indices[rows]) {
            decode_row(w, index as usize, out);
        }
    });
    Tensor::from_buffer(&[indices.len(), w.columns], out)
}
