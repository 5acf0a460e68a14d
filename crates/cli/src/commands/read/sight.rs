//! Who looks at pages: a model of this machine, one of a server elsewhere, a program of the system.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use documents::pipeline::{KEEP_HEADERS, LadderOptions, Mode, PROMPT, ReadOptions, Room};
use documents::tesseract::Tesseract;
use documents::{NoModel, PageSet, World};
use manager::config::{Candidate, Config, KeySource, Remote, RemoteKind};
use manager::house::House;
use manager::read::Seers;
use manager::remote::Backend;
use manager::{Environment, Token};

use crate::args::{Compute, Kept};
use crate::commands::serve::furnished;
use crate::models;
use crate::report::{Problem, Result};
use crate::settings::Settings;

/// Who looks at pages, and how.
#[derive(Args, Debug)]
#[command(next_help_heading = "Looking at pages")]
pub(crate) struct Sight {
    /// auto takes a page's own text where it is good and shows the others to a model; text never
    /// asks a model; ocr shows every page to one [default: auto, in a workspace: ocr]
    #[arg(long, value_name = "HOW", value_enum)]
    pub(crate) mode: Option<How>,
    /// The vision model: a folder, a name that `folio list` shows, ORG/NAME of the hub, or what
    /// the server calls it; given again, who reads what those before failed at [default: the route
    /// `vision` of the settings]
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Vec<String>,
    /// What the model runs on: folio itself, or a server that speaks as vLLM, MLX-VLM's server,
    /// Ollama or OpenAI do
    #[arg(long, value_name = "WHAT", value_enum)]
    backend: Option<Kind>,
    /// The server's address, with or without `/v1` [default: where a server of its kind listens on
    /// this machine]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The server's key
    #[arg(
        long,
        value_name = "KEY",
        visible_alias = "api_key",
        env = "FOLIO_SERVER_KEY",
        hide_env_values = true
    )]
    api_key: Option<String>,
    /// The server's port on this machine
    #[arg(long, value_name = "N", conflicts_with = "server")]
    port: Option<u16>,
    /// Tell the model this instead of olmOCR's prompt; its answer is then taken as it is, with or
    /// without front matter
    #[arg(long, value_name = "TEXT", visible_alias = "custom_prompt")]
    custom_prompt: Option<String>,
    /// Tokens that it may write for a page
    #[arg(long, value_name = "N", visible_alias = "max_tokens", default_value_t = 8000)]
    max_tokens: u32,
    /// Attempts for a page, the first included
    #[arg(long, value_name = "N", visible_alias = "max_page_retries", default_value_t = 8)]
    max_page_retries: u32,
    /// Pixels of the longer side of a page
    #[arg(
        long,
        value_name = "N",
        visible_alias = "target_longest_image_dim",
        default_value_t = 1288,
        value_parser = clap::value_parser!(u32).range(28..=8192)
    )]
    target_longest_image_dim: u32,
    /// Ask a server to hold answers to the form of front matter (models that folio runs are held
    /// to it in any case)
    #[arg(long, visible_alias = "guided_decoding")]
    guided_decoding: bool,
    /// Pages that are looked at at once [default: 8, at a server 64]
    #[arg(long, value_name = "N", visible_alias = "max_concurrent_requests")]
    max_concurrent_requests: Option<usize>,
    /// Seconds that a server may be silent before an attempt counts as failed
    #[arg(long, value_name = "N", default_value_t = 600)]
    server_timeout: u64,
    /// Seconds that a server is waited for that cannot be reached or is too busy
    #[arg(
        long,
        value_name = "N",
        visible_alias = "max_server_ready_timeout",
        default_value_t = 600
    )]
    max_server_wait: u64,
    /// Do not ask Tesseract, if it is installed, for pages that no model could read, or that there is
    /// no model for
    #[arg(long, conflicts_with = "ocr_languages")]
    no_ocr_engine: bool,
    /// Languages for Tesseract, as it calls them: eng+deu [default: its own]
    #[arg(long, value_name = "LIST")]
    ocr_languages: Option<String>,
    /// Read settings from this file [default: where `folio serve` finds them]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    kept: Kept,
    #[command(flatten)]
    compute: Compute,
}

/// `auto`, `text` or `ocr`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum How {
    Auto,
    Text,
    Ocr,
}

/// What a model runs on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Kind {
    Folio,
    Vllm,
    MlxVlm,
    Ollama,
    Openai,
}

/// Whoever looks at pages, and what they look with.
pub(crate) struct Eyes {
    pub(crate) world: Box<dyn World>,
    pub(crate) room: Room,
    pub(crate) options: ReadOptions,
    /// Keep these alive as long as anybody looks.
    runtime: Option<tokio::runtime::Runtime>,
    house: Option<Arc<House>>,
}

impl Eyes {
    /// The models `wanted`, of the house that `open` opens if there are any, and then `engine`.
    pub(crate) fn at_home(
        wanted: &[String],
        engine: Option<Tesseract>,
        options: ReadOptions,
        open: impl FnOnce() -> Result<Arc<House>>,
    ) -> Result<Self> {
        let runtime = event_loop()?;
        let mut seers = Seers::new(runtime.handle().clone());
        let house = if wanted.is_empty() { None } else { Some(open()?) };
        for (model, house) in wanted.iter().zip(house.iter().cycle()) {
            seers = seers.and_of_house(house, model);
        }
        if let Some(engine) = engine {
            seers = seers.and_engine(engine);
        }
        let room = Room::new(match &house {
            // Of a program that recognises characters, one for each core.
            None => std::thread::available_parallelism().map_or(1, usize::from),
            Some(_) => 8,
        });
        Ok(Self { world: Box::new(seers), room, options, runtime: Some(runtime), house })
    }
}

fn event_loop() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.map_err(|error| Problem::io("start", "the event loop".as_ref(), error))
}

/// The models that a house must offer so that those `wanted` can be asked. What is not here is pulled in sight of the user,
/// before anything is read.
pub(crate) fn offered(wanted: &[String], config: &Config) -> Result<Vec<String>> {
    let mut offered = Vec::new();
    for model in wanted {
        match config.routes.get(model) {
            Some(route) => {
                let here = route.candidates.iter().filter_map(|candidate| match candidate {
                    Candidate::Local(name) => Some(name.clone()),
                    Candidate::Remote { .. } => None,
                });
                offered.extend(here);
            }
            // `REMOTE:MODEL` is nobody of this machine.
            None if model.contains(':') => {}
            None => {
                models::locate(model)?;
                offered.push(model.clone());
            }
        }
    }
    Ok(offered)
}

impl Drop for Eyes {
    fn drop(&mut self) {
        if let Some(house) = &self.house {
            house.close();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Sight {
    /// Opens what is needed to look at pages. Models are loaded when the first page is shown to them.
    pub(crate) fn open(&self, mode: Mode, pages: PageSet, passwords: Vec<String>) -> Result<Eyes> {
        let elsewhere = self.elsewhere();
        let options = ReadOptions {
            pages,
            passwords,
            mode,
            prompt: self.custom_prompt.as_deref().unwrap_or(PROMPT).into(),
            // An answer that is held to front matter has one, whatever was asked.
            front_matter: self.custom_prompt.is_none() || self.guided_decoding,
            guided: elsewhere.is_none() || self.guided_decoding,
            max_tokens: self.max_tokens,
            target_longest_image_dim: self.target_longest_image_dim,
            ladder: LadderOptions {
                max_page_retries: self.max_page_retries,
                ..LadderOptions::default()
            },
            at_once: elsewhere.is_none(),
            patience: Duration::from_secs(self.max_server_wait),
            ..ReadOptions::default()
        };
        let places = |usual| Room::new(self.max_concurrent_requests.unwrap_or(usual));
        let nobody = |options| Eyes {
            world: Box::new(NoModel),
            room: places(1),
            options,
            runtime: None,
            house: None,
        };
        if mode == Mode::Text {
            if !self.model.is_empty() || elsewhere.is_some() {
                let reason = "`--mode text` asks no model".to_owned();
                return Err(Problem::Flag { flag: "--model", reason }.into());
            }
            return Ok(nobody(options));
        }
        let config = Settings::of(self.config.clone(), Vec::new()).load()?;
        let mut wanted = self.model.clone();
        if wanted.is_empty() && elsewhere.is_none() && config.routes.contains_key("vision") {
            wanted.push("vision".to_owned());
        }
        let engine = self.engine()?;
        let alone = wanted.is_empty() && elsewhere.is_none();
        if alone && mode == Mode::Ocr && engine.is_none() {
            let reason = "showing every page to a model needs one".to_owned();
            return Err(Problem::Flag { flag: "--model", reason }.into());
        }
        if alone && engine.is_none() {
            return Ok(nobody(options));
        }
        let Some(remote) = elsewhere else {
            let house = || -> Result<Arc<House>> {
                let mut furnished = furnished(&config, &self.kept);
                furnished.models.extend(offered(&wanted, &config)?);
                let device = models::runtime(self.compute)?;
                Ok(House::open(device, Environment::from_process(), furnished))
            };
            let mut eyes = Eyes::at_home(&wanted, engine, options, house)?;
            if let Some(number) = self.max_concurrent_requests {
                eyes.room = Room::new(number);
            }
            return Ok(eyes);
        };
        let runtime = event_loop()?;
        let mut seers = Seers::new(runtime.handle().clone());
        let environment = Environment::from_process();
        let backend = Backend::open("server", &remote?, &environment);
        let backend = backend.map_err(Problem::Server)?;
        if wanted.is_empty() {
            wanted.push(runtime.block_on(self.only_model(&backend))?);
        }
        for model in &wanted {
            seers = seers.and_elsewhere(&backend, model);
        }
        if let Some(engine) = engine {
            seers = seers.and_engine(engine);
        }
        let (world, room) = (Box::new(seers), places(64));
        Ok(Eyes { world, room, options, runtime: Some(runtime), house: None })
    }

    /// The program of the system that reads what no model could, if it is to.
    fn engine(&self) -> Result<Option<Tesseract>> {
        let found =
            if self.no_ocr_engine { None } else { Tesseract::find(self.ocr_languages.as_deref()) };
        if self.ocr_languages.is_some() && found.is_none() {
            let reason = "there is no Tesseract: install it, or leave this out".to_owned();
            return Err(Problem::Flag { flag: "--ocr-languages", reason }.into());
        }
        Ok(found)
    }

    /// Asks for headers and footers, too, unless the prompt is the user's own.
    pub(crate) fn keep_headers(&self, options: &mut ReadOptions) {
        if self.custom_prompt.is_none() {
            options.prompt = format!("{PROMPT}{KEEP_HEADERS}").into();
        }
    }

    /// Whether a server is paid for what it does, as far as a key tells.
    pub(crate) fn has_key(&self) -> bool {
        self.api_key.is_some()
    }

    /// The server that pages are shown to, if they are.
    fn elsewhere(&self) -> Option<Result<Remote>> {
        let backend =
            self.backend.unwrap_or(if self.server.is_some() { Kind::Openai } else { Kind::Folio });
        if backend == Kind::Folio && self.server.is_none() && self.port.is_none() {
            return None;
        }
        Some(self.remote(backend))
    }

    fn remote(&self, backend: Kind) -> Result<Remote> {
        let (kind, port) = match backend {
            Kind::Folio => (RemoteKind::OpenAi, None),
            Kind::Vllm => (RemoteKind::OpenAi, Some(30024)),
            Kind::MlxVlm => (RemoteKind::Responses, Some(8000)),
            Kind::Ollama => (RemoteKind::Ollama, Some(11434)),
            Kind::Openai => (RemoteKind::OpenAi, None),
        };
        let url = match (&self.server, self.port.or(port)) {
            (Some(server), _) => {
                let trimmed = server.trim_end_matches('/');
                let bare = trimmed.strip_suffix("/v1").unwrap_or(trimmed);
                if !bare.starts_with("http://") && !bare.starts_with("https://") {
                    let reason = format!("`{server}` is no address: write http://HOST:PORT/v1");
                    return Err(Problem::Flag { flag: "--server", reason }.into());
                }
                bare.to_owned()
            }
            (None, Some(port)) => format!("http://127.0.0.1:{port}"),
            (None, None) => {
                let reason = "`--backend openai` needs to know where it is".to_owned();
                return Err(Problem::Flag { flag: "--server", reason }.into());
            }
        };
        let key = match &self.api_key {
            Some(key) => Some(KeySource::Given(Token::new(key).ok_or_else(|| {
                let reason = "a key is one word of printable characters".to_owned();
                Problem::Flag { flag: "--api-key", reason }
            })?)),
            None => None,
        };
        let mut understands = Vec::new();
        if self.guided_decoding {
            if matches!(kind, RemoteKind::Ollama | RemoteKind::Responses) {
                let reason = "this kind of server holds answers to no regular expression; its answers are checked instead";
                let reason = reason.to_owned();
                return Err(Problem::Flag { flag: "--guided-decoding", reason }.into());
            }
            understands.push("guided_regex".to_owned());
            if backend != Kind::Folio {
                understands.push("structured_outputs".to_owned());
            }
        }
        Ok(Remote {
            key,
            first_byte_timeout: Duration::from_secs(self.server_timeout.max(1)),
            idle_timeout: Duration::from_secs(self.server_timeout.max(1)),
            // The pipeline waits and asks again in sight of the user.
            retries: 0,
            breaker_failures: u64::MAX,
            understands,
            ..Remote::at(kind, &url)
        })
    }

    /// The one model that a server has.
    async fn only_model(&self, backend: &Backend) -> Result<String> {
        match backend.models().await {
            Ok(found) => match &found[..] {
                [one] => Ok(one.clone()),
                [] => Ok("current".to_owned()),
                several => {
                    let reason = format!("the server has several: {}", several.join(", "));
                    Err(Problem::Flag { flag: "--model", reason }.into())
                }
            },
            // Some servers list none, and take this name for the model that they hold.
            Err(manager::remote::Error::Refused { status: 404, .. })
            | Err(manager::remote::Error::NoModel { .. }) => Ok("current".to_owned()),
            Err(error) => Err(Problem::Server(error).into()),
        }
    }
}
