//! What becomes of the bytes of an image: numbers between 0 and 1, less a mean and over a deviation for each colour.

use serde_json::Value;

use crate::{Error, Result};

/// What `preprocessor_config.json` says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// What is taken from red, green and blue, between 0 and 1.
    pub mean: [f32; 3],
    /// What they are then divided by.
    pub deviation: [f32; 3],
}

impl Default for Normalization {
    /// CLIP's, which most towers kept.
    fn default() -> Self {
        Self {
            mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            deviation: [0.268_629_54, 0.261_302_6, 0.275_777_1],
        }
    }
}

impl Normalization {
    /// Reads `image_mean` and `image_std` of `file`, the content of `preprocessor_config.json` at `path`.
    ///
    /// # Errors
    ///
    /// If they are no numbers to divide by, or the file asks for something else than is done here.
    pub fn read(path: &std::path::Path, file: &Value) -> Result<Self> {
        let fail = |field, value: &Value, expected| {
            Err(Error::Config { file: path.to_owned(), field, value: value.to_string(), expected })
        };
        expect(path, file, &[("do_rescale", true.into()), ("do_normalize", true.into())])?;
        if let Some(factor) = file.get("rescale_factor")
            && factor.as_f64().is_none_or(|factor| (factor * 255.0 - 1.0).abs() > 1e-9)
        {
            return fail("rescale_factor", factor, "1 / 255");
        }
        let mut out = Self::default();
        for (field, target) in [("image_mean", &mut out.mean), ("image_std", &mut out.deviation)] {
            let Some(value) = file.get(field).filter(|value| !value.is_null()) else { continue };
            let numbers: Option<Vec<f32>> = value
                .as_array()
                .and_then(|list| list.iter().map(|x| Some(x.as_f64()? as f32)).collect());
            match numbers.and_then(|numbers| <[f32; 3]>::try_from(numbers).ok()) {
                Some(numbers) if field == "image_mean" || numbers.iter().all(|&x| x > 0.0) => {
                    *target = numbers;
                }
                _ => return fail(field, value, "three numbers"),
            }
        }
        Ok(out)
    }

    /// The number that each byte becomes, for each colour.
    pub(super) fn tables(&self) -> [Vec<f32>; 3] {
        let value = |channel: usize, byte: u8| {
            let x = (f64::from(byte) * (1.0 / 255.0)) as f32;
            (x - self.mean[channel]) / self.deviation[channel]
        };
        [0, 1, 2].map(|channel| (0..=255).map(|byte| value(channel, byte)).collect())
    }
}

/// Fails where a field of `file`, which lies at `path`, is there and has another value than is done here.
pub(super) fn expect(
    path: &std::path::Path,
    file: &Value,
    fields: &[(&'static str, Value)],
) -> Result<()> {
    for (field, on) in fields {
        if let Some(value) = file.get(*field).filter(|value| !value.is_null())
            && value != on
        {
            let (file, value) = (path.to_owned(), value.to_string());
            let expected = "as the network was trained";
            return Err(Error::Config { file, field, value, expected });
        }
    }
    Ok(())
}
