//! Parts of pictures, turned, and in other sizes.

use image::RgbImage;
use image::imageops::{self, FilterType};

use super::Picture;
use crate::Rect;

impl Picture {
    /// A picture of one colour.
    pub fn filled(width: usize, height: usize, colour: [u8; 3]) -> Self {
        Self { width, height, pixels: colour.repeat(width * height) }
    }

    /// The part within a box in pixels, of which every pixel is taken that it touches. `None` if none is.
    #[must_use]
    pub fn crop(&self, bbox: &Rect) -> Option<Self> {
        // A conversion to a whole number ends at its bounds, and takes what is no number for 0.
        let left = (bbox.x0.floor() as usize).min(self.width);
        let top = (bbox.y0.floor() as usize).min(self.height);
        let right = (bbox.x1.ceil() as usize).min(self.width);
        let bottom = (bbox.y1.ceil() as usize).min(self.height);
        if left >= right || top >= bottom {
            return None;
        }
        let rows = self.pixels.chunks_exact(self.width * 3).take(bottom).skip(top);
        let pixels = rows.flat_map(|row| &row[left * 3..right * 3]).copied().collect();
        Some(Self { width: right - left, height: bottom - top, pixels })
    }

    /// The picture turned counter-clockwise by 0, 90, 180 or 270 degrees; `None` for any other number.
    #[must_use]
    pub fn turned(&self, degrees: u16) -> Option<Self> {
        let Self { width, height, .. } = *self;
        let at = |x: usize, y: usize| (y * width + x) * 3;
        let gathered = |columns: usize, rows: usize, from: &dyn Fn(usize, usize) -> usize| {
            let mut pixels = Vec::with_capacity(self.pixels.len());
            for y in 0..rows {
                for x in 0..columns {
                    let from = from(x, y);
                    pixels.extend_from_slice(&self.pixels[from..from + 3]);
                }
            }
            Self { width: columns, height: rows, pixels }
        };
        match degrees {
            0 => Some(self.clone()),
            90 => Some(gathered(height, width, &|x, y| at(width - 1 - y, x))),
            180 => Some(gathered(width, height, &|x, y| at(width - 1 - x, height - 1 - y))),
            270 => Some(gathered(height, width, &|x, y| at(y, height - 1 - x))),
            _ => None,
        }
    }

    /// The picture in another size, larger or smaller, by the bicubic filter that models' own pictures are resized with.
    /// A side of 0 becomes 1.
    #[must_use]
    pub(crate) fn resized(self, width: u32, height: u32) -> Self {
        let (width, height) = (width.max(1), height.max(1));
        let Self { width: columns, height: rows, pixels } = self;
        let (from, down) = (columns as u32, rows as u32);
        if (from, down) == (width, height) {
            return Self { width: columns, height: rows, pixels };
        }
        let image = RgbImage::from_raw(from, down, pixels).unwrap_or_default();
        let image = imageops::resize(&image, width, height, FilterType::CatmullRom);
        Self { width: width as usize, height: height as usize, pixels: image.into_raw() }
    }
}
