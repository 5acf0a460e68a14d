//! The formats, decoded one element at a time, and the product in `f64`.
#![cfg(test)]

use crate::device::to_f32;
use crate::{DType, QuantizationMode, QuantizedTensor};

/// Writes row `row` of `w` as `f32` to `out`, which is `columns` long.
pub(in crate::ops) fn decode_row(w: &QuantizedTensor, row: usize, out: &mut [f32]) {
    let groups = w.columns / w.group_size;
    let row_bytes = w.columns * w.bits / 8;
    let codes = &w.weight.bytes()[row * row_bytes..][..row_bytes];
    let scale_size = w.scales.dtype().size();
    let of_group = |tensor: &crate::Tensor, group: usize| {
        let at = (row * groups + group) * scale_size;
        tensor.bytes()[at..at + scale_size].to_vec()
    };
    for (group, out) in out.chunks_exact_mut(w.group_size).enumerate() {
        let scale = of_group(&w.scales, group);
        let scale = match w.mode {
            QuantizationMode::Affine => to_f32(w.scales.dtype(), &scale)[0],
            QuantizationMode::Mxfp4 | QuantizationMode::Mxfp8 => e8m0(scale[0]),
            QuantizationMode::Nvfp4 => e4m3(scale[0]) * w.global_scale.map_or(1.0, |g| g / 2688.0),
        };
        let bias = match &w.biases {
            Some(biases) => to_f32(biases.dtype(), &of_group(biases, group))[0],
            None => 0.0,
        };
        for (i, out) in out.iter_mut().enumerate() {
            let code = code(codes, group * w.group_size + i, w.bits);
            *out = match w.mode {
                QuantizationMode::Affine => scale * f32::from(code) + bias,
                QuantizationMode::Mxfp4 | QuantizationMode::Nvfp4 => scale * e2m1(code),
                QuantizationMode::Mxfp8 => scale * e4m3(code),
            };
        }
    }
    debug_assert_ne!(w.weight.dtype(), DType::F32);
}

/// Element `index` of a little-endian bitstream of `bits`-wide codes.
fn code(codes: &[u8], index: usize, bits: usize) -> u8 {
    let at = index * bits;
    let low = u16::from(codes[at / 8]);
    let high = codes.get(at / 8 + 1).map_or(0, |&byte| u16::from(byte));
    ((low | high << 8) >> (at % 8) & ((1 << bits) - 1)) as u8
}

/// A 4-bit float: sign, two bits of exponent, one of mantissa.
pub(in crate::ops) fn e2m1(code: u8) -> f32 {
    const VALUES: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    let value = VALUES[usize::from(code & 7)];
    if code & 8 == 0 { value } else { -value }
}

/// An 8-bit float: sign, four bits of exponent with bias 7, three of mantissa; no infinities, NaN
/// where all bits but the sign are set.
pub(in crate::ops) fn e4m3(code: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(code >> 3 & 15), f32::from(code & 7));
    let value = match (exponent, code & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa * 2.0_f32.powi(-9),
        _ => (1.0 + mantissa / 8.0) * 2.0_f32.powi(exponent - 7),
    };
    if code & 0x80 == 0 { value } else { -value }
}

/// A power of two with bias 127; NaN where all bits are set.
pub(in crate::ops) fn e8m0(code: u8) -> f32 {
    if code == 255 { f32::NAN } else { 2.0_f32.powi(i32::from(code) - 127) }
}

pub(super) fn quantized_matmul(x: &crate::Tensor, w: &QuantizedTensor) -> crate::Tensor {
    let mut out = vec![0.0; x.rows() * w.rows];
    let mut row = vec![0.0; w.columns];
    for j in 0..w.rows {
        decode_row(w, j, &mut row);
        for (i, x) in x.to_vec().chunks_exact(w.columns).enumerate() {
            let products = x.iter().zip(&row).map(|(&x, &w)| f64::from(x) * f64::from(w));
            out[i * w.rows + j] = products.sum::<f64>() as f32;
        }
    }
    x.device().tensor(&[x.rows(), w.rows], out)
}
