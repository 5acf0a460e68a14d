//! Keys and values of a [`GROUP`] of positions that are stored as codes, decoded to the units that
//! attention reads: `x = scale * code + bias`, with one scale and one bias for each group of
//! elements of each position.
//!
//! Codes lie as their numbers will: keys `[elements][positions]`, values `[positions][elements]`.
//! Two codes of 4 bits share a byte, the first in its lower half: neighbouring elements of a key,
//! neighbouring positions of a value. So a vector of bytes becomes vectors of numbers without
//! anything moving between lanes.
#![expect(unsafe_code, reason = "codes and scales are read by pointer")]

use std::ops::Range;

use super::attention::GROUP;
use super::{Kernel, Simd, SimdSlices as _};

/// Scales and biases: `f32` or `f16`, little-endian, at any address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scales<'a> {
    pub(crate) bytes: &'a [u8],
    /// Whether they are `f32`.
    pub(crate) wide: bool,
}

impl Scales<'_> {
    /// As many as there are lanes, from number `at` on.
    #[inline(always)]
    fn load<S: Simd>(&self, simd: S, at: usize) -> S::Lanes {
        let size = if self.wide { 4 } else { 2 };
        let bytes = &self.bytes[at * size..][..S::LANES * size];
        // SAFETY: the slice is as long as what is read.
        unsafe {
            if self.wide {
                simd.load(bytes.as_ptr().cast())
            } else {
                simd.load_f16(bytes.as_ptr().cast())
            }
        }
    }

    /// All of them, to `to`.
    #[inline(always)]
    fn widen<S: Simd>(&self, simd: S, to: &mut [f32]) {
        let whole = to.len() - to.len() % S::LANES;
        for at in (0..whole).step_by(S::LANES) {
            simd.write(&mut to[at..], self.load(simd, at));
        }
        for (at, to) in to.iter_mut().enumerate().skip(whole) {
            *to = self.one(at);
        }
    }

    /// Number `at`.
    #[inline(always)]
    pub(crate) fn one(&self, at: usize) -> f32 {
        if self.wide {
            f32::from_le_bytes(self.bytes.as_chunks().0[at])
        } else {
            half::f16::from_le_bytes(self.bytes.as_chunks().0[at]).to_f32()
        }
    }
}

/// How codes are cut and grouped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// 4 or 8.
    pub(crate) bits: usize,
    /// Elements that share a scale: a multiple of 32.
    pub(crate) group_size: usize,
    /// The width of a head, in whole groups.
    pub(crate) dim: usize,
    /// Elements in a unit of the result: 1 or 2.
    pub(crate) unit: usize,
}

/// Decodes the keys of a group of positions to `[units][GROUP]`.
pub(crate) struct Keys<'a> {
    pub(crate) cut: Cut,
    /// `[dim * bits / 8][GROUP]`
    pub(crate) codes: &'a [u8],
    /// `[groups][GROUP]`
    pub(crate) scales: Scales<'a>,
    pub(crate) biases: Scales<'a>,
    pub(crate) to: &'a mut [f32],
}

impl Kernel for Keys<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { cut: Cut { bits, group_size, dim, unit }, codes, scales, biases, to } = self;
        assert!(codes.len() >= dim * bits / 8 * GROUP, "codes of keys");
        assert!(to.len() >= dim / unit * GROUP, "room for keys");
        let (from, to) = (codes.as_ptr(), to.as_mut_ptr());
        for at in (0..GROUP).step_by(S::LANES) {
            for group in 0..dim / group_size {
                let scale = scales.load(simd, group * GROUP + at);
                let bias = biases.load(simd, group * GROUP + at);
                for pair in group * group_size / 2..(group + 1) * group_size / 2 {
                    // SAFETY: pairs of elements end at `dim`, and a row has `GROUP` positions.
                    unsafe {
                        let codes = if bits == 4 {
                            simd.load_nibbles(from.add(pair * GROUP + at))
                        } else {
                            [0, 1].map(|i| simd.load_u8(from.add((2 * pair + i) * GROUP + at)))
                        };
                        let [first, second] = codes.map(|code| simd.fma(code, scale, bias));
                        if unit == 2 {
                            simd.store(to.add(pair * GROUP + at), simd.round_pairs(first, second));
                        } else {
                            simd.store(to.add(2 * pair * GROUP + at), first);
                            simd.store(to.add((2 * pair + 1) * GROUP + at), second);
                        }
                    }
                }
            }
        }
    }
}

/// Decodes the values of a group of positions to `[units of GROUP][dim]`; zeros for positions
/// that are not `seen`, whatever was left there.
pub(crate) struct Values<'a> {
    pub(crate) cut: Cut,
    /// `[GROUP * bits / 8][dim]`
    pub(crate) codes: &'a [u8],
    /// `[GROUP][groups]`
    pub(crate) scales: Scales<'a>,
    pub(crate) biases: Scales<'a>,
    pub(crate) seen: Range<usize>,
    /// As many numbers as scales and biases together.
    pub(crate) room: &'a mut [f32],
    pub(crate) to: &'a mut [f32],
}

impl Kernel for Values<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { cut, codes, scales, biases, seen, room, to } = self;
        let Cut { bits, group_size, dim, unit } = cut;
        let groups = dim / group_size;
        assert!(codes.len() >= GROUP * bits / 8 * dim, "codes of values");
        assert!(to.len() >= GROUP / unit * dim, "room for values");
        assert!(group_size.is_multiple_of(S::LANES), "groups of {group_size}");
        let (wide_scales, wide_biases) = room[..2 * GROUP * groups].split_at_mut(GROUP * groups);
        scales.widen(simd, wide_scales);
        biases.widen(simd, wide_biases);
        for wide in [&mut *wide_scales, &mut *wide_biases] {
            wide[..seen.start * groups].fill(0.0);
            wide[seen.end * groups..].fill(0.0);
        }
        let (from, to) = (codes.as_ptr(), to.as_mut_ptr());
        for pair in 0..GROUP / 2 {
            for group in 0..groups {
                let at = [2 * pair, 2 * pair + 1].map(|position| position * groups + group);
                let scale = at.map(|at| simd.splat(wide_scales[at]));
                let bias = at.map(|at| simd.splat(wide_biases[at]));
                for i in (group * group_size..(group + 1) * group_size).step_by(S::LANES) {
                    // SAFETY: whole vectors of elements end at `dim`, pairs of positions at `GROUP`.
                    unsafe {
                        let codes = if bits == 4 {
                            simd.load_nibbles(from.add(pair * dim + i))
                        } else {
                            [0, 1]
                                .map(|second| simd.load_u8(from.add((2 * pair + second) * dim + i)))
                        };
                        let first = simd.fma(codes[0], scale[0], bias[0]);
                        let second = simd.fma(codes[1], scale[1], bias[1]);
                        if unit == 2 {
                            simd.store(to.add(pair * dim + i), simd.round_pairs(first, second));
                        } else {
                            simd.store(to.add(2 * pair * dim + i), first);
                            simd.store(to.add((2 * pair + 1) * dim + i), second);
                        }
                    }
                }
            }
        }
    }
}
