//! Resizing, to the bit as Pillow does it up to version 12: with weights in fixed point, columns first, and a byte
//! for each sample between the two passes.
//!
//! An image that shrinks is smoothed by as much: the filter is as wide as the step from one pixel to the next. Networks were
//! trained on images that Pillow resized, so another filter gives them others than they know.
//!
//! Source: Keys, "Cubic Convolution Interpolation for Digital Image Processing" (1981), with a = -1/2.

use super::Image;

/// Bits behind the point of a weight: a byte times a weight, a few times over, fits 32 bits.
const BITS: u32 = 22;

/// How much a sample counts, by its distance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Filter {
    /// A triangle.
    Bilinear,
    /// Keys's cubic.
    Bicubic,
}

impl Filter {
    /// How far it reaches on each side, in steps.
    fn reach(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        match self {
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
            Self::Bicubic => cubic(x),
        }
    }
}

/// `image` in another size.
///
/// # Panics
///
/// If `width` or `height` is 0.
pub fn resize(image: &Image, width: usize, height: usize, filter: Filter) -> Image {
    assert!(width > 0 && height > 0, "an image of {width} x {height}");
    let mut pixels = image.pixels.clone();
    if width != image.width {
        let taps = taps(image.width, width, filter);
        let rows = pixels.chunks_exact(image.width * 3);
        pixels = rows.flat_map(|row| along(row, 3, &taps)).collect();
    }
    if height != image.height {
        pixels = along(&pixels, width * 3, &taps(image.height, height, filter));
    }
    Image { width, height, pixels }
}

/// The samples that make one: from which on, and the weight of each.
struct Taps {
    first: usize,
    weights: Vec<i64>,
}

/// For each of `to` samples those of `from` that it is made of.
fn taps(from: usize, to: usize, filter: Filter) -> Vec<Taps> {
    let step = from as f64 / to as f64;
    let wide = step.max(1.0);
    let reach = filter.reach() * wide;
    let one = |at: usize| {
        let centre = (at as f64 + 0.5) * step;
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(from);
        let weights: Vec<f64> =
            (first..end).map(|i| filter.weight((i as f64 - centre + 0.5) / wide)).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: f64| (weight / sum * f64::from(1 << BITS)).round() as i64;
        Taps { first, weights: weights.into_iter().map(fixed).collect() }
    };
    (0..to).map(one).collect()
}

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Filters samples of `stride` bytes each, byte by byte.
fn along(samples: &[u8], stride: usize, taps: &[Taps]) -> Vec<u8> {
    let mut out = Vec::with_capacity(taps.len() * stride);
    for Taps { first, weights } in taps {
        for at in first * stride..(first + 1) * stride {
            let column = samples[at..].iter().step_by(stride);
            let sum: i64 = column.zip(weights).map(|(&x, weight)| i64::from(x) * weight).sum();
            out.push(((sum + (1 << (BITS - 1))) >> BITS).clamp(0, 255) as u8);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_image_stays_flat_and_its_own_size_changes_nothing() {
        let flat = Image::new(7, 5, vec![201; 105]).unwrap();
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            let other = resize(&flat, 23, 3, filter);
            assert_eq!((other.width(), other.height()), (23, 3));
            assert!(other.pixels().iter().all(|&x| x == 201));
            assert_eq!(resize(&flat, 7, 5, filter), flat);
        }
    }

    #[test]
    fn an_edge_overshoots_and_is_held_in_range() {
        let row: Vec<u8> = (0..8).flat_map(|x| [if x < 4 { 0 } else { 255 }; 3]).collect();
        let wide = resize(&Image::new(8, 1, row).unwrap(), 16, 1, Filter::Bicubic);
        assert!(wide.pixels()[..18].iter().all(|&x| x < 30), "{wide:?}");
        assert!(wide.pixels()[30..].iter().all(|&x| x > 225), "{wide:?}");
    }

    #[test]
    fn an_image_has_as_many_bytes_as_it_says() {
        assert!(Image::new(2, 2, vec![0; 11]).is_none());
        assert!(Image::new(0, 2, Vec::new()).is_none());
        assert!(Image::new(usize::MAX, 2, vec![0; 6]).is_none());
    }
}
