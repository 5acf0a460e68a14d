//! Dot products of rows: some rows of a weight with some rows of activations.
//!
//! A dot product is taken in blocks of [`BLOCK`] elements. Within a block each lane sums its own
//! elements in order, then the lanes are added; the blocks are added in order. Whatever rows are
//! taken together, in one tile or another, by one thread or another, each product comes out the
//! same to the bit.
#![expect(unsafe_code, reason = "tiles read rows of mapped weights at any address")]

use half::{bf16, f16};

use super::{Kernel, Simd, SimdSlices as _};
use crate::DType;
use crate::cpu::SharedMut;

/// Elements that are summed before the lanes are added.
pub(crate) const BLOCK: usize = 1024;

/// The most rows of activations in a tile.
const WIDE: usize = 6;

/// Rows of the weight that meet a single row of activations: as many sums as hide the latency of
/// an addition.
const STREAMS: usize = 8;

/// How many rows of activations make it worth to widen a panel of the weight first: AVX2 gains an
/// eighth at 512 rows, AVX-512 widens beside its multiplications for nothing.
pub(crate) const WORTH_WIDENING: usize = 64;

/// Products of some rows of a weight with some rows of activations.
pub(crate) struct Dots<'a, 'b> {
    /// Rows of `k` activations.
    pub(crate) x: &'a [f32],
    pub(crate) k: usize,
    /// Rows of `k` little-endian elements.
    pub(crate) w: &'a [u8],
    pub(crate) dtype: DType,
    /// Memory for a widened panel, [`panel_len`] long; the weight is widened again for each tile
    /// if it is empty.
    pub(crate) panel: &'a mut [f32],
    pub(crate) out: Corner<'a, 'b>,
}

/// A part of a matrix: what one task writes.
pub(crate) struct Corner<'a, 'b> {
    pub(crate) all: &'a SharedMut<'b, f32>,
    /// The distance of two rows.
    pub(crate) stride: usize,
    /// Where the first element is.
    pub(crate) at: usize,
}

/// The memory that a panel of `rows` rows of `k` elements takes.
pub(crate) fn panel_len(rows: usize, k: usize) -> usize {
    rows * k.min(BLOCK)
}

impl Kernel for Dots<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.dtype {
            DType::F32 => self.run_on::<S, f32>(simd),
            DType::F16 => self.run_on::<S, f16>(simd),
            DType::BF16 => self.run_on::<S, bf16>(simd),
            DType::U8 | DType::U32 => panic!("a dense weight of {:?}", self.dtype),
        }
    }
}

impl Dots<'_, '_> {
    #[inline(always)]
    fn run_on<S: Simd, E: Element>(self, simd: S) {
        let Self { x, k, w, panel, out, .. } = self;
        let (m, n) = (x.len() / k.max(1), w.len() / (k * E::SIZE).max(1));
        assert!(panel.is_empty() || panel.len() >= panel_len(n, k), "a panel too small");
        for from in (0..k).step_by(BLOCK) {
            let len = BLOCK.min(k - from);
            let x = Rows { first: &raw const x[from], stride: k, count: m };
            let w = Rows { first: &raw const w[from * E::SIZE], stride: k * E::SIZE, count: n };
            // SAFETY: `x` and `w` are rows of `k` elements, and `from + len <= k`.
            unsafe {
                if panel.is_empty() {
                    block::<S, E>(simd, &x, &w, len, &out, from > 0);
                } else {
                    widen::<S, E>(simd, &w, len, panel);
                    let stride = len * size_of::<f32>();
                    let w = Rows { first: panel.as_ptr().cast(), stride, count: n };
                    block::<S, f32>(simd, &x, &w, len, &out, from > 0);
                }
            }
        }
    }
}

/// An element of a weight: little-endian, at any address.
trait Element {
    const SIZE: usize;

    /// # Safety
    ///
    /// As many elements as there are lanes can be read at `from`.
    unsafe fn load<S: Simd>(simd: S, from: *const u8) -> S::Lanes;

    /// # Safety
    ///
    /// `count` elements, fewer than there are lanes, can be read at `from`.
    unsafe fn load_part<S: Simd>(simd: S, from: *const u8, count: usize) -> S::Lanes;
}

impl Element for f32 {
    const SIZE: usize = 4;

    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const u8) -> S::Lanes {
        // SAFETY: as the caller promises.
        unsafe { simd.load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_part<S: Simd>(simd: S, from: *const u8, count: usize) -> S::Lanes {
        // SAFETY: as the caller promises.
        unsafe { simd.load_part(from.cast(), count) }
    }
}

/// No family has more lanes.
const MOST_LANES: usize = 16;

/// The first `count` of as many halves as there are lanes, then zeros.
///
/// # Safety
///
/// `count` halves, at most [`MOST_LANES`], can be read at `from`.
#[inline(always)]
unsafe fn halves(from: *const u8, count: usize) -> [u16; MOST_LANES] {
    let mut halves = [0; MOST_LANES];
    for (i, half) in halves.iter_mut().enumerate().take(count) {
        // SAFETY: the caller promises that `count` halves can be read.
        *half = unsafe { from.cast::<u16>().add(i).read_unaligned() };
    }
    halves
}

impl Element for f16 {
    const SIZE: usize = 2;

    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const u8) -> S::Lanes {
        // SAFETY: as the caller promises.
        unsafe { simd.load_f16(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_part<S: Simd>(simd: S, from: *const u8, count: usize) -> S::Lanes {
        // SAFETY: as the caller promises; the array has an element for every lane.
        unsafe { simd.load_f16(halves(from, count).as_ptr()) }
    }
}

impl Element for bf16 {
    const SIZE: usize = 2;

    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const u8) -> S::Lanes {
        // SAFETY: as the caller promises.
        unsafe { simd.load_bf16(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_part<S: Simd>(simd: S, from: *const u8, count: usize) -> S::Lanes {
        // SAFETY: as the caller promises; the array has an element for every lane.
        unsafe { simd.load_bf16(halves(from, count).as_ptr()) }
    }
}

/// Rows in memory, `stride` elements of `T` apart.
struct Rows<T> {
    first: *const T,
    stride: usize,
    count: usize,
}

impl<T> Rows<T> {
    /// # Safety
    ///
    /// `row` is less than `count`.
    #[inline(always)]
    unsafe fn from(&self, row: usize) -> Self {
        // SAFETY: the row is within the same memory.
        let first = unsafe { self.first.add(row * self.stride) };
        Self { first, stride: self.stride, count: self.count - row }
    }
}

/// Copies `len` elements of each row of `w` as `f32` to `panel`, one row after another.
///
/// # Safety
///
/// The rows are at least `len` elements long, and the panel takes them all.
#[inline(always)]
unsafe fn widen<S: Simd, E: Element>(simd: S, w: &Rows<u8>, len: usize, panel: &mut [f32]) {
    for (row, panel) in panel.chunks_exact_mut(len).take(w.count).enumerate() {
        for (i, to) in panel.chunks_mut(S::LANES).enumerate() {
            // SAFETY: the elements are within the row.
            let lanes = unsafe {
                let from = w.first.add(row * w.stride + i * S::LANES * E::SIZE);
                if to.len() == S::LANES {
                    E::load(simd, from)
                } else {
                    E::load_part(simd, from, to.len())
                }
            };
            simd.write(to, lanes);
        }
    }
}

/// The products of all rows over `len` elements, written or added to `out`.
///
/// # Safety
///
/// The rows are at least `len` elements long, and nobody else reads or writes this part of `out`.
#[inline(always)]
unsafe fn block<S: Simd, E: Element>(
    simd: S,
    x: &Rows<f32>,
    w: &Rows<u8>,
    len: usize,
    out: &Corner<'_, '_>,
    add: bool,
) {
    let mut i = 0;
    while i < x.count {
        // SAFETY: `i` is below the count; the caller's promises hold for fewer rows.
        unsafe {
            let x = x.from(i);
            let to = Corner { at: out.at + i * out.stride, ..*out };
            // As many sums as there are registers for them beside the operands.
            i += match (S::MANY_REGISTERS, x.count) {
                (_, 1) => column::<S, E, STREAMS, 1>(simd, &x, w, len, &to, add),
                (true, 2) => column::<S, E, 4, 2>(simd, &x, w, len, &to, add),
                (true, 3) => column::<S, E, 4, 3>(simd, &x, w, len, &to, add),
                (true, 4) => column::<S, E, 4, 4>(simd, &x, w, len, &to, add),
                (true, 5) => column::<S, E, 4, 5>(simd, &x, w, len, &to, add),
                (true, _) => column::<S, E, 4, WIDE>(simd, &x, w, len, &to, add),
                (false, 2) => column::<S, E, 4, 2>(simd, &x, w, len, &to, add),
                (false, 3) => column::<S, E, 3, 3>(simd, &x, w, len, &to, add),
                (false, _) => column::<S, E, 3, 4>(simd, &x, w, len, &to, add),
            }
        }
    }
}

/// The products of all rows of `w` with the first `C` of `x`, in tiles of `R` rows of `w`.
/// Answers `C`.
///
/// # Safety
///
/// As for [`block`]; `x` has at least `C` rows.
#[inline(always)]
unsafe fn column<S: Simd, E: Element, const R: usize, const C: usize>(
    simd: S,
    x: &Rows<f32>,
    w: &Rows<u8>,
    len: usize,
    out: &Corner<'_, '_>,
    add: bool,
) -> usize {
    let mut j = 0;
    while j < w.count {
        // SAFETY: `j` is below the count, and so are the rows of a tile after it.
        unsafe {
            let w = w.from(j);
            let to = Corner { at: out.at + j, ..*out };
            if w.count >= R {
                tile::<S, E, R, C>(simd, x, &w, len, &to, add);
                j += R;
            } else {
                tile::<S, E, 1, C>(simd, x, &w, len, &to, add);
                j += 1;
            }
        }
    }
    C
}

/// The products of the first `R` rows of `w` with the first `C` of `x`.
///
/// # Safety
///
/// As for [`block`]; there are so many rows.
#[inline(always)]
unsafe fn tile<S: Simd, E: Element, const R: usize, const C: usize>(
    simd: S,
    x: &Rows<f32>,
    w: &Rows<u8>,
    len: usize,
    out: &Corner<'_, '_>,
    add: bool,
) {
    let mut sums = [[simd.splat(0.0); R]; C];
    let mut rows = [w.first; R];
    for (r, row) in rows.iter_mut().enumerate() {
        *row = w.first.wrapping_add(r * w.stride);
    }
    let whole = len - len % S::LANES;
    let mut i = 0;
    while i < whole {
        let mut weights = [simd.splat(0.0); R];
        for (weights, row) in weights.iter_mut().zip(&rows) {
            // SAFETY: a vector from element `i` on is within the row.
            *weights = unsafe { E::load(simd, row.add(i * E::SIZE)) };
        }
        for (c, sums) in sums.iter_mut().enumerate() {
            // SAFETY: as above.
            let x = unsafe { simd.load(x.first.add(c * x.stride + i)) };
            for (sum, weights) in sums.iter_mut().zip(&weights) {
                *sum = simd.fma(*weights, x, *sum);
            }
        }
        i += S::LANES;
    }
    if i < len {
        let rest = len - i;
        for (c, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `rest` elements are left of the row.
            let x = unsafe { simd.load_part(x.first.add(c * x.stride + i), rest) };
            for (sum, row) in sums.iter_mut().zip(&rows) {
                // SAFETY: as above.
                let weights = unsafe { E::load_part(simd, row.add(i * E::SIZE), rest) };
                *sum = simd.fma(weights, x, *sum);
            }
        }
    }
    let mut products = [[0.0; R]; C];
    let (fours, rest) = sums.as_flattened().as_chunks::<4>();
    let (first, last) = products.as_flattened_mut().as_chunks_mut::<4>();
    for (products, sums) in first.iter_mut().zip(fours) {
        *products = simd.sums(*sums);
    }
    for (product, sums) in last.iter_mut().zip(rest) {
        *product = simd.sum(*sums);
    }
    for (c, products) in products.iter().enumerate() {
        let at = out.at + c * out.stride;
        // SAFETY: nobody else has these elements, as the caller promises.
        let to = unsafe { out.all.part(at..at + R) };
        for (to, product) in to.iter_mut().zip(products) {
            *to = if add { *to + product } else { *product };
        }
    }
}
