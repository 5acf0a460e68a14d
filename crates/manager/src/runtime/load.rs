//! From a folder to a model that answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use checkpoint::{Activation, Adapter, Folder, Generation, SentenceTransformers};
use engine::{EngineOptions, Status};
use kernels::{Device, KvLayer, KvQuantization};
use text::{Dialect, Template, Tokenizer};
use tokio::sync::oneshot;

use super::constrain::Grammars;
use super::device::{Command, ModelFacts, ModelId, ModelKind, Runtime};
use super::error::Error;

/// How a model is loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Bytes that the cache of past tokens may take at most.
    pub cache_bytes: u64,
    /// Bytes to which that may be [raised](LoadedModel::resize) later; less than `cache_bytes` is as much.
    pub cache_most: u64,
    /// Sequences that may run at once.
    pub sequences: usize,
    /// Tokens that one forward pass may hold.
    pub step_tokens: usize,
    /// Codes that past tokens are kept as, if not as floats.
    pub kv: Option<KvCodes>,
    /// Requests of each priority that may wait; more are refused as overload.
    pub waiting: usize,
    /// The share of its rate that a watched stream keeps while prompts are read, from 0 to below 1. 0 reads prompts as fast
    /// as can be, and streams wait.
    pub decode_share: f64,
    /// Bytes of the cache that may be kept for the beginnings of later prompts; all that nobody uses, if absent.
    pub prefix_bytes: Option<u64>,
    /// What becomes of the keys and values of an answer that is put aside for others.
    pub preemption: Preemption,
}

/// What becomes of the keys and values of an answer that is put aside for others.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Preemption {
    /// They are given away and computed again later, from what was said so far.
    #[default]
    Recompute,
    /// They are copied and put back later. Copies have a quarter of the bytes of the cache; where those are taken, it is as with
    /// [`Recompute`](Self::Recompute).
    Swap,
    /// They are copied where computing them again would take longer, as far as was measured of the model.
    Auto,
}

impl Preemption {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Recompute, Self::Swap, Self::Auto];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recompute => "recompute",
            Self::Swap => "swap",
            Self::Auto => "auto",
        }
    }

    /// The bytes that copies have of those of a cache.
    pub(super) fn bytes(self, cache: u64) -> u64 {
        match self {
            Self::Recompute => 0,
            Self::Swap | Self::Auto => cache / 4,
        }
    }

    /// The bytes of a cache that has `bytes` beside what copies have.
    fn with_copies(self, bytes: u64) -> u64 {
        match self {
            Self::Recompute => bytes,
            Self::Swap | Self::Auto => bytes.saturating_add(bytes / 3).saturating_add(1),
        }
    }

    /// The same for an engine whose pages have so many bytes.
    pub(super) fn of_pages(self, page_bytes: usize) -> engine::Preemption {
        /// Bytes that are copied in a second at least, as far as the choice is concerned: out and back, a thread alone.
        const COPIED: f64 = 5e8;
        match self {
            Self::Recompute => engine::Preemption::Recompute,
            Self::Swap => engine::Preemption::Swap,
            Self::Auto => engine::Preemption::Auto { page_seconds: page_bytes as f64 / COPIED },
        }
    }
}

/// Codes of keys and values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KvCodes {
    /// The width of a code: 8 or 4.
    pub bits: usize,
    /// Elements of a head that share a scale: 32, 64 or 128; 64 if absent, or 32 if heads are no
    /// multiple of that.
    pub group_size: Option<usize>,
}

impl KvCodes {
    /// What that is for a network with these `layers`.
    ///
    /// # Errors
    ///
    /// If there are no such codes, or groups do not divide the heads.
    pub fn quantization(self, layers: &[KvLayer]) -> Result<KvQuantization, kernels::Error> {
        let Self { bits, group_size } = self;
        let Some(group_size) = group_size else {
            return KvQuantization::for_layers(bits, layers);
        };
        let quantization = KvQuantization { bits, group_size };
        quantization.check(layers).map(|()| quantization)
    }
}

impl Default for LoadOptions {
    fn default() -> Self {
        let EngineOptions { sequences, step_tokens, waiting, decode_share, .. } =
            EngineOptions::default();
        Self {
            cache_bytes: 4 << 30,
            cache_most: 0,
            sequences,
            step_tokens,
            kv: None,
            waiting,
            decode_share,
            prefix_bytes: None,
            preemption: Preemption::default(),
        }
    }
}

impl LoadOptions {
    /// As the default, with a cache that takes at most half of `available` bytes of memory.
    pub fn for_memory(available: u64) -> Self {
        Self { cache_bytes: (available / 2).max(256 << 20), ..Self::default() }
    }
}

/// A model that answers, as long as this lives.
#[derive(Debug)]
pub struct LoadedModel {
    pub(super) runtime: Arc<Runtime>,
    pub(super) id: ModelId,
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) facts: ModelFacts,
    /// Tokens that its cache has room for now.
    room: Arc<AtomicUsize>,
    preemption: Preemption,
    pub(super) tokenizer: Tokenizer,
    pub(super) grammars: Grammars,
    pub(super) template: Option<Template>,
    /// How it marks its thinking and its calls.
    pub(super) dialect: Dialect,
    pub(super) generation: Generation,
    pub(super) sentence: Option<SentenceTransformers>,
    /// What its files say becomes of a classifier's logits.
    pub(super) score: Option<Activation>,
    /// All tokens that end an answer.
    pub(super) stop: Vec<u32>,
}

impl LoadedModel {
    /// Loads the model in the folder `path`. Blocks; weights are mapped, not read.
    ///
    /// # Errors
    ///
    /// If the folder does not hold a whole model of a known architecture.
    pub fn load(
        runtime: &Arc<Runtime>,
        path: &Path,
        options: LoadOptions,
    ) -> Result<Arc<Self>, Error> {
        Self::load_adapted(runtime, path, None, options)
    }

    /// The same, with the adapter in the folder `adapter`, if one is given.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), and if the adapter cannot be read or does not fit.
    pub fn load_adapted(
        runtime: &Arc<Runtime>,
        path: &Path,
        adapter: Option<&Path>,
        options: LoadOptions,
    ) -> Result<Arc<Self>, Error> {
        let folder = Folder::open(path)?;
        let adapter = adapter.map(Adapter::open).transpose()?.map(Box::new);
        let generation = folder.generation().clone();
        let sentence = folder.sentence_transformers()?;
        let score = folder.score_activation()?;
        let words = Words::of(&folder);
        let (reply, answer) = oneshot::channel();
        runtime.send(Command::Load { folder: Box::new(folder), adapter, options, reply })?;
        // Parsing a tokenizer takes longer than mapping weights: both happen at once.
        let (tokenizer, template) = words?.parse(path)?;
        let (id, facts) = answer.blocking_recv().map_err(|_| Error::Gone)??;
        let mut stop = generation.eos.clone();
        let named = generation.eos_token.as_deref().and_then(|token| tokenizer.id(token));
        stop.extend(named.or_else(|| tokenizer.eos()));
        stop.sort_unstable();
        stop.dedup();
        let name = path
            .file_name()
            .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        let runtime = Arc::clone(runtime);
        let path = path.to_owned();
        let dialect = Dialect::of(template.as_ref(), &tokenizer);
        let room = Arc::new(AtomicUsize::new(facts.cache_tokens));
        let model = Self {
            runtime,
            id,
            name,
            path,
            facts,
            room,
            preemption: options.preemption,
            tokenizer,
            grammars: Grammars::default(),
            template,
            dialect,
            generation,
            sentence,
            score,
            stop,
        };
        if options.kv.is_some() {
            model.expect(ModelKind::Language, "keep past tokens")?;
        }
        Ok(Arc::new(model))
    }

    /// The name of its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is known of it.
    pub fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    /// Tokens that its cache has room for now, over all sequences: as many as when it was loaded, unless that was
    /// [changed](Self::resize).
    pub fn cache_tokens(&self) -> usize {
        self.room.load(Ordering::Relaxed)
    }

    /// Bytes that a cache of so many tokens takes, with what is set aside for images beside it.
    pub fn cache_bytes(&self, tokens: usize) -> u64 {
        let page = EngineOptions::default().page_size;
        let tokens = tokens.div_ceil(page).saturating_mul(page) as u64;
        let own = tokens.saturating_mul(self.facts.cache_bytes_per_token as u64);
        let own = self.preemption.with_copies(own);
        if self.facts.vision.is_some() { with_images(own) } else { own }
    }

    /// Makes its cache one of `bytes`, as far as that does not break what its requests were promised: shrinking gives back
    /// memory that was never written at once, and what was written only while no request is under way, with the beginnings of
    /// prompts that are kept there. Does not wait for that; what comes are the bytes that it may take from then on: `bytes`,
    /// unless less could be given back or taken.
    ///
    /// # Errors
    ///
    /// If the thread is gone, or this is no language model.
    pub fn resize(&self, bytes: u64) -> Result<oneshot::Receiver<Result<u64, Error>>, Error> {
        self.expect(ModelKind::Language, "keep past tokens")?;
        let (reply, answer) = oneshot::channel();
        let room = Arc::clone(&self.room);
        self.runtime.send(Command::Resize { model: self.id, bytes, room, reply })?;
        Ok(answer)
    }

    /// The device it is on.
    pub fn device(&self) -> &Device {
        self.runtime.device()
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// How it marks its thinking and its calls of tools.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Whether it was made for conversations.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// What its engine has in hand, and how often it helped itself in what way; nothing for a model that continues no text.
    /// Blocks until the step under way has ended.
    ///
    /// # Errors
    ///
    /// If the thread is gone.
    pub fn status(&self) -> Result<Status, Error> {
        self.ask_status()?.blocking_recv().map_err(|_| Error::Gone)
    }

    /// The twin of [`status`](Self::status) for async callers.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn status_async(&self) -> Result<Status, Error> {
        self.ask_status()?.await.map_err(|_| Error::Gone)
    }

    fn ask_status(&self) -> Result<oneshot::Receiver<Status>, Error> {
        let (reply, answer) = oneshot::channel();
        self.runtime.send(Command::Status { model: self.id, reply })?;
        Ok(answer)
    }

    /// An error unless it is of `kind`.
    pub(super) fn expect(&self, kind: ModelKind, asked: &'static str) -> Result<(), Error> {
        if self.facts.kind == kind {
            return Ok(());
        }
        let is = match self.facts.kind {
            ModelKind::Language => "a language model",
            ModelKind::Embedding => "an embedding model",
            ModelKind::Classifier => "a classifier of texts",
        };
        Err(Error::WrongKind { model: self.name.clone(), is, asked })
    }

    /// Lets go of a model, and waits until its memory is given back, if nobody else holds it.
    pub fn leave(model: Arc<Self>) {
        let Some(model) = Arc::into_inner(model) else { return };
        let runtime = Arc::clone(&model.runtime);
        drop(model);
        runtime.wait();
    }

    pub(super) fn text_error(&self, source: text::Error) -> Error {
        Error::Text { path: self.path.clone(), source }
    }
}

impl Drop for LoadedModel {
    fn drop(&mut self) {
        // If the thread is gone, so is the model.
        let _ = self.runtime.send(Command::Unload(self.id));
    }
}

/// What the adapter in the folder `path` says it was trained on; `None` if `path` is no adapter, or one that does not say it.
///
/// # Errors
///
/// If its configuration cannot be read.
pub fn base_of_adapter(path: &Path) -> Result<Option<String>, Error> {
    Ok(Adapter::base(path)?)
}

/// The tokenizer of the model in the folder `path`, without its weights.
///
/// # Errors
///
/// If the folder does not hold one.
pub fn tokenizer(path: &Path) -> Result<Tokenizer, Error> {
    Ok(Words::of(&Folder::open(path)?)?.parse(path)?.0)
}

/// The most bytes that a load sets aside for features of images within the cache.
const MOST_IMAGES: u64 = 256 << 20;

/// What of a cache of `bytes` is for features of images, for a network that sees.
pub(super) fn for_images(bytes: u64) -> u64 {
    (bytes / 8).min(MOST_IMAGES)
}

/// The bytes of a cache that has `bytes` beside what is for images.
pub(crate) fn with_images(bytes: u64) -> u64 {
    bytes.saturating_add((bytes / 7).saturating_add(1).min(MOST_IMAGES))
}

/// The files that words are made with.
struct Words {
    tokenizer_json: Option<Vec<u8>>,
    /// Only read where the first is not there.
    tokenizer_model: Option<Vec<u8>>,
    vocab_txt: Option<Vec<u8>>,
    tokenizer_config: Option<Vec<u8>>,
    chat_template: Option<String>,
}

/// The template in a file of its own: `chat_template.jinja`, or the JSON of older models that see.
pub(crate) fn chat_template(folder: &Folder) -> Result<Option<String>, Error> {
    if let Some(jinja) = folder.read("chat_template.jinja")? {
        return Ok(Some(String::from_utf8_lossy(&jinja).into_owned()));
    }
    let json = folder.side_config("chat_template.json")?;
    let text = json.as_ref().and_then(|json| json.value().get("chat_template")?.as_str());
    Ok(text.map(str::to_owned))
}

impl Words {
    fn of(folder: &Folder) -> Result<Self, Error> {
        let tokenizer_json = folder.read("tokenizer.json")?;
        let tokenizer_model = match &tokenizer_json {
            Some(_) => None,
            None => folder.read("tokenizer.model")?,
        };
        Ok(Self {
            tokenizer_json,
            tokenizer_model,
            vocab_txt: folder.read("vocab.txt")?,
            tokenizer_config: folder.read("tokenizer_config.json")?,
            chat_template: chat_template(folder)?,
        })
    }

    fn parse(self, path: &Path) -> Result<(Tokenizer, Option<Template>), Error> {
        let fail = |source| Error::Text { path: path.to_owned(), source };
        let config = self.tokenizer_config.as_deref();
        let tokenizer = match (&self.tokenizer_json, &self.tokenizer_model, &self.vocab_txt) {
            (Some(json), ..) => Tokenizer::from_json(json, config),
            (None, Some(model), _) => Tokenizer::from_sentencepiece(model, config),
            (None, None, Some(vocab)) => Tokenizer::from_vocab(vocab, config),
            (None, None, None) => return Err(Error::NoTokenizer { path: path.to_owned() }),
        };
        let tokenizer = tokenizer.map_err(fail)?;
        let jinja = self.chat_template.as_deref();
        let template = Template::from_parts(jinja, config).map_err(fail)?;
        Ok((tokenizer, template))
    }
}
