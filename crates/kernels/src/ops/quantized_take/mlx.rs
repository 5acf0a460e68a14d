//! Packed rows are picked, and only those decoded.

use crate::mlx::Array;
use crate::{Indices, QuantizedTensor, Tensor};

pub(super) fn quantized_take(w: &QuantizedTensor, indices: Indices<'_>) -> Tensor {
    let dtype = w.weight.array().mlx().activations(w.scales.dtype());
    let rows = indices.on(w.weight.array(), |rows| Array::quantized_take(w, rows, dtype));
    let rows = match w.global_scale {
        Some(scale) => rows.scale(scale / 2688.0),
        None => rows,
    };
    Tensor::from_array(&[indices.len(), w.columns], rows)
}
