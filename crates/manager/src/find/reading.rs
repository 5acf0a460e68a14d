//! Pages whose own words are missing or in doubt, read before they are indexed: as `documents` reads them, with what was read
//! kept until it is in the index.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use documents::markdown::{MarkdownOptions, write_page};
use documents::pipeline::{
    Event, Keep, Opened, PageReading, ReadOptions, Reader, Room, Watch, resume_opened,
};
use documents::worker::Worker;
use documents::workspace::Checkpoints;
use documents::{Document, Error, Origin, Page, Source, World};
use index::{ReadBy, ReadPage, ReaderKind};

use super::parse::path;

/// Who reads pages for an index, and how.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// Who reads.
    pub world: &'a dyn World,
    /// How many pages at once, over all files.
    pub room: &'a Room,
    /// How they are read: which pages and which passwords is not said here.
    pub options: &'a ReadOptions,
    /// Where pages are kept that were read, until they are in the index.
    pub checkpoints: &'a Checkpoints,
    /// Is told what happens, from several threads.
    pub told: &'a (dyn Fn(ReadNews<'_>) + Sync),
}

/// What happens while pages are read for an index.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ReadNews<'a> {
    /// So many pages of a file are to be read.
    Begun {
        /// The file.
        file: &'a Path,
        /// Pages that somebody looks at now.
        pages: usize,
    },
    /// A page was read, or nobody could.
    Page {
        /// The file.
        file: &'a Path,
        /// The page, from 1.
        number: u32,
    },
    /// So many pages of a file were read before, and were taken as they are.
    Known {
        /// The file.
        file: &'a Path,
        /// Pages.
        pages: usize,
    },
    /// Nobody who reads can be reached; it is tried again.
    Pause {
        /// The file.
        file: &'a Path,
        /// What they said.
        message: &'a str,
        /// After this time.
        pause: Duration,
    },
}

/// A file that is to be read.
pub(super) struct Wanted<'a> {
    pub(super) file: &'a Path,
    pub(super) passwords: &'a [String],
    /// Whether to give up.
    pub(super) stop: &'a AtomicBool,
}

impl Reading<'_> {
    /// How it is read, as an index knows it. Another version of a program reads as the one before; so does, of a model, what
    /// has its name.
    pub(super) fn way(&self) -> index::Reading {
        let reader = match self.world.readers().first() {
            Some(Reader::Model(name)) => format!("model {name}"),
            Some(Reader::Engine(_)) => "ocr_engine".to_owned(),
            Some(Reader::TextLayer | _) | None => "nobody".to_owned(),
        };
        index::Reading { mode: self.options.mode.name().to_owned(), reader }
    }

    /// Opens a file.
    pub(super) fn open(
        &self,
        source: Source,
        wanted: &Wanted<'_>,
        parser: &mut Worker,
    ) -> Result<Opened, Error> {
        let options = ReadOptions { passwords: wanted.passwords.to_vec(), ..self.options.clone() };
        self.keep(&options, &path(wanted.file)).open(source, parser, self.world)
    }

    /// Reads a file that `parser` has open. Pages of the numbers `have` are not looked at, whatever is on them; those that are
    /// `known` are taken as they were read.
    pub(super) fn read(
        &self,
        opened: Opened,
        wanted: &Wanted<'_>,
        (have, known): (&[u32], Vec<ReadPage>),
        parser: &mut Worker,
    ) -> Result<Document, Error> {
        let nothing = have.iter().map(|&page| (page, PageReading::of_text_layer(page, None)));
        let mut all: BTreeMap<u32, PageReading> = nothing.collect();
        for page in known {
            all.entry(page.number).or_insert_with(|| as_it_was(page));
        }
        let options = ReadOptions { known: all, ..self.options.clone() };
        let mut watch = Looker { reading: self, wanted };
        let name = path(wanted.file);
        let keep = self.keep(&options, &name);
        let read = resume_opened(opened, keep, parser, self.world, self.room, &mut watch)?;
        let pages = read.known.saturating_sub(have.len());
        if pages > 0 {
            (self.told)(ReadNews::Known { file: wanted.file, pages });
        }
        Ok(read.document)
    }

    /// Forgets what is kept of a file, since it is in the index.
    pub(super) fn forget(&self, file: &Path) -> Result<(), Error> {
        self.checkpoints.remove(&path(file))
    }

    fn keep<'k>(&'k self, options: &'k ReadOptions, name: &'k str) -> Keep<'k> {
        Keep { options, checkpoints: self.checkpoints, name, again: false }
    }
}

/// A page as it was read for a copy of its document.
fn as_it_was(page: ReadPage) -> PageReading {
    let by = match page.kind {
        ReaderKind::Model => Reader::Model(page.name),
        ReaderKind::Engine => Reader::Engine(page.name),
        ReaderKind::TextLayer | ReaderKind::Nobody => Reader::TextLayer,
    };
    PageReading {
        by,
        fallback: page.because.is_some(),
        because: page.because,
        ..PageReading::of_text_layer(
            page.number,
            Some(page.text).filter(|text| !text.trim().is_empty()),
        )
    }
}

/// Tells what happens to a file.
struct Looker<'a> {
    reading: &'a Reading<'a>,
    wanted: &'a Wanted<'a>,
}

impl Watch for Looker<'_> {
    fn event(&mut self, event: Event<'_>) {
        let (told, file) = (self.reading.told, self.wanted.file);
        match event {
            Event::LaidOut { to_read, .. } => {
                told(ReadNews::Begun { file, pages: to_read });
            }
            Event::Page { page, looked: true } => {
                told(ReadNews::Page { file, number: page.number });
            }
            Event::Pause { message, pause } => told(ReadNews::Pause { file, message, pause }),
            Event::Page { .. } | Event::Asked { .. } | Event::Attempt { .. } | _ => {}
        }
    }

    fn stop(&self) -> bool {
        self.wanted.stop.load(Ordering::Relaxed)
    }
}

/// The words of a page, as an index has them and models are shown them: none if there are none, whatever else would be said of it.
pub fn words(page: &Page) -> String {
    if matches!(page.origin, Origin::Failed(_) | Origin::NoText { .. }) {
        return String::new();
    }
    write_page(page, MarkdownOptions::default())
}

/// Who read a page, if its own words were in doubt and somebody was to read it, or if it could not be read at all: what sort of
/// reader, its name, and what is said beside.
pub(super) fn reader(page: &Page, is_read: bool) -> Option<(ReaderKind, String, Option<String>)> {
    let is_doubtful = is_read && page.need.is_some();
    match &page.origin {
        Origin::Transcript(reading) if is_doubtful => {
            let kind = match reading.by {
                Reader::Model(_) => ReaderKind::Model,
                Reader::Engine(_) => ReaderKind::Engine,
                Reader::TextLayer | _ => ReaderKind::TextLayer,
            };
            Some((kind, reading.by.name().to_owned(), reading.because.clone()))
        }
        Origin::TextLayer | Origin::HiddenText | Origin::Blank if is_doubtful => {
            Some((ReaderKind::TextLayer, String::new(), None))
        }
        Origin::Failed(failure) => {
            Some((ReaderKind::Nobody, String::new(), Some(failure.to_string())))
        }
        Origin::NoText { .. } if is_doubtful => {
            let why = "it is an image, and nobody looked at it".to_owned();
            Some((ReaderKind::Nobody, String::new(), Some(why)))
        }
        Origin::Transcript(_)
        | Origin::TextLayer
        | Origin::HiddenText
        | Origin::Blank
        | Origin::NoText { .. }
        | _ => None,
    }
}

/// The same as it is written.
pub(super) fn read_by(of: &(ReaderKind, String, Option<String>)) -> ReadBy<'_> {
    let (kind, name, because) = of;
    ReadBy { kind: *kind, name, because: because.as_deref() }
}
