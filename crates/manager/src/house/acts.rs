//! What the residency decides is done here.

use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::{Error, House};
use crate::find::Stamp;
use crate::flight::Step;
use crate::ledger::Class;
use crate::peak::{current_rss, index_rss, trim};
use crate::residency::{Decision, Event, Grant, Leave, Refusal};
use crate::runtime::{LoadOptions, LoadedModel};

use super::lease::{Resident, Waiter};

/// So long a process is given to shrink after a model went.
const SHRINKING: Duration = Duration::from_secs(2);
/// Between two times that the allocator is asked for what it keeps: while a model goes, and else.
const TRIMS_OFTEN: Duration = Duration::from_millis(250);
const TRIMS: Duration = Duration::from_secs(5);

impl House {
    /// Tells the residency, and does what it decides.
    pub(super) fn happened(&self, event: Event) {
        let now = self.uptime();
        let mut rooms = self.rooms();
        if let Event::Loaded(model) = &event {
            rooms.note(model, || Step::Loaded);
        } else if let Event::LoadFailed(model) = &event {
            rooms.note(model, || Step::LoadFailed);
        }
        let decisions = rooms.residency.step(now, event);
        let mut answers = Vec::new();
        for decision in decisions {
            match decision {
                Decision::Serve { ticket, model } => {
                    let waiter = rooms.waiters.remove(&ticket);
                    let resident = rooms.residents.get(&model).map(|it| Arc::clone(&it.model));
                    match (waiter, resident) {
                        (Some(waiter), Some(model)) => {
                            rooms.serving += 1;
                            answers.push((waiter.answer, Ok(model)));
                        }
                        (Some(waiter), None) => answers.push((waiter.answer, Err(Error::Lost))),
                        // Nobody waits any more: the place was given up, and will be told.
                        (None, _) => {}
                    }
                }
                Decision::Refuse { ticket, why } | Decision::FallBack { ticket, why } => {
                    if let Some(waiter) = rooms.waiters.remove(&ticket) {
                        // What is refused holds no place: it is not served, and does not wait.
                        rooms.serving += 1;
                        answers.push((waiter.answer, Err(rooms.refusal(why))));
                    }
                }
                Decision::Load { model, grant } => {
                    rooms.note(&model, || Step::Loads { bytes: grant.total() });
                    self.begin_load(model, grant);
                }
                Decision::Resize { model, number, cache } => {
                    self.begin_resize(&rooms, model, (number, cache));
                }
                Decision::Unload { model, why } => {
                    tracing::info!(model, %why, "unloading");
                    if let Leave::Evicted { by } = &why {
                        rooms.note(by, || Step::Evicts { model: model.clone() });
                    }
                    *rooms.unloads.entry(why.name()).or_default() += 1;
                    let resident = rooms.residents.remove(&model);
                    self.begin_unload(model, resident);
                }
                Decision::Wait { ticket, on } => {
                    tracing::debug!(ticket = ticket.0, ?on, "a request waits");
                    if let Some(Waiter { model, flight: Some(flight), .. }) =
                        rooms.waiters.get(&ticket)
                    {
                        // That it is being loaded is noted already.
                        let on: Vec<_> = on.into_iter().filter(|other| other != model).collect();
                        if !on.is_empty() {
                            flight.note(Step::Blocked { on });
                        }
                    }
                }
                Decision::Skip { model, why } => match why {
                    Some(why) => tracing::warn!(model, %why, "not preloaded"),
                    None => tracing::info!(model, "not preloaded: there is no room"),
                },
            }
        }
        drop(rooms);
        for (waiter, answer) in answers {
            // Whoever does not wait any more gives up the place on its own.
            let _ = waiter.send(answer);
        }
        self.changed.notify_waiters();
    }

    fn begin_load(&self, model: String, grant: Grant) {
        let Some(house) = self.own.upgrade() else { return };
        let name = model.clone();
        let loading = Builder::new().name("load".to_owned()).spawn(move || {
            let outcome = house.load(&model, grant);
            let failed = outcome.is_err();
            let event = match outcome {
                Ok(resident) => {
                    house.rooms().residents.insert(model.clone(), resident);
                    Event::Loaded(model.clone())
                }
                Err(source) => {
                    tracing::warn!(model, error = %source, "not loaded");
                    let mut rooms = house.rooms();
                    if let Some(what) = source.panicked() {
                        let now = house.uptime();
                        rooms.broken.fell(&model, None, now, what.to_owned());
                    }
                    rooms.failures.insert(model.clone(), source);
                    // It may have been replaced on disk: looked up anew when it is asked again.
                    rooms.known.retain(|_, found| found.name != model);
                    Event::LoadFailed(model.clone())
                }
            };
            house.happened(event);
            if failed {
                house.returned(model);
            }
        });
        if let Err(error) = loading {
            tracing::error!(%error, "there is no thread to load with");
            let Some(house) = self.own.upgrade() else { return };
            // The lock is held here: the rest is told from another task.
            tokio::task::spawn_blocking(move || {
                house.happened(Event::LoadFailed(name.clone()));
                house.happened(Event::Returned { model: name, missing: 0 });
            });
        }
    }

    fn load(&self, model: &str, grant: Grant) -> Result<Resident, Arc<crate::runtime::Error>> {
        let begun = Instant::now();
        let found = self.rooms().found.get(model).map(Arc::clone);
        let Some(found) = found else {
            return Err(Arc::new(crate::runtime::Error::Unloaded { model: model.to_owned() }));
        };
        let hold = found
            .hold()
            .map_err(|error| Arc::new(crate::runtime::Error::Held { source: Box::new(error) }))?;
        let most = self.rooms().residency.status(model).map_or(0, |it| it.terms.need.cache_most);
        let options =
            LoadOptions { cache_bytes: grant.cache, cache_most: most, ..self.load_options(model) };
        // Before they are read: what is changed meanwhile is taken for changed.
        let files = Stamp::of(&found.folders()).ok();
        let loaded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            LoadedModel::load_adapted(&self.runtime, &found.path, found.adapter.as_deref(), options)
        }));
        let model = match loaded {
            Ok(loaded) => loaded.map_err(Arc::new)?,
            Err(_) => return Err(Arc::new(crate::runtime::Error::Gone)),
        };
        tracing::info!(model = found.name, took = ?begun.elapsed(), bytes = grant.total(), "loaded");
        Ok(Resident { model, loaded: Instant::now(), files, _hold: hold })
    }

    fn begin_resize(&self, rooms: &super::Rooms, model: String, (number, cache): (u64, u64)) {
        let Some(house) = self.own.upgrade() else { return };
        tracing::debug!(model, cache, "another size for its cache");
        let booked = rooms.residency.status(&model).and_then(|status| status.grant);
        let booked = booked.map_or(cache, |grant| grant.cache);
        // Told now, so that it comes before whatever is decided later; and waited for elsewhere.
        let answer = rooms.residents.get(&model).map(|resident| resident.model.resize(cache));
        let name = model.clone();
        let waiting = Builder::new().name("resize".to_owned()).spawn(move || {
            let taken = match answer {
                Some(Ok(answer)) => answer.blocking_recv().ok().and_then(Result::ok),
                Some(Err(_)) | None => None,
            };
            let taken = taken.unwrap_or(booked);
            let given = booked.saturating_sub(taken);
            let missing = Self::measured(&model, || house.beyond(given));
            let cache = taken.saturating_add(missing);
            house.happened(Event::Resized { model, number, cache });
        });
        if let Err(error) = waiting {
            tracing::error!(%error, model = name, "there is no thread to wait with");
            let Some(house) = self.own.upgrade() else { return };
            tokio::task::spawn_blocking(move || {
                house.happened(Event::Resized { model: name, number, cache: booked });
            });
        }
    }

    fn begin_unload(&self, model: String, resident: Option<Resident>) {
        let Some(house) = self.own.upgrade() else { return };
        let name = model.clone();
        let leaving = Builder::new().name("unload".to_owned()).spawn(move || {
            if let Some(Resident { model, _hold: hold, .. }) = resident {
                LoadedModel::leave(model);
                drop(hold);
            }
            house.returned(name);
        });
        if let Err(error) = leaving {
            tracing::error!(%error, model, "there is no thread to unload with");
        }
    }

    /// Measures what came back of a model that went, and tells the residency.
    fn returned(&self, model: String) {
        let missing = Self::measured(&model, || self.excess(&model));
        self.happened(Event::Returned { model, missing });
    }

    /// Gives the process a while to shrink. Returns what `excess` still finds then.
    fn measured(model: &str, excess: impl Fn() -> u64) -> u64 {
        let begun = Instant::now();
        let mut trimmed: Option<Instant> = None;
        let missing = loop {
            let excess = excess();
            if excess == 0 || begun.elapsed() > SHRINKING {
                break excess;
            }
            if trimmed.is_none_or(|last| last.elapsed() > TRIMS_OFTEN) {
                trim();
                trimmed = Some(Instant::now());
            } else {
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        if missing > 0 {
            tracing::warn!(model, missing, "not all of its memory came back");
        }
        missing
    }

    /// Bytes that the process holds beyond what would be booked without `given`, and at most these.
    fn beyond(&self, given: u64) -> u64 {
        let Some(resident) = current_rss().filter(|_| given > 0) else { return 0 };
        let booked = self.rooms().residency.ledger().reserved();
        let beyond = resident.saturating_sub(booked.saturating_sub(given));
        without_indexes(beyond).min(given)
    }

    /// Measures again what had not come back of models that went; and has the allocator give back what it keeps where more is held
    /// than is booked.
    pub(super) fn look_for_unreturned(&self) {
        let unreturned = self.rooms().residency.ledger().of_class(Class::Unreturned);
        // Asked before the lock is taken again.
        let indexes = if unreturned > 0 { index_rss() } else { 0 };
        let event = {
            let mut rooms = self.rooms();
            let ledger = rooms.residency.ledger();
            let unreturned = ledger.of_class(Class::Unreturned);
            let others = ledger.reserved().saturating_sub(unreturned);
            let now = self.uptime();
            let due = now >= rooms.trimmed.saturating_add(TRIMS);
            if unreturned == 0 && !due {
                return;
            }
            let Some(mut resident) = current_rss() else { return };
            if due {
                rooms.trimmed = now;
                if resident > others {
                    trim();
                    resident = current_rss().unwrap_or(resident);
                }
            }
            if unreturned == 0 {
                return;
            }
            let beyond = resident.saturating_sub(others).saturating_sub(indexes);
            Event::Unreturned(beyond.min(unreturned))
        };
        self.happened(event);
    }

    /// Bytes that the process holds beyond what is booked for all but `leaver`, and at most what is booked for that: what
    /// has not come back of it.
    fn excess(&self, leaver: &str) -> u64 {
        let Some(resident) = current_rss() else { return 0 };
        let (booked, others) = {
            let rooms = self.rooms();
            let ledger = rooms.residency.ledger();
            let booked = ledger.of_owner(leaver);
            (booked, ledger.reserved().saturating_sub(booked))
        };
        without_indexes(resident.saturating_sub(others)).min(booked)
    }
}

/// Of so many bytes beyond what is booked, those that are no maps of indexes.
fn without_indexes(beyond: u64) -> u64 {
    if beyond == 0 { 0 } else { beyond.saturating_sub(index_rss()) }
}

impl super::Rooms {
    /// Notes `step` down for all who wait for `model`.
    fn note(&self, model: &str, step: impl Fn() -> Step) {
        let waiting = self.waiters.values().filter(|waiter| waiter.model == model);
        for flight in waiting.filter_map(|waiter| waiter.flight.as_ref()) {
            flight.note(step());
        }
    }

    fn refusal(&self, why: Refusal) -> Error {
        let Refusal::LoadFailed { model } = why else { return Error::NoRoom(why) };
        match self.failures.get(&model) {
            Some(source) => Error::Load { model, source: Arc::clone(source) },
            None => Error::NoRoom(Refusal::LoadFailed { model }),
        }
    }
}
