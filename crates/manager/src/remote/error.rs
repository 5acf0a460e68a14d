//! What can go wrong between us and a server elsewhere.

use std::time::Duration;

use crate::Kind;

/// A remote that did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The remote has no word for what is asked.
    #[error("`{remote}` speaks {kind}, which has no `{field}`")]
    Unsupported {
        /// The remote.
        remote: String,
        /// What it speaks.
        kind: &'static str,
        /// The field of the request.
        field: &'static str,
    },
    /// Its key is not there, or no key.
    #[error("the key of `{remote}` cannot be used: {reason}")]
    Key {
        /// The remote.
        remote: String,
        /// Why.
        reason: String,
    },
    /// The HTTP client could not be set up.
    #[error("`{remote}`: the HTTP client cannot be set up")]
    Client {
        /// The remote.
        remote: String,
        /// What it said.
        source: Box<crate::Error>,
    },
    /// It failed too often lately, and is left alone.
    #[error("`{remote}` failed again and again, and is left alone for {} more seconds", wait.as_secs().max(1))]
    Resting {
        /// The remote.
        remote: String,
        /// For how long.
        wait: Duration,
    },
    /// It cannot be reached, or the connection broke before anything came.
    #[error("`{remote}` cannot be reached")]
    Unreachable {
        /// The remote.
        remote: String,
        /// What was met.
        source: reqwest::Error,
    },
    /// Nothing came for too long.
    #[error("`{remote}` sent nothing for {} seconds", waited.as_secs_f32())]
    Silent {
        /// The remote.
        remote: String,
        /// How long was waited.
        waited: Duration,
    },
    /// It has too much to do.
    #[error("`{remote}` has too much to do (status {status})")]
    Busy {
        /// The remote.
        remote: String,
        /// The HTTP status.
        status: u16,
        /// When it wants to be asked again.
        wait: Option<Duration>,
    },
    /// It has no such model, or does not know the address.
    #[error("`{remote}` has no model `{model}`: {message}")]
    NoModel {
        /// The remote.
        remote: String,
        /// The model.
        model: String,
        /// What it said.
        message: String,
    },
    /// It does not take the request.
    #[error("`{remote}` refuses the request (status {status}): {message}")]
    Refused {
        /// The remote.
        remote: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// It failed.
    #[error("`{remote}` failed: {message}")]
    Failed {
        /// The remote.
        remote: String,
        /// The HTTP status, if it was not in the middle of an answer.
        status: Option<u16>,
        /// What it said.
        message: String,
    },
    /// Its answer makes no sense.
    #[error("the answer of `{remote}` cannot be used: {what}")]
    Garbage {
        /// The remote.
        remote: String,
        /// What is wrong with it.
        what: String,
    },
    /// Its answer is larger than any true one.
    #[error("`{remote}` sends more than {limit} bytes at once")]
    TooLarge {
        /// The remote.
        remote: String,
        /// The most bytes.
        limit: usize,
    },
    /// Its answer ended in the middle.
    #[error("the answer of `{remote}` ended in the middle")]
    Cut {
        /// The remote.
        remote: String,
        /// What was met, if it was an error of the connection.
        source: Option<reqwest::Error>,
    },
}

impl Error {
    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Unsupported { .. } => Kind::Unsupported,
            Self::Refused { .. } => Kind::Invalid,
            Self::NoModel { .. } => Kind::NotFound,
            Self::Resting { .. } | Self::Busy { .. } | Self::Silent { .. } => Kind::Overloaded,
            Self::Key { .. }
            | Self::Client { .. }
            | Self::Unreachable { .. }
            | Self::Failed { .. }
            | Self::Garbage { .. }
            | Self::TooLarge { .. }
            | Self::Cut { .. } => Kind::Internal,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Unsupported { field, .. } => {
                format!(
                    "leave `{field}` out, or add it to the remote's `may_drop` or `understands`"
                )
            }
            Self::Key { .. } => {
                "set the variable or the file that `key_variable` or `key_file` names".to_owned()
            }
            Self::Resting { .. } | Self::Busy { .. } => "ask again later".to_owned(),
            Self::NoModel { .. } => "check the model's name there".to_owned(),
            Self::Refused { status: 401 | 403, .. } => "check the remote's key".to_owned(),
            Self::Refused { .. } => "change the request".to_owned(),
            Self::Client { .. } | Self::Unreachable { .. } => {
                "check that it runs, and its `url`".to_owned()
            }
            Self::Silent { .. } => "raise its timeouts if it is only slow".to_owned(),
            Self::Failed { .. }
            | Self::Garbage { .. }
            | Self::TooLarge { .. }
            | Self::Cut { .. } => "the remote's own log says more".to_owned(),
        }
    }

    /// Whether it says that the remote does not work, rather than that it does not take this request.
    pub fn is_the_remotes(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Failed { .. }
            | Self::Garbage { .. }
            | Self::TooLarge { .. }
            | Self::Cut { .. } => true,
            Self::Unsupported { .. }
            | Self::Key { .. }
            | Self::Client { .. }
            | Self::Resting { .. }
            | Self::Busy { .. }
            | Self::NoModel { .. }
            | Self::Refused { .. } => false,
        }
    }

    /// Whether the same request may be sent again where nothing came yet, and how long it asks to wait before.
    pub(super) fn again(&self) -> Option<Option<Duration>> {
        if let Self::Busy { wait, .. } = self {
            return Some(*wait);
        }
        // 501 is no accident.
        let failed = matches!(self, Self::Failed { status: Some(status), .. } if *status != 501);
        let broke = matches!(self, Self::Unreachable { .. } | Self::Cut { .. });
        (failed || broke).then_some(None)
    }
}
