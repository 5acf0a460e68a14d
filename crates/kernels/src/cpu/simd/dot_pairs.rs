//! Dot products of rows of pairs of `bf16`: some rows of a weight with some rows of activations.
//!
//! Each lane sums its own pairs in order, then the lanes are added: whatever rows are taken
//! together, each product comes out the same to the bit.
#![expect(unsafe_code, reason = "tiles read rows of mapped weights at any address")]

use super::{Kernel, Simd};
use crate::cpu::simd::dot::Corner;

/// Rows of the weight in a tile.
const HIGH: usize = 4;

/// The widest vector, in halves: what rows of activations are padded to.
pub(crate) const PADDING: usize = 32;

/// Products of some rows of a weight with some rows of activations.
pub(crate) struct DotPairs<'a, 'b> {
    /// Rows of `x_stride` pairs, zeros after the first `k` halves.
    pub(crate) x: &'a [f32],
    /// Pairs from one row to the next, a multiple of half the [`PADDING`].
    pub(crate) x_stride: usize,
    /// Halves of a row.
    pub(crate) k: usize,
    /// Rows of the weight, at any address.
    pub(crate) w: &'a [u8],
    /// Bytes from one of them to the next.
    pub(crate) w_stride: usize,
    pub(crate) out: Corner<'a, 'b>,
}

impl Kernel for DotPairs<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (m, n) = (self.x.len() / self.x_stride, self.w.len() / self.w_stride);
        assert!(self.w_stride >= 2 * self.k, "rows of the weight");
        assert!(2 * self.x_stride >= self.k.next_multiple_of(2 * S::LANES), "padding");
        let mut row = 0;
        while row < m {
            row += match m - row {
                1 => self.column::<S, 1>(simd, row, n),
                2 => self.column::<S, 2>(simd, row, n),
                3 => self.column::<S, 3>(simd, row, n),
                4 => self.column::<S, 4>(simd, row, n),
                5 => self.column::<S, 5>(simd, row, n),
                _ => self.column::<S, 6>(simd, row, n),
            };
        }
    }
}

impl DotPairs<'_, '_> {
    /// The products of all `n` rows of the weight with the `C` rows of activations from `row` on.
    /// Answers `C`.
    #[inline(always)]
    fn column<S: Simd, const C: usize>(&self, simd: S, row: usize, n: usize) -> usize {
        let mut first = 0;
        while first < n {
            if n - first >= HIGH {
                self.tile::<S, HIGH, C>(simd, row, first);
                first += HIGH;
            } else {
                self.tile::<S, 1, C>(simd, row, first);
                first += 1;
            }
        }
        C
    }

    /// The products of the `R` rows of the weight from `first` on with `C` of activations.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const C: usize>(&self, simd: S, row: usize, first: usize) {
        let rows = &self.w[first * self.w_stride..];
        assert!(rows.len() >= (R - 1) * self.w_stride + 2 * self.k, "rows of the weight");
        let x = &self.x[row * self.x_stride..][..C * self.x_stride];
        let mut sums = [[simd.splat(0.0); R]; C];
        let step = 2 * S::LANES;
        let whole = self.k - self.k % step;
        let mut weights = [simd.splat(0.0); R];
        let mut at = 0;
        while at < whole {
            for (r, weights) in weights.iter_mut().enumerate() {
                // SAFETY: a vector of halves from number `at` on is within the row.
                *weights = unsafe {
                    simd.load(rows.as_ptr().add(r * self.w_stride + 2 * at).cast::<f32>())
                };
            }
            for (c, sums) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                let x = unsafe { simd.load(x.as_ptr().add(c * self.x_stride + at / 2)) };
                for (sum, weights) in sums.iter_mut().zip(&weights) {
                    *sum = simd.dot_pairs(*sum, x, *weights);
                }
            }
            at += step;
        }
        if at < self.k {
            for (r, weights) in weights.iter_mut().enumerate() {
                let rest = &rows[r * self.w_stride + 2 * at..r * self.w_stride + 2 * self.k];
                let mut padded = [0_u8; 2 * PADDING];
                padded[..rest.len()].copy_from_slice(rest);
                // SAFETY: no vector is wider.
                *weights = unsafe { simd.load(padded.as_ptr().cast::<f32>()) };
            }
            for (c, sums) in sums.iter_mut().enumerate() {
                // SAFETY: rows of activations are padded to whole vectors.
                let x = unsafe { simd.load(x.as_ptr().add(c * self.x_stride + at / 2)) };
                for (sum, weights) in sums.iter_mut().zip(&weights) {
                    *sum = simd.dot_pairs(*sum, x, *weights);
                }
            }
        }
        let mut products = [[0.0; R]; C];
        let (fours, rest) = sums.as_flattened().as_chunks::<4>();
        let (first_products, last) = products.as_flattened_mut().as_chunks_mut::<4>();
        for (products, sums) in first_products.iter_mut().zip(fours) {
            *products = simd.sums(*sums);
        }
        for (product, sums) in last.iter_mut().zip(rest) {
            *product = simd.sum(*sums);
        }
        for (c, products) in products.iter().enumerate() {
            let at = self.out.at + (row + c) * self.out.stride + first;
            // SAFETY: each task has elements of its own.
            unsafe { self.out.all.part(at..at + R) }.copy_from_slice(products);
        }
    }
}
