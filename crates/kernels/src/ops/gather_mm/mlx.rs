//! In the type of the activations: a stack of another is converted on the way.

use super::Pairs;
use crate::Tensor;
use crate::mlx::Array;

pub(super) fn gather_mm(x: &Tensor, w: &Tensor, pairs: Pairs<'_>) -> Tensor {
    let shape = [pairs.lhs_indices.len(), w.shape()[1]];
    if shape[0] == 0 {
        return x.device().tensor(&shape, Vec::new());
    }
    let x_ = x.array();
    let product = pairs
        .lhs_indices
        .on(x_, |lhs| pairs.rhs_indices.on(x_, |rhs| x_.gather_mm(w.array(), lhs, rhs)));
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
    let all = Array::concatenate(first, &rest);
    let places = Array::indices(all.mlx(), &places);
    Tensor::from_array(shape, all.take(&places, dtype))
}
