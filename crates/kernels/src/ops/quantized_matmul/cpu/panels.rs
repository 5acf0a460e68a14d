//! A weight that lies as products want it: panel after panel, turned over for good.
//!
//! A panel is the scales of its rows, group by group, a number for each lane; the biases, likewise;
//! and the packed codes, word by word, a word for each lane. Each of these begins with a line of the
//! cache, and one panel follows another, so that a product reads memory from its beginning to its
//! end.
#![expect(unsafe_code, reason = "tasks write disjoint panels")]

use std::sync::Arc;

use super::SCRATCH;
use super::weights::{Codes, Weights};
use crate::QuantizedTensor;
use crate::cpu::simd::quantized::{Level, WIDEST};
use crate::cpu::{Cpu, Precision, Region, SharedMut, WeightLayout};

/// Bytes that are worth a task of their own.
const GRAIN: usize = 256 * 1024;

/// All panels of a weight.
#[derive(Debug)]
pub(crate) struct Panels {
    region: Region,
    /// For which vectors they are.
    lanes: usize,
    /// Bytes of a panel, and where in it biases and codes begin.
    bytes: usize,
    biases: usize,
    codes: usize,
}

/// One of them.
#[derive(Clone, Copy)]
pub(super) struct Laid<'a> {
    /// A number for each lane, for each group.
    pub(super) scales: &'a [u8],
    /// As `scales`; empty if there are none.
    pub(super) biases: &'a [u8],
    /// A word for each lane, for each word of a row.
    pub(super) codes: &'a [u8],
}

impl Panels {
    /// The panels of `w`, if `cpu` is to have some and the format has them.
    pub(crate) fn of(cpu: &Arc<Cpu>, w: &QuantizedTensor) -> Option<Self> {
        let (level, w) = (Level::of(cpu.isa()), Weights::new(w));
        let wanted = cpu.weights() == WeightLayout::Panels && cpu.precision() == Precision::Fast;
        // What straddles bytes cannot be cut from words, and what is no integer goes another way.
        let suits = matches!(w.format(), Codes::Affine(2 | 4 | 8) | Codes::E2m1);
        if !wanted || !suits || w.rows() == 0 {
            return None;
        }
        let lanes = level.lanes();
        let part = (w.groups() * lanes * w.scale().size()).next_multiple_of(WIDEST);
        let (biases, codes) = (part, if w.is_affine() { 2 * part } else { part });
        let bytes = codes + (lanes * w.code_bytes()).next_multiple_of(WIDEST);
        let count = w.rows().div_ceil(lanes);
        let fill = |memory: &mut [u8]| {
            let memory = SharedMut::new(memory);
            cpu.pool().run_ranges(count, GRAIN.div_ceil(bytes), |panels| {
                for panel in panels {
                    // SAFETY: each panel is written by one task.
                    let to = unsafe { memory.part(panel * bytes..(panel + 1) * bytes) };
                    let (scales, to) = to.split_at_mut(biases);
                    let (biases, to) = to.split_at_mut(codes - biases);
                    turn_scales(&w, panel * lanes, lanes, [scales, biases]);
                    SCRATCH.with_borrow_mut(|scratch| {
                        scratch.panel.turn(level, &w, panel * lanes);
                        let codes = lanes * w.code_bytes();
                        to[..codes].copy_from_slice(&scratch.panel.bytes()[..codes]);
                    });
                }
            });
        };
        let region = cpu.region(count * bytes, fill).ok()?;
        Some(Self { region, lanes, bytes, biases, codes })
    }

    /// The panel whose first row is `row`, if they are for vectors of so many lanes.
    pub(super) fn panel(&self, lanes: usize, row: usize) -> Option<Laid<'_>> {
        if lanes != self.lanes {
            return None;
        }
        let panel = &self.region.bytes()[row / lanes * self.bytes..][..self.bytes];
        let (scales, rest) = panel.split_at(self.biases);
        let (biases, codes) = rest.split_at(self.codes - self.biases);
        Some(Laid { scales, biases, codes })
    }
}

/// Writes the scales and biases of the rows from `row` on, a number of each row after another; where
/// the weight ends, its last row stands in.
fn turn_scales(w: &Weights<'_>, row: usize, lanes: usize, to: [&mut [u8]; 2]) {
    let size = w.scale().size();
    let [scales, biases] = to;
    for lane in 0..lanes {
        let row = (row + lane).min(w.rows() - 1);
        for (to, from) in [(&mut *scales, w.row_scales(row)), (&mut *biases, w.row_biases(row))] {
            let places = to.chunks_exact_mut(size).skip(lane).step_by(lanes);
            for (to, from) in places.zip(from.chunks_exact(size)) {
                to.copy_from_slice(from);
            }
        }
    }
}
