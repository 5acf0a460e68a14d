//! Reads packed rows where they are, and chooses a way by the number of rows of activations.
//!
//! | precision | rows of `x`     | what happens                                               |
//! | --------- | --------------- | ---------------------------------------------------------- |
//! | fast      | [`along::MOST`] | [`along`]: unpack in registers, dot products along rows    |
//! | fast      | [`few::MOST`]   | [`few`]: a panel of rows is turned over in registers       |
//! | fast      | more            | [`many`]: a panel of rows is unpacked once, in the cache   |
//! | bf16      | any             | [`pairs`]: a panel of rows is unpacked once, to `bf16`     |
//! | exact     | any             | [`exact`]: decode to `f32` a piece at a time               |
//!
//! 8-bit floats (`mxfp8`) have no integer form, and go the way of `bf16` where others go a fast one.
//!
//! [`few`] and [`many`] add the same numbers in the same order, so a row's products do not depend
//! on which of them is taken; nor do they in any of the other ways.

mod activations;
mod along;
mod each;
mod exact;
mod few;
mod formats;
mod many;
mod pairs;
mod panel;
mod scales;
mod weights;

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use activations::{Layout, Number, Plan, Rounded};
pub(in crate::ops) use each::multiply_each;
use exact::Exact;
use few::Few;
use formats::{Format, with_format};
use many::Many;
use pairs::Pairs;
use panel::Panel;
use scales::PanelScales;
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
    let layout = match m {
        ..=along::MOST => Layout::Rows,
        _ if are_few(level, m) => Layout::Tiles(m),
        _ => Layout::Tiles(level.tile()),
    };
    let number = Number::Byte;
    Plan { number, rows: m, columns: w.columns(), group: w.group(), planes, offset, layout }
}

/// How activations are rounded to `bf16` for `w`.
fn plan_pairs(level: Level, w: &Weights<'_>, m: usize) -> Plan {
    let planes = with_format!(w.format(), F => F::PLANES);
    let (number, layout) = (Number::Bf16, Layout::Tiles(level.tile()));
    Plan { number, rows: m, columns: w.columns(), group: w.group(), planes, offset: None, layout }
}

/// Whether `m` rows of activations take the way of a few.
fn are_few(level: Level, m: usize) -> bool {
    m <= few::MOST.min(level.tile())
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
    scales: PanelScales,
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
        match self.rounded {
            None => Exact { w, x: self.x, out: self.out }.rows(level, rows),
            Some(x) if x.plan.number == Number::Bf16 => {
                with_format!(w.format(), F => self.pairs::<F>(x, rows));
            }
            Some(x) => with_format!(
                w.format(),
                F => self.fast::<F>(x, rows),
                otherwise => unreachable!("no integers")
            ),
        }
    }

    fn pairs<F: Format>(&self, x: &Rounded, rows: Range<usize>) {
        let Self { level, w, out, .. } = *self;
        let (factor, offset) = (panel::scale_factor::<F>(w), pairs::offset::<F>());
        SCRATCH.with_borrow_mut(|Scratch { panel, scales }| {
            for row in rows.step_by(level.lanes()) {
                scales.read(level, w, row, factor);
                panel.unpack::<F>(level, w, row, Number::Bf16);
                let (panel, rows, biased) = (&*panel, w.rows(), F::BIASED);
                dispatch_pairs(level, Pairs { panel, scales, biased, offset, x, row, rows, out });
            }
        });
    }

    fn fast<F: Format>(&self, x: &Rounded, rows: Range<usize>) {
        let Self { level, w, m, out, .. } = *self;
        if m <= along::MOST {
            return along::along::<F>(level, w, x, rows, out);
        }
        let factor = panel::scale_factor::<F>(w);
        SCRATCH.with_borrow_mut(|Scratch { panel, scales }| {
            for row in rows.step_by(level.lanes()) {
                scales.read(level, w, row, factor);
                if are_few(level, m) {
                    let format = PhantomData::<F>;
                    dispatch(level, Few { format, w, x, row, scales, out });
                    continue;
                }
                panel.unpack::<F>(level, w, row, Number::Byte);
                let (panel, rows) = (&*panel, w.rows());
                match (F::WIDE, F::OFFSET) {
                    (true, _) => {
                        dispatch(level, Many::<true, false> { panel, scales, x, row, rows, out });
                    }
                    (false, None) => {
                        dispatch(level, Many::<false, false> { panel, scales, x, row, rows, out });
                    }
                    (false, Some(_)) => {
                        dispatch(level, Many::<false, true> { panel, scales, x, row, rows, out });
                    }
                }
            }
        });
    }
}
