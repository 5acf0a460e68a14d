//! The decisions: what an event changes, and what follows from it for everyone who waits.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Duration;

use super::cache::Shares;
use super::{
    Ask, Decision, Event, Grant, Leave, Model, Outlook, Refusal, Residency, State, Ticket, Waiting,
};
use crate::ledger::{Class, Ledger};

/// What those who wait longer have a right to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    bytes: u64,
    loaded: usize,
    running: usize,
}

/// What is found out while those who wait are attended to, eldest first.
#[derive(Debug, Default)]
struct Round {
    claims: Claims,
    /// Whether somebody owns the next room.
    owned: bool,
    /// Who has to end for it.
    draining: BTreeSet<String>,
    /// Models that somebody older waits for, and whom they wait for.
    tried: BTreeMap<String, Vec<String>>,
}

/// How a model could come into memory.
#[derive(Debug)]
enum Placement {
    /// At once.
    Now(Grant),
    /// As soon as those are back that are leaving.
    Coming,
    /// At once: it is here, and its cache is to have so many bytes.
    Grow(u64),
    /// When these idle models are gone, and the caches of these others are smaller.
    Make { evict: Vec<String>, shrink: Shares },
    /// When these have ended or had their time. Not all may be known.
    Wait(Vec<String>),
    /// Never.
    Never(Refusal),
}

/// What is missing.
#[derive(Clone, Copy, Debug)]
struct Deficit {
    bytes: u64,
    loaded: usize,
    running: usize,
}

/// A model that could go.
struct Candidate<'a> {
    name: &'a str,
    /// What comes back with it, beside what others and it could give back of their caches.
    bytes: u64,
    running: bool,
    /// Whether it could go at once.
    idle: bool,
}

impl Residency {
    /// What an event changes by itself.
    pub(super) fn take(&mut self, now: Duration, event: Event, out: &mut Vec<Decision>) {
        match event {
            Event::Ask(ask) => self.ask(now, ask, out),
            Event::Done(ticket) => self.done(now, ticket),
            Event::Loaded(model) => self.loaded(now, &model, out),
            Event::LoadFailed(model) => self.load_failed(&model, out),
            Event::Returned { model, missing } => self.returned(&model, missing),
            Event::Resized { model, number, cache } => self.resized(&model, number, cache),
            Event::Unreturned(bytes) => self.shrink_unreturned(bytes),
            Event::Preload(model) => {
                if !self.preloads.contains(&model) {
                    self.preloads.push(model);
                }
            }
            Event::Dismiss { model, why } => {
                self.preloads.retain(|name| *name != model);
                if let Some(known) = self.models.get_mut(&model)
                    && matches!(known.state, State::Loading { .. } | State::Ready { .. })
                {
                    known.dismissed = Some(why);
                }
            }
            Event::Limit(bytes) => self.ledger.set_limit(bytes),
            Event::Tick => {}
        }
    }

    fn ask(&mut self, now: Duration, ask: Ask, out: &mut Vec<Decision>) {
        let Some(known) = self.models.get(&ask.model) else {
            let why = Refusal::Unknown { model: ask.model.clone() };
            return reject(&ask, why, out);
        };
        let served =
            self.admits(known, ask.cache, self.claims) && !self.draining.contains(&ask.model);
        if !served && self.queue.len() >= self.policy.most_waiting {
            let why = Refusal::QueueFull { waiting: self.queue.len() };
            return reject(&ask, why, out);
        }
        self.queue.push(Waiting { ask, since: now, told: false, on: Vec::new() });
    }

    fn done(&mut self, now: Duration, ticket: Ticket) {
        self.queue.retain(|waiting| waiting.ask.ticket != ticket);
        let Some(name) = self.serving.remove(&ticket) else { return };
        let Some(model) = self.models.get_mut(&name) else { return };
        model.active.remove(&ticket);
        (model.stiff, model.full) = (false, false);
        if let Some(resizing) = &mut model.resizing {
            resizing.eased = true;
        }
        model.last_used = Some(now);
        if let State::Ready { idle, .. } = &mut model.state {
            *idle = now;
        }
    }

    fn loaded(&mut self, now: Duration, name: &str, out: &mut Vec<Decision>) {
        let Some(model) = self.models.get_mut(name) else { return };
        let State::Loading { since } = model.state else { return };
        let tenure = now.saturating_sub(since).min(self.policy.longest_tenure);
        model.state = State::Ready { since: now, tenure, idle: now };
        let (loading, kept) =
            mem::take(&mut model.booked).into_iter().partition(|part| part.0 == Class::Loading);
        model.booked = kept;
        let loading: Vec<_> = loading;
        for (_, booked) in loading {
            self.ledger.release(booked);
        }
        // Before anything can evict it: who waited for it is answered.
        let queue = mem::take(&mut self.queue);
        for waiting in queue {
            let enough = self.models.get(name).is_some_and(|model| model.has(waiting.ask.cache));
            if waiting.ask.model == name && enough {
                self.serve(now, &waiting.ask, out);
            } else {
                self.queue.push(waiting);
            }
        }
    }

    fn load_failed(&mut self, name: &str, out: &mut Vec<Decision>) {
        let Some(model) = self.models.get_mut(name) else { return };
        if !matches!(model.state, State::Loading { .. }) {
            return;
        }
        model.leave(&mut self.ledger);
        let queue = mem::take(&mut self.queue);
        for waiting in queue {
            if waiting.ask.model == name {
                reject(&waiting.ask, Refusal::LoadFailed { model: name.to_owned() }, out);
            } else {
                self.queue.push(waiting);
            }
        }
    }

    fn returned(&mut self, name: &str, missing: u64) {
        let Some(model) = self.models.get_mut(name) else { return };
        if model.state != State::Leaving {
            return;
        }
        model.state = State::Unloaded;
        model.grant = None;
        let mut missing = missing;
        for (_, booked) in mem::take(&mut model.booked) {
            let kept = self.ledger.bytes(&booked).min(missing);
            missing -= kept;
            if kept == 0 {
                self.ledger.release(booked);
            } else {
                // To make a reservation smaller never fails.
                let _ = self.ledger.resize(&booked, kept);
                self.ledger.reclassify(&booked, Class::Unreturned);
                self.unreturned.push(booked);
            }
        }
    }

    fn shrink_unreturned(&mut self, bytes: u64) {
        let mut left = bytes;
        for booked in mem::take(&mut self.unreturned) {
            let kept = self.ledger.bytes(&booked).min(left);
            left -= kept;
            if kept == 0 {
                self.ledger.release(booked);
            } else {
                let _ = self.ledger.resize(&booked, kept);
                self.unreturned.push(booked);
            }
        }
    }

    /// What follows for everyone: those who wait in the order in which they came, then idle models, then preloads.
    pub(super) fn settle(&mut self, now: Duration, out: &mut Vec<Decision>) {
        let mut round = Round::default();
        for waiting in mem::take(&mut self.queue) {
            match self.attend(now, &waiting, &mut round, out) {
                Ok(None) => {}
                Ok(Some(on)) => {
                    if !waiting.told {
                        out.push(Decision::Wait { ticket: waiting.ask.ticket, on: on.clone() });
                    }
                    self.queue.push(Waiting { told: true, on, ..waiting });
                }
                Err(why) => reject(&waiting.ask, why, out),
            }
        }
        self.draining = round.draining;
        self.claims = round.claims;
        self.retire(now, out);
        self.preload(now, out);
        self.spread(out);
    }

    /// One of those who wait. Returns whom it waits for from now on; nobody, if it is served.
    fn attend(
        &mut self,
        now: Duration,
        waiting: &Waiting,
        round: &mut Round,
        out: &mut Vec<Decision>,
    ) -> Result<Option<Vec<String>>, Refusal> {
        let name = &waiting.ask.model;
        let Some(model) = self.models.get(name) else {
            return Err(Refusal::Unknown { model: name.clone() });
        };
        if !round.draining.contains(name) && self.admits(model, waiting.ask.cache, round.claims) {
            self.serve(now, &waiting.ask, out);
            return Ok(None);
        }
        let waited = now.saturating_sub(waiting.since);
        if waiting.ask.wait.is_some_and(|wait| waited >= wait) {
            let busy = match self.placement(now, name, waiting.ask.cache, round.claims) {
                _ if waiting.told => waiting.on.clone(),
                Placement::Make { evict: on, .. } | Placement::Wait(on) => on,
                Placement::Never(why) => return Err(why),
                Placement::Now(_) | Placement::Grow(_) | Placement::Coming => Vec::new(),
            };
            return Err(Refusal::TimedOut { model: name.clone(), waited, busy });
        }
        if let Some(on) = round.tried.get(name) {
            return Ok(Some(on.clone()));
        }
        let owns = !round.owned && waited >= self.policy.patience;
        let on = self.advance(now, &waiting.ask, owns, round, out)?;
        round.tried.insert(name.clone(), on.clone());
        Ok(Some(on))
    }

    /// Does what can be done for a model that somebody waits for: at any cost to those that are busy, if it `owns` the
    /// next room. Returns whom it waits for.
    fn advance(
        &mut self,
        now: Duration,
        ask: &Ask,
        owns: bool,
        round: &mut Round,
        out: &mut Vec<Decision>,
    ) -> Result<Vec<String>, Refusal> {
        let (name, cache) = (ask.model.as_str(), ask.cache);
        let itself = vec![name.to_owned()];
        let Some(model) = self.models.get(name) else { return Ok(itself) };
        let is_loading = matches!(model.state, State::Loading { .. });
        let moves = is_loading || model.resizing.is_some();
        if moves || model.dismissed.is_some() || round.draining.contains(name) {
            return Ok(itself);
        }
        let claim = Claims {
            bytes: model.missing(cache),
            loaded: usize::from(!model.is_ready()),
            running: 1,
        };
        let by = || Leave::Evicted { by: name.to_owned() };
        match self.placement(now, name, cache, round.claims) {
            Placement::Now(grant) => {
                self.load(now, name, grant, out);
                Ok(itself)
            }
            Placement::Grow(cache) => {
                self.grow(name, cache, out);
                Ok(itself)
            }
            Placement::Coming => {
                round.claims.add(claim);
                Ok(self.leaving())
            }
            Placement::Make { mut evict, shrink } => {
                round.claims.add(claim);
                for victim in &evict {
                    self.unload(victim, by(), out);
                }
                self.shrink(&shrink, out);
                evict.extend(shrink.into_iter().map(|(name, _)| name));
                Ok(evict)
            }
            Placement::Wait(victims) => {
                if owns {
                    round.owned = true;
                    round.claims.add(claim);
                    for victim in &victims {
                        let Some(model) = self.models.get(victim) else { continue };
                        let stays = victim == name || model.terms.pinned;
                        if self.may_go(now, model) && (!stays || model.dismissed.is_some()) {
                            self.unload(victim, by(), out);
                        } else if model.has_settled(now) {
                            round.draining.insert(victim.clone());
                        }
                    }
                }
                Ok(victims)
            }
            Placement::Never(why) => Err(why),
        }
    }

    /// Unloads who is idle and was dismissed, has been idle for too long, or is too much under a lower limit.
    fn retire(&mut self, now: Duration, out: &mut Vec<Decision>) {
        let names: Vec<String> = self.models.keys().cloned().collect();
        for name in &names {
            let Some(model) = self.models.get(name) else { continue };
            if !model.is_ready() || !model.active.is_empty() {
                continue;
            }
            let wanted = self.queue.iter().any(|waiting| waiting.ask.model == *name);
            let expired = model.expiry().is_some_and(|at| at <= now) && !wanted;
            match &model.dismissed {
                Some(why) => self.unload(name, why.clone(), out),
                None if expired => self.unload(name, Leave::Idle, out),
                None => {}
            }
        }
        let over = self.ledger.over().saturating_sub(self.coming());
        let shares = self.shares(over, &[]);
        self.shrink(&shares, out);
        while self.ledger.over() > self.coming() {
            let mut idle = self.candidates(now, "");
            idle.retain(|candidate| !candidate.running);
            let Some(name) = idle.first().map(|first| first.name.to_owned()) else { break };
            self.unload(&name, Leave::Limit, out);
        }
    }

    fn preload(&mut self, now: Duration, out: &mut Vec<Decision>) {
        for name in mem::take(&mut self.preloads) {
            let state = self.models.get(&name).map(|model| model.state);
            match state {
                Some(State::Loading { .. } | State::Ready { .. }) => continue,
                Some(State::Unloaded | State::Leaving) => {}
                None => {
                    let why = Some(Refusal::Unknown { model: name.clone() });
                    out.push(Decision::Skip { model: name, why });
                    continue;
                }
            }
            match self.placement(now, &name, 0, self.claims) {
                Placement::Now(grant) => self.load(now, &name, grant, out),
                Placement::Never(why) => out.push(Decision::Skip { model: name, why: Some(why) }),
                Placement::Make { evict, shrink } if evict.is_empty() => {
                    self.shrink(&shrink, out);
                    self.preloads.push(name);
                }
                // A model that is being loaded or that shrinks may leave room yet.
                Placement::Coming | Placement::Make { .. } | Placement::Wait(_)
                    if self.is_moving() =>
                {
                    self.preloads.push(name);
                }
                Placement::Grow(_)
                | Placement::Coming
                | Placement::Make { .. }
                | Placement::Wait(_) => {
                    out.push(Decision::Skip { model: name, why: None });
                }
            }
        }
    }

    /// What would become of a request for `model` at `now`: the same decision, without its effects.
    pub fn outlook(&self, now: Duration, model: &str) -> Outlook {
        let Some(known) = self.models.get(model) else {
            return Outlook::Refused(Refusal::Unknown { model: model.to_owned() });
        };
        if matches!(known.state, State::Loading { .. }) {
            return Outlook::Loading;
        }
        if self.draining.contains(model) || known.dismissed.is_some() {
            return Outlook::Wait { on: vec![model.to_owned()] };
        }
        if self.admits(known, 0, self.claims) {
            return Outlook::Ready;
        }
        match self.placement(now, model, 0, self.claims) {
            Placement::Now(grant) => {
                Outlook::Load { grant, evicts: Vec::new(), shrinks: Vec::new() }
            }
            Placement::Grow(_) => Outlook::Ready,
            Placement::Make { evict: evicts, shrink } => {
                let given = |(name, to): &(String, u64)| {
                    self.models.get(name).map_or(0, |model| model.cache() - to)
                };
                let given = shrink.iter().map(given).sum::<u64>();
                let freed = evicts.iter().filter_map(|name| self.models.get(name));
                let freed = freed.map(|model| model.held(&self.ledger)).sum::<u64>();
                let room = self.ledger.free().saturating_add(freed).saturating_add(given);
                let shrinks: Vec<_> = shrink.into_iter().map(|(name, _)| name).collect();
                match known.terms.need.grant(room.saturating_sub(self.claims.bytes)) {
                    Some(grant) => Outlook::Load { grant, evicts, shrinks },
                    None => Outlook::Wait { on: evicts.into_iter().chain(shrinks).collect() },
                }
            }
            Placement::Coming => Outlook::Wait { on: self.leaving() },
            Placement::Wait(on) => Outlook::Wait { on },
            Placement::Never(why) => Outlook::Refused(why),
        }
    }

    /// Whether a model takes another request at once.
    fn admits(&self, model: &Model, cache: u64, claims: Claims) -> bool {
        let place = self.running() + claims.running < self.policy.most_running;
        let fit = model.is_ready() && model.has(cache);
        fit && model.dismissed.is_none() && (!model.active.is_empty() || place)
    }

    fn placement(&self, now: Duration, name: &str, cache: u64, claims: Claims) -> Placement {
        let Some(model) = self.models.get(name) else {
            return Placement::Never(Refusal::Unknown { model: name.to_owned() });
        };
        let policy = &self.policy;
        let here = model.is_ready();
        let need = model.missing(cache);
        if here && need > 0 && model.full {
            // It would not grow. When it has less to do, it may.
            return match model.active.is_empty() {
                false => Placement::Wait(vec![name.to_owned()]),
                true => Placement::Never(Refusal::TooLarge {
                    model: name.to_owned(),
                    needed: cache,
                    most: model.cache(),
                    kept: Vec::new(),
                }),
            };
        }
        let free = self.ledger.free();
        let leaving = self.models.values().filter(|model| model.state == State::Leaving).count();
        let loaded = self.models.values().filter(|m| m.state != State::Unloaded).count();
        let coming = self.coming().saturating_sub(self.ledger.over());
        let room = free.saturating_add(coming);
        let deficit = Deficit {
            bytes: need.saturating_add(claims.bytes).saturating_sub(room),
            loaded: if here {
                0
            } else {
                (loaded - leaving + claims.loaded + 1).saturating_sub(policy.most_loaded)
            },
            running: (self.running() + claims.running + 1).saturating_sub(policy.most_running),
        };
        if deficit.is_none() {
            let free = free.min(room.saturating_sub(claims.bytes));
            if here {
                let to = model.cache().saturating_add(need);
                return if need <= free { Placement::Grow(to) } else { Placement::Coming };
            }
            let at_once = model.state == State::Unloaded && loaded < policy.most_loaded;
            let grant = model.terms.need.with_cache(cache).grant(free);
            return grant.filter(|_| at_once).map_or(Placement::Coming, Placement::Now);
        }
        let places = deficit.loaded == 0 && deficit.running == 0;
        if places && deficit.bytes <= self.spare(name) {
            let shrink = self.shares(deficit.bytes, &[name]);
            return Placement::Make { evict: Vec::new(), shrink };
        }
        if let Some(why) = self.never(name, need) {
            return Placement::Never(why);
        }
        let candidates = self.candidates(now, name);
        // Whoever goes gives its cache back in any case.
        let given = deficit;
        let deficit = Deficit { bytes: deficit.bytes.saturating_sub(self.spare(name)), ..deficit };
        let idle: Vec<_> = candidates.iter().filter(|c| c.idle).collect();
        if let Some(evict) = pick(&idle, deficit) {
            let mut spared = vec![name];
            spared.extend(evict.iter().map(String::as_str));
            let freed = evict.iter().filter_map(|name| self.models.get(name));
            let freed = freed.map(|model| model.held(&self.ledger) - model.coming());
            let left = given.bytes.saturating_sub(freed.sum());
            let shrink = self.shares(left, &spared);
            return Placement::Make { evict, shrink };
        }
        // Those that were told to end before go on with it; then who can go at once; then the others.
        let helps = |c: &&Candidate<'_>| !here || c.running || deficit.bytes > 0;
        let mut all: Vec<_> = candidates.iter().filter(helps).collect();
        all.sort_by_key(|c| (!self.draining.contains(c.name), !c.idle));
        let on = pick(&all, deficit).unwrap_or_else(|| self.moving());
        Placement::Wait(on)
    }

    /// Why a model can never come in, as long as those stay that must.
    fn never(&self, name: &str, need: u64) -> Option<Refusal> {
        let stays = |(other, model): &(&String, &Model)| {
            let moves = matches!(model.state, State::Unloaded | State::Leaving);
            other.as_str() != name && model.terms.pinned && model.dismissed.is_none() && !moves
        };
        let pinned: Vec<_> = self.models.iter().filter(stays).collect();
        let most_loaded = self.policy.most_loaded;
        let own = self.models.get(name).filter(|model| model.is_ready());
        if own.is_none() && pinned.len() >= most_loaded {
            return Some(Refusal::NoPlace { model: name.to_owned(), most: most_loaded });
        }
        let process = [Class::Process, Class::Unreturned].map(|class| self.ledger.of_class(class));
        let held = pinned.iter().map(|(_, model)| {
            let beyond = model.cache().saturating_sub(model.own.cache_least);
            model.held(&self.ledger).saturating_sub(beyond)
        });
        let fixed = held.chain(process).fold(0, u64::saturating_add);
        let most = self.ledger.limit().saturating_sub(fixed);
        let need = need.saturating_add(own.map_or(0, |model| model.held(&self.ledger)));
        (need > most).then(|| Refusal::TooLarge {
            model: name.to_owned(),
            needed: need,
            most,
            kept: pinned.into_iter().map(|(name, _)| name.clone()).collect(),
        })
    }

    /// Who could go for `name`, first to go first.
    fn candidates(&self, now: Duration, name: &str) -> Vec<Candidate<'_>> {
        let mut found: Vec<_> = self
            .models
            .iter()
            .filter(|(other, model)| {
                let stays = model.terms.pinned && model.dismissed.is_none();
                other.as_str() != name && model.is_ready() && !stays
            })
            .collect();
        found.sort_by_key(|(_, model)| (model.terms.priority, model.last_used));
        found
            .into_iter()
            .map(|(name, model)| Candidate {
                name,
                bytes: model.held(&self.ledger) - model.coming() - model.spare(),
                running: !model.active.is_empty(),
                idle: self.may_go(now, model),
            })
            .collect()
    }

    /// Whether a model can be unloaded at once: it is idle, and not just loaded and in use.
    fn may_go(&self, now: Duration, model: &Model) -> bool {
        let State::Ready { idle, .. } = model.state else { return false };
        let left = now >= idle.saturating_add(self.policy.linger);
        model.active.is_empty() && (left || model.has_settled(now) || model.dismissed.is_some())
    }

    fn running(&self) -> usize {
        self.models.values().filter(|model| model.is_running()).count()
    }

    fn leaving(&self) -> Vec<String> {
        self.named(|model| model.state == State::Leaving || model.resizing.is_some())
    }

    /// Whether memory may come free without anybody's doing.
    fn is_moving(&self) -> bool {
        let loads = |model: &Model| matches!(model.state, State::Loading { .. } | State::Leaving);
        self.models.values().any(|model| loads(model) || model.resizing.is_some())
    }

    /// Those that are coming, going or at work; if nobody is, those that are to have had their time.
    fn moving(&self) -> Vec<String> {
        let moves = |model: &Model| {
            let resizes = model.state == State::Leaving || model.resizing.is_some();
            resizes || model.is_running()
        };
        let moving = self.named(moves);
        if moving.is_empty() { self.named(Model::is_ready) } else { moving }
    }

    fn named(&self, which: impl Fn(&Model) -> bool) -> Vec<String> {
        let found = self.models.iter().filter(|(_, model)| which(model));
        found.map(|(name, _)| name.clone()).collect()
    }

    fn serve(&mut self, now: Duration, ask: &Ask, out: &mut Vec<Decision>) {
        let Ask { ticket, model: name, cache, .. } = ask;
        if let Some(model) = self.models.get_mut(name) {
            model.active.insert(*ticket, (*cache).min(model.own.cache_most));
            model.last_used = Some(now);
        }
        self.serving.insert(*ticket, name.clone());
        out.push(Decision::Serve { ticket: *ticket, model: name.clone() });
    }

    fn load(&mut self, now: Duration, name: &str, grant: Grant, out: &mut Vec<Decision>) {
        let Some(model) = self.models.get_mut(name) else { return };
        let parts = grant.parts();
        // What a grant is made of is free: otherwise it stays where it is, and is tried again.
        let Ok(booked) = self.ledger.reserve_all(name, &parts) else { return };
        model.booked = parts.iter().map(|part| part.0).zip(booked).collect();
        model.grant = Some(grant);
        (model.own, model.resizing) = (model.terms.need, None);
        (model.stiff, model.full) = (false, false);
        model.state = State::Loading { since: now };
        out.push(Decision::Load { model: name.to_owned(), grant });
    }

    fn unload(&mut self, name: &str, why: Leave, out: &mut Vec<Decision>) {
        if let Some(model) = self.models.get_mut(name) {
            model.leave(&mut self.ledger);
            out.push(Decision::Unload { model: name.to_owned(), why });
        }
    }
}

impl Model {
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    /// Whether it has been in memory for as long as its load took.
    fn has_settled(&self, now: Duration) -> bool {
        matches!(self.state, State::Ready { since, tenure, .. } if now >= since.saturating_add(tenure))
    }

    /// Bytes that are booked for it.
    pub(super) fn held(&self, ledger: &Ledger) -> u64 {
        self.booked.iter().map(|(_, booked)| ledger.bytes(booked)).sum()
    }

    fn leave(&mut self, ledger: &mut Ledger) {
        self.state = State::Leaving;
        self.resizing = None;
        self.dismissed = None;
        for (class, booked) in &mut self.booked {
            *class = Class::Leaving;
            ledger.reclassify(booked, Class::Leaving);
        }
    }
}

impl Claims {
    fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.loaded += other.loaded;
        self.running += other.running;
    }
}

impl Deficit {
    fn is_none(self) -> bool {
        self.bytes == 0 && self.loaded == 0 && self.running == 0
    }

    /// What is still missing when `candidate` is gone.
    fn without(self, candidate: &Candidate<'_>) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(candidate.bytes),
            loaded: self.loaded.saturating_sub(1),
            running: self.running.saturating_sub(usize::from(candidate.running)),
        }
    }
}

/// As few of `candidates` as make up for `deficit`, the first of them first; `None` if all do not.
fn pick(candidates: &[&Candidate<'_>], deficit: Deficit) -> Option<Vec<String>> {
    let mut left = deficit;
    let mut chosen: Vec<&Candidate<'_>> = Vec::new();
    for candidate in candidates {
        if left.is_none() {
            break;
        }
        left = left.without(candidate);
        chosen.push(candidate);
    }
    if !left.is_none() {
        return None;
    }
    // A later one may do alone what earlier ones were chosen for.
    for at in (0..chosen.len()).rev() {
        let others = chosen.iter().enumerate().filter(|(index, _)| *index != at);
        if others.fold(deficit, |left, (_, other)| left.without(other)).is_none() {
            chosen.remove(at);
        }
    }
    Some(chosen.into_iter().map(|candidate| candidate.name.to_owned()).collect())
}

/// Tells a request that this model does not answer it.
fn reject(ask: &Ask, why: Refusal, out: &mut Vec<Decision>) {
    let ticket = ask.ticket;
    out.push(if ask.fallback {
        Decision::FallBack { ticket, why }
    } else {
        Decision::Refuse { ticket, why }
    });
}
