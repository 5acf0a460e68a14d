//! An image as numbers, colour by colour.

use super::{Image, Normalization};

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
