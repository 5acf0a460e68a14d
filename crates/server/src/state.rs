//! What every handler is given.

use std::path::PathBuf;
use std::sync::Arc;

use manager::find::{Library, Offer};
use manager::house::House;
use manager::web::Fetcher;
use tokio::sync::{Semaphore, watch};

use crate::allowance::Accounts;
use crate::documents::Readings;
use crate::gate::Gate;
use crate::mcp::Files;
use crate::metrics::Metrics;
use crate::openai::files::Shelf;
use crate::openai::responses::Store;

/// What a request may ask for at most.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body: usize,
    /// Connections that are open at once.
    pub connections: usize,
    /// Answers of one request (`n`).
    pub choices: usize,
    /// Texts of one request for embeddings, and documents of one for reranking.
    pub texts: usize,
    /// Texts that end an answer (`stop`).
    pub stops: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: 64 << 20, connections: 1024, choices: 16, texts: 2048, stops: 32 }
    }
}

/// Who may do what: all of it may change while the server runs.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Who may speak.
    pub gate: Gate,
    /// Whether clients may fetch models and remove them.
    pub manage: bool,
    /// The files that tools may read.
    pub files: Files,
    /// The indexes whose pages may be found.
    pub indexes: Offer,
    /// What fetches the images that requests name by address, if any host is allowed.
    pub fetcher: Option<Fetcher>,
}

/// The rules as they are told, and as they were told first.
#[derive(Clone, Debug)]
pub(crate) struct RuleBook {
    first: Arc<Rules>,
    told: Option<watch::Receiver<Arc<Rules>>>,
}

impl RuleBook {
    pub(crate) fn new(first: Rules, told: Option<watch::Receiver<Arc<Rules>>>) -> Self {
        Self { first: Arc::new(first), told }
    }

    /// What holds now.
    pub(crate) fn now(&self) -> Arc<Rules> {
        match &self.told {
            Some(told) => Arc::clone(&told.borrow()),
            None => Arc::clone(&self.first),
        }
    }
}

/// How a server is kept.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What requests may ask for.
    pub limits: Limits,
    /// Who may do what.
    pub rules: Rules,
    /// Who may do what from now on, whenever that is told anew.
    pub told: Option<watch::Receiver<Arc<Rules>>>,
    /// The folder for documents that clients leave here; without it none are kept.
    pub kept: Option<PathBuf>,
    /// Changes when the server is told to end: streams that would never end by themselves do then.
    pub stop: Option<watch::Receiver<bool>>,
}

/// The state of the router: cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) house: Arc<House>,
    pub(crate) options: Arc<Options>,
    pub(crate) rules: RuleBook,
    /// What may be gone on from.
    pub(crate) responses: Arc<Store>,
    pub(crate) metrics: Arc<Metrics>,
    /// What each key has taken.
    pub(crate) accounts: Arc<Accounts>,
    /// The documents of clients.
    pub(crate) shelf: Arc<Shelf>,
    /// Places for the parsers of strangers' files.
    pub(crate) parsers: Arc<Semaphore>,
    /// The documents that are being read with models.
    pub(crate) readings: Arc<Readings>,
    /// Indexes that are open.
    pub(crate) library: Arc<Library>,
}

impl Server {
    /// Who may do what now.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.rules.now()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.options.limits
    }
}
