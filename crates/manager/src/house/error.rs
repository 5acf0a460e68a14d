//! Why a model of the house does not answer.

use std::sync::Arc;
use std::time::Duration;

use crate::Kind;
use crate::remote;
use crate::residency::Refusal;
use crate::route::{NoRoute, Why};
use crate::runtime;

/// A request that the house cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name stands for no model, or for one that cannot be used.
    #[error(transparent)]
    Catalog(#[from] crate::Error),
    /// The model is not among those that are offered.
    #[error("no model named `{name}` is offered here; there are: {}", listed(offered))]
    NotOffered {
        /// The name as given.
        name: String,
        /// The names that are.
        offered: Vec<String>,
    },
    /// The model is an adapter, and the settings put another over it.
    #[error(
        "`{model}` is an adapter already, and `{adapter}` is to be put over it; one is at most"
    )]
    TwoAdapters {
        /// The model.
        model: String,
        /// What the settings say.
        adapter: String,
    },
    /// The model cannot be loaded.
    #[error("`{model}` cannot be loaded")]
    Load {
        /// The model.
        model: String,
        /// Why.
        source: Arc<runtime::Error>,
    },
    /// The model panicked again and again, and is left alone for a while.
    #[error(
        "`{model}` panicked {times} times in a row, and is not loaded again for {} more minutes; the last time it said: {what}",
        wait.as_secs().div_ceil(60)
    )]
    Broken {
        /// The model.
        model: String,
        /// How often.
        times: u32,
        /// What it said.
        what: String,
        /// How long it is left alone.
        wait: Duration,
    },
    /// The model does not take the request, or failed over it.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    /// There is no room for the model, or none in time.
    #[error(transparent)]
    NoRoom(#[from] Refusal),
    /// Nobody can answer.
    #[error(transparent)]
    NoRoute(#[from] NoRoute),
    /// A server elsewhere did not answer.
    #[error(transparent)]
    Remote(#[from] remote::Error),
    /// A server elsewhere did not give a whole answer.
    #[error("`{remote}` did not answer to the end: {why}")]
    Incomplete {
        /// The server and its model.
        remote: String,
        /// What it calls the reason.
        why: String,
    },
    /// What is asked makes no sense to other servers.
    #[error("`{remote}` is asked with conversations only")]
    NotElsewhere {
        /// The server.
        remote: String,
    },
    /// Servers elsewhere are not asked for vectors of images.
    #[error("`{remote}` is asked for vectors of texts only")]
    NoImagesThere {
        /// The server.
        remote: String,
    },
    /// More vectors of tokens were asked for than are returned at once.
    #[error("the vectors of all tokens have more than {most} numbers, the most of one answer")]
    TooManyVectors {
        /// How many numbers there may be.
        most: usize,
    },
    /// What was found out before.
    #[error(transparent)]
    Known(Arc<Self>),
    /// No new requests are taken.
    #[error("the server is shutting down")]
    Closing,
    /// A thread of ours ended without an answer.
    #[error("a background task ended early")]
    Lost,
}

impl Error {
    /// Whether nobody knows the model that was named.
    pub fn is_unknown_model(&self) -> bool {
        match self {
            Self::NotOffered { .. } | Self::NoRoute(NoRoute::Unknown { .. }) => true,
            Self::Known(error) => error.is_unknown_model(),
            Self::Catalog(_)
            | Self::TwoAdapters { .. }
            | Self::Broken { .. }
            | Self::Load { .. }
            | Self::Runtime(_)
            | Self::NoRoom(_)
            | Self::NoRoute(_)
            | Self::Remote(_)
            | Self::Incomplete { .. }
            | Self::NotElsewhere { .. }
            | Self::NoImagesThere { .. }
            | Self::TooManyVectors { .. }
            | Self::Closing
            | Self::Lost => false,
        }
    }

    /// Whether what was given is longer than the model takes.
    pub fn is_too_long(&self) -> bool {
        match self {
            Self::Runtime(error) => error.is_too_long(),
            Self::Known(error) => error.is_too_long(),
            Self::NoRoute(NoRoute::Nobody { passed, .. }) => {
                passed.iter().any(|passed| matches!(passed.why, Why::TooLong { .. }))
            }
            Self::NoRoute(_)
            | Self::Catalog(_)
            | Self::NotOffered { .. }
            | Self::Broken { .. }
            | Self::TwoAdapters { .. }
            | Self::Load { .. }
            | Self::NoRoom(_)
            | Self::Remote(_)
            | Self::Incomplete { .. }
            | Self::NotElsewhere { .. }
            | Self::NoImagesThere { .. }
            | Self::TooManyVectors { .. }
            | Self::Closing
            | Self::Lost => false,
        }
    }

    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Catalog(error) => error.kind(),
            Self::NotOffered { .. } => Kind::NotFound,
            Self::TwoAdapters { .. } => Kind::Invalid,
            Self::Load { source, .. } => match source.kind() {
                // The caller's request was right; what is on disk is not.
                Kind::Invalid | Kind::NotFound => Kind::Internal,
                kind @ (Kind::Overloaded | Kind::Unsupported | Kind::Internal) => kind,
            },
            Self::Runtime(error) => error.kind(),
            Self::NoRoom(refusal) => refusal.kind(),
            Self::NoRoute(none) => none.kind(),
            Self::Remote(error) => error.kind(),
            Self::Incomplete { .. } => Kind::Internal,
            Self::NotElsewhere { .. } | Self::TooManyVectors { .. } => Kind::Invalid,
            Self::NoImagesThere { .. } => Kind::Unsupported,
            Self::Known(error) => error.kind(),
            Self::Closing => Kind::Overloaded,
            Self::Broken { .. } | Self::Lost => Kind::Internal,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Catalog(error) => error.hint(),
            Self::NotOffered { .. } => Some("name one of these".to_owned()),
            Self::TwoAdapters { .. } => Some("take `adapter` out of its settings".to_owned()),
            Self::Load { source, .. } => source.hint(),
            Self::Runtime(error) => error.hint(),
            Self::NoRoute(none) => Some(none.hint()),
            Self::Remote(error) => Some(error.hint()),
            Self::Incomplete { .. } => Some("ask again, or look at its log".to_owned()),
            Self::NotElsewhere { .. } => {
                Some("send messages, or ask a model of this machine".to_owned())
            }
            Self::NoImagesThere { .. } => {
                Some("ask a model of this machine that makes vectors of pages".to_owned())
            }
            Self::TooManyVectors { .. } => Some("send fewer at once".to_owned()),
            Self::Known(error) => error.hint(),
            Self::Closing => Some("ask again when it has started again".to_owned()),
            Self::NoRoom(refusal) => Some(refusal.hint().to_owned()),
            Self::Broken { .. } => Some(
                "report it with the name of the model, and ask another; a new start tries it at once"
                    .to_owned(),
            ),
            Self::Lost => Some("ask again; if it happens twice, report it".to_owned()),
        }
    }
}

fn listed(names: &[String]) -> String {
    const MOST: usize = 20;
    let shown = names.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST) {
        0 if names.is_empty() => "none".to_owned(),
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
