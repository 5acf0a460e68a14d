//! `config.json`: what the network is.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Error, QuantizationRules, Result, json};

/// A `config.json`, or an object inside it.
#[derive(Clone, Debug)]
pub struct Config {
    file: PathBuf,
    /// The way to `value` in the file, with dots; empty for the whole file.
    place: String,
    value: Value,
}

impl Config {
    /// Reads `bytes`, the content of `file`.
    ///
    /// # Errors
    /// If it is not one JSON object, is nested deeper than 128, or has a key twice.
    pub fn parse_bytes(file: &Path, bytes: &[u8]) -> Result<Self> {
        Self::from_value(file, json::parse(file, bytes)?)
    }

    /// Wraps a JSON object already in memory; `file` is what errors name.
    ///
    /// # Errors
    /// If it is not an object.
    pub fn from_value(file: &Path, value: Value) -> Result<Self> {
        if !value.is_object() {
            return Err(Error::Value {
                path: file.into(),
                field: ".".to_owned(),
                found: brief(&value),
                expected: "an object",
            });
        }
        Ok(Self { file: file.into(), place: String::new(), value })
    }

    /// The object as it stands.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The file it comes from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The name of the architecture.
    ///
    /// # Errors
    /// If there is none, or it is not text.
    pub fn model_type(&self) -> Result<&str> {
        match self.value.get("model_type") {
            Some(Value::String(name)) => Ok(name),
            other => Err(Error::Value {
                path: self.file.clone(),
                field: self.way("model_type"),
                found: other.map_or_else(|| "absent".to_owned(), brief),
                expected: "the name of an architecture",
            }),
        }
    }

    /// The object at `key`, such as `text_config`; `None` where it is absent or null.
    ///
    /// # Errors
    /// If something other than an object stands there.
    pub fn part(&self, key: &str) -> Result<Option<Self>> {
        match self.value.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value @ Value::Object(_)) => Ok(Some(Self {
                file: self.file.clone(),
                place: self.way(key),
                value: value.clone(),
            })),
            Some(other) => Err(Error::Value {
                path: self.file.clone(),
                field: self.way(key),
                found: brief(other),
                expected: "an object",
            }),
        }
    }

    /// The same object with the fields of the object `usual` that it has not.
    #[must_use]
    pub fn or(&self, usual: &Value) -> Self {
        let mut out = self.clone();
        if let (Value::Object(fields), Value::Object(usual)) = (&mut out.value, usual) {
            for (field, value) in usual {
                fields.entry(field).or_insert_with(|| value.clone());
            }
        }
        out
    }

    /// Reads the object as the configuration `T` of an architecture. Every float in it is finite, also as an `f32`.
    ///
    /// # Errors
    /// [`Error::Config`], which names the file, the field and `architecture`; [`Error::Value`] for a number beyond
    /// `f32`.
    pub fn parse<T: DeserializeOwned>(&self, architecture: &'static str) -> Result<T> {
        if let Some((field, found)) = beyond_f32(&self.value) {
            return Err(Error::Value {
                path: self.file.clone(),
                field: self.way(&field),
                found: brief(found),
                expected: "a number that a 32-bit float can hold",
            });
        }
        json::typed(&self.value).map_err(|(field, source)| {
            let field = if field == "." { self.way("") } else { self.way(&field) };
            Error::Config { path: self.file.clone(), architecture, field, source }
        })
    }

    /// How the weights are quantized. No rule at all where nothing is declared.
    ///
    /// # Errors
    /// If the method, a mode, a bit width or a group size is not one of MLX's.
    pub fn quantization(&self) -> Result<QuantizationRules> {
        QuantizationRules::parse(&self.file, &self.value)
    }

    /// The way to `field` from the top of the file.
    fn way(&self, field: &str) -> String {
        match (self.place.as_str(), field) {
            ("", "") => ".".to_owned(),
            ("", field) => field.to_owned(),
            (place, "") => place.to_owned(),
            (place, field) => format!("{place}.{field}"),
        }
    }
}

/// The first number in `value` that would become infinite as an `f32`, and the way to it.
fn beyond_f32(value: &Value) -> Option<(String, &Value)> {
    let below = |step: String, value| {
        let (way, found) = beyond_f32(value)?;
        Some((if way.is_empty() { step } else { format!("{step}.{way}") }, found))
    };
    match value {
        Value::Number(number) => {
            let infinite = number.as_f64().is_some_and(|number| (number as f32).is_infinite());
            infinite.then(|| (String::new(), value))
        }
        Value::Array(list) => {
            list.iter().enumerate().find_map(|(i, value)| below(i.to_string(), value))
        }
        Value::Object(object) => object.iter().find_map(|(key, value)| below(key.clone(), value)),
        Value::Null | Value::Bool(_) | Value::String(_) => None,
    }
}

/// `value` as JSON, shortened.
pub(crate) fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
