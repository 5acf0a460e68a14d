//! Which segments are worth being written together.

use std::cmp::Reverse;

/// What one compaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Segments that became one, or none.
    pub segments: usize,
    /// Pages that were moved.
    pub pages: usize,
    /// Their bytes before.
    pub bytes_before: u64,
    /// The bytes of the one.
    pub bytes_after: u64,
}

/// When segments are written together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionLimits {
    /// A segment of whose pages at most so many of a hundred are left is written again.
    pub live_percent: u32,
    /// So many segments of like size are written together; at least 2.
    pub fan: usize,
    /// The most bytes that are written at once, but for a single segment.
    pub bytes: u64,
}

impl Default for CompactionLimits {
    fn default() -> Self {
        Self { live_percent: 60, fan: 8, bytes: 4 << 30 }
    }
}

/// What is known of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) segment: i64,
    /// Pages that were written.
    pub(crate) pages: u64,
    /// Those of them that the database still names.
    pub(crate) live: u64,
    pub(crate) bytes: u64,
}

impl Facts {
    /// The bytes that its live pages take, about.
    fn weight(&self) -> u64 {
        let weight = u128::from(self.bytes) * u128::from(self.live) / u128::from(self.pages.max(1));
        weight as u64
    }

    /// Segments of one tier are at most eight times as large as each other.
    fn tier(&self) -> u32 {
        self.weight().max(1).ilog2() / 3
    }
}

/// The segments to be written together; none if nothing is to be gained. First come those of which much is
/// deleted, then tiers of which there are too many: so each page is moved a number of times that grows
/// as the logarithm of how many there are.
pub(crate) fn plan(facts: &[Facts], limits: &CompactionLimits) -> Vec<i64> {
    let within = |chosen: Vec<&Facts>, least: usize| {
        let mut sum = 0_u64;
        let mut taken = Vec::new();
        for facts in chosen {
            sum = sum.saturating_add(facts.weight());
            if sum > limits.bytes && !taken.is_empty() {
                break;
            }
            taken.push(facts.segment);
        }
        if taken.len() < least { Vec::new() } else { taken }
    };
    let is_thin = |facts: &&Facts| facts.live * 100 <= facts.pages * u64::from(limits.live_percent);
    let mut thin: Vec<_> = facts.iter().filter(is_thin).filter(|f| f.live < f.pages).collect();
    thin.sort_by_key(|facts| (facts.weight(), facts.segment));
    let taken = within(thin, 1);
    if !taken.is_empty() {
        return taken;
    }
    let mut tiers: Vec<u32> = facts.iter().map(Facts::tier).collect();
    tiers.sort_unstable_by_key(|&tier| Reverse(tier));
    tiers.dedup();
    // The smallest first: they are the most, and cost least.
    for tier in tiers.into_iter().rev() {
        let mut members: Vec<_> = facts.iter().filter(|facts| facts.tier() == tier).collect();
        if members.len() >= limits.fan.max(2) {
            members.sort_by_key(|facts| (facts.weight(), facts.segment));
            let taken = within(members, 2);
            if !taken.is_empty() {
                return taken;
            }
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(segment: i64, pages: u64, live: u64) -> Facts {
        Facts { segment, pages, live, bytes: pages * 1000 }
    }

    #[test]
    fn what_is_mostly_deleted_is_written_again() {
        let limits = CompactionLimits::default();
        assert!(plan(&[facts(1, 100, 100), facts(2, 100, 61)], &limits).is_empty());
        assert_eq!(
            plan(&[facts(1, 100, 60), facts(2, 100, 100), facts(3, 100, 1)], &limits),
            [3, 1]
        );
        let tight = CompactionLimits { bytes: 1000, ..limits };
        assert_eq!(plan(&[facts(1, 100, 60), facts(3, 100, 50)], &tight), [3]);
    }

    #[test]
    fn many_of_like_size_become_one() {
        let limits = CompactionLimits::default();
        let mut all: Vec<_> = (0..7).map(|i| facts(i, 32, 32)).collect();
        all.push(facts(100, 100_000, 100_000));
        assert!(plan(&all, &limits).is_empty());
        all.push(facts(7, 32, 32));
        assert_eq!(plan(&all, &limits), (0..8).collect::<Vec<_>>());
        // Two that do not fit together are left as they are.
        let tight = CompactionLimits { bytes: 40_000, ..limits };
        assert!(plan(&all, &tight).is_empty());
    }

    proptest! {
        /// Whatever comes, compaction ends, keeps every live page, and leaves few segments.
        #[test]
        fn it_ends(sizes in prop::collection::vec((1_u64..200, 0_u64..200), 0..120)) {
            let limits = CompactionLimits::default();
            let mut all: Vec<_> = sizes
                .iter()
                .zip(0..)
                .map(|((pages, live), i)| facts(i, *pages, (*live).min(*pages)))
                .collect();
            let live: u64 = all.iter().map(|facts| facts.live).sum();
            let mut rounds = 0;
            loop {
                let chosen = plan(&all, &limits);
                if chosen.is_empty() {
                    break;
                }
                rounds += 1;
                prop_assert!(rounds <= 200, "{all:?}");
                let is_chosen = |facts: &&Facts| chosen.contains(&facts.segment);
                let kept: u64 = all.iter().filter(is_chosen).map(|facts| facts.live).sum();
                all.retain(|facts| !chosen.contains(&facts.segment));
                if kept > 0 {
                    all.push(facts(1000 + rounds, kept, kept));
                }
            }
            prop_assert_eq!(all.iter().map(|facts| facts.live).sum::<u64>(), live);
            prop_assert!(all.len() <= 8 * 8);
        }
    }
}
