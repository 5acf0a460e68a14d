//! Which group is looked at next, and what is done with it: decided from values alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, SystemTime};

use super::{LOOK_AGAIN, STALE, TRIES};
use crate::workspace::{Group, Index};

/// What is seen of a group before it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It is finished.
    Done,
    /// Nobody works at it.
    Free,
    /// There is a lock.
    Locked {
        /// When it was written last.
        since: SystemTime,
        /// Whether it is of a process that is known to be no more.
        gone: bool,
    },
}

/// What to do with a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Leave it: it is finished.
    Skip,
    /// Take it, where there is no lock.
    Take,
    /// Take it over from its lock.
    TakeOver,
    /// Somebody works at it: look again then.
    Later(SystemTime),
}

/// What a sight of a group means.
///
/// A lock holds for [`STALE`] after it was written, that second included, as olmOCR has it. One from the future (of a
/// clock that is ahead) holds too. Who holds it may finish at any time, so it is looked at again sooner than that.
pub fn judge(sight: Sight, now: SystemTime) -> Verdict {
    match sight {
        Sight::Done => Verdict::Skip,
        Sight::Free => Verdict::Take,
        Sight::Locked { gone: true, .. } => Verdict::TakeOver,
        Sight::Locked { since, gone: false } => {
            let age = now.duration_since(since).unwrap_or_default();
            if age > STALE {
                Verdict::TakeOver
            } else {
                let left = STALE - age + Duration::from_secs(1);
                Verdict::Later(now + left.min(LOOK_AGAIN))
            }
        }
    }
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Look at this group.
    Look(Group),
    /// Nothing before then.
    Wait(SystemTime),
    /// Nothing is left but what this process works at.
    Idle,
    /// Nothing is left.
    Empty,
}

/// The groups that are not known to be finished.
#[derive(Debug)]
pub(super) struct Turns {
    waiting: VecDeque<Group>,
    /// To be looked at again, by time and then by the order in which they came.
    later: BTreeMap<(SystemTime, u64), Group>,
    came: u64,
    /// Being looked at or worked at.
    taken: BTreeMap<String, Taken>,
    /// How often each was given back.
    tries: BTreeMap<String, u32>,
    given_up: BTreeSet<String>,
    total: usize,
    done: usize,
}

/// A group that is out of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Looking,
    Working,
}

impl Turns {
    /// All of an index but what is `done`, in an order that `seed` decides: so that machines that start together begin
    /// in different places.
    pub(super) fn new(index: &Index, done: &BTreeSet<String>, seed: u64) -> Self {
        let mut waiting: Vec<Group> = index.groups().to_vec();
        waiting.retain(|group| !done.contains(&group.hash));
        let mut state = seed;
        for place in (1..waiting.len()).rev() {
            let other = draw(&mut state) % (place as u64 + 1);
            waiting.swap(place, usize::try_from(other).unwrap_or(place));
        }
        let total = index.groups().len();
        Self {
            total,
            done: total - waiting.len(),
            waiting: waiting.into(),
            later: BTreeMap::new(),
            came: 0,
            taken: BTreeMap::new(),
            tries: BTreeMap::new(),
            given_up: BTreeSet::new(),
        }
    }

    /// Leaves out all but these groups.
    pub(super) fn only(&mut self, hashes: &BTreeSet<String>) {
        self.waiting.retain(|group| hashes.contains(&group.hash));
        self.total = self.done + self.waiting.len();
    }

    pub(super) fn next(&mut self, now: SystemTime) -> Next {
        // What was not looked at comes before what was found locked.
        let group = self.waiting.pop_front().or_else(|| {
            let first = self.later.first_entry().filter(|entry| entry.key().0 <= now)?;
            Some(first.remove())
        });
        if let Some(group) = group {
            self.taken.insert(group.hash.clone(), Taken::Looking);
            return Next::Look(group);
        }
        match self.later.first_key_value() {
            Some(((until, _), _)) => Next::Wait(*until),
            None if self.taken.is_empty() => Next::Empty,
            None => Next::Idle,
        }
    }

    pub(super) fn working(&mut self, group: &Group) {
        self.taken.insert(group.hash.clone(), Taken::Working);
    }

    pub(super) fn finished(&mut self, group: &Group) {
        self.taken.remove(&group.hash);
        self.done += 1;
    }

    pub(super) fn put_off(&mut self, group: Group, until: SystemTime) {
        self.taken.remove(&group.hash);
        self.came += 1;
        self.later.insert((until, self.came), group);
    }

    /// It failed: it comes again after a while, but not for ever. Says whether it comes again.
    pub(super) fn failed(&mut self, group: Group, now: SystemTime) -> bool {
        let tries = self.tries.entry(group.hash.clone()).or_default();
        *tries += 1;
        if *tries < TRIES {
            let wait = LOOK_AGAIN * *tries;
            self.put_off(group, now + wait);
            true
        } else {
            self.left(group);
            false
        }
    }

    /// It does not come again in this run.
    pub(super) fn left(&mut self, group: Group) {
        self.taken.remove(&group.hash);
        self.given_up.insert(group.hash);
    }

    pub(super) fn counts(&self) -> super::Counts {
        let working = self.taken.values().filter(|taken| **taken == Taken::Working).count();
        super::Counts {
            total: self.total,
            done: self.done,
            working,
            waiting: self.waiting.len() + self.taken.len() - working,
            elsewhere: self.later.len(),
            left: self.given_up.len(),
        }
    }
}

/// The next number of a sequence that a seed decides (splitmix64).
pub(super) fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
