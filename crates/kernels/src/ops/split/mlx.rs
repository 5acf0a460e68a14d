//! `slice`: a view.

use std::ops::Range;

use crate::Tensor;

pub(super) fn columns(x: &Tensor, columns: Range<usize>, shape: &[usize]) -> Tensor {
    Tensor::from_array(shape, x.array().slice_columns(columns.start, columns.end))
}
