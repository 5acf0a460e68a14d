//! A workspace that is worked at: what is written, what is written down, and what a run leaves to the next.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use documents::pipeline::{
    Event, Fetch, Job, JobEvent, JobWatch, Mode, ReadOptions, Reader, Room, Totals,
};
use documents::worker::Pool;
use documents::workspace::failures::retry;
use documents::workspace::inputs::gather;
use documents::workspace::tarball::{Members, TarballLimits};
use documents::workspace::{
    Checkpoints, Failures, Folder, Index, MarkdownPaths, Queue, Reason, Store,
};
use documents::{Answer, Ask, Error, Finish, Heard, Limits, Reply, Source, World};
use serde_json::Value;
use testkit::pdf::Pdf;
use testkit::seer;

/// Documents of this machine.
struct Disk;

impl Fetch for Disk {
    fn document(&self, path: &str) -> Result<Source, Error> {
        Source::read(Path::new(path), 1 << 30)
    }

    fn tarball(&self, path: &str) -> Result<Members<Box<dyn Read + Send>>, Error> {
        let file =
            fs::File::open(path).map_err(|source| Error::Read { path: path.into(), source })?;
        Ok(Members::new(Box::new(file), TarballLimits::default()))
    }
}

/// Reads by a script, which is given how often it was asked before.
struct Eyes<F>(F, AtomicUsize);

impl<F: Fn(usize, &Ask) -> Answer + Sync> World for Eyes<F> {
    fn readers(&self) -> Vec<Reader> {
        vec![Reader::Model("eyes".to_owned())]
    }

    fn transcribe(&self, ask: Ask, reply: Reply) {
        let before = self.1.fetch_add(1, Ordering::Relaxed);
        reply.send((self.0)(before, &ask));
    }
}

fn eyes<F: Fn(usize, &Ask) -> Answer + Sync>(script: F) -> Eyes<F> {
    Eyes(script, AtomicUsize::new(0))
}

fn good(text: &str) -> Answer {
    Answer::Text(Heard {
        text: seer::page(text),
        finish: Finish::Stop,
        input_tokens: 100,
        output_tokens: 10,
        by: None,
    })
}

fn failed() -> Answer {
    Answer::Failed { message: "no battery".to_owned() }
}

struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    /// Documents of so many pages, each page a scan as far as anybody can tell.
    fn new(documents: &[(&str, usize)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        for (name, pages) in documents {
            let mut pdf = Pdf::new();
            for page in 0..*pages {
                // Lines, so that pages are not blank and have no text.
                let line = format!("{} 0 m 300 {} l S", 10 + page, 100 + page);
                pdf.page(200.0, 200.0, &line);
            }
            fs::write(folder.path().join("in").join(name), pdf.finish()).unwrap();
        }
        Self { folder }
    }

    fn input(&self, name: &str) -> String {
        self.folder.path().join("in").join(name).to_str().unwrap().to_owned()
    }

    fn workspace(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(Folder::open(&self.workspace()).unwrap())
    }

    fn add(&self, per_group: usize) {
        let store = self.store();
        let found = gather(&[self.input("")], &|_| unreachable!("no bucket")).unwrap();
        Index::change(&*store, &mut |index| found.add_to(index, per_group).map(|_| ())).unwrap();
    }

    fn run(&self, world: &dyn World, watch: &dyn JobWatch, again: bool) -> Result<Totals, Error> {
        let store = self.store();
        let failures = Failures::load(&*store).unwrap();
        let (index, only) = if again {
            let retried = retry(&*store, &failures, 10).unwrap();
            (retried.index, Some(retried.groups))
        } else {
            (Index::load(&*store).unwrap(), None)
        };
        let queue = Queue::open(Arc::clone(&store), &index, None, 1).unwrap();
        let queue = match &only {
            Some(only) => queue.only(only),
            None => queue,
        };
        let limits = Limits {
            page_time: Duration::from_secs(60),
            memory_bytes: 1 << 30,
            ..Limits::default()
        };
        let start = || Command::new(env!("CARGO_BIN_EXE_documents-worker"));
        let pool = Pool::new(start, 2, limits);
        let mut options = ReadOptions { mode: Mode::Ocr, ..ReadOptions::default() };
        options.ladder.max_page_retries = 2;
        options.target_longest_image_dim = 100;
        let paths = MarkdownPaths::new(index.paths());
        let job = Job {
            store: &store,
            queue: &queue,
            failures,
            markdown: Some(&paths),
            checkpoints: &Checkpoints::of_workspace(&self.workspace()),
            fetch: &Disk,
            parsers: &pool,
            world,
            room: &Room::new(2),
            options: &options,
            max_page_error_rate: 0.3,
            again,
            workers: 2,
            version: "1.2.3",
        };
        job.run(watch)
    }

    /// All lines of all results, by their sources.
    fn results(&self) -> Vec<(String, Value)> {
        let mut out = Vec::new();
        for entry in fs::read_dir(self.workspace().join("results")).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            for line in text.lines() {
                let value: Value = serde_json::from_str(line).unwrap();
                let source = value["metadata"]["Source-File"].as_str().unwrap().to_owned();
                out.push((source, value));
            }
        }
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }

    fn failures(&self) -> Vec<(String, Option<u32>, Reason)> {
        let failures = Failures::load(&*self.store()).unwrap();
        let each = failures.documents().flat_map(|(source, failed)| {
            failed.failures.iter().map(move |f| (source.to_owned(), f.page, f.reason))
        });
        each.collect()
    }

    fn is_finished(&self) -> bool {
        let locks = fs::read_dir(self.workspace().join("worker_locks"));
        locks.map_or(0, Iterator::count) == 0
    }
}

#[test]
fn documents_become_dolma_and_markdown() {
    let world = Desk::new(&[("a.pdf", 2), ("b.pdf", 1), ("c.pdf", 3)]);
    fs::write(world.input("broken.pdf"), "%PDF-1.4 and nothing").unwrap();
    world.add(2);
    let totals = world.run(&eyes(|_, _| good("seen")), &(), false).unwrap();
    assert_eq!((totals.groups, totals.documents, totals.lost), (2, 3, 1));
    assert_eq!((totals.pages, totals.read_by_model(), totals.failed), (6, 6, 0));
    assert_eq!((totals.input_tokens, totals.output_tokens), (600, 60));
    let results = world.results();
    let sources: Vec<&str> = results.iter().map(|(source, _)| source.as_str()).collect();
    assert_eq!(sources, [world.input("a.pdf"), world.input("b.pdf"), world.input("c.pdf")]);
    assert_eq!(results[0].1["text"], "seen\nseen");
    assert_eq!(results[0].1["metadata"]["pdf-total-pages"], 2);
    let path = world.input("a.pdf").trim_start_matches('/').replace(".pdf", ".md");
    let markdown = fs::read_to_string(world.workspace().join("markdown").join(path)).unwrap();
    assert_eq!(markdown, "seen\nseen");
    assert_eq!(world.failures(), [(world.input("broken.pdf"), None, Reason::Unreadable)]);
    assert!(world.is_finished());
    assert!(!world.workspace().join("page_checkpoints").exists(), "nothing is left to resume");
    // There is nothing more to do.
    let totals = world.run(&eyes(|_, _| panic!("asked again")), &(), false).unwrap();
    assert_eq!(totals, Totals::default());
}

#[test]
fn what_is_over_the_error_rate_or_blank_is_written_down_and_can_be_tried_again() {
    let world = Desk::new(&[("bad.pdf", 3), ("blank.pdf", 1), ("good.pdf", 1)]);
    world.add(1);
    let totals = world.run(&eyes(|_, _| failed()), &(), false).unwrap();
    assert_eq!((totals.documents, totals.lost, totals.failed), (0, 3, 5));
    let mut failures = world.failures();
    failures.retain(|(source, page, _)| source.ends_with("bad.pdf") && page.is_none());
    assert_eq!(failures, [(world.input("bad.pdf"), None, Reason::OverErrorRate)]);
    assert!(world.results().is_empty());

    // Only those are read again; one stays blank.
    let blank = AtomicUsize::new(0);
    let script = eyes(|_, _| {
        let first = blank.fetch_add(1, Ordering::Relaxed) == 0;
        if first { good("") } else { good("seen") }
    });
    let totals = world.run(&script, &(), true).unwrap();
    assert_eq!(totals.pages, 5);
    let results = world.results();
    let written = results.len();
    assert!(written == 2 || written == 3, "{results:?}");
    let left = world.failures();
    assert_eq!(left.len(), 3 - written, "{left:?}");
    assert!(left.iter().all(|(_, page, reason)| page.is_none() && *reason == Reason::Blank));
}

/// Gives up after so many pages.
struct Impatient(AtomicUsize, usize);

impl JobWatch for Impatient {
    fn event(&self, event: JobEvent<'_>) {
        if let JobEvent::Reading { event: Event::Page { .. }, .. } = event {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn stop(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= self.1
    }
}

#[test]
fn a_run_that_ends_early_loses_only_pages_under_way() {
    let world = Desk::new(&[("long.pdf", 30)]);
    world.add(1);
    let script = eyes(|before, _| good(&format!("first {before}")));
    let error = world.run(&script, &Impatient(AtomicUsize::new(0), 12), false).unwrap_err();
    assert!(matches!(error, Error::Stopped { .. }), "{error}");
    assert!(world.results_are_absent() && world.is_finished());
    let script = eyes(|_, _| good("second"));
    let totals = world.run(&script, &(), false).unwrap();
    assert!(totals.known >= 12 && totals.known < 30, "{}", totals.known);
    assert_eq!(script.1.load(Ordering::Relaxed) as u64, 30 - totals.known);
    let text = world.results()[0].1["text"].as_str().unwrap().to_owned();
    assert_eq!(text.matches("first").count() as u64, totals.known);
    assert_eq!(text.lines().count(), 30);
}

impl Desk {
    fn results_are_absent(&self) -> bool {
        fs::read_dir(self.workspace().join("results")).map_or(0, Iterator::count) == 0
    }
}

#[test]
fn a_model_that_is_not_there_ends_the_run_and_loses_nothing() {
    let world = Desk::new(&[("a.pdf", 1), ("b.pdf", 1)]);
    world.add(1);
    let script = eyes(|_, _| Answer::Unusable { message: "no such model".to_owned(), hint: None });
    let error = world.run(&script, &(), false).unwrap_err();
    assert!(matches!(error, Error::Unusable { .. }), "{error}");
    assert!(world.results_are_absent() && world.is_finished() && world.failures().is_empty());
    let totals = world.run(&eyes(|_, _| good("seen")), &(), false).unwrap();
    assert_eq!(totals.documents, 2);
}
