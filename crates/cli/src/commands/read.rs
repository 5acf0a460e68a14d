//! `folio read`: PDFs into markdown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use clap::Args;
use documents::json::JsonOptions;
use documents::markdown::MarkdownOptions;
use documents::pipeline::lay_out;
use documents::worker::Pool;
use documents::{Document, Error, Limits, PageSet, Source};

use crate::progress::counting;
use crate::report::{self, Problem, Result};
use crate::{material, output};

/// Turn PDFs into markdown.
///
/// Needs no model for pages that have text. Each file is parsed in a process of its own, with
/// limits on time and memory; what cannot be read is named on standard error, and the other pages
/// and files go on. The exit code is 1 if a file or a page failed.
#[derive(Args, Debug)]
pub(crate) struct Read {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write one file for each into this folder, instead of standard output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write pages, blocks, boxes (in PDF points from the top left) and text as JSON
    #[arg(long)]
    json: bool,
    /// Add every line with its box to the JSON
    #[arg(long, requires = "json")]
    lines: bool,
    /// Put a comment with the number before each page
    #[arg(long)]
    page_markers: bool,
    /// Keep page headers, footers and page numbers in the markdown
    #[arg(long)]
    keep_headers: bool,
    /// Which pages: 1,3-5,9- [default: all]
    #[arg(long, value_name = "LIST")]
    pages: Option<String>,
    /// A password to try on encrypted files (may be given several times)
    #[arg(long, value_name = "TEXT")]
    password: Vec<String>,
    /// Seconds that one page may take
    #[arg(long, value_name = "N", default_value_t = 60)]
    page_timeout: u64,
    /// Gigabytes that parsing one file may take
    #[arg(long, value_name = "GB", default_value_t = 4)]
    memory_limit: u64,
    /// Files that are read at once [default: every usable core]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
}

impl Read {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let pages = self.pages.as_deref().map(PageSet::parse).transpose()?.unwrap_or_default();
        let targets = self.targets()?;
        if let Some(folder) = &self.out {
            std::fs::create_dir_all(folder)
                .map_err(|error| Problem::io("make the folder", folder, error))?;
        }
        let limits = Limits {
            page_time: Duration::from_secs(self.page_timeout.max(1)),
            memory_bytes: self.memory_limit.max(1) << 30,
            ..Limits::default()
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = self.workers.unwrap_or(cores).clamp(1, self.files.len());
        let pool = Pool::new(material::worker()?, workers, limits);
        // Where the text goes to the terminal as well, a bar would be in its way.
        let bar = counting(self.files.len() > 1 && self.out.is_some(), self.files.len(), "files");

        // Files are read side by side, and come out in the order in which they were given.
        let next = AtomicUsize::new(0);
        let (sender, finished) = channel();
        let mut outcome = Outcome::default();
        std::thread::scope(|scope| {
            for _ in 0..workers {
                let sender = sender.clone();
                let (next, pool, pages) = (&next, &pool, &pages);
                let (files, passwords) = (&self.files, &self.password);
                scope.spawn(move || {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(file) = files.get(at) else { return };
                        let document = Source::read(file, limits.file_bytes).and_then(|source| {
                            let mut worker = pool.lease();
                            lay_out(source, pages, passwords, &mut *worker)
                        });
                        // Nobody listens only when standard output has failed.
                        if sender.send((at, document)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            let mut waiting = BTreeMap::new();
            for (at, target) in targets.iter().enumerate() {
                let document = loop {
                    if let Some(document) = waiting.remove(&at) {
                        break document;
                    }
                    let Ok((at, document)) = finished.recv() else {
                        unreachable!("a reader ends only after its files")
                    };
                    waiting.insert(at, document);
                    bar.inc(1);
                };
                let written = bar.suspend(|| self.report(target, at, document, &mut outcome));
                if let Err(failure) = written {
                    // No further file is begun.
                    next.store(self.files.len(), Ordering::Relaxed);
                    return Err(failure);
                }
            }
            Ok(())
        })?;
        bar.finish_and_clear();
        if outcome.failed > 0 {
            let (failed, all) = (outcome.failed, self.files.len());
            if all > 1 {
                return Err(Problem::Files { failed, all }.into());
            }
            return Ok(ExitCode::FAILURE);
        }
        Ok(if outcome.pages_failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Where each file's text goes; `None` is standard output.
    fn targets(&self) -> Result<Vec<Option<PathBuf>>> {
        let Some(folder) = &self.out else { return Ok(vec![None; self.files.len()]) };
        let extension = if self.json { "json" } else { "md" };
        let mut sources: BTreeMap<PathBuf, &Path> = BTreeMap::new();
        let mut targets = Vec::new();
        for file in &self.files {
            let stem = file.file_stem().unwrap_or(file.as_os_str());
            let mut name = stem.to_owned();
            name.push(".");
            name.push(extension);
            let target = folder.join(name);
            if let Some(other) = sources.insert(target.clone(), file) {
                let reason = format!(
                    "{} and {} would both become {}",
                    other.display(),
                    file.display(),
                    target.display(),
                );
                return Err(Problem::Flag { flag: "--out", reason }.into());
            }
            targets.push(Some(target));
        }
        Ok(targets)
    }

    /// Writes what was read, and names what was not.
    fn report(
        &self,
        target: &Option<PathBuf>,
        at: usize,
        document: Result<Document, Error>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let document = match document {
            Ok(document) => document,
            Err(error) => {
                outcome.failed += 1;
                report::print(error.into());
                return Ok(());
            }
        };
        outcome.pages_failed += material::unread(&document);
        let mut text = self.write(&document);
        let Some(target) = target else {
            if self.files.len() > 1 && !self.json {
                let gap = if at == 0 { "" } else { "\n" };
                text = format!("{gap}<!-- file: {} -->\n\n{text}", document.name);
            }
            return output::write(&text);
        };
        // A file of that name is whole, old or new, at every moment.
        let mut partial = target.clone().into_os_string();
        partial.push(".partial");
        let written =
            std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, target));
        written.map_err(|error| Problem::io("write", target, error))
    }

    fn write(&self, document: &Document) -> String {
        if self.json {
            let value = documents::json::write(document, JsonOptions { lines: self.lines });
            // One line for each file, so that many can be told apart.
            return format!("{value}\n");
        }
        let (page_markers, furniture) = (self.page_markers, self.keep_headers);
        documents::markdown::write(document, MarkdownOptions { page_markers, furniture })
    }
}

/// What went wrong so far.
#[derive(Default)]
struct Outcome {
    failed: usize,
    pages_failed: usize,
}
