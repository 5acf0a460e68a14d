//! Reads packed rows where they are, and chooses a way by the number of rows of activations.
//!
//! | precision | rows of `x`     | what happens                                                    |
//! | --------- | --------------- | --------------------------------------------------------------- |
//! | fast      | [`along::MOST`] | [`along`]: unpack in registers, dot products along rows         |
//! | fast      | more            | [`tiles`]: a panel of rows is turned over, and met by tiles     |
//! | bf16      | [`along::MOST`] | [`along`], with pairs of `bf16`                                 |
//! | bf16      | more            | [`pairs`]: as tiles, of a panel that is widened to `bf16`       |
//! | exact     | any             | [`exact`]: decode to `f32` a piece at a time                    |
//!
//! 8-bit floats (`mxfp8`) have no integer form, and go the way of `bf16` where others go a fast one.
//!
//! A weight of 2, 4 or 8 bits that lies in [`panels`] is turned over for good, and any number of rows
//! goes the way of [`tiles`]. Unless the device is to leave weights in place, it comes to that from
//! the start, or when it has been multiplied for a while.
//!
//! A row's products do not depend on how many rows go the same way beside it. The ways of few and of
//! many rows sum in another order, and differ in the last bits.

mod activations;
mod along;
mod blocks;
mod each;
mod exact;
mod formats;
mod pairs;
mod panel;
mod panels;
mod scales;
mod tiles;
mod weights;

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use activations::{Layout, Number, Plan, Rounded};
pub(in crate::ops) use each::multiply_each;
use exact::Exact;
use formats::{Format, with_format, with_planes};
use pairs::{Pairs, Widen};
use panel::{Ahead, Panel};
pub(crate) use panels::LaidOut;
use tiles::Tiles;
use weights::Weights;

use crate::cpu::simd::quantized::{Level, dispatch, dispatch_pairs};
use crate::cpu::{Precision, SharedMut};
use crate::{QuantizedTensor, Tensor};

/// Bytes of the weight that are worth a task of their own.
const GRAIN_BYTES: usize = 64 * 1024;

/// Multiplications that are worth a task of their own.
const GRAIN_PRODUCTS: usize = 4 << 20;

/// The fewest tasks that a thread should find, so that none waits long for another.
const TASKS_PER_THREAD: usize = 4;

/// The products with the instructions of `level`, which the machine has.
pub(super) fn multiply<const N: usize>(
    level: Level,
    x: &Tensor,
    weights: [&QuantizedTensor; N],
) -> [Tensor; N] {
    let products = multiply_each(level, &weights.map(|w| (x, w)));
    products.try_into().unwrap_or_else(|_| unreachable!("a product for each weight"))
}

/// How `m` rows of activations are rounded for `w`, unless they are to be taken as they are.
fn plan(precision: Precision, level: Level, w: &Weights<'_>, m: usize) -> Option<Plan> {
    match precision {
        Precision::Exact => None,
        Precision::Bf16 => Some(plan_pairs(level, w, m)),
        Precision::Fast => Some(plan_bytes(level, w, m)),
    }
}

/// How activations are rounded to bytes for `w`, if its codes are integers; else to `bf16`.
fn plan_bytes(level: Level, w: &Weights<'_>, m: usize) -> Plan {
    let (planes, offset) = with_format!(
        w.format(),
        F => (F::PLANES, F::OFFSET),
        otherwise => return plan_pairs(level, w, m)
    );
    let laid = w.panels().is_some_and(|panels| panels.panel(level.lanes(), 0).is_some());
    let layout = if laid { Layout::Tiles(level.tile()) } else { layout(level, m) };
    let number = Number::Byte;
    Plan { number, rows: m, columns: w.columns(), group: w.group(), planes, offset, layout }
}

/// How activations are rounded to `bf16` for `w`.
fn plan_pairs(level: Level, w: &Weights<'_>, m: usize) -> Plan {
    let planes = with_format!(w.format(), F => F::PLANES);
    let (number, layout) = (Number::Bf16, layout(level, m));
    Plan { number, rows: m, columns: w.columns(), group: w.group(), planes, offset: None, layout }
}

fn layout(level: Level, m: usize) -> Layout {
    if m <= along::MOST { Layout::Rows } else { Layout::Tiles(level.tile()) }
}

/// Decodes rows `indices` of `w` into `out`.
pub(in crate::ops) fn decode_rows(w: &QuantizedTensor, indices: &[u32], out: &mut [f32]) {
    let cpu = w.weight.cpu();
    let (level, w) = (Level::of(cpu.isa()), Weights::new(w));
    cpu.pool().run_rows(out, w.columns(), |rows, out| {
        for (out, &index) in out.chunks_exact_mut(w.columns()).zip(&indices[rows]) {
            exact::decode(level, &w, index as usize, 0..w.columns(), out);
        }
    });
}

/// One product.
struct Product<'a, 'b> {
    level: Level,
    w: &'a Weights<'b>,
    x: &'a [f32],
    /// The activations, unless they are to be taken as they are.
    rounded: Option<&'a Rounded>,
    m: usize,
    out: &'a SharedMut<'b, f32>,
}

/// What a thread unpacks into, kept from product to product.
#[derive(Default)]
struct Scratch {
    panel: Panel,
    pairs: Panel,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Product<'_, '_> {
    /// How many tasks there are, and the rows of the weight for each: enough to be worth it, whole
    /// panels, and few enough that each thread finds several tasks.
    fn tasks(&self, threads: usize) -> (usize, usize) {
        let (rows, columns) = (self.w.rows(), self.w.columns().max(1));
        let (wanted, unit) = if self.rounded.is_none() {
            (GRAIN_PRODUCTS / 16 / (self.m * columns), exact::ROWS)
        } else {
            let bytes = GRAIN_BYTES / self.w.row_bytes().max(1);
            ((GRAIN_PRODUCTS / (self.m * columns)).min(bytes), self.level.lanes())
        };
        let most = rows.div_ceil(threads * TASKS_PER_THREAD);
        let grain = wanted.min(most).next_multiple_of(unit).max(unit);
        (rows.div_ceil(grain), grain)
    }

    fn run(&self, rows: Range<usize>) {
        let (level, w) = (self.level, self.w);
        let Some(x) = self.rounded else {
            return Exact { w, x: self.x, out: self.out }.rows(level, rows);
        };
        match (x.plan.number, x.plan.layout) {
            (Number::Bf16, Layout::Rows) => {
                with_format!(w.format(), F => along::along_pairs::<F>(level, w, x, rows, self.out));
            }
            (Number::Bf16, Layout::Tiles(_)) => {
                with_planes!(w.format(), F => self.pairs::<F>(x, rows));
            }
            (Number::Byte, Layout::Rows) => with_format!(
                w.format(),
                F => along::along::<F>(level, w, x, rows, self.out),
                otherwise => unreachable!("no integers")
            ),
            (Number::Byte, Layout::Tiles(_)) => with_planes!(
                w.format(),
                F => self.tiles::<F>(x, rows),
                otherwise => unreachable!("no integers")
            ),
        }
    }

    fn pairs<F: Format>(&self, x: &Rounded, rows: Range<usize>) {
        let Self { level, w, out, .. } = *self;
        let (format, factor) = (PhantomData::<F>, panel::scale_factor::<F>(w));
        SCRATCH.with_borrow_mut(|Scratch { panel, pairs }| {
            for row in rows.step_by(level.lanes()) {
                let blocks = panel.turn(level, w, row);
                let ahead = Ahead::of(level, w, row);
                let (groups, to) = (w.groups(), &mut *pairs);
                let blocks = dispatch(level, Widen { format, panel, blocks, groups, factor, to });
                let (panel, rows) = (&*pairs, w.rows());
                dispatch_pairs(level, Pairs { panel, blocks, x, ahead, row, rows, out });
            }
        });
    }

    fn tiles<F: Format>(&self, x: &Rounded, rows: Range<usize>) {
        let Self { level, w, out, .. } = *self;
        let (format, factor) = (PhantomData::<F>, panel::scale_factor::<F>(w));
        SCRATCH.with_borrow_mut(|Scratch { panel, .. }| {
            for row in rows.step_by(level.lanes()) {
                let laid = w.panels().and_then(|panels| panels.panel(level.lanes(), row));
                let (panel, blocks, ahead) = match laid {
                    Some((panel, blocks)) => {
                        let ahead = Ahead::of_laid(level, panel, blocks, x.plan.rows);
                        (panel, blocks, ahead)
                    }
                    None => {
                        let blocks = panel.turn(level, w, row);
                        (panel.bytes(), blocks, Ahead::of(level, w, row))
                    }
                };
                let rows = w.rows();
                dispatch(level, Tiles { format, panel, blocks, factor, x, ahead, row, rows, out });
            }
        });
    }
}
