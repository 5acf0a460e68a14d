//! The documents of a workspace, read group by group by several workers.
//!
//! Each page that somebody looked at is kept as soon as it is read, so a run that is killed loses the pages that were
//! under way and nothing else. What could not be read is written down with its reason; a document is finished or it is
//! in the list of failures, or both.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use super::dolma::{Dolma, Provenance, dolma};
use super::read::{Event, ReadOptions, Watch, reading};
use super::resume::{Keep, Resumed, resume};
use super::room::Room;
use super::totals::Totals;
use super::{Need, PageReading, Reader};
use crate::worker::Pool;
use crate::workspace::failures::{Failure, Failures, Outcome, Reason};
use crate::workspace::inputs::is_tarball;
use crate::workspace::queue::REFRESH;
use crate::workspace::tarball::{Member, Members};
use crate::workspace::{Checkpoints, Claim, Group, MarkdownPaths, Queue, Store};
use crate::{Document, Error, FileKind, OpenFailure, Origin, Page, PageFailure, Source, World};

/// How often a worker that has nothing to do looks whether there is something.
const LOOK: Duration = Duration::from_millis(250);

/// Where documents come from.
pub trait Fetch: Sync {
    /// A document, by its path as it stands in the index.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    fn document(&self, path: &str) -> Result<Source, Error>;

    /// A tarball, likewise.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    fn tarball(&self, path: &str) -> Result<Members<Box<dyn Read + Send>>, Error>;
}

/// The documents of a workspace, and who reads them.
pub struct Job<'a> {
    /// The workspace.
    pub store: &'a Arc<dyn Store>,
    /// Its groups.
    pub queue: &'a Queue,
    /// What could not be read in earlier runs.
    pub failures: Failures,
    /// Where markdown is written, if it is.
    pub markdown: Option<&'a MarkdownPaths>,
    /// Where finished pages are kept.
    pub checkpoints: &'a Checkpoints,
    /// Where documents come from.
    pub fetch: &'a dyn Fetch,
    /// Who parses and draws.
    pub parsers: &'a Pool,
    /// Who looks at pages.
    pub world: &'a dyn World,
    /// How many pages at once.
    pub room: &'a Room,
    /// How documents are read.
    pub options: &'a ReadOptions,
    /// A document of which more than this part of the pages was not read as was wanted is discarded.
    pub max_page_error_rate: f64,
    /// Whether pages that were read otherwise than was wanted are tried again.
    pub again: bool,
    /// Groups that are worked at at once.
    pub workers: usize,
    /// The version of this program, for the results.
    pub version: &'a str,
}

/// What happens while a job runs. Told from several threads.
#[derive(Debug)]
#[non_exhaustive]
pub enum JobEvent<'a> {
    /// Something of a document.
    Reading {
        /// The document.
        source: &'a str,
        /// What.
        event: Event<'a>,
    },
    /// A document is done.
    Document {
        /// The document.
        source: &'a str,
        /// What could not be read of it.
        failures: &'a [Failure],
    },
    /// A group is finished.
    Group {
        /// Its hash.
        hash: &'a str,
    },
    /// A group could not be finished. It is tried again.
    Trouble {
        /// Its hash.
        hash: &'a str,
        /// Why.
        error: &'a Error,
    },
}

/// Whoever looks on while a job runs.
pub trait JobWatch: Sync {
    /// Something happened.
    fn event(&self, event: JobEvent<'_>);

    /// Whether to give up; asked several times a second.
    fn stop(&self) -> bool {
        false
    }
}

impl JobWatch for () {
    fn event(&self, _: JobEvent<'_>) {}
}

/// What became of one document.
struct Done {
    source: String,
    dolma: Option<Dolma>,
    failures: Vec<Failure>,
}

/// What all workers share.
struct Shared<'j, 'a> {
    job: &'j Job<'a>,
    watch: &'j dyn JobWatch,
    failures: Mutex<Failures>,
    totals: Mutex<Totals>,
    /// Groups whose locks are kept fresh.
    held: Mutex<BTreeMap<String, Group>>,
    /// Told when the last worker ends.
    ended: Condvar,
    working: Mutex<usize>,
    /// Why nobody goes on, if that is so.
    fatal: Mutex<Option<Error>>,
    over: AtomicBool,
}

impl Job<'_> {
    /// Works until nothing is left that this process could do.
    ///
    /// # Errors
    /// When nobody who could read can be used or reached, or `watch` gave up. What was finished stays finished, and the
    /// next run goes on.
    pub fn run(mut self, watch: &dyn JobWatch) -> Result<Totals, Error> {
        let failures = std::mem::take(&mut self.failures);
        let workers = self.workers.max(1);
        let shared = Shared {
            job: &self,
            watch,
            failures: Mutex::new(failures),
            totals: Mutex::default(),
            held: Mutex::default(),
            ended: Condvar::new(),
            working: Mutex::new(workers),
            fatal: Mutex::default(),
            over: AtomicBool::new(false),
        };
        thread::scope(|scope| {
            scope.spawn(|| shared.keep_fresh());
            for _ in 0..workers {
                scope.spawn(|| {
                    // A worker that panics ends as well.
                    let _ending = Ending(&shared);
                    shared.work();
                });
            }
        });
        if let Some(error) = lock(&shared.fatal).take() {
            return Err(error);
        }
        let totals = lock(&shared.totals).clone();
        Ok(totals)
    }
}

struct Ending<'s, 'j, 'a>(&'s Shared<'j, 'a>);

impl Drop for Ending<'_, '_, '_> {
    fn drop(&mut self) {
        *lock(&self.0.working) -= 1;
        self.0.ended.notify_all();
    }
}

/// What is behind a lock here is whole at every moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared<'_, '_> {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.watch.stop()
    }

    /// Nobody goes on; the first reason counts.
    fn end(&self, error: Error) {
        self.over.store(true, Ordering::Relaxed);
        lock(&self.fatal).get_or_insert(error);
    }

    /// Writes locks again while their groups are worked at.
    fn keep_fresh(&self) {
        let mut working = lock(&self.working);
        while *working > 0 {
            let (guard, waited) =
                self.ended.wait_timeout(working, REFRESH).unwrap_or_else(PoisonError::into_inner);
            working = guard;
            if waited.timed_out() {
                drop(working);
                let held: Vec<Group> = lock(&self.held).values().cloned().collect();
                for group in held {
                    // A lock that cannot be written now holds for a while yet, and this comes again.
                    let _ = self.job.queue.refresh(&group);
                }
                working = lock(&self.working);
            }
        }
    }

    fn work(&self) {
        while !self.is_over() {
            let now = SystemTime::now();
            match self.job.queue.claim(now) {
                Ok(Claim::Work(group)) => {
                    lock(&self.held).insert(group.hash.clone(), group.clone());
                    let flow = self.group(&group);
                    lock(&self.held).remove(&group.hash);
                    if flow.is_break() {
                        return;
                    }
                }
                Ok(Claim::Wait(_) | Claim::Idle) => thread::sleep(LOOK),
                Ok(Claim::Empty) => return,
                Err(error) => return self.end(error),
            }
        }
        let file = self.job.store.address("");
        self.end(Error::Stopped { file });
    }

    /// Reads a group, and finishes it or gives it back.
    fn group(&self, group: &Group) -> ControlFlow<()> {
        let queue = self.job.queue;
        match self.read_group(group).and_then(|done| self.finish(group, &done)) {
            Ok(()) => {
                lock(&self.totals).groups += 1;
                self.watch.event(JobEvent::Group { hash: &group.hash });
                ControlFlow::Continue(())
            }
            Err(error) => {
                let fatal = error.is_everybodys();
                // A lock that stays is stale some time.
                let _ = queue.give_back(group.clone(), !fatal, SystemTime::now());
                if fatal {
                    self.end(error);
                    return ControlFlow::Break(());
                }
                self.watch.event(JobEvent::Trouble { hash: &group.hash, error: &error });
                ControlFlow::Continue(())
            }
        }
    }

    fn read_group(&self, group: &Group) -> Result<Vec<Done>, Error> {
        let mut all = Vec::new();
        for path in &group.paths {
            if is_tarball(path) {
                self.tarball(path, &mut all)?;
            } else {
                let source = self.job.fetch.document(path);
                all.push(self.document(path.clone(), source)?);
            }
        }
        Ok(all)
    }

    fn tarball(&self, path: &str, all: &mut Vec<Done>) -> Result<(), Error> {
        let lost = |source: String, message: String| {
            let failures = vec![whole(Reason::Archive, message)];
            Done { source, dolma: None, failures }
        };
        let members = match self.job.fetch.tarball(path) {
            Ok(members) => members,
            Err(error) => {
                all.push(self.lost(path.to_owned(), &error));
                return Ok(());
            }
        };
        for member in members {
            match member {
                Ok(Member::File { name, bytes }) => {
                    let source = format!("{path}::{name}");
                    all.push(self.document(source.clone(), Ok(Source { name: source, bytes }))?);
                }
                Ok(Member::Skipped { name, why }) => {
                    all.push(lost(format!("{path}::{name}"), why.to_string()));
                }
                Err(fault) => all.push(lost(path.to_owned(), fault.to_string())),
            }
        }
        Ok(())
    }

    /// A document that cannot be read at all.
    fn lost(&self, source: String, error: &Error) -> Done {
        let failures = vec![whole(reason_of(error), error.to_string())];
        lock(&self.totals).lost += 1;
        self.watch.event(JobEvent::Document { source: &source, failures: &failures });
        Done { source, dolma: None, failures }
    }

    /// Reads one document. An error is one of everybody's.
    fn document(&self, source: String, fetched: Result<Source, Error>) -> Result<Done, Error> {
        let job = self.job;
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => return Ok(self.lost(source, &error)),
        };
        let mut watch = Reading { shared: self, source: &source };
        let keep = Keep {
            options: job.options,
            checkpoints: job.checkpoints,
            name: &source,
            again: job.again,
        };
        let read = {
            let mut parser = job.parsers.lease();
            resume(fetched, keep, &mut *parser, job.world, job.room, &mut watch)
        };
        let Resumed { document, known } = match read {
            Ok(read) => read,
            // A disk that does not take pages is no fault of the document.
            Err(error @ Error::Workspace { .. }) => return Err(error),
            Err(error) if error.is_everybodys() => return Err(error),
            Err(error) => return Ok(self.lost(source, &error)),
        };
        lock(&self.totals).known += known as u64;
        let done = self.judge(source, &document);
        self.watch.event(JobEvent::Document { source: &done.source, failures: &done.failures });
        Ok(done)
    }

    /// What is written of a document, and what is written down of it.
    fn judge(&self, source: String, document: &Document) -> Done {
        let mut totals = Totals::default();
        let mut failures = Vec::new();
        let mut pages = Vec::with_capacity(document.pages.len());
        for page in &document.pages {
            if let Some(agreement) = &page.agreement {
                totals.agreement.0 += f64::from(agreement.score());
                totals.agreement.1 += 1;
            }
            match reading(page) {
                Some(reading) => {
                    totals.add(&reading);
                    if reading.fallback {
                        let because = reading.because.as_deref().unwrap_or("its reader failed");
                        let taken = if reading.by == Reader::TextLayer {
                            "its text layer was taken".to_owned()
                        } else {
                            format!("{} read it", reading.by.name())
                        };
                        failures.push(Failure {
                            page: Some(page.number),
                            reason: Reason::Model,
                            message: format!("{because}; {taken}"),
                            attempt: reading.attempt,
                        });
                    }
                    pages.push(reading);
                }
                None => {
                    totals.pages += 1;
                    totals.failed += 1;
                    failures.push(failure_of(page));
                    // It has its place among the pages, and no text.
                    pages.push(PageReading {
                        fallback: true,
                        ..PageReading::of_text_layer(page.number, None)
                    });
                }
            }
        }
        let rate = totals.failure_rate();
        let provenance = Provenance { source: &source, version: self.job.version, date: &today() };
        let mut written = None;
        if rate > self.job.max_page_error_rate {
            let (bad, all) = (totals.fallback + totals.failed, totals.pages);
            let message = format!(
                "{bad} of {all} pages were not read as was wanted, more than {} of them; it was discarded",
                self.job.max_page_error_rate
            );
            failures.insert(0, whole(Reason::OverErrorRate, message));
        } else {
            written = dolma(&provenance, &pages);
            if written.is_none() {
                let message = format!("none of its {} pages has any text", totals.pages);
                failures.insert(0, whole(Reason::Blank, message));
            }
        }
        if written.is_some() {
            totals.documents = 1;
        } else {
            totals.lost = 1;
        }
        lock(&self.totals).merge(&totals);
        Done { source, dolma: written, failures }
    }

    /// Writes what became of a group: markdown, failures, results, and then that it is finished.
    fn finish(&self, group: &Group, all: &[Done]) -> Result<(), Error> {
        let job = self.job;
        if let Some(paths) = job.markdown {
            let (members, singles): (Vec<&Done>, Vec<&Done>) =
                all.iter().partition(|done| done.source.contains("::"));
            let names: Vec<String> = members.iter().map(|done| done.source.clone()).collect();
            let keys = paths.of_members(&names);
            let singles = singles.into_iter().map(|done| (done, paths.key(&done.source)));
            for (done, key) in members.into_iter().zip(keys).chain(singles) {
                if let Some(dolma) = &done.dolma {
                    job.store.put(&key, dolma.text.as_bytes())?;
                }
            }
        }
        let outcomes: Vec<Outcome<'_>> = all
            .iter()
            .map(|done| Outcome { source: &done.source, failures: &done.failures })
            .collect();
        let now = SystemTime::now();
        lock(&self.failures).record(&**job.store, &group.hash, &outcomes, now)?;
        let mut results = String::new();
        for dolma in all.iter().filter_map(|done| done.dolma.as_ref()) {
            results.push_str(&dolma.line);
            results.push('\n');
        }
        job.queue.finish(group, results.as_bytes())?;
        // What was read of a document that is not whole is of use when it is tried again.
        for done in all.iter().filter(|done| done.failures.is_empty()) {
            job.checkpoints.remove(&done.source)?;
        }
        Ok(())
    }
}

/// Tells of one document what all are told of.
struct Reading<'s, 'j, 'a> {
    shared: &'s Shared<'j, 'a>,
    source: &'s str,
}

impl Watch for Reading<'_, '_, '_> {
    fn event(&mut self, event: Event<'_>) {
        if matches!(event, Event::Attempt { .. }) {
            lock(&self.shared.totals).failed_attempts += 1;
        }
        let source = self.source;
        self.shared.watch.event(JobEvent::Reading { source, event });
    }

    fn stop(&self) -> bool {
        self.shared.is_over()
    }
}

fn whole(reason: Reason, message: String) -> Failure {
    Failure { page: None, reason, message, attempt: 0 }
}

/// Why a document could not be read at all.
fn reason_of(error: &Error) -> Reason {
    if matches!(error, Error::Missing { .. }) {
        return Reason::Missing;
    }
    if matches!(error, Error::Unwanted { .. }) {
        return Reason::Filtered;
    }
    let Error::Open { failure, .. } = error else { return Reason::Unreadable };
    if matches!(
        failure,
        OpenFailure::PasswordRequired
            | OpenFailure::PasswordWrong { .. }
            | OpenFailure::Encryption { .. }
    ) {
        return Reason::Encrypted;
    }
    let archive = matches!(failure, OpenFailure::NotPdf { found: FileKind::Gzip });
    if archive { Reason::Archive } else { Reason::Unreadable }
}

/// Why a page could not be read.
fn failure_of(page: &Page) -> Failure {
    let (reason, message, attempt) = if let Origin::Failed(failure) = &page.origin {
        if let PageFailure::Unread { attempts, because } = failure {
            (Reason::Model, because.clone(), *attempts)
        } else if page.need == Some(Need::Unparsed) {
            (Reason::Unreadable, failure.to_string(), 0)
        } else {
            (Reason::Rendering, failure.to_string(), 0)
        }
    } else {
        let message = "it has no text of its own, and nobody looked".to_owned();
        (Reason::Unreadable, message, 0)
    };
    Failure { page: Some(page.number), reason, message, attempt }
}

/// The date in coordinated time, as `YYYY-MM-DD`.
fn today() -> String {
    let mut now = crate::workspace::moment::write(SystemTime::now());
    now.truncate(10);
    now
}
