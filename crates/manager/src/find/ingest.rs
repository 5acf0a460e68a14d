//! Documents into an index: parsed and drawn side by side, encoded in batches, written as they come.
//!
//! Whoever is killed leaves whole pages behind, and the next run adds the others. A document that has changed is found as it was
//! until all of its pages are there.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::SystemTime;

use documents::markdown::{MarkdownOptions, write_page};
use documents::pipeline::{Parse as _, Raster, Render as _, lay_out_opened};
use documents::worker::Pool;
use documents::workspace::moment;
use documents::{Document, Origin, Page, PageSet, Source, picture};
use index::{Begun, Date, DocumentId, Hash, NewDocument, NewPage, PageVectors, Preview, Writer};
use sha2::{Digest as _, Sha256};
use text::Image;

use super::{Encoders, Error};

/// Pixels of the longer side of a page that a model is shown: more than those of its kind look at.
const SHOWN: u32 = 1600;
/// The same of the preview that is kept.
const PREVIEW: u32 = 640;
/// The quality of the preview, of 100.
const QUALITY: u8 = 70;

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
    /// Pages that are encoded and written at once.
    pub batch: usize,
    /// The most bytes of a file.
    pub file_bytes: u64,
    /// Passwords to try on encrypted files.
    pub passwords: &'a [String],
    /// A kind that all these documents are of.
    pub category: Option<&'a str>,
    /// Whether small images of pages are kept.
    pub previews: bool,
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
    /// Those of them that cannot be found, with reasons.
    pub failed: usize,
}

/// What parsers tell.
enum Told {
    Open { at: usize, document: NewDocument, reply: Sender<Begun> },
    Page { at: usize, document: DocumentId, page: Box<Parsed> },
    Done { at: usize, document: DocumentId },
    Lost { at: usize, error: documents::Error },
}

/// A page before it is encoded.
struct Parsed {
    number: u32,
    text: String,
    passages: Vec<String>,
    hash: Hash,
    image: Option<Image>,
    preview: Option<Vec<u8>>,
    failure: Option<String>,
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
        let (sender, receiver) = sync_channel(2 * self.batch.max(1));
        let parser = Parser {
            files,
            encoders: self.encoders,
            pool: self.parsers,
            file_bytes: self.file_bytes,
            passwords: self.passwords,
            category: self.category,
            previews: self.previews,
            stop: &stop,
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
            let result = self.take(files, &receiver, watch);
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
        for told in receiver {
            match told {
                Told::Open { at, document, reply } => {
                    let begun = self.writer.begin(&document)?;
                    let pages = document.pages as usize;
                    match &begun {
                        Begun::Unchanged(_) => {
                            totals.unchanged += 1;
                            watch.news(News::Unchanged { file: &files[at] });
                        }
                        Begun::Open { have, .. } => {
                            let pages = pages - have.len();
                            watch.news(News::Opened { file: &files[at], pages });
                        }
                    }
                    // Who asked may have ended.
                    let _ = reply.send(begun);
                }
                Told::Page { at, document, page } => batch.push((at, document, *page)),
                Told::Done { at, document } => finished.push((at, document)),
                Told::Lost { at, error } => {
                    totals.lost += 1;
                    watch.news(News::Lost { file: &files[at], error: &error });
                }
            }
            // A document without pages to add is finished at once.
            if batch.len() >= self.batch.max(1) || (batch.is_empty() && !finished.is_empty()) {
                self.put(files, &mut batch, &mut finished, &mut totals, watch)?;
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
        let wanted: Vec<(Option<Image>, &[String])> = batch
            .iter()
            .map(|(_, _, page)| (page.image.clone(), page.passages.as_slice()))
            .collect();
        let mut made = self.encoders.pages(&wanted);
        for ((_, _, page), made) in batch.iter_mut().zip(&mut made) {
            if let Err(error) = made {
                page.failure = Some(crate::chain(error));
                *made = Ok(Default::default());
            }
        }
        let made: Vec<_> = made.into_iter().map(Result::unwrap_or_default).collect();
        let pages: Vec<NewPage<'_>> = batch
            .iter()
            .zip(&made)
            .map(|((_, document, page), made)| NewPage {
                document: *document,
                number: page.number,
                hash: page.hash,
                text: &page.text,
                vectors: (!made.vectors.is_empty())
                    .then_some(PageVectors::New { vectors: &made.vectors, grid: made.grid }),
                dense: &made.dense,
                sparse: &made.sparse,
                preview: page.preview.as_deref().map(|bytes| Preview { kind: "image/jpeg", bytes }),
                failure: page.failure.as_deref(),
            })
            .collect();
        let done: Vec<DocumentId> = finished.iter().map(|(_, document)| *document).collect();
        self.writer.commit(&pages, &done)?;
        drop(pages);
        for (at, _, page) in batch.drain(..) {
            totals.pages += 1;
            totals.failed += usize::from(page.failure.is_some());
            let failure = page.failure.as_deref();
            watch.news(News::Page { file: &files[at], number: page.number, failure });
        }
        for (at, _) in finished.drain(..) {
            totals.documents += 1;
            watch.news(News::Done { file: &files[at] });
        }
        Ok(())
    }
}

fn next_file(next: &AtomicUsize, files: usize, stop: &AtomicBool) -> Option<usize> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    (at < files && !stop.load(Ordering::Relaxed)).then_some(at)
}

/// What a thread that parses has.
struct Parser<'a> {
    files: &'a [PathBuf],
    encoders: &'a Encoders,
    pool: &'a Pool,
    file_bytes: u64,
    passwords: &'a [String],
    category: Option<&'a str>,
    previews: bool,
    stop: &'a AtomicBool,
}

impl Parser<'_> {
    /// Parses a file and sends its pages. Nothing if nobody listens any more.
    fn parse(&self, at: usize, sender: &SyncSender<Told>) -> Option<()> {
        match self.pages(at, sender) {
            Ok(sent) => sent,
            Err(error) => sender.send(Told::Lost { at, error }).ok(),
        }
    }

    fn pages(&self, at: usize, sender: &SyncSender<Told>) -> Result<Option<()>, documents::Error> {
        let file = &self.files[at];
        let source = Source::read(file, self.file_bytes)?;
        let (name, hash) = (source.name.clone(), Hash(Sha256::digest(&source.bytes).into()));
        let mut parser = self.pool.lease();
        let outline = parser.open(source, self.passwords)?;
        let document = NewDocument {
            path: path(file),
            hash,
            pages: outline.pages,
            date: day(file),
            category: self.category.map(str::to_owned),
            metadata: outline
                .title
                .iter()
                .map(|title| ("title".to_owned(), short(title)))
                .collect(),
        };
        let (reply, begun) = channel();
        if sender.send(Told::Open { at, document, reply }).is_err() {
            return Ok(None);
        }
        let Ok(begun) = begun.recv() else { return Ok(None) };
        let Begun::Open { document, have } = begun else { return Ok(Some(())) };
        let laid_out = lay_out_opened(name, outline, &PageSet::all(), &mut *parser)?;
        let mut passages = self.encoders.passages(&laid_out);
        for page in laid_out.pages.iter().filter(|page| !have.contains(&page.number)) {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let passages = passages.remove(&page.number).unwrap_or_default();
            let parsed = Box::new(self.page(&laid_out, page, passages, &mut parser));
            if sender.send(Told::Page { at, document, page: parsed }).is_err() {
                return Ok(None);
            }
        }
        Ok(sender.send(Told::Done { at, document }).ok())
    }

    fn page(
        &self,
        document: &Document,
        page: &Page,
        passages: Vec<String>,
        parser: &mut documents::worker::Worker,
    ) -> Parsed {
        let has_text = !matches!(page.origin, Origin::Failed(_) | Origin::NoText { .. });
        let text =
            if has_text { write_page(page, MarkdownOptions::default()) } else { String::new() };
        let mut parsed = Parsed {
            number: page.number,
            text,
            passages,
            hash: Hash([0; 32]),
            image: None,
            preview: None,
            failure: None,
        };
        let mut sha256 = Sha256::new();
        sha256.update(parsed.text.as_bytes());
        let looks = self.encoders.looks();
        if looks {
            match parser.render(page.number - 1, Raster { longest: SHOWN }) {
                Ok(drawn) => {
                    let encoded = picture::png(&drawn);
                    sha256.update(b"\0");
                    sha256.update(&encoded);
                    let name = format!("{} page {}", document.name, page.number);
                    parsed.image = Some(Image::new(encoded).named(name));
                }
                Err(failure) => parsed.failure = Some(failure.to_string()),
            }
        } else if let Origin::Failed(failure) = &page.origin {
            parsed.failure = Some(failure.to_string());
        } else if matches!(page.origin, Origin::NoText { .. }) {
            let why = "it is an image without text, and no model that looks at pages was named";
            parsed.failure = Some(why.to_owned());
        }
        if self.previews {
            // A page that cannot be drawn small has no preview, and is found all the same.
            let drawn = parser.render(page.number - 1, Raster { longest: PREVIEW });
            parsed.preview = drawn.ok().and_then(|drawn| picture::jpeg(&drawn, QUALITY).ok());
        }
        parsed.hash = Hash(sha256.finalize().into());
        parsed
    }
}

/// What a file is called in an index: where it is on this machine.
pub fn path(file: &Path) -> String {
    let path = std::fs::canonicalize(file).or_else(|_| std::path::absolute(file));
    path.as_deref().unwrap_or(file).to_string_lossy().into_owned()
}

/// A title that an index takes.
fn short(title: &str) -> String {
    title.chars().filter(|c| !c.is_control()).take(500).collect()
}

/// The day of a file's last change.
fn day(file: &Path) -> Option<Date> {
    let modified = std::fs::metadata(file).and_then(|of| of.modified()).ok()?;
    let text = moment::write(modified.max(SystemTime::UNIX_EPOCH));
    text.get(..10)?.parse().ok()
}
