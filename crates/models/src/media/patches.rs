//! Images cut into patches, as vision towers read them that take images of any size.
//!
//! An image is resized so that blocks of `merge` by `merge` patches fill it and it has no fewer and no more pixels than the
//! checkpoint wants. Its numbers are scaled and centred, and each patch becomes a row: channel by channel, each as often as
//! a patch has frames, line by line. Patches come block by block, so that those which the network will merge are neighbours.

use serde_json::Value;

use super::normalization::expect;
use super::{Filter, Image, Normalization, resize};
use crate::{Error, Result};

/// The most that one side may be longer than the other.
const LONGEST: usize = 200;

/// What `preprocessor_config.json` says.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchConfig {
    /// The side of a patch, in pixels.
    pub patch: usize,
    /// The side of a block that becomes one token, in patches.
    pub merge: usize,
    /// The frames of a patch; an image stands still.
    pub frames: usize,
    /// The fewest pixels of a resized image.
    pub min_pixels: usize,
    /// The most.
    pub max_pixels: usize,
    /// What becomes of bytes.
    pub normalization: Normalization,
}

/// An image as the network reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Patches {
    /// Rows and columns of patches.
    pub grid: [usize; 2],
    /// `[rows * columns, 3 * frames * patch * patch]`.
    pub values: Vec<f32>,
}

impl Default for PatchConfig {
    /// What the reference takes where a file is silent.
    fn default() -> Self {
        Self {
            patch: 14,
            merge: 2,
            frames: 2,
            min_pixels: 56 * 56,
            max_pixels: 28 * 28 * 1280,
            normalization: Normalization::default(),
        }
    }
}

impl PatchConfig {
    /// Reads `file`, the content of `preprocessor_config.json` at `path`. Limits may stand there as `min_pixels` and
    /// `max_pixels`, which win, or as the edges of `size`.
    ///
    /// # Errors
    ///
    /// If a field asks for something else than is done here, or makes no sense.
    pub fn read(path: &std::path::Path, file: &Value) -> Result<Self> {
        let fail = |field, value: &Value, expected| {
            Err(Error::Config { file: path.to_owned(), field, value: value.to_string(), expected })
        };
        expect(path, file, &[("do_resize", true.into()), ("resample", 3.into())])?;
        let normalization = Normalization::read(path, file)?;
        let mut out = Self { normalization, ..Self::default() };
        let size = |edge: &str| file.get("size").and_then(|size| size.get(edge));
        for (field, value, target) in [
            ("patch_size", file.get("patch_size"), &mut out.patch),
            ("merge_size", file.get("merge_size"), &mut out.merge),
            ("temporal_patch_size", file.get("temporal_patch_size"), &mut out.frames),
            (
                "min_pixels",
                file.get("min_pixels").or_else(|| size("shortest_edge")),
                &mut out.min_pixels,
            ),
            (
                "max_pixels",
                file.get("max_pixels").or_else(|| size("longest_edge")),
                &mut out.max_pixels,
            ),
        ] {
            let Some(value) = value.filter(|value| !value.is_null()) else { continue };
            match value.as_u64().filter(|n| (1..=1 << 26).contains(n)) {
                Some(n) => *target = n as usize,
                None => return fail(field, value, "a number between 1 and 2^26"),
            }
        }
        if out.patch > 256 || out.merge > 16 || out.frames > 16 || out.min_pixels > out.max_pixels {
            return fail(
                "patch_size",
                file,
                "sizes of patches, and a least number of pixels below the most",
            );
        }
        Ok(out)
    }

    /// Width and height of an image of `width` by `height` after resizing: whole blocks, about the same shape.
    ///
    /// # Errors
    ///
    /// If one side is more than 200 times the other.
    pub fn fit(&self, width: usize, height: usize) -> Result<(usize, usize)> {
        let (long, short) = (width.max(height), width.min(height));
        if short == 0 || long as f64 / short as f64 > LONGEST as f64 {
            return Err(Error::AspectRatio { width, height, most: LONGEST });
        }
        let block = (self.patch * self.merge) as f64;
        let sides = [width as f64, height as f64];
        let pixels = sides[0] * sides[1];
        let near = sides.map(|side| (side / block).round_ties_even() * block);
        let (most, least) = (self.max_pixels as f64, self.min_pixels as f64);
        let [width, height] = if near[0] * near[1] > most {
            let beta = (pixels / most).sqrt();
            sides.map(|side| ((side / beta / block).floor() * block).max(block))
        } else if near[0] * near[1] < least {
            let beta = (least / pixels).sqrt();
            sides.map(|side| (side * beta / block).ceil() * block)
        } else {
            near
        };
        Ok((width as usize, height as usize))
    }

    /// `image` in a size of whole blocks.
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit).
    pub fn resized(&self, image: &Image) -> Result<Image> {
        let (width, height) = self.fit(image.width(), image.height())?;
        Ok(resize(image, width, height, Filter::Bicubic))
    }

    /// The patches of `image`, whose sides are whole blocks.
    pub fn cut(&self, image: &Image) -> Patches {
        let (width, height) = (image.width(), image.height());
        let (patch, merge) = (self.patch, self.merge);
        let (rows, columns) = (height / patch, width / patch);
        let tables = self.normalization.tables();
        let mut values = Vec::with_capacity(rows * columns * 3 * self.frames * patch * patch);
        for block in 0..rows / merge * (columns / merge) {
            let (down, right) = (block / (columns / merge), block % (columns / merge));
            for inner in 0..merge * merge {
                let top = (down * merge + inner / merge) * patch;
                let left = (right * merge + inner % merge) * patch;
                for (channel, table) in tables.iter().enumerate() {
                    for _ in 0..self.frames {
                        for y in top..top + patch {
                            let line = &image.pixels()[(y * width + left) * 3..][..patch * 3];
                            let bytes = line.iter().skip(channel).step_by(3);
                            values.extend(bytes.map(|&byte| table[usize::from(byte)]));
                        }
                    }
                }
            }
        }
        Patches { grid: [rows, columns], values }
    }
}
