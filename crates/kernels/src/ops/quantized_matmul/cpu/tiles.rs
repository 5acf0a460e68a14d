//! More rows of activations than [`along`](super::along) takes: batches and prompts.
//!
//! A panel of the weight, turned over in the cache, meets tile after tile of activations whose sums
//! stay in registers. Codes stay packed in the panel, which so takes no more of the cache than of
//! memory, and are cut into bytes once for each tile. Scales are applied once for each group.
//!
//! Tuning: the height of a tile is [`CodeSimd::TILE`]; the length of a panel is not bounded, so
//! that long rows come from the second level cache.
#![expect(unsafe_code, reason = "panels and tiles are walked by pointer")]

use std::marker::PhantomData;

use super::activations::Rounded;
use super::formats::Format;
use super::panel::{Ahead, Totals, each_tile, finish, vectors};
use super::scales::PanelScales;
use crate::cpu::SharedMut;
use crate::cpu::simd::quantized::{CodeKernel, CodeSimd};

/// Products of a panel with every row of activations.
pub(super) struct Tiles<'a, 'b, F> {
    pub(super) format: PhantomData<F>,
    /// Packed words, turned over.
    pub(super) codes: &'a [u8],
    pub(super) scales: &'a PanelScales,
    pub(super) x: &'a Rounded,
    pub(super) ahead: Ahead,
    /// The first row of the weight.
    pub(super) row: usize,
    /// Rows of the weight in all.
    pub(super) rows: usize,
    /// `[x.rows, rows]`; the columns of the panel are written.
    pub(super) out: &'a SharedMut<'b, f32>,
}

impl<F: Format> CodeKernel for Tiles<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        each_tile!(self, simd);
    }
}

impl<F: Format> Tiles<'_, '_, F> {
    /// The products with the `T` rows of activations from `first` on.
    #[inline(always)]
    fn tile<S: CodeSimd, const T: usize>(&self, simd: S, first: usize, mut ahead: Ahead) {
        let plan = self.x.plan;
        let words = plan.group / (4 * F::PLANES);
        let x = self.x.codes(first);
        assert!(x.len() >= T * plan.columns, "a whole tile");
        let mut x = x.as_ptr();
        let mut packed = vectors::<S>(self.codes, plan.columns / (4 * F::PLANES));
        let mut totals = Totals::<S, T>::new(simd, self.x, first, self.scales);
        for _ in 0..plan.groups() {
            ahead.ask(simd);
            // SAFETY: the panel has a vector for every word, and the tile four bytes of each row
            // for every four columns; we have checked both. We come here once for each group.
            unsafe {
                let mut dots = totals.first(simd, F::OFFSET.is_some());
                for _ in 0..words {
                    let word = simd.load(packed);
                    for plane in 0..F::PLANES {
                        let codes = F::plane(simd, word, plane);
                        for (t, dot) in dots.iter_mut().enumerate() {
                            let x = simd.repeat(x.add(4 * t));
                            *dot = if F::WIDE {
                                simd.dot::<true>(*dot, codes, x)
                            } else {
                                simd.dot::<false>(*dot, codes, x)
                            };
                        }
                        x = x.add(4 * T);
                    }
                    packed = packed.add(S::WIDTH);
                }
                totals.add(simd, dots, F::OFFSET.is_some());
            }
        }
        finish(simd, totals.sums(), (first, self.row), self.rows, self.out);
    }
}
