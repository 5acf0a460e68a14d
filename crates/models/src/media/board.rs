//! Images made as wide as a number of crops allows, on a white board of whole crops, for towers that read squares of one size.
//!
//! An image that is higher than wide is treated as if it lay on its side.

use serde_json::Value;

use super::{Filter, Image, Normalization, resize};
use crate::{Error, Result};

/// The most crops that are believed.
const MOST: usize = 64;

/// What `preprocessor_config.json` says, and how large crops are.
#[derive(Clone, Debug, PartialEq)]
pub struct BoardConfig {
    /// The side of a crop, in pixels.
    pub side: usize,
    /// The most crops of an image.
    pub crops: usize,
    /// What becomes of bytes.
    pub normalization: Normalization,
}

impl BoardConfig {
    /// Reads `file`, the content of `preprocessor_config.json` at `path`, for crops of `side`.
    ///
    /// # Errors
    ///
    /// If a field makes no sense.
    pub fn read(path: &std::path::Path, file: &Value, side: usize) -> Result<Self> {
        let value = file.get("num_crops").filter(|value| !value.is_null());
        let crops = value.map_or(Some(1), Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let Some(crops) = crops.filter(|crops| (1..=MOST).contains(crops)) else {
            let (file, field, expected) = (path.to_owned(), "num_crops", "between 1 and 64");
            let value = value.map_or_else(String::new, Value::to_string);
            return Err(Error::Config { file, field, value, expected });
        };
        Ok(Self { side, crops, normalization: Normalization::read(path, file)? })
    }

    /// `image` on its board, and the rows and columns of crops of that.
    ///
    /// # Errors
    ///
    /// If it is so narrow that nothing would be left of it.
    pub fn fitted(&self, image: &Image) -> Result<(Image, [usize; 2])> {
        if image.width() >= image.height() {
            return self.lying(image);
        }
        let (board, [rows, columns]) = self.lying(&image.transposed())?;
        Ok((board.transposed(), [columns, rows]))
    }

    /// The same, of an image that is no higher than wide.
    fn lying(&self, image: &Image) -> Result<(Image, [usize; 2])> {
        let (width, height) = (image.width(), image.height());
        let ratio = width as f64 / height as f64;
        let fits = |columns: &usize| {
            let rows = (*columns as f64 / ratio).ceil();
            *columns as f64 * rows <= self.crops as f64
        };
        let columns = (1..=self.crops).take_while(fits).last().unwrap_or(1);
        let wide = columns * self.side;
        let tall = (wide as f64 / ratio) as usize;
        if tall == 0 {
            return Err(Error::AspectRatio { width, height, most: wide });
        }
        let rows = tall.div_ceil(self.side);
        let resized = resize(image, wide, tall, Filter::Bilinear);
        Ok((resized.padded(wide, rows * self.side, 255), [rows, columns]))
    }
}
