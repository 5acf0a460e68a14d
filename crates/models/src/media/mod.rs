//! Images, made into what a network reads: pure functions of pixels.

mod patches;
mod resize;

pub use patches::{PatchConfig, Patches};
pub use resize::resize;

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
}
