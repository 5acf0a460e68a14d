//! What is on disk and what is in memory, for those who ask.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::find::offer_name;
use super::{Error, House, apart};
use crate::catalog::{Catalog, Entry};
use crate::ledger::Class;
use crate::residency::{Outlook, Standing, Status};
use crate::runtime::{ModelFacts, ModelKind, Status as EngineStatus};

/// Where a model is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ModelState {
    /// On disk.
    Unloaded,
    /// On its way into memory.
    Loading,
    /// In memory.
    Loaded {
        /// For so long.
        since: Duration,
        /// Nobody has asked for it for so long.
        idle: Duration,
        /// Requests that use it now.
        users: usize,
    },
    /// On its way out.
    Unloading,
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
    /// What it takes of memory, once somebody has asked for it.
    pub memory: Option<Status>,
    /// What is known of it once it is loaded.
    pub facts: Option<ModelFacts>,
}

impl ModelStatus {
    /// What it can do, once that is known.
    pub fn kind(&self) -> Option<ModelKind> {
        self.facts.as_ref().map(|facts| facts.kind)
    }
}

/// What is booked.
#[derive(Clone, Debug)]
pub struct Account {
    /// Bytes that all may take together.
    pub limit: u64,
    /// Bytes that are booked.
    pub reserved: u64,
    /// The most that was ever booked.
    pub peak: u64,
    /// Bytes by owner and by what they are for.
    pub owners: BTreeMap<String, BTreeMap<String, u64>>,
}

impl House {
    /// Every byte that is booked.
    pub fn account(&self) -> Account {
        let rooms = self.rooms();
        let ledger = rooms.residency.ledger();
        let named = |row: BTreeMap<Class, u64>| {
            row.into_iter().map(|(class, bytes)| (class.name().to_owned(), bytes)).collect()
        };
        let owners = ledger.table().into_iter().map(|(owner, row)| (owner, named(row))).collect();
        Account { limit: ledger.limit(), reserved: ledger.reserved(), peak: ledger.peak(), owners }
    }

    /// What would become of a request for a model now, and what the model is called; nothing is done.
    ///
    /// # Errors
    ///
    /// If there is no such model.
    pub async fn outlook(self: &Arc<Self>, asked: &str) -> Result<(String, Outlook), Error> {
        let found = self.find(asked).await?;
        let now = self.uptime();
        let outlook = self.rooms().residency.outlook(now, &found.name);
        Ok((found.name.clone(), outlook))
    }

    /// What the engine of each model in memory has in hand, by the model's name. One whose step takes longer than a second is
    /// left out.
    pub async fn engines(&self) -> Vec<(String, EngineStatus)> {
        const PATIENCE: Duration = Duration::from_secs(1);
        let models: Vec<_> = {
            let rooms = self.rooms();
            let residents = rooms.residents.iter();
            residents.map(|(name, it)| (name.clone(), Arc::clone(&it.model))).collect()
        };
        let mut told = Vec::new();
        for (name, model) in models {
            if model.facts().kind == ModelKind::Language
                && let Ok(Ok(status)) = tokio::time::timeout(PATIENCE, model.status_async()).await
            {
                told.push((name, status));
            }
        }
        told
    }

    /// How many models left memory, by reason.
    pub fn unloads(&self) -> BTreeMap<&'static str, u64> {
        self.rooms().unloads.clone()
    }

    /// Every model that can be asked for, by name.
    ///
    /// # Errors
    ///
    /// If an offered model is not on disk any more.
    pub async fn models(self: &Arc<Self>) -> Result<Vec<ModelStatus>, Error> {
        let house = Arc::clone(self);
        let entries = apart(move || house.on_disk()).await?;
        let rooms = self.rooms();
        let now = self.uptime();
        let status = |(name, entry, since): (String, Entry, SystemTime)| {
            let memory = rooms.residency.status(&name);
            let resident = rooms.residents.get(&name);
            let facts = resident.map(|resident| resident.model.facts().clone());
            let state = match (memory.as_ref().map(|status| status.standing), resident) {
                (Some(Standing::Ready | Standing::Busy(_)), Some(resident)) => {
                    let users = match memory.as_ref().map(|status| status.standing) {
                        Some(Standing::Busy(users)) => users,
                        _ => 0,
                    };
                    let used = memory.as_ref().and_then(|status| status.last_used);
                    let idle = used.map_or(now, |used| now.saturating_sub(used));
                    ModelState::Loaded { since: resident.loaded.elapsed(), idle, users }
                }
                (Some(Standing::Unloading), _) => ModelState::Unloading,
                (Some(Standing::Loading | Standing::Ready | Standing::Busy(_)), _) => {
                    ModelState::Loading
                }
                (Some(Standing::Unloaded) | None, _) => ModelState::Unloaded,
            };
            ModelStatus { name, entry, since, state, memory, facts }
        };
        Ok(entries.into_iter().map(status).collect())
    }

    fn on_disk(&self) -> Result<Vec<(String, Entry, SystemTime)>, Error> {
        let catalog = Catalog::scan(&self.environment);
        let settings = self.settings();
        let offered = &settings.options.models;
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
