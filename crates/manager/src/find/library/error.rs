//! Why an index that is offered is not asked.

use crate::find;
use crate::{Kind, chain, house};

/// A question to an index that gets no answer. No message says where the index lies.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// No index is offered at all.
    #[error("no index is offered here")]
    NoneOffered,
    /// No index of this name is offered.
    #[error("no index named `{name}` is offered here; there are: {}", listed(offered))]
    Unknown {
        /// The name as given.
        name: String,
        /// The names that are.
        offered: Vec<String>,
    },
    /// The index is offered, and not there.
    #[error("the index `{index}` is not there")]
    Missing {
        /// The index.
        index: String,
    },
    /// The index has no such page, or the document was replaced or removed.
    #[error("the index `{index}` has no page {page} of a document {document}")]
    NoPage {
        /// The index.
        index: String,
        /// The document's number.
        document: i64,
        /// The page, from 1.
        page: u32,
    },
    /// The models of this machine did not make the index.
    #[error(
        "the index `{index}` was made with `{model}` ({sum}), and no model here has these files"
    )]
    NoModel {
        /// The index.
        index: String,
        /// What the model was called.
        model: String,
        /// The beginning of the sum of its files.
        sum: String,
    },
    /// The model is there, and is used otherwise than it was.
    #[error(
        "the index `{index}` was made with `{model}`, in another way than this version uses it"
    )]
    OtherWay {
        /// The index.
        index: String,
        /// The model.
        model: String,
    },
    /// The files of a model are others than when it was loaded.
    #[error("the files of `{model}` were changed since it was loaded")]
    Changed {
        /// The model.
        model: String,
    },
    /// Too many searches wait.
    #[error("{waiting} searches are under way or wait already")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// The index, or what is asked of it.
    #[error("{}", without(&chain(&**error), place, &said(index, error)))]
    Index {
        /// The index.
        index: String,
        /// Where it lies, which is not told.
        place: String,
        /// What went wrong. It says where the index lies, so it is no source for others to print.
        error: Box<find::Error>,
    },
    /// A model.
    #[error(transparent)]
    House(#[from] house::Error),
    /// A thread of ours ended without an answer.
    #[error("a background task ended early")]
    Lost,
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// `text` with what an index is called in place of where it lies.
fn without(text: &str, place: &str, said: &str) -> String {
    text.replace(place, said)
}

/// What an index is called: of one on a server, by that.
fn said(index: &str, error: &find::Error) -> String {
    if matches!(error, find::Error::Remote(_)) {
        format!("the server of the index `{index}`")
    } else {
        index.to_owned()
    }
}

impl LibraryError {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoneOffered
            | Self::Unknown { .. }
            | Self::Missing { .. }
            | Self::NoPage { .. } => Kind::NotFound,
            Self::NoModel { .. } | Self::OtherWay { .. } => Kind::Unsupported,
            Self::Changed { .. } | Self::Busy { .. } => Kind::Overloaded,
            Self::Index { error, .. } => error.kind(),
            Self::House(error) => error.kind(),
            Self::Lost => Kind::Internal,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoneOffered => "start the server with `--index NAME`, of those that `folio index --index NAME` made".to_owned(),
            Self::Unknown { .. } => "name one of these, or start the server with `--index NAME`".to_owned(),
            Self::Missing { index } => format!("make it: `folio index FOLDER --index {index}`; on a server, `folio index push`"),
            Self::NoPage { .. } => "the document may have been replaced or removed: search again".to_owned(),
            Self::NoModel { model, .. } => format!("pull `{model}` and offer it, make the index anew, or ask for words alone"),
            Self::OtherWay { .. } => "make the index anew, or ask for words alone".to_owned(),
            Self::Changed { .. } => "it is unloaded: ask again".to_owned(),
            Self::Busy { .. } => "ask again in a moment".to_owned(),
            // What to do about its server is for whoever runs this one.
            Self::Index { .. } if self.of_server().is_some() => "tell whoever runs folio here".to_owned(),
            Self::Index { error, .. } => return error.hint(),
            Self::House(error) => return error.hint(),
            Self::Lost => "ask again; if it happens twice, report it".to_owned(),
        })
    }

    /// What went wrong with the server that the index lies on, if that is what went wrong.
    pub fn of_server(&self) -> Option<&find::remote::Error> {
        if let Self::Index { error, .. } = self
            && let find::Error::Remote(error) = &**error
        {
            return Some(error);
        }
        None
    }

    /// Whether the index that was named is at fault.
    pub fn is_unknown_index(&self) -> bool {
        matches!(self, Self::NoneOffered | Self::Unknown { .. } | Self::Missing { .. })
    }
}
