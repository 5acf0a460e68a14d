//! Images, made into what a network reads: pure functions of pixels.

mod board;
mod crops;
mod normalization;
mod patches;
mod planes;
mod resize;

pub use board::BoardConfig;
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

    /// Its rows as columns.
    pub(crate) fn transposed(&self) -> Self {
        let column = |x: usize| self.pixels[x * 3..].chunks(self.width * 3).map(|rest| &rest[..3]);
        let pixels = (0..self.width).flat_map(column).flatten().copied().collect();
        Self { width: self.height, height: self.width, pixels }
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

#[cfg(test)]
mod tests {
    use super::Image;

    #[test]
    fn an_image_is_turned_padded_and_cut() {
        let image = Image::new(3, 2, (0..18).collect()).unwrap();
        let turned = image.transposed();
        assert_eq!((turned.width(), turned.height()), (2, 3));
        let rows = [[0, 1, 2, 9, 10, 11], [3, 4, 5, 12, 13, 14], [6, 7, 8, 15, 16, 17]];
        assert_eq!(turned.pixels(), rows.as_flattened());
        assert_eq!(turned.transposed(), image);
        let padded = turned.padded(5, 4, 7);
        let mut board = vec![7; 60];
        for (y, row) in rows.iter().enumerate() {
            board[y * 15 + 3..][..6].copy_from_slice(row);
        }
        assert_eq!(padded.pixels(), board);
        assert_eq!(padded.square([1, 2], 2).pixels(), [12, 13, 14, 7, 7, 7, 15, 16, 17, 7, 7, 7]);
    }
}
