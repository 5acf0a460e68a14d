//! Two rows of activations and more: batches and prompts.
//!
//! As many rows of the weight as a vector has lanes make a *panel*. It is unpacked once into
//! bytes, in the cache, four codes of each row in one vector, and then meets tile after tile of
//! activations whose sums stay in registers. Scales are applied once for each group.
//!
//! Tuning: the height of a tile is [`CodeSimd::TILE`]; the length of a panel is not bounded, so
//! that the longest rows (over 30,000 columns) come from the second level cache and beyond.
#![expect(unsafe_code, reason = "panels and tiles are walked by pointer")]

use std::cell::RefCell;
use std::marker::PhantomData;

use super::activations::Rounded;
use super::formats::Format;
use super::scales::Lines;
use super::weights::Weights;
use crate::cpu::SharedMut;
use crate::cpu::simd::quantized::{CodeKernel, CodeSimd, Level, WIDEST, dispatch};

/// 64 bytes that begin where a line of the cache does.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct CacheLine([u8; WIDEST]);

/// An unpacked panel.
#[derive(Default)]
pub(super) struct Panel {
    /// A vector for every four columns: four codes of each row.
    codes: Vec<CacheLine>,
    /// For each group a vector: the scale of each row.
    scales: Vec<CacheLine>,
    biases: Vec<CacheLine>,
    /// The same, row by row.
    lines: Lines,
}

thread_local! {
    static PANEL: RefCell<Panel> = RefCell::default();
}

impl Panel {
    /// Lends this thread's panel, large enough for rows of `w`.
    pub(super) fn with<R>(level: Level, w: &Weights<'_>, work: impl FnOnce(&mut Self) -> R) -> R {
        PANEL.with_borrow_mut(|panel| {
            let width = 4 * level.lanes();
            let grow = |memory: &mut Vec<CacheLine>, vectors: usize| {
                let lines = (vectors * width).div_ceil(WIDEST);
                if memory.len() < lines {
                    memory.resize(lines, CacheLine([0; WIDEST]));
                }
            };
            grow(&mut panel.codes, w.columns() / 4);
            // The scales of a panel are written in whole squares of lanes.
            let groups = w.groups().next_multiple_of(level.lanes());
            grow(&mut panel.scales, groups);
            grow(&mut panel.biases, groups);
            work(panel)
        })
    }
}

impl Panel {
    /// Unpacks the rows from `row` on; where the weight ends, its last row stands in.
    pub(super) fn unpack<F: Format>(&mut self, level: Level, w: &Weights<'_>, row: usize) {
        self.lines.read(level, w, row, level.lanes());
        dispatch(level, Unpack { format: PhantomData::<F>, w, row, panel: self });
    }
}

/// Unpacks the rows from `row` on; where the weight ends, its last row stands in.
struct Unpack<'a, 'b, F> {
    format: PhantomData<F>,
    w: &'a Weights<'b>,
    row: usize,
    panel: &'a mut Panel,
}

impl<F: Format> CodeKernel for Unpack<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        let Self { w, row, panel, .. } = self;
        let last = w.rows() - 1;
        let words = w.columns() / 4;
        assert!(panel.codes.len() * WIDEST >= words * S::WIDTH, "memory for the codes");
        let mut rows = [w.row(last); 16];
        for (i, codes) in rows.iter_mut().enumerate().take(S::LANES) {
            *codes = w.row((row + i).min(last));
        }
        let row_bytes = rows[0].len();
        let to = panel.codes.as_mut_ptr().cast::<u8>();
        let (mut at, mut word) = (0, 0);
        while at < row_bytes {
            // SAFETY: `at` is in each row.
            let first = unsafe { F::load(simd, rows[0].as_ptr().add(at), row_bytes - at) };
            let mut packed = [first; 16];
            for i in 1..S::LANES {
                // SAFETY: as above.
                packed[i] = unsafe { F::load(simd, rows[i].as_ptr().add(at), row_bytes - at) };
            }
            simd.transpose(&mut packed);
            for packed in packed.iter().take(S::LANES) {
                if word >= words {
                    break;
                }
                for plane in 0..F::PLANES {
                    // SAFETY: there is memory for `words` vectors, and a multiple of the planes.
                    unsafe {
                        simd.store(
                            to.add((word + plane) * S::WIDTH),
                            F::plane(simd, *packed, plane),
                        );
                    }
                }
                word += F::PLANES;
            }
            at += F::step::<S>();
        }
        let squares = w.groups().div_ceil(S::LANES);
        let memory = squares * S::LANES * S::WIDTH;
        let (scales, biases, lines) = (&mut panel.scales, &mut panel.biases, &panel.lines);
        assert!(scales.len() * WIDEST >= memory && biases.len() * WIDEST >= memory, "memory");
        for square in 0..squares {
            let at = square * S::LANES;
            // SAFETY: there is memory for whole squares of both, just checked.
            unsafe {
                let to = scales.as_mut_ptr().cast::<u8>().add(at * S::WIDTH);
                let bias_to = biases.as_mut_ptr().cast::<u8>().add(at * S::WIDTH);
                transpose(simd, |i| lines.scales(i, at), to);
                transpose(simd, |i| lines.biases(i, at), bias_to);
            }
        }
    }
}

/// Exchanges rows and columns of a square of numbers.
///
/// # Safety
///
/// `LANES` vectors can be written at `to`.
#[inline(always)]
unsafe fn transpose<'a, S: CodeSimd>(simd: S, row: impl Fn(usize) -> &'a [f32], to: *mut u8) {
    let load = |i: usize| {
        let row = &row(i)[..S::LANES];
        // SAFETY: there is a vector of numbers.
        unsafe { simd.load(row.as_ptr().cast()) }
    };
    let mut rows = [load(0); 16];
    for (i, row) in rows.iter_mut().enumerate().take(S::LANES) {
        *row = load(i);
    }
    simd.transpose(&mut rows);
    for (i, row) in rows.iter().enumerate().take(S::LANES) {
        // SAFETY: the caller promises the memory.
        unsafe { simd.store(to.add(i * S::WIDTH), *row) };
    }
}

/// Products of an unpacked panel with every row of activations.
pub(super) struct Multiply<'a, 'b, const WIDE: bool> {
    pub(super) panel: &'a Panel,
    pub(super) x: &'a Rounded,
    /// The first row of the weight.
    pub(super) row: usize,
    /// Rows of the weight in all.
    pub(super) rows: usize,
    /// `[x.rows, rows]`; the columns of the panel are written.
    pub(super) out: &'a SharedMut<'b, f32>,
}

impl<const WIDE: bool> CodeKernel for Multiply<'_, '_, WIDE> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        let plan = self.x.plan;
        let (words, groups) = (plan.columns / 4, plan.columns / plan.group);
        assert!(self.panel.codes.len() * WIDEST >= words * S::WIDTH, "codes of the panel");
        assert!(self.panel.scales.len() * WIDEST >= groups * S::WIDTH, "scales of the panel");
        assert!(self.panel.biases.len() * WIDEST >= groups * S::WIDTH, "biases of the panel");
        for tile in 0..plan.tiles() {
            let rows = plan.tile(tile);
            match rows.len() {
                1 => self.tile::<S, 1>(simd, rows.start),
                2 => self.tile::<S, 2>(simd, rows.start),
                3 => self.tile::<S, 3>(simd, rows.start),
                4 => self.tile::<S, 4>(simd, rows.start),
                5 if S::TILE >= 5 => self.tile::<S, 5>(simd, rows.start),
                6 if S::TILE >= 6 => self.tile::<S, 6>(simd, rows.start),
                7 if S::TILE >= 7 => self.tile::<S, 7>(simd, rows.start),
                8 if S::TILE >= 8 => self.tile::<S, 8>(simd, rows.start),
                9 if S::TILE >= 9 => self.tile::<S, 9>(simd, rows.start),
                10 if S::TILE >= 10 => self.tile::<S, 10>(simd, rows.start),
                11 if S::TILE >= 11 => self.tile::<S, 11>(simd, rows.start),
                12 if S::TILE >= 12 => self.tile::<S, 12>(simd, rows.start),
                rows => unreachable!("a tile of {rows} rows"),
            }
        }
    }
}

impl<const WIDE: bool> Multiply<'_, '_, WIDE> {
    /// The products with the `T` rows of activations from `first` on.
    #[inline(always)]
    fn tile<S: CodeSimd, const T: usize>(&self, simd: S, first: usize) {
        let plan = self.x.plan;
        let groups = plan.columns / plan.group;
        let words = plan.group / 4;
        let (x, scales, sums) = (self.x.codes(first), self.x.scales(first), self.x.sums(first));
        assert!(x.len() >= T * plan.columns && scales.len() >= T * groups, "a whole tile");
        assert!(sums.len() >= T * groups, "a whole tile");
        let (mut x, mut scales, mut sums) = (x.as_ptr(), scales.as_ptr(), sums.as_ptr());
        let mut codes = self.panel.codes.as_ptr().cast::<u8>();
        let mut w_scales = self.panel.scales.as_ptr().cast::<u8>();
        let mut w_biases = self.panel.biases.as_ptr().cast::<u8>();
        let mut totals = [simd.splat(0.0); T];
        for _ in 0..groups {
            let mut dots = [simd.zero(); T];
            for _ in 0..words {
                // SAFETY: the panel has a vector, and the tile four bytes of each row, for every
                // four columns; `run` and we have checked both.
                unsafe {
                    let w = simd.load(codes);
                    for (t, dot) in dots.iter_mut().enumerate() {
                        *dot = simd.dot::<WIDE>(*dot, w, simd.repeat(x.add(4 * t)));
                    }
                    codes = codes.add(S::WIDTH);
                    x = x.add(4 * T);
                }
            }
            // SAFETY: the panel has a vector of each, and the tile a number of each for every row,
            // for every group; `run` and we have checked both.
            unsafe {
                let scale = simd.load_floats(w_scales.cast());
                let bias = simd.load_floats(w_biases.cast());
                for t in 0..T {
                    let scale = simd.mul(scale, simd.splat(*scales.add(t)));
                    let total = simd.fma(simd.to_floats(dots[t]), scale, totals[t]);
                    totals[t] = simd.fma(bias, simd.splat(*sums.add(t)), total);
                }
                w_scales = w_scales.add(S::WIDTH);
                w_biases = w_biases.add(S::WIDTH);
                scales = scales.add(T);
                sums = sums.add(T);
            }
        }
        let width = S::LANES.min(self.rows - self.row);
        for (t, total) in totals.into_iter().enumerate() {
            let at = (first + t) * self.rows + self.row;
            // SAFETY: each task has panels of its own.
            let out = unsafe { self.out.part(at..at + width) };
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
}
