//! The groups of a workspace, taken one after the other by whoever comes.
//!
//! Nobody leads. Who takes a group writes its lock; who finishes it writes its results, then its flag, then removes the
//! lock. A lock that was not written for [`STALE`] belongs to nobody any more. Two may come to work at one group - a
//! machine may sleep for an hour and wake up - and then both write the same results under the same key.
//!
//! olmOCR's protocol is kept to the letter, so its workers and ours may work beside each other. Beyond it, ours refresh their
//! locks, come back to groups that others held, do not both take a group that is free, and know their own dead
//! ([`Presence`]).

mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use turns::{Next, Turns};
pub use turns::{Sight, Verdict, judge};

use super::{Group, Index, Presence, Store, failures, keys};
use crate::Error;

/// How long a lock holds after it was written.
pub const STALE: Duration = Duration::from_secs(1800);
/// How often a lock should be written again by whoever works.
pub const REFRESH: Duration = Duration::from_secs(300);
/// When a group is looked at again that somebody else holds, at the latest.
pub const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How often a group is begun in one run before it is left to the next.
pub const TRIES: u32 = 3;
/// How much of a lock is read.
const LOCK_BYTES: u64 = 4096;

/// What a worker gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A group, with its lock: work at it, [`refresh`](Queue::refresh), and [`finish`](Queue::finish) or
    /// [`give_back`](Queue::give_back).
    Work(Group),
    /// Others hold what is left: ask again then, or earlier.
    Wait(SystemTime),
    /// What is left is being worked at by this process: ask again when one of its workers is done, or end.
    Idle,
    /// Nothing is left.
    Empty,
}

/// What became of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// It is ours, and fresh.
    Ours,
    /// Somebody else took the group over, or has finished it. What we do is done twice, which harms nobody.
    Lost,
}

/// How the groups stand, as this process knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub total: usize,
    /// Finished, by anyone.
    pub done: usize,
    /// Being worked at by this process.
    pub working: usize,
    /// Not looked at yet.
    pub waiting: usize,
    /// Put off: others hold them, or they failed a while ago.
    pub elsewhere: usize,
    /// Left to another run.
    pub left: usize,
}

/// The groups that are left to do, for all workers of a process.
#[derive(Debug)]
pub struct Queue {
    store: Arc<dyn Store>,
    presence: Option<Presence>,
    mark: String,
    /// Groups of documents that are read again, with those that had them before.
    earlier: BTreeMap<String, Vec<String>>,
    /// Never held while the store is asked.
    turns: Mutex<Turns>,
}

impl Queue {
    /// All groups of `index` that have no flag, in an order that `seed` decides. Without a presence, locks of killed
    /// processes of this machine hold until they are stale.
    ///
    /// # Errors
    /// When the flags cannot be listed.
    pub fn open(
        store: Arc<dyn Store>,
        index: &Index,
        presence: Option<Presence>,
        seed: u64,
    ) -> Result<Self, Error> {
        let done: BTreeSet<String> = done(&*store)?;
        let mark = presence.as_ref().map(Presence::mark).unwrap_or_default();
        let turns = Mutex::new(Turns::new(index, &done, seed));
        Ok(Self { store, presence, mark, earlier: failures::earlier(index), turns })
    }

    /// The same without the groups that are not among these, by their hashes.
    #[must_use]
    pub fn only(self, hashes: &BTreeSet<String>) -> Self {
        self.turns().only(hashes);
        self
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the groups stand.
    pub fn counts(&self) -> Counts {
        self.turns().counts()
    }

    /// Takes a group that is not finished and that nobody works at, by the clock `now`.
    ///
    /// # Errors
    /// When the store cannot be asked. The group that was looked at comes again; nothing is lost.
    pub fn claim(&self, now: SystemTime) -> Result<Claim, Error> {
        loop {
            let next = self.turns().next(now);
            let group = match next {
                Next::Look(group) => group,
                Next::Wait(until) => return Ok(Claim::Wait(until)),
                Next::Idle => return Ok(Claim::Idle),
                Next::Empty => return Ok(Claim::Empty),
            };
            match self.take(&group, now) {
                Ok(Verdict::Take | Verdict::TakeOver) => {
                    self.turns().working(&group);
                    return Ok(Claim::Work(group));
                }
                Ok(Verdict::Skip) => self.turns().finished(&group),
                Ok(Verdict::Later(until)) => self.turns().put_off(group, until),
                Err(error) => {
                    self.turns().put_off(group, now);
                    return Err(error);
                }
            }
        }
    }

    /// Looks at a group, and locks it if that may be. What is returned is what came of it.
    fn take(&self, group: &Group, now: SystemTime) -> Result<Verdict, Error> {
        let lock = keys::worker_lock(&group.hash);
        let (sight, content) = self.look(group)?;
        let verdict = judge(sight, now);
        let won = match verdict {
            Verdict::Skip | Verdict::Later(_) => return Ok(verdict),
            Verdict::Take => self.store.put_new(&lock, self.mark.as_bytes())?,
            Verdict::TakeOver => {
                let mut won = false;
                self.store.change(&lock, LOCK_BYTES, &mut |there| {
                    won = there == content.as_deref();
                    Ok(won.then(|| self.mark.clone().into_bytes()))
                })?;
                won
            }
        };
        if !won {
            // Somebody was quicker.
            return Ok(Verdict::Later(now + LOOK_AGAIN));
        }
        // Who held it may have finished between our two looks.
        if self.is_done(group)? {
            self.store.delete(&lock)?;
            return Ok(Verdict::Skip);
        }
        Ok(verdict)
    }

    /// What is to be seen of a group, and what its lock holds.
    fn look(&self, group: &Group) -> Result<(Sight, Option<Vec<u8>>), Error> {
        if self.is_done(group)? {
            return Ok((Sight::Done, None));
        }
        let lock = keys::worker_lock(&group.hash);
        let Some(since) = self.store.modified(&lock)? else {
            return Ok((Sight::Free, None));
        };
        let content = self.store.get(&lock, LOCK_BYTES)?;
        // One of our own, on a group that no worker of ours has, is left of a claim that failed halfway.
        let gone = |presence: &Presence| {
            let held = content.as_deref().unwrap_or_default();
            held == self.mark.as_bytes() || presence.is_gone(held)
        };
        let gone = self.presence.as_ref().is_some_and(gone);
        Ok((Sight::Locked { since, gone }, content))
    }

    fn is_done(&self, group: &Group) -> Result<bool, Error> {
        Ok(self.store.modified(&keys::done_flag(&group.hash))?.is_some())
    }

    /// Writes the lock of a group again, so that it holds for another [`STALE`]. To be done every [`REFRESH`].
    ///
    /// # Errors
    /// When the store cannot be asked. The lock holds on from when it was last written.
    pub fn refresh(&self, group: &Group) -> Result<Refreshed, Error> {
        let lock = keys::worker_lock(&group.hash);
        let mut ours = false;
        self.store.change(&lock, LOCK_BYTES, &mut |there| {
            ours = there == Some(self.mark.as_bytes());
            Ok(ours.then(|| self.mark.clone().into_bytes()))
        })?;
        Ok(if ours { Refreshed::Ours } else { Refreshed::Lost })
    }

    /// Ends the work at a group: writes its results, then its flag, and removes its lock. Whatever else belongs to the
    /// group - Markdown, failures - is to be written before. Documents that were read [again](super::failures::retry) are
    /// taken out of the results that they replace.
    ///
    /// # Errors
    /// When the store does not take it. Then the group is not finished, and is still ours: try again, or give it back.
    pub fn finish(&self, group: &Group, results: &[u8]) -> Result<(), Error> {
        self.store.put(&keys::results(&group.hash), results)?;
        if let Some(earlier) = self.earlier.get(&group.hash) {
            failures::supersede(&*self.store, group, earlier, results)?;
        }
        self.store.put(&keys::done_flag(&group.hash), b"")?;
        self.turns().finished(group);
        // It is finished whatever becomes of the lock: nobody asks for the lock of a group that has a flag.
        let _ = self.store.delete(&keys::worker_lock(&group.hash));
        Ok(())
    }

    /// Ends the work at a group that is not finished: others may take it at once. With `failed`, this process takes
    /// it again after a while, up to [`TRIES`] times, by the clock `now`; without, it leaves it.
    ///
    /// # Errors
    /// When the lock cannot be removed. It holds until it is stale then; in this process the group is given back all
    /// the same.
    pub fn give_back(&self, group: Group, failed: bool, now: SystemTime) -> Result<(), Error> {
        let lock = keys::worker_lock(&group.hash);
        // A lock that somebody took over is theirs.
        let mut ours = false;
        let looked = self.store.change(&lock, LOCK_BYTES, &mut |there| {
            ours = there == Some(self.mark.as_bytes());
            Ok(None)
        });
        if failed {
            self.turns().failed(group, now);
        } else {
            self.turns().left(group);
        }
        looked?;
        if ours { self.store.delete(&lock) } else { Ok(()) }
    }
}

/// The hashes of all groups that are finished.
///
/// # Errors
/// When the flags cannot be listed.
pub fn done(store: &dyn Store) -> Result<BTreeSet<String>, Error> {
    let flags = store.list(keys::DONE_FLAGS)?;
    let hash = |entry: &super::Entry| keys::hash_of_done_flag(&entry.key).map(str::to_owned);
    Ok(flags.iter().filter_map(hash).collect())
}

#[cfg(test)]
mod tests;
