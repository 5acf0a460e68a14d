//! How reading looks while it goes on: a bar of pages on a terminal, with their rate and what is left, on standard error.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use documents::pipeline::{Event, Watch};
use indicatif::ProgressBar;

use crate::progress::{counting, pages};

/// What is shown of files that are read side by side.
pub(super) struct Show {
    bar: ProgressBar,
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
        let bar = if looks { pages() } else { counting(files > 1 && apart, files, "files") };
        Self { bar, by_page: looks, verbose, failures: AtomicU64::new(0) }
    }

    /// What is told of one file.
    pub(super) fn file<'a>(&'a self, path: &'a Path, stop: &'a AtomicBool) -> Looker<'a> {
        Looker { show: self, path, stop }
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
            Event::Page(_) if self.show.by_page => bar.inc(1),
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
            Event::LaidOut { .. } | Event::Page(_) | _ => {}
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
