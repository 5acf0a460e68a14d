//! Documents that come into an index.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use documents::Limits;
use documents::worker::Pool;
use manager::Environment;
use manager::find::index::{CompactionLimits, Index, Writer};
use manager::find::{Encoders, Ingest, IngestTotals, MakeOptions, Reading, Store, makers};

use super::Place;
use super::look::{opened, previews};
use super::making::{Making, refuse_vainly};
use super::reading::Reads;
use super::show::Show;
use crate::commands::read::{Eyes, checkpoints, found};
use crate::material;
use crate::models::OnDemand;
use crate::report::{Problem, Result};

#[derive(Args, Debug)]
pub(super) struct Fill {
    /// PDFs, images, or folders of them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    making: Making,
    #[command(flatten)]
    reads: Reads,
    /// Keep vectors in 16 bits too, to be moved elsewhere without encoding pages again
    #[arg(long)]
    halves: bool,
    /// What kind of documents these are, for `folio search --category`
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// Take documents out of the index that were in these folders and are not any more
    #[arg(long)]
    prune: bool,
    /// Keep no small images of pages
    #[arg(long, conflicts_with = "previews")]
    no_previews: bool,
    /// When it is done, write the images of all pages of the index into this folder, and a page of HTML that shows them
    #[arg(long, value_name = "DIR")]
    previews: Option<PathBuf>,
    /// A password to try on encrypted files (may be given several times)
    #[arg(long, value_name = "TEXT")]
    password: Vec<String>,
}

impl Fill {
    pub(super) fn run(self) -> Result<ExitCode> {
        let path = self.place.folder()?;
        let named = self.reads.named()?;
        let before = manager::current_rss().unwrap_or(0);
        let made = match Index::profile_of(&path) {
            Ok(profile) => Some(profile),
            Err(manager::find::index::Error::Missing { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let given = self.making.options();
        let (wanted, options) = match &made {
            // What is not said is as it was.
            Some(profile) => {
                let (names, usual) = makers(profile);
                let names =
                    if self.making.model.is_empty() { names } else { self.making.model.clone() };
                let pool = given.pool.or(usual.pool);
                let dimensions = given.dimensions.or(usual.dimensions);
                let token_vectors = given.token_vectors || usual.token_vectors;
                (names, MakeOptions { pool, dimensions, token_vectors })
            }
            None => (self.making.model.clone(), given),
        };
        let device = OnDemand::new(self.making.compute);
        let encoders = self.making.encoders_of(&device, &wanted, options)?;
        let eyes = named.map(|named| named.open(&device, (&encoders, before))).transpose()?;
        let halves = self.halves || made.as_ref().is_some_and(|profile| profile.halves);
        let profile = encoders.profile(halves);
        refuse_vainly(self.halves, "--halves", &encoders)?;
        let mut writer = match made {
            Some(_) => Writer::open(&path, &profile)?,
            None => {
                std::fs::create_dir_all(&path)
                    .map_err(|error| Problem::io("make the folder", &path, error))?;
                Writer::create(&path, &profile)?
            }
        };
        let files = found(&self.files);
        let begun = Instant::now();
        let filling = Filling {
            passwords: &self.password,
            category: self.category.as_deref(),
            previews: !self.no_previews,
            reading: eyes.as_ref(),
            ..self.making.filling(GOES_ON)
        };
        let totals = filling.run(&mut writer, &encoders, &files)?;
        let gone = gone(&path, &self.files)?;
        if self.prune {
            for path in &gone {
                writer.remove(path)?;
            }
        }
        while writer.compact(&CompactionLimits::default())?.is_some() {}
        tell(&path, &totals, begun);
        match (gone.len(), self.prune) {
            (0, _) => {}
            (count, true) => {
                eprintln!("  {count} documents are not there any more, and are taken out");
            }
            (count, false) => eprintln!(
                "  {count} documents are not there any more, and are still found: `--prune` takes them out"
            ),
        }
        if let Some(folder) = &self.previews {
            previews(&path, folder)?;
        }
        let whole = totals.lost == 0 && totals.failed == 0 && totals.unread == 0;
        Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What is told to who interrupts work on an index that stays.
pub(crate) const GOES_ON: &str =
    "ending; pages that are written stay, and the same command goes on from there";

/// How documents come into an index.
pub(crate) struct Filling<'a> {
    /// Pages that are encoded and written at once.
    pub(crate) batch: usize,
    /// Files that are parsed at once; as many as there are cores, if it is not said, and 8 where pages are read.
    pub(crate) workers: Option<usize>,
    pub(crate) passwords: &'a [String],
    pub(crate) category: Option<&'a str>,
    pub(crate) previews: bool,
    /// Who reads pages whose own words are missing or bad.
    pub(crate) reading: Option<&'a Eyes>,
    /// What is told to who interrupts it.
    pub(crate) ending: &'static str,
}

impl Filling<'_> {
    /// Does it, in sight of the user.
    pub(crate) fn run(
        &self,
        writer: &mut Writer,
        encoders: &Encoders,
        files: &[PathBuf],
    ) -> Result<IngestTotals> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // A page that somebody reads leaves the cores to others.
        let usual = if self.reading.is_some() { cores.max(8) } else { cores };
        let workers = self.workers.unwrap_or(usual).clamp(1, files.len().max(1));
        let limits = Limits::default();
        let pool = Pool::new(material::worker()?, workers, limits);
        let mut show = Show::new(self.ending)?;
        let told = show.reader();
        let kept = match self.reading {
            Some(eyes) => Some((eyes, checkpoints(&Environment::from_process())?)),
            None => None,
        };
        let reading = kept.as_ref().map(|(eyes, checkpoints)| Reading {
            world: &*eyes.world,
            room: &eyes.room,
            options: &eyes.options,
            checkpoints,
            told: &told,
        });
        let mut ingest = Ingest {
            writer,
            encoders,
            parsers: &pool,
            workers,
            batch: self.batch,
            file_bytes: limits.file_bytes,
            passwords: self.passwords,
            category: self.category,
            previews: self.previews,
            reading,
        };
        let totals = ingest.run(files, &mut show);
        show.end();
        Ok(totals?)
    }
}

fn tell(path: &Path, totals: &IngestTotals, begun: Instant) {
    let IngestTotals { documents, unchanged, lost, pages, kept, failed, read, unread, .. } =
        *totals;
    let seconds = begun.elapsed().as_secs_f64().max(1e-3);
    let rate = pages as f64 / seconds * 60.0;
    let path = path.display();
    eprintln!(
        "{path}: {documents} documents added or replaced, {unchanged} were there as they are"
    );
    eprintln!("  {pages} pages in {seconds:.1} s, {rate:.0} a minute");
    if kept > 0 {
        eprintln!("  {kept} of them are as they were, and were not encoded again");
    }
    if read > 0 {
        eprintln!("  {read} of them have no good words of their own, and were read");
    }
    if unread > 0 {
        eprintln!(
            "  {unread} of them have no words, since nobody could read them; `folio index show` names them"
        );
    }
    if failed > 0 {
        eprintln!("  {failed} of them cannot be found; `folio index show` names them");
    }
    if lost > 0 {
        eprintln!("  {lost} documents could not be opened; each is named above");
    }
}

/// The documents of the index at `path` that were in those of `named` that are folders, and are no longer.
fn gone(path: &Path, named: &[PathBuf]) -> Result<Vec<String>> {
    let folders: Vec<PathBuf> = named
        .iter()
        .filter(|folder| folder.is_dir())
        .map(|folder| manager::find::path(folder).into())
        .collect();
    let (_, index) = opened(path)?;
    let is_gone = |path: &String| {
        let file = Path::new(path);
        // What cannot be looked at may be there.
        folders.iter().any(|folder| file.starts_with(folder))
            && matches!(file.try_exists(), Ok(false))
    };
    Ok(Store::documents(&index)?.into_iter().map(|of| of.path).filter(is_gone).collect())
}
