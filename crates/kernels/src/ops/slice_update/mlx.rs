//! What is kept and what is new, one after the other.

use crate::Tensor;

use crate::mlx::Array;

pub(super) fn slice_update(x: &Tensor, updates: &[(usize, Tensor)]) -> Tensor {
    let (mut parts, mut at) = (Vec::new(), 0);
    for (start, update) in updates {
        if at < *start {
            parts.push(x.array().slice_rows(at, *start));
        }
        if update.rows() > 0 {
            parts.push(update.array().as_type(x.dtype()));
        }
        at = start + update.rows();
    }
    if at < x.rows() {
        parts.push(x.array().slice_rows(at, x.rows()));
    }
    let parts: Vec<&Array> = parts.iter().collect();
    if parts.is_empty() {
        return x.clone();
    }
    Tensor::from_array(x.shape(), Array::joined(&parts, 0))
}
