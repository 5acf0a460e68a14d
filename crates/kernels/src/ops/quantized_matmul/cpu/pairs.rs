//! Activations in `bf16`, whatever the format of the weight.
//!
//! What a code stands for before it meets its scale is a number that `bf16` holds too, also with a
//! small number added that comes off again with the bias; so only activations are rounded. A panel is unpacked once into pairs, in the cache, two columns of each
//! row in a lane, and then meets tile after tile of activations whose sums stay in registers.
#![expect(unsafe_code, reason = "panels and tiles are walked by pointer")]

use std::marker::PhantomData;

use super::activations::Rounded;
use super::formats::Format;
use super::panel::{Ahead, Panel, each_tile, finish, vectors};
use super::scales::PanelScales;
use crate::cpu::SharedMut;
use crate::cpu::simd::quantized::{CodeKernel, CodeSimd};

/// What is added to each code in a pair: where that spares a conversion, as much as makes the code
/// the mantissa of a `bf16`, besides what codes have to be off by.
pub(super) const fn offset<F: Format>() -> f32 {
    match F::OFFSET {
        Some(offset) => 128.0 + offset as f32,
        None if F::WIDE => 0.0,
        None => 128.0,
    }
}

/// The four codes of each lane as two pairs: the first with the third, the second with the fourth.
#[inline(always)]
pub(super) fn pairs<S: CodeSimd, F: Format>(simd: S, codes: S::Bytes) -> [S::Bytes; 2] {
    if F::FLOATS {
        return simd.pairs_e4m3(codes);
    }
    if !F::WIDE {
        return [simd.pair_bytes(codes, false), simd.pair_bytes(codes, true)];
    }
    let value = |shift| simd.to_floats(simd.as_ints(simd.word_field(codes, shift, 0xff)));
    [simd.pair(value(0), value(16)), simd.pair(value(8), value(24))]
}

/// Widens the codes of a panel to pairs: two vectors of another panel for each of one of codes.
pub(super) struct Widen<'a, F> {
    pub(super) format: PhantomData<F>,
    pub(super) from: &'a Panel,
    /// Vectors of packed codes.
    pub(super) count: usize,
    pub(super) to: &'a mut Panel,
}

impl<F: Format> CodeKernel for Widen<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        let Self { from, count, to, .. } = self;
        let from = vectors::<S>(from.bytes(), count);
        let mut to = to.room::<S>(2 * F::PLANES * count);
        for i in 0..count {
            // SAFETY: there are `count` vectors, and room for two for each plane of each.
            unsafe {
                let packed = simd.load(from.add(i * S::WIDTH));
                for plane in 0..F::PLANES {
                    let [first, second] = pairs::<S, F>(simd, F::plane(simd, packed, plane));
                    simd.store(to, first);
                    simd.store(to.add(S::WIDTH), second);
                    to = to.add(2 * S::WIDTH);
                }
            }
        }
    }
}

/// Products of an unpacked panel with every row of activations.
pub(super) struct Pairs<'a, 'b> {
    pub(super) panel: &'a Panel,
    pub(super) scales: &'a PanelScales,
    /// Whether groups have biases.
    pub(super) biased: bool,
    /// See [`offset`].
    pub(super) offset: f32,
    pub(super) x: &'a Rounded,
    pub(super) ahead: Ahead,
    /// The first row of the weight.
    pub(super) row: usize,
    /// Rows of the weight in all.
    pub(super) rows: usize,
    /// `[x.rows, rows]`; the columns of the panel are written.
    pub(super) out: &'a SharedMut<'b, f32>,
}

impl CodeKernel for Pairs<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        let plan = self.x.plan;
        let groups = plan.groups();
        assert!(self.scales.scales().len() >= groups * S::LANES, "scales of the panel");
        assert!(self.scales.biases().len() >= groups * S::LANES, "biases of the panel");
        each_tile!(self, simd);
    }
}

impl Pairs<'_, '_> {
    /// The products with the `T` rows of activations from `first` on.
    #[inline(always)]
    fn tile<S: CodeSimd, const T: usize>(&self, simd: S, first: usize, mut ahead: Ahead) {
        let plan = self.x.plan;
        let x = self.x.codes(first);
        assert!(x.len() >= 2 * T * plan.columns, "a whole tile");
        assert!(self.x.sums(first).len() >= T * plan.groups(), "sums of a tile");
        let (mut x, mut x_sums) = (x.as_ptr(), self.x.sums(first).as_ptr());
        let mut codes = vectors::<S>(self.panel.bytes(), plan.columns / 2);
        let (mut scales, mut biases) =
            (self.scales.scales().as_ptr(), self.scales.biases().as_ptr());
        let (none, offset) = (simd.splat(0.0), simd.splat(-self.offset));
        let mut totals = [none; T];
        for _ in 0..plan.groups() {
            ahead.ask(simd);
            // SAFETY: the panel has a vector, and the tile a pair of each row, for every two
            // columns, and both have scales and sums for each group; `run` and we have checked.
            unsafe {
                let mut dots = [simd.splat(0.0); T];
                for _ in 0..plan.group / 2 {
                    let w = simd.load(codes);
                    for (t, dot) in dots.iter_mut().enumerate() {
                        *dot = simd.dot_pairs(*dot, w, simd.repeat(x.add(4 * t)));
                    }
                    codes = codes.add(S::WIDTH);
                    x = x.add(4 * T);
                }
                let scale = simd.load_floats(scales);
                for (total, dot) in totals.iter_mut().zip(dots) {
                    *total = simd.fma(dot, scale, *total);
                }
                if self.biased || self.offset != 0.0 {
                    let bias = if self.biased { simd.load_floats(biases) } else { none };
                    let bias = simd.fma(scale, offset, bias);
                    for (t, total) in totals.iter_mut().enumerate() {
                        *total = simd.fma(bias, simd.splat(*x_sums.add(t)), *total);
                    }
                }
                scales = scales.add(S::LANES);
                biases = biases.add(S::LANES);
                x_sums = x_sums.add(T);
            }
        }
        finish(simd, totals, (first, self.row), self.rows, self.out);
    }
}
