//! How it looks while documents come into an index, or go on to a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use indicatif::ProgressBar;
use manager::find::{IngestWatch, News, PushNews, PushWatch};
use tokio::runtime::Runtime;

use crate::progress::pages;
use crate::report::{Problem, Result};
use crate::signals::interrupted;

/// How it looks while it goes on.
pub(super) struct Show {
    bar: ProgressBar,
    looked: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    _runtime: Runtime,
}

impl Show {
    /// Tells `ending` when it is asked to end.
    pub(super) fn new(ending: &'static str) -> Result<Self> {
        let looked = Arc::<AtomicU64>::default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Problem::io("start", "the event loop".as_ref(), error))?;
        let stop = interrupted(runtime.handle(), move || eprintln!("{ending}"));
        Ok(Self { bar: pages(Arc::clone(&looked)), looked, stop, _runtime: runtime })
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
