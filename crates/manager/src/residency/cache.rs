//! Caches give way to each other: who has more than it needs shrinks before anybody waits or is evicted, and grows again
//! where there is room.
//!
//! What is to shrink stays booked until [`Event::Resized`](super::Event::Resized) says what was given back, and what is
//! to grow is booked before it is told. An engine that could give back less than it was asked for is asked again only when one
//! of its requests has ended.

use super::{Decision, Need, Residency, State};
use crate::ledger::Class;
use crate::residency::Model;

/// A cache on its way to another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resizing {
    number: u64,
    from: u64,
    to: u64,
    /// Whether one of its requests has ended meanwhile.
    pub(super) eased: bool,
}

/// Who is to have how much of a cache.
pub(super) type Shares = Vec<(String, u64)>;

impl Residency {
    /// An engine says what it takes now.
    pub(super) fn resized(&mut self, name: &str, number: u64, cache: u64) {
        let Some(model) = self.models.get_mut(name) else { return };
        let Some(resizing) = model.resizing.filter(|resizing| resizing.number == number) else {
            return;
        };
        model.resizing = None;
        let cache = cache.min(model.cache());
        let (from, to) = (resizing.from, resizing.to);
        if to < from {
            model.stiff = cache > to && !resizing.eased;
        } else {
            model.full = cache < to && !resizing.eased;
        }
        model.book_cache(&mut self.ledger, cache);
    }

    /// Tells those who are to shrink.
    pub(super) fn shrink(&mut self, shares: &Shares, out: &mut Vec<Decision>) {
        for (name, to) in shares {
            let from = self.models.get(name).map_or(0, Model::cache);
            self.resize(name, (from, *to), out);
        }
    }

    /// Books more for a cache, and tells its engine.
    pub(super) fn grow(&mut self, name: &str, to: u64, out: &mut Vec<Decision>) {
        let Some(model) = self.models.get_mut(name) else { return };
        let from = model.cache();
        // What is not free now stays to be asked for.
        if model.book_cache(&mut self.ledger, to) {
            self.resize(name, (from, to), out);
        }
    }

    fn resize(&mut self, name: &str, (from, to): (u64, u64), out: &mut Vec<Decision>) {
        self.resizes += 1;
        let number = self.resizes;
        let Some(model) = self.models.get_mut(name) else { return };
        model.resizing = Some(Resizing { number, from, to, eased: false });
        out.push(Decision::Resize { model: name.to_owned(), number, cache: to });
    }

    /// How much of a cache who is to have, so that `bytes` come back without `spared`: those who would be evicted first shrink
    /// first. Fewer come back if there are not so many.
    pub(super) fn shares(&self, bytes: u64, spared: &[&str]) -> Shares {
        let mut giving: Vec<_> = self
            .models
            .iter()
            .filter(|(name, model)| model.spare() > 0 && !spared.contains(&name.as_str()))
            .collect();
        giving.sort_by_key(|(_, model)| (model.terms.priority, model.last_used));
        let mut left = bytes;
        let mut shares = Shares::new();
        for (name, model) in giving {
            let given = model.spare().min(left);
            if given > 0 {
                shares.push((name.clone(), model.cache() - given));
            }
            left -= given;
        }
        shares
    }

    /// Bytes that models may be made to give back, but for `name`.
    pub(super) fn spare(&self, name: &str) -> u64 {
        let others = self.models.iter().filter(|(other, _)| other.as_str() != name);
        others.map(|(_, model)| model.spare()).fold(0, u64::saturating_add)
    }

    /// Bytes that are on their way back, and not over the limit.
    pub(super) fn coming(&self) -> u64 {
        let caches = self.models.values().map(Model::coming).fold(0, u64::saturating_add);
        self.ledger.of_class(Class::Leaving).saturating_add(caches)
    }

    /// Gives what is left to those who are at work, the one that was asked last first. Only what is worth it, and only while
    /// nobody wants it.
    pub(super) fn spread(&mut self, out: &mut Vec<Decision>) {
        let moves = |model: &Model| {
            let state = matches!(model.state, State::Loading { .. } | State::Leaving);
            state || model.resizing.is_some()
        };
        if !self.queue.is_empty() || !self.preloads.is_empty() || self.models.values().any(moves) {
            return;
        }
        let busy = self
            .models
            .iter()
            .filter(|(_, model)| model.is_ready() && !model.active.is_empty() && !model.full);
        let mut busy: Vec<_> = busy
            .map(|(name, model)| {
                (model.last_used, name.clone(), model.cache(), model.own.cache_most)
            })
            .collect();
        busy.sort();
        for (_, name, cache, most) in busy.into_iter().rev() {
            let wanted = most.saturating_sub(cache);
            let more = wanted.min(self.ledger.free());
            if more > 0 && more >= wanted.min(most / 8) {
                self.grow(&name, cache + more, out);
            }
        }
    }
}

impl Model {
    /// Bytes that are booked for its cache.
    pub(super) fn cache(&self) -> u64 {
        self.grant.map_or(0, |grant| grant.cache)
    }

    /// Books `bytes` for its cache. Whether they could be.
    fn book_cache(&mut self, ledger: &mut crate::ledger::Ledger, bytes: u64) -> bool {
        let Some((_, booked)) = self.booked.iter().find(|part| part.0 == Class::Kv) else {
            return false;
        };
        let done = ledger.resize(booked, bytes).is_ok();
        if let Some(grant) = self.grant.as_mut().filter(|_| done) {
            grant.cache = bytes;
        }
        done
    }

    /// The least that it has to keep of its cache: what its requests were promised, or one useful sequence.
    fn least_cache(&self) -> u64 {
        let promised = self.active.values().copied().max().unwrap_or(0);
        self.own.cache_least.max(promised)
    }

    /// Bytes of its cache that it may be made to give back.
    pub(super) fn spare(&self) -> u64 {
        if !self.is_ready() || self.resizing.is_some() || self.stiff {
            return 0;
        }
        self.cache().saturating_sub(self.least_cache())
    }

    /// Bytes of its cache that it was told to give back.
    pub(super) fn coming(&self) -> u64 {
        let resizing = self.resizing.filter(|_| self.is_ready());
        resizing.map_or(0, |resizing| self.cache().saturating_sub(resizing.to))
    }

    /// Whether its cache is as large as a request wants it, or can be.
    pub(super) fn has(&self, cache: u64) -> bool {
        let now = self.resizing.map_or(self.cache(), |it| it.from.min(it.to));
        cache.min(self.own.cache_most) <= now
    }

    /// Bytes that it lacks to serve a request that wants so much `cache`.
    pub(super) fn missing(&self, cache: u64) -> u64 {
        if self.is_ready() {
            cache.min(self.own.cache_most).saturating_sub(self.cache())
        } else {
            self.terms.need.with_cache(cache).least()
        }
    }
}

impl Need {
    /// The same where at least so much `cache` is wanted, as far as it may have that.
    pub(super) fn with_cache(self, cache: u64) -> Self {
        Self { cache_least: self.cache_least.max(cache.min(self.cache_most)), ..self }
    }
}
