//! Documents into an index: parsed and drawn side by side, encoded in batches, written as they come.
//!
//! Whoever is killed leaves whole pages behind, and the next run adds the others. A document that has changed is found as it was
//! until all of its pages are there.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use documents::worker::Pool;
use index::{Begun, DocumentId, NewPage, PageId, PageVectors, Preview, ReaderKind, Writer};

use super::encoders::Made;
use super::parse::{Clock, Clocks, Parsed, Parser, Told};
use super::reading::read_by;
use super::{Encoders, Error, Reading};
use crate::machine::Machine;

/// Of the memory that is available, pages that wait to be encoded may take this part.
const WAITING: u64 = 8;
/// And so many bytes in any case.
const LEAST: u64 = 64 << 20;
/// How often it is asked whether to give up while nothing comes.
const LOOK: Duration = Duration::from_millis(200);
/// Pages that wait for others of their batch are written after so long if none come: reading takes its time.
const PATIENCE: Duration = Duration::from_secs(2);

/// Documents to be indexed, and how.
pub struct Ingest<'a> {
    /// The index.
    pub writer: &'a mut Writer,
    /// What makes vectors.
    pub encoders: &'a Encoders,
    /// Who parses and draws.
    pub parsers: &'a Pool,
    /// Documents that are parsed at once.
    pub workers: usize,
    /// Pages that are encoded and written at once; fewer where memory is short.
    pub batch: usize,
    /// The most bytes of a file.
    pub file_bytes: u64,
    /// Passwords to try on encrypted files.
    pub passwords: &'a [String],
    /// A kind that all these documents are of.
    pub category: Option<&'a str>,
    /// Whether small images of pages are kept.
    pub previews: bool,
    /// Who reads pages whose own words are missing or in doubt, if anybody is to.
    pub reading: Option<Reading<'a>>,
}

/// What happens while documents are indexed.
#[derive(Debug)]
#[non_exhaustive]
pub enum News<'a> {
    /// A document is open, and so many of its pages are wanted.
    Opened {
        /// The file.
        file: &'a Path,
        /// Pages that are not in the index yet.
        pages: usize,
    },
    /// A document is in the index as it is.
    Unchanged {
        /// The file.
        file: &'a Path,
    },
    /// A document cannot be indexed at all.
    Lost {
        /// The file.
        file: &'a Path,
        /// Why.
        error: &'a documents::Error,
    },
    /// A page is in the index.
    Page {
        /// The file.
        file: &'a Path,
        /// The page, from 1.
        number: u32,
        /// Why it cannot be found.
        failure: Option<&'a str>,
        /// Why it has no words, if nobody could read it and it can be found all the same.
        unread: Option<&'a str>,
    },
    /// A document is in the index with all its pages.
    Done {
        /// The file.
        file: &'a Path,
    },
}

/// Whoever looks on.
pub trait IngestWatch {
    /// Something happened.
    fn news(&mut self, news: News<'_>);

    /// Whether to give up; asked after each batch.
    fn stop(&self) -> bool {
        false
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestTotals {
    /// Documents that are in the index now.
    pub documents: usize,
    /// Documents that were there as they are.
    pub unchanged: usize,
    /// Documents that could not be indexed at all.
    pub lost: usize,
    /// Pages that were added.
    pub pages: usize,
    /// Those of them that are as they were, so that they were not encoded again.
    pub kept: usize,
    /// Those of them that cannot be found, with reasons.
    pub failed: usize,
    /// Those of them that somebody read.
    pub read: usize,
    /// Those of them that nobody could read, and that are found by their looks at best.
    pub unread: usize,
    /// What took how long.
    pub stages: IngestStages,
}

/// How long each stage took, over all of its threads. Those before `encode` go on beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestStages {
    /// Files opened and laid out.
    pub parse: Duration,
    /// Files laid out, and their pages read, where somebody reads.
    pub read: Duration,
    /// Pages drawn for a model.
    pub draw: Duration,
    /// Pages resized and parted.
    pub prepare: Duration,
    /// Small images drawn and compressed.
    pub preview: Duration,
    /// Models at work.
    pub encode: Duration,
    /// Pages written.
    pub write: Duration,
    /// The one who encodes and writes, waiting for pages.
    pub wait: Duration,
}

impl Ingest<'_> {
    /// Indexes `files`, in no order.
    ///
    /// # Errors
    /// When the index cannot be written or `watch` gave up. What was written stays. What is wrong with a file or a page is no
    /// error: `watch` is told.
    pub fn run(
        &mut self,
        files: &[PathBuf],
        watch: &mut dyn IngestWatch,
    ) -> Result<IngestTotals, Error> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let clocks = Clocks::default();
        // While a batch is encoded, the next one is drawn.
        let (sender, receiver) = sync_channel(self.batch.max(1));
        let parser = Parser {
            files,
            encoders: self.encoders,
            pool: self.parsers,
            file_bytes: self.file_bytes,
            passwords: self.passwords,
            category: self.category,
            previews: self.previews,
            reading: self.reading,
            stop: &stop,
            clocks: &clocks,
        };
        let workers = self.workers.clamp(1, files.len().max(1));
        thread::scope(|scope| {
            for _ in 0..workers {
                let (sender, next, parser) = (sender.clone(), &next, &parser);
                scope.spawn(move || {
                    while let Some(at) = next_file(next, files.len(), parser.stop) {
                        if parser.parse(at, &sender).is_none() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            let mut result = self.take(files, &receiver, watch);
            if let Ok(totals) = &mut result {
                let Clocks { parse, read, draw, prepare, preview } = &clocks;
                let [parse, read, draw, prepare, preview] =
                    [parse, read, draw, prepare, preview].map(Clock::read);
                totals.stages =
                    IngestStages { parse, read, draw, prepare, preview, ..totals.stages };
            }
            // Whoever still sends is told that nobody listens.
            stop.store(true, Ordering::Relaxed);
            drop(receiver);
            result
        })
    }

    fn take(
        &mut self,
        files: &[PathBuf],
        receiver: &Receiver<Told>,
        watch: &mut dyn IngestWatch,
    ) -> Result<IngestTotals, Error> {
        let mut totals = IngestTotals::default();
        let mut batch: Vec<(usize, DocumentId, Parsed)> = Vec::new();
        let mut finished: Vec<(usize, DocumentId)> = Vec::new();
        let (mut waiting, mut room, mut last) = (0, room(), Instant::now());
        loop {
            let begun = Instant::now();
            let told = match receiver.recv_timeout(LOOK) {
                Ok(told) => Some(told),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            totals.stages.wait += begun.elapsed();
            let is_late = told.is_none() && self.reading.is_some() && last.elapsed() > PATIENCE;
            if told.is_some() {
                last = Instant::now();
            }
            match told {
                Some(Told::Open { at, document, reply }) => {
                    let begun = self.writer.begin(&document)?;
                    let pages = document.pages as usize;
                    let mut known = Vec::new();
                    match &begun {
                        Begun::Unchanged(_) => {
                            totals.unchanged += 1;
                            self.forget(&files[at])?;
                            watch.news(News::Unchanged { file: &files[at] });
                        }
                        Begun::Open { document, have } => {
                            let pages = pages - have.len();
                            if self.reading.is_some() {
                                known = self.writer.read_before(*document)?;
                            }
                            watch.news(News::Opened { file: &files[at], pages });
                        }
                    }
                    // Who asked may have ended.
                    let _ = reply.send((begun, known));
                }
                Some(Told::Page { at, document, page }) => {
                    waiting += page.bytes();
                    batch.push((at, document, *page));
                }
                Some(Told::Done { at, document }) => finished.push((at, document)),
                Some(Told::Lost { at, error }) => {
                    totals.lost += 1;
                    watch.news(News::Lost { file: &files[at], error: &error });
                }
                Some(Told::Over { error }) => {
                    self.put(files, &mut batch, &mut finished, &mut totals, watch)?;
                    return Err(error.into());
                }
                None => {}
            }
            let is_full = batch.len() >= self.batch.max(1) || waiting >= room;
            // A document without pages to add is finished at once.
            if is_full || is_late || (batch.is_empty() && !finished.is_empty()) {
                self.put(files, &mut batch, &mut finished, &mut totals, watch)?;
                (waiting, room) = (0, self::room());
            }
            if watch.stop() {
                self.put(files, &mut batch, &mut finished, &mut totals, watch)?;
                return Err(Error::Stopped);
            }
        }
        self.put(files, &mut batch, &mut finished, &mut totals, watch)?;
        Ok(totals)
    }

    /// Encodes and writes what there is.
    fn put(
        &mut self,
        files: &[PathBuf],
        batch: &mut Vec<(usize, DocumentId, Parsed)>,
        finished: &mut Vec<(usize, DocumentId)>,
        totals: &mut IngestTotals,
        watch: &mut dyn IngestWatch,
    ) -> Result<(), Error> {
        if batch.is_empty() && finished.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        let made = self.make(batch)?;
        totals.stages.encode += begun.elapsed();
        let begun = Instant::now();
        let pages: Vec<NewPage<'_>> = batch
            .iter()
            .zip(&made)
            .map(|((_, document, page), Ready { made, same, .. })| NewPage {
                document: *document,
                number: page.number,
                hash: page.hash,
                looks: page.looks.map(|(looks, _)| looks),
                text: &page.text,
                read: page.read.as_ref().map(read_by),
                vectors: match same {
                    Some(same) => self.encoders.compares().then_some(PageVectors::SameAs(*same)),
                    // A page that failed is not compared, whatever was made of it.
                    None => (!made.vectors.is_empty() && page.failure.is_none())
                        .then_some(PageVectors::New { vectors: &made.vectors, grid: made.grid }),
                },
                dense: &made.dense,
                sparse: &made.sparse,
                preview: page
                    .preview
                    .as_ref()
                    .map(|it| Preview { kind: it.media_type(), bytes: &it.bytes }),
                failure: page.failure.as_deref(),
            })
            .collect();
        let done: Vec<DocumentId> = finished.iter().map(|(_, document)| *document).collect();
        self.writer.commit(&pages, &done)?;
        drop(pages);
        totals.stages.write += begun.elapsed();
        totals.kept += made.iter().filter(|ready| ready.is_kept).count();
        for (at, _, page) in batch.drain(..) {
            totals.pages += 1;
            totals.failed += usize::from(page.failure.is_some());
            let failure = page.failure.as_deref();
            let mut unread = None;
            if let Some((kind, _, because)) = &page.read {
                match kind {
                    ReaderKind::Model | ReaderKind::Engine => totals.read += 1,
                    // That it cannot be found at all is told instead.
                    ReaderKind::Nobody if failure.is_none() => {
                        totals.unread += 1;
                        unread = Some(because.as_deref().unwrap_or_default());
                    }
                    ReaderKind::TextLayer | ReaderKind::Nobody => {}
                }
            }
            watch.news(News::Page { file: &files[at], number: page.number, failure, unread });
        }
        for (at, _) in finished.drain(..) {
            totals.documents += 1;
            self.forget(&files[at])?;
            watch.news(News::Done { file: &files[at] });
        }
        Ok(())
    }

    /// A document is in the index: what was read of it need not be kept elsewhere.
    fn forget(&self, file: &Path) -> Result<(), Error> {
        Ok(self.reading.map_or(Ok(()), |reading| reading.forget(file))?)
    }

    /// What is made of each page, or the page that it was made of before. What cannot be made is noted down as the page's failure.
    fn make(&self, batch: &mut [(usize, DocumentId, Parsed)]) -> Result<Vec<Ready>, Error> {
        let mut all: Vec<Ready> = Vec::with_capacity(batch.len());
        let mut wanted = Vec::new();
        for (at, (_, document, page)) in batch.iter_mut().enumerate() {
            let twin = match page.failure {
                Some(_) => None,
                None => self.writer.twin(*document, page.hash)?,
            };
            if let Some(twin) = twin {
                let index::Made { dense, sparse } = self.writer.made(twin)?;
                let made = Made { dense, sparse, ..Made::default() };
                all.push(Ready { made, same: Some(twin), is_kept: true });
                continue;
            }
            // What was read may be other words than before, on a page that looks the same.
            let same = match (&page.failure, page.looks) {
                (None, Some((looks, bare))) => self.writer.lookalike(*document, looks, bare)?,
                (Some(_), _) | (_, None) => None,
            };
            if same.is_some() {
                page.image = None;
            }
            let is_kept = same.is_some() && !self.encoders.says();
            all.push(Ready { made: Made::default(), same, is_kept });
            wanted.push(at);
        }
        let new = |&at: &usize| (batch[at].2.image.clone(), batch[at].2.passages.as_slice());
        let encoded = self.encoders.pages(&wanted.iter().map(new).collect::<Vec<_>>());
        for (at, encoded) in wanted.into_iter().zip(encoded) {
            match encoded {
                Ok(of) => all[at].made = of,
                Err(error) => {
                    all[at].same = None;
                    batch[at].2.failure = Some(crate::chain(&error));
                }
            }
        }
        Ok(all)
    }
}

/// What is written of a page.
struct Ready {
    made: Made,
    /// The page whose vectors for late interaction it has.
    same: Option<PageId>,
    /// Whether nothing was encoded.
    is_kept: bool,
}

/// Bytes that pages may take which wait to be encoded.
fn room() -> u64 {
    (Machine::look().memory_available / WAITING).max(LEAST)
}

fn next_file(next: &AtomicUsize, files: usize, stop: &AtomicBool) -> Option<usize> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    (at < files && !stop.load(Ordering::Relaxed)).then_some(at)
}
