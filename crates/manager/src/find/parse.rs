//! Files made into pages that can be encoded: parsed, laid out, drawn and resized, by threads beside the one that encodes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, SyncSender, channel};
use std::time::{Duration, Instant, SystemTime};

use documents::pipeline::{Opened, Outline, Parse as _, Raster, Render as _, lay_out_opened};
use documents::preview::Thumbnail;
use documents::worker::{Pool, Worker};
use documents::workspace::moment;
use documents::{Error, Origin, Page, PageSet, Source};
use index::{Begun, Date, DocumentId, Hash, NewDocument, ReadPage, ReaderKind};
use sha2::{Digest as _, Sha256};

use super::reading::{Wanted, reader, words};
use super::{Encoders, Reading};
use crate::runtime::PreparedImage;

/// Pixels of the longer side of a page that a model is shown: more than those of its kind look at.
const SHOWN: u32 = 1600;
/// The same of the preview that is kept.
const PREVIEW: u32 = 640;

/// How long something took, over all threads.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicU64);

impl Clock {
    pub(super) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.add(begun.elapsed());
        done
    }

    pub(super) fn add(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// What the threads that parse spend their time with.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    pub(super) parse: Clock,
    pub(super) read: Clock,
    pub(super) draw: Clock,
    pub(super) prepare: Clock,
    pub(super) preview: Clock,
}

/// What parsers tell.
pub(super) enum Told {
    /// With the answer comes what was read before of a file of the same content.
    Open {
        at: usize,
        document: NewDocument,
        reply: Sender<(Begun, Vec<ReadPage>)>,
    },
    Page {
        at: usize,
        document: DocumentId,
        page: Box<Parsed>,
    },
    Done {
        at: usize,
        document: DocumentId,
    },
    Lost {
        at: usize,
        error: Error,
    },
    /// No document can be gone on with.
    Over {
        error: Error,
    },
}

/// A page before it is encoded.
pub(super) struct Parsed {
    pub(super) number: u32,
    pub(super) text: String,
    pub(super) passages: Vec<String>,
    pub(super) hash: Hash,
    /// Of the image that a model is shown, and of a page that has this image and no words.
    pub(super) looks: Option<(Hash, Hash)>,
    /// Who read it: what sort of reader, its name, and what is said beside.
    pub(super) read: Option<(ReaderKind, String, Option<String>)>,
    pub(super) image: Option<PreparedImage>,
    pub(super) preview: Option<Thumbnail>,
    pub(super) failure: Option<String>,
}

impl Parsed {
    /// What it takes in memory, about.
    pub(super) fn bytes(&self) -> u64 {
        let image = self.image.as_ref().map_or(0, PreparedImage::bytes);
        let preview = self.preview.as_ref().map_or(0, |preview| preview.bytes.len());
        (image + preview + 2 * self.text.len()) as u64
    }
}

/// What a thread that parses has.
pub(super) struct Parser<'a> {
    pub(super) files: &'a [PathBuf],
    pub(super) encoders: &'a Encoders,
    pub(super) pool: &'a Pool,
    pub(super) file_bytes: u64,
    pub(super) passwords: &'a [String],
    pub(super) category: Option<&'a str>,
    pub(super) previews: bool,
    pub(super) reading: Option<Reading<'a>>,
    pub(super) stop: &'a AtomicBool,
    pub(super) clocks: &'a Clocks,
}

impl Parser<'_> {
    /// Parses a file and sends its pages. Nothing if nobody listens any more.
    pub(super) fn parse(&self, at: usize, sender: &SyncSender<Told>) -> Option<()> {
        match self.pages(at, sender) {
            Ok(sent) => sent,
            // Who reads, and where it is kept, is the same for all.
            Err(error) if self.reading.is_some() && is_over(&error) => {
                sender.send(Told::Over { error }).ok()
            }
            Err(error) => sender.send(Told::Lost { at, error }).ok(),
        }
    }

    fn pages(&self, at: usize, sender: &SyncSender<Told>) -> Result<Option<()>, Error> {
        let clocks = self.clocks;
        let file = &self.files[at];
        let source = Source::read(file, self.file_bytes)?;
        let hash = content(&source.bytes);
        let mut parser = self.pool.lease();
        let wanted = Wanted { file, passwords: self.passwords, stop: self.stop };
        let way = clocks.parse.time(|| -> Result<Way<'_>, Error> {
            let Some(reading) = &self.reading else {
                let name = source.name.clone();
                return Ok(Way::Parse(name, parser.open(source, self.passwords)?));
            };
            Ok(Way::Read(reading, reading.open(source, &wanted, &mut parser)?))
        })?;
        let outline = way.outline();
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
            reading: self.reading.as_ref().map(Reading::way),
        };
        let (reply, begun) = channel();
        if sender.send(Told::Open { at, document, reply }).is_err() {
            return Ok(None);
        }
        let Ok((begun, known)) = begun.recv() else { return Ok(None) };
        let Begun::Open { document, have } = begun else { return Ok(Some(())) };
        let laid_out = match way {
            Way::Read(reading, opened) => {
                let begun = Instant::now();
                let read = reading.read(opened, &wanted, (&have, known), &mut parser);
                clocks.read.add(begun.elapsed());
                read?
            }
            Way::Parse(name, outline) => {
                let all = &PageSet::all();
                clocks.parse.time(|| lay_out_opened(name, outline, all, &mut *parser))?
            }
        };
        let mut passages = clocks.prepare.time(|| self.encoders.passages(&laid_out));
        for page in laid_out.pages.iter().filter(|page| !have.contains(&page.number)) {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let passages = passages.remove(&page.number).unwrap_or_default();
            let parsed = Box::new(self.page(page, passages, &mut parser));
            if sender.send(Told::Page { at, document, page: parsed }).is_err() {
                return Ok(None);
            }
        }
        Ok(sender.send(Told::Done { at, document }).ok())
    }

    fn page(&self, page: &Page, passages: Vec<String>, parser: &mut Worker) -> Parsed {
        let mut parsed = Parsed {
            number: page.number,
            text: words(page),
            passages,
            hash: Hash([0; 32]),
            looks: None,
            read: reader(page, self.reading.is_some()),
            image: None,
            preview: None,
            failure: None,
        };
        let mut image = None;
        if self.encoders.looks() {
            match self.shown(page.number, parser) {
                Ok(prepared) => {
                    let digest = prepared.as_ref().map_or([0; 32], PreparedImage::digest);
                    parsed.looks = Some((Hash(digest), hash([""].into_iter(), Some(digest))));
                    (image, parsed.image) = (Some(digest), prepared);
                }
                Err(failure) => parsed.failure = Some(failure),
            }
        } else if let Origin::Failed(failure) = &page.origin {
            parsed.failure = Some(failure.to_string());
        } else if matches!(page.origin, Origin::NoText { .. }) {
            let why = "it is an image without text: have it read (`--read`), or name a model that looks at pages";
            parsed.failure = Some(why.to_owned());
        }
        if self.previews {
            // A page that cannot be drawn small has no preview, and is found all the same.
            let draw = || Thumbnail::draw(parser, page.number, PREVIEW).ok();
            parsed.preview = self.clocks.preview.time(draw);
        }
        let texts = std::iter::once(&parsed.text).chain(&parsed.passages);
        parsed.hash = hash(texts.map(String::as_str), image);
        parsed
    }

    /// A page as the model that looks at pages takes it, or why not.
    fn shown(&self, number: u32, parser: &mut Worker) -> Result<Option<PreparedImage>, String> {
        let draw = || parser.render(number - 1, Raster { longest: SHOWN });
        let drawn = self.clocks.draw.time(draw).map_err(|failure| failure.to_string())?;
        let prepared = self.clocks.prepare.time(|| self.encoders.prepare(drawn));
        prepared.map_err(|error| crate::chain(&error))
    }
}

/// A file that is open: to be read, or to be laid out as it is.
enum Way<'a> {
    Read(&'a Reading<'a>, Opened),
    Parse(String, Outline),
}

impl Way<'_> {
    fn outline(&self) -> &Outline {
        match self {
            Self::Read(_, opened) => &opened.outline,
            Self::Parse(_, outline) => outline,
        }
    }
}

/// Whether an error ends the work on all documents: nobody can read any more, or nothing can be kept.
fn is_over(error: &Error) -> bool {
    error.is_everybodys() || matches!(error, Error::Workspace { .. })
}

/// What stands for a page in an index: its words and passages, and the image that a model is shown, if one is.
fn hash<'a>(texts: impl Iterator<Item = &'a str>, image: Option<[u8; 32]>) -> Hash {
    let mut sha256 = Sha256::new();
    for text in texts {
        sha256.update((text.len() as u64).to_le_bytes());
        sha256.update(text);
    }
    if let Some(digest) = image {
        sha256.update(digest);
    }
    Hash(sha256.finalize().into())
}

/// What stands for a file's content in an index.
pub fn content(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
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
