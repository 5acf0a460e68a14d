//! Rows are picked before they are converted.

use crate::{Indices, Tensor};

pub(super) fn take(table: &Tensor, indices: Indices<'_>) -> Tensor {
    let array = table.array();
    let rows = indices.on(array, |rows| array.take(rows, array.mlx().activations(table.dtype())));
    Tensor::from_array(&[indices.len(), table.width()], rows)
}
