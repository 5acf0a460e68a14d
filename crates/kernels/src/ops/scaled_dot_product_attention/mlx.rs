//! `fast.scaled_dot_product_attention`, once for each sequence.

use std::ops::Range;

use super::Mask;
use crate::Tensor;
use crate::mlx::Array;

pub(super) fn attention(
    [q, k, v]: [&Tensor; 3],
    sequences: &[Range<usize>],
    scale: f32,
    mask: Mask,
) -> Tensor {
    let reach = match mask {
        Mask::Full => (None, None),
        Mask::Causal => (None, Some(0)),
        Mask::Local(reach) => (Some(reach), Some(reach)),
    };
    let one = |rows: &Range<usize>| {
        let part = |x: &Tensor| x.array().slice_rows(rows.start, rows.end);
        Array::attention([&part(q), &part(k), &part(v)], None, scale, reach)
    };
    let shape = [q.shape()[0], q.shape()[1] * v.shape()[2]];
    let mut parts = sequences.iter().filter(|rows| !rows.is_empty()).map(one);
    match parts.next() {
        Some(first) => {
            let rest: Vec<_> = parts.collect();
            Tensor::from_array(&shape, Array::concatenate(first, &rest))
        }
        None => q.device().tensor(&shape, Vec::new()),
    }
}
