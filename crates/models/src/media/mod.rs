//! Images, made into what a network reads: pure functions of pixels.

mod crops;
mod normalization;
mod patches;
mod planes;
mod resize;

pub use crops::CropConfig;
pub use normalization::Normalization;
pub use patches::{PatchConfig, Patches};
pub use planes::Planes;
pub use resize::{Filter, resize};

/// An image with a byte for each of red, green and blue, row by row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Image {
    /// An image of `pixels`; `None` unless there are `width * height * 3` of them, and at least one.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Option<Self> {
        let bytes = width.checked_mul(height)?.checked_mul(3)?;
        (bytes > 0 && bytes == pixels.len()).then_some(Self { width, height, pixels })
    }

    /// Its width.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Its height.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Its bytes: `[height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Itself in the middle of an image of another size and one colour; where what is around it is odd, there is more of it
    /// below and to the right.
    ///
    /// # Panics
    ///
    /// If that is smaller.
    pub(crate) fn padded(&self, width: usize, height: usize, colour: u8) -> Self {
        assert!(self.width <= width && self.height <= height, "padding to {width} x {height}");
        let (left, top) = ((width - self.width) / 2, (height - self.height) / 2);
        let mut pixels = vec![colour; width * height * 3];
        for (y, row) in self.pixels.chunks_exact(self.width * 3).enumerate() {
            pixels[((top + y) * width + left) * 3..][..row.len()].copy_from_slice(row);
        }
        Self { width, height, pixels }
    }

    /// The square of `side` with this corner.
    ///
    /// # Panics
    ///
    /// If it does not lie within.
    pub(crate) fn square(&self, [top, left]: [usize; 2], side: usize) -> Self {
        let row = |y: usize| &self.pixels[(y * self.width + left) * 3..][..side * 3];
        let pixels = (top..top + side).flat_map(row).copied().collect();
        Self { width: side, height: side, pixels }
    }
}
