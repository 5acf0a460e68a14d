//! `folio index`: documents made ready to be found.

use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::{Args, Subcommand};
use documents::Limits;
use documents::worker::Pool;
use indicatif::ProgressBar;
use manager::Environment;
use manager::find::index::{CompactionLimits, Index, Profile, Writer};
use manager::find::{Encoders, Ingest, IngestTotals, IngestWatch, MakeOptions, News};
use manager::runtime::{LoadOptions, LoadedModel};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::args::Compute;
use crate::progress::pages;
use crate::report::{Problem, Result};
use crate::signals::interrupted;
use crate::{material, models, output};

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

#[derive(Args, Debug)]
struct Fill {
    /// PDFs, images, or folders of them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// What makes vectors: a model that looks at pages, one that embeds texts, or both (given twice) [default: what made the
    /// index, and for a new one none: pages are then found by their words]
    #[arg(long, value_name = "MODEL")]
    model: Vec<String>,
    /// Pages that are encoded and written at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch: u16,
    /// Keep one vector for each N of a page, by what is alike on it: a smaller index that finds a little less
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=16))]
    pool: Option<u8>,
    /// Elements that are kept of each vector of a text, for models that were trained so that these say most
    #[arg(long, value_name = "N")]
    dimensions: Option<usize>,
    /// Keep vectors in 16 bits too, to be moved elsewhere without encoding pages again
    #[arg(long)]
    halves: bool,
    /// What kind of documents these are, for `folio search --category`
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// Keep no small images of pages
    #[arg(long)]
    no_previews: bool,
    /// A password to try on encrypted files (may be given several times)
    #[arg(long, value_name = "TEXT")]
    password: Vec<String>,
    /// Files that are parsed at once [default: every usable core]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    #[command(flatten)]
    compute: Compute,
}

impl Place {
    /// The folder.
    pub(crate) fn path(&self) -> PathBuf {
        let index = self.index.as_deref().unwrap_or(Path::new(USUAL));
        // `./name` is a folder, whatever there is.
        let mut parts = index.components();
        if let (Some(Component::Normal(_)), None) = (parts.next(), parts.next()) {
            return Environment::from_process().state().join("indexes").join(index);
        }
        index.to_owned()
    }
}

impl IndexCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.act {
            None => self.fill.run(),
            Some(Act::Rm { files, place }) => remove(&files, &place.path()),
            Some(Act::Show { json, place }) => show(&place.path(), json),
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
    let kept = environment.state().join("model_sums.json");
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

/// The models that made an index, and how.
pub(crate) fn makers(profile: &Profile) -> (Vec<String>, MakeOptions) {
    let mut names: Vec<String> = Vec::new();
    for encoder in [&profile.vectors, &profile.dense, &profile.sparse].into_iter().flatten() {
        if !names.contains(&encoder.name) {
            names.push(encoder.name.clone());
        }
    }
    let pooling = profile.vectors.as_ref().and_then(|encoder| encoder.pooling.rsplit_once('/'));
    let options = MakeOptions {
        pool: pooling.and_then(|(_, factor)| factor.parse().ok()),
        dimensions: profile.dense.as_ref().map(|encoder| encoder.dim as usize),
    };
    (names, options)
}

impl Fill {
    fn run(self) -> Result<ExitCode> {
        let path = self.place.path();
        let made = match Index::profile_of(&path) {
            Ok(profile) => Some(profile),
            Err(manager::find::index::Error::Missing { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let given = MakeOptions { pool: self.pool.map(usize::from), dimensions: self.dimensions };
        let (wanted, options) = match &made {
            // What is not said is as it was.
            Some(profile) => {
                let (names, usual) = makers(profile);
                let names = if self.model.is_empty() { names } else { self.model.clone() };
                let pool = given.pool.or(usual.pool);
                (names, MakeOptions { pool, dimensions: given.dimensions.or(usual.dimensions) })
            }
            None => (self.model.clone(), given),
        };
        let encoders = encoders(&wanted, options, self.compute)?;
        if given.pool.is_some() && !encoders.looks() {
            let reason = "it is for a model that looks at pages".to_owned();
            return Err(Problem::Flag { flag: "--pool", reason }.into());
        }
        let halves = self.halves || made.as_ref().is_some_and(|profile| profile.halves);
        let profile = encoders.profile(halves);
        if self.halves && !profile.halves {
            let reason = "it is for a model that looks at pages".to_owned();
            return Err(Problem::Flag { flag: "--halves", reason }.into());
        }
        let mut writer = match made {
            Some(_) => Writer::open(&path, &profile)?,
            None => {
                std::fs::create_dir_all(&path)
                    .map_err(|error| Problem::io("make the folder", &path, error))?;
                Writer::create(&path, &profile)?
            }
        };
        let files = super::read::found(&self.files);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = self.workers.unwrap_or(cores).clamp(1, files.len().max(1));
        let limits = Limits::default();
        let pool = Pool::new(material::worker()?, workers, limits);
        let mut ingest = Ingest {
            writer: &mut writer,
            encoders: &encoders,
            parsers: &pool,
            workers,
            batch: usize::from(self.batch),
            file_bytes: limits.file_bytes,
            passwords: &self.password,
            category: self.category.as_deref(),
            previews: !self.no_previews,
        };
        let begun = Instant::now();
        let mut show = Show::new()?;
        let totals = ingest.run(&files, &mut show);
        show.bar.finish_and_clear();
        let totals = totals?;
        while writer.compact(&CompactionLimits::default())?.is_some() {}
        tell(&path, &totals, begun);
        let whole = totals.lost == 0 && totals.failed == 0;
        Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn tell(path: &Path, totals: &IngestTotals, begun: Instant) {
    let IngestTotals { documents, unchanged, lost, pages, failed } = *totals;
    let seconds = begun.elapsed().as_secs_f64().max(1e-3);
    let rate = pages as f64 / seconds * 60.0;
    let path = path.display();
    eprintln!(
        "{path}: {documents} documents added or replaced, {unchanged} were there as they are"
    );
    eprintln!("  {pages} pages in {seconds:.1} s, {rate:.0} a minute");
    if failed > 0 {
        eprintln!("  {failed} of them cannot be found; `folio index show` names them");
    }
    if lost > 0 {
        eprintln!("  {lost} documents could not be opened; each is named above");
    }
}

/// How it looks while it goes on.
struct Show {
    bar: ProgressBar,
    looked: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    _runtime: Runtime,
}

impl Show {
    fn new() -> Result<Self> {
        let looked = Arc::<AtomicU64>::default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Problem::io("start", "the event loop".as_ref(), error))?;
        let stop = interrupted(runtime.handle(), || {
            eprintln!(
                "ending; pages that are written stay, and the same command goes on from there"
            );
        });
        Ok(Self { bar: pages(Arc::clone(&looked)), looked, stop, _runtime: runtime })
    }
}

impl IngestWatch for Show {
    fn news(&mut self, news: News<'_>) {
        match news {
            News::Opened { pages, .. } => self.bar.inc_length(pages as u64),
            News::Lost { file, error } => {
                let file = file.display();
                self.bar.suspend(|| eprintln!("{file}: {error}"));
            }
            News::Page { file, number, failure } => {
                self.looked.fetch_add(1, Ordering::Relaxed);
                self.bar.inc(1);
                if let Some(failure) = failure {
                    let file = file.display();
                    self.bar.suspend(|| eprintln!("{file}: page {number}: {failure}"));
                }
            }
            News::Unchanged { .. } | News::Done { .. } | _ => {}
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
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

/// Documents that are read from an index at once.
const AT_ONCE: usize = 1000;

fn show(path: &Path, as_json: bool) -> Result<ExitCode> {
    let profile = Index::profile_of(path)?;
    let index = manager::find::open(path, &profile, Default::default())?;
    let size = index.size()?;
    let made = |encoder: &manager::find::index::Encoder| json!({"model": encoder.name, "sha256": encoder.model.to_string(), "pooling": encoder.pooling, "dimension": encoder.dim});
    let mut documents = Vec::new();
    loop {
        let last = documents.last().map(|last: &manager::find::index::Document| last.document);
        let more = index.documents(last, AT_ONCE)?;
        let is_last = more.len() < AT_ONCE;
        documents.extend(more);
        if is_last {
            break;
        }
    }
    if as_json {
        let documents: Vec<_> = documents
            .iter()
            .map(|of| {
                json!({
                    "path": of.path, "sha256": of.hash.to_string(), "pages": of.pages, "date": of.date,
                    "category": of.category, "metadata": of.metadata,
                    "failures": of.failures.iter().map(|(page, why)| json!({"page": page, "reason": why})).collect::<Vec<_>>(),
                })
            })
            .collect();
        let all = json!({
            "index": path.display().to_string(), "documents": documents, "pages": size.pages,
            "segments": size.segments, "bytes": size.bytes,
            "vectors": profile.vectors.as_ref().map(made), "dense": profile.dense.as_ref().map(made),
            "sparse": profile.sparse.as_ref().map(made),
        });
        output::line(&all.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!(
        "{}: {} documents, {} pages, {} of vectors\n",
        path.display(),
        size.documents,
        size.pages,
        output::bytes(size.bytes)
    );
    let parts = [
        ("looks", &profile.vectors),
        ("meaning", &profile.dense),
        ("words, weighted", &profile.sparse),
    ];
    for (what, encoder) in parts {
        if let Some(encoder) = encoder {
            text += &format!(
                "  by {what}: {} ({} elements, pooling {})\n",
                encoder.name, encoder.dim, encoder.pooling
            );
        }
    }
    for of in &documents {
        let category = of.category.as_ref().map_or_else(String::new, |it| format!(", {it}"));
        text += &format!("{}: {} pages{category}\n", of.path, of.pages);
        for (page, why) in &of.failures {
            text += &format!("  page {page}: {why}\n");
        }
    }
    output::write(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn verify(path: &Path) -> Result<ExitCode> {
    let profile = Index::profile_of(path)?;
    let index = manager::find::open(path, &profile, Default::default())?;
    let faults = index.verify()?;
    for fault in &faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() {
        let size = index.size()?;
        eprintln!("{}: all {} pages are as they were written", path.display(), size.pages);
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("index the documents again: what is damaged is replaced if they are removed first");
    Ok(ExitCode::FAILURE)
}
