//! `w = scale * code + bias`, codes unsigned.

use checkpoint::Dtype;
use kernels::scale_and_bias;

use super::rounded;

/// Encodes a group in codes of `bits`; gives its scale and bias as elements of `dtype`.
///
/// Scale and bias are MLX's. It looks for codes before it rounds them; we look afterwards, which comes nearer to the
/// elements where `dtype` has few digits.
pub(super) fn encode(group: &[f32], bits: u32, dtype: Dtype, codes: &mut [u8]) -> (f32, f32) {
    let top = ((1_u32 << bits) - 1) as f32;
    let (scale, bias) = scale_and_bias(group, bits as usize);
    let (stored, bias) = (rounded(scale, dtype), rounded(bias, dtype));
    // A scale that is too small for the type would make every element infinite.
    let scale = if stored == 0.0 { scale } else { stored };
    for (code, &value) in codes.iter_mut().zip(group) {
        *code = ((value - bias) / scale).round_ties_even().clamp(0.0, top) as u8;
    }
    (stored, bias)
}
