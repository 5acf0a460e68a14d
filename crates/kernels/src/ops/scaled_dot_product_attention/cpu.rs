//! Hands the rows of each sequence to [`attend`].

use std::ops::Range;

use super::Mask;
use crate::Tensor;
use crate::cpu::attention::{Batch, attend};
use crate::cpu::simd::attention::{Numbers, Past, Run, Widths};

pub(super) struct Operands<'a> {
    pub(super) q: &'a Tensor,
    pub(super) k: &'a Tensor,
    pub(super) v: &'a Tensor,
    pub(super) scale: f32,
    pub(super) mask: Mask,
}

struct Packed<'a> {
    sequences: &'a [Range<usize>],
    mask: Mask,
    keys: Heads<'a>,
    values: Heads<'a>,
}

/// `[rows, heads, width]`.
#[derive(Clone, Copy)]
struct Heads<'a> {
    data: &'a [f32],
    heads: usize,
    width: usize,
}

/// One head of one sequence.
#[derive(Clone, Copy)]
struct Head<'a> {
    keys: Heads<'a>,
    values: Heads<'a>,
    head: usize,
    first: usize,
    len: usize,
}

impl Heads<'_> {
    fn run(&self, row: usize, rows: usize, head: usize) -> Run<'_> {
        let stride = self.heads * self.width;
        let numbers = Numbers::F32(&self.data[row * stride + head * self.width..]);
        Run { numbers, rows, stride }
    }
}

impl Past for Head<'_> {
    #[inline(always)]
    fn keys(&self, at: usize) -> Run<'_> {
        self.keys.run(self.first + at, self.len - at, self.head)
    }

    #[inline(always)]
    fn values(&self, at: usize) -> Run<'_> {
        self.values.run(self.first + at, self.len - at, self.head)
    }
}

impl Batch for Packed<'_> {
    type Past<'a>
        = Head<'a>
    where
        Self: 'a;

    fn sequences(&self) -> usize {
        self.sequences.len()
    }

    fn rows(&self, sequence: usize) -> Range<usize> {
        self.sequences[sequence].clone()
    }

    fn visible(&self, sequence: usize, row: usize) -> Range<usize> {
        self.mask.visible(row, self.sequences[sequence].len())
    }

    fn past(&self, sequence: usize, head: usize) -> Head<'_> {
        let Range { start, end } = self.sequences[sequence];
        let (keys, values) = (self.keys, self.values);
        Head { keys, values, head, first: start, len: end - start }
    }
}

pub(super) fn attention(operands: &Operands<'_>, sequences: &[Range<usize>]) -> Tensor {
    let Operands { q, k, v, scale, mask } = *operands;
    let (rows, heads) = (q.shape()[0], q.shape()[1]);
    let (key, kv_heads, value) = (q.shape()[2], v.shape()[1], v.shape()[2]);
    let widths = Widths { heads, group: heads / kv_heads, key, value };
    let mut out = q.cpu().buffer(rows * heads * value);
    let keys = Heads { data: k.data(), heads: kv_heads, width: key };
    let values = Heads { data: v.data(), heads: kv_heads, width: value };
    let batch = Packed { sequences, mask, keys, values };
    attend(q.cpu(), &batch, widths, scale, q.data(), &mut out);
    Tensor::from_buffer(&[rows, heads * value], out)
}
