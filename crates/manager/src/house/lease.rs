//! A model in memory that stays there while it is used.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Error, House};
use crate::catalog::Hold;
use crate::find::Stamp;
use crate::flight::{self, Flight, Step};
use crate::residency::{Ask, Event, Leave, Standing, Terms, Ticket};
use crate::runtime::LoadedModel;

/// A model that is in memory.
#[derive(Debug)]
pub(super) struct Resident {
    pub(super) model: Arc<LoadedModel>,
    pub(super) loaded: Instant,
    /// What its files were when it was loaded, if the system told it.
    pub(super) files: Option<Stamp>,
    /// Nobody removes it from the disk meanwhile.
    pub(super) _hold: Hold,
}

/// Somebody who waits for a model.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) answer: oneshot::Sender<Result<Arc<LoadedModel>, Error>>,
    /// The model.
    pub(super) model: String,
    /// Where what happens meanwhile is noted down.
    pub(super) flight: Option<Flight>,
}

/// A model in use: it stays in memory until this is dropped.
#[derive(Debug)]
pub struct Lease {
    // In this order: the model is let go before the house is told.
    model: Arc<LoadedModel>,
    name: String,
    place: Place,
}

/// A place in the queue, or among those who are served; given up when it is dropped.
#[derive(Debug)]
struct Place {
    house: Arc<House>,
    ticket: Ticket,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut rooms = self.house.rooms();
        if rooms.waiters.remove(&self.ticket).is_none() {
            rooms.serving = rooms.serving.saturating_sub(1);
        }
        drop(rooms);
        self.house.happened(Event::Done(self.ticket));
    }
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

    /// What the model's files were when it was loaded.
    pub(crate) fn files(&self) -> Option<Stamp> {
        let rooms = self.place.house.rooms();
        rooms.residents.get(&self.name).and_then(|resident| resident.files.clone())
    }

    /// The house that it is in.
    pub fn house(&self) -> &Arc<House> {
        &self.place.house
    }
}

impl Deref for Lease {
    type Target = LoadedModel;

    fn deref(&self) -> &LoadedModel {
        &self.model
    }
}

impl House {
    /// The model that `asked` names, in memory: loaded first if it is not there, once however many ask. Waits for others to
    /// go if there is no room.
    ///
    /// # Errors
    ///
    /// If there is no such model, it is not offered, it cannot be loaded, or there is no room for it.
    pub async fn lease(self: &Arc<Self>, asked: &str) -> Result<Lease, Error> {
        self.lease_or(asked, false, 0).await
    }

    /// The same; with `fallback`, somebody else can answer, and waiting for others to end is not worth it. With `cache`, it has
    /// as many bytes for past tokens, if it may have so many.
    pub(super) async fn lease_or(
        self: &Arc<Self>,
        asked: &str,
        fallback: bool,
        cache: u64,
    ) -> Result<Lease, Error> {
        self.keep();
        let found = self.find(asked).await?;
        let (sender, answer) = oneshot::channel();
        let ticket = {
            let mut rooms = self.rooms();
            if rooms.closing {
                return Err(Error::Closing);
            }
            if let Some(error) = rooms.broken.refuses(&found.name, self.uptime()) {
                return Err(error);
            }
            rooms.tickets += 1;
            let ticket = Ticket(rooms.tickets);
            let (model, flight) = (found.name.clone(), flight::current());
            rooms.waiters.insert(ticket, Waiter { answer: sender, model, flight });
            ticket
        };
        // From here on, whoever stops waiting gives up the place.
        let place = Place { house: Arc::clone(self), ticket };
        let (model, wait) = (found.name.clone(), self.settings().options.wait);
        flight::note(|| Step::Wants { model: model.clone() });
        self.happened(Event::Ask(Ask { ticket, model, wait, fallback, cache }));
        let model = answer.await.map_err(|_| Error::Lost)??;
        flight::note(|| Step::Has);
        Ok(Lease { model, name: found.name.clone(), place })
    }

    /// The model that was asked last among those in memory.
    pub fn current(&self) -> Option<String> {
        let rooms = self.rooms();
        let used = |name: &String| rooms.residency.status(name).and_then(|it| it.last_used);
        rooms.residents.keys().max_by_key(|name| used(name)).cloned()
    }

    /// Gives up the memory of a model as soon as nobody uses it, and waits until it is back; `false` if it was not in memory.
    ///
    /// # Errors
    ///
    /// If there is no such model.
    pub async fn unload(self: &Arc<Self>, asked: &str) -> Result<bool, Error> {
        self.keep();
        let found = self.find(asked).await?;
        if !self.rooms().residents.contains_key(&found.name) {
            return Ok(false);
        }
        self.happened(Event::Dismiss { model: found.name.clone(), why: Leave::Asked });
        self.until(|rooms| {
            let status = rooms.residency.status(&found.name);
            status.is_none_or(|status| status.standing == Standing::Unloaded)
        })
        .await;
        Ok(true)
    }

    /// Lets all models go, and waits until they have left: what their caches keep is on the disk then, if there is a place for it.
    pub async fn vacate(self: &Arc<Self>) {
        let models: Vec<String> = self.rooms().residents.keys().cloned().collect();
        for model in &models {
            self.happened(Event::Dismiss { model: model.clone(), why: Leave::Asked });
        }
        self.until(|rooms| {
            let standing = |model| rooms.residency.status(model).map(|status| status.standing);
            models.iter().all(|m| standing(m).is_none_or(|it| it == Standing::Unloaded))
        })
        .await;
    }

    /// How long a model stays in memory when nobody asks for it; for ever, if absent. It holds until it is told otherwise.
    ///
    /// # Errors
    ///
    /// If there is no such model.
    pub async fn keep_alive(
        self: &Arc<Self>,
        asked: &str,
        ttl: Option<Duration>,
    ) -> Result<(), Error> {
        let found = self.find(asked).await?;
        let mut rooms = self.rooms();
        if let Some(status) = rooms.residency.status(&found.name) {
            rooms.residency.know(&found.name, Terms { ttl, ..status.terms });
        }
        drop(rooms);
        self.happened(Event::Tick);
        Ok(())
    }

    /// Lets a model go as soon as nobody uses it, and does not wait for that.
    ///
    /// # Errors
    ///
    /// If there is no such model.
    pub async fn dismiss(self: &Arc<Self>, asked: &str) -> Result<(), Error> {
        let found = self.find(asked).await?;
        self.happened(Event::Dismiss { model: found.name.clone(), why: Leave::Asked });
        Ok(())
    }

    /// Loads a model if there is room for it without evicting any, and does not wait.
    ///
    /// # Errors
    ///
    /// If there is no such model.
    pub async fn preload(self: &Arc<Self>, asked: &str) -> Result<(), Error> {
        self.keep();
        let found = self.find(asked).await?;
        self.happened(Event::Preload(found.name.clone()));
        Ok(())
    }
}
