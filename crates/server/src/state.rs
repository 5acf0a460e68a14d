//! What every handler is given.

use std::path::PathBuf;
use std::sync::Arc;

use manager::house::House;
use manager::web::Fetcher;
use tokio::sync::{Semaphore, watch};

use crate::allowance::Accounts;
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

/// How a server is kept.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What requests may ask for.
    pub limits: Limits,
    /// Who may speak.
    pub gate: Gate,
    /// Who may speak from now on, whenever that is told anew.
    pub gates: Option<watch::Receiver<Arc<Gate>>>,
    /// Whether clients may fetch models and remove them.
    pub manage: bool,
    /// The files that tools may read.
    pub files: Files,
    /// What fetches the images that requests name by address, if any host is allowed.
    pub fetcher: Option<Fetcher>,
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
    /// Who may speak, as it was told first.
    pub(crate) gate: Arc<Gate>,
    /// What may be gone on from.
    pub(crate) responses: Arc<Store>,
    pub(crate) metrics: Arc<Metrics>,
    /// What each key has taken.
    pub(crate) accounts: Arc<Accounts>,
    /// The documents of clients.
    pub(crate) shelf: Arc<Shelf>,
    /// Places for the parsers of strangers' files.
    pub(crate) parsers: Arc<Semaphore>,
}

impl Server {
    /// Who may speak now.
    pub(crate) fn gate(&self) -> Arc<Gate> {
        match &self.options.gates {
            Some(gates) => Arc::clone(&gates.borrow()),
            None => Arc::clone(&self.gate),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.options.limits
    }
}
