//! The decoder of the product, on the rows that are asked for.

use crate::ops::quantized_matmul::decode_rows;
use crate::{QuantizedTensor, Tensor};

pub(super) fn quantized_take(w: &QuantizedTensor, indices: &[u32]) -> Tensor {
    let mut out = w.weight.cpu().buffer(indices.len() * w.columns);
    decode_rows(w, indices, &mut out);
    Tensor::from_buffer(&[indices.len(), w.columns], out)
}
