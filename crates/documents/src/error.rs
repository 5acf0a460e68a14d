//! What can go wrong with a file, a page or the process that parses them.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::FileKind;
use crate::workspace::WorkspaceFault;

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The input is wrong.
    Invalid,
    /// Something named does not exist.
    NotFound,
    /// A limit was reached; smaller or later may work.
    Overloaded,
    /// The input is right, but this program cannot do it.
    Unsupported,
    /// Our fault, or the machine's.
    Internal,
}

/// An error of this crate. Errors of one page are not here: they stand in the page itself, see
/// [`PageFailure`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such file.
    #[error("{path}: no such file", path = .path.display())]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// A folder where a file is wanted.
    #[error("{path}: is a folder, not a file", path = .path.display())]
    Folder {
        /// The path as given.
        path: PathBuf,
    },
    /// A pipe, socket or device.
    #[error("{path}: is {what}, not a regular file", path = .path.display())]
    Special {
        /// The path as given.
        path: PathBuf,
        /// What it is, with its article.
        what: &'static str,
    },
    /// A file of zero bytes.
    #[error("{path}: the file is empty (0 bytes)", path = .path.display())]
    Empty {
        /// The path as given.
        path: PathBuf,
    },
    /// A file over the limit.
    #[error("{path}: {bytes} bytes are more than the limit of {limit}", path = .path.display())]
    TooLarge {
        /// The path as given.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit, [`Limits::file_bytes`](crate::Limits::file_bytes).
        limit: u64,
    },
    /// The system refused to read a file.
    #[error("{path}: cannot be read", path = .path.display())]
    Read {
        /// The path as given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be opened as a document.
    #[error("{file}: {failure}")]
    Open {
        /// The name of the file.
        file: String,
        /// Why.
        failure: OpenFailure,
    },
    /// A page selection that does not parse.
    #[error("{text:?} is not a selection of pages")]
    PageSyntax {
        /// The selection as given.
        text: String,
    },
    /// A page is wanted that the file does not have.
    #[error("{file}: has no page {page}, its last is {count}")]
    PageMissing {
        /// The name of the file.
        file: String,
        /// The wanted page, from 1.
        page: u32,
        /// How many pages the file has.
        count: u32,
    },
    /// The worker process could not be started.
    #[error("the parsing process {program} cannot be started", program = .program.display())]
    WorkerStart {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The worker process does not speak our protocol.
    #[error("the parsing process {program} did not answer as expected: {what}", program = .program.display())]
    WorkerProtocol {
        /// The program.
        program: PathBuf,
        /// What was wrong.
        what: ProtocolFault,
    },
    /// A filter that was asked for does not want it.
    #[error("{file}: is filtered out: {why}")]
    Unwanted {
        /// The name of the file.
        file: String,
        /// Why.
        why: crate::pipeline::Unwanted,
    },
    /// Every page is to be looked at, and there is nobody who could.
    #[error("{file}: nobody can read its pages: no vision model is named")]
    NoReader {
        /// The name of the file.
        file: String,
    },
    /// Nobody who could read can be used.
    #[error("{file}: nobody can read its pages: {message}")]
    Unusable {
        /// The name of the file.
        file: String,
        /// What the first reader said.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Nobody who could read can be reached.
    #[error("{file}: nobody who can read pages was reached for {} seconds: {message}", waited.as_secs())]
    Unreachable {
        /// The name of the file.
        file: String,
        /// What was met last.
        message: String,
        /// For how long it was tried.
        waited: Duration,
    },
    /// It was told to give up.
    #[error("{file}: was not read to the end")]
    Stopped {
        /// The name of the file.
        file: String,
    },
    /// Sending to or receiving from the parent failed, seen from inside the worker.
    #[error("the pipe to the parent process broke")]
    WorkerPipe {
        /// What the system said.
        source: io::Error,
    },
    /// A workspace, or an input to one, that cannot be used.
    #[error("{place}: {fault}")]
    Workspace {
        /// The path or address.
        place: String,
        /// What is wrong with it.
        fault: WorkspaceFault,
    },
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Missing { .. } | Self::PageMissing { .. } => Kind::NotFound,
            Self::Folder { .. }
            | Self::Special { .. }
            | Self::Empty { .. }
            | Self::Unwanted { .. }
            | Self::PageSyntax { .. } => Kind::Invalid,
            Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Kind::Invalid
            }
            Self::TooLarge { .. } | Self::Unreachable { .. } | Self::Stopped { .. } => {
                Kind::Overloaded
            }
            Self::NoReader { .. } | Self::Unusable { .. } => Kind::Unsupported,
            Self::Open { failure, .. } => failure.kind(),
            Self::Workspace { fault, .. } => fault.kind(),
            Self::Read { .. }
            | Self::WorkerStart { .. }
            | Self::WorkerProtocol { .. }
            | Self::WorkerPipe { .. } => Kind::Internal,
        }
    }

    /// Whether it is not of one document: no other can be read either.
    pub fn is_everybodys(&self) -> bool {
        matches!(
            self,
            Self::Stopped { .. }
                | Self::NoReader { .. }
                | Self::Unusable { .. }
                | Self::Unreachable { .. }
                | Self::WorkerStart { .. }
                | Self::WorkerProtocol { .. }
        )
    }

    /// What to do next, when there is something to say.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Missing { .. } => Some("check the path; a shell pattern must match something"),
            Self::Folder { .. } => {
                Some("name one that holds PDFs or images, or the files themselves")
            }
            Self::Special { .. } => Some("save the bytes to a regular file first"),
            Self::Empty { .. } => Some("the download or copy may have failed; fetch it again"),
            Self::TooLarge { .. } => Some("split the file, or raise the limit"),
            Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("give yourself permission to read the file")
            }
            Self::Open { failure, .. } => failure.hint(),
            Self::Workspace { fault, .. } => fault.hint(),
            Self::PageSyntax { .. } => {
                Some("write page numbers from 1 and ranges, for example 1,3-5 or 7-")
            }
            Self::PageMissing { .. } => Some("choose pages that the file has"),
            Self::Unwanted { .. } => Some("leave `--apply-filter` out to read it all the same"),
            Self::NoReader { .. } => Some("name a vision model, or read what text the file has"),
            Self::Unusable { hint, .. } => hint.as_deref(),
            Self::Unreachable { .. } => Some("start the server, and run the same again"),
            Self::Stopped { .. } => Some("run the same again to go on"),
            Self::WorkerStart { .. } | Self::WorkerProtocol { .. } => {
                Some("this is a fault in the installation or the program, please report it")
            }
            Self::Read { .. } | Self::WorkerPipe { .. } => None,
        }
    }
}

/// Why a file could not be opened as a document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenFailure {
    /// It is neither a PDF nor a picture that is decoded.
    NotPdf {
        /// What it is.
        found: FileKind,
    },
    /// It says it is a PDF, but no pages can be found in it.
    Damaged {
        /// Its size in bytes.
        bytes: u64,
    },
    /// It is a picture, but cannot be decoded.
    Picture {
        /// What the decoder said.
        message: String,
    },
    /// Encrypted, and the empty password does not open it.
    PasswordRequired,
    /// Encrypted, and none of the given passwords opens it.
    PasswordWrong {
        /// How many were tried.
        tried: u32,
    },
    /// Encrypted in a way that is not supported or broken.
    Encryption {
        /// Whether the encryption dictionary itself is broken.
        broken: bool,
    },
    /// The process that opened it came to an end.
    Process(PageFailure),
}

impl OpenFailure {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotPdf { .. } => Kind::Unsupported,
            Self::Damaged { .. }
            | Self::Picture { .. }
            | Self::PasswordRequired
            | Self::PasswordWrong { .. } => Kind::Invalid,
            Self::Encryption { broken } => {
                if *broken {
                    Kind::Invalid
                } else {
                    Kind::Unsupported
                }
            }
            Self::Process(failure) => failure.kind(),
        }
    }

    /// What to do next, when there is something to say.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotPdf { found: FileKind::Heif } => Some("save it as PNG or JPEG first"),
            Self::NotPdf {
                found:
                    FileKind::Docx
                    | FileKind::Xlsx
                    | FileKind::Pptx
                    | FileKind::OpenDocument
                    | FileKind::OleCompound
                    | FileKind::Rtf,
            } => Some("only PDFs and images are read: export it to PDF from its program first"),
            Self::NotPdf { found: FileKind::Zip | FileKind::Gzip } => Some("unpack it first"),
            Self::NotPdf { found: FileKind::Zeros } => Some("fetch the file again"),
            Self::NotPdf { .. } => Some("only PDFs and images are read: convert it to PDF first"),
            Self::Damaged { .. } => {
                Some("the file may be truncated; fetch it again, or repair it with another program")
            }
            Self::Picture { .. } => {
                Some("open it in a viewer, and save it as PNG if it looks right")
            }
            Self::PasswordRequired => Some("give the password with --password"),
            Self::PasswordWrong { .. } => {
                Some("check the password; older files need the user password, not the owner's")
            }
            Self::Encryption { .. } => {
                Some("open it in another program and save it without encryption")
            }
            Self::Process(failure) => failure.hint(),
        }
    }
}

impl fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPdf { found } => write!(f, "is no PDF and no image, it is {found}"),
            Self::Damaged { bytes } => {
                write!(f, "is damaged: no pages can be found in its {bytes} bytes")
            }
            Self::Picture { message } => {
                write!(f, "is an image that cannot be decoded: {message}")
            }
            Self::PasswordRequired => f.write_str("is encrypted and needs a password"),
            Self::PasswordWrong { tried: 1 } => {
                f.write_str("is encrypted and the given password does not open it")
            }
            Self::PasswordWrong { tried } => {
                write!(f, "is encrypted and none of the {tried} given passwords opens it")
            }
            Self::Encryption { broken: true } => f.write_str("its encryption data is broken"),
            Self::Encryption { broken: false } => {
                f.write_str("is encrypted in a way that is not supported")
            }
            Self::Process(failure) => write!(f, "could not be opened: {failure}"),
        }
    }
}

/// Why one page (or the opening of a file) failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PageFailure {
    /// The parser panicked.
    Panic {
        /// What it said.
        message: String,
    },
    /// The parser needed more memory than the limit.
    Memory {
        /// The limit in bytes.
        limit: u64,
    },
    /// The parser nested too deeply and ran out of stack.
    StackOverflow,
    /// The parser took longer than the limit.
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// The parsing process ended in another way.
    Died {
        /// How, as the system tells it, with its last words.
        status: String,
    },
    /// Too many pages of the file brought their process down; this one was not tried.
    GivenUp {
        /// How many did, [`Limits::deaths_per_file`](crate::Limits::deaths_per_file).
        deaths: u32,
    },
    /// The page has content, but none of it could be decoded.
    Undecodable,
    /// The page is a picture that cannot be decoded.
    Picture {
        /// What the decoder said.
        message: String,
    },
    /// There is no such page.
    NoSuchPage,
    /// The page cannot be drawn so small or so large.
    Raster {
        /// The pixels that the longer side should have; see [`Raster`](crate::pipeline::Raster).
        longest: u32,
    },
    /// Everybody who could look at the page failed, and it has no text of its own.
    Unread {
        /// How many attempts were made.
        attempts: u32,
        /// What the last of them met.
        because: String,
    },
}

impl PageFailure {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Panic { .. } | Self::Died { .. } | Self::Unread { .. } => Kind::Internal,
            Self::Memory { .. }
            | Self::StackOverflow
            | Self::Timeout { .. }
            | Self::GivenUp { .. } => Kind::Overloaded,
            Self::Undecodable | Self::Picture { .. } | Self::Raster { .. } => Kind::Invalid,
            Self::NoSuchPage => Kind::NotFound,
        }
    }

    /// What to do next, when there is something to say.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Memory { .. } | Self::Timeout { .. } => {
                Some("the page asks for more than a page should; print it to a new PDF and retry")
            }
            Self::Panic { .. }
            | Self::StackOverflow
            | Self::Died { .. }
            | Self::GivenUp { .. }
            | Self::Undecodable => {
                Some("the page is damaged or hostile; print it to a new PDF and retry")
            }
            Self::Picture { .. } => {
                Some("open it in a viewer, and save it as PNG if it looks right")
            }
            Self::Raster { .. } => Some("ask for 1 to 8192 pixels"),
            Self::Unread { .. } => Some("try the failed pages again, or with another model"),
            Self::NoSuchPage => None,
        }
    }
}

impl fmt::Display for PageFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic { message } => write!(f, "the parser panicked: {message}"),
            Self::Memory { limit } => {
                write!(f, "the parser needed more than {} MiB of memory", limit >> 20)
            }
            Self::StackOverflow => f.write_str("the parser ran out of stack (too deep a nesting)"),
            Self::Timeout { limit } => {
                write!(f, "the parser took longer than {} s", limit.as_secs_f64())
            }
            Self::Died { status } => write!(f, "the parsing process ended: {status}"),
            Self::GivenUp { deaths } => {
                write!(f, "not tried, because {deaths} other pages brought the parser down")
            }
            Self::Undecodable => f.write_str("the page has content, but none of it can be decoded"),
            Self::Picture { message } => write!(f, "the image cannot be decoded: {message}"),
            Self::NoSuchPage => f.write_str("the file has no such page"),
            Self::Raster { longest } => {
                write!(f, "a page cannot be drawn with {longest} pixels on its longer side")
            }
            Self::Unread { attempts, because } => {
                let noun = if *attempts == 1 { "attempt" } else { "attempts" };
                write!(f, "{attempts} {noun} to read it failed, the last because {because}")
            }
        }
    }
}

/// What was wrong with a message between parent and worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolFault {
    /// The first bytes are not ours.
    NotOurs,
    /// Another version of the protocol.
    Version {
        /// Theirs.
        theirs: u16,
        /// Ours.
        ours: u16,
    },
    /// A frame longer than allowed.
    TooLong {
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A frame that ends early, has bytes left, or holds values out of range.
    Malformed,
    /// A frame of an unknown kind.
    UnknownTag {
        /// Its first byte.
        tag: u8,
    },
    /// An answer that does not fit the question.
    Unexpected,
    /// The stream ended.
    Ended,
    /// It did not answer in time.
    Silent,
}

impl fmt::Display for ProtocolFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs => f.write_str("its greeting is not ours"),
            Self::Version { theirs, ours } => {
                write!(f, "it speaks version {theirs} of the protocol, this program {ours}")
            }
            Self::TooLong { bytes, limit } => {
                write!(f, "a message of {bytes} bytes is over the limit of {limit}")
            }
            Self::Malformed => f.write_str("a malformed message"),
            Self::UnknownTag { tag } => write!(f, "a message of the unknown kind {tag}"),
            Self::Unexpected => f.write_str("an answer that does not fit the question"),
            Self::Ended => f.write_str("it ended"),
            Self::Silent => f.write_str("no greeting in time"),
        }
    }
}
