//! Quantizers and their inverses in MLX's formats: plain and slow, for tests.
//!
//! Matrices are row-major with a number of columns that is a multiple of the group size. Then every row fills whole
//! 32-bit words, so a matrix is one stream of codes, lowest bits first.

/// Quantizes a matrix of `rows` x `cols` to unsigned codes of `bits` (1 to 8) with a scale and a bias per `group`
/// columns, by MLX's rule. Gives the packed codes (little-endian words), the scales and the biases.
///
/// # Panics
/// If `w` is not `rows * cols` long or `cols` is not a multiple of `group`.
pub fn affine(
    w: &[f32],
    rows: usize,
    cols: usize,
    bits: u32,
    group: usize,
) -> (Vec<u8>, Vec<f32>, Vec<f32>) {
    check(w, rows, cols, group);
    let top = ((1u32 << bits) - 1) as f32;
    let (mut codes, mut scales, mut biases) = (Vec::with_capacity(w.len()), Vec::new(), Vec::new());
    for values in w.chunks_exact(group) {
        let max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let min = values.iter().copied().fold(f32::INFINITY, f32::min);
        let low = min.abs() > max.abs();
        let step = ((max - min) / top).max(1e-7);
        let step = if low { step } else { -step };
        let edge = if low { min } else { max };
        let at_zero = (edge / step).round_ties_even();
        let (scale, bias) = if at_zero == 0.0 { (step, 0.0) } else { (edge / at_zero, edge) };
        codes.extend(
            values
                .iter()
                .map(|value| ((value - bias) / scale).round_ties_even().clamp(0.0, top) as u8),
        );
        scales.push(scale);
        biases.push(bias);
    }
    (pack(&codes, bits), scales, biases)
}

/// The numbers that [`affine`]'s result stands for.
pub fn affine_values(
    packed: &[u8],
    scales: &[f32],
    biases: &[f32],
    bits: u32,
    group: usize,
) -> Vec<f32> {
    let codes = unpack(packed, bits);
    let value = |(i, code): (usize, &u8)| scales[i / group] * f32::from(*code) + biases[i / group];
    codes.iter().enumerate().take(scales.len() * group).map(value).collect()
}

/// Quantizes to mxfp4: E2M1 codes, an E8M0 scale per 32 columns. Gives the packed codes and the scales.
///
/// As in MLX, the scale is the power of two at or over the largest magnitude / 6, so that nothing saturates.
///
/// # Panics
/// As [`affine`].
pub fn mxfp4(w: &[f32], rows: usize, cols: usize) -> (Vec<u8>, Vec<u8>) {
    check(w, rows, cols, 32);
    let (codes, scales) = by_groups(w, 32, |largest| e8m0(largest / 6.0), e8m0_value, encode_e2m1);
    (pack(&codes, 4), scales)
}

/// The numbers that [`mxfp4`]'s result stands for.
pub fn mxfp4_values(packed: &[u8], scales: &[u8]) -> Vec<f32> {
    values(&unpack(packed, 4), scales, 32, e2m1_value, e8m0_value)
}

/// Quantizes to mxfp8: E4M3 codes, an E8M0 scale per 32 columns. Gives the packed codes and the scales.
///
/// # Panics
/// As [`affine`].
pub fn mxfp8(w: &[f32], rows: usize, cols: usize) -> (Vec<u8>, Vec<u8>) {
    check(w, rows, cols, 32);
    by_groups(w, 32, |largest| e8m0(largest / 448.0), e8m0_value, encode_e4m3)
}

/// The numbers that [`mxfp8`]'s result stands for.
pub fn mxfp8_values(packed: &[u8], scales: &[u8]) -> Vec<f32> {
    values(packed, scales, 32, e4m3_value, e8m0_value)
}

/// Quantizes to nvfp4: E2M1 codes, an E4M3 scale per 16 columns, and optionally a scale for the whole matrix
/// (usually its largest magnitude), over 2688 = 448 * 6. Gives the packed codes and the scales.
///
/// # Panics
/// As [`affine`].
pub fn nvfp4(w: &[f32], rows: usize, cols: usize, global_scale: Option<f32>) -> (Vec<u8>, Vec<u8>) {
    check(w, rows, cols, 16);
    let unit = global_scale.map_or(1.0, |scale| scale / 2688.0);
    let w: Vec<f32> = w.iter().map(|value| value / unit).collect();
    let (codes, scales) =
        by_groups(&w, 16, |largest| encode_e4m3(largest / 6.0), e4m3_value, encode_e2m1);
    (pack(&codes, 4), scales)
}

/// The numbers that [`nvfp4`]'s result stands for.
pub fn nvfp4_values(packed: &[u8], scales: &[u8], global_scale: Option<f32>) -> Vec<f32> {
    let unit = global_scale.map_or(1.0, |scale| scale / 2688.0);
    let mut values = values(&unpack(packed, 4), scales, 16, e2m1_value, e4m3_value);
    values.iter_mut().for_each(|value| *value *= unit);
    values
}

/// `codes` of `bits` each as one stream, lowest bits first.
pub fn pack(codes: &[u8], bits: u32) -> Vec<u8> {
    let mut packed = Vec::new();
    let (mut held, mut count) = (0u32, 0);
    for code in codes {
        held |= u32::from(*code) << count;
        count += bits;
        while count >= 8 {
            packed.push(held as u8);
            held >>= 8;
            count -= 8;
        }
    }
    if count > 0 {
        packed.push(held as u8);
    }
    packed
}

/// The codes of `bits` each in the stream `packed`.
pub fn unpack(packed: &[u8], bits: u32) -> Vec<u8> {
    let mut codes = Vec::new();
    let (mut held, mut count) = (0u32, 0);
    for byte in packed {
        held |= u32::from(*byte) << count;
        count += 8;
        while count >= bits {
            codes.push((held & ((1 << bits) - 1)) as u8);
            held >>= bits;
            count -= bits;
        }
    }
    codes
}

/// The value of a 4-bit float: one sign bit, two of exponent, one of mantissa.
pub fn e2m1_value(code: u8) -> f32 {
    let magnitude = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0][usize::from(code & 7)];
    if code & 8 == 0 { magnitude } else { -magnitude }
}

/// The value of an 8-bit float with four bits of exponent and three of mantissa; it has no infinity.
pub fn e4m3_value(code: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(code >> 3 & 15), f32::from(code & 7));
    let magnitude = match (exponent, code & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa / 8.0 * 2f32.powi(-6),
        _ => (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7),
    };
    if code & 128 == 0 { magnitude } else { -magnitude }
}

/// The value of an 8-bit power of two.
pub fn e8m0_value(code: u8) -> f32 {
    2f64.powi(i32::from(code) - 127) as f32
}

fn e8m0(value: f32) -> u8 {
    // A group of zeros has the scale 1, as in MLX.
    if value <= 0.0 { 127 } else { ((value.log2().ceil() as i32).clamp(-127, 127) + 127) as u8 }
}

/// As in MLX, nothing becomes minus zero, and of two values that are equally near the smaller one is taken.
fn encode_e2m1(value: f32) -> u8 {
    let magnitude = nearest(value, 8, e2m1_value, |_| true);
    if value < 0.0 && magnitude != 0 { magnitude | 8 } else { magnitude }
}

fn encode_e4m3(value: f32) -> u8 {
    nearest(value, 127, e4m3_value, |low| low % 2 == 0)
        | if value.is_sign_negative() { 128 } else { 0 }
}

/// The one of the first `count` codes, whose values rise, that is nearest to `|value|`; of two, the lower
/// one where `down` says so.
fn nearest(value: f32, count: u8, decode: impl Fn(u8) -> f32, down: impl Fn(u8) -> bool) -> u8 {
    let value = value.abs();
    let (mut low, mut high) = (0, count - 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if decode(middle) <= value { low = middle } else { high = middle }
    }
    let (below, above) = (value - decode(low), decode(high) - value);
    if below < above || (below == above && down(low)) { low } else { high }
}

/// Encodes each group with a scale from its largest magnitude.
fn by_groups(
    w: &[f32],
    group: usize,
    scale: impl Fn(f32) -> u8,
    scale_value: impl Fn(u8) -> f32,
    encode: impl Fn(f32) -> u8,
) -> (Vec<u8>, Vec<u8>) {
    let (mut codes, mut scales) = (Vec::with_capacity(w.len()), Vec::new());
    for values in w.chunks_exact(group) {
        let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        let code = scale(largest);
        let unit = scale_value(code);
        let relative = |value: f32| if unit == 0.0 { 0.0 } else { value / unit };
        codes.extend(values.iter().map(|value| encode(relative(*value))));
        scales.push(code);
    }
    (codes, scales)
}

fn values(
    codes: &[u8],
    scales: &[u8],
    group: usize,
    code_value: impl Fn(u8) -> f32,
    scale_value: impl Fn(u8) -> f32,
) -> Vec<f32> {
    let value = |(i, code): (usize, &u8)| code_value(*code) * scale_value(scales[i / group]);
    codes.iter().enumerate().map(value).collect()
}

fn check(w: &[f32], rows: usize, cols: usize, group: usize) {
    assert_eq!(w.len(), rows * cols, "a matrix of {rows} x {cols}");
    assert_eq!(cols % group, 0, "{cols} columns in groups of {group}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from -1 to 1, the same every time.
    fn noise(count: usize) -> Vec<f32> {
        let mut state = 7u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn largest_error(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).fold(0.0, |largest, (a, b)| largest.max((a - b).abs()))
    }

    #[test]
    fn packing_goes_there_and_back_and_crosses_words() {
        for bits in [1, 2, 3, 4, 5, 6, 8] {
            let codes: Vec<u8> = (0..64u32).map(|i| (i * 37 % (1 << bits)) as u8).collect();
            let packed = pack(&codes, bits);
            assert_eq!(packed.len(), 8 * bits as usize);
            assert_eq!(unpack(&packed, bits), codes);
        }
        assert_eq!(pack(&[1, 2], 4), [0x21]); // element 0 in the low nibble
        assert_eq!(pack(&[7, 0, 7, 0, 0, 0, 0, 0], 3), [0b1100_0111, 0b0000_0001, 0]);
    }

    #[test]
    fn affine_is_as_close_as_its_step() {
        let w = noise(3 * 256);
        for group in [32, 64, 128] {
            for bits in [2, 3, 4, 5, 6, 8] {
                let (packed, scales, biases) = affine(&w, 3, 256, bits, group);
                assert_eq!(packed.len(), 3 * 256 * bits as usize / 8);
                assert_eq!(scales.len(), 3 * 256 / group);
                let step = scales.iter().fold(0f32, |step, scale| step.max(scale.abs()));
                // The edge is exact, zero is a code; the far end may be clipped by up to one step.
                let error =
                    largest_error(&w, &affine_values(&packed, &scales, &biases, bits, group));
                assert!(
                    error <= step * 1.01,
                    "{bits} bits, groups of {group}: {error} over {step}"
                );
            }
        }
        let (packed, scales, biases) = affine(&[0.0; 32], 1, 32, 4, 32);
        assert_eq!(affine_values(&packed, &scales, &biases, 4, 32), [0.0; 32]);
    }

    #[test]
    fn small_floats_are_as_close_as_their_mantissa() {
        let w = noise(2 * 64);
        let (packed, scales) = mxfp8(&w, 2, 64);
        assert!(largest_error(&w, &mxfp8_values(&packed, &scales)) < 0.3);
        let (packed, scales) = mxfp4(&w, 2, 64);
        assert_eq!((packed.len(), scales.len()), (64, 4));
        assert!(largest_error(&w, &mxfp4_values(&packed, &scales)) < 0.4);
        for global in [None, Some(1.0), Some(0.3)] {
            let (packed, scales) = nvfp4(&w, 2, 64, global);
            assert_eq!((packed.len(), scales.len()), (64, 8));
            let close = largest_error(&w, &nvfp4_values(&packed, &scales, global));
            assert!(if global == Some(0.3) { close < 0.8 } else { close < 0.2 }, "{close}");
        }
    }

    #[test]
    fn codes_and_values_agree() {
        for code in (0..16).filter(|code| *code != 8) {
            assert_eq!(encode_e2m1(e2m1_value(code)), code);
        }
        for code in (0..=255).filter(|code| code & 127 != 127) {
            assert_eq!(encode_e4m3(e4m3_value(code)), code);
        }
        assert_eq!(e4m3_value(0x7e), 448.0);
        assert_eq!((encode_e2m1(100.0), encode_e2m1(-100.0)), (7, 15));
        assert_eq!((encode_e2m1(0.25), encode_e2m1(0.75), encode_e2m1(5.0)), (0, 1, 6)); // ties go towards zero
        assert_eq!((e8m0_value(127), e8m0_value(e8m0(0.25))), (1.0, 0.25));
    }
}
