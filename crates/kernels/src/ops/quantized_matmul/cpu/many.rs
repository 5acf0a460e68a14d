//! Many rows of activations: prompts, and batches of more than [`few::MOST`](super::few::MOST).
//!
//! A panel is unpacked once into bytes, in the cache, four codes of each row in one vector, and
//! then meets tile after tile of activations whose sums stay in registers. Scales are applied once
//! for each group.
//!
//! Tuning: the height of a tile is [`CodeSimd::TILE`]; the length of a panel is not bounded, so
//! that long rows come from the second level cache.
#![expect(unsafe_code, reason = "panels and tiles are walked by pointer")]

use super::activations::Rounded;
use super::panel::{Panel, Totals, finish};
use super::scales::PanelScales;
use crate::cpu::SharedMut;
use crate::cpu::simd::quantized::{CodeKernel, CodeSimd};

/// Products of an unpacked panel with every row of activations.
pub(super) struct Many<'a, 'b, const WIDE: bool, const OFFSET: bool> {
    pub(super) panel: &'a Panel,
    pub(super) scales: &'a PanelScales,
    pub(super) x: &'a Rounded,
    /// The first row of the weight.
    pub(super) row: usize,
    /// Rows of the weight in all.
    pub(super) rows: usize,
    /// `[x.rows, rows]`; the columns of the panel are written.
    pub(super) out: &'a SharedMut<'b, f32>,
}

impl<const WIDE: bool, const OFFSET: bool> CodeKernel for Many<'_, '_, WIDE, OFFSET> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        let plan = self.x.plan;
        for tile in 0..plan.tiles() {
            let rows = plan.tile(tile);
            // Tiles are at least half as high as they may be: lower ones are for few rows.
            match rows.len() {
                2 if S::TILE <= 4 => self.tile::<S, 2>(simd, rows.start),
                3 if S::TILE <= 4 => self.tile::<S, 3>(simd, rows.start),
                4 if S::TILE <= 8 => self.tile::<S, 4>(simd, rows.start),
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

impl<const WIDE: bool, const OFFSET: bool> Many<'_, '_, WIDE, OFFSET> {
    /// The products with the `T` rows of activations from `first` on.
    #[inline(always)]
    fn tile<S: CodeSimd, const T: usize>(&self, simd: S, first: usize) {
        let plan = self.x.plan;
        let words = plan.group / 4;
        let x = self.x.codes(first);
        assert!(x.len() >= T * plan.columns, "a whole tile");
        let mut x = x.as_ptr();
        let mut codes = self.panel.vectors::<S>(plan.columns / 4);
        let mut totals = Totals::<S, T>::new(simd, self.x, first, self.scales);
        for _ in 0..plan.groups() {
            // SAFETY: the panel has a vector, and the tile four bytes of each row, for every
            // four columns; `run` and we have checked both. We come here once for each group.
            unsafe {
                let mut dots = totals.first(simd, OFFSET);
                for _ in 0..words {
                    let w = simd.load(codes);
                    for (t, dot) in dots.iter_mut().enumerate() {
                        let x = simd.repeat(x.add(4 * t));
                        *dot = simd.dot::<WIDE>(*dot, w, x);
                    }
                    codes = codes.add(S::WIDTH);
                    x = x.add(4 * T);
                }
                totals.add(simd, dots, OFFSET);
            }
        }
        finish(simd, totals.sums(), (first, self.row), self.rows, self.out);
    }
}
