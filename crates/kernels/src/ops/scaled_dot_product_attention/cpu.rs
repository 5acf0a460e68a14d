//! Lays out the keys and values of each sequence for [`Attention`].

use std::ops::Range;
use std::sync::Arc;

use super::Mask;
use crate::Tensor;
use crate::cpu::Cpu;
use crate::cpu::attention::{Attention, Batch, Head};
use crate::cpu::simd::attention::{GROUP, Group, Widths};
use crate::cpu::simd::dispatch_pairs;
use crate::cpu::simd::pairs::{Narrow, Weave};

/// Queries in a task: enough to pay for laying out what they look at.
const TOGETHER: usize = 128;

pub(super) struct Operands<'a> {
    pub(super) q: &'a Tensor,
    pub(super) k: &'a Tensor,
    pub(super) v: &'a Tensor,
    pub(super) scale: f32,
    pub(super) mask: Mask,
}

struct Packed<'a> {
    cpu: &'a Arc<Cpu>,
    sequences: &'a [Range<usize>],
    mask: Mask,
    widths: Widths,
    /// `[rows, heads, key]`
    keys: &'a [f32],
    /// `[rows, heads, value]`
    values: &'a [f32],
}

impl Batch for Packed<'_> {
    fn sequences(&self) -> usize {
        self.sequences.len()
    }

    fn rows(&self, sequence: usize) -> Range<usize> {
        self.sequences[sequence].clone()
    }

    fn visible(&self, sequence: usize, row: usize) -> Range<usize> {
        self.mask.visible(row, self.sequences[sequence].len())
    }

    fn group<'a>(&'a self, head: Head, positions: Range<usize>, room: &'a mut [f32]) -> Group<'a> {
        let Widths { heads, group, key, value, unit } = self.widths;
        let heads = heads / group;
        let first = self.sequences[head.sequence].start;
        let row = |position: usize| (first + position) * heads + head.head;
        let (keys, values) = room.split_at_mut(self.widths.group_keys());
        let padded = self.widths.padded();
        if positions.len() < GROUP {
            values.fill(0.0);
        }
        let narrow = |from: &[f32], to: &mut [f32]| {
            dispatch_pairs(self.cpu.isa(), Narrow { from, scale: 1.0, to });
        };
        let mut pairs = [0.0; 128];
        for position in positions.clone() {
            let at = position % GROUP;
            let from = &self.keys[row(position) * key..][..key];
            if unit == 1 {
                let to = keys[at..].iter_mut().step_by(GROUP);
                to.zip(from).for_each(|(to, x)| *to = *x);
                let to = &mut values[at * padded..][..padded];
                to[..value].copy_from_slice(&self.values[row(position) * value..][..value]);
                to[value..].fill(0.0);
                continue;
            }
            for (part, from) in from.chunks(2 * pairs.len()).enumerate() {
                let pairs = &mut pairs[..from.len().div_ceil(2)];
                narrow(from, pairs);
                let to = keys[part * 128 * GROUP + at..].iter_mut().step_by(GROUP);
                to.zip(pairs).for_each(|(to, pair)| *to = *pair);
            }
        }
        if unit == 2 {
            for i in positions.start % GROUP / 2..(positions.end - 1) % GROUP / 2 + 1 {
                let position = positions.start / GROUP * GROUP + 2 * i;
                let of = |position: usize| {
                    let seen = positions.contains(&position);
                    seen.then(|| &self.values[row(position) * value..][..value])
                };
                let to = &mut values[i * padded..][..padded];
                to[value..].fill(0.0);
                let weave = Weave { first: of(position), second: of(position + 1), to };
                dispatch_pairs(self.cpu.isa(), weave);
            }
        }
        Group { keys, values }
    }

    fn lies(&self, _: Head, _: usize) -> Option<Group<'_>> {
        None
    }
}

pub(super) fn attention(operands: &Operands<'_>, sequences: &[Range<usize>]) -> Tensor {
    let Operands { q, k, v, scale, mask } = *operands;
    let (rows, heads, cpu) = (q.shape()[0], q.shape()[1], q.cpu());
    let (key, kv_heads, value) = (q.shape()[2], v.shape()[1], v.shape()[2]);
    let unit = if cpu.multiplies_pairs() { 2 } else { 1 };
    let widths = Widths { heads, group: heads / kv_heads, key, value, unit };
    let mut out = cpu.buffer(rows * heads * value);
    let batch = Packed { cpu, sequences, mask, widths, keys: k.data(), values: v.data() };
    let attention = Attention { cpu, batch: &batch, widths, scale, together: TOGETHER };
    attention.run(q.data(), &mut out, None);
    Tensor::from_buffer(&[rows, heads * value], out)
}
