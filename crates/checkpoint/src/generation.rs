//! `generation_config.json` and its relatives: where text ends, and how the makers would sample.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

use crate::config::brief;
use crate::files::Files;
use crate::{Config, Error, Result, json};

/// Defaults for making text. Everything is optional: a checkpoint may say nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generation {
    /// All ids that end a text, sorted: those of `generation_config.json` and of `config.json`.
    pub eos: Vec<u32>,
    /// The id that begins a text.
    pub bos: Option<u32>,
    /// The id that fills up a batch.
    pub pad: Option<u32>,
    /// The end token by its text, from `tokenizer_config.json`; its id is the tokenizer's to say.
    pub eos_token: Option<String>,
    /// The begin token by its text, from `tokenizer_config.json`.
    pub bos_token: Option<String>,
    /// Whether to sample at all; greedy if false.
    pub do_sample: Option<bool>,
    /// At least 0.
    pub temperature: Option<f32>,
    /// From 0 to 1.
    pub top_p: Option<f32>,
    /// 0 means no limit.
    pub top_k: Option<u32>,
    /// From 0 to 1.
    pub min_p: Option<f32>,
    /// Over 0; 1 means none.
    pub repetition_penalty: Option<f32>,
}

impl Generation {
    pub(crate) fn read(files: &Files, config: &Config) -> Result<Self> {
        let mut eos = BTreeSet::new();
        let mut generation = Self::default();
        let mut sources = vec![(config.file().to_owned(), config.value().clone())];
        if let Some(text) = config.value().get("text_config").filter(|value| value.is_object()) {
            sources.push((config.file().to_owned(), text.clone()));
        }
        if let Some(own) = side_file(files, "generation_config.json")? {
            sources.insert(0, own);
        }
        for (file, value) in &sources {
            let fields = Fields { file, object: value.as_object() };
            eos.extend(fields.ids("eos_token_id")?);
            // The first source that says something rules.
            generation.bos = generation.bos.or(fields.id("bos_token_id")?);
            generation.pad = generation.pad.or(fields.id("pad_token_id")?);
        }
        generation.eos = eos.into_iter().collect();
        if let Some((file, value)) = sources.first().filter(|(file, _)| file != config.file()) {
            let fields = Fields { file, object: value.as_object() };
            generation.do_sample = fields.truth("do_sample")?;
            generation.temperature = fields.number("temperature", "at least 0", |x| x >= 0.0)?;
            generation.top_p =
                fields.number("top_p", "from 0 to 1", |x| (0.0..=1.0).contains(&x))?;
            generation.min_p =
                fields.number("min_p", "from 0 to 1", |x| (0.0..=1.0).contains(&x))?;
            generation.repetition_penalty =
                fields.number("repetition_penalty", "over 0", |x| x > 0.0)?;
            generation.top_k = fields.id("top_k")?;
        }
        if let Some((_, value)) = side_file(files, "tokenizer_config.json")? {
            generation.eos_token = token(value.get("eos_token"));
            generation.bos_token = token(value.get("bos_token"));
        }
        Ok(generation)
    }
}

/// The path and the content of the side file `name`, which must be an object.
fn side_file(files: &Files, name: &str) -> Result<Option<(std::path::PathBuf, Value)>> {
    let Some(bytes) = files.read(name, json::LIMIT)? else { return Ok(None) };
    let path = files.path(name);
    let config = Config::parse_bytes(&path, &bytes)?;
    Ok(Some((path, config.value().clone())))
}

/// A token's text: stands plain, or as the `content` of an object.
fn token(value: Option<&Value>) -> Option<String> {
    let value = value?;
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}

/// The fields of one file.
struct Fields<'a> {
    file: &'a Path,
    object: Option<&'a Map<String, Value>>,
}

impl<'a> Fields<'a> {
    fn get(&self, field: &str) -> Option<&'a Value> {
        self.object?.get(field).filter(|value| !value.is_null())
    }

    fn wrong(&self, field: &str, found: &Value, expected: &'static str) -> Error {
        Error::Value {
            path: self.file.into(),
            field: field.to_owned(),
            found: brief(found),
            expected,
        }
    }

    /// An id; -1 is an old way to say none.
    fn id(&self, field: &str) -> Result<Option<u32>> {
        self.get(field).map_or(Ok(None), |value| self.one_id(field, value))
    }

    fn one_id(&self, field: &str, value: &Value) -> Result<Option<u32>> {
        if value.as_i64() == Some(-1) {
            return Ok(None);
        }
        match value.as_u64().and_then(|id| u32::try_from(id).ok()) {
            Some(id) => Ok(Some(id)),
            None => Err(self.wrong(field, value, "a whole number of at most 32 bits")),
        }
    }

    /// One id or a list of them.
    fn ids(&self, field: &str) -> Result<Vec<u32>> {
        let one = |value| self.one_id(field, value);
        match self.get(field) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => {
                list.iter().filter_map(|value| one(value).transpose()).collect()
            }
            Some(value) => Ok(one(value)?.into_iter().collect()),
        }
    }

    fn number(
        &self,
        field: &str,
        expected: &'static str,
        fits: impl Fn(f32) -> bool,
    ) -> Result<Option<f32>> {
        let Some(value) = self.get(field) else { return Ok(None) };
        match value.as_f64().map(|number| number as f32) {
            Some(number) if number.is_finite() && fits(number) => Ok(Some(number)),
            _ => Err(self.wrong(field, value, expected)),
        }
    }

    fn truth(&self, field: &str) -> Result<Option<bool>> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(*truth)),
            Some(other) => Err(self.wrong(field, other, "true or false")),
        }
    }
}
