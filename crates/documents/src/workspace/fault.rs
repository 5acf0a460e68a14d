//! What can be wrong with a workspace.

use std::{fmt, io};

use crate::Kind;

/// What was being done to a key of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Reading it, or asking about it.
    Reading,
    /// Writing it.
    Writing,
    /// Removing it.
    Removing,
    /// Listing what is below it.
    Listing,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reading => "read",
            Self::Writing => "written",
            Self::Removing => "removed",
            Self::Listing => "listed",
        })
    }
}

/// What is wrong with a workspace, or with an input to one. The place stands in
/// [`Error::Workspace`](crate::Error::Workspace).
#[derive(Debug)]
#[non_exhaustive]
pub enum WorkspaceFault {
    /// The system refused something.
    Disk {
        /// What was being done.
        doing: Doing,
        /// What the system said.
        source: io::Error,
    },
    /// An object store did not answer as it should.
    Remote {
        /// What was being done.
        doing: Doing,
        /// What it said.
        message: String,
        /// How often it was asked.
        tries: u32,
    },
    /// An object store does not allow this, or does not know who asks.
    Denied {
        /// What was being done.
        doing: Doing,
        /// What it said.
        message: String,
    },
    /// There is no such bucket, or no such object where one is wanted.
    Absent,
    /// The settings for an object store cannot be used.
    Settings {
        /// What is wrong with them.
        message: String,
    },
    /// Not a key of a store.
    Key,
    /// More bytes than allowed.
    TooLarge {
        /// How many there are, as far as they were counted.
        bytes: u64,
        /// How many may be.
        limit: u64,
    },
    /// The index cannot be read.
    Index(IndexFault),
    /// A path that no index can hold.
    Path(PathFault),
    /// Two groups of different documents have one hash.
    SameHash {
        /// The hash.
        hash: String,
    },
    /// A file of a kind that is no input.
    Extension,
    /// A list of paths that is not UTF-8.
    ListText {
        /// The line, from 1.
        line: u64,
    },
    /// A pattern that nothing matches.
    NoMatch,
    /// A folder of an object store, where objects are wanted.
    Prefix,
    /// A tarball that cannot be unpacked.
    Tarball {
        /// What is wrong with it.
        message: String,
    },
}

impl WorkspaceFault {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Disk { source, .. } => sort(source.kind()),
            Self::Remote { .. } | Self::TooLarge { .. } => Kind::Overloaded,
            Self::Absent | Self::NoMatch => Kind::NotFound,
            Self::Extension => Kind::Unsupported,
            Self::Denied { .. }
            | Self::Settings { .. }
            | Self::Key
            | Self::Index(_)
            | Self::Path(_)
            | Self::SameHash { .. }
            | Self::ListText { .. }
            | Self::Prefix
            | Self::Tarball { .. } => Kind::Invalid,
        }
    }

    /// What to do next, when there is something to say.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Disk { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("give yourself permission, or choose another folder")
            }
            Self::Disk { source, .. } if sort(source.kind()) == Kind::Overloaded => {
                Some("make room; the work goes on where it stopped")
            }
            Self::Disk { .. } => None,
            Self::Remote { .. } => {
                Some("try again later: what is done stays done, and the rest is resumed")
            }
            Self::Denied { .. } => Some(
                "check the keys and the profile: --workspace_profile, --pdf_profile, AWS_PROFILE",
            ),
            Self::Absent => {
                Some("check the bucket and the key; they tell apart upper and lower case")
            }
            Self::Index(_) => Some(
                "restore the file, or delete it and give --pdfs again: results that are finished are kept",
            ),
            Self::Path(_) => Some("rename the file: olmOCR's index cannot hold such a path"),
            Self::SameHash { .. } => Some("give these documents in another workspace"),
            Self::Extension => {
                Some("inputs are PDFs, images, .tar.gz, folders, and .txt files that list paths")
            }
            Self::ListText { .. } => Some("save the list as UTF-8, with one path a line"),
            Self::NoMatch => Some("check the pattern: * stands for any characters, [ab] for one"),
            Self::Prefix => {
                Some("write a pattern that matches files, for example s3://bucket/folder/*.pdf")
            }
            Self::Tarball { .. } => Some("the archive may be cut off; fetch it again"),
            Self::Settings { .. } | Self::Key | Self::TooLarge { .. } => None,
        }
    }
}

impl fmt::Display for WorkspaceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk { doing, source } => write!(f, "cannot be {doing}: {source}"),
            Self::Remote { doing, message, tries: 1 } => write!(f, "cannot be {doing}: {message}"),
            Self::Remote { doing, message, tries } => {
                write!(f, "cannot be {doing}, after {tries} tries: {message}")
            }
            Self::Denied { doing, message } => {
                write!(f, "cannot be {doing}, access is denied: {message}")
            }
            Self::Absent => f.write_str("there is no such object or bucket"),
            Self::Settings { message } => f.write_str(message),
            Self::Key => f.write_str("is no name that a file of a workspace can have"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "{bytes} bytes or more are over the limit of {limit}")
            }
            Self::Index(fault) => write!(f, "is no index of work: {fault}"),
            Self::Path(fault) => write!(f, "cannot be added to a workspace: {fault}"),
            Self::SameHash { hash } => {
                write!(f, "another group of documents has the same hash, {hash}")
            }
            Self::Extension => f.write_str("is no kind of file that is read"),
            Self::ListText { line } => write!(f, "line {line} is not UTF-8"),
            Self::NoMatch => f.write_str("nothing matches"),
            Self::Prefix => f.write_str("is a folder of objects, not an object"),
            Self::Tarball { message } => write!(f, "cannot be unpacked: {message}"),
        }
    }
}

/// What a caller can do about what the system said.
fn sort(kind: io::ErrorKind) -> Kind {
    const FULL: [io::ErrorKind; 2] = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    const WRONG: [io::ErrorKind; 4] = [
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::NotADirectory,
        io::ErrorKind::IsADirectory,
        io::ErrorKind::InvalidFilename,
    ];
    if kind == io::ErrorKind::NotFound {
        Kind::NotFound
    } else if FULL.contains(&kind) {
        Kind::Overloaded
    } else if WRONG.contains(&kind) {
        Kind::Invalid
    } else {
        Kind::Internal
    }
}

/// Why an index cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexFault {
    /// It is not compressed as it should be, or cut off.
    Compression {
        /// What the decoder said.
        message: String,
    },
    /// It unpacks to more bytes than allowed.
    TooLong {
        /// How many may be.
        limit: u64,
    },
    /// Bytes follow its end.
    Trailing {
        /// How many.
        bytes: u64,
    },
    /// Not UTF-8.
    Text {
        /// The line, from 1.
        line: u64,
    },
    /// A line that does not begin with a hash.
    Hash {
        /// The line, from 1.
        line: u64,
        /// What it begins with, shortened.
        found: String,
    },
}

impl fmt::Display for IndexFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compression { message } => write!(f, "it cannot be decompressed: {message}"),
            Self::TooLong { limit } => write!(f, "it unpacks to more than {limit} bytes"),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes follow its end"),
            Self::Text { line } => write!(f, "line {line} is not UTF-8"),
            Self::Hash { line, found } => {
                write!(f, "line {line} begins with {found:?} and not with the hash of a group")
            }
        }
    }
}

/// Why no index can hold a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathFault {
    /// It has a character that ends a line for one of the index's readers.
    LineBreak(char),
    /// It has a zero byte.
    Zero,
    /// It is longer than this many bytes.
    TooLong(usize),
    /// It is empty.
    Empty,
    /// It is not UTF-8.
    NotUnicode,
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineBreak(c) => write!(f, "its name has the line break {c:?}"),
            Self::Zero => f.write_str("its name has a zero byte"),
            Self::TooLong(limit) => write!(f, "its name is longer than {limit} bytes"),
            Self::Empty => f.write_str("the path is empty"),
            Self::NotUnicode => f.write_str("its name is not UTF-8"),
        }
    }
}
