//! A workspace: long work that is shared, interrupted and resumed, as olmOCR does it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use documents::pipeline::{Fetch, Job, JobEvent, JobWatch, Mode, Parse as _, Totals};
use documents::worker::Pool;
use documents::workspace::failures::retry;
use documents::workspace::tarball::Members;
use documents::workspace::{
    Checkpoints, Failures, Folder, Index, MarkdownPaths, Presence, Queue, Stats, Store, inputs,
    queue,
};
use documents::{Error, Source};
use manager::Environment;
use manager::read::store::{Access, Library, workspace};

use super::show::Board;
use super::{Read, checkpoints};
use crate::report::{Problem, Result};
use crate::signals::interrupted;
use crate::{material, output};

/// The part of a document's pages that may be read otherwise than was wanted, as in olmOCR.
const ERROR_RATE: f64 = 0.004;

/// Documents of a group that are read again.
const RETRIED: usize = 20;

/// What only a workspace has.
#[derive(Args, Debug)]
#[command(next_help_heading = "Workspaces")]
pub(super) struct Batch {
    /// Add these to the workspace and read them: files, folders, patterns, .txt lists of paths,
    /// .tar.gz archives, s3:// addresses and patterns
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pdfs: Vec<String>,
    /// Write a markdown file for each document too
    #[arg(long)]
    markdown: bool,
    /// About so many pages are worked at as one [default: 500, with --api-key 50]
    #[arg(long, value_name = "N", visible_alias = "pages_per_group")]
    pages_per_group: Option<u32>,
    /// Discard a document of which more than this part of the pages was not read by the model
    /// [default: 0.004]
    #[arg(long, value_name = "PART", visible_alias = "max_page_error_rate")]
    max_page_error_rate: Option<f64>,
    /// Drop forms to be filled in, what is not in English, and what advertises downloads, as olmOCR does; each is named in
    /// failures.jsonl
    #[arg(long, visible_alias = "apply_filter")]
    apply_filter: bool,
    /// Read again what could not be read before, and nothing else (with --watch: that, too)
    #[arg(long, visible_alias = "retry_failed")]
    retry_failed: bool,
    /// Tell how the workspace stands, and do nothing
    #[arg(long)]
    stats: bool,
    /// The profile of AWS's settings for the workspace
    #[arg(long, value_name = "NAME", visible_alias = "workspace_profile")]
    workspace_profile: Option<String>,
    /// The profile of AWS's settings for the documents
    #[arg(long, value_name = "NAME", visible_alias = "pdf_profile")]
    pdf_profile: Option<String>,
}

impl Batch {
    /// Whether a workspace is meant.
    pub(super) fn is_meant(&self) -> bool {
        !self.pdfs.is_empty() || self.stats || self.retry_failed
    }

    /// Whether what failed is to be read again.
    pub(super) fn is_retry(&self) -> bool {
        self.retry_failed
    }

    /// An error for what has no meaning where a folder is watched.
    pub(super) fn refuse_watched(&self) -> Result<()> {
        if self.pdfs.is_empty() && !self.stats {
            return self.refuse();
        }
        let reason = "a folder is watched, or a workspace is read".to_owned();
        Err(Problem::Flag { flag: "--watch", reason }.into())
    }

    /// An error for what has no meaning where there is no workspace.
    pub(super) fn refuse(&self) -> Result<()> {
        let flags = [
            ("--markdown", self.markdown),
            ("--pages-per-group", self.pages_per_group.is_some()),
            ("--apply-filter", self.apply_filter),
            ("--max-page-error-rate", self.max_page_error_rate.is_some()),
            ("--workspace-profile", self.workspace_profile.is_some()),
            ("--pdf-profile", self.pdf_profile.is_some()),
        ];
        match flags.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => {
                let reason =
                    "it is for a workspace: name that first, and the documents after `--pdfs`";
                Err(Problem::Flag { flag, reason: reason.to_owned() }.into())
            }
            None => Ok(()),
        }
    }
}

pub(super) fn run(asked: &Read) -> Result<ExitCode> {
    let batch = &asked.batch;
    let [name] = &asked.inputs[..] else {
        let reason = "there is one workspace, which stands before it".to_owned();
        return Err(Problem::Flag { flag: "--pdfs", reason }.into());
    };
    let Some(name) = name.to_str() else {
        let reason = format!("{} is no text in UTF-8", name.display());
        return Err(Problem::Flag { flag: "WORKSPACE", reason }.into());
    };
    refuse(asked)?;
    let environment = Environment::from_process();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Problem::io("start", "the event loop".as_ref(), error))?;
    let access = Access::from_process(&environment, runtime.handle().clone())?;
    let profile = batch.workspace_profile.as_deref();
    let remote = inputs::Address::of(name).is_some();
    let store: Arc<dyn Store> = if batch.stats && !remote {
        Arc::new(Folder::existing(Path::new(name)))
    } else {
        workspace(name, profile, &access)?
    };
    if batch.stats {
        let stats = Stats::of(&*store, &mut |_, _| {})?;
        output::write(&stats.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let limits = asked.limits();
    let shelf = Shelf {
        library: Library::new(access, batch.pdf_profile.as_deref()),
        limit: limits.file_bytes,
    };
    let workers = asked.workers.unwrap_or(20).max(1);
    let pool = Pool::new(material::worker()?, workers, limits);
    let (index, only) = indexed(asked, &*store, &shelf, &pool)?;
    let failures = Failures::load(&*store)?;
    let done = queue::done(&*store)?;
    let wanted = |hash: &String| only.as_ref().is_none_or(|only| only.contains(hash));
    let left = |hash: &String| wanted(hash) && !done.contains(hash);
    let left = index.groups().iter().filter(|group| left(&group.hash)).count();
    eprintln!(
        "{}: {} groups of documents, {left} to read",
        store.address(""),
        index.groups().len()
    );
    if left == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let mut eyes =
        asked.sight.open(asked.mode(Mode::Ocr), asked.pages()?, asked.password.clone())?;
    eyes.options.apply_filter = batch.apply_filter;
    // Of a document its text is kept alone.
    eyes.options.lines = false;
    let presence = Presence::announce(&environment.state().join("presence"))?;
    let checkpoints = if remote {
        checkpoints(&environment)?
    } else {
        Checkpoints::of_workspace(Path::new(name))
    };
    let nanoseconds =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    let queue = Queue::open(Arc::clone(&store), &index, Some(presence), u64::from(nanoseconds))?;
    let queue = match &only {
        Some(only) => queue.only(only),
        None => queue,
    };
    let paths = batch.markdown.then(|| MarkdownPaths::new(index.paths()));
    let job = Job {
        store: &store,
        queue: &queue,
        failures,
        markdown: paths.as_ref(),
        checkpoints: &checkpoints,
        fetch: &shelf,
        parsers: &pool,
        world: &*eyes.world,
        room: &eyes.room,
        options: &eyes.options,
        max_page_error_rate: batch.max_page_error_rate.unwrap_or(ERROR_RATE),
        again: batch.retry_failed,
        workers,
        version: env!("CARGO_PKG_VERSION"),
    };
    let board = Board::new(&queue, asked.verbose);
    let begun = Instant::now();
    let over = AtomicBool::new(false);
    let totals = std::thread::scope(|scope| {
        let ticking = scope.spawn(|| board.tick(&over));
        let _ending = Ending { over: &over, ticking: ticking.thread() };
        // Pages under way are given up, everything else is kept.
        let stop = interrupted(runtime.handle(), || {
            eprintln!("ending; what is read is kept, and the same command goes on from there");
        });
        let watch = Watching { board: &board, stop };
        job.run(&watch)
    });
    board.end();
    match totals {
        Ok(totals) => {
            summary(&totals, begun, &*store)?;
            let whole = totals.lost == 0 && totals.failed == 0;
            Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(error) => Err(error.into()),
    }
}

/// What a workspace has no use for.
fn refuse(asked: &Read) -> Result<()> {
    let flags = [
        ("--out", asked.out.is_some(), "documents go into the workspace"),
        ("--json", asked.json, "a workspace holds Dolma's JSON"),
        ("--chunks", asked.chunking.chunks, "a workspace holds Dolma's JSON and markdown"),
        ("--figures", asked.figures.is_some(), "a workspace's markdown is as olmOCR writes it"),
        ("--html", asked.html, "a workspace holds Dolma's JSON and markdown"),
        ("--page-markers", asked.page_markers, "a workspace's markdown is as olmOCR writes it"),
        ("--keep-headers", asked.keep_headers, "a workspace's markdown is as olmOCR writes it"),
        ("--pages", asked.pages.is_some(), "a workspace reads whole documents"),
    ];
    match flags.into_iter().find(|(_, given, _)| *given) {
        Some((flag, _, reason)) => Err(Problem::Flag { flag, reason: reason.to_owned() }.into()),
        None => Ok(()),
    }
}

/// The index of the workspace with what is to be added to it, and the groups that are to be read, if not all.
fn indexed(
    asked: &Read,
    store: &dyn Store,
    shelf: &Shelf,
    pool: &Pool,
) -> Result<(Index, Option<BTreeSet<String>>)> {
    let batch = &asked.batch;
    if batch.retry_failed {
        let retried = retry(store, &Failures::load(store)?, RETRIED)?;
        let (documents, waiting) = (retried.documents, retried.waiting);
        eprintln!("{documents} documents that were not read as was wanted are read again");
        if waiting > 0 {
            eprintln!(
                "{waiting} others are of groups that are not finished: run it without --retry-failed"
            );
        }
        return Ok((retried.index, Some(retried.groups)));
    }
    let found = shelf.library.gather(&batch.pdfs)?;
    for one in &found.skipped {
        eprintln!("{}: left out, {}", one.path, one.why);
    }
    let with_key = if asked.sight.has_key() { 50 } else { 500 };
    let pages_per_group = batch.pages_per_group.unwrap_or(with_key).max(1);
    let mut count = |path: &str| {
        let source = shelf.document(path).ok()?;
        let mut worker = pool.lease();
        worker.open(source, &asked.password).ok().map(|outline| outline.pages)
    };
    let per_group = found.per_group(pages_per_group, &mut count);
    let index = Index::change(store, &mut |index| found.add_to(index, per_group).map(|_| ()))?;
    Ok((index, None))
}

/// Documents by their names in the index.
struct Shelf {
    library: Library,
    limit: u64,
}

impl Fetch for Shelf {
    fn document(&self, path: &str) -> Result<Source, Error> {
        self.library.read(path, self.limit)
    }

    fn tarball(&self, path: &str) -> Result<Members<Box<dyn std::io::Read + Send>>, Error> {
        self.library.tarball(path, self.limit)
    }
}

struct Watching<'a> {
    board: &'a Board<'a>,
    stop: Arc<AtomicBool>,
}

impl JobWatch for Watching<'_> {
    fn event(&self, event: JobEvent<'_>) {
        self.board.show(event);
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Ends the ticking, in whatever way the work ends.
struct Ending<'a> {
    over: &'a AtomicBool,
    ticking: &'a Thread,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.ticking.unpark();
    }
}

/// What was done, and what was not.
fn summary(totals: &Totals, begun: Instant, store: &dyn Store) -> Result<()> {
    let seconds = begun.elapsed().as_secs_f64().max(1e-3);
    let mut lines = Vec::new();
    let mut row = |name: &str, value: String| lines.push(format!("{name:<26}{value}"));
    row("documents", format!("{} written, {} not", totals.documents, totals.lost));
    let rate = totals.pages as f64 / seconds * 60.0;
    row("pages", format!("{} in {seconds:.1} s, {rate:.1} a minute", totals.pages));
    row("  read by a model", totals.read_by_model().to_string());
    if totals.text_layer > 0 {
        row("  with text of their own", totals.text_layer.to_string());
    }
    if totals.known > 0 {
        row("  read in an earlier run", totals.known.to_string());
    }
    let share = 100.0 * totals.failure_rate();
    row("  read otherwise", totals.fallback.to_string());
    row("  not read", format!("{} ({share:.2} % not as was wanted)", totals.failed));
    if totals.failed_attempts > 0 {
        row("attempts that failed", totals.failed_attempts.to_string());
    }
    let mut sum = 0;
    for (attempt, pages) in &totals.attempts {
        sum += pages;
        let all = totals.read_by_model().max(1);
        let share = 100.0 * sum as f64 / all as f64;
        row(&format!("  taken: attempt {}", attempt + 1), format!("{pages} ({share:.1} % so far)"));
    }
    if totals.agreement.1 > 0 {
        let mean = totals.agreement.0 / totals.agreement.1 as f64;
        let pages = totals.agreement.1;
        row("agreement with the text layer", format!(" {mean:.3} over {pages} pages"));
    }
    let (input, answer) = (totals.input_tokens, totals.output_tokens);
    let rate = answer as f64 / seconds;
    row("tokens", format!("{input} read, {answer} written, {rate:.1} a second"));
    let failures = Failures::load(store)?;
    let summary: BTreeMap<_, _> = failures.summary();
    for (reason, count) in &summary {
        let (documents, pages) = (count.documents, count.pages);
        row("failed", format!("{reason}: {documents} documents, {pages} pages"));
    }
    if !summary.is_empty() {
        row("", format!("{} names each", store.address("failures.jsonl")));
        row("", "`--retry-failed` reads just those again".to_owned());
    }
    for line in lines {
        eprintln!("{line}");
    }
    Ok(())
}
