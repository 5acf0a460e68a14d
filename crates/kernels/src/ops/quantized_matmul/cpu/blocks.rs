//! How a panel lies: block after block, one for each group. A block is the scales of the panel's
//! rows, a number for each lane; their biases, likewise, if there are any; and their codes, a word
//! for each lane. So a product reads a panel from its beginning to its end, in one stream, which the
//! processor foresees better than it can be told.
#![expect(unsafe_code, reason = "blocks are walked by pointer")]

use super::formats::{Format, with_format};
use super::scales::Scale;
use super::weights::Weights;
use crate::cpu::simd::quantized::CodeSimd;

/// How scales and biases are kept in blocks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kept {
    F32,
    F16,
    BF16,
}

impl Kept {
    /// The smallest that holds every scale of this kind.
    pub(super) fn of(scale: Scale) -> Self {
        match scale {
            Scale::F32 => Self::F32,
            Scale::F16 => Self::F16,
            Scale::BF16 | Scale::E8m0 | Scale::E4m3 => Self::BF16,
        }
    }

    pub(super) fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }
}

/// What the blocks of a panel are made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    pub(super) kept: Kept,
    /// Whether there are biases.
    pub(super) biased: bool,
    /// Vectors of codes.
    pub(super) vectors: usize,
}

impl Blocks {
    /// The blocks of panels of `w`.
    pub(super) fn of(w: &Weights<'_>, kept: Kept) -> Self {
        let planes = with_format!(w.format(), F => F::PLANES);
        Self { kept, biased: w.is_affine(), vectors: w.group() / (4 * planes) }
    }

    /// The bytes before the codes, with so many lanes.
    pub(super) fn head(&self, lanes: usize) -> usize {
        (1 + usize::from(self.biased)) * lanes * self.kept.size()
    }

    /// All bytes of a block, with so many lanes.
    pub(super) fn bytes(&self, lanes: usize) -> usize {
        self.head(lanes) + 4 * lanes * self.vectors
    }
}

/// A number for each lane.
///
/// # Safety
///
/// So many are kept at `from`.
#[inline(always)]
pub(super) unsafe fn widen_kept<S: CodeSimd>(simd: S, kept: Kept, from: *const u8) -> S::Floats {
    // SAFETY: the caller promises the numbers.
    unsafe {
        match kept {
            Kept::F32 => simd.load_floats(from.cast()),
            Kept::F16 => simd.widen_f16(simd.words_of_halves(from)),
            Kept::BF16 => simd.widen_bf16(simd.words_of_halves(from)),
        }
    }
}
