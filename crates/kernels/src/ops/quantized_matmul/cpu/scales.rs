//! The scales of groups as `f32`.
//!
//! Every conversion is exact.
#![expect(unsafe_code, reason = "scales lie at any address")]

use super::panel::{for_each_lane, turn};
use super::panels::Laid;
use super::weights::Weights;
use crate::DType;
use crate::cpu::simd::quantized::{CodeKernel, CodeSimd, Level, WIDEST, dispatch};

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

/// The scales and biases of a panel: as many rows of the weight as a vector has lanes.
#[derive(Default)]
pub(super) struct PanelScales {
    /// For each group a vector: a number of each row.
    scales: Vec<f32>,
    biases: Vec<f32>,
}

impl PanelScales {
    /// Reads the panel from `row` on, scales multiplied with `factor`; where the weight ends, its
    /// last row stands in.
    pub(super) fn read(&mut self, level: Level, w: &Weights<'_>, row: usize, factor: f32) {
        dispatch(level, Read { all: self, w, row, factor });
    }

    /// Reads a panel that lies in a row: `kind`s for so many groups.
    pub(super) fn widen(
        &mut self,
        level: Level,
        panel: &Laid<'_>,
        kind: Scale,
        groups: usize,
        factor: f32,
    ) {
        dispatch(level, WidenAll { all: self, panel, kind, groups, factor });
    }

    /// A vector for each group.
    #[inline(always)]
    pub(super) fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// As [`scales`](Self::scales); arbitrary if there are none.
    #[inline(always)]
    pub(super) fn biases(&self) -> &[f32] {
        &self.biases
    }
}

struct WidenAll<'a, 'b> {
    all: &'a mut PanelScales,
    panel: &'a Laid<'b>,
    kind: Scale,
    groups: usize,
    factor: f32,
}

impl CodeKernel for WidenAll<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        // With a constant, the usual way, the loop has no choice to make.
        if self.kind == Scale::BF16 {
            self.of_kind(simd, Scale::BF16);
        } else {
            let kind = self.kind;
            self.of_kind(simd, kind);
        }
    }
}

impl WidenAll<'_, '_> {
    #[inline(always)]
    fn of_kind<S: CodeSimd>(self, simd: S, kind: Scale) {
        let Self { all, panel, groups, factor, .. } = self;
        if all.scales.len() < groups * S::LANES {
            all.scales.resize(groups * S::LANES, 0.0);
            all.biases.resize(groups * S::LANES, 0.0);
        }
        let factor = simd.splat(factor);
        let step = S::LANES * kind.size();
        let scales = panel.scales.chunks_exact(step).zip(all.scales.chunks_exact_mut(S::LANES));
        for (from, to) in scales.take(groups) {
            // SAFETY: there is a number, and room for one, for each lane.
            unsafe {
                let scale = simd.mul(widen_all(simd, kind, from.as_ptr()), factor);
                simd.store_floats(to.as_mut_ptr(), scale);
            }
        }
        let biases = panel.biases.chunks_exact(step).zip(all.biases.chunks_exact_mut(S::LANES));
        for (from, to) in biases.take(groups) {
            // SAFETY: as above.
            unsafe { simd.store_floats(to.as_mut_ptr(), widen_all(simd, kind, from.as_ptr())) };
        }
    }
}

struct Read<'a, 'b> {
    all: &'a mut PanelScales,
    w: &'a Weights<'b>,
    row: usize,
    factor: f32,
}

impl CodeKernel for Read<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        let Self { all, w, row, factor } = self;
        // Whole squares of lanes are written.
        let room = w.groups().next_multiple_of(2 * S::LANES) * S::LANES;
        if all.scales.len() < room {
            all.scales.resize(room, 0.0);
            all.biases.resize(room, 0.0);
        }
        let affine = w.is_affine();
        let [scales, biases] = w.scales_from(row);
        let (kind, bytes, half) = (w.scale(), w.groups() * w.scale().size(), S::WIDTH / 2);
        // The same of the next panel: nothing else asks for them in time.
        for line in (0..S::LANES * bytes).step_by(WIDEST) {
            simd.prefetch(scales[0].wrapping_add(S::LANES * bytes + line));
            simd.prefetch(biases[0].wrapping_add(S::LANES * bytes + line));
        }
        let groups = half / kind.size();
        let factor = simd.splat(factor);
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
            let to = square * groups * S::LANES;
            let to_scales = &mut all.scales[to..][..groups * S::LANES];
            let to_biases = &mut all.biases[to..][..groups * S::LANES];
            let numbers = 4 / kind.size() * S::LANES;
            for_each_lane!(simd, turned, (i, words) => {
                if i < S::LANES / 2 {
                    store_parts(simd, kind, words, factor, &mut to_scales[i * numbers..][..numbers]);
                } else if affine {
                    let to = &mut to_biases[(i - S::LANES / 2) * numbers..][..numbers];
                    store_parts(simd, kind, words, simd.splat(1.0), to);
                }
            });
        }
    }
}

/// Writes the numbers that words consist of times a factor, a vector for each part of a word.
#[inline(always)]
fn store_parts<S: CodeSimd>(
    simd: S,
    kind: Scale,
    words: S::Bytes,
    factor: S::Floats,
    to: &mut [f32],
) {
    let bits = 8 * kind.size();
    for (part, to) in to.chunks_exact_mut(S::LANES).enumerate() {
        let word = simd.word_field(words, (part * bits) as u32, u32::MAX >> (32 - bits));
        let floats = simd.mul(widen_words(simd, kind, word), factor);
        // SAFETY: there is room for a vector.
        unsafe { simd.store_floats(to.as_mut_ptr(), floats) };
    }
}
