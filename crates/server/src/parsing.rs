//! Strangers' PDFs, parsed in a process of their own: within a time, and as long as somebody wants it.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use documents::layout::{PageLayout, Warning};
use documents::picture::Picture;
use documents::pipeline::{
    self, Outline, Parse, Raster, ReadOptions, Render, Room, Watch, lay_out_opened,
};
use documents::worker::Worker;
use documents::{Document, Limits, PageFailure, PageSet, Source, World};
use tokio_util::sync::CancellationToken;

use crate::mcp::Files;

/// Bytes that parsing may take.
const MEMORY: u64 = 2 << 30;

/// How long it may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Within {
    /// To open a file, and for each of its pages.
    pub(crate) each: Duration,
    /// After that no page is begun.
    pub(crate) deadline: Instant,
}

/// A file that is open, and is parsed until somebody says stop or the time is over.
pub(crate) struct Opened {
    name: String,
    outline: Outline,
    watched: Watched,
}

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOpened {
    /// There is nothing to open it with.
    #[error("this server reads no PDFs: it was started without a worker")]
    NoWorker,
    /// It cannot be opened.
    #[error("{}", in_words(.0))]
    Document(documents::Error),
}

/// A parser that is told to stop.
struct Watched {
    parser: Worker,
    /// What is known of the file, for whoever opens it once more.
    outline: Option<Outline>,
    /// Characters that may still come.
    characters: u64,
    deadline: Instant,
    stop: CancellationToken,
    told: Box<dyn FnMut() + Send>,
    /// The first page that was not begun, from 0.
    late: Option<u32>,
}

impl Opened {
    /// Opens a file with the worker of `files`.
    ///
    /// # Errors
    ///
    /// In words, if there is no worker, or it cannot open the file.
    pub(crate) fn new(files: &Files, source: Source, within: Within) -> Result<Self, String> {
        Self::with_passwords(files, source, within, &[]).map_err(|error| error.to_string())
    }

    /// The same, of a file that one of these passwords may open.
    ///
    /// # Errors
    ///
    /// If there is no worker, or it cannot open the file.
    pub(crate) fn with_passwords(
        files: &Files,
        source: Source,
        within: Within,
        passwords: &[String],
    ) -> Result<Self, NotOpened> {
        let Some((program, arguments)) = files.worker.split_first() else {
            return Err(NotOpened::NoWorker);
        };
        let (program, arguments) = (program.clone(), arguments.to_vec());
        let start = move || {
            let mut command = Command::new(&program);
            command.args(&arguments);
            command
        };
        let limits = Limits {
            file_bytes: source.bytes.len() as u64,
            open_time: within.each,
            page_time: within.each,
            memory_bytes: MEMORY,
            ..Limits::default()
        };
        let (name, mut parser) = (source.name.clone(), Worker::new(start, limits));
        let outline = parser.open(source, passwords).map_err(NotOpened::Document)?;
        let watched = Watched {
            parser,
            outline: None,
            characters: u64::MAX,
            deadline: within.deadline,
            stop: CancellationToken::new(),
            told: Box::new(|| ()),
            late: None,
        };
        Ok(Self { name, outline, watched })
    }

    /// How many pages it has.
    pub(crate) fn pages(&self) -> u32 {
        self.outline.pages
    }

    /// The same, of which no page is begun after `stop`; `told` is called after each.
    pub(crate) fn stopping(
        mut self,
        stop: CancellationToken,
        told: impl FnMut() + Send + 'static,
    ) -> Self {
        (self.watched.stop, self.watched.told) = (stop, Box::new(told));
        self
    }

    /// The same, of which no page is begun when so many characters have come.
    pub(crate) fn at_most(mut self, characters: u64) -> Self {
        self.watched.characters = characters;
        self
    }

    /// Reads it by what it says itself, and shows to `world` what needs that; and whether it was too long.
    ///
    /// # Errors
    ///
    /// As [`pipeline::read`].
    pub(crate) fn read(
        self,
        options: &ReadOptions,
        world: &dyn World,
        room: &Room,
        watch: &mut dyn Watch,
    ) -> (Result<Document, documents::Error>, bool) {
        let Self { name, outline, mut watched } = self;
        watched.outline = Some(outline);
        let source = Source { name, bytes: Vec::new() };
        let read = pipeline::read(source, options, &mut watched, world, room, watch);
        (read, watched.characters == 0)
    }

    /// Reads these pages without a model; and which of them, counted from 1, was the first for which there was no time.
    ///
    /// # Errors
    ///
    /// In words, if there is no such page.
    pub(crate) fn lay_out(self, pages: &PageSet) -> Result<(Document, Option<u32>), String> {
        let Self { name, outline, mut watched } = self;
        let document = lay_out_opened(name, outline, pages, &mut watched);
        let document = document.map_err(|error| in_words(&error))?;
        Ok((document, watched.late.map(|index| index + 1)))
    }
}

impl Parse for Watched {
    fn open(&mut self, source: Source, passwords: &[String]) -> Result<Outline, documents::Error> {
        match self.outline.take() {
            Some(outline) => Ok(outline),
            None => self.parser.open(source, passwords),
        }
    }

    fn page(&mut self, index: u32) -> Result<PageLayout, PageFailure> {
        if self.stop.is_cancelled() || Instant::now() >= self.deadline {
            self.late = Some(self.late.map_or(index, |first| first.min(index)));
            return Err(PageFailure::GivenUp { deaths: 0 });
        }
        let page = self.parser.page(index);
        if let Ok(page) = &page {
            let came = u64::from(page.visible_glyphs) + u64::from(page.hidden_glyphs);
            self.characters = self.characters.saturating_sub(came);
            if self.characters == 0 {
                self.stop.cancel();
            }
        }
        (self.told)();
        page
    }
}

impl Render for Watched {
    fn render(&mut self, index: u32, raster: Raster) -> Result<Picture, PageFailure> {
        self.parser.render(index, raster)
    }

    fn omissions(&self) -> BTreeMap<Warning, u32> {
        self.parser.omissions()
    }
}

/// An error, and what to do about it.
pub(crate) fn in_words(error: &documents::Error) -> String {
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{error}{hint}")
}
