//! What is on disk and what is in memory, for those who ask.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::lease::{Resident, offer_name};
use super::{Error, House, apart};
use crate::catalog::{Catalog, Entry};
use crate::runtime::{ModelFacts, ModelKind};

/// Where a model is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ModelState {
    /// On disk.
    Unloaded,
    /// On its way into memory, for so long.
    Loading(Duration),
    /// In memory.
    Loaded {
        /// For so long.
        since: Duration,
        /// Nobody has used it for so long.
        idle: Duration,
        /// Requests that use it now.
        users: usize,
    },
}

/// A model that can be asked for.
#[derive(Clone, Debug)]
pub struct ModelStatus {
    /// The name to ask for it by.
    pub name: String,
    /// What lies on disk.
    pub entry: Entry,
    /// When it came there.
    pub since: SystemTime,
    /// Where it is.
    pub state: ModelState,
    /// What is known of it once it is loaded.
    pub facts: Option<ModelFacts>,
}

impl ModelStatus {
    /// What it can do, once that is known.
    pub fn kind(&self) -> Option<ModelKind> {
        self.facts.as_ref().map(|facts| facts.kind)
    }
}

impl House {
    /// Every model that can be asked for, by name.
    ///
    /// # Errors
    ///
    /// If an offered model is not on disk any more.
    pub async fn models(self: &Arc<Self>) -> Result<Vec<ModelStatus>, Error> {
        let house = Arc::clone(self);
        let entries = apart(move || house.on_disk()).await?;
        let rooms = self.rooms();
        let status = |(name, entry, since): (String, Entry, SystemTime)| {
            let (state, facts) = match rooms.residents.get(&name) {
                None => (ModelState::Unloaded, None),
                Some(Resident::Loading { since }) => (ModelState::Loading(since.elapsed()), None),
                Some(Resident::Ready(ready)) => {
                    let (since, idle) = (ready.loaded.elapsed(), ready.used.elapsed());
                    let state = ModelState::Loaded { since, idle, users: ready.leases };
                    (state, Some(ready.model.facts().clone()))
                }
            };
            ModelStatus { name, entry, since, state, facts }
        };
        Ok(entries.into_iter().map(status).collect())
    }

    fn on_disk(&self) -> Result<Vec<(String, Entry, SystemTime)>, Error> {
        let catalog = Catalog::scan(&self.environment);
        let offered = &self.options.models;
        if offered.is_empty() {
            let usable = catalog.entries().iter().filter(|entry| entry.is_usable());
            return Ok(usable.map(|entry| dated(entry.name.clone(), entry.clone())).collect());
        }
        let found = |offer: &String| Ok(dated(offer_name(offer), catalog.find(offer)?));
        offered.iter().map(found).collect()
    }
}

/// An entry, and when its configuration was written.
fn dated(name: String, entry: Entry) -> (String, Entry, SystemTime) {
    let config = std::fs::metadata(entry.path.join("config.json"));
    let since = config.and_then(|file| file.modified()).unwrap_or(UNIX_EPOCH);
    (name, entry, since)
}
