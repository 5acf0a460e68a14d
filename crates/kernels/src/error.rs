//! What can go wrong before a forward pass begins.

use crate::Isa;

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A device that cannot be had as it was asked for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine lacks the instruction set that was asked for.
    #[error("this machine has no {isa}")]
    NoSuchIsa {
        /// What was asked for.
        isa: Isa,
    },
    /// Zero, or more threads than the pool can hold.
    #[error("{threads} threads were asked for; between 1 and {most} are possible")]
    Threads {
        /// What was asked for.
        threads: usize,
        /// The most there can be.
        most: usize,
    },
    /// The operating system refused a thread.
    #[error("the operating system started only {started} of {wanted} worker threads")]
    Spawn {
        /// How many threads run.
        started: usize,
        /// How many were asked for.
        wanted: usize,
    },
}

/// What sort of failure this is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The caller asked for something that makes no sense.
    Invalid,
    /// The machine cannot do it.
    Unsupported,
    /// The machine failed.
    Internal,
}

impl Error {
    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoSuchIsa { .. } => Kind::Unsupported,
            Self::Threads { .. } => Kind::Invalid,
            Self::Spawn { .. } => Kind::Internal,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoSuchIsa { .. } => "leave the instruction set out to use the best there is",
            Self::Threads { .. } => "leave the thread count out to use every core",
            Self::Spawn { .. } => {
                "raise the limit on processes (`ulimit -u`) or ask for fewer threads"
            }
        }
    }
}
