//! Models that panic: a bug in one costs its own requests an error, and it is unloaded, since nobody knows what it has left
//! behind. One that does so again and again is not loaded any more for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Error, House, Lease};
use crate::residency::{Event, Leave};
use crate::runtime;

/// After so many panics in a row a model is refused,
const MOST: u32 = 3;
/// and so long after the last of them it is tried once more.
const REST: Duration = Duration::from_secs(600);

/// Who panicked, and has not answered since.
#[derive(Debug, Default)]
pub(super) struct Broken(BTreeMap<String, Fall>);

#[derive(Debug)]
struct Fall {
    times: u32,
    last: Duration,
    /// What it said.
    what: String,
    /// When it was loaded: one that is in memory falls once.
    of: Option<Instant>,
}

impl Broken {
    /// Notes down that a model has panicked that was loaded at `of`, if it ever was. Whether that is news.
    pub(super) fn fell(
        &mut self,
        model: &str,
        of: Option<Instant>,
        now: Duration,
        what: String,
    ) -> bool {
        let known = self.0.get(model);
        if known.is_some_and(|fall| of.is_some() && fall.of == of) {
            return false;
        }
        let times = known.map_or(1, |fall| fall.times.saturating_add(1));
        self.0.insert(model.to_owned(), Fall { times, last: now, what, of });
        true
    }

    /// Forgives a model that was loaded at `of`, and has answered; not if it is one that fell and is on its way out.
    fn stood(&mut self, model: &str, of: Option<Instant>) {
        if self.0.get(model).is_some_and(|fall| fall.of != of) {
            self.0.remove(model);
        }
    }

    /// Why a model is not to be loaded at `now`, if it is not.
    pub(super) fn refuses(&self, model: &str, now: Duration) -> Option<Error> {
        let fall = self.0.get(model).filter(|fall| fall.times >= MOST)?;
        let wait =
            fall.last.saturating_add(REST).checked_sub(now).filter(|wait| !wait.is_zero())?;
        let (model, what) = (model.to_owned(), fall.what.clone());
        Some(Error::Broken { model, times: fall.times, what, wait })
    }
}

impl House {
    /// Lets go of a model that has panicked, once nobody uses it any more.
    pub(super) fn broke(&self, model: &str, what: &str) {
        let now = self.uptime();
        let news = {
            let mut rooms = self.rooms();
            let of = rooms.residents.get(model).map(|resident| resident.loaded);
            rooms.broken.fell(model, of, now, what.to_owned())
        };
        if news {
            tracing::error!(model, what, "panicked, and is unloaded");
            self.happened(Event::Dismiss { model: model.to_owned(), why: Leave::Broken });
        }
    }

    /// Notes down that a model has answered.
    pub(super) fn stood(&self, model: &str) {
        let mut rooms = self.rooms();
        let of = rooms.residents.get(model).map(|resident| resident.loaded);
        rooms.broken.stood(model, of);
    }
}

impl Lease {
    /// Passes on what came of the model; if it panicked, it goes.
    pub(crate) fn tried<T>(&self, came: Result<T, runtime::Error>) -> Result<T, runtime::Error> {
        match came.as_ref().map_err(runtime::Error::panicked) {
            Ok(_) => self.house().stood(self.name()),
            Err(Some(what)) => self.house().broke(self.name(), what),
            Err(None) => {}
        }
        came
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_falls_too_often_rests() {
        let mut broken = Broken::default();
        let now = Duration::from_secs(5);
        let first = Instant::now();
        let loaded = |times: u64| Some(first + Duration::from_secs(times));
        let what = || "boom".to_owned();
        assert!(broken.fell("a", loaded(1), now, what()));
        assert!(!broken.fell("a", loaded(1), now, what()), "the same one");
        broken.stood("a", loaded(1));
        assert!(broken.fell("a", loaded(2), now, what()));
        assert!(broken.refuses("a", now).is_none());
        // Loads that panic count as well, each of them.
        assert!(broken.fell("a", None, now, what()));
        let refused = broken.refuses("a", now + REST / 2);
        assert!(matches!(refused, Some(Error::Broken { times: 3, wait, .. }) if wait == REST / 2));
        assert!(broken.refuses("b", now).is_none());
        assert!(broken.refuses("a", now + REST).is_none());
        // One more time, and it rests again; or it answers, and is as good as any.
        assert!(broken.fell("a", loaded(4), now + REST, what()));
        assert!(broken.refuses("a", now + REST + REST / 2).is_some());
        broken.stood("a", loaded(5));
        assert!(broken.refuses("a", now + REST + REST / 2).is_none());
        assert!(broken.fell("a", loaded(6), now + REST, what()));
        assert!(broken.refuses("a", now + REST).is_none());
    }
}
