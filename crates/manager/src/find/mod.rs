//! Pages that are found again: what models make of them and of questions, the work of filling an [`index`], and asking it.

mod encoders;
mod evidence;
mod identity;
mod ingest;
mod judged;
mod library;
mod parse;
mod push;
mod reading;
pub mod remote;
mod rerank;
mod search;
mod store;

use std::io;
use std::path::PathBuf;

pub use encoders::{Encoders, MakeOptions, makers};
pub use evidence::{Cited, Evidence, Gathered, cited, conversation, gather};
pub use identity::{Stamp, identity};
pub use index;
pub use ingest::{Ingest, IngestStages, IngestTotals, IngestWatch, News};
pub use judged::{Gain, ndcg, recall};
pub use library::{
    HitPage, Hits, IndexFacts, IndexStatus, Library, LibraryError, Location, Maker, Offer,
    OfferError, PageContent, Question, called, folder,
};
pub use parse::{content, path};
pub use push::{PushNews, PushOptions, PushTotals, PushWatch, push};
pub use reading::{ReadNews, Reading, words};
pub use rerank::Rerank;
pub use search::{Asked, Found, Part, Took, find, open, page_range};
pub use store::Store;

use crate::{Kind, runtime};

/// What can go wrong while pages are indexed or looked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The index.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The server that pages lie on.
    #[error(transparent)]
    Remote(#[from] remote::Error),
    /// The model.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    /// The process that parses files.
    #[error(transparent)]
    Documents(#[from] documents::Error),
    /// A file of a model cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A model makes nothing that pages are found by.
    #[error("`{model}` makes no vectors of pages or texts")]
    Useless {
        /// The model.
        model: String,
    },
    /// A model makes no vectors of tokens.
    #[error("`{model}` makes no vectors of tokens")]
    NoTokenVectors {
        /// The model.
        model: String,
    },
    /// Two models make the same.
    #[error("`{model}` and `{other}` both make {what}")]
    Twice {
        /// The second.
        model: String,
        /// The first.
        other: String,
        /// What both make.
        what: &'static str,
    },
    /// A question that leaves no room for a text beside it.
    #[error(
        "the question is too long for `{model}`, which takes {most} tokens of question and text together"
    )]
    LongQuestion {
        /// The model.
        model: String,
        /// Tokens at most.
        most: usize,
    },
    /// Whoever searched has gone.
    #[error("the search was given up")]
    GivenUp,
    /// It was told to give up.
    #[error("not all pages are in the index")]
    Stopped,
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Index(error) => match error.kind() {
                index::Kind::Invalid => Kind::Invalid,
                index::Kind::NotFound => Kind::NotFound,
                index::Kind::Overloaded => Kind::Overloaded,
                index::Kind::Unsupported => Kind::Unsupported,
                index::Kind::Internal => Kind::Internal,
            },
            Self::Remote(error) => error.kind(),
            Self::Runtime(error) => error.kind(),
            Self::Documents(error) => match error.kind() {
                documents::Kind::Invalid => Kind::Invalid,
                documents::Kind::NotFound => Kind::NotFound,
                documents::Kind::Overloaded => Kind::Overloaded,
                documents::Kind::Unsupported => Kind::Unsupported,
                documents::Kind::Internal => Kind::Internal,
            },
            Self::Read { .. } => Kind::Internal,
            Self::Useless { .. }
            | Self::NoTokenVectors { .. }
            | Self::Twice { .. }
            | Self::LongQuestion { .. } => Kind::Invalid,
            Self::Stopped | Self::GivenUp => Kind::Overloaded,
        }
    }

    /// What to do next, when there is something to say.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Index(error) => Some(error.hint().to_owned()),
            Self::Remote(error) => Some(error.hint().to_owned()),
            Self::Runtime(error) => error.hint(),
            Self::Documents(error) => error.hint().map(str::to_owned),
            Self::Read { .. } => Some("pull the model again".to_owned()),
            Self::Useless { .. } => {
                Some("name a model of the ColQwen kind, or one that embeds texts".to_owned())
            }
            Self::NoTokenVectors { .. } => {
                Some("bge-m3 makes some; or leave `--token-vectors` out".to_owned())
            }
            Self::Twice { .. } => Some("name one of them".to_owned()),
            Self::LongQuestion { .. } => Some("ask in fewer words".to_owned()),
            Self::GivenUp => Some("search again".to_owned()),
            Self::Stopped => Some("run the same again to go on".to_owned()),
        }
    }
}
