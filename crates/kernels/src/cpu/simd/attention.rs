//! Attention of some queries over a block of keys and values that lie ready to be multiplied.
//!
//! A sum is taken in *units* of four bytes: one `f32`, or two `bf16` ([`Unit`]). Keys are
//! `[units][positions]` and values `[units of positions][elements]`, so the lanes of a vector are
//! positions first and elements of the output then, queries and weights are broadcast from memory
//! as they lie, and nothing is added across lanes but once at the end. A query computes the same
//! whichever others are beside it and however many lanes there are: a key that it does not see has
//! the weight zero, which changes no sum. (An infinite value times that zero is NaN, so if a
//! *later* row of the same sequence has infinite values, earlier rows may become NaN too.)
//!
//! The softmax keeps the largest score so far (Milakov and Gimelshein, "Online normalizer
//! calculation for softmax", 2018; Dao et al., "FlashAttention", 2022). It starts anew at every
//! [`SEGMENT`] of the sequence, and the segments are merged in order, so that a long past may be
//! divided among threads (Dao et al., "Flash-Decoding", 2023) and give the same bits as on one.
#![expect(unsafe_code, reason = "tiles of raw pointers in the inner loops")]

use std::marker::PhantomData;
use std::ops::Range;

use super::{Kernel, Simd, SimdSlices as _, exp};
use crate::cpu::SharedMut;

/// Positions that one softmax runs over; the results of segments are merged.
pub(crate) const SEGMENT: usize = 512;

/// Positions that are scored before they are weighed. Divides [`SEGMENT`].
pub(crate) const BLOCK: usize = 2 * GROUP;

/// Positions whose keys and values lie together.
pub(crate) const GROUP: usize = 32;

/// The partial sums of weights: position `p` is in number `p % PARTS`, on every machine.
const PARTS: usize = 16;

/// Vectors in a row of a tile of sums.
const WIDE: usize = 2;

/// The widths of values are padded to a multiple of this: a row of a tile on every machine.
const PADDING: usize = WIDE * 16;

/// What stands in the four bytes of a unit.
pub(crate) trait Unit {
    /// Elements of a sum in one unit.
    const ELEMENTS: usize;

    /// `sum` and the products of two units, in every lane.
    fn dot<S: Simd>(simd: S, sum: S::Lanes, a: S::Lanes, b: S::Lanes) -> S::Lanes;

    /// `e^x`, as precisely as the unit can tell.
    fn exp<S: Simd>(simd: S, x: S::Lanes) -> S::Lanes;

    /// Writes elements from number `at` of the units at `to` on.
    ///
    /// # Safety
    ///
    /// There is memory for them.
    unsafe fn store<S: Simd>(simd: S, to: *mut f32, at: usize, lanes: S::Lanes);
}

/// One `f32`.
pub(crate) struct Single;

impl Unit for Single {
    const ELEMENTS: usize = 1;

    #[inline(always)]
    fn dot<S: Simd>(simd: S, sum: S::Lanes, a: S::Lanes, b: S::Lanes) -> S::Lanes {
        simd.fma(a, b, sum)
    }

    #[inline(always)]
    fn exp<S: Simd>(simd: S, x: S::Lanes) -> S::Lanes {
        exp(simd, x)
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(simd: S, to: *mut f32, at: usize, lanes: S::Lanes) {
        // SAFETY: as the caller promises.
        unsafe { simd.store(to.add(at), lanes) }
    }
}

/// Two `bf16`.
pub(crate) struct Pair;

impl Unit for Pair {
    const ELEMENTS: usize = 2;

    #[inline(always)]
    fn dot<S: Simd>(simd: S, sum: S::Lanes, a: S::Lanes, b: S::Lanes) -> S::Lanes {
        simd.dot_pairs(sum, a, b)
    }

    #[inline(always)]
    fn exp<S: Simd>(simd: S, x: S::Lanes) -> S::Lanes {
        simd.exp_coarse(x)
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(simd: S, to: *mut f32, at: usize, lanes: S::Lanes) {
        // SAFETY: as the caller promises.
        unsafe { simd.store_bf16(to.cast::<u16>().add(at), lanes) }
    }
}

/// The keys and values of [`GROUP`] positions of one head. Keys of positions that nobody sees may
/// be anything; their values are finite.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group<'a> {
    /// `[units of the width][GROUP]`
    pub(crate) keys: &'a [f32],
    /// `[units of GROUP][padded width]`
    pub(crate) values: &'a [f32],
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
    /// Elements in a unit: 1 or 2.
    pub(crate) unit: usize,
}

impl Widths {
    /// Units of a key or a query.
    pub(crate) fn key_units(&self) -> usize {
        self.key.div_ceil(self.unit)
    }

    /// Elements of a value with padding.
    pub(crate) fn padded(&self) -> usize {
        self.value.next_multiple_of(PADDING)
    }

    /// Numbers of the keys of a [`Group`].
    pub(crate) fn group_keys(&self) -> usize {
        self.key_units() * GROUP
    }

    /// Numbers of the values of a [`Group`].
    pub(crate) fn group_values(&self) -> usize {
        GROUP / self.unit * self.padded()
    }

    /// Numbers of the state of one query: the largest score (in a part of its own), the sum of the
    /// weights in [`PARTS`], and the weighted sum of the values.
    pub(crate) fn state(&self) -> usize {
        2 * PARTS + self.padded()
    }
}

/// Numbers of scratch that [`Step`] needs: the scores of a tile.
pub(crate) const SCORES: usize = MOST_ROWS * BLOCK;

/// The most queries in a tile.
const MOST_ROWS: usize = 8;

/// Adds a block of positions to the states of some queries.
pub(crate) struct Step<'a, U> {
    pub(crate) unit: PhantomData<U>,
    pub(crate) widths: Widths,
    /// `[queries][units]`, scaled.
    pub(crate) queries: &'a [f32],
    /// Which positions each query sees; both ends never decrease.
    pub(crate) visible: &'a [Range<usize>],
    /// `[queries][state]`
    pub(crate) states: &'a mut [f32],
    /// [`SCORES`] numbers.
    pub(crate) scores: &'a mut [f32],
    /// The first position.
    pub(crate) from: usize,
    /// One or two.
    pub(crate) groups: &'a [Group<'a>],
    /// What the next step will read, if it is known: memory is asked for it in time.
    pub(crate) next: &'a [Group<'a>],
}

impl<U: Unit> Kernel for Step<'_, U> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (count, widths) = (self.visible.len(), self.widths);
        assert_eq!(widths.unit, U::ELEMENTS, "units");
        assert!(self.groups.len() * GROUP <= BLOCK && self.scores.len() >= SCORES, "a block");
        assert!(self.queries.len() >= count * widths.key_units(), "queries");
        assert!(self.states.len() >= count * widths.state(), "states");
        for group in self.groups {
            assert!(group.keys.len() >= widths.group_keys(), "keys");
            assert!(group.values.len() >= widths.group_values(), "values");
        }
        let most = if S::MANY_REGISTERS { MOST_ROWS } else { MOST_ROWS / 2 };
        let mut first = 0;
        while first < count {
            let rows = most.min(count - first);
            match rows {
                1 => self.tile::<S, 1>(simd, first),
                2 => self.tile::<S, 2>(simd, first),
                3 => self.tile::<S, 3>(simd, first),
                4 => self.tile::<S, 4>(simd, first),
                5 if S::MANY_REGISTERS => self.tile::<S, 5>(simd, first),
                6 if S::MANY_REGISTERS => self.tile::<S, 6>(simd, first),
                7 if S::MANY_REGISTERS => self.tile::<S, 7>(simd, first),
                8 if S::MANY_REGISTERS => self.tile::<S, 8>(simd, first),
                _ => unreachable!("a tile of {rows} rows"),
            }
            first += rows;
        }
    }
}

impl<U: Unit> Step<'_, U> {
    /// The `R` queries from `first` on.
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&mut self, simd: S, first: usize) {
        let (low, high) = (self.visible[first].start, self.visible[first + R - 1].end);
        if high <= self.from || low >= self.from + self.groups.len() * GROUP {
            return;
        }
        let groups = &self.groups[..self.groups.len().min((high - self.from).div_ceil(GROUP))];
        let (units, state) = (self.widths.key_units(), self.widths.state());
        let queries = &self.queries[first * units..][..R * units];
        let scores = &mut self.scores[..MOST_ROWS * BLOCK];
        for (number, group) in groups.iter().enumerate() {
            let next = self.next.get(number).map_or(group.keys, |next| next.keys);
            let scores = &mut scores[number * GROUP..];
            // SAFETY: the lengths were checked in `run`.
            unsafe { score::<S, U, R>(simd, queries, (group.keys, next.as_ptr()), scores) };
        }
        let mut shrink = [simd.splat(1.0); R];
        for (row, shrink) in shrink.iter_mut().enumerate() {
            let scores = &mut scores[row * BLOCK..][..groups.len() * GROUP];
            let visible = &self.visible[first + row];
            if visible.start > self.from || visible.end < self.from + scores.len() {
                hide(simd, visible, self.from, scores);
            }
            let state = &mut self.states[(first + row) * state..][..2 * PARTS];
            *shrink = weigh::<S, U>(simd, scores, state);
        }
        let padded = self.widths.padded();
        let products = &mut self.states[first * state..][..R * state];
        for at in (0..padded).step_by(WIDE * S::LANES) {
            // SAFETY: as above; a row of a tile divides the padded width.
            unsafe {
                let both = (groups, self.next);
                gather::<S, U, R>(simd, both, scores, (at, padded), &shrink, products);
            }
        }
    }
}

/// The scores of `R` queries with the keys of a group, to rows of [`BLOCK`] numbers.
///
/// # Safety
///
/// There are as many rows of keys as units in a query, and room for `R` rows of scores.
#[inline(always)]
unsafe fn score<S: Simd, U: Unit, const R: usize>(
    simd: S,
    queries: &[f32],
    (keys, next): (&[f32], *const f32),
    scores: &mut [f32],
) {
    let units = queries.len() / R;
    for at in (0..GROUP).step_by(WIDE * S::LANES) {
        let mut sums = [[simd.splat(0.0); WIDE]; R];
        for i in 0..units {
            let mut key = [simd.splat(0.0); WIDE];
            // SAFETY: `i` is below the number of units, and a group holds whole rows of vectors.
            unsafe {
                for (v, key) in key.iter_mut().enumerate() {
                    let at = i * GROUP + at + v * S::LANES;
                    *key = simd.load(keys.as_ptr().add(at));
                    simd.prefetch(next.wrapping_add(at).cast());
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let query = simd.splat(*queries.as_ptr().add(row * units + i));
                    for (sum, key) in sums.iter_mut().zip(&key) {
                        *sum = U::dot(simd, *sum, query, *key);
                    }
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                simd.write(&mut scores[row * BLOCK + at + v * S::LANES..], *sum);
            }
        }
    }
}

/// Makes the scores of positions from `from` on minus infinity where they are not `visible`.
#[inline(always)]
fn hide<S: Simd>(simd: S, visible: &Range<usize>, from: usize, scores: &mut [f32]) {
    const COUNT: [f32; 16] = [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.];
    // Relative to the block, so that they are exact.
    let start = simd.splat(visible.start.saturating_sub(from).min(BLOCK) as f32);
    let end = simd.splat(visible.end.saturating_sub(from).min(BLOCK) as f32);
    let hidden = simd.splat(f32::NEG_INFINITY);
    for (i, scores) in scores.chunks_exact_mut(S::LANES).enumerate() {
        let position = simd.add(simd.read(&COUNT), simd.splat((i * S::LANES) as f32));
        let score = simd.where_less(position, end, simd.read(scores), hidden);
        simd.write(scores, simd.where_less(position, start, hidden, score));
    }
}

/// Makes weights of a row of scores, in place, and adds them to the state of its query. Answers
/// what the products so far are to be multiplied by.
#[inline(always)]
fn weigh<S: Simd, U: Unit>(simd: S, scores: &mut [f32], state: &mut [f32]) -> S::Lanes {
    let (most, sums) = state.split_at_mut(PARTS);
    let mut largest = simd.splat(f32::NEG_INFINITY);
    for scores in scores.chunks_exact(S::LANES) {
        largest = simd.at_least(simd.read(scores), largest);
    }
    let (before, largest) = (most[0], simd.largest(largest));
    let now = if largest > before { largest } else { before };
    // Nothing was seen yet: any number will do.
    let zero = simd.splat(if now == f32::NEG_INFINITY { 0.0 } else { now });
    let mut shrink = simd.splat(1.0);
    if now != before {
        most[0] = now;
        shrink = exp(simd, simd.sub(simd.splat(before), zero));
        for sums in sums.chunks_exact_mut(S::LANES) {
            simd.write(sums, simd.mul(simd.read(sums), shrink));
        }
    }
    let per = PARTS / S::LANES;
    let mut totals = [simd.splat(0.0); PARTS];
    for (total, sums) in totals.iter_mut().zip(sums.chunks_exact(S::LANES)) {
        *total = simd.read(sums);
    }
    let weights = scores.as_mut_ptr();
    for i in 0..scores.len() / S::LANES {
        // SAFETY: the vector lies within the scores; as units are no larger than scores, weights
        // are written where scores were read already.
        unsafe {
            let score = simd.load(weights.add(i * S::LANES));
            let weight = U::exp(simd, simd.sub(score, zero));
            U::store(simd, weights, i * S::LANES, weight);
            totals[i % per] = simd.add(totals[i % per], weight);
        }
    }
    for (total, sums) in totals.iter().zip(sums.chunks_exact_mut(S::LANES)) {
        simd.write(sums, *total);
    }
    shrink
}

/// `products = products * shrink + weights values` for `R` queries and the elements of a row of a
/// tile from `at` on, of `padded`.
///
/// # Safety
///
/// `states` are those of `R` queries, `weights` as many rows of [`BLOCK`] numbers, and each group
/// has values `padded` wide.
#[inline(always)]
unsafe fn gather<S: Simd, U: Unit, const R: usize>(
    simd: S,
    (groups, next): (&[Group<'_>], &[Group<'_>]),
    weights: &[f32],
    (at, padded): (usize, usize),
    shrink: &[S::Lanes; R],
    states: &mut [f32],
) {
    let (state, units) = (states.len() / R, GROUP / U::ELEMENTS);
    let mut sums = [[simd.splat(0.0); WIDE]; R];
    for (row, (sums, shrink)) in sums.iter_mut().zip(shrink).enumerate() {
        for (v, sum) in sums.iter_mut().enumerate() {
            let products = &states[row * state + 2 * PARTS + at + v * S::LANES..];
            *sum = simd.mul(simd.read(products), *shrink);
        }
    }
    for (number, group) in groups.iter().enumerate() {
        let next = next.get(number).map_or(group.values, |next| next.values).as_ptr();
        for i in 0..units {
            let mut value = [simd.splat(0.0); WIDE];
            // SAFETY: `i` is below the units of a group, and the rest is as the caller promises.
            unsafe {
                for (v, value) in value.iter_mut().enumerate() {
                    let at = i * padded + at + v * S::LANES;
                    *value = simd.load(group.values.as_ptr().add(at));
                    simd.prefetch(next.wrapping_add(at).cast());
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let weight = weights.as_ptr().add(row * BLOCK + number * units + i);
                    let weight = simd.splat(*weight);
                    for (sum, value) in sums.iter_mut().zip(&value) {
                        *sum = U::dot(simd, *sum, weight, *value);
                    }
                }
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for (v, sum) in sums.iter().enumerate() {
            let products = &mut states[row * state + 2 * PARTS + at + v * S::LANES..];
            simd.write(products, *sum);
        }
    }
}

/// Makes `states` those of no positions.
pub(crate) fn clear(widths: Widths, states: &mut [f32]) {
    for state in states.chunks_exact_mut(widths.state()) {
        state.fill(0.0);
        state[0] = f32::NEG_INFINITY;
    }
}

/// Adds the positions of other states to those of `total`.
pub(crate) struct Merge<'a> {
    pub(crate) widths: Widths,
    pub(crate) total: &'a mut [f32],
    pub(crate) other: &'a [f32],
}

impl Kernel for Merge<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let len = self.widths.state();
        let states = self.total.chunks_exact_mut(len).zip(self.other.chunks_exact(len));
        for (total, other) in states {
            let (a, b) = (total[0], other[0]);
            // A score that is no number is in the sums of its state.
            let most = if b > a { b } else { a };
            let zero = simd.splat(if most == f32::NEG_INFINITY { 0.0 } else { most });
            let shrink = exp(simd, simd.sub(simd.splat(a), zero));
            let factor = exp(simd, simd.sub(simd.splat(b), zero));
            total[0] = most;
            let numbers = total[PARTS..].chunks_exact_mut(S::LANES);
            for (total, other) in numbers.zip(other[PARTS..].chunks_exact(S::LANES)) {
                let sum = simd.mul(simd.read(total), shrink);
                simd.write(total, simd.fma(simd.read(other), factor, sum));
            }
        }
    }
}

/// Divides the sums of queries by the sums of their weights and writes them to their rows.
pub(crate) struct Finish<'a, 'b> {
    pub(crate) widths: Widths,
    pub(crate) states: &'a [f32],
    /// Numbers of the (row, head of the group) pairs of the sequence.
    pub(crate) queries: Range<usize>,
    pub(crate) all: &'a SharedMut<'b, f32>,
    /// Where the logarithms of the sums of exponentials go, if anybody asks.
    pub(crate) log_sums: Option<&'a SharedMut<'b, f32>>,
    /// The number of row 0, head 0 of the group among all (row, head) pairs.
    pub(crate) first: usize,
}

impl Kernel for Finish<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Widths { heads, group, value, .. } = self.widths;
        for (query, state) in self.queries.zip(self.states.chunks_exact(self.widths.state())) {
            let (sums, products) = state[PARTS..].split_at(PARTS);
            // Halves are added to halves, as within a vector.
            let mut parts = [0.0; PARTS];
            parts.copy_from_slice(sums);
            let mut half = PARTS / 2;
            while half > 0 {
                for i in 0..half {
                    parts[i] += parts[i + half];
                }
                half /= 2;
            }
            let at = self.first + query / group * heads + query % group;
            // SAFETY: a query belongs to one tile.
            let out = unsafe { self.all.part(at * value..(at + 1) * value) };
            if let Some(log_sums) = self.log_sums {
                // SAFETY: as above.
                let place = unsafe { log_sums.part(at..at + 1) };
                place[0] = state[0] + parts[0].ln();
            }
            let sum = simd.splat(parts[0]);
            for (out, products) in out.chunks_mut(S::LANES).zip(products.chunks(S::LANES)) {
                simd.write(out, simd.div(simd.read(products), sum));
            }
        }
    }
}
