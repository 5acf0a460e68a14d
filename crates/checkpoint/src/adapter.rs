//! Low-rank adapters (LoRA): what a fine-tuning adds to the matrices of a model.
//!
//! `y = x w^T + scale * (x a^T) b^T` with `a: [rank, columns]` and `b: [rows, rank]`. Two layouts are read:
//!
//! | | mlx-lm | PEFT |
//! |---|---|---|
//! | files | `adapters.safetensors`, `adapter_config.json` | `adapter_model.safetensors`, `adapter_config.json` |
//! | `a` | `PLACE.lora_a` `[columns, rank]` | `base_model.model.PLACE.lora_A.weight` `[rank, columns]` |
//! | `b` | `PLACE.lora_b` `[rank, rows]` | `base_model.model.PLACE.lora_B.weight` `[rows, rank]` |
//! | `scale` | `lora_parameters.scale` | `lora_alpha / rank`, or `lora_alpha / sqrt(rank)` with `use_rslora` |
//!
//! `PLACE` is a tensor's in the model, but for the names of what holds its layers (`model`, `language_model`), which programs do
//! not agree on.
//!
//! Source: Hu et al., "LoRA" (2021); Kalajdzievski, "A Rank Stabilization Scaling Factor" (2023).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::files::Files;
use crate::folder::map_shard;
use crate::{Config, Error, QuantizationRules, RawTensor, Result, Weights, json};

const CONFIG: &str = "adapter_config.json";
const MLX: &str = "adapters.safetensors";
const PREPROCESSOR: &str = "preprocessor_config.json";
const PEFT: &str = "adapter_model.safetensors";

/// An adapter whose tensors are each taken once.
pub struct Adapter {
    folder: PathBuf,
    weights: Weights,
    rule: Rule,
    /// Places by what is left of them without the names of what they are in.
    places: BTreeMap<String, Vec<String>>,
    preprocessor: Option<Config>,
}

/// Names of what holds the layers of a network: programs disagree on them, and adapters were trained under each.
const AROUND: &[&str] = &["base_model", "language_model", "model", "vlm"];

/// `place` without the names in [`AROUND`] that it begins with.
fn core(place: &str) -> &str {
    let mut rest = place;
    while let Some((first, inner)) = rest.split_once('.')
        && AROUND.contains(&first)
    {
        rest = inner;
    }
    rest
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.folder.display(), self.rule)
    }
}

/// What is added to one matrix.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// `[rank, columns]`
    pub a: RawTensor,
    /// `[rows, rank]`
    pub b: RawTensor,
    /// A factor of what is added.
    pub scale: f32,
}

/// Where tensors are, and how their product is scaled.
#[derive(Debug)]
enum Rule {
    Mlx { scale: f64 },
    Peft { alpha: f64, alphas: BTreeMap<String, f64>, stable: bool },
}

#[derive(Deserialize)]
struct MlxConfig {
    lora_parameters: MlxParameters,
}

#[derive(Deserialize)]
struct MlxParameters {
    scale: f64,
}

#[derive(Deserialize)]
struct PeftConfig {
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    alpha_pattern: Option<BTreeMap<String, f64>>,
}

/// Fields of PEFT that change what an adapter computes or adds to, with the values that change nothing. A field that is
/// absent, null or empty changes nothing either.
const PLAIN: &[(&str, &[&str])] = &[
    ("alora_invocation_tokens", &[]),
    ("bias", &["none"]),
    ("fan_in_fan_out", &["false"]),
    // The others keep the rest of what they took out of the model.
    ("init_lora_weights", &["true", "false", "gaussian", "eva", "orthogonal"]),
    ("layer_replication", &[]),
    ("lora_bias", &["false"]),
    ("modules_to_save", &[]),
    ("target_parameters", &[]),
    ("trainable_token_indices", &[]),
    ("use_dora", &["false"]),
    ("use_qalora", &["false"]),
];

impl Adapter {
    /// Opens the adapter in the folder `path`, of either layout.
    ///
    /// # Errors
    /// If a file is missing or damaged, or the adapter is of another sort than plain low-rank matrices.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            return Err(Error::NoAdapter { path: path.into() });
        }
        Self::read(&Files::Disk(path.into()))
    }

    /// What the adapter in the folder `path` says it was trained on: a name of the hub, or a folder. `None` if `path` is a model,
    /// no adapter at all, or one that does not say it.
    ///
    /// # Errors
    /// If its configuration cannot be read.
    pub fn base(path: &Path) -> Result<Option<String>> {
        let files = Files::Disk(path.into());
        if files.exists("config.json") || !files.exists(CONFIG) {
            return Ok(None);
        }
        let Some(config) = files.read(CONFIG, json::LIMIT)? else { return Ok(None) };
        let config = json::parse(&files.path(CONFIG), &config)?;
        let named = ["base_model_name_or_path", "model"].iter().find_map(|field| config.get(field));
        Ok(named.and_then(Value::as_str).map(str::to_owned))
    }

    /// An adapter in memory: contents by name. For tests and fuzzing.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_files(files: BTreeMap<String, bytes::Bytes>) -> Result<Self> {
        Self::read(&Files::Memory(files))
    }

    fn read(files: &Files) -> Result<Self> {
        let folder = files.root().to_path_buf();
        let path = files.path(CONFIG);
        let tensors = [MLX, PEFT].into_iter().find(|name| files.exists(name));
        let (Some(config), Some(tensors)) = (files.read(CONFIG, json::LIMIT)?, tensors) else {
            return Err(Error::NoAdapter { path: folder });
        };
        let config = json::parse(&path, &config)?;
        let rule = if tensors == MLX { mlx(&path, &config)? } else { peft(&path, &config)? };
        let mut weights = Weights::new(folder.clone(), QuantizationRules::default());
        map_shard(&mut weights, files, tensors, files.header(tensors)?)?;
        let ends = [".lora_a", ".lora_b", ".lora_A.weight", ".lora_B.weight"];
        let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in weights.names() {
            let place = ends.iter().find_map(|end| name.strip_suffix(end));
            let Some(place) = place else { continue };
            let same = places.entry(core(place).to_owned()).or_default();
            if !same.iter().any(|known| known == place) {
                same.push(place.to_owned());
            }
        }
        let preprocessor = files.read(PREPROCESSOR, json::LIMIT)?;
        let parsed = |content: Vec<u8>| Config::parse_bytes(&files.path(PREPROCESSOR), &content);
        let preprocessor = preprocessor.map(parsed).transpose()?;
        Ok(Self { folder, weights, rule, places, preprocessor })
    }

    /// How images are made into what the network was trained to read, where that came with the adapter:
    /// `preprocessor_config.json`.
    pub fn preprocessor(&self) -> Option<&Config> {
        self.preprocessor.as_ref()
    }

    /// The place in the adapter that adds to the matrix at `place`: one of the same name, or the only one that has it but for
    /// the names around.
    fn place_of(&self, place: &str) -> String {
        let exact = match &self.rule {
            Rule::Mlx { .. } => place.to_owned(),
            Rule::Peft { .. } => format!("base_model.model.{place}"),
        };
        match self.places.get(core(place)).map(Vec::as_slice) {
            Some([only]) => only.clone(),
            _ => exact,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// What is added to the matrix of `rows` and `columns` at `place`; `None` for nothing.
    ///
    /// # Errors
    /// If only one half is there, a shape does not fit, or it was taken before.
    pub fn low_rank(&self, place: &str, rows: usize, columns: usize) -> Result<Option<LowRank>> {
        let root = self.weights.root();
        let here = root.at(self.place_of(place));
        let ([a, b], swapped) = match &self.rule {
            Rule::Mlx { .. } => (["lora_a", "lora_b"], true),
            Rule::Peft { .. } => (["lora_A.weight", "lora_B.weight"], false),
        };
        if !here.has(a) && !here.has(b) {
            return Ok(None);
        }
        let rank = here.shape(a).and_then(|shape| {
            let [first, second] = shape[..] else { return None };
            Some(if swapped { second } else { first })
        });
        let rank = rank.unwrap_or(0);
        let shapes =
            if swapped { [[columns, rank], [rank, rows]] } else { [[rank, columns], [rows, rank]] };
        let a = here.take(a, &shapes[0])?;
        let b = here.take(b, &shapes[1])?;
        let scale = match &self.rule {
            Rule::Mlx { scale } => *scale,
            Rule::Peft { alpha, alphas, stable } => {
                let alpha = self.own_alpha(alphas, place)?.unwrap_or(*alpha);
                alpha / if *stable { (rank as f64).sqrt() } else { rank as f64 }
            }
        };
        let scale = scale as f32;
        if !scale.is_finite() || rank == 0 {
            return Err(Error::Value {
                path: self.folder.join(CONFIG),
                field: format!("the factor of {}", here.name()),
                found: format!("{scale} at rank {rank}"),
                expected: "a finite number, at a rank above zero",
            });
        }
        Ok(Some(if swapped {
            LowRank { a: transposed(a), b: transposed(b), scale }
        } else {
            LowRank { a, b, scale }
        }))
    }

    /// What `alpha_pattern` says of `place`. Of several names the first would count, but the order of a file is no promise.
    fn own_alpha(&self, alphas: &BTreeMap<String, f64>, place: &str) -> Result<Option<f64>> {
        let mut own = alphas.iter().filter(|(name, _)| is_last_part(name, place));
        let Some((first, alpha)) = own.next() else { return Ok(None) };
        if let Some((second, _)) = own.find(|(_, other)| *other != alpha) {
            let found = format!("`{first}` and `{second}`, both for {place}");
            return Err(unsupported(&self.folder.join(CONFIG), "alpha_pattern", &found));
        }
        Ok(Some(*alpha))
    }

    /// Declares that every tensor has been taken: a silent leftover is another model than was trained.
    ///
    /// # Errors
    /// [`Error::AdapterUnused`] with the names of what is left.
    pub fn finish(self) -> Result<()> {
        let path = self.folder;
        match self.weights.finish() {
            Err(Error::Unused { names, .. }) => Err(Error::AdapterUnused { path, names }),
            other => other,
        }
    }
}

/// Whether `pattern` is all of `place` or its last parts.
fn is_last_part(pattern: &str, place: &str) -> bool {
    place == pattern || place.strip_suffix(pattern).is_some_and(|rest| rest.ends_with('.'))
}

fn mlx(path: &Path, value: &Value) -> Result<Rule> {
    expect_plain(path, value, "fine_tune_type", &["lora"])?;
    let config: MlxConfig = json::side_file(path, value)?;
    Ok(Rule::Mlx { scale: config.lora_parameters.scale })
}

fn peft(path: &Path, value: &Value) -> Result<Rule> {
    expect_plain(path, value, "peft_type", &["LORA"])?;
    for (field, plain) in PLAIN {
        expect_plain(path, value, field, plain)?;
    }
    let config: PeftConfig = json::side_file(path, value)?;
    let alphas = config.alpha_pattern.unwrap_or_default();
    let plain = |name: &&String| {
        name.chars().any(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-'))
    };
    if let Some(pattern) = alphas.keys().find(plain) {
        return Err(unsupported(path, "alpha_pattern", pattern));
    }
    Ok(Rule::Peft { alpha: config.lora_alpha, alphas, stable: config.use_rslora })
}

/// Fails if `field` is something else than absent, null, empty or one of `plain`.
fn expect_plain(path: &Path, value: &Value, field: &str, plain: &[&str]) -> Result<()> {
    let found = match value.get(field) {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(list)) if list.is_empty() => return Ok(()),
        Some(Value::Object(fields)) if fields.is_empty() => return Ok(()),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    if plain.contains(&found.as_str()) {
        return Ok(());
    }
    Err(unsupported(path, field, &found))
}

fn unsupported(path: &Path, field: &str, found: &str) -> Error {
    Error::AdapterKind { path: path.into(), field: field.to_owned(), found: found.to_owned() }
}

/// `[m, n]` as `[n, m]`.
fn transposed(tensor: RawTensor) -> RawTensor {
    let [rows, columns] = tensor.shape[..] else { return tensor };
    let size = tensor.dtype.bits() / 8;
    let mut bytes = Vec::with_capacity(tensor.bytes.len());
    for column in 0..columns {
        for row in 0..rows {
            let at = (row * columns + column) * size;
            bytes.extend_from_slice(tensor.bytes.get(at..at + size).unwrap_or_default());
        }
    }
    RawTensor { shape: vec![columns, rows], bytes: bytes.into(), ..tensor }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_all_of_a_place_or_its_end() {
        for (pattern, place, is) in [
            ("q_proj", "model.layers.0.self_attn.q_proj", true),
            ("self_attn.q_proj", "model.layers.0.self_attn.q_proj", true),
            ("q_proj", "q_proj", true),
            ("_proj", "model.q_proj", false),
            ("q_proj", "model.q_proj.x", false),
        ] {
            assert_eq!(is_last_part(pattern, place), is, "{pattern} {place}");
        }
    }

    #[test]
    fn what_is_around_a_place_does_not_matter() {
        for (place, inner) in [
            ("base_model.model.model.layers.0.mlp.up_proj", "layers.0.mlp.up_proj"),
            ("language_model.model.layers.0.mlp.up_proj", "layers.0.mlp.up_proj"),
            ("base_model.model.custom_text_proj", "custom_text_proj"),
            ("model.visual.blocks.0.attn.qkv", "visual.blocks.0.attn.qkv"),
            ("model", "model"),
        ] {
            assert_eq!(core(place), inner);
        }
    }

    #[test]
    fn rows_become_columns() {
        let bytes: Vec<u8> = (0..12).collect();
        let tensor = RawTensor {
            name: "t".to_owned(),
            dtype: crate::Dtype::BF16,
            shape: vec![2, 3],
            bytes: bytes.into(),
        };
        let turned = transposed(tensor.clone());
        assert_eq!(turned.shape, [3, 2]);
        assert_eq!(turned.bytes[..], [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]);
        assert_eq!(transposed(turned).bytes, tensor.bytes);
    }
}
