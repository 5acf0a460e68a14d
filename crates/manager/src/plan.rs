//! Whether a model fits into a machine's memory, and how fast it could be at best: a pure function of figures.

use crate::describe::{NetworkFacts, WeightFacts};
use kernels::KvFormat;

/// What a model asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// Bytes of weights.
    pub weights: u64,
    /// The numbers that the network is made of.
    pub parameters: u64,
    /// Bytes of cache for each token.
    pub cache_per_token: u64,
    /// The most positions that the cache keeps of a sequence, if not all.
    pub window: Option<u64>,
    /// Bytes of activations, when a step is full and a page is looked at.
    pub working: u64,
    /// Bytes of weights that are read for each token.
    pub read_per_token: u64,
    /// The most positions there can be.
    pub context: u64,
}

impl Demand {
    /// What the model asks for when a step holds `step_tokens` tokens and past ones are kept as `cache` says.
    pub fn of(
        weights: &WeightFacts,
        network: &NetworkFacts,
        step_tokens: u64,
        cache: KvFormat,
    ) -> Self {
        let logits = (network.vocabulary * size_of::<f32>()) as u64;
        Self {
            weights: weights.bytes,
            parameters: weights.parameters,
            cache_per_token: network.cache_bytes_per_token(cache),
            // A step writes its tokens before it leaves those behind that no later one looks at.
            window: network.window().map(|window| (window as u64).saturating_add(step_tokens)),
            working: (network.bytes_per_token.saturating_mul(step_tokens))
                .saturating_add(logits)
                .saturating_add(network.bytes_per_look),
            read_per_token: network.bytes_per_pass,
            context: network.context as u64,
        }
    }

    /// Bytes that the cache of one sequence of `tokens` tokens takes.
    pub fn cache(&self, tokens: u64) -> u64 {
        let kept = self.window.map_or(tokens, |window| tokens.min(window));
        self.cache_per_token.saturating_mul(kept)
    }

    /// The most tokens of a sequence whose cache takes no more than `bytes`.
    pub fn tokens_within(&self, bytes: u64) -> u64 {
        if self.cache(self.context) <= bytes {
            return self.context;
        }
        bytes.checked_div(self.cache_per_token).unwrap_or(self.context).min(self.context)
    }
}

/// What a machine has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// Bytes of memory that can be taken now.
    pub available: u64,
    /// Bytes that could be taken at most: all memory, or the limit on this process.
    pub most: u64,
    /// Bytes a second that are read from memory.
    pub bandwidth: f64,
}

/// Whether it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Into what is free.
    Fits,
    /// Only if other programs give memory back.
    Crowded,
    /// Not at all.
    TooLarge,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Tokens of the sequence that was planned for.
    pub context: u64,
    /// Bytes of its cache.
    pub cache: u64,
    /// Weights, cache and activations together.
    pub needed: u64,
    /// Whether that fits.
    pub verdict: Verdict,
    /// Tokens a second at the beginning of a sequence, at best: bandwidth over bytes read for a token.
    pub first_rate: f64,
    /// The same at its end, when the cache is read as well.
    pub last_rate: f64,
    /// The longest sequence that fits into what is free, if any does.
    pub longest: Option<u64>,
    /// The most bits for each weight that would fit into what is free beside this sequence, or beside one of a single
    /// token where these weights leave no room for any sequence; `None` if not even the rest fits.
    pub most_bits: Option<f64>,
}

/// Plans for one sequence of `context` tokens.
pub fn plan(demand: &Demand, context: u64, room: &Room) -> Plan {
    let cache = demand.cache(context);
    let fixed = demand.weights.saturating_add(demand.working);
    let needed = fixed.saturating_add(cache);
    let verdict = if needed <= room.available {
        Verdict::Fits
    } else if needed <= room.most {
        Verdict::Crowded
    } else {
        Verdict::TooLarge
    };
    let rate = |bytes: u64| if bytes == 0 { 0.0 } else { room.bandwidth / bytes as f64 };
    let left = room.available.checked_sub(fixed);
    let longest = left.map(|left| demand.tokens_within(left)).filter(|&tokens| tokens > 0);
    let least = if longest.is_some() { cache } else { demand.cache(1) };
    let beside = room.available.saturating_sub(least.saturating_add(demand.working));
    let bits = beside as f64 * 8.0 / demand.parameters.max(1) as f64;
    Plan {
        context,
        cache,
        needed,
        verdict,
        first_rate: rate(demand.read_per_token),
        last_rate: rate(demand.read_per_token.saturating_add(cache)),
        longest,
        most_bits: (beside > 0).then_some(bits),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: Demand = Demand {
        weights: 1000,
        parameters: 2000,
        cache_per_token: 10,
        window: None,
        working: 100,
        read_per_token: 800,
        context: 500,
    };

    fn room(available: u64, most: u64) -> Room {
        Room { available, most, bandwidth: 8000.0 }
    }

    #[test]
    fn memory_decides_what_fits() {
        let plan = |available, most| plan(&SMALL, 50, &room(available, most));
        assert_eq!(plan(1600, 1600).verdict, Verdict::Fits);
        assert_eq!(plan(1599, 1600).verdict, Verdict::Crowded);
        assert_eq!(plan(1599, 1599).verdict, Verdict::TooLarge);
        assert_eq!(plan(1600, 1600).needed, 1000 + 100 + 500);
        assert_eq!(plan(1400, 1400).longest, Some(30));
        assert_eq!(plan(1105, 1600).longest, None);
        assert_eq!(plan(900, 900).longest, None);
        assert_eq!(plan(1110, 1110).most_bits, Some(510.0 * 8.0 / 2000.0));
        assert_eq!(plan(610, 610).most_bits, Some(2.0));
        assert_eq!(plan(110, 110).most_bits, None);
    }

    #[test]
    fn bandwidth_bounds_speed() {
        let plan = plan(&SMALL, 50, &room(9999, 9999));
        assert!((plan.first_rate - 10.0).abs() < 1e-9);
        assert!((plan.last_rate - 8000.0 / 1300.0).abs() < 1e-9);
    }

    #[test]
    fn a_window_bounds_the_cache() {
        let windowed = Demand { window: Some(20), ..SMALL };
        assert_eq!(windowed.cache(500), 200);
        assert_eq!(windowed.tokens_within(200), 500);
        assert_eq!(windowed.tokens_within(199), 19);
        assert_eq!(Demand { cache_per_token: 0, ..SMALL }.tokens_within(0), 500);
    }

    proptest! {
        #[test]
        fn what_is_said_to_fit_fits(
            weights in 0..u64::MAX, per_token in 0..u64::MAX, available: u64, context in 1..u64::MAX
        ) {
            let demand = Demand { weights, cache_per_token: per_token, context, ..SMALL };
            let room = room(available, available);
            if let Some(longest) = plan(&demand, context, &room).longest {
                prop_assert_eq!(plan(&demand, longest, &room).verdict, Verdict::Fits);
            }
        }
    }
}
