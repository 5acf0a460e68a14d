//! `folio index`: documents made ready to be found.

mod fill;
mod look;
mod making;
mod reading;
mod server;
mod show;
mod told;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use manager::Environment;
use manager::find::index::{CompactionLimits, Index, Profile, Writer};
use manager::find::remote::{Access, Address, Remote};
use manager::find::{Encoders, MakeOptions, Store};
use manager::runtime::{LoadOptions, LoadedModel};

use self::fill::Fill;
pub(crate) use self::fill::{Filling, GOES_ON};
use self::look::{show, verify};
pub(crate) use self::making::Making;
use crate::args::Compute;
use crate::models::{self, OnDemand};
use crate::report::{Problem, Result};

/// The index that is meant where none is named.
const USUAL: &str = "default";

/// How often a server is asked by those who wait for an answer.
const ATTEMPTS: u32 = 3;

/// What is said where a key is sent without TLS.
pub(crate) const OPEN_KEY: &str = "the key can be read on the way; `+tls` before `:` encrypts it";

/// Make documents ready to be found by `folio search`.
///
/// Pages are found by their words, and with a model by how they look (of the ColQwen kind) or by what they mean (one that
/// embeds texts). Files that are in the index as they are, are left alone; those that have changed are replaced once all
/// their pages are there. It may be ended at any time, and goes on with the same command.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct IndexCommand {
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    fill: Fill,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Take documents out of an index
    Rm {
        /// The files, wherever they were
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Tell what is in an index
    Show {
        /// Answer with JSON
        #[arg(long)]
        json: bool,
        /// Write the images of its pages into this folder, and a page of HTML that shows them
        #[arg(long, value_name = "DIR")]
        previews: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Move an index to a server, without encoding its pages again: to Qdrant or Weaviate
    Push(server::Push),
    /// Read all of an index, and name what is damaged
    Verify {
        #[command(flatten)]
        place: Place,
    },
}

/// Which index.
#[derive(Args, Clone, Debug)]
pub(crate) struct Place {
    /// The index: a folder, a name for one among the user's data, or a collection on a server (qdrant://HOST:PORT/collection
    /// or weaviate://HOST:PORT/Collection; with TLS `qdrant+tls://`) [default: `default`]
    #[arg(long = "index", value_name = "PATH")]
    index: Option<PathBuf>,
    #[command(flatten)]
    key: ServerKey,
}

/// The key of a server, which never stands on the command line itself.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerKey {
    /// Read the key that the server asks for from this file [default: the variable QDRANT_API_KEY or WEAVIATE_API_KEY]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl ServerKey {
    /// How the server at `address` is spoken to.
    pub(crate) fn access(&self, address: &Address) -> Result<Access> {
        let access = Access::of(address, self.key_file.as_deref())?;
        if access.key.is_some() && address.is_open() {
            eprintln!("{address}: {OPEN_KEY}");
        }
        Ok(access)
    }
}

impl Place {
    /// The collection on a server, if that is what is named.
    pub(crate) fn server(&self) -> Result<Option<Remote>> {
        let Some(named) = self.index.as_deref().filter(|index| Address::is_meant(index)) else {
            if self.key.key_file.is_some() {
                let reason = "it is for an index on a server".to_owned();
                return Err(Problem::Flag { flag: "--key-file", reason }.into());
            }
            return Ok(None);
        };
        let address = Address::read(&named.to_string_lossy())?;
        let mut access = self.key.access(&address)?;
        // Somebody waits.
        access.patience.attempts = ATTEMPTS;
        Ok(Some(Remote::open(&address, &access)?))
    }

    /// The folder, where a server will not do.
    pub(crate) fn folder(&self) -> Result<PathBuf> {
        if self.index.as_deref().is_some_and(Address::is_meant) {
            let reason = "an index on a server is searched, shown, pushed to with `--to`, and documents are taken out of \
                          it; for the rest name one on this machine"
                .to_owned();
            return Err(Problem::Flag { flag: "--index", reason }.into());
        }
        Ok(self.path())
    }

    /// The folder.
    pub(crate) fn path(&self) -> PathBuf {
        let index = self.index.as_deref().unwrap_or(Path::new(USUAL));
        manager::find::folder(index, &Environment::from_process().indexes())
    }
}

impl IndexCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.act {
            None => self.fill.run(),
            Some(Act::Rm { files, place }) => match place.server()? {
                Some(server) => remove_each(&files, |name| Ok(server.remove(name)?)),
                None => remove(&files, &place.path()),
            },
            Some(Act::Show { json, previews, place }) => {
                if let Some(folder) = previews {
                    look::previews(&place.folder()?, &folder)?;
                }
                match place.server()? {
                    Some(server) => server::show(&server, json),
                    None => show(&place.path(), json),
                }
            }
            Some(Act::Push(push)) => push.run(),
            Some(Act::Verify { place }) => verify(&place.folder()?),
        }
    }
}

/// Loads the models `wanted` for an index.
pub(crate) fn encoders(
    wanted: &[String],
    options: MakeOptions,
    compute: Compute,
) -> Result<Encoders> {
    encoders_on(&OnDemand::new(compute), wanted, options)
}

/// The same on a device that others use too.
fn encoders_on(device: &OnDemand, wanted: &[String], options: MakeOptions) -> Result<Encoders> {
    let mut encoders = Encoders::default();
    if wanted.is_empty() {
        return Ok(encoders);
    }
    let environment = Environment::from_process();
    let kept = environment.model_sums();
    let runtime = device.get()?;
    for name in wanted {
        let (folder, adapter) = models::based(name)?;
        let loading = LoadOptions::default();
        let model = LoadedModel::load_adapted(&runtime, &folder, adapter.as_deref(), loading)?;
        let folders: Vec<&Path> =
            [Some(folder.as_path()), adapter.as_deref()].into_iter().flatten().collect();
        // A folder is found again from wherever folio is called.
        let path = Path::new(name);
        let called = if path.is_dir() { std::path::absolute(path).ok() } else { None };
        let called = called.map_or_else(|| name.clone(), |path| path.display().to_string());
        encoders = encoders.and(&model, &called, &folders, &kept, options)?;
    }
    Ok(encoders)
}

/// Opens what is named, to be asked with what `made` says; an index of this machine with the cores of `compute`.
pub(crate) fn opened(
    server: Option<Remote>,
    place: &Place,
    (profile, compute): (&Profile, Compute),
) -> Result<Box<dyn Store>> {
    match server {
        Some(server) => {
            server.profile().admits(profile, Path::new(server.place()))?;
            Ok(Box::new(server))
        }
        None => Ok(Box::new(manager::find::open(&place.path(), profile, compute.cpu())?)),
    }
}

fn remove(files: &[PathBuf], path: &Path) -> Result<ExitCode> {
    let profile = Index::profile_of(path)?;
    let mut writer = Writer::open(path, &profile)?;
    let ended = remove_each(files, |name| Ok(writer.remove(name)?))?;
    while writer.compact(&CompactionLimits::default())?.is_some() {}
    Ok(ended)
}

/// Takes documents out one by one, and names those that are not there.
fn remove_each(
    files: &[PathBuf],
    mut remove: impl FnMut(&str) -> Result<usize>,
) -> Result<ExitCode> {
    let mut missing = 0;
    for file in files {
        let name = manager::find::path(file);
        let pages = remove(&name)?;
        if pages == 0 {
            missing += 1;
            eprintln!("{name}: is not in the index");
        } else {
            eprintln!("{name}: {pages} pages removed");
        }
    }
    Ok(if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
