//! A weight that lies as products want it: panel after panel of [`Blocks`], turned over for good.
#![expect(unsafe_code, reason = "tasks write disjoint panels")]

use std::sync::Arc;

use half::f16;

use super::SCRATCH;
use super::blocks::{Blocks, Kept};
use super::weights::{Codes, Weights};
use crate::QuantizedTensor;
use crate::cpu::simd::quantized::Level;
use crate::cpu::{Cpu, Precision, Region, SharedMut, WeightLayout};

/// Bytes that are worth a task of their own.
const GRAIN: usize = 256 * 1024;

/// All panels of a weight.
#[derive(Debug)]
pub(crate) struct Panels {
    region: Region,
    /// For which vectors they are.
    lanes: usize,
    /// Bytes of a panel.
    bytes: usize,
    blocks: Blocks,
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
        let (lanes, blocks) = (level.lanes(), Blocks::of(&w, Kept::of(w.scale())));
        let bytes = w.groups() * blocks.bytes(lanes);
        let count = w.rows().div_ceil(lanes);
        let fill = |memory: &mut [u8]| {
            let memory = SharedMut::new(memory);
            cpu.pool().run_ranges(count, GRAIN.div_ceil(bytes.max(1)), |panels| {
                SCRATCH.with_borrow_mut(|scratch| {
                    for panel in panels {
                        // SAFETY: each panel is written by one task.
                        let to = unsafe { memory.part(panel * bytes..(panel + 1) * bytes) };
                        let turned = scratch.panel.turn(level, &w, panel * lanes);
                        copy((scratch.panel.bytes(), turned), (to, blocks), lanes);
                    }
                });
            });
        };
        let region = cpu.region(count * bytes, fill).ok()?;
        Some(Self { region, lanes, bytes, blocks })
    }

    /// The panel whose first row is `row`, and what it is made of, if they are for vectors of so many
    /// lanes.
    pub(super) fn panel(&self, lanes: usize, row: usize) -> Option<(&[u8], Blocks)> {
        if lanes != self.lanes {
            return None;
        }
        let panel = &self.region.bytes()[row / lanes * self.bytes..][..self.bytes];
        Some((panel, self.blocks))
    }
}

/// Copies the blocks of a panel whose scales are `f32`, to as many whose scales are what those of the
/// weight are.
fn copy(from: (&[u8], Blocks), to: (&mut [u8], Blocks), lanes: usize) {
    let ((from, turned), (to, blocks)) = (from, to);
    let from = from.chunks_exact(turned.bytes(lanes));
    for (from, to) in from.zip(to.chunks_exact_mut(blocks.bytes(lanes))) {
        let (from, codes) = from.split_at(turned.head(lanes));
        let (to, to_codes) = to.split_at_mut(blocks.head(lanes));
        to_codes.copy_from_slice(codes);
        let numbers = from.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
        match blocks.kept {
            Kept::F32 => to.copy_from_slice(from),
            Kept::F16 => {
                for (to, number) in to.as_chunks_mut().0.iter_mut().zip(numbers) {
                    *to = f16::from_f32(number).to_le_bytes();
                }
            }
            Kept::BF16 => {
                for (to, number) in to.as_chunks_mut().0.iter_mut().zip(numbers) {
                    *to = ((number.to_bits() >> 16) as u16).to_le_bytes();
                }
            }
        }
    }
}
