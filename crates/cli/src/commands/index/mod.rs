//! `folio index`: documents made ready to be found.

mod fill;
mod look;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use manager::Environment;
use manager::find::index::{CompactionLimits, Index, Writer};
use manager::find::{Encoders, MakeOptions};
use manager::runtime::{LoadOptions, LoadedModel};

use self::fill::Fill;
pub(crate) use self::fill::Filling;
pub(crate) use self::look::documents;
use self::look::{show, verify};
use crate::args::Compute;
use crate::models;
use crate::report::Result;

/// The index that is meant where none is named.
const USUAL: &str = "default";

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
    /// Read all of an index, and name what is damaged
    Verify {
        #[command(flatten)]
        place: Place,
    },
}

/// Which index.
#[derive(Args, Clone, Debug)]
pub(crate) struct Place {
    /// The index: a folder, or a name for one among the user's data [default: `default`]
    #[arg(long = "index", value_name = "PATH")]
    index: Option<PathBuf>,
}

impl Place {
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
            Some(Act::Rm { files, place }) => remove(&files, &place.path()),
            Some(Act::Show { json, previews, place }) => {
                if let Some(folder) = previews {
                    look::previews(&place.path(), &folder)?;
                }
                show(&place.path(), json)
            }
            Some(Act::Verify { place }) => verify(&place.path()),
        }
    }
}

/// Loads the models `wanted` for an index.
pub(crate) fn encoders(
    wanted: &[String],
    options: MakeOptions,
    compute: Compute,
) -> Result<Encoders> {
    let mut encoders = Encoders::default();
    if wanted.is_empty() {
        return Ok(encoders);
    }
    let environment = Environment::from_process();
    let kept = environment.model_sums();
    let runtime = models::runtime(compute)?;
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

fn remove(files: &[PathBuf], path: &Path) -> Result<ExitCode> {
    let profile = Index::profile_of(path)?;
    let mut writer = Writer::open(path, &profile)?;
    let mut missing = 0;
    for file in files {
        let name = manager::find::path(file);
        let pages = writer.remove(&name)?;
        if pages == 0 {
            missing += 1;
            eprintln!("{name}: is not in the index");
        } else {
            eprintln!("{name}: {pages} pages removed");
        }
    }
    while writer.compact(&CompactionLimits::default())?.is_some() {}
    Ok(if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
