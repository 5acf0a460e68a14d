//! Activations in `bf16`, whatever the format of the weight.
//!
//! What a code stands for before it meets its scale is a number that `bf16` holds too, also with a
//! small number added that comes off again with the bias; so only activations are rounded. A panel is unpacked once into pairs, in the cache, two columns of each
//! row in a lane, and then meets tile after tile of activations whose sums stay in registers.
#![expect(unsafe_code, reason = "panels and tiles are walked by pointer")]

use std::marker::PhantomData;

use super::activations::Rounded;
use super::blocks::{Blocks, Kept};
use super::formats::Format;
use super::panel::{Ahead, Panel, each_tile, finish};
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

/// Widens the codes of a panel that was turned over to pairs: two vectors of another panel for each
/// plane of one of codes. Scales are multiplied with their factor, and biases take off what was added
/// to codes.
pub(super) struct Widen<'a, F> {
    pub(super) format: PhantomData<F>,
    pub(super) panel: &'a Panel,
    /// What the panel is made of, and how many there are.
    pub(super) blocks: Blocks,
    pub(super) groups: usize,
    /// What scales are multiplied with.
    pub(super) factor: f32,
    pub(super) to: &'a mut Panel,
}

impl<F: Format> CodeKernel for Widen<'_, F> {
    type Output = Blocks;

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) -> Blocks {
        let Self { panel, blocks, groups, to, .. } = self;
        let (added, factor) = (const { offset::<F>() }, simd.splat(self.factor));
        let biased = F::BIASED || added != 0.0;
        let wide = Blocks { biased, vectors: 2 * F::PLANES * blocks.vectors, ..blocks };
        assert!(blocks.kept == Kept::F32 && blocks.biased == F::BIASED, "scales of a panel");
        assert!(panel.bytes().len() >= groups * blocks.bytes(S::LANES), "blocks of a panel");
        let mut from = panel.bytes().as_ptr();
        let mut to = to.room(groups * wide.bytes(S::LANES)).as_mut_ptr();
        for _ in 0..groups {
            // SAFETY: there are as many blocks, and room for as many wider ones, as groups.
            unsafe {
                let scale = simd.mul(simd.load_floats(from.cast()), factor);
                simd.store_floats(to.cast(), scale);
                if biased {
                    let bias = if F::BIASED {
                        simd.load_floats(from.add(S::WIDTH).cast())
                    } else {
                        simd.splat(0.0)
                    };
                    let bias = simd.fma(scale, simd.splat(-added), bias);
                    simd.store_floats(to.add(S::WIDTH).cast(), bias);
                }
                from = from.add(blocks.head(S::LANES));
                to = to.add(wide.head(S::LANES));
                for _ in 0..blocks.vectors {
                    let packed = simd.load(from);
                    for plane in 0..F::PLANES {
                        let [first, second] = pairs::<S, F>(simd, F::plane(simd, packed, plane));
                        simd.store(to, first);
                        simd.store(to.add(S::WIDTH), second);
                        to = to.add(2 * S::WIDTH);
                    }
                    from = from.add(S::WIDTH);
                }
            }
        }
        wide
    }
}

/// Products of an unpacked panel with every row of activations.
pub(super) struct Pairs<'a, 'b> {
    pub(super) panel: &'a Panel,
    pub(super) blocks: Blocks,
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
        each_tile!(self, simd);
    }
}

impl Pairs<'_, '_> {
    /// The products with the `T` rows of activations from `first` on.
    #[inline(always)]
    fn tile<S: CodeSimd, const T: usize>(&self, simd: S, first: usize, mut ahead: Ahead) {
        let (plan, blocks) = (self.x.plan, self.blocks);
        let (groups, biased) = (plan.groups(), blocks.biased);
        let (x, x_sums) = (self.x.codes(first), self.x.sums(first));
        assert!(x.len() >= 2 * T * plan.columns, "a whole tile");
        assert!(x_sums.len() >= T * groups, "sums of a tile");
        assert!(blocks.kept == Kept::F32 && 2 * blocks.vectors == plan.group, "pairs of a group");
        assert!(self.panel.bytes().len() >= groups * blocks.bytes(S::LANES), "blocks of a panel");
        let (mut x, mut x_sums) = (x.as_ptr(), x_sums.as_ptr());
        let mut at = self.panel.bytes().as_ptr();
        let mut totals = [simd.splat(0.0); T];
        for _ in 0..groups {
            ahead.ask(simd);
            // SAFETY: the panel has a block for each group, the tile a pair of each row for every
            // two columns, and a sum for each row and group; we have checked all.
            unsafe {
                let mut dots = [simd.splat(0.0); T];
                let mut codes = at.add(blocks.head(S::LANES));
                for _ in 0..blocks.vectors {
                    let w = simd.load(codes);
                    for (t, dot) in dots.iter_mut().enumerate() {
                        *dot = simd.dot_pairs(*dot, w, simd.repeat(x.add(4 * t)));
                    }
                    codes = codes.add(S::WIDTH);
                    x = x.add(4 * T);
                }
                let scale = simd.load_floats(at.cast());
                for (total, dot) in totals.iter_mut().zip(dots) {
                    *total = simd.fma(dot, scale, *total);
                }
                if biased {
                    let bias = simd.load_floats(at.add(S::WIDTH).cast());
                    for (t, total) in totals.iter_mut().enumerate() {
                        *total = simd.fma(bias, simd.splat(*x_sums.add(t)), *total);
                    }
                }
                at = codes;
                x_sums = x_sums.add(T);
            }
        }
        finish(simd, totals, (first, self.row), self.rows, self.out);
    }
}
