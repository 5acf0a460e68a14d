//! `w = scale * code + bias`, codes unsigned.

use checkpoint::Dtype;

use super::rounded;

/// The least scale, as in MLX: a group of equal elements has it.
const LEAST: f32 = 1e-7;

/// Encodes a group in codes of `bits`; gives its scale and bias as elements of `dtype`.
///
/// As in MLX, the end of the range that is farther from zero is met exactly, and zero is made a code, so that the other
/// end may lie up to half a step outside. MLX looks for codes before it rounds scale and bias; we look for them
/// afterwards, which comes nearer to the elements where `dtype` has few digits.
pub(super) fn encode(group: &[f32], bits: u32, dtype: Dtype, codes: &mut [u8]) -> (f32, f32) {
    let top = ((1_u32 << bits) - 1) as f32;
    let (mut least, mut most) = (f32::INFINITY, f32::NEG_INFINITY);
    for &value in group {
        least = least.min(value);
        most = most.max(value);
    }
    let low = least.abs() > most.abs();
    let step = ((most - least) / top).max(LEAST);
    let step = if low { step } else { -step };
    let edge = if low { least } else { most };
    let at_zero = (edge / step).round_ties_even();
    let (scale, bias) = if at_zero == 0.0 { (step, 0.0) } else { (edge / at_zero, edge) };
    let (stored, bias) = (rounded(scale, dtype), rounded(bias, dtype));
    // A scale that is too small for the type would make every element infinite.
    let scale = if stored == 0.0 { scale } else { stored };
    for (code, &value) in codes.iter_mut().zip(group) {
        *code = ((value - bias) / scale).round_ties_even().clamp(0.0, top) as u8;
    }
    (stored, bias)
}
