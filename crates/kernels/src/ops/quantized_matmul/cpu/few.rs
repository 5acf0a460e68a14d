//! A few rows of activations: small batches, drafts to be verified.
//!
//! The weight is read once, packed, a vector of each row of a panel at a time. These are turned
//! over in registers, so that a vector holds a word of each row, and meet every row of activations
//! at once. Memory is asked in the order of its addresses for the panel after this one.
#![expect(unsafe_code, reason = "packed codes are read at any address")]

use std::marker::PhantomData;

use super::activations::Rounded;
use super::formats::Format;
use super::panel::{CacheLine, Totals, finish, for_each_lane, rows_of, turn_codes};
use super::scales::PanelScales;
use super::weights::Weights;
use crate::cpu::SharedMut;
use crate::cpu::simd::quantized::{CodeKernel, CodeSimd, WIDEST};

/// The most rows of activations. Tuning: with more, unpacking a panel once for several tiles pays.
pub(super) const MOST: usize = 8;

/// The fewest bytes between what is read and what is asked of memory.
const AHEAD: usize = 4096;

/// Products of a panel of the weight, packed as `F`, with all rows of activations.
pub(super) struct Few<'a, 'b, F> {
    pub(super) format: PhantomData<F>,
    pub(super) w: &'a Weights<'b>,
    pub(super) x: &'a Rounded,
    /// The first row of the panel.
    pub(super) row: usize,
    pub(super) scales: &'a PanelScales,
    /// `[x.rows, w.rows]`; the columns of the panel are written.
    pub(super) out: &'a SharedMut<'b, f32>,
}

impl<F: Format> CodeKernel for Few<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        match self.x.plan.rows {
            2 => self.panel::<S, 2>(simd),
            3 => self.panel::<S, 3>(simd),
            4 => self.panel::<S, 4>(simd),
            5 if S::TILE >= 5 => self.panel::<S, 5>(simd),
            6 if S::TILE >= 6 => self.panel::<S, 6>(simd),
            7 if S::TILE >= 7 => self.panel::<S, 7>(simd),
            8 if S::TILE >= 8 => self.panel::<S, 8>(simd),
            rows => unreachable!("{rows} rows"),
        }
    }
}

impl<F: Format> Few<'_, '_, F> {
    #[inline(always)]
    fn panel<S: CodeSimd, const T: usize>(self, simd: S) {
        let Self { w, x, row, scales, out, .. } = self;
        let rows = rows_of(w, row);
        let words = w.group() / (4 * F::PLANES);
        let mut totals = Totals::<S, T>::new(simd, x, 0, scales);
        assert!(x.codes(0).len() >= T * w.columns(), "rows of activations");
        let mut x = x.codes(0).as_ptr();
        let mut turned = [CacheLine::ZERO; 16];
        let (mut at, mut lane) = (0, S::LANES);
        for _ in 0..w.groups() {
            // SAFETY: a group is added below for each time we come here.
            let mut dots = unsafe { totals.first(simd, F::OFFSET.is_some()) };
            let mut left = words;
            while left > 0 {
                if lane == S::LANES {
                    ask_ahead::<S, F>(simd, rows[0], at);
                    let to = turned.as_mut_ptr().cast::<u8>();
                    let codes = turn_codes::<S, F>(simd, &rows, at);
                    // SAFETY: there is room for 16 of the widest vectors.
                    unsafe {
                        for_each_lane!(simd, codes, (i, codes) => {
                            simd.store(to.add(i * S::WIDTH), codes);
                        });
                    }
                    (at, lane) = (at + F::step::<S>(), 0);
                }
                let count = left.min(S::LANES - lane);
                for word in lane..lane + count {
                    // SAFETY: `lane + count` is at most the number of lanes, and so many vectors
                    // were turned; activations have four bytes of each row for each plane of each
                    // word of a row.
                    unsafe {
                        let packed = simd.load(turned.as_ptr().cast::<u8>().add(word * S::WIDTH));
                        for plane in 0..F::PLANES {
                            let codes = F::plane(simd, packed, plane);
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
                    }
                }
                (lane, left) = (lane + count, left - count);
            }
            // SAFETY: we come here once for each group.
            unsafe { totals.add(simd, dots, F::OFFSET.is_some()) };
        }
        finish(simd, totals.sums(), (0, row), w.rows(), out);
    }
}

/// Asks memory for as much of the next panel as is read of this one at `at`.
#[inline(always)]
pub(super) fn ask_ahead<S: CodeSimd, F: Format>(simd: S, row: &[u8], at: usize) {
    let ahead = (S::LANES * row.len()).max(AHEAD) + at * S::LANES;
    for line in (0..S::LANES * F::step::<S>()).step_by(WIDEST) {
        simd.prefetch(row.as_ptr().wrapping_add(ahead + line));
    }
}
