//! One or two rows of activations: what decoding a single sequence takes.
//!
//! Vectors lie along the rows of the weight, which are read once, packed, and unpacked in
//! registers. Several rows are read side by side, so that memory is kept busy and activations are
//! loaded once for all of them. Scales are met by a lane's partial sum, whichever groups a vector
//! spans.
#![expect(unsafe_code, reason = "packed codes are read at any address")]

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use super::activations::{LARGEST_GROUP, Rounded};
use super::formats::Format;
use super::scales::Lines;
use super::weights::Weights;
use crate::cpu::SharedMut;
use crate::cpu::simd::quantized::{CodeKernel, CodeSimd, Level, WIDEST, dispatch};

/// The most rows of activations that are treated so. Tuning: with more, unpacking a panel for
/// all of them is cheaper.
pub(super) const MOST: usize = 2;

/// Rows of the weight read side by side for one row of activations. Tuning: more streams keep
/// memory busier, until registers run out.
pub(super) const STREAMS: usize = 4;

/// The fewest bytes between what is read and what is asked of memory. Memory is asked in order,
/// whatever the order of reading: that alone makes it answer half as fast again. Tuning: the
/// distance, a few rows in any case.
const AHEAD: usize = 4096;

/// The most vectors that the groups of one vector of scales fill.
const MOST_VECTORS: usize = 32;

thread_local! {
    static LINES: RefCell<Lines> = RefCell::default();
}

/// Products of rows `rows` of the weight, packed as `F`, with `M` rows of activations.
///
/// `out` is `[M, w.rows()]`; the columns `rows` are written.
pub(super) fn few<F: Format, const M: usize>(
    level: Level,
    w: &Weights<'_>,
    x: &Rounded,
    rows: Range<usize>,
    out: &SharedMut<'_, f32>,
) {
    LINES.with_borrow_mut(|lines| {
        let mut rows = rows;
        while !rows.is_empty() {
            let count = rows.len().min(STREAMS);
            lines.read(level, w, rows.start, count);
            let format = PhantomData::<F>;
            dispatch(level, Few::<F, M> { format, w, x, lines, row: rows.start, count, out });
            rows.start += count;
        }
    });
}

/// Products of up to [`STREAMS`] rows of the weight.
struct Few<'a, 'b, F, const M: usize> {
    format: PhantomData<F>,
    w: &'a Weights<'b>,
    x: &'a Rounded,
    lines: &'a Lines,
    row: usize,
    count: usize,
    out: &'a SharedMut<'b, f32>,
}

impl<F: Format, const M: usize> CodeKernel for Few<'_, '_, F, M> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        let lanes = LaneGroups::of::<S, F>(self.w.group());
        let mut done = 0;
        if S::MANY_REGISTERS && M == 1 {
            while done + STREAMS <= self.count {
                self.block::<S, STREAMS>(simd, lanes, done);
                done += STREAMS;
            }
        }
        if S::MANY_REGISTERS && M == 2 {
            while done + STREAMS / 2 <= self.count {
                self.block::<S, { STREAMS / 2 }>(simd, lanes, done);
                done += STREAMS / 2;
            }
        }
        while done < self.count {
            self.block::<S, 1>(simd, lanes, done);
            done += 1;
        }
    }
}

/// Which group each lane of the vectors of a row belongs to.
struct LaneGroups {
    /// Vectors that as many groups fill as there are lanes.
    vectors: usize,
    /// For each of these vectors, the number of each lane's group.
    groups: [i32; MOST_VECTORS * WIDEST / 4],
}

impl LaneGroups {
    #[inline(always)]
    fn of<S: CodeSimd, F: Format>(group: usize) -> &'static Self {
        match group {
            16 => const { &Self::new(S::LANES, 16 / (4 * F::PLANES)) },
            32 => const { &Self::new(S::LANES, 32 / (4 * F::PLANES)) },
            64 => const { &Self::new(S::LANES, 64 / (4 * F::PLANES)) },
            _ => const { &Self::new(S::LANES, LARGEST_GROUP / (4 * F::PLANES)) },
        }
    }

    /// A lane holds `4 * planes` codes, and a group is as many lanes as the groups of all lanes
    /// are `vectors`.
    const fn new(lanes: usize, vectors: usize) -> Self {
        let mut groups = [0; MOST_VECTORS * WIDEST / 4];
        let mut i = 0;
        while i < vectors * lanes {
            groups[i] = (i / vectors) as i32;
            i += 1;
        }
        Self { vectors, groups }
    }
}

impl<F: Format, const M: usize> Few<'_, '_, F, M> {
    /// The products of `R` rows of the weight.
    #[inline(always)]
    fn block<S: CodeSimd, const R: usize>(&self, simd: S, lanes: &LaneGroups, first: usize) {
        let (w, x) = (self.w, self.x);
        let row = self.row + first;
        let mut codes = [w.row(row); R];
        for (i, codes) in codes.iter_mut().enumerate() {
            *codes = w.row(row + i);
        }
        let row_bytes = codes[0].len();
        let mut sums = [[simd.splat(0.0); M]; R];
        let (mut group, mut at) = (0, 0);
        while group < w.groups() {
            let mut scales = [[simd.splat(0.0); M]; R];
            for i in 0..R {
                let w_scales = self.lines.scales(first + i, group);
                let w_biases = self.lines.biases(first + i, group);
                assert!(w_scales.len() >= S::LANES && w_biases.len() >= S::LANES, "padding");
                // SAFETY: just checked.
                let (scale, bias) = unsafe {
                    (simd.load_floats(w_scales.as_ptr()), simd.load_floats(w_biases.as_ptr()))
                };
                for m in 0..M {
                    let (x_scales, x_sums) = (&x.scales(m)[group..], &x.sums(m)[group..]);
                    assert!(x_scales.len() >= S::LANES && x_sums.len() >= S::LANES, "padding");
                    // SAFETY: just checked.
                    let (x_scale, x_sum) = unsafe {
                        (simd.load_floats(x_scales.as_ptr()), simd.load_floats(x_sums.as_ptr()))
                    };
                    scales[i][m] = simd.mul(scale, x_scale);
                    sums[i][m] = simd.fma(bias, x_sum, sums[i][m]);
                }
            }
            for vector in 0..lanes.vectors {
                if at >= row_bytes {
                    break;
                }
                // SAFETY: `at` is a multiple of `step`, and before the end of the row.
                unsafe {
                    let lane_groups = lanes.groups.as_ptr().add(vector * S::LANES);
                    self.vector::<S, R>(simd, (&codes, at), (&scales, lane_groups), &mut sums);
                }
                at += F::step::<S>();
            }
            group += S::LANES;
        }
        for (i, sums) in sums.iter().enumerate() {
            for (m, sums) in sums.iter().enumerate() {
                let at = m * w.rows() + row + i;
                // SAFETY: each task has rows of the weight of its own.
                let out = unsafe { self.out.part(at..at + 1) };
                out[0] = simd.sum(*sums);
            }
        }
    }

    /// Adds the products of one packed vector of each row.
    ///
    /// # Safety
    ///
    /// `at` is a multiple of [`step`](Format::step) less than the bytes of a row, and a number
    /// below [`LANES`](CodeSimd::LANES) can be read at `lane_groups` for each lane.
    #[inline(always)]
    unsafe fn vector<S: CodeSimd, const R: usize>(
        &self,
        simd: S,
        (codes, at): (&[&[u8]; R], usize),
        (scales, lane_groups): (&[[S::Floats; M]; R], *const i32),
        sums: &mut [[S::Floats; M]; R],
    ) {
        // Where the first plane of the activations is: see `Layout::Rows`.
        let vector = at / F::step::<S>();
        let per_block = WIDEST / S::WIDTH;
        let ahead = (R * codes[0].len()).max(AHEAD);
        let x_at = vector / per_block * (F::PLANES * WIDEST) + vector % per_block * S::WIDTH;
        for i in 0..R {
            let readable = codes[i].len() - at;
            let place = (vector * R + i) * F::step::<S>();
            simd.prefetch(codes[0].as_ptr().wrapping_add(ahead + place));
            // SAFETY: `at` is in the row, and `readable` bytes follow it there.
            let packed = unsafe { F::load(simd, codes[i].as_ptr().add(at), readable) };
            let mut dots = [simd.zero(); M];
            for plane in 0..F::PLANES {
                let codes = F::plane(simd, packed, plane);
                for (m, dot) in dots.iter_mut().enumerate() {
                    // SAFETY: a row of activations is padded to whole blocks, so the vector is
                    // there for as long as its first code is.
                    let x =
                        unsafe { simd.load(self.x.codes(m).as_ptr().add(x_at + plane * WIDEST)) };
                    *dot = simd.dot_of::<F>(*dot, codes, x);
                }
            }
            for m in 0..M {
                // SAFETY: the caller promises the numbers.
                let scale = unsafe { simd.pick(scales[i][m], lane_groups) };
                sums[i][m] = simd.fma(simd.to_floats(dots[m]), scale, sums[i][m]);
            }
        }
    }
}

/// The dot product that a format needs.
pub(super) trait DotOf: CodeSimd {
    /// See [`CodeSimd::dot`].
    fn dot_of<F: Format>(self, sums: Self::Ints, codes: Self::Bytes, x: Self::Bytes) -> Self::Ints;
}

impl<S: CodeSimd> DotOf for S {
    #[inline(always)]
    fn dot_of<F: Format>(self, sums: S::Ints, codes: S::Bytes, x: S::Bytes) -> S::Ints {
        if F::WIDE { self.dot::<true>(sums, codes, x) } else { self.dot::<false>(sums, codes, x) }
    }
}
