//! What a run of positions of one head looks like in bytes, if keys and values are stored as codes.
//!
//! | part of a run | keys                       | values                     |
//! | ------------- | -------------------------- | -------------------------- |
//! | codes         | `[dim * bits / 8][run]`    | `[run * bits / 8][dim]`    |
//! | scales        | `[groups][run]`            | `[run][groups]`            |
//! | biases        | `[groups][run]`            | `[run][groups]`            |
//!
//! Two codes of 4 bits share a byte as [`kv_codes`](crate::cpu::simd::kv_codes) reads them.

use std::ops::Range;

use half::f16;

use crate::KvQuantization;
use crate::cpu::Isa;
use crate::cpu::simd::attention::GROUP;
use crate::cpu::simd::kv_codes::{Cut, Keys, Scales, Values};
use crate::cpu::simd::{dispatch, dispatch_pairs};
use crate::quantized::scale_and_bias;

/// How a cache is coded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Codes {
    pub(super) how: KvQuantization,
    /// Whether scales and biases are `f32`, and not `f16`.
    pub(super) wide: bool,
}

/// A run of so many positions of a head of this width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) dim: usize,
    pub(super) len: usize,
}

/// Keys or values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    Keys,
    Values,
}

impl Codes {
    /// Bytes of a run of keys or values.
    pub(super) fn bytes(self, side: Side, run: Run) -> usize {
        self.codes(side, run) + 2 * self.scales(run)
    }

    fn codes(self, side: Side, Run { dim, len }: Run) -> usize {
        let bits = self.how.bits;
        match side {
            Side::Keys => dim * bits / 8 * len,
            Side::Values => (len * bits).div_ceil(8) * dim,
        }
    }

    fn scales(self, Run { dim, len }: Run) -> usize {
        dim / self.how.group_size * len * if self.wide { 4 } else { 2 }
    }

    /// The codes, scales and biases of a run.
    fn parts(self, side: Side, run: Run, bytes: &[u8]) -> (&[u8], Scales<'_>, Scales<'_>) {
        let (codes, rest) = bytes.split_at(self.codes(side, run));
        let (scales, biases) = rest.split_at(self.scales(run));
        let wide = self.wide;
        (codes, Scales { bytes: scales, wide }, Scales { bytes: biases, wide })
    }

    /// Writes the key or value of a position.
    pub(super) fn store(self, (side, run): (Side, Run), slot: usize, from: &[f32], to: &mut [u8]) {
        let KvQuantization { bits, group_size } = self.how;
        let (codes, rest) = to.split_at_mut(self.codes(side, run));
        let (scales, biases) = rest.split_at_mut(self.scales(run));
        let groups = run.dim / group_size;
        for (group, from) in from.chunks_exact(group_size).enumerate() {
            let (scale, bias) = scale_and_bias(from, bits);
            let at = match side {
                Side::Keys => group * run.len + slot,
                Side::Values => slot * groups + group,
            };
            let (scale, bias) = (self.put(scales, at, scale), self.put(biases, at, bias));
            let most = ((1 << bits) - 1) as f32;
            let code = |x: f32| nearest(((x - bias) / scale).clamp(0.0, most));
            let first = group * group_size;
            match (side, bits) {
                (Side::Keys, 4) => {
                    for (pair, x) in (first / 2..).zip(from.as_chunks::<2>().0) {
                        codes[pair * run.len + slot] = code(x[0]) | code(x[1]) << 4;
                    }
                }
                (Side::Keys, _) => {
                    for (i, &x) in (first..).zip(from) {
                        codes[i * run.len + slot] = code(x);
                    }
                }
                (Side::Values, 4) => {
                    let row = &mut codes[slot / 2 * run.dim + first..][..group_size];
                    for (to, &x) in row.iter_mut().zip(from) {
                        *to = match slot % 2 {
                            0 => *to & 0xf0 | code(x),
                            _ => *to & 0x0f | code(x) << 4,
                        };
                    }
                }
                (Side::Values, _) => {
                    let row = &mut codes[slot * run.dim + first..][..group_size];
                    row.iter_mut().zip(from).for_each(|(to, &x)| *to = code(x));
                }
            }
        }
    }

    /// Writes a scale or a bias and answers what it is then.
    fn put(self, to: &mut [u8], at: usize, x: f32) -> f32 {
        if self.wide {
            to.as_chunks_mut().0[at] = x.to_le_bytes();
            return x;
        }
        let x = f16::from_f32(x);
        to.as_chunks_mut().0[at] = x.to_le_bytes();
        x.to_f32()
    }

    /// Element `i` of the key or value in `slot`, alone.
    pub(super) fn number(
        self,
        (side, run): (Side, Run),
        (slot, i): (usize, usize),
        bytes: &[u8],
    ) -> f32 {
        let KvQuantization { bits, group_size } = self.how;
        let (codes, scales, biases) = self.parts(side, run, bytes);
        let (group, groups) = (i / group_size, run.dim / group_size);
        let (at, half, scale) = match (side, bits) {
            (Side::Keys, 4) => (i / 2 * run.len + slot, Some(i % 2), group * run.len + slot),
            (Side::Keys, _) => (i * run.len + slot, None, group * run.len + slot),
            (Side::Values, 4) => (slot / 2 * run.dim + i, Some(slot % 2), slot * groups + group),
            (Side::Values, _) => (slot * run.dim + i, None, slot * groups + group),
        };
        let code = half.map_or(codes[at], |half| codes[at] >> (4 * half) & 15);
        f32::from(code) * scales.one(scale) + biases.one(scale)
    }

    /// Decodes a run of [`GROUP`] keys.
    pub(super) fn keys(self, isa: Isa, (dim, unit): (usize, usize), bytes: &[u8], to: &mut [f32]) {
        let (codes, scales, biases) = self.parts(Side::Keys, Run { dim, len: GROUP }, bytes);
        let keys = Keys { cut: self.cut(dim, unit), codes, scales, biases, to };
        match unit {
            1 => dispatch(isa, keys),
            _ => dispatch_pairs(isa, keys),
        }
    }

    /// Decodes a run of [`GROUP`] values; zeros for positions that are not `seen`.
    pub(super) fn values(
        self,
        isa: Isa,
        (dim, unit): (usize, usize),
        (bytes, seen): (&[u8], Range<usize>),
        to: &mut [f32],
    ) {
        /// Heads up to this wide need no memory of the heap.
        const USUAL: usize = 256 / 32 * GROUP * 2;
        let (codes, scales, biases) = self.parts(Side::Values, Run { dim, len: GROUP }, bytes);
        let cut = self.cut(dim, unit);
        let needed = 2 * GROUP * (dim / self.how.group_size);
        let (mut usual, mut more) = ([0.0; USUAL], Vec::new());
        let room = if needed <= USUAL {
            &mut usual[..]
        } else {
            more.resize(needed, 0.0);
            &mut more[..]
        };
        let values = Values { cut, codes, scales, biases, seen, room, to };
        match unit {
            1 => dispatch(isa, values),
            _ => dispatch_pairs(isa, values),
        }
    }

    fn cut(self, dim: usize, unit: usize) -> Cut {
        let KvQuantization { bits, group_size } = self.how;
        Cut { bits, group_size, dim, unit }
    }
}

/// A number from 0 to 255, rounded to the nearest and if tied to the even one; 0 for none.
fn nearest(x: f32) -> u8 {
    /// From here on a float has no fraction.
    const WHOLE: f32 = (1 << 23) as f32;
    ((x + WHOLE) - WHOLE) as u8
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn codes_are_rounded_to_even() {
        for (x, code) in [(0.0, 0), (0.5, 0), (0.500_01, 1), (1.5, 2), (2.5, 2), (254.6, 255)] {
            assert_eq!(nearest(x), code, "{x}");
        }
        assert_eq!(nearest(f32::NAN), 0);
    }
}
