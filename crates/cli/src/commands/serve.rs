//! `folio serve`: every model behind one port, for the clients that people have.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use manager::Environment;
use manager::house::{House, HouseOptions};
use manager::runtime::LoadOptions;
use server::{Bound, Gate, Key, Limits, Options};
use tokio::sync::watch;

use crate::args::{Compute, Kept};
use crate::report::{Problem, Result};
use crate::{models, output};

/// Serve models to programs: OpenAI's API on one port.
///
/// Clients are given http://HOST:PORT/v1 as their base URL. Models are loaded when they are first asked for. Without
/// `--model` every model on this machine is offered. Ctrl-C or SIGTERM ends it when the answers under way are given; once
/// more ends it at once.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Offer this model: a folder, a name that `folio list` shows, or ORG/NAME of the hub, which is pulled first (may be
    /// given several times; the first is loaded at once)
    #[arg(long, value_name = "MODEL")]
    model: Vec<String>,
    /// The address to listen on; another than a loopback address needs a key
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", env = "FOLIO_HOST")]
    host: IpAddr,
    /// The port to listen on; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 3654, env = "FOLIO_PORT")]
    port: u16,
    /// Ask clients for one of the keys in this file: one on a line, with a name and a space before it if it has one
    #[arg(long, value_name = "FILE", env = "FOLIO_KEYS")]
    keys: Option<PathBuf>,
    /// Let web pages of this origin speak to the server, such as https://chat.example (may be given several times; `*` lets
    /// all)
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// Answer under this name as well, where it is reached by another than `localhost` or an address (may be given several
    /// times; `*` takes every name)
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// The memory that all models may take together [default: four fifths of what there is, and no more than is free]
    #[arg(long, value_name = "SIZE", value_parser = crate::args::parse_bytes, env = "FOLIO_MEMORY")]
    memory: Option<u64>,
    /// Unload a model that nobody has asked for so many minutes; 0 keeps it
    #[arg(long, value_name = "MINUTES", default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    idle: u64,
    /// Keep this model in memory once it is there (may be given several times)
    #[arg(long, value_name = "MODEL")]
    pin: Vec<String>,
    /// Let clients fetch models from the hub, and remove them
    #[arg(long)]
    manage: bool,
    /// The largest request, images in it included
    #[arg(long, value_name = "SIZE", value_parser = crate::args::parse_bytes, default_value = "64MiB")]
    max_body: u64,
    #[command(flatten)]
    kept: Kept,
    #[command(flatten)]
    compute: Compute,
}

impl Serve {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let gate = self.gate()?;
        let address = SocketAddr::new(self.host, self.port);
        if !gate.allows(address) {
            let reason =
                format!("{address} is reached from other machines: give `--keys FILE` as well");
            return Err(Problem::Flag { flag: "--host", reason }.into());
        }
        for model in &self.model {
            models::locate(model)?;
        }
        let options = HouseOptions {
            load: LoadOptions { kv: self.kept.codes(), ..LoadOptions::default() },
            models: self.model.clone(),
            memory: self.memory,
            ttl: (self.idle > 0).then(|| Duration::from_secs(self.idle * 60)),
            pinned: self.pin.clone(),
            ..HouseOptions::default()
        };
        let device = models::runtime(self.compute)?;
        let house = House::open(device, Environment::from_process(), options);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Problem::io("start", "the event loop".as_ref(), error))?;
        let body = usize::try_from(self.max_body).unwrap_or(usize::MAX);
        let limits = Limits { body, ..Limits::default() };
        let connections = limits.connections;
        let done = runtime.block_on(async {
            let bound = server::bind(address).await.map_err(|error| {
                Problem::io("listen on", Path::new(&address.to_string()), error)
            })?;
            self.greet(&bound)?;
            self.warm(&house);
            let router =
                server::router(Arc::clone(&house), Options { limits, gate, manage: self.manage });
            let mut stop = signals();
            let asked = async move {
                // If nobody can ask any more, it goes on.
                if stop.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            server::serve(bound, router, connections, asked).await;
            house.close();
            house.emptied().await;
            Ok(ExitCode::SUCCESS)
        });
        runtime.shutdown_background();
        done
    }

    fn gate(&self) -> Result<Gate> {
        let lowered = |list: &[String]| -> BTreeSet<String> {
            list.iter().map(|text| text.trim_end_matches('/').to_ascii_lowercase()).collect()
        };
        let keys = self.keys.as_deref().map(keys).transpose()?.unwrap_or_default();
        Ok(Gate { keys, origins: lowered(&self.allow_origin), hosts: lowered(&self.allow_host) })
    }

    fn greet(&self, bound: &Bound) -> Result<()> {
        output::line(&format!("listening on http://{}", bound.address()))?;
        if self.model.is_empty() {
            eprintln!("all models of this machine are offered (`folio list`); Ctrl-C ends it");
        } else {
            eprintln!("offered: {}; Ctrl-C ends it", self.model.join(", "));
        }
        Ok(())
    }

    /// Loads the first model, beside the first requests.
    fn warm(&self, house: &Arc<House>) {
        let Some(first) = self.model.first().cloned() else { return };
        let house = Arc::clone(house);
        tokio::spawn(async move {
            match house.lease(&first).await {
                Ok(lease) => eprintln!("{} is loaded", lease.name()),
                Err(error) => eprintln!("{first} could not be loaded: {error}"),
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

/// Waits for Ctrl-C or SIGTERM, and returns the status that a process ends with that was ended by it.
async fn signal() -> i32 {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => 130,
            _ = terminate.recv() => 143,
        }
    }
    #[cfg(not(unix))]
    {
        let _ = tokio::signal::ctrl_c().await;
        130
    }
}
