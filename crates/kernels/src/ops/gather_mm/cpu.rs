//! One product for each matrix that is chosen, of all rows that choose it. A single row meets its
//! matrix where it lies.

use super::Gather;
use crate::tensor::Storage;
use crate::{Tensor, ops};

pub(super) fn gather_mm(x: &Tensor, w: &Tensor, gather: Gather<'_>) -> Tensor {
    let &[_, n, k] = w.shape() else { unreachable!("checked") };
    let mut out = x.cpu().buffer(gather.lhs_indices.len() * n);
    for (matrix, pairs) in gather.by_matrix() {
        let bytes = n * k * w.dtype().size();
        let part = matrix as usize * bytes..(matrix as usize + 1) * bytes;
        let one = slice(w, &[n, k], part);
        let y = ops::matmul(&ops::take(x, &gather.rows(&pairs)), &one);
        scatter(&y, &pairs, &mut out);
    }
    Tensor::from_buffer(&[gather.lhs_indices.len(), n], out)
}

/// Some bytes of a mapped weight, as a tensor of their own.
pub(in crate::ops) fn slice(w: &Tensor, shape: &[usize], part: std::ops::Range<usize>) -> Tensor {
    let Storage::Mapped(cpu, bytes) = w.storage() else { panic!("a stack that is not mapped") };
    Tensor::from_parts(shape, w.dtype(), Storage::mapped(cpu, bytes.slice(part)))
}

/// Copies the rows of `y` to those that they belong to.
pub(in crate::ops) fn scatter(y: &Tensor, pairs: &[usize], out: &mut [f32]) {
    let n = y.width();
    for (from, &pair) in y.data().chunks_exact(n.max(1)).zip(pairs) {
        out[pair * n..][..n].copy_from_slice(from);
    }
}

/// The rows of `products`, each at the number of its pair.
pub(super) fn in_order<'a>(
    products: &[Tensor],
    groups: impl Iterator<Item = &'a Vec<usize>>,
    shape: &[usize],
) -> Tensor {
    let mut out = products[0].cpu().buffer(shape.iter().product());
    products.iter().zip(groups).for_each(|(y, pairs)| scatter(y, pairs, &mut out));
    Tensor::from_buffer(shape, out)
}
