//! Rows are picked before they are converted.

use crate::Tensor;

pub(super) fn take(table: &Tensor, indices: &[u32]) -> Tensor {
    let array = table.array();
    let rows = array.take(indices, array.mlx().activations(table.dtype()));
    Tensor::from_array(&[indices.len(), table.width()], rows)
}
