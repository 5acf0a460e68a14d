//! The scales of groups as `f32`.
//!
//! Every conversion is exact. They are written element by element, without branches, so that the
//! compiler makes vectors of them.
#![expect(unsafe_code, reason = "scales lie at any address")]

use std::ops::Range;

use super::panel::{for_each_lane, turn};
use super::weights::{Codes, Weights};
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

#[inline(always)]
fn f16_to_f32(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7fff);
    let normal = (magnitude << 13) + (112 << 23);
    let subnormal = (magnitude as i32 as f32 * (1.0 / (1 << 24) as f32)).to_bits();
    let special = (magnitude << 13) | 0x7f80_0000;
    let finite = if magnitude < 0x400 { subnormal } else { normal };
    let magnitude = if magnitude >= 0x7c00 { special } else { finite };
    f32::from_bits(magnitude | u32::from(bits & 0x8000) << 16)
}

#[inline(always)]
fn e8m0_to_f32(bits: u8) -> f32 {
    let power = if bits == 0 { 0x0040_0000 } else { u32::from(bits) << 23 };
    f32::from_bits(if bits == 255 { f32::NAN.to_bits() } else { power })
}

/// An 8-bit float: see the reference.
#[inline(always)]
fn e4m3_to_f32(bits: u8) -> f32 {
    let magnitude = u32::from(bits & 0x7f);
    let normal = (magnitude << 20) + (120 << 23);
    let subnormal = (magnitude as i32 as f32 * (1.0 / 512.0)).to_bits();
    let finite = if magnitude < 8 { subnormal } else { normal };
    let magnitude = if magnitude == 0x7f { f32::NAN.to_bits() } else { finite };
    f32::from_bits(magnitude | u32::from(bits & 0x80) << 24)
}

/// The first [`LANES`](CodeSimd::LANES) of `bytes`, zeros where there are none, and a vector of
/// them.
#[inline(always)]
pub(super) fn widen<S: CodeSimd>(simd: S, scale: Scale, bytes: &[u8]) -> S::Floats {
    let want = S::LANES * scale.size();
    let mut raw = [0_u8; WIDEST];
    if bytes.len() >= want {
        // Copied in one move, since the length is known for each kind of scale.
        match scale.size() {
            4 => raw[..4 * S::LANES].copy_from_slice(&bytes[..4 * S::LANES]),
            2 => raw[..2 * S::LANES].copy_from_slice(&bytes[..2 * S::LANES]),
            _ => raw[..S::LANES].copy_from_slice(&bytes[..S::LANES]),
        }
    } else {
        // SAFETY: the slice is as long as we say, which is less than a vector; a vector fits.
        unsafe { simd.store(raw.as_mut_ptr(), simd.load_part(bytes.as_ptr(), bytes.len())) };
    }
    let mut out = [0.0_f32; 16];
    let halves = raw.as_chunks::<2>().0;
    match scale {
        Scale::F32 => {
            // SAFETY: a vector fits.
            return unsafe { simd.load_floats(raw.as_ptr().cast()) };
        }
        Scale::F16 => {
            for i in 0..S::LANES {
                out[i] = f16_to_f32(u16::from_le_bytes(halves[i]));
            }
        }
        Scale::BF16 => {
            for i in 0..S::LANES {
                out[i] = f32::from_bits(u32::from(u16::from_le_bytes(halves[i])) << 16);
            }
        }
        Scale::E8m0 => {
            for i in 0..S::LANES {
                out[i] = e8m0_to_f32(raw[i]);
            }
            clear(&mut out, bytes.len());
        }
        Scale::E4m3 => {
            for i in 0..S::LANES {
                out[i] = e4m3_to_f32(raw[i]);
            }
        }
    }
    // SAFETY: the array has as many numbers as the widest vector.
    unsafe { simd.load_floats(out.as_ptr()) }
}

/// Zeros from `count` on: in E8M0 no byte stands for zero.
#[inline(always)]
fn clear(out: &mut [f32; 16], count: usize) {
    if count < out.len() {
        out[count..].fill(0.0);
    }
}

/// The scales and biases of a few rows of the weight, row by row.
#[derive(Default)]
pub(super) struct Lines {
    scales: Vec<f32>,
    biases: Vec<f32>,
    /// Numbers of a row, padding included.
    stride: usize,
}

impl Lines {
    /// Reads the groups of the rows in `rows`, scales multiplied with `factor`.
    pub(super) fn read(&mut self, level: Level, w: &Weights<'_>, rows: Range<usize>, factor: f32) {
        let (row, rows) = (rows.start, rows.len());
        let stride = w.groups().next_multiple_of(WIDEST / 4);
        if self.stride != stride || self.scales.len() < rows * stride {
            self.stride = stride;
            self.scales.resize(rows * stride, 0.0);
            self.biases.resize(rows * stride, 0.0);
        }
        dispatch(level, ReadLines { lines: self, w, row, rows, factor });
    }

    /// The scales of the `row`th row that was read, from a group on; padded with zeros to whole
    /// vectors.
    #[inline(always)]
    pub(super) fn scales(&self, row: usize, group: usize) -> &[f32] {
        &self.scales[row * self.stride..][group..self.stride]
    }

    /// The biases, as [`scales`](Self::scales).
    #[inline(always)]
    pub(super) fn biases(&self, row: usize, group: usize) -> &[f32] {
        &self.biases[row * self.stride..][group..self.stride]
    }
}

struct ReadLines<'a, 'b> {
    lines: &'a mut Lines,
    w: &'a Weights<'b>,
    row: usize,
    rows: usize,
    factor: f32,
}

impl CodeKernel for ReadLines<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        let Self { lines, w, row, rows, factor } = self;
        let (last, size) = (w.rows() - 1, w.scale().size());
        let affine = matches!(w.format(), Codes::Affine(_));
        let factor = simd.splat(factor);
        for i in 0..rows {
            let row = (row + i).min(last);
            let to = i * lines.stride;
            // The same rows of what will be read next: nothing else asks for them in time.
            ask_line_ahead(simd, w.row_scales(row), rows);
            ask_line_ahead(simd, w.row_biases(row), rows);
            for group in (0..w.groups()).step_by(S::LANES) {
                let scale = widen(simd, w.scale(), &w.row_scales(row)[group * size..]);
                let (scale, bias) = if affine {
                    (scale, widen(simd, w.scale(), &w.row_biases(row)[group * size..]))
                } else {
                    // What is taken from each code is in the sums of the activations.
                    let scale = simd.mul(scale, factor);
                    (scale, scale)
                };
                let scales = &mut lines.scales[to + group..][..S::LANES];
                let biases = &mut lines.biases[to + group..][..S::LANES];
                // SAFETY: there is room for a vector in each.
                unsafe {
                    simd.store_floats(scales.as_mut_ptr(), scale);
                    simd.store_floats(biases.as_mut_ptr(), bias);
                }
            }
        }
    }
}

/// Asks memory for what lies `times` the length of `bytes` after them.
#[inline(always)]
fn ask_line_ahead<S: CodeSimd>(simd: S, bytes: &[u8], times: usize) {
    let from = bytes.as_ptr().wrapping_add(times * bytes.len());
    for at in (0..bytes.len()).step_by(WIDEST) {
        simd.prefetch(from.wrapping_add(at));
    }
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
        let last = w.rows() - 1;
        let scales: [&[u8]; 16] = std::array::from_fn(|i| w.row_scales((row + i).min(last)));
        let biases: [&[u8]; 16] = std::array::from_fn(|i| w.row_biases((row + i).min(last)));
        let affine = !biases[0].is_empty();
        // The same of the next panel: nothing else asks for them in time.
        ask_ahead(simd, scales[0], S::LANES);
        ask_ahead(simd, biases[0], S::LANES);
        let (kind, bytes, half) = (w.scale(), w.groups() * w.scale().size(), S::WIDTH / 2);
        let groups = half / kind.size();
        let factor = simd.splat(factor);
        for (square, at) in (0..bytes).step_by(half).enumerate() {
            let readable = (bytes - at).min(half);
            // SAFETY: `at` is in the scales of the rows, and in their biases if they have any, and
            // so many bytes follow in each.
            let turned = unsafe {
                turn!(simd, i => {
                    let low = (scales[i].as_ptr().wrapping_add(at), readable);
                    let high = biases[i].as_ptr().wrapping_add(at);
                    simd.load_halves(low, (high, if affine { readable } else { 0 }))
                })
            };
            let to = square * groups * S::LANES;
            let to_scales = &mut all.scales[to..][..groups * S::LANES];
            let to_biases = &mut all.biases[to..][..groups * S::LANES];
            let numbers = 4 / kind.size() * S::LANES;
            for_each_lane!(simd, turned, (i, words) => {
                if i < S::LANES / 2 {
                    widen_words(simd, kind, words, factor, &mut to_scales[i * numbers..][..numbers]);
                } else if affine {
                    let to = &mut to_biases[(i - S::LANES / 2) * numbers..][..numbers];
                    widen_words(simd, kind, words, simd.splat(1.0), to);
                }
            });
        }
    }
}

/// Writes the numbers that words consist of times a factor, a vector for each part of a word.
#[inline(always)]
fn widen_words<S: CodeSimd>(
    simd: S,
    kind: Scale,
    words: S::Bytes,
    factor: S::Floats,
    to: &mut [f32],
) {
    for (part, to) in to.chunks_exact_mut(S::LANES).enumerate() {
        let floats = simd.mul(widen_part(simd, kind, words, part), factor);
        // SAFETY: there is room for a vector.
        unsafe { simd.store_floats(to.as_mut_ptr(), floats) };
    }
}

/// Of each word the number that stands in its `part`th part.
#[inline(always)]
fn widen_part<S: CodeSimd>(simd: S, kind: Scale, words: S::Bytes, part: usize) -> S::Floats {
    let shift = (8 * kind.size() * part) as u32;
    match kind {
        Scale::F32 => simd.as_floats(words),
        Scale::BF16 if part == 0 => simd.low_halves(words),
        Scale::BF16 => simd.high_halves(words),
        Scale::F16 | Scale::E8m0 | Scale::E4m3 => {
            let (mut all, mut floats) = ([0_u32; 16], [0.0_f32; 16]);
            // SAFETY: there is room for a vector.
            unsafe { simd.store(all.as_mut_ptr().cast(), words) };
            let (words, numbers) = (&all[..S::LANES], &mut floats[..S::LANES]);
            match kind {
                Scale::E8m0 => {
                    for (number, word) in numbers.iter_mut().zip(words) {
                        *number = e8m0_to_f32((word >> shift) as u8);
                    }
                }
                Scale::E4m3 => {
                    for (number, word) in numbers.iter_mut().zip(words) {
                        *number = e4m3_to_f32((word >> shift) as u8);
                    }
                }
                Scale::F16 | Scale::F32 | Scale::BF16 => {
                    for (number, word) in numbers.iter_mut().zip(words) {
                        *number = f16_to_f32((word >> shift) as u16);
                    }
                }
            }
            // SAFETY: there are as many numbers.
            unsafe { simd.load_floats(floats.as_ptr()) }
        }
    }
}

/// Asks memory for what lies behind `times` the length of `bytes`, as much.
#[inline(always)]
fn ask_ahead<S: CodeSimd>(simd: S, bytes: &[u8], times: usize) {
    let from = bytes.as_ptr().wrapping_add(times * bytes.len());
    for at in (0..times * bytes.len()).step_by(WIDEST) {
        simd.prefetch(from.wrapping_add(at));
    }
}
