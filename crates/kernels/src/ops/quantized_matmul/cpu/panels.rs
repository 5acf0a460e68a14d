//! A weight that lies as products want it: panel after panel of [`Blocks`], turned over for good, when
//! it is loaded or when it has turned out to be used.
#![expect(unsafe_code, reason = "tasks write disjoint panels")]

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use half::f16;

use super::blocks::{Blocks, Kept};
use super::weights::{Codes, Weights};
use super::{SCRATCH, along};
use crate::QuantizedTensor;
use crate::cpu::simd::quantized::Level;
use crate::cpu::{Cpu, Precision, Region, SharedMut, WeightLayout};

/// Bytes that are worth a task of their own.
const GRAIN: usize = 256 * 1024;

/// What a product gains by panels that would turn rows over without them, where one of a single row
/// of activations gains 1. Laying a weight out costs forty to a hundred and fifty, as the system
/// comes by memory.
const MOST_GAIN: usize = 5;

/// What is lost before the first weight is laid out in time: more than in the first pass over a
/// prompt, whose end somebody waits for.
const PATIENCE: usize = 8;

/// How many weights lie between those that are laid out in one step, so that no token takes much
/// longer than the one before it, and a short answer pays for little.
const PARTS: usize = 64;

/// A weight that has panels, or will have them.
pub(crate) struct LaidOut {
    /// Those that it has; nothing if there was no memory.
    panels: OnceLock<Option<Panels>>,
    /// What products would have gained by them so far, and how much is enough.
    gain: AtomicUsize,
    enough: usize,
    /// To be called when it has them.
    done: Mutex<Option<Done>>,
    /// What they take of the room that there is.
    _taken: Taken,
}

/// Room that is given back.
struct Taken {
    cpu: Arc<Cpu>,
    bytes: usize,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.cpu.give_room(self.bytes);
    }
}

type Done = Box<dyn FnOnce() + Send>;

impl LaidOut {
    /// The layout of `w`, if `cpu` is to have one and the format has it.
    pub(crate) fn of(cpu: &Arc<Cpu>, w: &QuantizedTensor, done: Done) -> Option<Self> {
        let view = Weights::new(w);
        // What straddles bytes cannot be cut from words, and what is no integer goes another way.
        let suits = matches!(view.format(), Codes::Affine(2 | 4 | 8) | Codes::E2m1);
        if cpu.precision() != Precision::Fast || !suits || view.rows() == 0 {
            return None;
        }
        let (enough, bytes) = match cpu.weights() {
            WeightLayout::InPlace => return None,
            WeightLayout::Panels => (0, 0),
            WeightLayout::InTime { .. } => {
                let bytes = Extents::of(cpu, &view).all();
                (PATIENCE + cpu.take_room(bytes)? % PARTS, bytes)
            }
        };
        let (gain, done) = (AtomicUsize::new(0), Mutex::new(Some(done)));
        let _taken = Taken { cpu: Arc::clone(cpu), bytes };
        let layout = Self { panels: OnceLock::new(), gain, enough, done, _taken };
        layout.meet(cpu, w, 0);
        // Without memory now, it stays where it is.
        layout.panels.get().is_none_or(Option::is_some).then_some(layout)
    }

    /// Takes note that `w`, whose layout this is, is about to meet `m` rows of activations, and lays
    /// it out if it has met enough before.
    pub(super) fn meet(&self, cpu: &Arc<Cpu>, w: &QuantizedTensor, m: usize) {
        if self.panels.get().is_some() {
            return;
        }
        let gain = if m <= along::MOST { m } else { MOST_GAIN };
        if self.gain.fetch_add(gain, Ordering::Relaxed) < self.enough {
            return;
        }
        self.panels.get_or_init(|| {
            let panels = Panels::of(cpu, w)?;
            let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
            done.into_iter().for_each(|done| done());
            Some(panels)
        });
    }

    /// The panels, if they are there.
    pub(super) fn panels(&self) -> Option<&Panels> {
        self.panels.get()?.as_ref()
    }
}

impl fmt::Debug for LaidOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaidOut").field("panels", &self.panels).finish_non_exhaustive()
    }
}

/// All panels of a weight.
#[derive(Debug)]
pub(super) struct Panels {
    region: Region,
    extents: Extents,
}

/// How large panels are.
#[derive(Clone, Copy, Debug)]
struct Extents {
    /// Rows of each: for which vectors they are.
    lanes: usize,
    blocks: Blocks,
    /// Bytes of each.
    bytes: usize,
    /// How many there are.
    count: usize,
}

impl Extents {
    fn of(cpu: &Cpu, w: &Weights<'_>) -> Self {
        let (lanes, blocks) = (Level::of(cpu.isa()).lanes(), Blocks::of(w, Kept::of(w.scale())));
        let bytes = w.groups() * blocks.bytes(lanes);
        Self { lanes, blocks, bytes, count: w.rows().div_ceil(lanes) }
    }

    /// Bytes of all panels.
    fn all(&self) -> usize {
        self.count * self.bytes
    }
}

impl Panels {
    /// The panels of `w`, if there is memory for them.
    fn of(cpu: &Arc<Cpu>, w: &QuantizedTensor) -> Option<Self> {
        let (level, w) = (Level::of(cpu.isa()), Weights::new(w));
        let extents = Extents::of(cpu, &w);
        let Extents { lanes, blocks, bytes, count } = extents;
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
        let region = cpu.region(extents.all(), fill).ok()?;
        Some(Self { region, extents })
    }

    /// The panel whose first row is `row`, and what it is made of, if they are for vectors of so many
    /// lanes.
    pub(super) fn panel(&self, lanes: usize, row: usize) -> Option<(&[u8], Blocks)> {
        let Extents { bytes, blocks, .. } = self.extents;
        if lanes != self.extents.lanes {
            return None;
        }
        Some((&self.region.bytes()[row / lanes * bytes..][..bytes], blocks))
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
