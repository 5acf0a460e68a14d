//! A document on a thread of its own.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::document::{Session, open};
use crate::layout::{PageLayout, analyse};
use crate::pipeline::{Outline, Parse};
use crate::source::FileBytes;
use crate::{Error, FileKind, Limits, OpenFailure, PageFailure, Source};

/// Stack of the parsing thread, in bytes. Address space, not memory, until it is used.
const STACK: usize = 64 << 20;

/// A parser in this process, for files one trusts and for the worker itself. A panic in it is
/// caught and reported; memory, stack and time are only limited in a
/// [`Worker`](crate::worker::Worker).
pub struct Reader {
    limits: Limits,
    file: Option<File>,
}

struct File {
    bytes: Arc<FileBytes>,
    passwords: Vec<String>,
    /// `None` after a panic: the next page starts anew, since nobody knows what the panic left.
    thread: Option<Parser>,
}

/// The thread that holds the document; it ends when the sender is dropped.
struct Parser {
    ask: Sender<u32>,
    answers: Receiver<Answer>,
}

enum Answer {
    Opened(Result<Outline, OpenFailure>),
    Page(Result<PageLayout, PageFailure>),
}

impl Reader {
    /// A reader with no file open.
    pub fn new(limits: Limits) -> Self {
        Self { limits, file: None }
    }
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
        match Parser::start(&bytes, passwords, self.limits) {
            Ok((thread, outline)) => {
                let passwords = passwords.to_vec();
                self.file = Some(File { bytes, passwords, thread: Some(thread) });
                Ok(outline)
            }
            Err(failure) => Err(Error::Open { file: name, failure }),
        }
    }

    fn page(&mut self, index: u32) -> Result<PageLayout, PageFailure> {
        let Some(file) = &mut self.file else {
            return Err(PageFailure::NoSuchPage);
        };
        let thread = match file.thread.take() {
            Some(thread) => thread,
            None => match Parser::start(&file.bytes, &file.passwords, self.limits) {
                Ok((thread, _)) => thread,
                Err(OpenFailure::Process(failure)) => return Err(failure),
                Err(failure) => return Err(PageFailure::Died { status: failure.to_string() }),
            },
        };
        let ended = || PageFailure::Died { status: "the parsing thread ended".to_owned() };
        thread.ask.send(index).map_err(|_| ended())?;
        match thread.answers.recv() {
            Ok(Answer::Page(result)) => {
                if !matches!(result, Err(PageFailure::Panic { .. })) {
                    file.thread = Some(thread);
                }
                result
            }
            Ok(Answer::Opened(_)) | Err(_) => Err(ended()),
        }
    }
}

impl Parser {
    fn start(
        bytes: &Arc<FileBytes>,
        passwords: &[String],
        limits: Limits,
    ) -> Result<(Self, Outline), OpenFailure> {
        let (ask, questions) = mpsc::channel();
        let (reply, answers) = mpsc::channel();
        let (bytes, passwords) = (Arc::clone(bytes), passwords.to_vec());
        let body = move || parse(&bytes, &passwords, limits, &questions, &reply);
        let thread = thread::Builder::new().name("pdf".to_owned()).stack_size(STACK);
        let ended = |status: String| OpenFailure::Process(PageFailure::Died { status });
        thread.spawn(body).map_err(|error| ended(error.to_string()))?;
        match answers.recv() {
            Ok(Answer::Opened(outline)) => Ok((Self { ask, answers }, outline?)),
            Ok(Answer::Page(_)) | Err(_) => Err(ended("the parsing thread ended".to_owned())),
        }
    }
}

/// The thread's life. Who asked may be gone at any time; then there is nothing left to do.
fn parse(
    bytes: &Arc<FileBytes>,
    passwords: &[String],
    limits: Limits,
    questions: &Receiver<u32>,
    reply: &Sender<Answer>,
) {
    let opened = catch_unwind(AssertUnwindSafe(|| open(bytes, passwords)))
        .unwrap_or_else(|panic| Err(OpenFailure::Process(failure(&*panic))));
    let pdf = match opened {
        Ok((pdf, outline)) => {
            if reply.send(Answer::Opened(Ok(outline))).is_err() {
                return;
            }
            pdf
        }
        Err(failure) => {
            let _gone = reply.send(Answer::Opened(Err(failure)));
            return;
        }
    };
    let mut session = None;
    while let Ok(index) = questions.recv() {
        let page = catch_unwind(AssertUnwindSafe(|| {
            let session = session.get_or_insert_with(|| Session::new(&pdf, limits));
            session.page(index).map(analyse)
        }));
        let result = match page {
            Ok(Some(layout)) => Ok(layout),
            Ok(None) => Err(PageFailure::NoSuchPage),
            Err(panic) => Err(failure(&*panic)),
        };
        let panicked = matches!(result, Err(PageFailure::Panic { .. }));
        if reply.send(Answer::Page(result)).is_err() || panicked {
            return;
        }
    }
}

fn failure(panic: &(dyn Any + Send)) -> PageFailure {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned());
    PageFailure::Panic { message }
}
