//! One row of activations: what decoding a single sequence takes.
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
use super::panel::scale_factor;
use super::scales::Lines;
use super::weights::Weights;
use crate::cpu::SharedMut;
use crate::cpu::simd::quantized::{CodeKernel, CodeSimd, Level, WIDEST, dispatch};

/// The most rows of activations.
pub(super) const MOST: usize = 1;

/// Rows of the weight read side by side. Tuning: more streams keep
/// memory busier, until registers run out.
pub(super) const STREAMS: usize = 4;

/// The fewest bytes between what is read and what is asked of memory. Memory is asked in order,
/// whatever the order of reading: that was faster than asking for the continuation of each row.
/// Tuning: the distance, a few rows in any case.
const AHEAD: usize = 4096;

/// The most vectors that the groups of one vector of scales fill.
const MOST_VECTORS: usize = 32;

thread_local! {
    static LINES: RefCell<Lines> = RefCell::default();
}

/// Products of rows `rows` of the weight, packed as `F`, with one row of activations;
/// these elements of `out` are written.
pub(super) fn one<F: Format>(
    level: Level,
    w: &Weights<'_>,
    x: &Rounded,
    rows: Range<usize>,
    out: &SharedMut<'_, f32>,
) {
    let factor = scale_factor::<F>(w);
    LINES.with_borrow_mut(|lines| {
        let mut rows = rows;
        while !rows.is_empty() {
            let count = rows.len().min(STREAMS);
            lines.read(level, w, rows.start..rows.start + count, factor);
            let format = PhantomData::<F>;
            dispatch(level, One { format, w, x, lines, row: rows.start, count, out });
            rows.start += count;
        }
    });
}

/// Products of up to [`STREAMS`] rows of the weight.
struct One<'a, 'b, F> {
    format: PhantomData<F>,
    w: &'a Weights<'b>,
    x: &'a Rounded,
    lines: &'a Lines,
    row: usize,
    count: usize,
    out: &'a SharedMut<'b, f32>,
}

impl<F: Format> CodeKernel for One<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        let lanes = LaneGroups::of::<S, F>(self.w.group());
        let mut done = 0;
        if S::MANY_REGISTERS && self.count == STREAMS {
            self.block::<S, STREAMS>(simd, lanes, 0);
            done = STREAMS;
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

impl<F: Format> One<'_, '_, F> {
    /// The products of `R` rows of the weight.
    #[inline(always)]
    fn block<S: CodeSimd, const R: usize>(&self, simd: S, lanes: &LaneGroups, first: usize) {
        let (w, x, row) = (self.w, self.x, self.row + first);
        let mut codes = [w.row(row); R];
        for (i, codes) in codes.iter_mut().enumerate() {
            *codes = w.row(row + i);
        }
        let row_bytes = codes[0].len();
        assert!(x.codes(0).len() >= x.plan.stride(), "a whole row of activations");
        let (x_codes, x_scales, x_sums) = (x.codes(0), x.scales(0), x.sums(0));
        let mut sums = [simd.splat(0.0); R];
        let (mut group, mut vector) = (0, 0);
        while group < w.groups() {
            let (x_scales, x_sums) = (&x_scales[group..], &x_sums[group..]);
            assert!(x_scales.len() >= S::LANES && x_sums.len() >= S::LANES, "padding");
            // SAFETY: just checked.
            let (x_scale, x_sum) =
                unsafe { (simd.load_floats(x_scales.as_ptr()), simd.load_floats(x_sums.as_ptr())) };
            let mut scales = [x_scale; R];
            for i in 0..R {
                let w_scales = self.lines.scales(first + i, group);
                let w_biases = self.lines.biases(first + i, group);
                assert!(w_scales.len() >= S::LANES && w_biases.len() >= S::LANES, "padding");
                // SAFETY: just checked.
                let (scale, bias) = unsafe {
                    (simd.load_floats(w_scales.as_ptr()), simd.load_floats(w_biases.as_ptr()))
                };
                scales[i] = simd.mul(scale, x_scale);
                sums[i] = simd.fma(bias, x_sum, sums[i]);
            }
            for lane_groups in lanes.groups.chunks_exact(S::LANES).take(lanes.vectors) {
                let at = vector * F::step::<S>();
                if at >= row_bytes {
                    break;
                }
                let groups = (&scales, lane_groups.as_ptr());
                let readable = row_bytes - at;
                // SAFETY: the vector begins in the row, and `readable` bytes or more follow there;
                // a number for each lane stands in `lane_groups`.
                unsafe {
                    // No load reads more than a vector: with a constant, none has a choice to make.
                    if readable >= S::WIDTH {
                        Self::vector(simd, (&codes, vector, S::WIDTH), x_codes, groups, &mut sums);
                    } else {
                        Self::vector(simd, (&codes, vector, readable), x_codes, groups, &mut sums);
                    }
                }
                vector += 1;
            }
            group += S::LANES;
        }
        // SAFETY: each task has rows of the weight of its own.
        let out = unsafe { self.out.part(row..row + R) };
        for (out, sums) in out.iter_mut().zip(sums) {
            *out = simd.sum(sums);
        }
    }

    /// Adds the products of packed vector number `vector` of each row.
    ///
    /// # Safety
    ///
    /// `readable` bytes can be read where the vector begins, which is in the row; the activations
    /// are a whole row; a number below [`LANES`](CodeSimd::LANES) can be read at `lane_groups` for
    /// each lane.
    #[inline(always)]
    unsafe fn vector<S: CodeSimd, const R: usize>(
        simd: S,
        (codes, vector, readable): (&[&[u8]; R], usize, usize),
        x: &[u8],
        (scales, lane_groups): (&[S::Floats; R], *const i32),
        sums: &mut [S::Floats; R],
    ) {
        let step = F::step::<S>();
        // Where the first plane of the activations is: see `Layout::Rows`.
        let per_block = WIDEST / S::WIDTH;
        let x_at = vector / per_block * (F::PLANES * WIDEST) + vector % per_block * S::WIDTH;
        let ahead = (R * codes[0].len()).max(AHEAD) + vector * R * step;
        for i in 0..R {
            simd.prefetch(codes[0].as_ptr().wrapping_add(ahead + i * step));
            // SAFETY: the vector begins in the row, and `readable` bytes follow it there.
            let packed = unsafe { F::load(simd, codes[i].as_ptr().add(vector * step), readable) };
            let mut dots = simd.zero();
            for plane in 0..F::PLANES {
                let codes = F::plane(simd, packed, plane);
                // SAFETY: a row of activations is padded to whole blocks, so the vector is there
                // for as long as its first code is.
                let x = unsafe { simd.load(x.as_ptr().add(x_at + plane * WIDEST)) };
                dots = if F::WIDE {
                    simd.dot::<true>(dots, codes, x)
                } else {
                    simd.dot::<false>(dots, codes, x)
                };
            }
            // SAFETY: the caller promises the numbers.
            let scale = unsafe { simd.pick(scales[i], lane_groups) };
            sums[i] = simd.fma(simd.to_floats(dots), scale, sums[i]);
        }
    }
}
