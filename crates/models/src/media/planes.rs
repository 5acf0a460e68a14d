//! An image as numbers, colour by colour.

use super::{Image, Normalization};

/// The sharpness of the interpolation.
const A: f32 = -0.75;

/// Red, green and blue as numbers, each a plane of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Planes {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Planes {
    /// The numbers of `image`.
    pub fn of(image: &Image, normalization: &Normalization) -> Self {
        let (width, height) = (image.width(), image.height());
        let mut values = Vec::with_capacity(width * height * 3);
        for (channel, table) in normalization.tables().iter().enumerate() {
            let bytes = image.pixels().iter().skip(channel).step_by(3);
            values.extend(bytes.map(|&byte| table[usize::from(byte)]));
        }
        Self { width, height, values }
    }

    /// Its numbers: `[3, height, width]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The whole in a square of `side`: cubic with a = -3/4 between the four nearest on each axis, and not smoothed, as PyTorch
    /// interpolates. Its sums are taken in the order, and rounded as often, as by its vectorized code.
    ///
    /// # Panics
    ///
    /// If `side` is 0.
    #[must_use]
    pub fn interpolated(&self, side: usize) -> Self {
        assert!(side > 0, "a square of no side");
        let (down, across) = (taps(self.height, side), taps(self.width, side));
        let mut values = Vec::with_capacity(side * side * 3);
        for plane in self.values.chunks_exact(self.width * self.height) {
            let line = |y: usize| &plane[y * self.width..][..self.width];
            for (rows, weights) in &down {
                let rows = rows.map(line);
                values.extend(across.iter().map(|(columns, along)| {
                    sum(rows.map(|row| sum(columns.map(|x| row[x]), along)), weights)
                }));
            }
        }
        Self { width: side, height: side, values }
    }

    /// Appends to `out` the patches, row by row, of the square of `side` with this corner: of each all of red, green and blue.
    ///
    /// # Panics
    ///
    /// If the square does not lie within.
    pub fn cut(&self, [top, left]: [usize; 2], side: usize, patch: usize, out: &mut Vec<f32>) {
        let across = side / patch;
        out.reserve(3 * (across * patch).pow(2));
        for place in 0..across * across {
            let (top, left) = (top + place / across * patch, left + place % across * patch);
            for plane in self.values.chunks_exact(self.width * self.height) {
                for y in top..top + patch {
                    out.extend_from_slice(&plane[y * self.width + left..][..patch]);
                }
            }
        }
    }
}

/// For each of `to` samples four of `from`, and how much each counts.
fn taps(from: usize, to: usize) -> Vec<([usize; 4], [f32; 4])> {
    let step = from as f32 / to as f32;
    let one = |at: usize| {
        let centre = step * (at as f32 + 0.5) - 0.5;
        let first = centre.floor();
        let near = |t: f32| ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0;
        let far = |t: f32| ((A * t - 5.0 * A) * t + 8.0 * A) * t - 4.0 * A;
        let t = centre - first;
        let place = |offset: i64| (first as i64 + offset).clamp(0, from as i64 - 1) as usize;
        ([-1, 0, 1, 2].map(place), [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)])
    };
    (0..to).map(one).collect()
}

/// The second product is rounded, the others are added to it without being.
fn sum(x: [f32; 4], weights: &[f32; 4]) -> f32 {
    let two = x[0].mul_add(weights[0], x[1] * weights[1]);
    x[3].mul_add(weights[3], x[2].mul_add(weights[2], two))
}
