//! The settings of a server: from one file, from the environment and from flags, each value with its source.
//!
//! A flag is stronger than a variable, a variable stronger than the file. The file is TOML or YAML, by its extension; it is
//! named, or found in the working folder, or in the user's configuration folder. What nobody reads is an error that names
//! the key, its line, and the nearest key that there is.

mod bind;
mod check;
mod document;
mod fault;
mod names;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod tree;
mod value;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use check::{Finding, Limit, Severity, check, memory_limit};
pub use document::{document, keys, variable_of};
pub use fault::{Fault, Faults, Origin};
pub use names::{Meant, resolve as resolve_name};
pub use read::{Form, Key, Setting};
pub use schema::schema;
pub use value::bytes as parse_bytes;

use read::{Log, Table};
use tree::Node;

use crate::environment::Token;
use crate::runtime::Preemption;

/// The names of files that are looked for, in this order.
pub const FILES: [&str; 4] = ["folio.toml", "folio.yaml", "folio.yml", "mlx_config.yaml"];

/// The tasks that callers may ask for by name; a user may name others.
pub const TASKS: [&str; 7] =
    ["categorization", "vision", "embeddings", "reasoning", LONG_CONTEXT, "code", "fast"];

/// The task that long inputs are answered by.
pub const LONG_CONTEXT: &str = "long_context";

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The port and who may speak to it.
    pub server: Server,
    /// Bytes.
    pub memory: Memory,
    /// Models that are offered, or that something is set for. Empty: all that are on disk are offered.
    pub models: Vec<Model>,
    /// Who answers what.
    pub routes: BTreeMap<String, Route>,
    /// Servers elsewhere.
    pub remotes: BTreeMap<String, Remote>,
    /// What happens where the first does not answer.
    pub fallback: Fallback,
    /// How much at once.
    pub performance: Performance,
    /// What is written down.
    pub logging: Logging,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// Files of the same folder that would have been read but for it.
    pub passed_over: Vec<PathBuf>,
    /// Models that are called otherwise than they were written: as written, as called, where.
    pub renamed: Vec<(String, String, Origin)>,
    /// Each setting in force, in the order of [`keys`].
    pub settings: Vec<Setting>,
}

/// The port and who may speak to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// The address that is listened on.
    pub host: IpAddr,
    /// The port; 0 is a free one.
    pub port: u16,
    /// A file of keys: one on a line, with a name and a space before it if it has one.
    pub keys_file: Option<PathBuf>,
    /// Keys by name, each as a hash.
    pub keys: BTreeMap<String, ServerKey>,
    /// Origins of web pages that may speak to the server; `*` is all.
    pub origins: Vec<String>,
    /// Names that the server is reached under; `*` is all.
    pub hosts: Vec<String>,
    /// Folders whose files requests may name.
    pub roots: Vec<PathBuf>,
    /// Indexes whose pages clients may find: names, folders, and addresses on servers; `*` is every one that has a name.
    pub indexes: Vec<String>,
    /// Hosts whose files requests may name; `*` is all but private addresses.
    pub urls: Vec<String>,
    /// Bytes of a request at most.
    pub max_body: u64,
    /// Connections at once.
    pub connections: usize,
    /// Requests that wait at once.
    pub queue: usize,
    /// How long a request may wait for its model; for ever, if absent.
    pub timeout: Option<Duration>,
    /// How long answers under way may take when the server is told to end.
    pub drain: Duration,
    /// Whether clients may fetch and remove models.
    pub manage: bool,
}

/// A key that opens the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerKey {
    /// SHA-256 of the key.
    pub sha256: [u8; 32],
    /// Requests a minute at most.
    pub requests_per_minute: Option<u64>,
    /// Tokens a minute at most, of prompts and answers.
    pub tokens_per_minute: Option<u64>,
    /// Requests at once at most.
    pub concurrent: Option<u64>,
}

/// Bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// The most that is reserved; a share of what there is, if absent. See [`memory_limit`].
    pub limit: Option<u64>,
    /// What is left to others at least.
    pub reserve: u64,
    /// The largest part of the limit that one model's cache takes, from 0 to 1.
    pub cache_share: f64,
    /// The most bytes on the disk for beginnings of prompts that memory has no room for; none if absent.
    pub disk_cache: Option<u64>,
    /// Where these are, if not in `folio/pages` of [`Environment::data`](crate::Environment::data).
    pub disk_cache_folder: Option<PathBuf>,
    /// How long a model may be idle until it is unloaded; for ever, if absent.
    pub ttl: Option<Duration>,
}

/// How a model answers where a request does not say it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// Tokens at most.
    pub max_tokens: Option<u64>,
    /// Divides the logits.
    pub temperature: Option<f64>,
    /// Keeps the likeliest tokens that together have this probability.
    pub top_p: Option<f64>,
    /// Keeps so many tokens.
    pub top_k: Option<u64>,
    /// Keeps tokens with this share of the likeliest one's probability.
    pub min_p: Option<f64>,
    /// Makes tokens that have occurred less likely.
    pub repetition_penalty: Option<f64>,
}

/// What is set for one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// A folder, or a name of the hub.
    pub name: String,
    /// An adapter: a folder, or a name of the hub.
    pub adapter: Option<String>,
    /// Other names that it answers to.
    pub aliases: Vec<String>,
    /// Tokens of one conversation that there must be room for.
    pub context: Option<u64>,
    /// Bits of keys and values, if they are kept as codes.
    pub kv_bits: Option<u64>,
    /// Elements that share a scale in those codes.
    pub kv_group_size: Option<u64>,
    /// Lower ones are evicted first.
    pub priority: i32,
    /// Never evicted.
    pub pinned: bool,
    /// Loaded when the server starts.
    pub preload: bool,
    /// Unloaded when idle for so long; for ever, if absent.
    pub ttl: Option<Duration>,
    /// Whether no answer depends on what else is computed.
    pub batch_invariant: bool,
    /// How it answers.
    pub sampling: Sampling,
}

impl Model {
    /// A model that nothing is set for but its name.
    pub fn named(name: &str, memory: &Memory) -> Self {
        Self {
            name: name.to_owned(),
            adapter: None,
            aliases: Vec::new(),
            context: None,
            kv_bits: None,
            kv_group_size: None,
            priority: 0,
            pinned: false,
            preload: false,
            ttl: memory.ttl,
            batch_invariant: false,
            sampling: Sampling::default(),
        }
    }
}

/// Who could answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Candidate {
    /// A model of this machine.
    Local(String),
    /// A model of a server elsewhere.
    Remote {
        /// The server.
        remote: String,
        /// The model, as it is called there.
        model: String,
    },
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local(model) => f.write_str(model),
            Self::Remote { remote, model } => write!(f, "{remote}:{model}"),
        }
    }
}

/// Who answers a task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Route {
    /// The first that can.
    pub candidates: Vec<Candidate>,
    /// How they answer.
    pub sampling: Sampling,
    /// Texts at once, for embeddings and judgements.
    pub batch_size: Option<u64>,
    /// Inputs of more tokens than this come here, for `long_context`.
    pub above: Option<u64>,
}

/// What a server elsewhere speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteKind {
    /// Ollama's own interface.
    Ollama,
    /// OpenAI's chat completions and embeddings.
    OpenAi,
    /// OpenAI's responses, as servers of vision models speak it.
    Responses,
}

impl RemoteKind {
    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::OpenAi => "openai",
            Self::Responses => "responses",
        }
    }
}

/// Where a remote's key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a variable of the environment.
    Variable(String),
    /// In a file.
    File(PathBuf),
    /// It is this one. No file of settings says it: a key has no place there.
    Given(Token),
}

/// A server elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Remote {
    /// What it speaks.
    pub kind: RemoteKind,
    /// Where it is: `http://host:port`, with a path if it has one before `/v1` or `/api`.
    pub url: String,
    /// Where its key is, if it asks for one.
    pub key: Option<KeySource>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the first byte of an answer may take.
    pub first_byte_timeout: Duration,
    /// How long an answer may pause.
    pub idle_timeout: Duration,
    /// How often it is tried again, where nothing came yet.
    pub retries: u64,
    /// After so many failures in a row it is left alone for a while.
    pub breaker_failures: u64,
    /// That while, at first; it doubles.
    pub breaker_pause: Duration,
    /// Fields of requests that may be left out where it has no word for them.
    pub may_drop: Vec<String>,
    /// Fields that it reads beyond what others of its kind read.
    pub understands: Vec<String>,
}

impl Remote {
    /// A remote of which nothing is set but where it is.
    pub fn at(kind: RemoteKind, url: &str) -> Self {
        Self {
            kind,
            url: url.to_owned(),
            key: None,
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(60),
            retries: 2,
            breaker_failures: 3,
            breaker_pause: Duration::from_secs(10),
            may_drop: Vec::new(),
            understands: Vec::new(),
        }
    }
}

/// What happens where the first does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Whether the next of a route answers, where a request does not forbid it.
    pub allow: bool,
    /// Whether Ollama is asked where a model is not here, if it runs and has it.
    pub find_ollama: bool,
}

/// How much at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Performance {
    /// Models that answer at once.
    pub max_parallel_models: Option<u64>,
    /// Models in memory at once.
    pub model_cache_size: Option<u64>,
    /// Texts of a request that are embedded at once, and documents that are judged, where its route does not say it.
    pub batch_size: Option<u64>,
    /// Answers of one model at once.
    pub sequences: u64,
    /// Tokens of one step.
    pub step_tokens: u64,
    /// The part of a step's time that answers under way keep while prompts are read, from 0 to 1.
    pub decode_share: f64,
    /// What becomes of the keys and values of an answer that is put aside for others.
    pub preemption: Preemption,
    /// How long a request waits behind busy models until it comes next.
    pub patience: Duration,
}

/// How much is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    Off,
    /// What failed.
    Error,
    /// What should be looked at.
    Warn,
    /// What happened.
    Info,
    /// Why.
    Debug,
    /// Everything.
    Trace,
}

/// What is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// How much.
    pub level: Level,
    /// Whether lines are JSON.
    pub json: bool,
    /// Where to; standard error, if absent.
    pub file: Option<PathBuf>,
}

/// Where settings come from, strongest last.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was named.
    pub file: Option<PathBuf>,
    /// The working folder and the user's configuration folder, where a file is looked for if none was named.
    pub folders: Vec<PathBuf>,
    /// Variables of the environment, by name.
    pub variables: BTreeMap<String, String>,
    /// Flags: the key that each stands for, and its value. The key `model` adds a model; several values of one key are in
    /// the order in which they were given.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// The sources of this process: the working folder, the folder `folio` in `XDG_CONFIG_HOME` or `~/.config`, and all
    /// variables.
    pub fn from_process() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let configs = match (variables.get("XDG_CONFIG_HOME"), variables.get("HOME")) {
            (Some(folder), _) => Some(PathBuf::from(folder)),
            (None, Some(home)) => Some(Path::new(home).join(".config")),
            (None, None) => None,
        };
        let own = configs.map(|folder| folder.join("folio"));
        let folders = [PathBuf::from(".")].into_iter().chain(own).collect();
        Self { file: None, folders, variables, flags: Vec::new() }
    }
}

impl Config {
    /// Reads all sources. Blocks on the disk.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(sources: &Sources) -> Result<Self, Faults> {
        let (file, passed_over) = find(sources);
        let mut root = match &file {
            Some(path) => read_file(path).map_err(|fault| Faults(vec![fault]))?,
            None => Node::empty(),
        };
        let mut log = Log::default();
        bind::lay_over(&mut root, sources, &mut log);
        let mut config = bind::config(Table::root(&root, &mut log));
        if !log.faults.is_empty() {
            return Err(Faults(log.faults));
        }
        config.settings = log.settings;
        config.file = file;
        config.passed_over = passed_over;
        Ok(config)
    }

    /// What holds for the model `name`, whether something is set for it or not.
    pub fn model(&self, name: &str) -> Model {
        let found = self.models.iter().find(|model| model.name == name);
        found.cloned().unwrap_or_else(|| Model::named(name, &self.memory))
    }

    /// Where the value of `key` comes from; `None` if there is no such setting in force.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.settings.iter().find(|setting| setting.key == key).map(|setting| &setting.origin)
    }
}

impl Default for Config {
    fn default() -> Self {
        let root = Node::empty();
        let mut log = Log::default();
        bind::config(Table::root(&root, &mut log))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Config::default().memory
    }
}

/// The file that is read, and those beside it that are not.
fn find(sources: &Sources) -> (Option<PathBuf>, Vec<PathBuf>) {
    if let Some(file) = &sources.file {
        return (Some(file.clone()), Vec::new());
    }
    for folder in &sources.folders {
        let there = FILES.iter().map(|name| folder.join(name)).filter(|path| path.is_file());
        let mut there =
            there.map(|path| path.strip_prefix(".").map_or(path.clone(), Path::to_owned));
        if let Some(first) = there.next() {
            return (Some(first), there.collect());
        }
    }
    (None, Vec::new())
}

fn read_file(path: &Path) -> Result<Node, Fault> {
    use std::io::Read as _;
    let fail = |source| Fault::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    file.take(tree::LARGEST as u64 + 1).read_to_string(&mut text).map_err(fail)?;
    tree::read(path, text.strip_prefix('\u{feff}').unwrap_or(&text))
}

/// The address that is listened on if nobody says another.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
