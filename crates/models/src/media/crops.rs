//! Images cut into crops of one size, behind a small one of the whole, for towers that read squares of one size only.
//!
//! Of the sizes that a checkpoint lists the best is chosen: the one in which most of the image's own pixels are left and, of
//! those, the smallest. The image is made as large as it fits there in its own shape, put on black, and cut.

use serde_json::Value;

use super::normalization::expect;
use super::{Filter, Image, Normalization, resize};
use crate::{Error, Result};

/// The most crops of an image, and the most sizes to choose from.
const MOST: usize = 64;

/// The longest side of a crop, and the most pixels of all of them.
const LONGEST: usize = 1024;
const MOST_PIXELS: usize = 1 << 24;

/// What `preprocessor_config.json` says.
#[derive(Clone, Debug, PartialEq)]
pub struct CropConfig {
    /// The side of a crop, in pixels.
    pub side: usize,
    /// The rows and columns of crops to choose from.
    pub grids: Vec<[usize; 2]>,
    /// What becomes of bytes.
    pub normalization: Normalization,
}

impl CropConfig {
    /// Reads `file`, the content of `preprocessor_config.json` at `path`.
    ///
    /// # Errors
    ///
    /// If a field asks for something else than is done here, or makes no sense.
    pub fn read(path: &std::path::Path, file: &Value) -> Result<Self> {
        let fail = |field, value: &Value, expected| {
            Err(Error::Config { file: path.to_owned(), field, value: value.to_string(), expected })
        };
        let on = Value::from(true);
        expect(
            path,
            file,
            &[
                ("do_resize", on.clone()),
                ("do_center_crop", on),
                ("resample", 3.into()),
                ("aspect_ratio_setting", "anyres".into()),
            ],
        )?;
        let mut side = 224;
        for field in ["size", "crop_size"] {
            let Some(value) = file.get(field).filter(|value| !value.is_null()) else { continue };
            let edges: Vec<_> = ["shortest_edge", "height", "width"]
                .iter()
                .filter_map(|edge| value.get(edge).filter(|edge| !edge.is_null()))
                .collect();
            let first = edges.first().copied().unwrap_or(value).as_u64();
            let Some(edge) = first.filter(|edge| (1..=LONGEST as u64).contains(edge)) else {
                return fail(field, value, "a square with a side between 1 and 1024");
            };
            let alike = edges.iter().all(|other| other.as_u64() == Some(edge));
            if !alike || field == "crop_size" && edge != side as u64 {
                return fail(field, value, "one square for resizing and cropping");
            }
            side = edge as usize;
        }
        let usual =
            serde_json::json!([[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]);
        let sizes = file.get("image_grid_pinpoints").filter(|value| !value.is_null());
        let grids = Self::grids(sizes.unwrap_or(&usual), side);
        let Some(grids) = grids else {
            return fail(
                "image_grid_pinpoints",
                sizes.unwrap_or(&usual),
                "heights and widths in whole crops, 64 at most, and 2^24 pixels",
            );
        };
        Ok(Self { side, grids, normalization: Normalization::read(path, file)? })
    }

    /// Heights and widths in pixels as rows and columns of crops; `None` if they are not such, or too many.
    pub fn grids(sizes: &Value, side: usize) -> Option<Vec<[usize; 2]>> {
        let crops = |edge: &Value| {
            let edge = usize::try_from(edge.as_u64()?).ok()?;
            (edge > 0 && edge.is_multiple_of(side)).then(|| edge / side)
        };
        let one = |size: &Value| match &size.as_array()?[..] {
            [height, width] => Some([crops(height)?, crops(width)?]),
            _ => None,
        };
        let sizes = sizes.as_array().filter(|sizes| (1..=MOST).contains(&sizes.len()))?;
        let grids: Vec<_> = sizes.iter().map(one).collect::<Option<_>>()?;
        let few = |[rows, columns]: &[usize; 2]| {
            let crops = rows.checked_mul(*columns).filter(|&crops| crops <= MOST);
            crops.is_some_and(|crops| crops * side * side <= MOST_PIXELS)
        };
        grids.iter().all(few).then_some(grids)
    }

    /// The rows and columns of crops for an image of `width` by `height`.
    ///
    /// # Errors
    ///
    /// If it is so narrow that nothing would be left of it in any.
    pub fn best(&self, width: usize, height: usize) -> Result<[usize; 2]> {
        let own = (width as u128) * (height as u128);
        let mut best: Option<(u128, u128, [usize; 2])> = None;
        for &[rows, columns] in &self.grids {
            let scale = self.scale([rows, columns], width, height);
            let left = |edge: usize| (edge as f64 * scale) as u128;
            let effective = (left(width) * left(height)).min(own);
            let wasted =
                ((rows * columns * self.side * self.side) as u128).saturating_sub(effective);
            let better = best.is_none_or(|(most, least, _)| {
                effective > most || effective == most && wasted < least
            });
            if effective > 0 && better {
                best = Some((effective, wasted, [rows, columns]));
            }
        }
        best.map(|(.., grid)| grid).ok_or_else(|| {
            let wide = usize::from(width > height);
            let most = self.grids.iter().map(|grid| grid[wide] * self.side).max().unwrap_or(0);
            Error::AspectRatio { width, height, most }
        })
    }

    /// How much an image of `width` by `height` grows to fit into a grid of crops.
    fn scale(&self, [rows, columns]: [usize; 2], width: usize, height: usize) -> f64 {
        let across = (columns * self.side) as f64 / width as f64;
        across.min((rows * self.side) as f64 / height as f64)
    }

    /// The whole of `image`, made small, and its crops, row by row; and how many rows and columns of them there are.
    ///
    /// # Errors
    ///
    /// As [`best`](Self::best).
    pub fn crops(&self, image: &Image) -> Result<(Vec<Image>, [usize; 2])> {
        let (width, height) = (image.width(), image.height());
        let grid = self.best(width, height)?;
        let [tall, wide] = grid.map(|crops| crops * self.side);
        let scale = self.scale(grid, width, height);
        let fit = |edge: usize, most: usize| ((edge as f64 * scale).ceil() as usize).clamp(1, most);
        // The side that fills the grid does so whatever the rounding of its product.
        let fills = wide as f64 / (width as f64) < tall as f64 / height as f64;
        let size = if fills { (wide, fit(height, tall)) } else { (fit(width, wide), tall) };
        let board = resize(image, size.0, size.1, Filter::Bicubic).padded(wide, tall, 0);
        let corners = (0..grid[0] * grid[1]).map(|i| [i / grid[1], i % grid[1]]);
        let corners = corners.map(|corner| corner.map(|at| at * self.side));
        let mut parts = vec![resize(image, self.side, self.side, Filter::Bicubic)];
        parts.extend(corners.map(|corner| board.square(corner, self.side)));
        Ok((parts, grid))
    }
}
