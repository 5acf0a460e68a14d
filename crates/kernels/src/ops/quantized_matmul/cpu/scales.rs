//! The scales of groups as `f32`.
//!
//! Every conversion is exact.
#![expect(unsafe_code, reason = "scales lie at any address")]

use super::blocks::{Blocks, Kept};
use super::panel::{for_each_lane, turn};
use super::weights::Weights;
use crate::DType;
use crate::cpu::Foresight;
use crate::cpu::simd::quantized::{CodeKernel, CodeSimd, WIDEST};

/// How a scale is stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scale {
    F32,
    F16,
    BF16,
    /// A power of two with bias 127.
    E8m0,
    /// Four bits of exponent, three of mantissa.
    E4m3,
}

impl Scale {
    #[track_caller]
    pub(super) fn of(dtype: DType) -> Self {
        match dtype {
            DType::F32 => Self::F32,
            DType::F16 => Self::F16,
            DType::BF16 => Self::BF16,
            DType::U8 | DType::U32 => panic!("scales of {dtype:?}"),
        }
    }

    #[inline(always)]
    pub(super) fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::E8m0 | Self::E4m3 => 1,
        }
    }
}

/// The numbers that words stand for.
#[inline(always)]
fn widen_words<S: CodeSimd>(simd: S, kind: Scale, words: S::Bytes) -> S::Floats {
    match kind {
        Scale::F32 => simd.as_floats(words),
        Scale::F16 => simd.widen_f16(words),
        Scale::BF16 => simd.widen_bf16(words),
        Scale::E8m0 => simd.widen_e8m0(words),
        Scale::E4m3 => simd.widen_e4m3(words),
    }
}

/// A number for each lane.
///
/// # Safety
///
/// So many can be read at `from`.
#[inline(always)]
pub(super) unsafe fn widen_all<S: CodeSimd>(simd: S, kind: Scale, from: *const u8) -> S::Floats {
    // SAFETY: the caller promises the bytes.
    let words = unsafe {
        match kind.size() {
            4 => simd.load(from),
            2 => simd.words_of_halves(from),
            _ => simd.words_of_bytes(from),
        }
    };
    widen_words(simd, kind, words)
}

/// The numbers at the front of `bytes`, at most as many as there are lanes; zeros in the lanes
/// that are left.
#[inline(always)]
pub(super) fn widen<S: CodeSimd>(simd: S, kind: Scale, bytes: &[u8]) -> S::Floats {
    if bytes.len() >= S::LANES * kind.size() {
        // SAFETY: there is a number for each lane.
        return unsafe { widen_all(simd, kind, bytes.as_ptr()) };
    }
    let mut copy = [0_u8; WIDEST];
    copy[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: the copy is as long as the widest vector.
    let floats = unsafe { widen_all(simd, kind, copy.as_ptr()) };
    simd.first(floats, bytes.len() / kind.size())
}

/// Turns over the scales and biases of the rows of a weight from `row` on, into the blocks of a panel
/// that keep them as `f32`; where the weight ends, its last row stands in.
pub(super) struct TurnScales<'a, 'b> {
    pub(super) w: &'a Weights<'b>,
    pub(super) row: usize,
    pub(super) blocks: Blocks,
    /// Room for as many blocks as whole squares of lanes have groups.
    pub(super) panel: &'a mut [u8],
}

impl CodeKernel for TurnScales<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        let Self { w, row, blocks, panel } = self;
        let [scales, biases] = w.scales_from(row);
        let (kind, bytes, half) = (w.scale(), w.groups() * w.scale().size(), S::WIDTH / 2);
        // The same of the next panel: nothing else asks for them in time.
        let foresight = Foresight::here();
        for line in (0..S::LANES * bytes).step_by(WIDEST) {
            simd.prefetch(foresight, scales[0].wrapping_add(S::LANES * bytes + line));
            simd.prefetch(foresight, biases[0].wrapping_add(S::LANES * bytes + line));
        }
        // Groups of a square, and of a word.
        let (groups, parts) = (half / kind.size(), 4 / kind.size());
        let (block, bits) = (blocks.bytes(S::LANES), 8 * kind.size());
        assert!(blocks.kept == Kept::F32, "scales of a panel");
        assert!(panel.len() >= bytes.div_ceil(half) * groups * block, "squares of a panel");
        for (square, at) in (0..bytes).step_by(half).enumerate() {
            let readable = (bytes - at).min(half);
            // SAFETY: so many bytes follow in each row. With a constant, no load has a choice to make.
            let turned = unsafe {
                if readable == half {
                    turn!(simd, i => {
                        simd.load_halves((scales[i].add(at), half), (biases[i].add(at), half))
                    })
                } else {
                    turn!(simd, i => {
                        let (low, high) = (scales[i].add(at), biases[i].add(at));
                        simd.load_halves((low, readable), (high, readable))
                    })
                }
            };
            // SAFETY: there are blocks for whole squares, as just checked, and in each of them room for
            // a vector of scales, and for one of biases behind it if there are any.
            unsafe {
                let to = panel.as_mut_ptr().add(square * groups * block);
                for_each_lane!(simd, turned, (i, words) => {
                    let bias = i >= S::LANES / 2;
                    let group = (i % (S::LANES / 2)) * parts;
                    let to = to.add(group * block + if bias { S::WIDTH } else { 0 });
                    for part in 0..if bias && !blocks.biased { 0 } else { parts } {
                        let mask = u32::MAX >> (32 - bits);
                        let word = simd.word_field(words, (part * bits) as u32, mask);
                        let floats = widen_words(simd, kind, word);
                        simd.store_floats(to.add(part * block).cast(), floats);
                    }
                });
            }
        }
    }
}
