//! How reading looks while it goes on: a bar of pages on a terminal, with their rate and what is left, on standard error.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use documents::pipeline::{Event, JobEvent, Watch};
use documents::workspace::Queue;
use indicatif::ProgressBar;

use crate::progress::{counting, pages};

/// What is shown of files that are read side by side.
pub(super) struct Show {
    bar: ProgressBar,
    /// Pages that were looked at: what the rate is of.
    looked: Arc<AtomicU64>,
    /// Whether pages are counted; files are otherwise.
    by_page: bool,
    /// Whether each failed attempt is told.
    verbose: bool,
    failures: AtomicU64,
}

impl Show {
    /// `looks` says that somebody looks at pages, which takes its time; `apart` that the text goes elsewhere than to the
    /// terminal.
    pub(super) fn new(files: usize, looks: bool, apart: bool, verbose: bool) -> Self {
        // Where the text goes to the terminal as well, a bar would be in its way.
        let looked = Arc::default();
        let bar = if looks {
            pages(Arc::clone(&looked))
        } else {
            counting(files > 1 && apart, files, "files")
        };
        Self { bar, looked, by_page: looks, verbose, failures: AtomicU64::new(0) }
    }

    /// What is told of one file.
    pub(super) fn file<'a>(&'a self, path: &'a Path, stop: &'a AtomicBool) -> Looker<'a> {
        Looker { show: self, path, stop }
    }

    fn count(&self, looked: bool) {
        self.looked.fetch_add(u64::from(looked), Ordering::Relaxed);
        self.bar.inc(1);
    }

    /// A file is done.
    pub(super) fn ended(&self) {
        if !self.by_page {
            self.bar.inc(1);
        }
    }

    /// Does something while no bar is in its way.
    pub(super) fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.bar.suspend(work)
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Who looks on while one file is read.
pub(super) struct Looker<'a> {
    show: &'a Show,
    path: &'a Path,
    stop: &'a AtomicBool,
}

impl Watch for Looker<'_> {
    fn event(&mut self, event: Event<'_>) {
        let (bar, path) = (&self.show.bar, self.path.display());
        match event {
            Event::LaidOut { pages, .. } if self.show.by_page => bar.inc_length(pages as u64),
            Event::Page { looked, .. } if self.show.by_page => self.show.count(looked),
            Event::Attempt { page, index, reader, fault } => {
                let failures = self.show.failures.fetch_add(1, Ordering::Relaxed) + 1;
                bar.set_message(format!("{failures} attempts failed"));
                if self.show.verbose {
                    let (number, name) = (index + 1, reader.name());
                    bar.suspend(|| {
                        eprintln!("{path}: page {page}, attempt {number} of {name}: {fault}");
                    });
                }
            }
            Event::Pause { message, pause } => bar.suspend(|| {
                eprintln!("{path}: {message}; again in {:.0} s", pause.as_secs_f64().ceil());
            }),
            Event::LaidOut { .. } | Event::Page { .. } | _ => {}
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// How a workspace looks while it is worked at: a bar of pages on a terminal, and the groups that are done.
pub(super) struct Board<'a> {
    bar: ProgressBar,
    looked: Arc<AtomicU64>,
    queue: &'a Queue,
    verbose: bool,
    failures: AtomicU64,
}

impl<'a> Board<'a> {
    pub(super) fn new(queue: &'a Queue, verbose: bool) -> Self {
        let looked = Arc::default();
        Self {
            bar: pages(Arc::clone(&looked)),
            looked,
            queue,
            verbose,
            failures: AtomicU64::new(0),
        }
    }

    pub(super) fn show(&self, event: JobEvent<'_>) {
        let bar = &self.bar;
        match event {
            JobEvent::Reading { event: Event::LaidOut { pages, .. }, .. } => {
                bar.inc_length(pages as u64);
            }
            JobEvent::Reading { event: Event::Page { looked, .. }, .. } => {
                self.looked.fetch_add(u64::from(looked), Ordering::Relaxed);
                bar.inc(1);
            }
            JobEvent::Reading { source, event: Event::Attempt { page, index, reader, fault } } => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                if self.verbose {
                    let (number, name) = (index + 1, reader.name());
                    bar.suspend(|| {
                        eprintln!("{source}: page {page}, attempt {number} of {name}: {fault}");
                    });
                }
            }
            JobEvent::Reading { source, event: Event::Pause { message, pause } } => {
                let seconds = pause.as_secs_f64().ceil();
                bar.suspend(|| eprintln!("{source}: {message}; again in {seconds:.0} s"));
            }
            JobEvent::Document { source, failures } => {
                if let Some(first) = failures.first() {
                    let place =
                        first.page.map_or_else(String::new, |page| format!("page {page}: "));
                    let more = match failures.len() - 1 {
                        0 => String::new(),
                        more => format!(", and {more} more"),
                    };
                    bar.suspend(|| eprintln!("{source}: {place}{}{more}", first.message));
                }
            }
            JobEvent::Trouble { error, .. } => {
                bar.suspend(|| eprintln!("a group is tried again later: {error}"));
            }
            JobEvent::Reading { .. } | JobEvent::Group { .. } | _ => {}
        }
    }

    /// Tells how the groups stand, until it is over.
    pub(super) fn tick(&self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            let counts = self.queue.counts();
            let failures = self.failures.load(Ordering::Relaxed);
            let failed =
                if failures > 0 { format!(", {failures} attempts failed") } else { String::new() };
            let (done, total) = (counts.done, counts.total);
            self.bar.set_message(format!("{done} of {total} groups{failed}"));
            thread::park_timeout(Duration::from_millis(500));
        }
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
