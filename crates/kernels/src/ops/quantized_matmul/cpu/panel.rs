//! What all products with panels share. As many rows of the weight as a vector has lanes make a
//! *panel*; a lane adds up the product of its row with a row of activations, group by group:
//!
//! `total = fma(dot, scale * x_scale, total)`, then `total = fma(bias, x_sum, total)`.
//!
//! Nothing else is rounded, so a product is the same to the bit whatever it is computed beside.
#![expect(unsafe_code, reason = "scales are walked by pointer, and tasks write disjoint columns")]

use super::blocks::{Blocks, Kept};
use super::formats::{Format, load};
use super::scales::TurnScales;
use super::weights::{Codes, Weights};
use crate::cpu::simd::quantized::{CodeKernel, CodeSimd, Level, WIDEST, dispatch};
use crate::cpu::{Foresight, SharedMut};

/// 64 bytes that begin where a line of the cache does.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct CacheLine([u8; WIDEST]);

impl CacheLine {
    pub(super) const ZERO: Self = Self([0; WIDEST]);
}

/// A vector of each row of a panel, turned over: vector `i` has lane `i` of each row. The
/// expression is the vector of row `$i`.
///
/// Written out, since these must become registers; a macro, since a closure would be compiled
/// without the instructions.
macro_rules! turn {
    ($simd:expr, $i:ident => $load:expr) => {{
        let lanes = $crate::ops::quantized_matmul::cpu::panel::lanes($simd);
        macro_rules! row {
            ($number:literal) => {{
                let $i = $number % lanes;
                $load
            }};
        }
        $simd.transpose([
            row!(0),
            row!(1),
            row!(2),
            row!(3),
            row!(4),
            row!(5),
            row!(6),
            row!(7),
            row!(8),
            row!(9),
            row!(10),
            row!(11),
            row!(12),
            row!(13),
            row!(14),
            row!(15),
        ])
    }};
}
pub(super) use turn;

/// Does something with each of as many vectors as there are lanes, and its number.
macro_rules! for_each_lane {
    ($simd:expr, $turned:expr, ($i:ident, $vector:ident) => $do:expr) => {{
        let (lanes, turned) = ($crate::ops::quantized_matmul::cpu::panel::lanes($simd), $turned);
        macro_rules! lane {
            ($number:literal) => {
                if $number < lanes {
                    let ($i, $vector) = ($number, turned[$number]);
                    $do
                }
            };
        }
        lane!(0);
        lane!(1);
        lane!(2);
        lane!(3);
        lane!(4);
        lane!(5);
        lane!(6);
        lane!(7);
        lane!(8);
        lane!(9);
        lane!(10);
        lane!(11);
        lane!(12);
        lane!(13);
        lane!(14);
        lane!(15);
    }};
}
pub(super) use for_each_lane;

/// How many lanes a vector has.
#[inline(always)]
pub(super) fn lanes<S: CodeSimd>(_: S) -> usize {
    S::LANES
}

/// Calls `$kernel.tile::<S, HEIGHT>` for each tile of its activations; memory is asked during the
/// first.
macro_rules! each_tile {
    ($kernel:ident, $simd:ident) => {{
        let (plan, mut ahead) = ($kernel.x.plan, $kernel.ahead);
        for tile in 0..plan.tiles() {
            let rows = plan.tile(tile);
            match rows.len() {
                1 => $kernel.tile::<S, 1>($simd, rows.start, ahead),
                2 => $kernel.tile::<S, 2>($simd, rows.start, ahead),
                3 => $kernel.tile::<S, 3>($simd, rows.start, ahead),
                4 => $kernel.tile::<S, 4>($simd, rows.start, ahead),
                5 if S::TILE >= 5 => $kernel.tile::<S, 5>($simd, rows.start, ahead),
                6 if S::TILE >= 6 => $kernel.tile::<S, 6>($simd, rows.start, ahead),
                7 if S::TILE >= 7 => $kernel.tile::<S, 7>($simd, rows.start, ahead),
                8 if S::TILE >= 8 => $kernel.tile::<S, 8>($simd, rows.start, ahead),
                9 if S::TILE >= 9 => $kernel.tile::<S, 9>($simd, rows.start, ahead),
                10 if S::TILE >= 10 => $kernel.tile::<S, 10>($simd, rows.start, ahead),
                11 if S::TILE >= 11 => $kernel.tile::<S, 11>($simd, rows.start, ahead),
                12 if S::TILE >= 12 => $kernel.tile::<S, 12>($simd, rows.start, ahead),
                rows => unreachable!("a tile of {rows} rows"),
            }
            ahead.end();
        }
    }};
}
pub(super) use each_tile;

/// The bytes between what is read of panels that were laid out and what is asked of memory.
const DISTANCE: usize = 8192;

/// How many rows of activations make it worth to ask for panels that were laid out where foresight
/// is the processor's own. With one, memory is the limit, and foresight gets more of it than
/// questions do; with more, it does not look far enough past the work.
const WORTH_ASKING: usize = 2;

/// What is asked of memory while a panel is multiplied: the next one. Asked for while a panel is
/// turned over, it would come no faster, and nothing while panels are multiplied.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    from: *const u8,
    foresight: Foresight,
    /// For each group.
    lines: usize,
    /// The bytes between those of one group and of the next.
    step: usize,
}

impl Ahead {
    /// What follows the panel of `w` from `row` on, as long as it.
    pub(super) fn of(level: Level, w: &Weights<'_>, row: usize) -> Self {
        let bytes = level.lanes() * w.code_bytes();
        let lines = bytes.div_ceil(w.groups().max(1)).div_ceil(WIDEST);
        let from = w.row(row).as_ptr().wrapping_add(bytes);
        Self { from, foresight: Foresight::here(), lines, step: lines * WIDEST }
    }

    /// What follows in a row of panels, one of which is to meet so many rows of activations.
    pub(super) fn of_laid(level: Level, panel: &[u8], blocks: Blocks, m: usize) -> Self {
        let step = blocks.bytes(level.lanes());
        let foresight = Foresight::here();
        let is_left_alone = foresight == Foresight::Own && m < WORTH_ASKING;
        let lines = if is_left_alone { 0 } else { step.div_ceil(WIDEST) };
        Self { from: panel.as_ptr().wrapping_add(DISTANCE), foresight, lines, step }
    }

    /// Asks for as much as belongs to the next group.
    #[inline(always)]
    pub(super) fn ask<S: CodeSimd>(&mut self, simd: S) {
        for line in 0..self.lines {
            simd.prefetch(self.foresight, self.from.wrapping_add(line * WIDEST));
        }
        self.from = self.from.wrapping_add(self.step);
    }

    /// Nothing more.
    #[inline(always)]
    pub(super) fn end(&mut self) {
        self.lines = 0;
    }
}

/// Memory for blocks, in lines of the cache, used again and again.
#[derive(Default)]
pub(super) struct Panel(Vec<CacheLine>);

impl Panel {
    /// Turns over the rows of `w` from `row` on, into blocks with scales in `f32`: a vector of codes
    /// has a packed word of each row, or four codes where they straddle bytes. Where the weight ends,
    /// its last row stands in.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub(super) fn turn(&mut self, level: Level, w: &Weights<'_>, row: usize) -> Blocks {
        let blocks = Blocks::of(w, Kept::F32);
        // Whole squares of lanes are written.
        let room = w.groups().next_multiple_of(2 * level.lanes()) * blocks.bytes(level.lanes());
        let panel = self.room(room);
        match w.format() {
            Codes::Affine(3) => dispatch(level, Turn::<3> { w, row, blocks, panel }),
            Codes::Affine(5) => dispatch(level, Turn::<5> { w, row, blocks, panel }),
            Codes::Affine(6) => dispatch(level, Turn::<6> { w, row, blocks, panel }),
            Codes::Affine(_) | Codes::E2m1 | Codes::E4m3 => {
                dispatch(level, Turn::<0> { w, row, blocks, panel });
            }
        }
        dispatch(level, TurnScales { w, row, blocks, panel });
        blocks
    }

    /// The blocks, and room behind them.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: lines are bytes.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * WIDEST) }
    }

    /// Room for `count` bytes, and what is in them.
    pub(super) fn room(&mut self, count: usize) -> &mut [u8] {
        let lines = count.div_ceil(WIDEST);
        if self.0.len() < lines {
            self.0.resize(lines, CacheLine::ZERO);
        }
        // SAFETY: lines are bytes.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), count) }
    }
}

/// `BITS` is the width of codes that straddle bytes, or zero.
struct Turn<'a, 'b, const BITS: usize> {
    w: &'a Weights<'b>,
    row: usize,
    blocks: Blocks,
    panel: &'a mut [u8],
}

impl<const BITS: usize> CodeKernel for Turn<'_, '_, BITS> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        let Self { w, row, blocks, panel } = self;
        let (rows, bytes) = (w.rows_from(row), w.code_bytes());
        let step = if BITS == 0 { S::WIDTH } else { S::WIDTH * BITS / 8 };
        let count = bytes.div_ceil(step) * S::LANES;
        let (head, shift) = (blocks.head(S::LANES), blocks.vectors.trailing_zeros());
        assert!(blocks.vectors.is_power_of_two(), "vectors of a block");
        let heads = count.div_ceil(blocks.vectors) * head;
        assert!(panel.len() >= heads + count * S::WIDTH, "room for the codes of a panel");
        let mut number = 0;
        for at in (0..bytes).step_by(step) {
            let readable = bytes - at;
            // SAFETY: `readable` bytes follow in each row, and there is room for as many vectors as
            // there are lanes in each step, each behind the heads of its block and of those before
            // it. No load reads more than a vector: with a constant, none has a choice to make.
            unsafe {
                let turned = if readable >= S::WIDTH {
                    turn!(simd, i => load::<S, BITS>(simd, rows[i].add(at), S::WIDTH))
                } else {
                    turn!(simd, i => load::<S, BITS>(simd, rows[i].add(at), readable))
                };
                let to = panel.as_mut_ptr().add(head + number * S::WIDTH);
                for_each_lane!(simd, turned, (i, words) => {
                    let heads = ((number + i) >> shift) * head;
                    simd.store(to.add(heads + i * S::WIDTH), words);
                });
                number += S::LANES;
            }
        }
    }
}

/// What the stored scales are multiplied with, where whole codes stand for fractions too.
#[inline(always)]
pub(super) fn scale_factor<F: Format>(w: &Weights<'_>) -> f32 {
    if F::OFFSET.is_some() { 0.5 * w.factor() } else { w.factor() }
}

/// Writes the products of the panel from `row` on with the activations from `first` on.
#[inline(always)]
pub(super) fn finish<S: CodeSimd, const T: usize>(
    simd: S,
    totals: [S::Floats; T],
    (first, row): (usize, usize),
    rows: usize,
    out: &SharedMut<'_, f32>,
) {
    let width = S::LANES.min(rows - row);
    for (t, total) in totals.into_iter().enumerate() {
        let at = (first + t) * rows + row;
        // SAFETY: each task has panels of its own.
        let out = unsafe { out.part(at..at + width) };
        if width == S::LANES {
            // SAFETY: there is room for a vector.
            unsafe { simd.store_floats(out.as_mut_ptr(), total) };
        } else {
            let mut all = [0.0; WIDEST / 4];
            // SAFETY: there is room for a vector.
            unsafe { simd.store_floats(all.as_mut_ptr(), total) };
            out.copy_from_slice(&all[..width]);
        }
    }
}
