//! How it looks while documents come into an index, or go on to a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use indicatif::ProgressBar;
use manager::find::{IngestWatch, News, PushNews, PushWatch, ReadNews};
use tokio::runtime::Runtime;

use crate::progress::steps;
use crate::report::{Problem, Result};
use crate::signals::interrupted;

/// Pages that are read before they are indexed: each counts once more for that.
#[derive(Default)]
struct Read {
    done: AtomicU64,
    all: AtomicU64,
}

/// How it looks while it goes on.
pub(super) struct Show {
    bar: ProgressBar,
    looked: Arc<AtomicU64>,
    read: Arc<Read>,
    stop: Arc<AtomicBool>,
    _runtime: Runtime,
}

impl Show {
    /// Tells `ending` when it is asked to end.
    pub(super) fn new(ending: &'static str) -> Result<Self> {
        let (looked, read) = (Arc::<AtomicU64>::default(), Arc::<Read>::default());
        let counts = Arc::clone(&read);
        let counted = move |(position, length): (u64, u64)| {
            let [done, all] = [&counts.done, &counts.all].map(|of| of.load(Ordering::Relaxed));
            let pages = format!(
                "{} of {} pages",
                position.saturating_sub(done),
                length.saturating_sub(all)
            );
            if all == 0 { pages } else { format!("{pages}, {done} of {all} read") }
        };
        let bar = steps(Arc::clone(&looked), counted);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Problem::io("start", "the event loop".as_ref(), error))?;
        let stop = interrupted(runtime.handle(), move || eprintln!("{ending}"));
        Ok(Self { bar, looked, read, stop, _runtime: runtime })
    }

    /// What is told of pages that are read.
    pub(super) fn reader(&self) -> impl Fn(ReadNews<'_>) + Sync + use<> {
        let (bar, looked) = (self.bar.clone(), Arc::clone(&self.looked));
        let read = Arc::clone(&self.read);
        move |news| match news {
            ReadNews::Begun { pages, .. } => {
                read.all.fetch_add(pages as u64, Ordering::Relaxed);
                bar.inc_length(pages as u64);
            }
            ReadNews::Page { .. } => {
                read.done.fetch_add(1, Ordering::Relaxed);
                looked.fetch_add(1, Ordering::Relaxed);
                bar.inc(1);
            }
            ReadNews::Known { file, pages } => {
                let file = file.display();
                bar.suspend(|| eprintln!("{file}: {pages} pages were read before"));
            }
            ReadNews::Pause { file, message, pause } => {
                let (file, seconds) = (file.display(), pause.as_secs_f64().ceil());
                bar.suspend(|| eprintln!("{file}: {message}; again in {seconds:.0} s"));
            }
            _ => {}
        }
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
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
            News::Page { file, number, failure, unread } => {
                self.looked.fetch_add(1, Ordering::Relaxed);
                self.bar.inc(1);
                if let Some(failure) = failure {
                    let file = file.display();
                    self.bar.suspend(|| eprintln!("{file}: page {number}: {failure}"));
                }
                if let Some(why) = unread {
                    let file = file.display();
                    self.bar.suspend(|| eprintln!("{file}: page {number}: has no words: {why}"));
                }
            }
            News::Unchanged { .. } | News::Done { .. } | _ => {}
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl PushWatch for Show {
    fn news(&mut self, news: PushNews<'_>) {
        match news {
            PushNews::Begun { pages, .. } => self.bar.inc_length(pages as u64),
            PushNews::Sent { pages } => {
                self.looked.fetch_add(pages as u64, Ordering::Relaxed);
                self.bar.inc(pages as u64);
            }
            PushNews::Refused { path, number, why } => {
                self.bar.suspend(|| eprintln!("{path}: page {number}: {why}"));
            }
            PushNews::Deleting { .. } | _ => {}
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
