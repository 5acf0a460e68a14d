//! In the type of the activations: a stack of another is converted on the way.

use super::Gather;
use crate::Tensor;
use crate::mlx::Array;

pub(super) fn gather_mm(x: &Tensor, w: &Tensor, gather: Gather<'_>) -> Tensor {
    let shape = [gather.lhs_indices.len(), w.shape()[1]];
    if shape[0] == 0 {
        return x.device().tensor(&shape, Vec::new());
    }
    let product = x.array().gather_mm(w.array(), gather.lhs_indices, gather.rhs_indices);
    Tensor::from_array(&shape, product)
}

/// The rows of `products`, each at the number of its pair.
pub(super) fn in_order<'a>(
    products: Vec<Tensor>,
    groups: impl Iterator<Item = &'a Vec<usize>>,
    shape: &[usize],
) -> Tensor {
    let mut places = vec![0; shape[0]];
    for (row, &pair) in groups.flatten().enumerate() {
        places[pair] = row as u32;
    }
    let dtype = products[0].dtype();
    let mut parts = products.iter().map(|y| y.array().reshape(y.shape()));
    let Some(first) = parts.next() else { unreachable!("checked") };
    let rest: Vec<_> = parts.collect();
    Tensor::from_array(shape, Array::concatenate(first, &rest).take(&places, dtype))
}
