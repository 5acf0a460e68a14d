//! The scales of groups as `f32`.
//!
//! Every conversion is exact. They are written element by element, without branches, so that the
//! compiler makes vectors of them.
#![expect(unsafe_code, reason = "scales lie at any address")]

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
pub(super) fn e4m3_to_f32(bits: u8) -> f32 {
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

/// What integer codes `c` mean, group by group: `scale * c + bias`.
#[derive(Default)]
pub(super) struct Lines {
    scales: Vec<f32>,
    biases: Vec<f32>,
    /// Numbers of a row, padding included.
    stride: usize,
}

impl Lines {
    /// Reads the groups of rows from `row` on, `rows` of them; where the weight ends, its last
    /// row stands in.
    pub(super) fn read(&mut self, level: Level, w: &Weights<'_>, row: usize, rows: usize) {
        let stride = w.groups().next_multiple_of(WIDEST / 4);
        if self.stride != stride || self.scales.len() < rows * stride {
            self.stride = stride;
            self.scales.resize(rows * stride, 0.0);
            self.biases.resize(rows * stride, 0.0);
        }
        dispatch(level, Read { lines: self, w, row, rows });
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

/// Asks memory for what lies `times` the length of `bytes` after them.
#[inline(always)]
fn ask_ahead<S: CodeSimd>(simd: S, bytes: &[u8], times: usize) {
    let from = bytes.as_ptr().wrapping_add(times * bytes.len());
    for at in (0..bytes.len()).step_by(WIDEST) {
        simd.prefetch(from.wrapping_add(at));
    }
}

struct Read<'a, 'b> {
    lines: &'a mut Lines,
    w: &'a Weights<'b>,
    row: usize,
    rows: usize,
}

impl CodeKernel for Read<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        let Self { lines, w, row, rows } = self;
        let (last, size) = (w.rows() - 1, w.scale().size());
        let affine = matches!(w.format(), Codes::Affine(_));
        let factor = simd.splat(w.factor());
        for i in 0..rows {
            let row = (row + i).min(last);
            let to = i * lines.stride;
            // The same rows of what will be read next: nothing else asks for them in time.
            ask_ahead(simd, w.row_scales(row), rows);
            ask_ahead(simd, w.row_biases(row), rows);
            for group in (0..w.groups()).step_by(S::LANES) {
                let scale = widen(simd, w.scale(), &w.row_scales(row)[group * size..]);
                let (scale, bias) = if affine {
                    (scale, widen(simd, w.scale(), &w.row_biases(row)[group * size..]))
                } else {
                    // Codes become twice their value plus 12: see `formats::E2m1`.
                    let scale = simd.mul(simd.mul(scale, factor), simd.splat(0.5));
                    (scale, simd.mul(scale, simd.splat(-12.0)))
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
