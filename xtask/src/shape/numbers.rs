//! Random numbers in the formats of a checkpoint, the same on every run.

use std::io::{self, Write};

use checkpoint::{Dtype, Mode, Quantization};
use half::{bf16, f16};

/// A stream of 64-bit words that follows from a name: splitmix64, begun at the name's FNV-1a hash.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn named(name: &str) -> Self {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, step))
    }

    pub(super) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number at least 0 and below 1.
    fn unit(&mut self) -> f32 {
        (self.word() >> 40) as f32 / (1_u32 << 24) as f32
    }
}

/// What the elements of a tensor are.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Floats, all one.
    Ones,
    /// Floats spread evenly between `-limit` and `limit`.
    Even { limit: f32 },
    /// Packed codes: random bits, and no code that is no number.
    Codes(Mode),
    /// The scales that give the codes of `quantization` the standard deviation `spread`; for affine
    /// codes, half to one and a half of it.
    Scales { quantization: Quantization, spread: f32 },
    /// The biases that put the middle of affine codes at zero, for the scales in the tensor named.
    Biases { bits: u32, spread: f32, scales: String },
}

/// Writes `elements` elements of `content` for the tensor `name`. Codes are words of 32 bits.
pub(super) fn put(
    out: &mut dyn Write,
    name: &str,
    dtype: Dtype,
    elements: usize,
    content: &Content,
) -> io::Result<()> {
    let mut random = Random::named(name);
    match content {
        Content::Ones => floats(out, dtype, elements, || 1.0),
        Content::Even { limit } => {
            floats(out, dtype, elements, || (2.0 * random.unit() - 1.0) * limit)
        }
        Content::Codes(mode) => {
            // E4M3 between a half and two of either sign: other exponents hold what is no number,
            // and would leave all weight to a few.
            let (keep, set) = match mode {
                Mode::Mxfp8 => (0x8f8f_8f8f, 0x3030_3030),
                Mode::Affine | Mode::Mxfp4 | Mode::Nvfp4 => (u32::MAX, 0),
            };
            pieces(out, elements, || ((random.word() >> 32) as u32 & keep | set).to_le_bytes())
        }
        Content::Scales { quantization, spread } => match quantization.mode {
            Mode::Affine => {
                floats(out, dtype, elements, affine_scale(random, quantization.bits, *spread))
            }
            mode @ (Mode::Mxfp4 | Mode::Mxfp8 | Mode::Nvfp4) => {
                let byte = scale_byte(mode, spread / code_spread(mode, quantization.bits));
                pieces(out, elements, || [byte])
            }
        },
        Content::Biases { bits, spread, scales } => {
            let mut scale = affine_scale(Random::named(scales), *bits, *spread);
            let middle = ((1_u32 << bits) - 1) as f32 / 2.0;
            floats(out, dtype, elements, || -middle * scale())
        }
    }
}

/// The scales of affine codes, one after another.
fn affine_scale(mut random: Random, bits: u32, spread: f32) -> impl FnMut() -> f32 {
    let scale = spread / code_spread(Mode::Affine, bits);
    move || scale * (0.5 + random.unit())
}

/// The standard deviation of what random codes of a mode mean before they are scaled.
fn code_spread(mode: Mode, bits: u32) -> f32 {
    match mode {
        Mode::Affine => ((4_u32.pow(bits) - 1) as f32 / 12.0).sqrt(),
        // The values of E2M1, each with either sign.
        Mode::Mxfp4 | Mode::Nvfp4 => {
            let squares: f32 =
                [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0_f32].map(|x| x * x).iter().sum();
            (squares / 8.0).sqrt()
        }
        // E4M3 between a half and two, see `put`.
        Mode::Mxfp8 => {
            let squares: f32 = (8..16).map(|m| (m as f32 / 8.0).powi(2)).sum();
            (squares * (0.25 + 1.0) / 16.0).sqrt()
        }
    }
}

/// The byte that means about `scale`.
fn scale_byte(mode: Mode, scale: f32) -> u8 {
    let worth = |byte: u8| match mode {
        // E4M3, below the one that is no number.
        Mode::Nvfp4 if byte < 0x7f => {
            let (exponent, mantissa) = (i32::from(byte >> 3), f32::from(byte & 7) / 8.0);
            match exponent {
                0 => mantissa * 2.0_f32.powi(-6),
                _ => (1.0 + mantissa) * 2.0_f32.powi(exponent - 7),
            }
        }
        Mode::Nvfp4 => f32::INFINITY,
        Mode::Affine | Mode::Mxfp4 | Mode::Mxfp8 => 2.0_f32.powi(i32::from(byte) - 127),
    };
    let far = |byte: &u8| (worth(*byte) - scale).abs();
    (1..=254).min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or(127)
}

fn floats(
    out: &mut dyn Write,
    dtype: Dtype,
    elements: usize,
    mut next: impl FnMut() -> f32,
) -> io::Result<()> {
    if dtype == Dtype::F16 {
        pieces(out, elements, || f16::from_f32(next()).to_le_bytes())
    } else if dtype == Dtype::BF16 {
        pieces(out, elements, || bf16::from_f32(next()).to_le_bytes())
    } else {
        pieces(out, elements, || next().to_le_bytes())
    }
}

/// Writes what `next` gives, `count` times, many at once.
fn pieces<const N: usize>(
    out: &mut dyn Write,
    count: usize,
    mut next: impl FnMut() -> [u8; N],
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(1 << 16);
    let mut left = count;
    while left > 0 {
        let now = left.min((1 << 16) / N);
        buffer.clear();
        (0..now).for_each(|_| buffer.extend(next()));
        out.write_all(&buffer)?;
        left -= now;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_follow_from_the_name() {
        let first = |name| Random::named(name).word();
        assert_eq!(first("a"), first("a"));
        assert_ne!(first("a"), first("b"));
        let mut random = Random::named("unit");
        let mean = (0..1000).map(|_| random.unit()).sum::<f32>() / 1000.0;
        assert!((mean - 0.5).abs() < 0.05, "{mean}");
    }

    #[test]
    fn scales_of_bytes_are_near() {
        assert_eq!(scale_byte(Mode::Mxfp4, 1.0), 127);
        assert_eq!(scale_byte(Mode::Mxfp8, 0.24), 125);
        assert_eq!(scale_byte(Mode::Nvfp4, 1.0), 0x38);
        assert_eq!(scale_byte(Mode::Nvfp4, 2.0_f32.powi(-9)), 1);
    }

    #[test]
    fn biases_put_the_middle_of_codes_at_zero() {
        let quantization = Quantization::new(Mode::Affine, 4, 64).unwrap();
        let read = |name, content| {
            let mut out = Vec::new();
            put(&mut out, name, Dtype::F32, 5, &content).unwrap();
            out.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect::<Vec<_>>()
        };
        let scales = read("s", Content::Scales { quantization, spread: 0.1 });
        let biases = read("b", Content::Biases { bits: 4, spread: 0.1, scales: "s".to_owned() });
        for (scale, bias) in scales.iter().zip(biases) {
            assert!((7.5 * scale + bias).abs() < 1e-6);
        }
    }
}
