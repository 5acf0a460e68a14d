//! A document on a thread of its own.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use hayro_syntax::Pdf;

use super::document::{Session, open};
use super::draw::Drawing;
use super::substitutes::Substitutes;
use crate::layout::{PageLayout, Warning, analyse};
use crate::picture::{Picture, panicked};
use crate::pipeline::{Outline, Parse, Raster, Render};
use crate::source::FileBytes;
use crate::{Error, FileKind, Limits, OpenFailure, PageFailure, Source};

/// Stack of the parsing thread, in bytes. Address space, not memory, until it is used.
const STACK: usize = 64 << 20;
/// Bytes of decoded content after which a file is opened again: each page that was read keeps its own until then, and a
/// file may have any number of pages.
const HOARD: u64 = 32 << 20;

/// A parser in this process, for files one trusts and for the worker itself. A panic in it is
/// caught and reported; memory, stack and time are only limited in a
/// [`Worker`](crate::worker::Worker).
pub struct Reader {
    limits: Limits,
    fonts: Arc<Substitutes>,
    file: Option<File>,
    omissions: BTreeMap<Warning, u32>,
}

struct File {
    bytes: Arc<FileBytes>,
    passwords: Vec<String>,
    /// `None` after a panic: the next page starts anew, since nobody knows what the panic left.
    thread: Option<Parser>,
}

/// The thread that holds the document; it ends when the sender is dropped.
struct Parser {
    ask: Sender<Question>,
    answers: Receiver<Answer>,
}

#[derive(Clone, Copy)]
enum Question {
    Page(u32),
    Drawing(u32, Raster),
}

enum Answer {
    Opened(Result<Outline, OpenFailure>),
    Page(Box<PageLayout>),
    Drawing(Drawing),
    Failed(PageFailure),
}

impl Reader {
    /// A reader with no file open.
    pub fn new(limits: Limits) -> Self {
        Self { limits, fonts: Arc::default(), file: None, omissions: BTreeMap::new() }
    }

    fn ask(&mut self, question: Question) -> Result<Answer, PageFailure> {
        let Some(file) = &mut self.file else {
            return Err(PageFailure::NoSuchPage);
        };
        let thread = match file.thread.take() {
            Some(thread) => thread,
            None => match Parser::start(&file.bytes, &file.passwords, self.limits, &self.fonts) {
                Ok((thread, _)) => thread,
                Err(OpenFailure::Process(failure)) => return Err(failure),
                Err(failure) => return Err(PageFailure::Died { status: failure.to_string() }),
            },
        };
        thread.ask.send(question).map_err(|_| ended())?;
        let answer = thread.answers.recv().map_err(|_| ended())?;
        if !matches!(answer, Answer::Failed(PageFailure::Panic { .. })) {
            file.thread = Some(thread);
        }
        Ok(answer)
    }
}

fn ended() -> PageFailure {
    PageFailure::Died { status: "the parsing thread ended".to_owned() }
}

impl Parse for Reader {
    fn open(&mut self, source: Source, passwords: &[String]) -> Result<Outline, Error> {
        self.file = None;
        let Source { name, bytes } = source;
        let found = FileKind::of(&bytes);
        if found != FileKind::Pdf {
            return Err(Error::Open { file: name, failure: OpenFailure::NotPdf { found } });
        }
        let bytes = Arc::new(FileBytes(bytes));
        match Parser::start(&bytes, passwords, self.limits, &self.fonts) {
            Ok((thread, outline)) => {
                let passwords = passwords.to_vec();
                self.file = Some(File { bytes, passwords, thread: Some(thread) });
                Ok(outline)
            }
            Err(failure) => Err(Error::Open { file: name, failure }),
        }
    }

    fn page(&mut self, index: u32) -> Result<PageLayout, PageFailure> {
        match self.ask(Question::Page(index))? {
            Answer::Page(layout) => Ok(*layout),
            Answer::Failed(failure) => Err(failure),
            Answer::Opened(_) | Answer::Drawing(_) => Err(ended()),
        }
    }
}

impl Render for Reader {
    fn render(&mut self, index: u32, raster: Raster) -> Result<Picture, PageFailure> {
        self.omissions.clear();
        match self.ask(Question::Drawing(index, raster.check()?))? {
            Answer::Drawing(Drawing { picture, omissions }) => {
                self.omissions = omissions;
                Ok(picture)
            }
            Answer::Failed(failure) => Err(failure),
            Answer::Opened(_) | Answer::Page(_) => Err(ended()),
        }
    }

    fn omissions(&self) -> BTreeMap<Warning, u32> {
        self.omissions.clone()
    }
}

impl Parser {
    fn start(
        bytes: &Arc<FileBytes>,
        passwords: &[String],
        limits: Limits,
        fonts: &Arc<Substitutes>,
    ) -> Result<(Self, Outline), OpenFailure> {
        let (ask, questions) = mpsc::channel();
        let (reply, answers) = mpsc::channel();
        let (bytes, passwords) = (Arc::clone(bytes), passwords.to_vec());
        let fonts = Arc::clone(fonts);
        let body = move || {
            let open = || {
                catch_unwind(AssertUnwindSafe(|| open(&bytes, &passwords)))
                    .unwrap_or_else(|panic| Err(OpenFailure::Process(panicked(&*panic))))
            };
            let mut opened = open();
            let outline = opened.as_ref().map(|(_, outline)| outline.clone());
            // Who asked may be gone at any time; then there is nothing left to do.
            let mut heard = reply.send(Answer::Opened(outline.map_err(OpenFailure::clone))).is_ok();
            while heard && let Ok((pdf, _)) = opened {
                heard = answer(&pdf, limits, &fonts, &questions, &reply);
                drop(pdf);
                opened = if heard { open() } else { return };
            }
        };
        let thread = thread::Builder::new().name("pdf".to_owned()).stack_size(STACK);
        let unborn = |status: String| OpenFailure::Process(PageFailure::Died { status });
        thread.spawn(body).map_err(|error| unborn(error.to_string()))?;
        match answers.recv() {
            Ok(Answer::Opened(outline)) => Ok((Self { ask, answers }, outline?)),
            Ok(_) | Err(_) => Err(OpenFailure::Process(ended())),
        }
    }
}

/// Answers questions about an open file until nobody asks, one of them ends in a panic, or so much of it was decoded that
/// it is better opened again; only then there is more to do.
fn answer(
    pdf: &Pdf,
    limits: Limits,
    fonts: &Arc<Substitutes>,
    questions: &Receiver<Question>,
    reply: &Sender<Answer>,
) -> bool {
    let mut session = None;
    while let Ok(question) = questions.recv() {
        let found = catch_unwind(AssertUnwindSafe(|| {
            let session = session.get_or_insert_with(|| Session::new(pdf, limits));
            let (Question::Page(index) | Question::Drawing(index, _)) = question;
            let answer = match question {
                Question::Page(_) => Answer::Page(Box::new(analyse(session.page(index)?))),
                Question::Drawing(_, raster) => {
                    Answer::Drawing(session.draw(index, raster, fonts)?)
                }
            };
            Some((answer, session.hoard(index) > HOARD))
        }));
        let (answer, full) = match found {
            Ok(Some(answered)) => answered,
            Ok(None) => (Answer::Failed(PageFailure::NoSuchPage), false),
            Err(panic) => {
                let _gone = reply.send(Answer::Failed(panicked(&*panic)));
                return false;
            }
        };
        if reply.send(answer).is_err() {
            return false;
        }
        if full {
            return true;
        }
    }
    false
}
