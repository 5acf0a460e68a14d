//! Codes that are small floats, under a scale for each group.
//!
//! Source of the formats: OCP, "Microscaling Formats (MX) Specification" 1.0; NVIDIA's NVFP4. Scales are chosen as MLX
//! chooses them: no element of a group saturates.

use std::sync::LazyLock;

/// The magnitudes of E2M1, by code.
const E2M1: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

/// The magnitudes of E4M3, by code; the last code is no number.
static E4M3: LazyLock<[f32; 127]> = LazyLock::new(|| {
    std::array::from_fn(|code| {
        let (exponent, mantissa) = ((code >> 3) as i32, (code & 7) as f32);
        match exponent {
            0 => mantissa / 8.0 * 2_f32.powi(-6),
            _ => (1.0 + mantissa / 8.0) * 2_f32.powi(exponent - 7),
        }
    })
});

/// E2M1 elements under a power of two; gives that as E8M0.
pub(super) fn mxfp4(group: &[f32], codes: &mut [u8]) -> u8 {
    let scale = e8m0(largest(group) / 6.0);
    let unit = 2_f64.powi(i32::from(scale) - 127) as f32;
    codes.iter_mut().zip(group).for_each(|(code, value)| *code = e2m1(value / unit));
    scale
}

/// E4M3 elements under a power of two; gives that as E8M0.
pub(super) fn mxfp8(group: &[f32], codes: &mut [u8]) -> u8 {
    let scale = e8m0(largest(group) / 448.0);
    let unit = 2_f64.powi(i32::from(scale) - 127) as f32;
    codes.iter_mut().zip(group).for_each(|(code, value)| *code = e4m3(value / unit));
    scale
}

/// E2M1 elements under an E4M3 scale; gives that.
pub(super) fn nvfp4(group: &[f32], codes: &mut [u8]) -> u8 {
    let scale = e4m3(largest(group) / 6.0);
    let unit = E4M3.get(usize::from(scale)).copied().unwrap_or(0.0);
    let relative = |value: f32| if unit == 0.0 { 0.0 } else { value / unit };
    codes.iter_mut().zip(group).for_each(|(code, value)| *code = e2m1(relative(*value)));
    scale
}

fn largest(group: &[f32]) -> f32 {
    group.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// The power of two at or over `value`, as E8M0; 1 for zero.
fn e8m0(value: f32) -> u8 {
    if value <= 0.0 { 127 } else { ((value.log2().ceil() as i32).clamp(-127, 127) + 127) as u8 }
}

/// The nearest E2M1: of two that are equally near the one nearer to zero, and never minus zero.
fn e2m1(value: f32) -> u8 {
    let magnitude = value.abs();
    // One for each boundary between neighbours that the element is beyond.
    let code = E2M1.windows(2).filter(|pair| magnitude > f32::midpoint(pair[0], pair[1])).count();
    if value < 0.0 && code != 0 { code as u8 | 8 } else { code as u8 }
}

/// The nearest E4M3: of two that are equally near the even one; what is too large becomes the largest.
fn e4m3(value: f32) -> u8 {
    let magnitude = value.abs();
    let above = E4M3.partition_point(|known| *known <= magnitude).min(E4M3.len() - 1);
    let (high, low) = (E4M3[above], E4M3[above.saturating_sub(1)]);
    let (to_low, to_high) = (magnitude - low, high - magnitude);
    let even = above.saturating_sub(1).is_multiple_of(2);
    let code = if to_low < to_high || (to_low == to_high && even) {
        above.saturating_sub(1)
    } else {
        above
    };
    code as u8 | if value.is_sign_negative() { 128 } else { 0 }
}
