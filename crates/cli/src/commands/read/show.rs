//! How reading looks while it goes on: a bar of pages on a terminal, with their rate and what is left, on standard error.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use documents::pipeline::{Event, JobEvent, Watch};
use documents::workspace::Queue;
use indicatif::ProgressBar;

use crate::progress::{counting, pages};

/// Pages as they are read.
struct Pages {
    bar: ProgressBar,
    /// Pages that were looked at: what the rate is of.
    looked: Arc<AtomicU64>,
    /// Attempts that failed.
    failures: AtomicU64,
    /// Whether each failed attempt is told.
    verbose: bool,
}

impl Pages {
    /// A bar whose rate is of `looked`.
    fn new(bar: ProgressBar, looked: Arc<AtomicU64>, verbose: bool) -> Self {
        Self { bar, looked, failures: AtomicU64::new(0), verbose }
    }

    /// Shows something of the document `name`.
    fn show(&self, name: impl Display, event: &Event<'_>) {
        let bar = &self.bar;
        match event {
            Event::LaidOut { pages, .. } => bar.inc_length(*pages as u64),
            Event::Page { looked, .. } => {
                self.looked.fetch_add(u64::from(*looked), Ordering::Relaxed);
                bar.inc(1);
            }
            Event::Attempt { page, index, reader, fault } => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                if self.verbose {
                    let (number, reader) = (index + 1, reader.name());
                    bar.suspend(|| {
                        eprintln!("{name}: page {page}, attempt {number} of {reader}: {fault}");
                    });
                }
            }
            Event::Pause { message, pause } => {
                let seconds = pause.as_secs_f64().ceil();
                bar.suspend(|| eprintln!("{name}: {message}; again in {seconds:.0} s"));
            }
            Event::Asked { .. } | _ => {}
        }
    }

    /// `3 attempts failed`, if any did.
    fn failed(&self) -> Option<String> {
        let failures = self.failures.load(Ordering::Relaxed);
        (failures > 0).then(|| format!("{failures} attempts failed"))
    }
}

/// What is shown of files that are read side by side.
pub(super) struct Show {
    pages: Pages,
    /// Whether pages are counted; files are otherwise.
    by_page: bool,
}

impl Show {
    /// `looks` says that somebody looks at pages, which takes its time; `apart` that the text goes elsewhere than to the
    /// terminal.
    pub(super) fn new(files: usize, looks: bool, apart: bool, verbose: bool) -> Self {
        let looked = Arc::default();
        let bar = if looks {
            pages(Arc::clone(&looked))
        } else {
            // Where the text goes to the terminal as well, a bar would be in its way.
            counting(files > 1 && apart, files, "files")
        };
        Self { pages: Pages::new(bar, looked, verbose), by_page: looks }
    }

    /// What is told of one file.
    pub(super) fn file<'a>(&'a self, path: &'a Path, stop: &'a AtomicBool) -> Looker<'a> {
        Looker { show: self, path, stop }
    }

    /// So many pages of a file were read in an earlier run.
    pub(super) fn known(&self, path: &Path, pages: usize) {
        if pages > 0 {
            let path = path.display();
            self.suspend(|| eprintln!("{path}: {pages} pages were read in an earlier run"));
        }
    }

    /// A file is done.
    pub(super) fn ended(&self) {
        if !self.by_page {
            self.pages.bar.inc(1);
        }
    }

    /// Does something while no bar is in its way.
    pub(super) fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.pages.bar.suspend(work)
    }

    pub(super) fn end(&self) {
        self.pages.bar.finish_and_clear();
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
        let Show { pages, by_page } = self.show;
        if *by_page || !matches!(event, Event::LaidOut { .. } | Event::Page { .. }) {
            pages.show(self.path.display(), &event);
        }
        if let (Event::Attempt { .. }, Some(failed)) = (event, pages.failed()) {
            pages.bar.set_message(failed);
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// How a workspace looks while it is worked at: a bar of pages on a terminal, and the groups that are done.
pub(super) struct Board<'a> {
    pages: Pages,
    queue: &'a Queue,
}

impl<'a> Board<'a> {
    pub(super) fn new(queue: &'a Queue, verbose: bool) -> Self {
        let looked = Arc::default();
        Self { pages: Pages::new(pages(Arc::clone(&looked)), looked, verbose), queue }
    }

    pub(super) fn show(&self, event: JobEvent<'_>) {
        let bar = &self.pages.bar;
        match event {
            JobEvent::Reading { source, event } => self.pages.show(source, &event),
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
            JobEvent::Group { .. } | _ => {}
        }
    }

    /// Tells how the groups stand, until it is over.
    pub(super) fn tick(&self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            let counts = self.queue.counts();
            let mut message = format!("{} of {} groups", counts.done, counts.total);
            if let Some(failed) = self.pages.failed() {
                message = format!("{message}, {failed}");
            }
            self.pages.bar.set_message(message);
            thread::park_timeout(Duration::from_millis(500));
        }
    }

    pub(super) fn end(&self) {
        self.pages.bar.finish_and_clear();
    }
}
