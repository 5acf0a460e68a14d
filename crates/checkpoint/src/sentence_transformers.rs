//! The files that sentence-transformers adds: how token vectors become one vector for a text.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::brief;
use crate::files::Files;
use crate::{Config, Error, Result, json};

/// How a checkpoint makes embeddings of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct SentenceTransformers {
    /// The steps, in order. The first is [`Module::Transformer`].
    pub modules: Vec<Module>,
    /// The most tokens of a text, special tokens included.
    pub max_seq_length: Option<usize>,
    /// Whether text is put into lower case before the tokenizer sees it.
    pub do_lower_case: bool,
    /// Texts to put before the input, by the name of the purpose (`query`, `passage`).
    pub prompts: BTreeMap<String, String>,
    /// The name of the prompt that is used where none is asked for.
    pub default_prompt_name: Option<String>,
    /// `cosine`, `dot`, `euclidean` or `manhattan`: how to compare embeddings.
    pub similarity: Option<String>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub enum Module {
    /// The network, in the folder `path` inside the model folder; empty for the model folder itself.
    Transformer {
        /// The folder.
        path: String,
    },
    /// Token vectors become one vector.
    Pooling(Pooling),
    /// The vector is divided by its length.
    Normalize,
    /// The vector goes through a linear layer.
    Dense(Dense),
}

/// How token vectors become one vector: the results of all modes stand one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// The size of a token vector.
    pub dimension: usize,
    /// At least one, in the order in which their results stand.
    pub modes: Vec<PoolingMode>,
    /// Whether the tokens of the prompt take part.
    pub include_prompt: bool,
}

/// One way to pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolingMode {
    /// The vector of the first token.
    Cls,
    /// The largest value of each dimension.
    Max,
    /// The mean.
    Mean,
    /// The sum divided by the square root of the number of tokens.
    MeanSqrtLength,
    /// The mean, the token at position `i` (from 1) weighted with `i`.
    WeightedMean,
    /// The vector of the last token.
    LastToken,
}

/// A linear layer after pooling. Its tensors are `linear.weight` `[outputs, inputs]` and `linear.bias` `[outputs]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dense {
    /// The folder inside the model folder: [`Folder::module_weights`](crate::Folder::module_weights) reads it.
    pub path: String,
    /// The size of its input.
    pub inputs: usize,
    /// The size of its output.
    pub outputs: usize,
    /// Whether it has a bias.
    pub bias: bool,
    /// What follows it.
    pub activation: Activation,
}

/// The function after a [`Dense`] layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// Hyperbolic tangent.
    Tanh,
    /// The positive part.
    Relu,
    /// `x * Phi(x)`, exact.
    Gelu,
    /// `x * sigmoid(x)`.
    Silu,
    /// The logistic function.
    Sigmoid,
}

impl Activation {
    /// The function of PyTorch with this name, such as `torch.nn.modules.linear.Identity`.
    fn named(name: &str) -> Option<Self> {
        match name.rsplit('.').next().unwrap_or_default() {
            "Identity" => Some(Self::Identity),
            "Tanh" => Some(Self::Tanh),
            "ReLU" => Some(Self::Relu),
            "GELU" => Some(Self::Gelu),
            "SiLU" => Some(Self::Silu),
            "Sigmoid" => Some(Self::Sigmoid),
            _ => None,
        }
    }
}

/// An entry of `modules.json`.
#[derive(Deserialize)]
struct ModuleEntry {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    module: String,
}

/// The names that the file about the network has had; the first that exists counts.
const TRANSFORMER_FILES: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// `sentence_bert_config.json`.
#[derive(Default, Deserialize)]
struct TransformerFile {
    #[serde(default)]
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: Option<bool>,
}

/// `config_sentence_transformers.json`.
#[derive(Default, Deserialize)]
struct PromptFile {
    #[serde(default)]
    prompts: Option<BTreeMap<String, String>>,
    #[serde(default)]
    default_prompt_name: Option<String>,
    #[serde(default)]
    similarity_fn_name: Option<String>,
}

/// `config.json` of a Pooling module, of both generations.
#[derive(Deserialize)]
struct PoolingFile {
    #[serde(alias = "embedding_dimension")]
    word_embedding_dimension: usize,
    #[serde(default)]
    pooling_mode: Option<Value>,
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default = "yes")]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
    #[serde(default = "yes")]
    include_prompt: bool,
}

/// `config.json` of a Dense module.
#[derive(Deserialize)]
struct DenseFile {
    in_features: usize,
    out_features: usize,
    #[serde(default = "yes")]
    bias: bool,
    #[serde(default)]
    activation_function: Option<String>,
}

const fn yes() -> bool {
    true
}

impl SentenceTransformers {
    /// `None` where neither `modules.json` nor `1_Pooling/config.json` exists. With the latter alone, the steps are the
    /// network and that pooling.
    pub(crate) fn read(files: &Files) -> Result<Option<Self>> {
        let modules = match load::<Vec<ModuleEntry>>(files, "modules.json")? {
            Some(entries) => {
                let path = files.path("modules.json");
                entries
                    .into_iter()
                    .filter_map(|entry| module(files, &path, entry).transpose())
                    .collect::<Result<_>>()?
            }
            None if files.exists("1_Pooling/config.json") => {
                vec![
                    Module::Transformer { path: String::new() },
                    Module::Pooling(pooling(files, "1_Pooling")?),
                ]
            }
            None => return Ok(None),
        };
        let place = match modules.first() {
            Some(Module::Transformer { path }) => path.clone(),
            _ => {
                return Err(Error::Value {
                    path: files.path("modules.json"),
                    field: "0".to_owned(),
                    found: "another module or none".to_owned(),
                    expected: "a Transformer",
                });
            }
        };
        let mut transformer = TransformerFile::default();
        for name in TRANSFORMER_FILES {
            if let Some(found) = load(files, &join(&place, name))? {
                transformer = found;
                break;
            }
        }
        let prompts: PromptFile =
            load(files, "config_sentence_transformers.json")?.unwrap_or_default();
        Ok(Some(Self {
            modules,
            max_seq_length: transformer.max_seq_length,
            do_lower_case: transformer.do_lower_case.unwrap_or(false),
            prompts: prompts.prompts.unwrap_or_default(),
            default_prompt_name: prompts.default_prompt_name,
            similarity: prompts.similarity_fn_name,
        }))
    }
}

/// What follows a classifier's logits. Three generations of the package wrote it in three places.
pub(crate) fn score_activation(files: &Files, config: &Config) -> Result<Option<Activation>> {
    const FILE: &str = "config_sentence_transformers.json";
    let value = config.value();
    let old = [
        value.pointer("/sentence_transformers/activation_fn"),
        value.get("sbert_ce_default_activation_function"),
    ];
    let found = old.into_iter().flatten().find(|value| !value.is_null()).cloned();
    let newest = || {
        let file = load::<BTreeMap<String, Value>>(files, FILE)?;
        Ok(file.and_then(|mut file| file.remove("activation_fn")).filter(|value| !value.is_null()))
    };
    let (path, found) = match found {
        Some(found) => (config.file().to_owned(), Some(found)),
        None => (files.path(FILE), newest()?),
    };
    let Some(found) = found else { return Ok(None) };
    let known = found.as_str().and_then(Activation::named);
    let unknown = || Error::Value {
        path,
        field: "activation_fn".to_owned(),
        found: brief(&found),
        expected: "Identity, Sigmoid, Tanh, ReLU, GELU or SiLU of PyTorch",
    };
    known.map(Some).ok_or_else(unknown)
}

/// Reads the file `name` as a `T`; `None` where it does not exist.
fn load<T: DeserializeOwned>(files: &Files, name: &str) -> Result<Option<T>> {
    let Some(bytes) = files.read(name, json::LIMIT)? else { return Ok(None) };
    let path = files.path(name);
    let value = json::parse(&path, &bytes)?;
    json::side_file(&path, &value).map(Some)
}

/// As [`load`], for a file that must exist.
fn need<T: DeserializeOwned>(files: &Files, name: &str) -> Result<T> {
    load(files, name)?.ok_or_else(|| Error::FileMissing { path: files.path(name) })
}

fn join(folder: &str, name: &str) -> String {
    match folder.trim_end_matches('/') {
        "" | "." => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}

/// The step that `entry` of the file `from` names; `None` for one that does nothing when a model is used.
fn module(files: &Files, from: &Path, entry: ModuleEntry) -> Result<Option<Module>> {
    let unknown = |module: String| Error::Module { path: from.into(), module };
    // The package has moved its modules before; the last part of the name has stayed.
    let own = entry.module.starts_with("sentence_transformers.");
    match entry.module.rsplit('.').next() {
        Some("Transformer") if own => Ok(Some(Module::Transformer { path: entry.path })),
        Some("Pooling") if own => Ok(Some(Module::Pooling(pooling(files, &entry.path)?))),
        Some("Normalize") if own => Ok(Some(Module::Normalize)),
        Some("Dense") if own => Ok(Some(Module::Dense(dense(files, entry.path)?))),
        Some("Dropout") if own => Ok(None),
        _ => Err(unknown(entry.module)),
    }
}

fn pooling(files: &Files, folder: &str) -> Result<Pooling> {
    let name = join(folder, "config.json");
    let file: PoolingFile = need(files, &name)?;
    let modes = match &file.pooling_mode {
        None | Some(Value::Null) => {
            let flags = [
                (file.pooling_mode_cls_token, PoolingMode::Cls),
                (file.pooling_mode_max_tokens, PoolingMode::Max),
                (file.pooling_mode_mean_tokens, PoolingMode::Mean),
                (file.pooling_mode_mean_sqrt_len_tokens, PoolingMode::MeanSqrtLength),
                (file.pooling_mode_weightedmean_tokens, PoolingMode::WeightedMean),
                (file.pooling_mode_lasttoken, PoolingMode::LastToken),
            ];
            flags.into_iter().filter_map(|(on, mode)| on.then_some(mode)).collect()
        }
        Some(named) => named_modes(named).ok_or_else(|| Error::Value {
            path: files.path(&name),
            field: "pooling_mode".to_owned(),
            found: brief(named),
            expected: "cls, max, mean, mean_sqrt_len_tokens, weightedmean or lasttoken",
        })?,
    };
    if modes.is_empty() || file.word_embedding_dimension == 0 {
        return Err(Error::Value {
            path: files.path(&name),
            field: if modes.is_empty() { "pooling_mode" } else { "word_embedding_dimension" }
                .to_owned(),
            found: "none".to_owned(),
            expected: "at least one",
        });
    }
    Ok(Pooling {
        dimension: file.word_embedding_dimension,
        modes,
        include_prompt: file.include_prompt,
    })
}

/// The modes as newer files write them: one name, or several in a list or joined with `+`.
fn named_modes(value: &Value) -> Option<Vec<PoolingMode>> {
    let names: Vec<&str> = match value.as_str() {
        Some(names) => names.split('+').collect(),
        None => value.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?,
    };
    names
        .into_iter()
        .map(|name| match name {
            "cls" => Some(PoolingMode::Cls),
            "max" => Some(PoolingMode::Max),
            "mean" => Some(PoolingMode::Mean),
            "mean_sqrt_len_tokens" => Some(PoolingMode::MeanSqrtLength),
            "weightedmean" => Some(PoolingMode::WeightedMean),
            "lasttoken" => Some(PoolingMode::LastToken),
            _ => None,
        })
        .collect()
}

fn dense(files: &Files, path: String) -> Result<Dense> {
    let name = join(&path, "config.json");
    let file: DenseFile = need(files, &name)?;
    let function = file.activation_function.as_deref().unwrap_or("Tanh");
    let Some(activation) = Activation::named(function) else {
        return Err(Error::Module { path: files.path(&name), module: function.to_owned() });
    };
    Ok(Dense {
        path,
        inputs: file.in_features,
        outputs: file.out_features,
        bias: file.bias,
        activation,
    })
}
