//! What can go wrong with an index, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::{DocumentId, PageId};

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The input is wrong.
    Invalid,
    /// Something named does not exist.
    NotFound,
    /// Somebody else is at it; later may work.
    Overloaded,
    /// The input is right, but this program cannot do it.
    Unsupported,
    /// Our fault, or the machine's.
    Internal,
}

/// What is wrong with a segment's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It begins otherwise than a segment does.
    Magic,
    /// It was written by another version of the format.
    Version(u32),
    /// It is shorter or longer than it was written.
    Length {
        /// The bytes that it was written with, as far as it can tell.
        wanted: u64,
        /// The bytes that it has.
        found: u64,
    },
    /// A part does not match its checksum.
    Checksum(&'static str),
    /// A number in the header or the directory contradicts another.
    Contradiction(&'static str),
    /// It was made by another model, or otherwise, than its index.
    Foreign(&'static str),
    /// A page is not where the database says.
    Misplaced,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("is no segment"),
            Self::Version(found) => write!(f, "is of version {found} of the format"),
            Self::Length { wanted, found } => {
                write!(f, "has {found} bytes and should have {wanted}")
            }
            Self::Checksum(part) => write!(f, "has {part} that do not match their checksum"),
            Self::Contradiction(part) => write!(f, "contradicts itself about its {part}"),
            Self::Foreign(part) => write!(f, "was made with another {part} than its index"),
            Self::Misplaced => f.write_str("does not hold the page that it should"),
        }
    }
}

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be used.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was to be done with it.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// There is no index.
    #[error("{}: there is no index", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// A new index was wanted where something else is.
    #[error("{}: the folder is not empty and holds no index", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The index was made by another version of this program.
    #[error("{}: the index is of version {found}, and this program reads version {wanted}", path.display())]
    Version {
        /// The folder.
        path: PathBuf,
        /// The version of the index.
        found: i64,
        /// This program's.
        wanted: i64,
    },
    /// Something other than what made the index asks to use it.
    #[error("{}: the {part} were made with the {what} {made}, not {asked}", path.display())]
    Profile {
        /// The folder.
        path: PathBuf,
        /// Which of a page's representations.
        part: &'static str,
        /// What of the encoder differs.
        what: &'static str,
        /// What made the index.
        made: String,
        /// What was to be used.
        asked: String,
    },
    /// Another process, or another writer of this one, is changing the index.
    #[error("{}: something else is writing to the index", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The database refused.
    #[error("{}: the database cannot {action}", path.display())]
    Database {
        /// The folder.
        path: PathBuf,
        /// What it was to do.
        action: &'static str,
        /// What it says.
        source: rusqlite::Error,
    },
    /// A segment is damaged.
    #[error("{}{}: {fault}", path.display(), of_page(*page))]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// The page whose part it is, if it is one page's.
        page: Option<PageId>,
        /// What is wrong.
        fault: Fault,
    },
    /// A page or a query has what the index does not, or lacks what it has.
    #[error("{what} {}", if *wanted { "are missing" } else { "are given, but the index has none" })]
    Representation {
        /// Which of a page's representations.
        what: &'static str,
        /// Whether the index has it.
        wanted: bool,
    },
    /// Numbers that are no vectors.
    #[error("{what}: {fault}")]
    Vectors {
        /// Whose.
        what: &'static str,
        /// What is wrong.
        fault: VectorFault,
    },
    /// A value outside what is possible.
    #[error("{what}: {value} is not {allowed}")]
    Value {
        /// What it is for.
        what: &'static str,
        /// What was given.
        value: String,
        /// What may be.
        allowed: &'static str,
    },
    /// No such document is being written.
    #[error("document {document} is not being written")]
    NotBegun {
        /// The document.
        document: DocumentId,
    },
    /// A page was given twice.
    #[error("document {document} has page {number} already")]
    Twice {
        /// The document.
        document: DocumentId,
        /// The page's number.
        number: u32,
    },
    /// A document was to be finished before all its pages were there.
    #[error("{path}: page {first} is missing, and {more} more")]
    Incomplete {
        /// The document.
        path: String,
        /// The first page that is missing.
        first: u32,
        /// How many others are.
        more: u32,
    },
    /// No such page.
    #[error("there is no page {page}")]
    NoPage {
        /// The page.
        page: PageId,
    },
    /// A page has no vectors, or none that lie on a grid.
    #[error("page {page} has no {what}")]
    Bare {
        /// The page.
        page: PageId,
        /// What it lacks.
        what: &'static str,
    },
}

/// Why numbers are no vectors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VectorFault {
    /// They are not a whole number of vectors, or too few or too many.
    #[error("{numbers} numbers are not between 1 and {most} vectors of {dim}")]
    Count {
        /// How many numbers there are.
        numbers: usize,
        /// The dimension.
        dim: usize,
        /// The most vectors that are taken.
        most: usize,
    },
    /// A number that is none, or that no 16-bit float can hold.
    #[error("number {at} is not finite or larger than 65504")]
    Number {
        /// Its place.
        at: usize,
    },
    /// A vector of zeros, which is like nothing.
    #[error("vector {at} is zero")]
    Zero {
        /// Its place.
        at: usize,
    },
    /// The grid has places for which there are no vectors.
    #[error("a grid of {height} x {width} from vector {start} on does not fit {vectors} vectors")]
    Grid {
        /// Rows.
        height: u16,
        /// Columns.
        width: u16,
        /// The first vector.
        start: u32,
        /// How many vectors there are.
        vectors: usize,
    },
}

fn of_page(page: Option<PageId>) -> String {
    page.map_or_else(String::new, |page| format!(", page {page}"))
}

impl Error {
    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Missing { .. } | Self::NoPage { .. } | Self::NotBegun { .. } => Kind::NotFound,
            Self::Version { .. } => Kind::Unsupported,
            Self::Locked { .. } => Kind::Overloaded,
            Self::Io { .. } | Self::Database { .. } | Self::Corrupt { .. } => Kind::Internal,
            Self::Occupied { .. }
            | Self::Profile { .. }
            | Self::Representation { .. }
            | Self::Vectors { .. }
            | Self::Value { .. }
            | Self::Twice { .. }
            | Self::Incomplete { .. }
            | Self::Bare { .. } => Kind::Invalid,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check that the folder exists, may be written and has room",
            Self::Missing { .. } => "make one first, or name its folder",
            Self::Occupied { .. } => "name a new or empty folder for the index",
            Self::Version { .. } => "index the documents again into a new folder",
            Self::Profile { .. } => {
                "use the model and the options that made the index, or index again into a new folder"
            }
            Self::Locked { .. } => "wait until the other one has finished; searching goes on",
            Self::Database { .. } => "check that the disk has room; if it goes on, index again",
            Self::Corrupt { page: Some(_), .. } => {
                "the file was changed or the disk is failing: remove the document and index it again"
            }
            Self::Corrupt { .. } => {
                "the file was changed or the disk is failing: restore it, or index again"
            }
            Self::Representation { .. } => "give what the index was made for, and nothing else",
            Self::Vectors { .. } => "the encoder gave no usable vectors: check its weights",
            Self::Value { .. } => "change the value",
            Self::NotBegun { .. } => "begin the document first",
            Self::Twice { .. } => "give each page once",
            Self::Incomplete { .. } => "give all pages, or say why one failed",
            Self::NoPage { .. } => "the document may have been replaced or removed: search again",
            Self::Bare { .. } => "choose a page that was indexed with vectors, not pooled",
        }
    }

    /// An error of the system about `path`.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), action, source }
    }

    /// An error of the database of the index in `path`.
    pub(crate) fn database(
        path: &Path,
        action: &'static str,
    ) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Database { path: path.to_owned(), action, source }
    }
}
