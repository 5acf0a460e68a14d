//! One account of every byte: what is reserved before it is allocated, by whom and what for, under one limit. A pure
//! value; whoever holds it decides when to ask.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Bytes, Kind};

/// What bytes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Class {
    /// The program itself, before any model.
    Process,
    /// What a load takes beside what stays of it.
    Loading,
    /// Weights, mapped or copied.
    Weights,
    /// Keys and values of sequences under way, and of beginnings that are remembered in the same pages.
    Kv,
    /// Beginnings of texts that are remembered beside the pages.
    Prefix,
    /// What a step computes with.
    Activations,
    /// Features of images.
    Vision,
    /// What an unloaded model held, until it is measured to be back.
    Leaving,
    /// What an unloaded model never gave back.
    Unreturned,
}

impl Class {
    /// Every class, in the order of their names in tables.
    pub const ALL: [Self; 9] = [
        Self::Process,
        Self::Loading,
        Self::Weights,
        Self::Kv,
        Self::Prefix,
        Self::Activations,
        Self::Vision,
        Self::Leaving,
        Self::Unreturned,
    ];

    /// Its name in metrics and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Loading => "loading",
            Self::Weights => "weights",
            Self::Kv => "kv",
            Self::Prefix => "prefix",
            Self::Activations => "activations",
            Self::Vision => "vision",
            Self::Leaving => "leaving",
            Self::Unreturned => "unreturned",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Bytes that are booked. Worth nothing to any ledger but its own; they stay booked until it is given to
/// [`Ledger::release`], or its owner to [`Ledger::release_owner`].
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
#[must_use = "the bytes stay booked until this is released"]
pub struct Reservation(u64);

/// Bytes that cannot be reserved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} for {class} of `{owner}` are {} more than are free of {}", Bytes(*asked), Bytes(*missing), Bytes(*limit))]
pub struct Short {
    /// Who asked.
    pub owner: String,
    /// What for.
    pub class: Class,
    /// The bytes asked for; those beside what was booked before, when a reservation was to grow.
    pub asked: u64,
    /// How many more would have to be free; never 0.
    pub missing: u64,
    /// The limit.
    pub limit: u64,
}

impl Short {
    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        if self.asked > self.limit { Kind::Invalid } else { Kind::Overloaded }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        "wait until others are done, unload a model, or raise `--memory`"
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    owner: String,
    class: Class,
    bytes: u64,
}

/// The account. At no time is more reserved than the limit, unless the limit itself was lowered.
#[derive(Debug)]
pub struct Ledger {
    limit: u64,
    reserved: u64,
    entries: BTreeMap<u64, Entry>,
    next: u64,
    peak: u64,
}

impl Ledger {
    /// An empty account of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, reserved: 0, entries: BTreeMap::new(), next: 0, peak: 0 }
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes reserved by all together.
    pub fn reserved(&self) -> u64 {
        self.reserved
    }

    /// The most that ever was reserved at once.
    pub fn peak(&self) -> u64 {
        self.peak
    }

    /// Bytes that can still be reserved.
    pub fn free(&self) -> u64 {
        self.limit.saturating_sub(self.reserved)
    }

    /// Bytes reserved beyond the limit: more than 0 only after the limit was lowered.
    pub fn over(&self) -> u64 {
        self.reserved.saturating_sub(self.limit)
    }

    /// Sets another limit. What is reserved stays so, even where it is more.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Books `bytes` for `owner`.
    ///
    /// # Errors
    /// If fewer are free; nothing is booked then.
    pub fn reserve(&mut self, owner: &str, class: Class, bytes: u64) -> Result<Reservation, Short> {
        self.check(owner, class, bytes)?;
        let id = self.next;
        self.next += 1;
        self.entries.insert(id, Entry { owner: owner.to_owned(), class, bytes });
        self.add(bytes);
        Ok(Reservation(id))
    }

    /// Books all of `parts` for `owner`, or nothing.
    ///
    /// # Errors
    /// If fewer are free than all parts together; it names the largest part.
    pub fn reserve_all(
        &mut self,
        owner: &str,
        parts: &[(Class, u64)],
    ) -> Result<Vec<Reservation>, Short> {
        let sum = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.1));
        let largest = parts.iter().max_by_key(|part| part.1);
        self.check(owner, largest.map_or(Class::Process, |part| part.0), sum)?;
        parts.iter().map(|&(class, bytes)| self.reserve(owner, class, bytes)).collect()
    }

    /// Makes a reservation one of `bytes`.
    ///
    /// # Errors
    /// If it was to grow by more than is free; it stays as it was then.
    pub fn resize(&mut self, reservation: &Reservation, bytes: u64) -> Result<(), Short> {
        let Some(entry) = self.entries.get(&reservation.0) else { return Ok(()) };
        let held = entry.bytes;
        if let Some(more) = bytes.checked_sub(held) {
            let (owner, class) = (entry.owner.clone(), entry.class);
            self.check(&owner, class, more)?;
            self.add(more);
        } else {
            self.reserved -= held - bytes;
        }
        if let Some(entry) = self.entries.get_mut(&reservation.0) {
            entry.bytes = bytes;
        }
        Ok(())
    }

    /// Books what is reserved for another purpose.
    pub fn reclassify(&mut self, reservation: &Reservation, class: Class) {
        if let Some(entry) = self.entries.get_mut(&reservation.0) {
            entry.class = class;
        }
    }

    /// Bytes that a reservation stands for; 0 once its owner was released.
    pub fn bytes(&self, reservation: &Reservation) -> u64 {
        self.entries.get(&reservation.0).map_or(0, |entry| entry.bytes)
    }

    /// Gives a reservation back. Returns its bytes.
    #[expect(clippy::needless_pass_by_value, reason = "what was given back cannot be used again")]
    pub fn release(&mut self, reservation: Reservation) -> u64 {
        let freed = self.entries.remove(&reservation.0).map_or(0, |entry| entry.bytes);
        self.reserved -= freed;
        freed
    }

    /// Gives back all that `owner` has. Returns the bytes.
    pub fn release_owner(&mut self, owner: &str) -> u64 {
        let freed = self.of_owner(owner);
        self.entries.retain(|_, entry| entry.owner != owner);
        self.reserved -= freed;
        freed
    }

    /// Bytes reserved for `class`.
    pub fn of_class(&self, class: Class) -> u64 {
        self.sum(|entry| entry.class == class)
    }

    /// Bytes reserved by `owner`.
    pub fn of_owner(&self, owner: &str) -> u64 {
        self.sum(|entry| entry.owner == owner)
    }

    /// Bytes of each owner by class, what is 0 left out.
    pub fn table(&self) -> BTreeMap<String, BTreeMap<Class, u64>> {
        let mut table: BTreeMap<String, BTreeMap<Class, u64>> = BTreeMap::new();
        for entry in self.entries.values().filter(|entry| entry.bytes > 0) {
            let row = table.entry(entry.owner.clone()).or_default();
            *row.entry(entry.class).or_default() += entry.bytes;
        }
        table
    }

    fn sum(&self, of: impl Fn(&Entry) -> bool) -> u64 {
        self.entries.values().filter(|entry| of(entry)).map(|entry| entry.bytes).sum()
    }

    fn check(&self, owner: &str, class: Class, asked: u64) -> Result<(), Short> {
        let missing = asked.saturating_sub(self.free());
        if missing == 0 {
            return Ok(());
        }
        Err(Short { owner: owner.to_owned(), class, asked, missing, limit: self.limit })
    }

    fn add(&mut self, bytes: u64) {
        self.reserved += bytes;
        self.peak = self.peak.max(self.reserved);
    }
}

/// The share of memory that is the limit where nobody gives one: the rest is the system's and other programs'.
const SHARE: f64 = 0.8;

/// The limit where nobody gives one: four fifths of `most`, which is what a machine has or its control group may take,
/// and at most what is free now, less `reserve` bytes that are to stay free for others.
pub fn default_limit(most: u64, available: u64, reserve: u64) -> u64 {
    let share = (most as f64 * SHARE) as u64;
    share.min(available).min(most.saturating_sub(reserve))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_free_is_not_given() {
        let mut ledger = Ledger::new(100);
        let weights = ledger.reserve("a", Class::Weights, 60).unwrap();
        let short = ledger.reserve("b", Class::Weights, 50).unwrap_err();
        assert_eq!((short.missing, short.asked, short.limit), (10, 50, 100));
        assert_eq!(short.kind(), Kind::Overloaded);
        assert_eq!(ledger.reserve("b", Class::Kv, 101).unwrap_err().kind(), Kind::Invalid);
        assert_eq!(ledger.reserve("b", Class::Kv, u64::MAX).unwrap_err().missing, u64::MAX - 40);
        assert_eq!(ledger.resize(&weights, 101).unwrap_err().missing, 1);
        assert_eq!(ledger.bytes(&weights), 60);
        ledger.resize(&weights, 40).unwrap();
        let kv = ledger.reserve("b", Class::Kv, 60).unwrap();
        assert_eq!(ledger.free(), 0);
        assert_eq!(ledger.release(weights), 40);
        assert_eq!((ledger.free(), ledger.peak()), (40, 100));
        ledger.reclassify(&kv, Class::Leaving);
        assert_eq!((ledger.of_class(Class::Kv), ledger.of_class(Class::Leaving)), (0, 60));
        assert_eq!(ledger.release_owner("b"), 60);
        assert_eq!((ledger.release(kv), ledger.reserved()), (0, 0));
    }

    #[test]
    fn parts_are_given_together_or_not_at_all() {
        let mut ledger = Ledger::new(100);
        let parts = [(Class::Weights, 60), (Class::Kv, 50)];
        let short = ledger.reserve_all("a", &parts).unwrap_err();
        assert_eq!((short.missing, short.class), (10, Class::Weights));
        assert_eq!((ledger.reserved(), ledger.table().len()), (0, 0));
        let parts = ledger.reserve_all("a", &[(Class::Weights, 60), (Class::Kv, 40)]).unwrap();
        assert_eq!((parts.len(), ledger.of_owner("a")), (2, 100));
        assert_eq!(ledger.table()["a"][&Class::Kv], 40);
    }

    #[test]
    fn a_lower_limit_takes_nothing_away() {
        let mut ledger = Ledger::new(100);
        let all = ledger.reserve("a", Class::Weights, 100).unwrap();
        ledger.set_limit(70);
        assert_eq!((ledger.over(), ledger.free(), ledger.reserved()), (30, 0, 100));
        assert!(ledger.reserve("b", Class::Kv, 1).is_err());
        assert_eq!(ledger.release(all), 100);
        assert_eq!((ledger.over(), ledger.free()), (0, 70));
    }

    #[test]
    fn the_default_leaves_room_for_others() {
        assert_eq!(default_limit(100, 100, 0), 80);
        assert_eq!(default_limit(100, 50, 0), 50);
        assert_eq!(default_limit(128, 120, 28), 100);
        assert_eq!(default_limit(16, 16, 28), 0);
    }

    #[derive(Clone, Debug)]
    enum Act {
        Reserve(u8, usize, u64),
        Together(u8, u64, u64),
        Resize(usize, u64),
        Reclassify(usize, usize),
        Release(usize),
        Owner(u8),
    }

    fn act() -> impl Strategy<Value = Act> {
        let bytes = prop_oneof![0..400_u64, Just(u64::MAX), any::<u64>()];
        prop_oneof![
            4 => (0..4_u8, 0..9_usize, bytes.clone()).prop_map(|(o, c, b)| Act::Reserve(o, c, b)),
            1 => (0..4_u8, bytes.clone(), 0..400_u64).prop_map(|(o, a, b)| Act::Together(o, a, b)),
            3 => (any::<usize>(), bytes).prop_map(|(i, b)| Act::Resize(i, b)),
            1 => (any::<usize>(), 0..9_usize).prop_map(|(i, c)| Act::Reclassify(i, c)),
            3 => any::<usize>().prop_map(Act::Release),
            1 => (0..4_u8).prop_map(Act::Owner),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// Beside a list of what was given, over any sequence of calls.
        #[test]
        fn the_books_agree_with_a_list(limit in 0..2000_u64, acts in prop::collection::vec(act(), 0..60)) {
            let mut ledger = Ledger::new(limit);
            let mut held: Vec<(Reservation, String, Class, u64)> = Vec::new();
            for act in acts {
                let free = ledger.free();
                match act {
                    Act::Reserve(owner, class, bytes) => {
                        let (owner, class) = (owner.to_string(), Class::ALL[class]);
                        match ledger.reserve(&owner, class, bytes) {
                            Ok(reservation) => held.push((reservation, owner, class, bytes)),
                            Err(short) => {
                                prop_assert_eq!(short.missing, bytes - free);
                                prop_assert!(bytes > free);
                            }
                        }
                    }
                    Act::Together(owner, first, second) => {
                        let parts = [(Class::Weights, first), (Class::Kv, second)];
                        match ledger.reserve_all(&owner.to_string(), &parts) {
                            Ok(given) => {
                                for (reservation, (class, bytes)) in given.into_iter().zip(parts) {
                                    held.push((reservation, owner.to_string(), class, bytes));
                                }
                            }
                            Err(_) => prop_assert!(first.saturating_add(second) > free),
                        }
                    }
                    Act::Resize(at, bytes) if !held.is_empty() => {
                        let at = at % held.len();
                        let (reservation, .., old) = &mut held[at];
                        match ledger.resize(reservation, bytes) {
                            Ok(()) => *old = bytes,
                            Err(_) => prop_assert!(bytes - *old > free),
                        }
                    }
                    Act::Reclassify(at, class) if !held.is_empty() => {
                        let at = at % held.len();
                        ledger.reclassify(&held[at].0, Class::ALL[class]);
                        held[at].2 = Class::ALL[class];
                    }
                    Act::Release(at) if !held.is_empty() => {
                        let (reservation, .., bytes) = held.swap_remove(at % held.len());
                        prop_assert_eq!(ledger.release(reservation), bytes);
                    }
                    Act::Owner(owner) => {
                        let owner = owner.to_string();
                        let sum: u64 = held.iter().filter(|h| h.1 == owner).map(|h| h.3).sum();
                        prop_assert_eq!(ledger.release_owner(&owner), sum);
                        held.retain(|h| h.1 != owner);
                    }
                    Act::Resize(..) | Act::Reclassify(..) | Act::Release(_) => {}
                }
                let sum: u64 = held.iter().map(|h| h.3).sum();
                prop_assert_eq!(ledger.reserved(), sum);
                prop_assert!(sum <= limit && ledger.peak() <= limit && ledger.over() == 0);
                let by_class: u64 = Class::ALL.iter().map(|&class| ledger.of_class(class)).sum();
                let by_owner: u64 = ledger.table().values().flat_map(BTreeMap::values).sum();
                prop_assert_eq!((by_class, by_owner), (sum, sum));
            }
            for (reservation, ..) in held {
                ledger.release(reservation);
            }
            prop_assert_eq!(ledger.reserved(), 0);
            prop_assert!(ledger.table().is_empty());
        }
    }
}
