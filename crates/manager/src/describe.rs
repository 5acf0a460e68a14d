//! What a model on disk is: from its small files and the headers of its weights, and, where the architecture is known,
//! from the network built of them. Weights are mapped and not read, so all of it is quick.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use checkpoint::{Config, Folder, Generation, Index, IndexTensor, Module, PoolingMode};
use kernels::{CpuOptions, Device, KvFormat, KvLayer};
use models::{
    EmbeddingHead, LayerCache, Model, Network, Preprocess, Remember, TokenHeads, Vision, media,
};
use serde_json::Value;
use text::{Template, Tokenizer};

use crate::fetch::listing::is_licence;
use crate::runtime::chat_template as chat_template_text;
use crate::runtime::{self, Error, ModelKind};

/// How deep the files of a model may lie.
const DEEPEST: usize = 6;

/// A model, as far as its files tell.
#[derive(Debug)]
pub struct Description {
    /// What `config.json` says.
    pub config: ConfigFacts,
    /// What the headers of the weights say, if they can be read.
    pub weights: Option<WeightFacts>,
    /// What the network says, if it can be built.
    pub network: Option<NetworkFacts>,
    /// Tokens of the tokenizer, if it can be read.
    pub tokens: Option<usize>,
    /// Whether there is a chat template that can be used.
    pub chat_template: bool,
    /// The ids that end an answer, with their texts.
    pub eos: Vec<(u32, Option<String>)>,
    /// How its makers would sample.
    pub generation: Generation,
    /// How it makes embeddings, where a file says it.
    pub embedding: Option<EmbeddingFacts>,
    /// What keeps it from being run. Empty: it can be.
    pub problems: Vec<Error>,
}

/// What `config.json` says, by the names that most architectures use. A network may read it otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigFacts {
    /// The architecture.
    pub model_type: Option<String>,
    /// The names of its classes in Python.
    pub classes: Vec<String>,
    /// Positions it was trained for.
    pub context: Option<u64>,
    /// Rows of the token table.
    pub vocabulary: Option<u64>,
    /// The width of hidden states.
    pub hidden: Option<u64>,
    /// Layers.
    pub layers: Option<u64>,
    /// Heads of the queries.
    pub heads: Option<u64>,
    /// Heads of keys and values.
    pub kv_heads: Option<u64>,
}

impl ConfigFacts {
    /// Reads the configuration, or the part of it that is about text.
    pub fn of(config: &Config) -> Self {
        let value = config.value();
        let inner = value.get("text_config").filter(|inner| inner.is_object());
        let number = |names: &[&str]| {
            let find = |object: &Value| names.iter().find_map(|name| object.get(name)?.as_u64());
            find(value).or_else(|| find(inner?))
        };
        let classes = value.get("architectures").and_then(Value::as_array);
        let classes = classes.into_iter().flatten().filter_map(Value::as_str);
        Self {
            model_type: config.model_type().ok().map(str::to_owned),
            classes: classes.map(str::to_owned).collect(),
            context: number(&["max_position_embeddings", "n_positions", "max_seq_len"]),
            vocabulary: number(&["vocab_size"]),
            hidden: number(&["hidden_size", "n_embd", "d_model"]),
            layers: number(&["num_hidden_layers", "n_layer", "num_layers"]),
            heads: number(&["num_attention_heads", "n_head"]),
            kv_heads: number(&["num_key_value_heads"]),
        }
    }
}

/// What the headers of the weights say.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightFacts {
    /// The numbers that the network is made of.
    pub parameters: u64,
    /// Bytes of all tensors.
    pub bytes: u64,
    /// Bits of storage for each parameter, scales included; `None` without parameters.
    pub bits_per_weight: Option<f64>,
    /// How the numbers are stored, the most of them first.
    pub formats: Vec<FormatFacts>,
}

/// The part of the weights that is stored in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatFacts {
    /// `affine with 4 bits and groups of 64`, or the name of an element type.
    pub format: String,
    /// Parameters stored so.
    pub parameters: u64,
    /// Their bytes, scales included.
    pub bytes: u64,
}

impl WeightFacts {
    /// Sums up an index.
    pub fn of(index: &Index) -> Self {
        let mut formats: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let mut places: BTreeMap<&str, String> = BTreeMap::new();
        for tensor in &index.tensors {
            if let Some(quantization) =
                tensor.quantization.filter(|_| tensor.name.ends_with(".weight"))
            {
                places.insert(place(&tensor.name), quantization.to_string());
            }
        }
        for tensor in &index.tensors {
            let own = || match tensor.quantization {
                Some(quantization) => quantization.to_string(),
                None => tensor.dtype.to_string(),
            };
            let packed = ["weight", "scales", "biases", "global_scale"];
            let part = tensor.name.rsplit('.').next().unwrap_or(&tensor.name);
            let whole = places.get(place(&tensor.name)).filter(|_| packed.contains(&part));
            let sums = formats.entry(whole.cloned().unwrap_or_else(own)).or_default();
            sums.0 = sums.0.saturating_add(tensor.parameters);
            sums.1 = sums.1.saturating_add(tensor.bytes);
        }
        let mut formats: Vec<_> = formats
            .into_iter()
            .map(|(format, (parameters, bytes))| FormatFacts { format, parameters, bytes })
            .collect();
        formats.sort_by_key(|format| std::cmp::Reverse(format.parameters));
        Self {
            parameters: index.parameters(),
            bytes: index.bytes(),
            bits_per_weight: index.bits_per_weight(),
            formats,
        }
    }
}

/// What the network says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkFacts {
    /// The architecture.
    pub architecture: &'static str,
    /// What it can do.
    pub kind: ModelKind,
    /// Positions it was trained for.
    pub context: usize,
    /// Rows of its token table.
    pub vocabulary: usize,
    /// The width of its hidden states.
    pub hidden: usize,
    /// The length of its embeddings, for an embedding model.
    pub embedding: Option<usize>,
    /// Whether it sees images.
    pub sees: bool,
    /// What each layer keeps of a token; empty for an embedding model.
    pub layers: Vec<LayerFacts>,
    /// Bytes of weights that one pass reads at least, that of a single token: all but the rows of tables that are only
    /// looked up, and the experts that it does not ask.
    pub bytes_per_pass: u64,
    /// Bytes of activations that one more token in a pass takes at most.
    pub bytes_per_token: u64,
    /// Bytes that a look at a page of paper takes at most, of 1288 pixels along its longer side; 0 for a network that is blind.
    pub bytes_per_look: u64,
}

/// What one layer keeps of each token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerFacts {
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// The width of a key.
    pub key: usize,
    /// The width of a value.
    pub value: usize,
    /// How many positions the layer looks back, if not to the beginning.
    pub window: Option<usize>,
}

impl NetworkFacts {
    /// Builds the network of `folder` and asks it.
    ///
    /// # Errors
    /// As [`models::load`].
    pub fn of(folder: &Folder, index: &Index) -> Result<Self, Error> {
        let device = Device::cpu(CpuOptions { threads: Some(1), ..CpuOptions::default() })?;
        let weights = folder.weights().map_err(models::Error::from)?;
        let Model { architecture, network, vocabulary, context, hidden } =
            models::build(folder, &weights, &device)?;
        let experts = Experts(weights.chosen());
        weights.finish().map_err(models::Error::from)?;
        let (kind, layers, embedding) = match &network {
            Network::Decoder(decoder) => (ModelKind::Language, decoder.layers(), None),
            Network::Encoder(encoder) => {
                let head = EmbeddingHead::load(folder, &device, &**encoder, hidden)?;
                drop(TokenHeads::load(folder, &device, hidden)?);
                let width = encoder.retrieval().is_none().then(|| head.width());
                (ModelKind::Embedding, Vec::new(), width)
            }
            Network::Classifier(_) => (ModelKind::Classifier, Vec::new(), None),
        };
        let vision = network.vision().map(Vision::preprocess);
        let sees = vision.is_some();
        let rows = vision.map_or(0, |vision| rows_of_a_page(&*vision));
        let layers = layers.iter().map(LayerFacts::of).collect();
        let looked_up = looked_up(index, kind, vocabulary);
        Ok(Self {
            architecture,
            kind,
            context,
            vocabulary,
            hidden,
            embedding,
            sees,
            layers,
            bytes_per_pass: experts.read(index).saturating_sub(looked_up),
            bytes_per_token: activations(index, hidden, &experts),
            bytes_per_look: rows.saturating_mul(tower(index, hidden)),
        })
    }

    /// Bytes that one token takes in the cache, if it is stored as `format` says.
    pub fn cache_bytes_per_token(&self, format: impl Into<KvFormat>) -> u64 {
        let format = format.into();
        self.kept().iter().map(|layer| layer.bytes(format)).sum::<usize>() as u64
    }

    /// What the cache of each layer keeps.
    pub fn kept(&self) -> Vec<KvLayer> {
        let kept = |layer: &LayerFacts| KvLayer {
            kv_heads: layer.kv_heads,
            key_dim: layer.key,
            value_dim: layer.value,
        };
        self.layers.iter().map(kept).collect()
    }

    /// The most positions that any layer looks back; `None` if one of them looks to the beginning.
    pub fn window(&self) -> Option<usize> {
        let windows: Option<Vec<usize>> = self.layers.iter().map(|layer| layer.window).collect();
        windows?.into_iter().max()
    }
}

impl LayerFacts {
    fn of(layer: &LayerCache) -> Self {
        let window = match layer.remember {
            Remember::Full => None,
            Remember::Sliding(window) => Some(window),
        };
        let kv = layer.kv;
        Self { kv_heads: kv.kv_heads, key: kv.key_dim, value: kv.value_dim, window }
    }
}

/// How a model makes embeddings.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingFacts {
    /// How token vectors become one.
    pub pooling: Vec<&'static str>,
    /// Whether vectors have length one.
    pub normalized: bool,
    /// The most tokens of a text that its files allow.
    pub longest: Option<usize>,
    /// The names of its prompts.
    pub prompts: Vec<String>,
    /// How its makers compare embeddings.
    pub similarity: Option<String>,
}

impl EmbeddingFacts {
    fn of(folder: &Folder) -> Option<Self> {
        let files = folder.sentence_transformers().ok()??;
        let mut pooling = Vec::new();
        for module in &files.modules {
            if let Module::Pooling(found) = module {
                pooling.extend(found.modes.iter().map(|mode| pooling_name(*mode)));
            }
        }
        Some(Self {
            pooling,
            normalized: files.modules.contains(&Module::Normalize),
            longest: files.max_seq_length,
            prompts: files.prompts.into_keys().collect(),
            similarity: files.similarity,
        })
    }
}

fn pooling_name(mode: PoolingMode) -> &'static str {
    match mode {
        PoolingMode::Cls => "first token",
        PoolingMode::Max => "maximum",
        PoolingMode::Mean => "mean",
        PoolingMode::MeanSqrtLength => "sum over square root of length",
        PoolingMode::WeightedMean => "weighted mean",
        PoolingMode::LastToken => "last token",
    }
}

/// A file of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFile {
    /// Its name within the model's folder, with `/` between parts.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

impl ModelFile {
    /// Whether it says what may be done with the model.
    pub fn is_licence(&self) -> bool {
        is_licence(&self.name)
    }
}

/// Looks into the folder `path`: every file, sorted by name. Folders that cannot be read have none.
pub fn files(path: &Path) -> Vec<ModelFile> {
    let mut found = Vec::new();
    let mut waiting = vec![(path.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = waiting.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match (entry.file_type(), fs::metadata(entry.path())) {
                (Ok(kind), _) if kind.is_dir() && depth < DEEPEST && name != ".git" => {
                    waiting.push((entry.path(), format!("{name}/"), depth + 1));
                }
                (_, Ok(metadata)) if metadata.is_file() => {
                    found.push(ModelFile { name, bytes: metadata.len() });
                }
                _ => {}
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Looks at the model in the folder `path`. Reads small files and maps large ones: not for the async executor.
///
/// # Errors
/// If `config.json` or one of the small files beside it cannot be read.
pub fn describe(path: &Path) -> Result<Description, Error> {
    let folder = Folder::open(path)?;
    let mut problems = Vec::new();
    let mut keep = |error: Error| problems.push(error);
    let index = folder.index().map_err(|error| keep(error.into())).ok();
    let network = match &index {
        Some(index) => NetworkFacts::of(&folder, index).map_err(&mut keep).ok(),
        None => None,
    };
    let tokenizer = runtime::tokenizer(path).map_err(&mut keep).ok();
    let chat_template = chat_template(&folder).map_err(&mut keep).unwrap_or(false);
    let generation = folder.generation().clone();
    let eos = eos(&generation, tokenizer.as_ref());
    let embedding = EmbeddingFacts::of(&folder);
    Ok(Description {
        config: ConfigFacts::of(folder.config()),
        weights: index.as_ref().map(WeightFacts::of),
        network,
        tokens: tokenizer.as_ref().map(Tokenizer::vocabulary),
        chat_template,
        eos,
        generation,
        embedding,
        problems,
    })
}

/// The weights of the model in the folder `path`, from their headers alone.
///
/// # Errors
/// If `config.json` or a header cannot be read.
pub fn weigh(path: &Path) -> Result<WeightFacts, Error> {
    Ok(WeightFacts::of(&Folder::open(path)?.index()?))
}

fn chat_template(folder: &Folder) -> Result<bool, Error> {
    let config = folder.read("tokenizer_config.json")?;
    let jinja = chat_template_text(folder)?;
    let template = Template::from_parts(jinja.as_deref(), config.as_deref());
    let path = || folder.path().to_owned();
    Ok(template.map_err(|source| Error::Text { path: path(), source })?.is_some())
}

fn eos(generation: &Generation, tokenizer: Option<&Tokenizer>) -> Vec<(u32, Option<String>)> {
    let mut ids: BTreeSet<u32> = generation.eos.iter().copied().collect();
    let named = generation.eos_token.as_deref().and_then(|token| tokenizer?.id(token));
    ids.extend(named.or_else(|| tokenizer?.eos()));
    ids.into_iter().map(|id| (id, tokenizer.and_then(|tokenizer| tokenizer.token(id)))).collect()
}

/// The name without its last part: what the parts of one matrix share.
fn place(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(place, _)| place)
}

fn is_table(tensor: &IndexTensor) -> bool {
    tensor.shape.len() == 2
}

/// Bytes of tables of which a pass reads only the rows of its tokens: embeddings, unless the same table makes the
/// logits, which is so when a language model has no other one with a row for each token.
fn looked_up(index: &Index, kind: ModelKind, vocabulary: usize) -> u64 {
    let rows =
        |tensor: &&IndexTensor| is_table(tensor) && tensor.shape.first() == Some(&vocabulary);
    let weights = || index.tensors.iter().filter(|tensor| tensor.name.ends_with(".weight"));
    let tied = weights().filter(rows).count() < 2;
    let tables: BTreeSet<&str> = weights()
        .filter(|tensor| is_table(tensor) && tensor.name.contains("embed"))
        .filter(|tensor| kind != ModelKind::Language || !tied || !rows(tensor))
        .map(|tensor| place(&tensor.name))
        .collect();
    let parts = index.tensors.iter().filter(|tensor| tables.contains(place(&tensor.name)));
    parts.fold(0, |sum, tensor| sum.saturating_add(tensor.bytes))
}

/// Places whose equal parts are not all for one token: how many of how many.
struct Experts(BTreeMap<String, (usize, usize)>);

impl Experts {
    /// What one token has of `whole`, which belongs to the tensor `name`.
    fn share(&self, name: &str, whole: u64) -> u64 {
        let dots = name.match_indices('.').map(|(at, _)| at);
        let found = dots.filter_map(|at| self.0.get(name.get(..at)?)).next();
        match found {
            Some(&(chosen, count)) if count > 0 => {
                let share = u128::from(whole) * chosen as u128 / count as u128;
                u64::try_from(share).unwrap_or(u64::MAX)
            }
            _ => whole,
        }
    }

    /// Bytes of weights that belong to one token.
    fn read(&self, index: &Index) -> u64 {
        let bytes = index.tensors.iter().map(|tensor| self.share(&tensor.name, tensor.bytes));
        bytes.fold(0, u64::saturating_add)
    }
}

/// Bytes that a token takes in the widest layer if all outputs of its matrices were kept until its end, beside the
/// states that go in and out: more than is ever held at once.
fn activations(index: &Index, hidden: usize, experts: &Experts) -> u64 {
    let widest = outputs(index, experts).into_values().max().unwrap_or(0);
    row_bytes(widest, hidden)
}

/// The same for a row of what looks at images: of all stacks of layers but the one with the most outputs, which is the decoder.
fn tower(index: &Index, hidden: usize) -> u64 {
    let mut stacks: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (layer, outputs) in outputs(index, &Experts(BTreeMap::new())) {
        let stack = layer.trim_end_matches(|c: char| c.is_ascii_digit());
        let (all, widest) = stacks.entry(stack).or_default();
        (*all, *widest) = (all.saturating_add(outputs), outputs.max(*widest));
    }
    let decoder = stacks.iter().max_by_key(|(_, (all, _))| *all).map(|(stack, _)| *stack);
    let others = stacks.iter().filter(|(stack, _)| Some(**stack) != decoder);
    row_bytes(others.map(|(_, (_, widest))| *widest).max().unwrap_or(0), hidden)
}

/// Bytes of so many outputs of a row, beside the states that go in and out.
fn row_bytes(outputs: u64, hidden: usize) -> u64 {
    outputs.saturating_add(2 * hidden as u64).saturating_mul(size_of::<f32>() as u64)
}

/// Outputs of the matrices of each layer.
fn outputs<'a>(index: &'a Index, experts: &Experts) -> BTreeMap<&'a str, u64> {
    let mut layers: BTreeMap<&str, u64> = BTreeMap::new();
    for tensor in index.tensors.iter().filter(|t| t.name.ends_with(".weight")) {
        let Some(layer) = layer(&tensor.name) else { continue };
        let Some((_, rows)) = tensor.shape.split_last().filter(|(_, rows)| !rows.is_empty()) else {
            continue;
        };
        let rows = rows.iter().fold(1, |product: u64, &n| product.saturating_mul(n as u64));
        *layers.entry(layer).or_default() += experts.share(&tensor.name, rows);
    }
    layers
}

/// How many rows a page of paper is for a tower, with a row for each 14 pixels across and down: no tower that there is cuts finer.
fn rows_of_a_page(vision: &dyn Preprocess) -> u64 {
    // A letter page as `folio read` shows it.
    const PAGE: [usize; 2] = [996, 1288];
    const PATCH: usize = 14;
    let white = media::Image::new(PAGE[0], PAGE[1], vec![255; PAGE[0] * PAGE[1] * 3]);
    let Some(Ok(page)) = white.map(|white| vision.picture(&white)) else { return 0 };
    let pixels = page.parts.iter().map(|part| part.pixels().len() / 3).sum::<usize>();
    pixels.div_ceil(PATCH * PATCH) as u64
}

/// The name up to its first number: `model.layers.3`.
fn layer(name: &str) -> Option<&str> {
    let mut end = 0;
    for part in name.split_inclusive('.') {
        let bare = part.trim_end_matches('.');
        if !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit()) {
            return name.get(..end + bare.len());
        }
        end += part.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_have_names() {
        assert_eq!(layer("model.layers.13.mlp.up_proj.weight"), Some("model.layers.13"));
        assert_eq!(layer("lm_head.weight"), None);
        assert_eq!(layer("7"), Some("7"));
        assert_eq!(layer(""), None);
    }

    #[test]
    fn a_look_takes_memory_of_its_own() {
        let facts = |name: &str| {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
            let folder = Folder::open(&root.join(name)).unwrap();
            NetworkFacts::of(&folder, &folder.index().unwrap()).unwrap()
        };
        assert_eq!(facts("models/llama").bytes_per_look, 0);
        let seeing = facts("vision/qwen2_5_vl");
        // A row for each patch, with all that a block of the tower makes of it.
        let rows = (1008 / 28) * (1288 / 28) * 4;
        let row = seeing.bytes_per_look / rows;
        assert!(seeing.sees && (64..1 << 20).contains(&row), "{seeing:?}");
    }

    #[test]
    fn a_token_has_its_share_of_the_experts() {
        let places = ["model.layers.0.mlp.experts".to_owned()];
        let experts = Experts(places.into_iter().map(|place| (place, (8, 128))).collect());
        assert_eq!(experts.share("model.layers.0.mlp.experts.7.up_proj.weight", 1600), 100);
        assert_eq!(experts.share("model.layers.0.mlp.experts.weight", 16), 1);
        assert_eq!(experts.share("model.layers.0.mlp.experts_bias", 16), 16);
        assert_eq!(experts.share("model.layers.0.mlp.gate.weight", 16), 16);
        assert_eq!(experts.share("", u64::MAX), u64::MAX);
    }

    #[test]
    fn licences_are_told_from_other_files() {
        let is = |name: &str| ModelFile { name: name.to_owned(), bytes: 1 }.is_licence();
        assert!(is("LICENSE.txt") && is("license") && is("USE_POLICY.md"));
        assert!(!is("model.safetensors") && !is("src/LICENSE"));
    }
}
