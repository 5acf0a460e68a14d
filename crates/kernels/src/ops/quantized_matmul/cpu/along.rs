//! One row of activations to four: what decoding a few sequences takes.
//!
//! Vectors lie along the rows of the weight. These are read one after another as they lie in
//! memory, once, and unpacked in registers; memory is asked well ahead, into the second level
//! cache, which takes more requests at once than the first. Scales are met by a lane's partial sum,
//! whichever groups a vector spans. A row of activations is multiplied to the bit as it is alone.
#![expect(unsafe_code, reason = "packed codes are read at any address")]

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use super::activations::{LARGEST_GROUP, Number, Rounded};
use super::formats::Format;
use super::pairs::{offset, pairs};
use super::panel::scale_factor;
use super::scales::{Scale, widen_all};
use super::weights::Weights;
use crate::cpu::simd::quantized::{CodeKernel, CodeSimd, Level, WIDEST, dispatch, dispatch_pairs};
use crate::cpu::{Foresight, SharedMut};

/// The most rows of activations. Tuning: with more, turning a panel over once for all pays.
pub(super) const MOST: usize = 4;

/// The bytes between what is read and what is asked of memory. Tuning: less does not hide the
/// latency, more brings nothing.
const AHEAD: usize = 8192;

/// The most vectors that the groups of one vector of scales fill.
const MOST_VECTORS: usize = 32;

thread_local! {
    static LAST: RefCell<Last> = RefCell::default();
}

/// Products of rows `rows` of the weight, packed as `F`, with at most [`MOST`] rows of
/// activations in bytes; these columns of `out`, `[x.rows, w.rows]`, are written.
pub(super) fn along<F: Format>(
    level: Level,
    w: &Weights<'_>,
    x: &Rounded,
    rows: Range<usize>,
    out: &SharedMut<'_, f32>,
) {
    LAST.with_borrow_mut(|last| {
        let format = PhantomData::<F>;
        if w.scale() == Scale::BF16 {
            dispatch(level, Along::<F, false, true> { format, w, x, rows, last, out });
        } else {
            dispatch(level, Along::<F, false, false> { format, w, x, rows, last, out });
        }
    });
}

/// As [`along`], with activations in `bf16`.
pub(super) fn along_pairs<F: Format>(
    level: Level,
    w: &Weights<'_>,
    x: &Rounded,
    rows: Range<usize>,
    out: &SharedMut<'_, f32>,
) {
    LAST.with_borrow_mut(|last| {
        let format = PhantomData::<F>;
        dispatch_pairs(level, Along::<F, true, false> { format, w, x, rows, last, out });
    });
}

/// `PAIRS` says whether activations are `bf16`; `BF16`, whether scales are, which is the usual way:
/// then no loop has a choice to make.
struct Along<'a, 'b, F, const PAIRS: bool, const BF16: bool> {
    format: PhantomData<F>,
    w: &'a Weights<'b>,
    x: &'a Rounded,
    rows: Range<usize>,
    last: &'a mut Last,
    out: &'a SharedMut<'b, f32>,
}

impl<F: Format, const PAIRS: bool, const BF16: bool> CodeKernel for Along<'_, '_, F, PAIRS, BF16> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        match self.x.plan.rows {
            1 => self.rows::<S, 1>(simd),
            2 => self.rows::<S, 2>(simd),
            3 => self.rows::<S, 3>(simd),
            4 => self.rows::<S, 4>(simd),
            rows => unreachable!("{rows} rows"),
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

/// What does not change from row to row of a product: no division is left for the loops.
struct Fixed<S: CodeSimd> {
    lanes: &'static LaneGroups,
    /// Groups of a row.
    groups: usize,
    /// Vectors of a row, the last of which may reach beyond it.
    vectors: usize,
    /// How scales are stored.
    kind: Scale,
    factor: S::Floats,
    x_codes: *const u8,
    x_scales: *const f32,
    x_sums: *const f32,
    /// Bytes from one row of activations to the next.
    x_stride: usize,
    x_groups: usize,
}

/// Where a row of the weight is.
#[derive(Clone, Copy)]
struct Row {
    codes: *const u8,
    scales: *const u8,
    biases: *const u8,
}

/// A copy of a row behind which memory goes on: whole vectors can be read at its last elements.
#[derive(Default)]
struct Last {
    codes: Vec<u8>,
    scales: Vec<u8>,
    biases: Vec<u8>,
}

impl Last {
    fn copy(&mut self, w: &Weights<'_>, row: usize) -> Row {
        let copy = |to: &mut Vec<u8>, from: &[u8]| {
            to.clear();
            to.extend_from_slice(from);
            to.resize(from.len() + WIDEST, 0);
            to.as_ptr()
        };
        Row {
            codes: copy(&mut self.codes, w.row(row)),
            scales: copy(&mut self.scales, w.row_scales(row)),
            biases: copy(&mut self.biases, w.row_biases(row)),
        }
    }
}

impl<F: Format, const PAIRS: bool, const BF16: bool> Along<'_, '_, F, PAIRS, BF16> {
    /// The products with `T` rows of activations.
    #[inline(always)]
    fn rows<S: CodeSimd, const T: usize>(self, simd: S) {
        let Self { w, x, rows, last, out, .. } = self;
        let lanes = LaneGroups::of::<S, F>(w.group());
        let groups = w.groups();
        let fixed = Fixed::<S> {
            lanes,
            groups,
            vectors: (groups * lanes.vectors).div_ceil(S::LANES),
            kind: w.scale(),
            factor: simd.splat(scale_factor::<F>(w)),
            x_codes: x.codes(0).as_ptr(),
            x_scales: x.scales(0).as_ptr(),
            x_sums: x.sums(0).as_ptr(),
            x_stride: x.plan.bytes(),
            x_groups: x.plan.groups(),
        };
        assert!(x.plan.rows == T && x.codes(0).len() >= T * fixed.x_stride, "activations");
        assert!((x.plan.number == Number::Bf16) == PAIRS, "kind of activations");
        assert!(x.scales(0).len() >= T * fixed.x_groups, "scales of activations");
        assert!(x.sums(0).len() >= T * fixed.x_groups, "sums of activations");
        assert!(fixed.x_groups >= groups.next_multiple_of(S::LANES), "padding of activations");
        assert!(rows.end <= w.rows(), "rows of the weight");
        let bytes = [w.row(0).len(), w.row_scales(0).len(), w.row_biases(0).len()];
        let (all_codes, all_scales, all_biases) = w.parts();
        // Behind rows up to here there are others, of a vector together.
        let within = {
            let rows = |bytes: usize| WIDEST.div_ceil(bytes.max(1));
            w.rows().saturating_sub(rows(bytes[0]).max(rows(bytes[1])))
        };
        for number in rows {
            let row = if number < within {
                Row {
                    codes: all_codes.as_ptr().wrapping_add(number * bytes[0]),
                    scales: all_scales.as_ptr().wrapping_add(number * bytes[1]),
                    biases: all_biases.as_ptr().wrapping_add(number * bytes[2]),
                }
            } else {
                last.copy(w, number)
            };
            // SAFETY: a vector can be read at each element of the row.
            let sums = unsafe { Self::row::<S, T>(simd, &fixed, row) };
            for (t, sums) in sums.into_iter().enumerate() {
                let at = t * w.rows() + number;
                // SAFETY: each task has rows of the weight of its own.
                unsafe { out.part(at..at + 1)[0] = simd.sum(sums) };
            }
        }
    }

    /// The products of one row of the weight, in parts that each lane has summed.
    ///
    /// # Safety
    ///
    /// Where any code, scale or bias of the row is, a vector can be read.
    #[inline(always)]
    unsafe fn row<S: CodeSimd, const T: usize>(
        simd: S,
        fixed: &Fixed<S>,
        row: Row,
    ) -> [S::Floats; T] {
        let kind = if BF16 { Scale::BF16 } else { fixed.kind };
        let mut sums = [simd.splat(0.0); T];
        let mut vector = 0;
        for group in (0..fixed.groups).step_by(S::LANES) {
            let at = group * kind.size();
            let left = fixed.groups - group;
            // SAFETY: the caller promises a vector here.
            let scale = unsafe { widen_all(simd, kind, row.scales.add(at)) };
            let scale = simd.first(scale, left);
            let scale = if F::OFFSET.is_some() { simd.mul(scale, fixed.factor) } else { scale };
            let bias = if F::BIASED {
                // SAFETY: as above.
                simd.first(unsafe { widen_all(simd, kind, row.biases.add(at)) }, left)
            } else {
                simd.splat(0.0)
            };
            let bias = match F::OFFSET {
                _ if PAIRS => simd.fma(scale, simd.splat(-offset::<F>()), bias),
                None => bias,
                // What is taken from each code is in the sums of the activations.
                Some(_) => scale,
            };
            let mut scales = [scale; T];
            for (t, (scale, sum)) in scales.iter_mut().zip(&mut sums).enumerate() {
                let at = t * fixed.x_groups + group;
                // SAFETY: `T` rows of activations have as many groups, padded to whole vectors.
                unsafe {
                    if !PAIRS {
                        *scale = simd.mul(*scale, simd.load_floats(fixed.x_scales.add(at)));
                    }
                    *sum = simd.fma(bias, simd.load_floats(fixed.x_sums.add(at)), *sum);
                }
            }
            let left = fixed.lanes.vectors.min(fixed.vectors - vector);
            for lane_groups in fixed.lanes.groups.chunks_exact(S::LANES).take(left) {
                let from = row.codes.wrapping_add(vector * F::step::<S>());
                simd.prefetch(Foresight::Own, from.wrapping_add(AHEAD));
                // SAFETY: the caller promises a vector here.
                let packed = unsafe { F::load(simd, from) };
                // SAFETY: the vector is one of the row.
                let dots = unsafe { Self::dots::<S, T>(simd, fixed, packed, vector) };
                for (t, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: there is a number for each lane, below their number.
                    let scale = unsafe { simd.pick(scales[t], lane_groups.as_ptr()) };
                    *sum = simd.fma(dots[t], scale, *sum);
                }
                vector += 1;
            }
        }
        sums
    }

    /// What each lane of a packed vector is, times activations.
    ///
    /// # Safety
    ///
    /// The vector is one of the row.
    #[inline(always)]
    unsafe fn dots<S: CodeSimd, const T: usize>(
        simd: S,
        fixed: &Fixed<S>,
        packed: S::Bytes,
        vector: usize,
    ) -> [S::Floats; T] {
        let (mut ints, mut floats) = ([simd.zero(); T], [simd.splat(0.0); T]);
        for plane in 0..F::PLANES {
            let codes = F::plane(simd, packed, plane);
            let x = fixed.x_codes.wrapping_add(x_at::<S, F, PAIRS>(vector, plane));
            // SAFETY: a row of activations is padded to whole blocks, so the vector is there for as
            // long as its first code is, and there are `T` rows.
            unsafe {
                if PAIRS {
                    let [first, second] = pairs::<S, F>(simd, codes);
                    for (t, dots) in floats.iter_mut().enumerate() {
                        let x = x.add(t * fixed.x_stride);
                        *dots = simd.dot_pairs(*dots, first, simd.load(x));
                        *dots = simd.dot_pairs(*dots, second, simd.load(x.add(WIDEST)));
                    }
                } else {
                    for (t, dots) in ints.iter_mut().enumerate() {
                        let x = simd.load(x.add(t * fixed.x_stride));
                        *dots = if F::WIDE {
                            simd.dot::<true>(*dots, codes, x)
                        } else {
                            simd.dot::<false>(*dots, codes, x)
                        };
                    }
                }
            }
        }
        if !PAIRS {
            for (floats, ints) in floats.iter_mut().zip(ints) {
                *floats = simd.to_floats(ints);
            }
        }
        floats
    }
}

/// Where in a row of activations the plane of a vector is: see
/// [`Layout::Rows`](super::activations::Layout::Rows).
#[inline(always)]
fn x_at<S: CodeSimd, F: Format, const PAIRS: bool>(vector: usize, plane: usize) -> usize {
    let per_block = WIDEST / S::WIDTH;
    let block = vector / per_block * F::PLANES + plane;
    let bytes = if PAIRS { 2 * WIDEST } else { WIDEST };
    block * bytes + vector % per_block * S::WIDTH
}
