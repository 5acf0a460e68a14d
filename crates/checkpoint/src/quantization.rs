//! How weights are quantized: what `config.json` declares, and what follows from stored shapes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde_json::Value;

use crate::config::brief;
use crate::{Dtype, Error, Result};

/// How codes become numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// `scale * code + bias`, code unsigned; scales and biases in F32, F16 or BF16.
    Affine,
    /// E2M1 codes, E8M0 scales, groups of 32.
    Mxfp4,
    /// E4M3 codes, E8M0 scales, groups of 32.
    Mxfp8,
    /// E2M1 codes, E4M3 scales, groups of 16, and a scale for the whole matrix.
    Nvfp4,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Affine, Self::Mxfp4, Self::Mxfp8, Self::Nvfp4];

    /// The name in `config.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Affine => "affine",
            Self::Mxfp4 => "mxfp4",
            Self::Mxfp8 => "mxfp8",
            Self::Nvfp4 => "nvfp4",
        }
    }

    /// The parameters where none are given.
    pub const fn default_parameters(self) -> Quantization {
        let (bits, group_size) = match self {
            Self::Affine => (4, 64),
            Self::Mxfp4 => (4, 32),
            Self::Mxfp8 => (8, 32),
            Self::Nvfp4 => (4, 16),
        };
        Quantization { mode: self, bits, group_size }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The quantization of one matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantization {
    /// How codes become numbers.
    pub mode: Mode,
    /// Bits per code.
    pub bits: u32,
    /// Neighbouring elements of a row that share a scale.
    pub group_size: usize,
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} bits and groups of {}", self.mode, self.bits, self.group_size)
    }
}

impl Quantization {
    /// The parameters, if the mode has such bits and groups.
    pub fn new(mode: Mode, bits: u64, group_size: u64) -> Option<Self> {
        let known = match mode {
            Mode::Affine => {
                matches!(bits, 2 | 3 | 4 | 5 | 6 | 8) && matches!(group_size, 32 | 64 | 128)
            }
            Mode::Mxfp4 | Mode::Mxfp8 | Mode::Nvfp4 => {
                let only = mode.default_parameters();
                bits == u64::from(only.bits) && group_size == only.group_size as u64
            }
        };
        let bits = u32::try_from(bits).ok()?;
        let group_size = usize::try_from(group_size).ok()?;
        known.then_some(Self { mode, bits, group_size })
    }

    /// What scales of `dtype` mean together with `bits` and `group_size` found in the shapes.
    pub(crate) fn infer(dtype: Dtype, bits: u64, group_size: u64) -> (Mode, Option<Self>) {
        if dtype != Dtype::U8 {
            return (Mode::Affine, Self::new(Mode::Affine, bits, group_size));
        }
        let modes = [Mode::Mxfp4, Mode::Mxfp8, Mode::Nvfp4];
        let found = modes.into_iter().find_map(|mode| Self::new(mode, bits, group_size));
        (found.map_or(Mode::Mxfp4, |quantization| quantization.mode), found)
    }

    /// The shapes of weight and scales for a matrix of `rows` and `columns`; `None` where columns do not divide.
    pub fn stored_shapes(self, rows: usize, columns: usize) -> Option<([usize; 2], [usize; 2])> {
        if columns == 0 || !columns.is_multiple_of(self.group_size) {
            return None;
        }
        // A group is at least 16 codes of 4 bits or 32 codes of 2, so it fills whole words.
        let words = columns / self.group_size * (self.group_size * self.bits as usize / 32);
        Some(([rows, words], [rows, columns / self.group_size]))
    }
}

/// What a configuration says about the matrix at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Declared {
    /// Nothing: it is quantized if it has scales, and its parameters follow from its shapes.
    Nothing,
    /// It is left unquantized.
    Dense,
    /// It has these parameters.
    Quantized(Quantization),
}

/// What `config.json` says about quantization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuantizationRules {
    /// The parameters of whatever is not listed. Only a default: stored shapes decide.
    pub default: Option<Quantization>,
    /// Places in the name tree with parameters of their own; `None` is left unquantized.
    pub overrides: BTreeMap<String, Option<Quantization>>,
}

impl QuantizationRules {
    /// One quantization for everything that has scales.
    pub fn uniform(quantization: Quantization) -> Self {
        Self { default: Some(quantization), overrides: BTreeMap::new() }
    }

    /// What is said about the matrix at `place`.
    pub fn declared(&self, place: &str) -> Declared {
        match self.overrides.get(place) {
            None => Declared::Nothing,
            Some(None) => Declared::Dense,
            Some(Some(quantization)) => Declared::Quantized(*quantization),
        }
    }

    /// Reads `quantization`, or else `quantization_config`, of the configuration `config` in `file`. Where both stand,
    /// the first rules, as for mlx-lm.
    pub(crate) fn parse(file: &Path, config: &Value) -> Result<Self> {
        for key in ["quantization", "quantization_config"] {
            match config.get(key) {
                None | Some(Value::Null) => {}
                Some(Value::Object(object)) => return Self::parse_object(file, key, object),
                Some(other) => return Err(wrong(file, key.to_owned(), other, "an object")),
            }
        }
        // A multimodal model may say it only of its language half.
        match config.get("text_config") {
            Some(inner @ Value::Object(_)) => Self::parse(file, inner),
            _ => Ok(Self::default()),
        }
    }

    fn parse_object(
        file: &Path,
        key: &str,
        object: &serde_json::Map<String, Value>,
    ) -> Result<Self> {
        match object.get("quant_method") {
            None | Some(Value::Null) => {}
            Some(Value::String(method)) if method == "mlx" || method == "affine" => {}
            // Blocks that an architecture reads by their own names; everything else is floats.
            Some(Value::String(method)) if method == "mxfp4" => return Ok(Self::default()),
            Some(Value::String(method)) => {
                return Err(Error::QuantizationMethod {
                    path: file.into(),
                    method: method.clone(),
                });
            }
            Some(other) => return Err(wrong(file, format!("{key}.quant_method"), other, "a name")),
        }
        if object.is_empty() {
            return Ok(Self::default());
        }
        // Hugging Face's configurations before `quant_method` said it this way.
        for method in ["load_in_4bit", "load_in_8bit"] {
            if object.get(method) == Some(&Value::Bool(true)) {
                return Err(Error::QuantizationMethod {
                    path: file.into(),
                    method: "bitsandbytes".to_owned(),
                });
            }
        }
        let default = parameters(file, key, object)?;
        let mut overrides = BTreeMap::new();
        for (name, value) in object {
            let place = || format!("{key}.{name}");
            match (name.as_str(), value) {
                ("bits" | "group_size" | "mode" | "quant_method", _) | (_, Value::Null) => {}
                (_, Value::Bool(false)) => {
                    overrides.insert(name.clone(), None);
                }
                (_, Value::Bool(true)) => {
                    overrides.insert(name.clone(), Some(default));
                }
                (_, Value::Object(own)) => {
                    overrides.insert(name.clone(), Some(parameters(file, &place(), own)?));
                }
                (_, other) => return Err(wrong(file, place(), other, "an object, true or false")),
            }
        }
        Ok(Self { default: Some(default), overrides })
    }
}

/// Reads `mode`, `bits` and `group_size`; an absent or null one is the default (of affine, of the mode).
fn parameters(
    file: &Path,
    place: &str,
    object: &serde_json::Map<String, Value>,
) -> Result<Quantization> {
    let mode = match object.get("mode") {
        None | Some(Value::Null) => Mode::Affine,
        Some(Value::String(name)) => Mode::ALL
            .into_iter()
            .find(|mode| mode.name() == name)
            .ok_or_else(|| Error::QuantizationMode {
                path: file.into(),
                place: place.to_owned(),
                mode: name.clone(),
            })?,
        Some(other) => {
            return Err(wrong(file, format!("{place}.mode"), other, "the name of a mode"));
        }
    };
    let number = |key: &str, default: u64| match object.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => {
            let found = value.as_u64();
            found.ok_or_else(|| {
                wrong(file, format!("{place}.{key}"), value, "a whole number over 0")
            })
        }
    };
    let default = mode.default_parameters();
    let bits = number("bits", u64::from(default.bits))?;
    let group_size = number("group_size", default.group_size as u64)?;
    Quantization::new(mode, bits, group_size).ok_or_else(|| Error::QuantizationParameters {
        path: file.into(),
        place: place.to_owned(),
        mode,
        bits,
        group_size,
    })
}

fn wrong(file: &Path, field: String, found: &Value, expected: &'static str) -> Error {
    Error::Value { path: file.into(), field, found: brief(found), expected }
}
