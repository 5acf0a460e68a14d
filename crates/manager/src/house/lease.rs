//! From a name to a model in memory that stays there while it is used.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::{Error, House, apart};
use crate::catalog::{Catalog, Entry, Hold};
use crate::runtime::{self, LoadedModel, base_of_adapter};

/// What a name stands for.
#[derive(Debug)]
pub(super) struct Found {
    /// The name it goes by.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) adapter: Option<PathBuf>,
    entry: Entry,
}

/// A model that is in memory, or coming.
#[derive(Debug)]
pub(super) enum Resident {
    Loading { since: Instant },
    Ready(Ready),
}

#[derive(Debug)]
pub(super) struct Ready {
    pub(super) model: Arc<LoadedModel>,
    pub(super) leases: usize,
    pub(super) loaded: Instant,
    pub(super) used: Instant,
    /// Nobody removes it from the disk meanwhile.
    _hold: Hold,
}

impl Resident {
    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Loading { .. } => false,
            Self::Ready(ready) => ready.leases == 0,
        }
    }
}

/// A model in use: it stays in memory until this is dropped.
#[derive(Debug)]
pub struct Lease {
    house: Arc<House>,
    name: String,
    model: Arc<LoadedModel>,
}

impl Lease {
    /// The name that the model goes by here.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The model, for what needs to share it.
    pub fn model(&self) -> &Arc<LoadedModel> {
        &self.model
    }
}

impl Deref for Lease {
    type Target = LoadedModel;

    fn deref(&self) -> &LoadedModel {
        &self.model
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(Resident::Ready(ready)) = self.house.rooms().residents.get_mut(&self.name) {
            ready.leases -= 1;
            ready.used = Instant::now();
        }
        self.house.changed.notify_waiters();
    }
}

/// The room of a model on its way, which is empty again if the model does not come.
struct Room<'a> {
    house: &'a House,
    name: &'a str,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut rooms = self.house.rooms();
        if matches!(rooms.residents.get(self.name), Some(Resident::Loading { .. })) {
            rooms.residents.remove(self.name);
        }
        drop(rooms);
        self.house.changed.notify_waiters();
    }
}

enum Next {
    Have(Lease),
    Wait,
    Load,
}

impl House {
    /// The model that `asked` names, in memory: loaded first if it is not there, once however many ask.
    ///
    /// # Errors
    ///
    /// If there is no such model, it is not offered, or it cannot be loaded.
    pub async fn lease(self: &Arc<Self>, asked: &str) -> Result<Lease, Error> {
        let found = self.find(asked).await?;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.next(&found)? {
                Next::Have(lease) => return Ok(lease),
                Next::Wait => changed.await,
                Next::Load => {
                    let (house, found) = (Arc::clone(self), Arc::clone(&found));
                    // It goes on even if nobody waits any more: others may.
                    apart(move || house.bring_in(&found)).await?;
                }
            }
        }
    }

    fn next(self: &Arc<Self>, found: &Found) -> Result<Next, Error> {
        let mut rooms = self.rooms();
        if rooms.closing {
            return Err(Error::Closing);
        }
        match rooms.residents.get_mut(&found.name) {
            Some(Resident::Ready(ready)) => {
                ready.leases += 1;
                ready.used = Instant::now();
                let (house, model) = (Arc::clone(self), Arc::clone(&ready.model));
                Ok(Next::Have(Lease { house, name: found.name.clone(), model }))
            }
            Some(Resident::Loading { .. }) => Ok(Next::Wait),
            None => {
                let loading = Resident::Loading { since: Instant::now() };
                rooms.residents.insert(found.name.clone(), loading);
                Ok(Next::Load)
            }
        }
    }

    /// Loads a model whose room is taken already.
    fn bring_in(&self, found: &Found) -> Result<(), Error> {
        let begun = Instant::now();
        let room = Room { house: self, name: &found.name };
        let loaded = self.load(found);
        let mut rooms = self.rooms();
        let outcome = match loaded {
            Ok((model, hold)) => {
                let now = Instant::now();
                tracing::info!(model = found.name, took = ?begun.elapsed(), "loaded");
                let ready = Ready { model, leases: 0, loaded: now, used: now, _hold: hold };
                rooms.residents.insert(found.name.clone(), Resident::Ready(ready));
                Ok(())
            }
            Err(error) => {
                rooms.known.retain(|_, known| known.name != found.name);
                Err(error)
            }
        };
        drop(rooms);
        drop(room);
        outcome
    }

    fn load(&self, found: &Found) -> Result<(Arc<LoadedModel>, Hold), Error> {
        let hold = Hold::of(&found.entry)?;
        let (path, adapter) = (&found.path, found.adapter.as_deref());
        let loaded = LoadedModel::load_adapted(&self.runtime, path, adapter, self.options.load);
        let model = loaded.map_err(|source| Error::Load {
            model: found.name.clone(),
            source: Arc::new(source),
        })?;
        Ok((model, hold))
    }

    /// Gives up the memory of a model that nobody uses; `false` if it was not in memory.
    ///
    /// # Errors
    ///
    /// If it is in use, or there is no such model.
    pub async fn unload(self: &Arc<Self>, asked: &str) -> Result<bool, Error> {
        let found = self.find(asked).await?;
        let mut rooms = self.rooms();
        match rooms.residents.get(&found.name) {
            Some(Resident::Ready(ready)) if ready.leases > 0 => {
                Err(Error::InUse { model: found.name.clone(), users: ready.leases })
            }
            Some(Resident::Loading { .. }) => {
                Err(Error::InUse { model: found.name.clone(), users: 1 })
            }
            Some(Resident::Ready(_)) => {
                let gone = rooms.residents.remove(&found.name);
                drop(rooms);
                drop(gone);
                self.changed.notify_waiters();
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Forgets what names stood for: something on disk has changed.
    pub fn look_again(&self) {
        self.rooms().known.clear();
    }

    /// What `asked` stands for, among what is offered.
    pub(super) async fn find(self: &Arc<Self>, asked: &str) -> Result<Arc<Found>, Error> {
        if let Some(found) = self.rooms().known.get(asked) {
            return Ok(Arc::clone(found));
        }
        let (house, name) = (Arc::clone(self), asked.to_owned());
        let found = Arc::new(apart(move || house.look_up(&name)).await?);
        // Names are strangers' words: only those that stand for something are kept.
        self.rooms().known.insert(asked.to_owned(), Arc::clone(&found));
        Ok(found)
    }

    /// Looks at the disk.
    fn look_up(&self, asked: &str) -> Result<Found, Error> {
        let catalog = Catalog::scan(&self.environment);
        let offered = &self.options.models;
        if offered.is_empty() {
            // A path is a file of this machine, which is for its owner to offer, not for a client to name.
            let listed = |entry: &Entry| catalog.entries().iter().any(|e| e.path == entry.path);
            return match catalog.find(asked) {
                Ok(entry) if listed(&entry) => found(&catalog, entry),
                Err(error @ crate::Error::AmbiguousName { .. }) => Err(error.into()),
                missing => {
                    let mut offered = match missing {
                        Err(crate::Error::ModelNotFound { suggestions, .. }) => suggestions,
                        Ok(_) | Err(_) => Vec::new(),
                    };
                    // The nearest first.
                    let usable = catalog.entries().iter().filter(|entry| entry.is_usable());
                    let others = usable.map(|entry| entry.name.clone());
                    let others: Vec<_> = others.filter(|name| !offered.contains(name)).collect();
                    offered.extend(others);
                    Err(Error::NotOffered { name: asked.to_owned(), offered })
                }
            };
        }
        let called = |offer: &&String| offer_name(offer) == asked || offer.as_str() == asked;
        if let Some(offer) = offered.iter().find(called) {
            return offer_found(&catalog, offer);
        }
        // The short name of one that is offered.
        let short = |offer: &&String| {
            let name = offer_name(offer);
            name.rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(asked))
        };
        match offered.iter().find(short) {
            Some(offer) => offer_found(&catalog, offer),
            None => Err(Error::NotOffered {
                name: asked.to_owned(),
                offered: offered.iter().map(|offer| offer_name(offer)).collect(),
            }),
        }
    }
}

/// The name that an offer goes by: a folder's own name, or the name itself.
pub(super) fn offer_name(offer: &str) -> String {
    let path = Path::new(offer);
    match path.file_name() {
        Some(name) if path.is_dir() => name.to_string_lossy().into_owned(),
        _ => offer.to_owned(),
    }
}

fn offer_found(catalog: &Catalog, offer: &str) -> Result<Found, Error> {
    let found = found(catalog, catalog.find(offer)?)?;
    Ok(Found { name: offer_name(offer), ..found })
}

/// The model of `entry`; for an adapter, its base with the adapter on it.
fn found(catalog: &Catalog, entry: Entry) -> Result<Found, Error> {
    let name = entry.name.clone();
    let of = |source: runtime::Error| Error::Load { model: name.clone(), source: Arc::new(source) };
    if let Some(base) = base_of_adapter(&entry.path).map_err(of)? {
        let base = catalog.find(&base)?.usable()?;
        let (path, adapter) = (base.path.clone(), Some(entry.path.clone()));
        return Ok(Found { name: entry.name.clone(), path, adapter, entry: base });
    }
    let entry = entry.usable()?;
    Ok(Found { name: entry.name.clone(), path: entry.path.clone(), adapter: None, entry })
}
