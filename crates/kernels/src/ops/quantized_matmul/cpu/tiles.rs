//! Rows of the weight side by side: batches and prompts, and whatever meets a weight that lies so.
//!
//! A panel of the weight, turned over in the cache or laid out in memory, meets tile after tile of
//! activations whose sums stay in registers. Codes stay packed in the panel, which so takes no more
//! of the cache than of memory, and are cut into bytes once for each tile. Scales are applied once
//! for each group.
//!
//! Tuning: the height of a tile is [`CodeSimd::TILE`]; the length of a panel is not bounded, so
//! that long rows come from the second level cache.
#![expect(unsafe_code, reason = "panels and tiles are walked by pointer")]

use std::marker::PhantomData;

use super::activations::Rounded;
use super::blocks::{Blocks, widen_kept};
use super::formats::Format;
use super::panel::{Ahead, each_tile, finish};
use crate::cpu::SharedMut;
use crate::cpu::simd::quantized::{CodeKernel, CodeSimd};

/// Products of a panel with every row of activations.
pub(super) struct Tiles<'a, 'b, F> {
    pub(super) format: PhantomData<F>,
    /// Blocks of packed words.
    pub(super) panel: &'a [u8],
    pub(super) blocks: Blocks,
    /// What scales are multiplied with.
    pub(super) factor: f32,
    pub(super) x: &'a Rounded,
    pub(super) ahead: Ahead,
    /// The first row of the weight.
    pub(super) row: usize,
    /// Rows of the weight in all.
    pub(super) rows: usize,
    /// `[x.rows, rows]`; the columns of the panel are written.
    pub(super) out: &'a SharedMut<'b, f32>,
}

impl<F: Format> CodeKernel for Tiles<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        each_tile!(self, simd);
    }
}

impl<F: Format> Tiles<'_, '_, F> {
    /// The products with the `T` rows of activations from `first` on.
    #[inline(always)]
    fn tile<S: CodeSimd, const T: usize>(&self, simd: S, first: usize, mut ahead: Ahead) {
        let (plan, blocks) = (self.x.plan, self.blocks);
        let (groups, offset) = (plan.groups(), F::OFFSET.is_some());
        let (x, x_scales) = (self.x.codes(first), self.x.scales(first));
        let x_sums = self.x.sums(first);
        assert!(x.len() >= T * plan.columns, "a whole tile");
        assert!(x_scales.len() >= T * groups && x_sums.len() >= T * groups, "a whole tile");
        assert!(blocks.vectors * 4 * F::PLANES == plan.group, "words of a group");
        assert!(self.panel.len() >= groups * blocks.bytes(S::LANES), "blocks of a panel");
        let (mut x, mut at) = (x.as_ptr(), self.panel.as_ptr());
        let (mut x_scales, mut x_sums) = (x_scales.as_ptr(), x_sums.as_ptr());
        let (head, biases) = (blocks.head(S::LANES), S::LANES * blocks.kept.size());
        let factor = simd.splat(self.factor);
        let mut totals = [simd.splat(0.0); T];
        for _ in 0..groups {
            ahead.ask(simd);
            // SAFETY: the panel has a block for every group, with a vector for every word, and the
            // tile four bytes of each row for every four columns, and numbers of each row for every
            // group; we have checked all. We come here once for each group.
            unsafe {
                let mut dots = [simd.zero(); T];
                if offset {
                    for (t, dot) in dots.iter_mut().enumerate() {
                        *dot = simd.splat_int(x_sums.add(t).cast::<i32>().read());
                    }
                }
                let mut packed = at.add(head);
                for _ in 0..blocks.vectors {
                    let word = simd.load(packed);
                    for plane in 0..F::PLANES {
                        let codes = F::plane(simd, word, plane);
                        for (t, dot) in dots.iter_mut().enumerate() {
                            let x = simd.repeat(x.add(4 * t));
                            *dot = if F::WIDE {
                                simd.dot::<true>(*dot, codes, x)
                            } else {
                                simd.dot::<false>(*dot, codes, x)
                            };
                        }
                        x = x.add(4 * T);
                    }
                    packed = packed.add(S::WIDTH);
                }
                let scale = widen_kept(simd, blocks.kept, at);
                let scale = if offset { simd.mul(scale, factor) } else { scale };
                for (t, (total, dot)) in totals.iter_mut().zip(dots).enumerate() {
                    let scale = simd.mul(scale, simd.splat(*x_scales.add(t)));
                    *total = simd.fma(simd.to_floats(dot), scale, *total);
                }
                if F::BIASED {
                    let bias = widen_kept(simd, blocks.kept, at.add(biases));
                    for (t, total) in totals.iter_mut().enumerate() {
                        *total = simd.fma(bias, simd.splat(*x_sums.add(t)), *total);
                    }
                }
                at = packed;
                x_scales = x_scales.add(T);
                x_sums = x_sums.add(T);
            }
        }
        finish(simd, totals, (first, self.row), self.rows, self.out);
    }
}
