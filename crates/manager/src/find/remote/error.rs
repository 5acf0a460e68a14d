//! What can go wrong between us and a server of pages.

use std::time::Duration;

use crate::Kind;

/// A server that does not do what is asked, or is not asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is no address of a collection.
    #[error("`{address}` is no address of pages: {reason}")]
    Address {
        /// What was given, without what may be a key.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Its key is not there, or no key.
    #[error("{place}: the key cannot be used: {reason}")]
    Key {
        /// The collection.
        place: String,
        /// Why.
        reason: String,
    },
    /// The HTTP client could not be set up.
    #[error("{place}: the HTTP client cannot be set up")]
    Client {
        /// The collection.
        place: String,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It did not answer, again and again.
    #[error("{place}: no use after {attempts} attempts: {why}")]
    GaveUp {
        /// The collection.
        place: String,
        /// How often it was asked.
        attempts: u32,
        /// What was met the last time.
        why: String,
        /// Whether that was that nothing came in time.
        late: bool,
    },
    /// It wants to be left alone for longer than is waited.
    #[error("{place}: it asks to be left alone for {} seconds", wait.as_secs())]
    Busy {
        /// The collection.
        place: String,
        /// For how long.
        wait: Duration,
    },
    /// It does not know the key, or the key may not do this.
    #[error("{place}: the key is missing or may not do this ({status}): {message}")]
    Denied {
        /// The collection.
        place: String,
        /// The HTTP status, or gRPC's.
        status: String,
        /// What it said.
        message: String,
    },
    /// It does not take a request.
    #[error("{place}: it refuses to {action} ({status}): {message}")]
    Refused {
        /// The collection.
        place: String,
        /// What it was to do.
        action: &'static str,
        /// The HTTP status, or gRPC's.
        status: String,
        /// What it said.
        message: String,
    },
    /// A request is larger than it takes.
    #[error("{place}: a request of {bytes} bytes is larger than it takes")]
    TooLarge {
        /// The collection.
        place: String,
        /// The request's size.
        bytes: usize,
    },
    /// Its answer is larger than any true one.
    #[error("{place}: it answers with more than {limit} bytes")]
    TooLong {
        /// The collection.
        place: String,
        /// The most bytes.
        limit: usize,
    },
    /// Its answer makes no sense.
    #[error("{place}: its answer to `{action}` cannot be used: {what}")]
    Garbage {
        /// The collection.
        place: String,
        /// What it was to do.
        action: &'static str,
        /// What is wrong with the answer.
        what: String,
    },
    /// There is no such collection.
    #[error("{place}: there is no such collection")]
    Missing {
        /// The collection.
        place: String,
    },
    /// The collection holds something else.
    #[error("{place}: the collection was not made by folio: {why}")]
    Foreign {
        /// The collection.
        place: String,
        /// What tells.
        why: String,
    },
    /// The collection was made with other settings than are asked for.
    #[error("{place}: the collection was made with {what} {made}, not {asked}")]
    Otherwise {
        /// The collection.
        place: String,
        /// What differs.
        what: &'static str,
        /// What it was made with.
        made: String,
        /// What is asked for.
        asked: String,
    },
    /// It cannot do this.
    #[error("{place}: {server} {what}")]
    Unsupported {
        /// The collection.
        place: String,
        /// What it is called.
        server: &'static str,
        /// What it cannot do.
        what: String,
    },
    /// The index has no vectors that could be moved as they were made.
    #[error("the index holds its vectors in 8 bits alone")]
    NoHalves,
    /// The index has better vectors than are to be moved.
    #[error("the index holds its vectors in 16 bits, and they are not rounded")]
    Halves,
    /// Not all pages are there after all was sent.
    #[error(
        "{place}: {missing} pages are not there although they were taken, the first is page {page} of {path}"
    )]
    Lost {
        /// The collection.
        place: String,
        /// How many.
        missing: usize,
        /// The first one's document.
        path: String,
        /// Its number.
        page: u32,
    },
    /// It counts otherwise than it lists.
    #[error("{place}: it counts {counted} pages and lists {listed}")]
    Count {
        /// The collection.
        place: String,
        /// What it counts.
        counted: usize,
        /// What it lists.
        listed: usize,
    },
    /// The index changed while it was read.
    #[error("{path}: was changed in the index while it was read")]
    Changed {
        /// The document.
        path: String,
    },
}

impl Error {
    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Missing { .. } => Kind::NotFound,
            Self::Busy { .. } | Self::GaveUp { .. } | Self::Changed { .. } => Kind::Overloaded,
            Self::Unsupported { .. } => Kind::Unsupported,
            Self::Address { .. }
            | Self::Key { .. }
            | Self::Denied { .. }
            | Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::Foreign { .. }
            | Self::Otherwise { .. }
            | Self::NoHalves
            | Self::Halves => Kind::Invalid,
            Self::Client { .. }
            | Self::TooLong { .. }
            | Self::Garbage { .. }
            | Self::Lost { .. }
            | Self::Count { .. } => Kind::Internal,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Address { .. } => {
                "write qdrant://HOST:PORT/collection or weaviate://HOST:PORT/Collection, with `+tls` before `:` where \
                 there is TLS"
            }
            Self::Key { .. } | Self::Denied { .. } => {
                "put the key into QDRANT_API_KEY or WEAVIATE_API_KEY, or name a file with --key-file"
            }
            Self::Client { .. } => "check the variables that name proxies and certificates",
            Self::GaveUp { .. } => {
                "check that the server runs and that host, port and `+tls` are right; the same command goes on"
            }
            Self::Busy { .. } => "wait, and run the same again: it goes on",
            Self::Refused { .. } => "what the server said tells what it does not take",
            Self::TooLarge { .. } => "raise the limit of the server, or what stands before it",
            Self::TooLong { .. } | Self::Garbage { .. } => {
                "check that it is a server of this kind, and nothing else answers in its place"
            }
            Self::Missing { .. } => "make it with `folio index push --to`, or name another",
            Self::Foreign { .. } => "name a collection that there is not yet: it is made then",
            Self::Otherwise { .. } => "push with the same settings, or into another collection",
            Self::Unsupported { .. } => "leave it out, or ask the index on this machine",
            Self::NoHalves => {
                "index the documents again into a new folder with --halves; or push with --rounded, which moves the 8-bit \
                 vectors that this index is searched by"
            }
            Self::Halves => "leave --rounded out",
            Self::Lost { .. } | Self::Count { .. } => {
                "run the same again; if it stays so, something else changes the collection"
            }
            Self::Changed { .. } => "run the same again: it goes on",
        }
    }
}
