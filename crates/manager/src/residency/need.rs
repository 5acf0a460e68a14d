//! How many bytes a model needs, and how many it may take.

use crate::ledger::Class;
use crate::plan::Demand;
use crate::runtime::with_images;

/// The bytes that a model needs in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Weights.
    pub weights: u64,
    /// The least cache that makes sense: one sequence of the shortest useful context.
    pub cache_least: u64,
    /// The most cache that it can use, or that it should have beside others.
    pub cache_most: u64,
    /// What a step computes with.
    pub activations: u64,
    /// Features of images, beside the cache.
    pub vision: u64,
    /// What a load takes on top, and gives back when it ends.
    pub loading: u64,
}

/// A context that a conversation can be had in: the least that a model is loaded for, unless it knows fewer positions.
const USEFUL: u64 = 4096;

impl Need {
    /// What a model with this `demand` needs where `sequences` may run at once, its cache never takes more than `share`
    /// of the `limit`, and one sequence of `context` tokens must fit; if that is not said, 4096 tokens must.
    ///
    /// With `sees`, an eighth of the cache, and at most 256 MiB of it, is for images: that is how a load divides
    /// it, and what a grant's [`vision`](Grant::vision) says.
    pub fn of(
        demand: &Demand,
        context: Option<u64>,
        sequences: u64,
        share: f64,
        limit: u64,
    ) -> Self {
        let shortest = context.unwrap_or(USEFUL).min(demand.context);
        let longest = context.unwrap_or(demand.context).min(demand.context);
        let least = demand.cache(shortest);
        let useful = demand.cache(longest).saturating_mul(sequences.max(1));
        let cap = (limit as f64 * share.clamp(0.0, 1.0)) as u64;
        Self {
            weights: demand.weights,
            cache_least: least,
            cache_most: useful.min(cap).max(least),
            activations: demand.working,
            vision: 0,
            loading: 0,
        }
    }

    /// The same for a network that sees: the least cache leaves room for a sequence beside the eighth that is for images.
    #[must_use]
    pub fn seeing(self) -> Self {
        let cache_least = with_images(self.cache_least);
        Self { cache_least, cache_most: self.cache_most.max(cache_least), ..self }
    }

    /// The least bytes that it can be loaded with.
    pub fn least(&self) -> u64 {
        [self.weights, self.cache_least, self.activations, self.vision, self.loading]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// What it is granted where `free` bytes are; `None` if these are too few.
    pub fn grant(&self, free: u64) -> Option<Grant> {
        let spare = free.checked_sub(self.least())?;
        let more = self.cache_most.saturating_sub(self.cache_least);
        Some(Grant {
            weights: self.weights,
            cache: self.cache_least.saturating_add(more.min(spare)),
            activations: self.activations,
            vision: self.vision,
            loading: self.loading,
        })
    }
}

/// The bytes that a model may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Weights.
    pub weights: u64,
    /// The cache: [`LoadOptions::cache_bytes`](crate::runtime::LoadOptions::cache_bytes).
    pub cache: u64,
    /// What a step computes with.
    pub activations: u64,
    /// Features of images, beside the cache.
    pub vision: u64,
    /// What the load may take on top until it ends.
    pub loading: u64,
}

impl Grant {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.parts().iter().fold(0, |sum, part| sum.saturating_add(part.1))
    }

    pub(super) fn parts(&self) -> [(Class, u64); 5] {
        [
            (Class::Weights, self.weights),
            (Class::Kv, self.cache),
            (Class::Activations, self.activations),
            (Class::Vision, self.vision),
            (Class::Loading, self.loading),
        ]
    }
}

/// How many items of `each` bytes are computed at once where `free` bytes are: at least one, at most `most`.
pub fn batch_within(free: u64, each: u64, most: usize) -> usize {
    let fit = free.checked_div(each).unwrap_or(u64::MAX);
    usize::try_from(fit).unwrap_or(usize::MAX).min(most).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMAND: Demand = Demand {
        weights: 1000,
        parameters: 2000,
        cache_per_token: 2,
        window: None,
        working: 100,
        read_per_token: 800,
        context: 32_768,
    };

    #[test]
    fn the_cache_is_between_one_useful_sequence_and_a_share() {
        let need = Need::of(&DEMAND, None, 64, 0.25, 1_000_000);
        assert_eq!((need.cache_least, need.cache_most), (8192, 250_000));
        assert_eq!(need.least(), 1000 + 8192 + 100);
        let one = Need::of(&DEMAND, None, 1, 0.25, 1_000_000);
        assert_eq!(one.cache_most, 65_536);
        let long = Need::of(&DEMAND, Some(30_000), 64, 0.01, 1_000_000);
        assert_eq!((long.cache_least, long.cache_most), (60_000, 60_000));
        let short = Need::of(&Demand { context: 512, ..DEMAND }, None, 2, 0.5, 1_000_000);
        assert_eq!((short.cache_least, short.cache_most), (1024, 2048));
        let encoder = Need::of(&Demand { cache_per_token: 0, ..DEMAND }, None, 64, 0.25, 1_000_000);
        assert_eq!((encoder.cache_least, encoder.cache_most), (0, 0));
    }

    #[test]
    fn a_grant_takes_what_is_free_and_no_more() {
        let need = Need::of(&DEMAND, None, 64, 0.25, 1_000_000);
        assert_eq!(need.grant(need.least() - 1), None);
        assert_eq!(need.grant(need.least()).unwrap().cache, 8192);
        let grant = need.grant(need.least() + 1000).unwrap();
        assert_eq!((grant.cache, grant.total()), (9192, need.least() + 1000));
        assert_eq!(need.grant(u64::MAX).unwrap().cache, 250_000);
    }

    #[test]
    fn images_leave_room_for_the_sequence() {
        let need = Need::of(&DEMAND, None, 64, 0.25, 1_000_000);
        let seeing = need.seeing();
        let images = (seeing.cache_least / 8).min(256 << 20);
        assert!(seeing.cache_least - images >= need.cache_least, "{seeing:?}");
        let large = Need { cache_least: 8 << 30, cache_most: 8 << 30, ..need }.seeing();
        assert_eq!(large.cache_least, (8 << 30) + (256 << 20));
        assert_eq!(large.cache_most, large.cache_least);
    }

    #[test]
    fn batches_follow_free_memory() {
        assert_eq!(batch_within(1000, 100, 64), 10);
        assert_eq!(batch_within(10, 100, 64), 1);
        assert_eq!(batch_within(1 << 40, 100, 64), 64);
        assert_eq!(batch_within(5, 0, 64), 64);
    }
}
