//! What all products with panels share. As many rows of the weight as a vector has lanes make a
//! *panel*; a lane adds up the product of its row with a row of activations, group by group:
//!
//! `total = fma(dot, scale * x_scale, total)`, then `total = fma(bias, x_sum, total)`.
//!
//! Nothing else is rounded, so a product is the same to the bit whatever it is computed beside.
#![expect(unsafe_code, reason = "scales are walked by pointer, and tasks write disjoint columns")]

use std::marker::PhantomData;

use super::activations::{Number, Rounded};
use super::few::ask_ahead;
use super::formats::Format;
use super::pairs::pairs;
use super::scales::PanelScales;
use super::weights::Weights;
use crate::cpu::SharedMut;
use crate::cpu::simd::quantized::{CodeKernel, CodeSimd, Level, WIDEST, dispatch};

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

/// Where the rows of the panel from `row` on begin; where the weight ends, its last row stands in.
#[inline(always)]
pub(super) fn rows_of<'a>(w: &Weights<'a>, row: usize) -> [&'a [u8]; 16] {
    let mut rows = [w.row(row); 16];
    for (i, codes) in rows.iter_mut().enumerate().skip(1) {
        *codes = w.row((row + i).min(w.rows() - 1));
    }
    rows
}

/// Turns the vectors that begin at `at` in each row of a panel.
#[inline(always)]
pub(super) fn turn_codes<S: CodeSimd, F: Format>(
    simd: S,
    rows: &[&[u8]; 16],
    at: usize,
) -> [S::Bytes; 16] {
    let readable = rows[0].len() - at;
    // SAFETY: the rows are equally long, and `readable` bytes or more follow there. No load reads
    // more than a vector: with a constant, none has a choice to make.
    unsafe {
        if readable >= S::WIDTH {
            turn!(simd, i => F::load(simd, rows[i].as_ptr().add(at), S::WIDTH))
        } else {
            turn!(simd, i => F::load(simd, rows[i].as_ptr().add(at), readable))
        }
    }
}

/// A panel, unpacked to what a dot product takes: a vector for every four columns in bytes, or for
/// every two in `bf16`.
#[derive(Default)]
pub(super) struct Panel(Vec<CacheLine>);

impl Panel {
    /// Unpacks the rows from `row` on, as numbers of the activations' kind.
    pub(super) fn unpack<F: Format>(
        &mut self,
        level: Level,
        w: &Weights<'_>,
        row: usize,
        number: Number,
    ) {
        let format = PhantomData::<F>;
        match number {
            Number::Byte => dispatch(level, Unpack::<F, false> { format, w, row, panel: self }),
            Number::Bf16 => dispatch(level, Unpack::<F, true> { format, w, row, panel: self }),
        }
    }

    /// The vectors, at least `count` of them.
    ///
    /// # Panics
    ///
    /// If fewer were unpacked.
    #[inline(always)]
    pub(super) fn vectors<S: CodeSimd>(&self, count: usize) -> *const u8 {
        assert!(self.0.len() * WIDEST >= count * S::WIDTH, "codes of the panel");
        self.0.as_ptr().cast()
    }
}

struct Unpack<'a, 'b, F, const PAIRS: bool> {
    format: PhantomData<F>,
    w: &'a Weights<'b>,
    row: usize,
    panel: &'a mut Panel,
}

impl<F: Format, const PAIRS: bool> CodeKernel for Unpack<'_, '_, F, PAIRS> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        let vectors = self.w.columns() / if PAIRS { 2 } else { 4 };
        let lines = (vectors * S::WIDTH).div_ceil(WIDEST);
        if self.panel.0.len() < lines {
            self.panel.0.resize(lines, CacheLine::ZERO);
        }
        let to = self.panel.0.as_mut_ptr().cast::<u8>();
        let rows = rows_of(self.w, self.row);
        let mut vector = 0;
        for at in (0..rows[0].len()).step_by(F::step::<S>()) {
            ask_ahead::<S, F>(simd, rows[0], at);
            let codes = turn_codes::<S, F>(simd, &rows, at);
            // SAFETY: there is memory for `vectors` vectors, and they are a multiple of those that
            // a packed one becomes.
            unsafe {
                for_each_lane!(simd, codes, (_i, packed) => {
                    if vector < vectors {
                        for plane in 0..F::PLANES {
                            let codes = F::plane(simd, packed, plane);
                            if PAIRS {
                                let [first, second] = pairs::<S, F>(simd, codes);
                                simd.store(to.add(vector * S::WIDTH), first);
                                simd.store(to.add((vector + 1) * S::WIDTH), second);
                                vector += 2;
                            } else {
                                simd.store(to.add(vector * S::WIDTH), codes);
                                vector += 1;
                            }
                        }
                    }
                });
            }
        }
    }
}

/// What the stored scales are multiplied with, where whole codes stand for fractions too.
#[inline(always)]
pub(super) fn scale_factor<F: Format>(w: &Weights<'_>) -> f32 {
    if F::OFFSET.is_some() { 0.5 * w.factor() } else { w.factor() }
}

/// Sums over groups, for a panel and `T` rows of activations.
pub(super) struct Totals<S: CodeSimd, const T: usize> {
    totals: [S::Floats; T],
    scales: *const f32,
    biases: *const f32,
    x_scales: *const f32,
    x_sums: *const f32,
}

impl<S: CodeSimd, const T: usize> Totals<S, T> {
    /// Begins with the first group, for the tile of activations whose first row is `first`.
    #[inline(always)]
    pub(super) fn new(simd: S, x: &Rounded, first: usize, scales: &PanelScales) -> Self {
        let groups = x.plan.groups();
        let (x_scales, x_sums) = (x.scales(first), x.sums(first));
        assert!(x_scales.len() >= T * groups && x_sums.len() >= T * groups, "a whole tile");
        let (scales, biases) = (scales.scales(), scales.biases());
        assert!(scales.len() >= groups * S::LANES && biases.len() >= scales.len(), "groups");
        Self {
            totals: [simd.splat(0.0); T],
            scales: scales.as_ptr(),
            biases: biases.as_ptr(),
            x_scales: x_scales.as_ptr(),
            x_sums: x_sums.as_ptr(),
        }
    }

    /// Where the dot products of this group begin; `offset` tells whether codes have one.
    ///
    /// # Safety
    ///
    /// Not every group was added.
    #[inline(always)]
    pub(super) unsafe fn first(&self, simd: S, offset: bool) -> [S::Ints; T] {
        let mut first = [simd.zero(); T];
        if offset {
            for (t, first) in first.iter_mut().enumerate() {
                // SAFETY: there is a number for each row of this group.
                *first = simd.splat_int(unsafe { self.x_sums.add(t).cast::<i32>().read() });
            }
        }
        first
    }

    /// Adds the dot products of this group, and goes on to the next.
    ///
    /// # Safety
    ///
    /// Not every group was added.
    #[inline(always)]
    pub(super) unsafe fn add(&mut self, simd: S, dots: [S::Ints; T], offset: bool) {
        // SAFETY: there is a vector for each group, and a number for each row and group.
        unsafe {
            let scale = simd.load_floats(self.scales);
            for (t, (total, dot)) in self.totals.iter_mut().zip(dots).enumerate() {
                let scale = simd.mul(scale, simd.splat(*self.x_scales.add(t)));
                *total = simd.fma(simd.to_floats(dot), scale, *total);
            }
            if !offset {
                let bias = simd.load_floats(self.biases);
                for (t, total) in self.totals.iter_mut().enumerate() {
                    *total = simd.fma(bias, simd.splat(*self.x_sums.add(t)), *total);
                }
            }
            self.scales = self.scales.add(S::LANES);
            self.biases = self.biases.add(S::LANES);
            self.x_scales = self.x_scales.add(T);
            self.x_sums = self.x_sums.add(T);
        }
    }

    #[inline(always)]
    pub(super) fn sums(self) -> [S::Floats; T] {
        self.totals
    }
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
