//! `folio serve`: every model behind one port, for the clients that people have.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use manager::Environment;
use manager::config::{Config, ServerKey, memory_limit};
use manager::find::index::Index;
use manager::find::remote::Access;
use manager::find::{Location, Offer};
use manager::house::{House, HouseOptions};
use manager::machine::Machine;
use manager::residency::Policy;
use manager::runtime::{LoadOptions, PageStore};
use manager::web::{Fetcher, Hosts};
use server::{Allowance, Bound, Gate, Key, Limits, Options, Rules};
use tokio::sync::watch;

use crate::args::{Compute, Kept};
use crate::commands::index::OPEN_KEY;
use crate::reloading::Now;
use crate::report::{Problem, Result};
use crate::settings::Settings;
use crate::signals::signal;
use crate::{log, material, models, output};

/// Serve models to programs: the APIs of OpenAI, Anthropic and Ollama on one port.
///
/// Clients of OpenAI are given http://HOST:PORT/v1 as their base URL, others http://HOST:PORT. Models are loaded when they are first asked for. Without
/// `--model` every model on this machine is offered. Ctrl-C or SIGTERM ends it when the answers under way are given; once
/// more ends it at once.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    kept: Kept,
    #[command(flatten)]
    compute: Compute,
}

impl Serve {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let config = self.settings.load()?;
        log::begin(&config.logging)?;
        let rules = rules(&config)?;
        let address = SocketAddr::new(config.server.host, config.server.port);
        if !rules.gate.allows(address) {
            let reason =
                format!("{address} is reached from other machines: give `--keys FILE` as well");
            return Err(Problem::Flag { flag: "--host", reason }.into());
        }
        for model in &config.models {
            models::locate(&model.name)?;
        }
        let options = furnished(&config, &self.kept);
        let limits = Limits {
            body: usize::try_from(config.server.max_body).unwrap_or(usize::MAX),
            connections: config.server.connections,
            ..Limits::default()
        };
        let drain = config.server.drain;
        let device = models::runtime(self.compute)?;
        let environment = Environment::from_process();
        let mut pages = None;
        if let Some(cap) = config.memory.disk_cache {
            let folder = config.memory.disk_cache_folder.clone();
            let folder = folder.unwrap_or_else(|| environment.data.join("folio/pages"));
            let store = pages.insert(PageStore::open(&folder, cap)?);
            device.keep_pages(Arc::clone(store))?;
        }
        let house = House::open(device, environment, options);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Problem::io("start", "the event loop".as_ref(), error))?;
        let done = runtime.block_on(async {
            let bound = server::bind(address).await.map_err(|error| {
                Problem::io("listen on", Path::new(&address.to_string()), error)
            })?;
            greet(&bound, &config)?;
            warm(&house, &config);
            let connections = limits.connections;
            let mut stop = signals();
            let stopping = Some(stop.clone());
            let kept = Some(Environment::from_process().data.join("folio/files"));
            let now = Now { config, settings: self.settings, kept: self.kept };
            let told = Some(now.watch(&house, rules.clone()));
            let options = Options { limits, rules, told, kept, stop: stopping };
            let router = server::router(Arc::clone(&house), options);
            let mut told = stop.clone();
            let asked = async move {
                // If nobody can ask any more, it goes on.
                if stop.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let mut ending = Box::pin(async {
                server::serve(bound, router, connections, asked).await;
                house.close();
                house.emptied().await;
            });
            let kept = pages.map(|pages| (Arc::clone(&house), pages));
            // The time for answers under way begins when the end is asked for.
            let ended = tokio::select! {
                () = &mut ending => Ok(ExitCode::SUCCESS),
                () = async {
                    let _ = told.changed().await;
                    tokio::time::sleep(drain).await;
                } => {
                    eprintln!("some answers took too long and were cut: `server.drain` gives them more time");
                    Ok(ExitCode::FAILURE)
                }
            };
            if let Some((house, pages)) = kept {
                put_away(&house, pages).await;
            }
            ended
        });
        runtime.shutdown_background();
        done
    }
}

/// So long the beginnings of prompts may take to the disk when the server ends.
const PUT_AWAY: Duration = Duration::from_secs(5);

/// Puts the beginnings of prompts on the disk that are still in memory.
async fn put_away(house: &Arc<House>, pages: Arc<PageStore>) {
    let left = tokio::time::timeout(PUT_AWAY, house.vacate()).await.is_ok();
    let settled = tokio::task::spawn_blocking(move || pages.settle(PUT_AWAY)).await;
    if !left || !settled.unwrap_or(false) {
        eprintln!("note: some beginnings of prompts were not written to the disk in time");
    }
}

/// A house that is kept as the settings say.
pub(crate) fn furnished(config: &Config, kept: &Kept) -> HouseOptions {
    let machine = Machine::look();
    let most = machine.memory_limit.unwrap_or(machine.memory_total);
    // What this process holds already is its own to use.
    let held = manager::current_rss().unwrap_or(0);
    let limit = memory_limit(config, most, machine.memory_available.saturating_add(held));
    if let Some(why) = &limit.lowered {
        eprintln!("note: {why}");
    }
    let performance = &config.performance;
    let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let most_of = |number: Option<u64>| number.map_or(usize::MAX, whole);
    let policy = Policy {
        patience: performance.patience,
        most_loaded: most_of(performance.model_cache_size),
        most_running: most_of(performance.max_parallel_models),
        most_waiting: config.server.queue,
        ..Policy::default()
    };
    let load = LoadOptions {
        kv: kept.codes(),
        sequences: whole(performance.sequences),
        step_tokens: whole(performance.step_tokens),
        decode_share: performance.decode_share,
        waiting: config.server.queue,
        ..LoadOptions::default()
    };
    HouseOptions {
        load,
        models: config.models.iter().map(|model| model.name.clone()).collect(),
        memory: Some(limit.bytes),
        cache_share: config.memory.cache_share,
        wait: config.server.timeout,
        policy,
        config: config.clone(),
        ..HouseOptions::default()
    }
}

/// What fetches images for requests, if that is allowed.
fn fetcher(config: &Config) -> Result<Option<Fetcher>> {
    let hosts = Hosts::of(&config.server.urls);
    if hosts.is_empty() {
        return Ok(None);
    }
    Ok(Some(Fetcher::new(hosts).map_err(Problem::Web)?))
}

/// Who may do what.
pub(crate) fn rules(config: &Config) -> Result<Rules> {
    let (gate, fetcher) = (gate(config)?, fetcher(config)?);
    let files = material::files(&config.server.roots)?;
    Ok(Rules { gate, manage: config.server.manage, files, indexes: offer(config)?, fetcher })
}

/// The indexes that clients may ask.
pub(crate) fn offer(config: &Config) -> Result<Offer> {
    let wanted = &config.server.indexes;
    let offer = Offer::of(wanted, &Environment::from_process().indexes());
    let offer =
        offer.map_err(|error| Problem::Flag { flag: "--index", reason: error.to_string() })?;
    for name in offer.names() {
        match offer.location(&name) {
            Some(Location::Folder(folder)) => {
                if let Err(error) = Index::profile_of(&folder) {
                    eprintln!("note: the index `{name}` cannot be asked yet: {error}");
                }
            }
            // It is asked when somebody searches; its key is known now, and so is whether others may read it.
            Some(Location::Server(address)) => {
                let access = Access::of(&address, None)?;
                if access.key.is_some() && address.is_open() {
                    eprintln!("note: {address}: {OPEN_KEY}");
                }
            }
            None => {}
        }
    }
    Ok(offer)
}

/// Who may speak.
fn gate(config: &Config) -> Result<Gate> {
    let lowered = |list: &[String]| -> BTreeSet<String> {
        list.iter().map(|text| text.trim_end_matches('/').to_ascii_lowercase()).collect()
    };
    let server = &config.server;
    let mut all = server.keys_file.as_deref().map(keys).transpose()?.unwrap_or_default();
    for (name, key) in &server.keys {
        let &ServerKey { sha256, requests_per_minute, tokens_per_minute, concurrent } = key;
        let allowance = Allowance { requests_per_minute, tokens_per_minute, concurrent };
        all.push(Key::hashed(name.as_str(), sha256).allowed(allowance));
    }
    Ok(Gate { keys: all, origins: lowered(&server.origins), hosts: lowered(&server.hosts) })
}

fn greet(bound: &Bound, config: &Config) -> Result<()> {
    output::line(&format!("listening on http://{}", bound.address()))?;
    if let Some(file) = &config.file {
        eprintln!("settings: {} (`folio config check` explains them)", file.display());
    }
    let names: Vec<_> = config.models.iter().map(|model| model.name.as_str()).collect();
    match &names[..] {
        [] => eprintln!("all models of this machine are offered (`folio list`); Ctrl-C ends it"),
        names => eprintln!("offered: {}; Ctrl-C ends it", names.join(", ")),
    }
    Ok(())
}

/// Loads what is to be there from the beginning, beside the first requests: what the settings say, else the first model.
fn warm(house: &Arc<House>, config: &Config) {
    let wanted = config.models.iter().filter(|model| model.preload).map(|model| model.name.clone());
    let mut wanted: Vec<_> = wanted.collect();
    if wanted.is_empty() {
        wanted.extend(config.models.first().map(|model| model.name.clone()));
    }
    for model in wanted {
        let house = Arc::clone(house);
        tokio::spawn(async move {
            match house.lease(&model).await {
                Ok(lease) => eprintln!("{} is loaded", lease.name()),
                Err(error) => eprintln!("{model} could not be loaded: {error}"),
            }
        });
    }
}

/// The keys of a file.
fn keys(path: &Path) -> Result<Vec<Key>> {
    let text = std::fs::read_to_string(path).map_err(|error| Problem::io("read", path, error))?;
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<_> = lines
        .enumerate()
        .map(|(at, line)| match line.split_once(char::is_whitespace) {
            Some((name, key)) => Key::new(name, key.trim()),
            None => Key::new(format!("key {}", at + 1), line),
        })
        .collect();
    if keys.is_empty() {
        let reason = format!("{} holds no key", path.display());
        return Err(Problem::Flag { flag: "--keys", reason }.into());
    }
    Ok(keys)
}

/// Changes when the process is asked to end; ends it when it is asked again.
#[expect(clippy::exit, reason = "who asks twice does not want to wait")]
fn signals() -> watch::Receiver<bool> {
    let (told, asked) = watch::channel(false);
    tokio::spawn(async move {
        let code = signal().await;
        eprintln!("ending when the answers under way are given; once more ends it at once");
        let _ = told.send(true);
        signal().await;
        std::process::exit(code);
    });
    asked
}
