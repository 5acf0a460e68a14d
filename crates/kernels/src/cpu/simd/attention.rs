//! Attention of a tile of queries, one query in each lane.
//!
//! Keys and values are widened a block at a time and serve every query of the tile as broadcast
//! operands; scores, weights and sums are `[keys or elements][queries]`, so the softmax runs down
//! the lanes and nothing is added across them. What a lane computes does not depend on its
//! neighbours: a key that one query does not see has the weight zero, which changes no sum. (An
//! infinite value times that zero is NaN, so if a *later* row of the same sequence has infinite
//! values, earlier rows of its tile may become NaN too.)
//!
//! The softmax keeps the largest score so far (Milakov and Gimelshein, "Online normalizer
//! calculation for softmax", 2018). It starts anew at every [`SEGMENT`] of the sequence, and the
//! segments are merged in order, so that a long past may be divided among threads (Dao et al.,
//! "Flash-Decoding", 2023) and give the same bits as on one.
#![expect(unsafe_code, reason = "tiles of raw pointers in the inner loops")]

use std::ops::Range;

use half::f16;

use super::{Kernel, Simd, SimdSlices as _, exp};
use crate::cpu::SharedMut;

/// Positions that one softmax runs over; the results of segments are merged.
pub(crate) const SEGMENT: usize = 512;

/// Keys that are widened and scored together. Divides [`SEGMENT`].
const BLOCK: usize = 32;

/// Keys, or elements of values, in a tile of sums.
const DEPTH: usize = 8;

/// Some rows of keys or values in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) numbers: Numbers<'a>,
    /// How many rows.
    pub(crate) rows: usize,
    /// The distance of two rows.
    pub(crate) stride: usize,
}

/// Numbers of either width.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbers<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
}

/// The keys and values of one head of one sequence.
pub(crate) trait Past {
    /// Rows of keys from position `at` on, at least one of them.
    fn keys(&self, at: usize) -> Run<'_>;

    /// Rows of values from position `at` on, at least one of them.
    fn values(&self, at: usize) -> Run<'_>;
}

/// The extents of an attention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Widths {
    /// Query heads.
    pub(crate) heads: usize,
    /// Query heads that share a key/value head.
    pub(crate) group: usize,
    /// The width of a key.
    pub(crate) key: usize,
    /// The width of a value.
    pub(crate) value: usize,
}

/// The queries in the lanes of a tile: numbers `first..first + visible.len()` of the
/// (row, head of the group) pairs of a sequence.
pub(crate) struct Tile<'a, 'b> {
    pub(crate) widths: Widths,
    /// The queries of the sequence from the head group on: row `r`, head `h` of the group at
    /// `(r * heads + h) * key`.
    pub(crate) queries: &'a [f32],
    pub(crate) first: usize,
    /// Which positions each query sees; both ends never decrease.
    pub(crate) visible: &'a [Range<usize>],
    pub(crate) scale: f32,
    /// Vectors of queries: 1 or 2.
    pub(crate) vectors: usize,
    /// [`scratch_len`] numbers.
    pub(crate) scratch: &'a mut [f32],
    pub(crate) to: Target<'a, 'b>,
}

/// Where a tile's result goes.
pub(crate) enum Target<'a, 'b> {
    /// To the rows of the output, of which `at` is row 0, head 0 of the group.
    Rows { all: &'a SharedMut<'b, f32>, at: usize },
    /// To a state that will be merged: the tile did only a part of its positions.
    State(&'a mut [f32]),
}

/// The numbers of the state of a tile `lanes` wide: for each lane the largest score, the sum of
/// the weights, and the weighted sum of the values.
pub(crate) fn state_len(widths: Widths, lanes: usize) -> usize {
    (2 + widths.value) * lanes
}

/// The numbers of scratch that a tile `lanes` wide needs.
pub(crate) fn scratch_len(widths: Widths, lanes: usize) -> usize {
    2 * state_len(widths, lanes)
        + (widths.key + BLOCK) * lanes
        + BLOCK * (widths.key + widths.value)
}

/// A tile and what it attends to, at `positions`, which are cut at segments.
pub(crate) struct Attend<'a, 'b, P> {
    pub(crate) tile: Tile<'a, 'b>,
    pub(crate) past: P,
    pub(crate) positions: Range<usize>,
}

impl<P: Past> Kernel for Attend<'_, '_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match (self.tile.vectors, S::MANY_REGISTERS) {
            (1, _) => self.run_in::<S, 1, DEPTH>(simd),
            (_, true) => self.run_in::<S, 2, DEPTH>(simd),
            (_, false) => self.run_in::<S, 2, { DEPTH / 2 }>(simd),
        }
    }
}

/// Merges the states of segments, in order, and writes the rows.
pub(crate) struct Merge<'a, 'b> {
    pub(crate) widths: Widths,
    pub(crate) first: usize,
    pub(crate) count: usize,
    /// The first of the states becomes the sum of all.
    pub(crate) states: &'a mut [f32],
    pub(crate) lanes: usize,
    pub(crate) all: &'a SharedMut<'b, f32>,
    pub(crate) at: usize,
}

impl Kernel for Merge<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let len = state_len(self.widths, self.lanes);
        let (total, rest) = self.states.split_at_mut(len);
        for state in rest.chunks_exact(len) {
            merge(simd, total, state, self.lanes);
        }
        let queries = self.first..self.first + self.count;
        write(total, self.lanes, self.widths, queries, self.all, self.at);
    }
}

impl<P: Past> Attend<'_, '_, P> {
    #[inline(always)]
    fn run_in<S: Simd, const V: usize, const D: usize>(self, simd: S) {
        let Self { tile, past, positions } = self;
        let Widths { heads, group, key, value } = tile.widths;
        let lanes = V * S::LANES;
        assert!(tile.scratch.len() >= scratch_len(tile.widths, lanes), "scratch too small");
        assert!(tile.visible.len() <= lanes, "more queries than lanes");
        let len = state_len(tile.widths, lanes);
        let (total, rest) = tile.scratch.split_at_mut(len);
        let (state, rest) = rest.split_at_mut(len);
        let (queries, rest) = rest.split_at_mut(key * lanes);
        let (scores, rest) = rest.split_at_mut(BLOCK * lanes);
        let (keys, rest) = rest.split_at_mut(BLOCK * key);
        let values = &mut rest[..BLOCK * value];

        queries.fill(0.0);
        for lane in 0..tile.visible.len() {
            let (row, head) = ((tile.first + lane) / group, (tile.first + lane) % group);
            let query = &tile.queries[(row * heads + head) * key..][..key];
            for (x, to) in query.iter().zip(queries.chunks_exact_mut(lanes)) {
                to[lane] = x * tile.scale;
            }
        }
        let (Some(low), Some(high)) = (tile.visible.first(), tile.visible.last()) else { return };
        let everybody = high.start..low.end;
        clear(total, lanes);
        let mut from = positions.start;
        while from < positions.end {
            let segment_end = (from / SEGMENT + 1) * SEGMENT;
            let until = segment_end.min(positions.end);
            clear(state, lanes);
            while from < until {
                let to = ((from / BLOCK + 1) * BLOCK).min(until);
                let n = to - from;
                widen_rows(simd, &past, true, from..to, key, keys);
                widen_rows(simd, &past, false, from..to, value, values);
                if V == 1 && to < positions.end {
                    // Few queries: the past comes from memory, a page here and a page there.
                    ask(simd, past.keys(to), key);
                    ask(simd, past.values(to), value);
                }
                score::<S, V, D>(simd, queries, keys, n, scores);
                if from < everybody.start || to > everybody.end {
                    hide(simd, tile.visible, from, n, lanes, scores);
                }
                weigh::<S, V>(simd, scores, n, state, values, value);
                from = to;
            }
            merge(simd, total, state, lanes);
        }
        match tile.to {
            Target::State(to) => to.copy_from_slice(total),
            Target::Rows { all, at } => {
                let queries = tile.first..tile.first + tile.visible.len();
                write(total, lanes, tile.widths, queries, all, at);
            }
        }
    }
}

/// Makes `state` that of no positions.
#[inline(always)]
fn clear(state: &mut [f32], lanes: usize) {
    let (most, sums) = state.split_at_mut(lanes);
    most.fill(f32::NEG_INFINITY);
    sums.fill(0.0);
}

/// Copies the rows of `positions`, `width` wide, to `out`, one after another.
#[inline(always)]
fn widen_rows<S: Simd, P: Past>(
    simd: S,
    past: &P,
    keys: bool,
    positions: Range<usize>,
    width: usize,
    out: &mut [f32],
) {
    let mut out = &mut out[..positions.len() * width];
    let mut at = positions.start;
    while at < positions.end {
        let run = if keys { past.keys(at) } else { past.values(at) };
        let rows = run.rows.min(positions.end - at);
        at += rows;
        let (to, rest) = out.split_at_mut(rows * width);
        out = rest;
        if run.stride == width {
            widen(simd, run.numbers, 0, to);
        } else {
            for row in 0..rows {
                widen(simd, run.numbers, row * run.stride, &mut to[row * width..][..width]);
            }
        }
    }
}

/// Asks for the first rows of `run`, at most a block of them, before they are needed.
#[inline(always)]
fn ask<S: Simd>(simd: S, run: Run<'_>, width: usize) {
    const LINE: usize = 64;
    let (first, size) = match run.numbers {
        Numbers::F32(numbers) => (numbers.as_ptr().cast::<u8>(), size_of::<f32>()),
        Numbers::F16(numbers) => (numbers.as_ptr().cast(), size_of::<f16>()),
    };
    if run.stride == width {
        for at in (0..run.rows.min(BLOCK) * width * size).step_by(LINE) {
            simd.prefetch(first.wrapping_add(at));
        }
    }
}

/// Copies the numbers from `at` on, as many as `out` takes.
#[inline(always)]
fn widen<S: Simd>(simd: S, numbers: Numbers<'_>, at: usize, out: &mut [f32]) {
    match numbers {
        Numbers::F32(from) => out.copy_from_slice(&from[at..][..out.len()]),
        Numbers::F16(from) => {
            let from = &from[at..][..out.len()];
            let (from, rest) = from.split_at(from.len() - from.len() % S::LANES);
            let (out, last) = out.split_at_mut(from.len());
            for (out, from) in out.chunks_exact_mut(S::LANES).zip(from.chunks_exact(S::LANES)) {
                // SAFETY: the piece has as many halves as there are lanes.
                simd.write(out, unsafe { simd.load_f16(from.as_ptr().cast()) });
            }
            for (out, from) in last.iter_mut().zip(rest) {
                *out = from.to_f32();
            }
        }
    }
}

/// `scores[j][lane] = sum over i of keys[j][i] * queries[i][lane]` for `n` keys, and arbitrary
/// ones for the rest of the last tile.
#[inline(always)]
fn score<S: Simd, const V: usize, const D: usize>(
    simd: S,
    queries: &[f32],
    keys: &[f32],
    n: usize,
    scores: &mut [f32],
) {
    let (lanes, width) = (V * S::LANES, keys.len() / BLOCK);
    assert!(queries.len() == width * lanes && scores.len() == BLOCK * lanes && n <= BLOCK);
    let mut j = 0;
    while j < n {
        let mut sums = [[simd.splat(0.0); V]; D];
        for i in 0..width {
            // SAFETY: `i` is less than the width, a block is a whole number of tiles long, and
            // the lengths are as asserted.
            unsafe {
                let mut query = [simd.splat(0.0); V];
                for (v, query) in query.iter_mut().enumerate() {
                    *query = simd.load(queries.as_ptr().add(i * lanes + v * S::LANES));
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let key = simd.splat(*keys.as_ptr().add((j + row) * width + i));
                    for (sum, query) in sums.iter_mut().zip(&query) {
                        *sum = simd.fma(key, *query, *sum);
                    }
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                simd.write(&mut scores[(j + row) * lanes + v * S::LANES..], *sum);
            }
        }
        j += D;
    }
}

/// Makes the scores of `n` keys from position `from` on minus infinity where a query does not see
/// them.
#[inline(always)]
fn hide<S: Simd>(
    simd: S,
    visible: &[Range<usize>],
    from: usize,
    n: usize,
    lanes: usize,
    scores: &mut [f32],
) {
    for first in (0..lanes).step_by(S::LANES) {
        // Relative to the block, so that they are exact.
        let (mut starts, mut ends) = ([0.0; 16], [0.0; 16]);
        for (i, visible) in visible.iter().skip(first).take(S::LANES).enumerate() {
            starts[i] = visible.start.saturating_sub(from).min(n) as f32;
            ends[i] = visible.end.saturating_sub(from).min(n) as f32;
        }
        let (start, end) = (simd.read(&starts), simd.read(&ends));
        let hidden = simd.splat(f32::NEG_INFINITY);
        for j in 0..n {
            let scores = &mut scores[j * lanes + first..];
            let position = simd.splat(j as f32);
            let score = simd.where_less(position, end, simd.read(scores), hidden);
            simd.write(scores, simd.where_less(position, start, hidden, score));
        }
    }
}

/// Adds `n` keys with the given scores, and their values, to `state`.
#[inline(always)]
fn weigh<S: Simd, const V: usize>(
    simd: S,
    scores: &mut [f32],
    n: usize,
    state: &mut [f32],
    values: &[f32],
    width: usize,
) {
    let lanes = V * S::LANES;
    let (most, rest) = state.split_at_mut(lanes);
    let (sum, products) = rest.split_at_mut(lanes);
    let mut shrink = [simd.splat(1.0); V];
    for (v, shrink) in shrink.iter_mut().enumerate() {
        let at = v * S::LANES;
        let before = simd.read(&most[at..]);
        let mut now = before;
        for j in 0..n {
            now = simd.at_least(now, simd.read(&scores[j * lanes + at..]));
        }
        let zero = finite(simd, now);
        *shrink = exp(simd, simd.sub(before, zero));
        let mut total = simd.splat(0.0);
        for j in 0..n {
            let score = &mut scores[j * lanes + at..];
            let weight = exp(simd, simd.sub(simd.read(score), zero));
            simd.write(score, weight);
            total = simd.add(total, weight);
        }
        simd.write(&mut most[at..], now);
        let total = simd.fma(simd.read(&sum[at..]), *shrink, total);
        simd.write(&mut sum[at..], total);
    }
    let operands = Operands { weights: &scores[..n * lanes], values, width, shrink };
    let mut i = 0;
    while i < width {
        i += match (S::MANY_REGISTERS || V == 1, width - i) {
            (true, DEPTH..) => gather::<S, V, DEPTH>(simd, &operands, i, products),
            (false, 4..) => gather::<S, V, 4>(simd, &operands, i, products),
            _ => gather::<S, V, 1>(simd, &operands, i, products),
        };
    }
}

/// What the sums over a block are taken of.
struct Operands<'a, L, const V: usize> {
    /// `[n][lanes]`
    weights: &'a [f32],
    /// `[n][width]`
    values: &'a [f32],
    width: usize,
    /// What the sums so far are multiplied by.
    shrink: [L; V],
}

/// `products[i] = products[i] * shrink + sum over j of weights[j] * values[j][i]` for `D` elements
/// from `first` on. Answers `D`.
#[inline(always)]
fn gather<S: Simd, const V: usize, const D: usize>(
    simd: S,
    operands: &Operands<'_, S::Lanes, V>,
    first: usize,
    products: &mut [f32],
) -> usize {
    let &Operands { weights, values, width, shrink } = operands;
    let lanes = V * S::LANES;
    let n = weights.len() / lanes;
    assert!(first + D <= width && n * width <= values.len() && products.len() == width * lanes);
    let mut sums = [shrink; D];
    for (i, sums) in sums.iter_mut().enumerate() {
        for (v, sum) in sums.iter_mut().enumerate() {
            // SAFETY: there are `lanes` products for each element.
            let so_far =
                unsafe { simd.load(products.as_ptr().add((first + i) * lanes + v * S::LANES)) };
            *sum = simd.mul(so_far, *sum);
        }
    }
    for j in 0..n {
        // SAFETY: there are `lanes` weights and `width` elements for each key.
        unsafe {
            let mut weight = shrink;
            for (v, weight) in weight.iter_mut().enumerate() {
                *weight = simd.load(weights.as_ptr().add(j * lanes + v * S::LANES));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let value = simd.splat(*values.as_ptr().add(j * width + first + i));
                for (sum, weight) in sums.iter_mut().zip(&weight) {
                    *sum = simd.fma(value, *weight, *sum);
                }
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (v, sum) in sums.iter().enumerate() {
            simd.write(&mut products[(first + i) * lanes + v * S::LANES..], *sum);
        }
    }
    D
}

/// `most`, or zero where nothing was seen yet: what scores are compared with.
#[inline(always)]
fn finite<S: Simd>(simd: S, most: S::Lanes) -> S::Lanes {
    simd.where_less(most, simd.splat(f32::MIN), simd.splat(0.0), most)
}

/// Adds the positions of `other` to those of `total`.
#[inline(always)]
fn merge<S: Simd>(simd: S, total: &mut [f32], other: &[f32], lanes: usize) {
    for at in (0..lanes).step_by(S::LANES) {
        let (a, b) = (simd.read(&total[at..]), simd.read(&other[at..]));
        let most = simd.at_least(a, b);
        let zero = finite(simd, most);
        let (shrink, factor) = (exp(simd, simd.sub(a, zero)), exp(simd, simd.sub(b, zero)));
        simd.write(&mut total[at..], most);
        let rows = total.chunks_exact_mut(lanes).zip(other.chunks_exact(lanes));
        for (total, other) in rows.skip(1) {
            let (total, other) = (&mut total[at..], &other[at..]);
            let sum = simd.mul(simd.read(total), shrink);
            simd.write(total, simd.fma(simd.read(other), factor, sum));
        }
    }
}

/// Divides the sums of a tile by the sums of its weights and writes them to the rows of `queries`.
#[inline(always)]
fn write(
    state: &[f32],
    lanes: usize,
    widths: Widths,
    queries: Range<usize>,
    all: &SharedMut<'_, f32>,
    at: usize,
) {
    let Widths { heads, group, value, .. } = widths;
    let (sums, products) = state[lanes..].split_at(lanes);
    for (lane, query) in queries.enumerate() {
        let at = at + (query / group * heads + query % group) * value;
        // SAFETY: a query belongs to one tile.
        let out = unsafe { all.part(at..at + value) };
        for (out, product) in out.iter_mut().zip(products.chunks_exact(lanes)) {
            *out = product[lane] / sums[lane];
        }
    }
}
