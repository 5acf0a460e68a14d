//! Chance as a function: the draw of a step depends on the seed and the step alone, so a request
//! gives the same answer in any batch, and again after it was put aside and resumed.

/// A number in `[0, 1)` for draw `step` of `seed`.
///
/// Source of the mixing function: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
/// Generators" (2014).
pub(super) fn uniform(seed: u64, step: u64) -> f64 {
    let state = mix(seed).wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (mix(state) >> 11) as f64 / (1_u64 << 53) as f64
}

fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::uniform;

    #[test]
    fn draws_are_spread_evenly() {
        for seed in [0, 1, u64::MAX] {
            let mut counts = [0; 10];
            for step in 0..10_000 {
                counts[(uniform(seed, step) * 10.0) as usize] += 1;
            }
            assert!(counts.iter().all(|&n| (800..1200).contains(&n)), "{counts:?}");
        }
    }

    #[test]
    fn neighbouring_seeds_differ() {
        let draws = |seed| (0..64).map(|step| uniform(seed, step)).collect::<Vec<_>>();
        assert_ne!(draws(1), draws(2));
        assert_ne!(draws(1)[1..], draws(2)[..63]);
    }
}
