//! One product for each matrix that is chosen, of all rows that choose it, and all of them in one
//! region of the threads: a token that meets eight matrices costs one hand-over, not eight.

use std::collections::BTreeMap;

use crate::cpu::simd::quantized::Level;
use crate::ops::gather_mm::{scatter, slice};
use crate::ops::quantized_matmul::multiply_each;
use crate::ops::{self, Gather};
use crate::{QuantizedTensor, Tensor};

pub(super) fn gather_qmm(
    x: &Tensor,
    w: &QuantizedTensor,
    matrices: usize,
    gather: Gather<'_>,
) -> Tensor {
    let (cpu, n) = (x.cpu(), w.rows / matrices);
    let groups = gather.by_matrix();
    // Rows that several matrices meet alike are gathered, and rounded, once.
    let mut gathered: BTreeMap<Vec<u32>, Tensor> = BTreeMap::new();
    let products: Vec<_> = groups
        .iter()
        .map(|(&matrix, pairs)| {
            let rows = gather.rows(pairs);
            let x = gathered.entry(rows).or_insert_with_key(|rows| ops::take(x, rows));
            (x.clone(), one(w, n, matrix as usize))
        })
        .collect();
    let mut out = cpu.buffer(gather.lhs_indices.len() * n);
    let pairs: Vec<_> = products.iter().map(|(x, w)| (x, w)).collect();
    let products = multiply_each(Level::of(cpu.isa()), &pairs);
    for (y, pairs) in products.iter().zip(groups.values()) {
        scatter(y, pairs, &mut out);
    }
    Tensor::from_buffer(&[gather.lhs_indices.len(), n], out)
}

/// Matrix `matrix` of the stack, where it lies.
fn one(w: &QuantizedTensor, n: usize, matrix: usize) -> QuantizedTensor {
    let part = |tensor: &Tensor| {
        let width = tensor.width();
        let bytes = n * width * tensor.dtype().size();
        slice(tensor, &[n, width], matrix * bytes..(matrix + 1) * bytes)
    };
    QuantizedTensor {
        rows: n,
        weight: part(&w.weight),
        scales: part(&w.scales),
        biases: w.biases.as_ref().map(part),
        ..*w
    }
}
