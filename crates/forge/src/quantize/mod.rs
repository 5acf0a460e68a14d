//! Floats, made into codes and scales.
//!
//! A matrix is row-major and its columns are a multiple of the group size, so that every group fills whole 32-bit words
//! and groups can be encoded one by one, on as many threads as there are.

mod affine;
mod floats;

use std::num::NonZero;
use std::thread;

use checkpoint::{Dtype, Mode, Quantization};
use half::{bf16, f16};

/// The parts of a quantized matrix, little-endian, as a checkpoint stores them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantized {
    /// Packed codes: 32-bit words.
    pub weight: Vec<u8>,
    /// One for each group: of the matrix's own type (affine), or bytes.
    pub scales: Vec<u8>,
    /// One for each group, of the matrix's own type; empty but for affine.
    pub biases: Vec<u8>,
}

/// Groups that a thread takes at once.
const CHUNK: usize = 4096;

/// Quantizes a matrix of floats `values`, little-endian elements of `dtype`.
///
/// Affine scales and biases are those of MLX, rounded to `dtype`; a code is the one nearest to its element under the
/// rounded scale and bias. Scales of the other modes are those of MLX too. nvfp4 has no scale of the whole matrix.
///
/// # Panics
///
/// If `dtype` is no float, or `values` does not consist of whole groups.
pub fn quantize(values: &[u8], dtype: Dtype, how: Quantization) -> Quantized {
    assert!(dtype.is_float(), "{dtype} is no float");
    let group_bytes = how.group_size * dtype.bits() / 8;
    assert!(values.len().is_multiple_of(group_bytes), "whole groups of {}", how.group_size);
    let groups = values.len() / group_bytes;
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = groups.div_ceil(threads).next_multiple_of(CHUNK) * group_bytes;
    if values.len() <= share || share == 0 {
        return part(values, dtype, how);
    }
    thread::scope(|scope| {
        let parts: Vec<_> = values
            .chunks(share)
            .map(|values| scope.spawn(move || part(values, dtype, how)))
            .collect();
        let mut whole = Quantized::default();
        for part in parts {
            // A panic in a part is ours, and goes on.
            let part = part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            whole.weight.extend(part.weight);
            whole.scales.extend(part.scales);
            whole.biases.extend(part.biases);
        }
        whole
    })
}

fn part(values: &[u8], dtype: Dtype, how: Quantization) -> Quantized {
    let mut out = Quantized::default();
    let mut group = vec![0.0; how.group_size];
    let mut codes = vec![0; how.group_size];
    for bytes in values.chunks_exact(how.group_size * dtype.bits() / 8) {
        widen(bytes, dtype, &mut group);
        match how.mode {
            Mode::Affine => {
                let (scale, bias) = affine::encode(&group, how.bits, dtype, &mut codes);
                push(&mut out.scales, scale, dtype);
                push(&mut out.biases, bias, dtype);
            }
            Mode::Mxfp4 => out.scales.push(floats::mxfp4(&group, &mut codes)),
            Mode::Mxfp8 => out.scales.push(floats::mxfp8(&group, &mut codes)),
            Mode::Nvfp4 => out.scales.push(floats::nvfp4(&group, &mut codes)),
        }
        pack(&codes, how.bits, &mut out.weight);
    }
    out
}

/// `bytes`, little-endian elements of the float `dtype`, as `f32`.
pub(crate) fn widen(bytes: &[u8], dtype: Dtype, to: &mut [f32]) {
    if dtype == Dtype::BF16 {
        let values = bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32());
        to.iter_mut().zip(values).for_each(|(to, value)| *to = value);
    } else if dtype == Dtype::F16 {
        let values = bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32());
        to.iter_mut().zip(values).for_each(|(to, value)| *to = value);
    } else {
        let values = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
        to.iter_mut().zip(values).for_each(|(to, value)| *to = value);
    }
}

/// `value` as the nearest of the float `dtype`.
fn rounded(value: f32, dtype: Dtype) -> f32 {
    if dtype == Dtype::BF16 {
        bf16::from_f32(value).to_f32()
    } else if dtype == Dtype::F16 {
        f16::from_f32(value).to_f32()
    } else {
        value
    }
}

/// Appends `value` as an element of the float `dtype`.
pub(crate) fn push(to: &mut Vec<u8>, value: f32, dtype: Dtype) {
    if dtype == Dtype::BF16 {
        to.extend(bf16::from_f32(value).to_le_bytes());
    } else if dtype == Dtype::F16 {
        to.extend(f16::from_f32(value).to_le_bytes());
    } else {
        to.extend(value.to_le_bytes());
    }
}

/// Appends `codes`, a whole group, as a stream of `bits` each, lowest bits first.
fn pack(codes: &[u8], bits: u32, to: &mut Vec<u8>) {
    match bits {
        8 => to.extend_from_slice(codes),
        4 => to.extend(codes.as_chunks().0.iter().map(|[low, high]| low | high << 4)),
        2 => to.extend(codes.as_chunks().0.iter().map(|[a, b, c, d]| a | b << 2 | c << 4 | d << 6)),
        _ => {
            // Eight codes fill whole bytes, whatever the width.
            for codes in codes.chunks_exact(8) {
                let word =
                    codes.iter().rev().fold(0_u64, |word, code| word << bits | u64::from(*code));
                to.extend(&word.to_le_bytes()[..bits as usize]);
            }
        }
    }
}
