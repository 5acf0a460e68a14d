//! Activations as they are: rows of the weight decoded to `f32`, a piece at a time in the first
//! level cache, and dot products in `f32`.
//!
//! A dot product is taken in pieces of [`PIECE`] columns; in a piece each lane sums its own
//! columns in order, then the lanes are added. So each product is the same to the bit whichever
//! rows it is computed with, and its error grows with a piece and the number of pieces, not with
//! the row.
#![expect(unsafe_code, reason = "rows are walked by pointer, and tasks write disjoint columns")]

use std::marker::PhantomData;
use std::ops::Range;

use super::formats::{Format, with_format};
use super::scales::widen;
use super::weights::Weights;
use crate::cpu::SharedMut;
use crate::cpu::simd::quantized::{CodeKernel, CodeSimd, Level, WIDEST, dispatch};

/// Columns that are decoded at a time: a multiple of every group.
pub(super) const PIECE: usize = 1024;

/// Rows of the weight that are decoded together.
pub(super) const ROWS: usize = 4;

/// Writes the elements of a row of `w` in `columns`, which begin with a group.
pub(in crate::ops) fn decode(
    level: Level,
    w: &Weights<'_>,
    row: usize,
    columns: Range<usize>,
    out: &mut [f32],
) {
    assert!(columns.start.is_multiple_of(PIECE) && columns.end <= w.columns(), "{columns:?}");
    assert_eq!(columns.len(), out.len(), "columns");
    for (piece, out) in out.chunks_mut(PIECE).enumerate() {
        let start = columns.start + piece * PIECE;
        with_format!(
            w.format(),
            F => dispatch(level, Decode { format: PhantomData::<F>, w, row, start, out })
        );
    }
}

/// Decodes a piece of a row.
struct Decode<'a, 'b, F> {
    format: PhantomData<F>,
    w: &'a Weights<'b>,
    row: usize,
    start: usize,
    out: &'a mut [f32],
}

/// The scales, and the biases if there are any, of the groups of a piece.
struct PieceScales {
    scales: [f32; PIECE / 16],
    biases: [f32; PIECE / 16],
}

impl PieceScales {
    #[inline(always)]
    fn read<S: CodeSimd>(simd: S, w: &Weights<'_>, row: usize, columns: Range<usize>) -> Self {
        let mut all = Self { scales: [0.0; PIECE / 16], biases: [0.0; PIECE / 16] };
        let (first, end) = (columns.start / w.group(), columns.end.div_ceil(w.group()));
        let factor = simd.splat(w.factor());
        for group in (first..end).step_by(S::LANES) {
            let (from, to) = (group * w.scale().size(), group - first);
            let scales = widen(simd, w.scale(), &w.row_scales(row)[from..]);
            let to_scales = &mut all.scales[to..to + S::LANES];
            // SAFETY: there is room for a vector.
            unsafe { simd.store_floats(to_scales.as_mut_ptr(), simd.mul(scales, factor)) };
            if let Some(biases) = w.row_biases(row).get(from..) {
                let biases = widen(simd, w.scale(), biases);
                let to_biases = &mut all.biases[to..to + S::LANES];
                // SAFETY: there is room for a vector.
                unsafe { simd.store_floats(to_biases.as_mut_ptr(), biases) };
            }
        }
        all
    }
}

impl<F: Format> CodeKernel for Decode<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        let Self { w, row, start, out, .. } = self;
        let lines = PieceScales::read(simd, w, row, start..start + out.len());
        let shift = w.group().trailing_zeros();
        let codes = &w.row(row)[start * F::BITS / 8..];
        let mut at = 0;
        let mut bytes = [0_u8; WIDEST];
        for (vector, out) in out.chunks_mut(S::WIDTH).enumerate() {
            // SAFETY: `at` is in the row as long as a column is; the array has room for a vector.
            unsafe {
                let codes = F::in_order(simd, codes.as_ptr().add(at), codes.len() - at);
                simd.store(bytes.as_mut_ptr(), codes);
            }
            at += S::WIDTH * F::BITS / 8;
            for (i, out) in out.chunks_exact_mut(S::LANES).enumerate() {
                let group = (vector * S::WIDTH + i * S::LANES) >> shift;
                let scale = simd.splat(lines.scales[group]);
                // SAFETY: the array holds a vector of codes, and `i` counts its quarters; there is
                // room for as many numbers as there are lanes.
                unsafe {
                    let codes = simd.words_of_bytes(bytes.as_ptr().add(i * S::LANES));
                    let values = simd.mul(F::value(simd, codes), scale);
                    let values = if F::BIASED {
                        simd.add(values, simd.splat(lines.biases[group]))
                    } else {
                        values
                    };
                    simd.store_floats(out.as_mut_ptr(), values);
                }
            }
        }
    }
}

/// Products of a task's rows of the weight with every row of activations.
pub(super) struct Exact<'a, 'b, 'c> {
    pub(super) w: &'a Weights<'b>,
    /// Rows of `w.columns()` activations.
    pub(super) x: &'a [f32],
    /// `[m, w.rows()]`.
    pub(super) out: &'a SharedMut<'c, f32>,
}

impl Exact<'_, '_, '_> {
    pub(super) fn rows(&self, level: Level, rows: Range<usize>) {
        let (w, x, out) = (self.w, self.x, self.out);
        let mut decoded = [0.0; ROWS * PIECE];
        for row in rows.clone().step_by(ROWS) {
            let count = ROWS.min(rows.end - row);
            for start in (0..w.columns()).step_by(PIECE) {
                let width = PIECE.min(w.columns() - start);
                for (i, out) in decoded.chunks_exact_mut(width).enumerate().take(count) {
                    decode(level, w, row + i, start..start + width, out);
                }
                let piece = Piece { w, x, out, decoded: &decoded, width, start, row, count };
                dispatch(level, piece);
            }
        }
    }
}

/// Products of decoded pieces of some rows with the same columns of every row of activations.
struct Piece<'a, 'b, 'c> {
    w: &'a Weights<'b>,
    x: &'a [f32],
    out: &'a SharedMut<'c, f32>,
    decoded: &'a [f32; ROWS * PIECE],
    width: usize,
    start: usize,
    row: usize,
    count: usize,
}

impl CodeKernel for Piece<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        let m = self.x.len() / self.w.columns();
        let mut row = 0;
        // As many sums as fit beside their operands.
        if S::MANY_REGISTERS {
            while row + 4 <= m {
                self.tile::<S, 4>(simd, row);
                row += 4;
            }
        }
        while row + 2 <= m {
            self.tile::<S, 2>(simd, row);
            row += 2;
        }
        if row < m {
            self.tile::<S, 1>(simd, row);
        }
    }
}

impl Piece<'_, '_, '_> {
    #[inline(always)]
    fn tile<S: CodeSimd, const M: usize>(&self, simd: S, first: usize) {
        let (k, width) = (self.w.columns(), self.width);
        let x = &self.x[first * k + self.start..];
        assert!(width.is_multiple_of(S::LANES) && ROWS * width <= self.decoded.len(), "{width}");
        assert!(x.len() >= (M - 1) * k + width, "activations");
        let mut sums = [[simd.splat(0.0); M]; ROWS];
        for at in (0..width).step_by(S::LANES) {
            for (i, sums) in sums.iter_mut().enumerate() {
                // SAFETY: whole vectors of each decoded row, and of each row of activations, as
                // just checked.
                unsafe {
                    let w = simd.load_floats(self.decoded.as_ptr().add(i * width + at));
                    for (m, sum) in sums.iter_mut().enumerate() {
                        let x = simd.load_floats(x.as_ptr().add(m * k + at));
                        *sum = simd.fma(w, x, *sum);
                    }
                }
            }
        }
        for m in 0..M {
            let at = (first + m) * self.w.rows() + self.row;
            // SAFETY: each task has rows of the weight of its own.
            let out = unsafe { self.out.part(at..at + self.count) };
            for (out, sums) in out.iter_mut().zip(&sums) {
                let sum = simd.sum(sums[m]);
                *out = if self.start == 0 { sum } else { *out + sum };
            }
        }
    }
}
