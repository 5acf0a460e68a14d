//! Pages as pictures.

use std::collections::BTreeMap;

use super::Parse;
use crate::layout::Warning;
use crate::picture::Picture;
use crate::{PageFailure, Rect};

/// Something that draws pages of the file that it has open.
pub trait Render: Parse {
    /// Draws a page of the open file, by its index from 0, as it is shown: after its rotation, on white paper. What is
    /// shown is what its `CropBox` leaves of its `MediaBox`, as with [`Parse::page`], so that boxes and pixels agree.
    ///
    /// # Errors
    /// The reason why this page has no picture. Other pages can still be asked for.
    fn render(&mut self, index: u32, raster: Raster) -> Result<Picture, PageFailure>;

    /// What the renderer complained about in the page that was drawn last, and how often.
    fn omissions(&self) -> BTreeMap<Warning, u32> {
        BTreeMap::new()
    }
}

/// How large a page is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raster {
    /// Pixels of the longer side, 1 to [`Raster::MOST`]; the shorter follows from the page's shape.
    pub longest: u32,
}

impl Raster {
    /// The most pixels of a side.
    pub const MOST: u32 = 8192;

    /// Whether a page can be drawn so large.
    pub(crate) fn check(self) -> Result<Self, PageFailure> {
        let possible = (1..=Self::MOST).contains(&self.longest);
        if possible { Ok(self) } else { Err(PageFailure::Raster { longest: self.longest }) }
    }

    /// Pixels for each point of a page of this size in points.
    pub fn scale(self, width: f32, height: f32) -> f64 {
        f64::from(self.longest) / f64::from(width.max(height)).max(f64::MIN_POSITIVE)
    }

    /// Width and height in pixels of a page of this size in points. The shorter side is rounded up, so that what it ends
    /// with is not lost.
    pub fn size(self, width: f32, height: f32) -> [u32; 2] {
        let scale = self.scale(width, height);
        // What is a whole number but for rounding stays one.
        let pixels = |side: f32| (f64::from(side) * scale - 1e-3).ceil() as u32;
        [width, height].map(|side| pixels(side).clamp(1, self.longest.max(1)))
    }

    /// Where a box of a page of this size stands on its picture: left, top, right and bottom, in pixels.
    pub fn place(self, bbox: &Rect, width: f32, height: f32) -> [f64; 4] {
        let scale = self.scale(width, height);
        [bbox.x0, bbox.y0, bbox.x1, bbox.y1].map(|edge| f64::from(edge) * scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_as_other_renderers_do() {
        let size = |longest, width, height| Raster { longest }.size(width, height);
        assert_eq!(size(1288, 612.0, 792.0), [996, 1288]);
        assert_eq!(size(1288, 595.0, 842.0), [911, 1288]);
        assert_eq!(size(1288, 792.0, 612.0), [1288, 996]);
        assert_eq!(size(1024, 612.0, 792.0), [792, 1024]);
        assert_eq!(size(100, 50.0, 100.0), [50, 100]);
        assert_eq!(size(8192, 1.0, 14400.0), [1, 8192]);
        assert_eq!(size(1, 3.0, 3.0), [1, 1]);
        assert_eq!(size(7, 0.0, 0.0), [1, 1]);
    }

    #[test]
    fn sides_have_limits() {
        let check = |longest| Raster { longest }.check();
        assert!(check(1).is_ok() && check(8192).is_ok());
        assert_eq!(check(0), Err(PageFailure::Raster { longest: 0 }));
        assert_eq!(check(8193), Err(PageFailure::Raster { longest: 8193 }));
    }
}
