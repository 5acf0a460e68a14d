//! Each parameter does what it says, and nothing is hidden.

use super::{Logprobs, NotANumber, Past, Sampler, Sampling};

fn all(tokens: &[u32]) -> Past<'_> {
    Past { tokens, prompt: 0 }
}

fn draws(logits: &[f32], sampling: &Sampling, n: usize) -> Vec<usize> {
    let mut counts = vec![0; logits.len()];
    let mut sampler = Sampler::default();
    for step in 0..n {
        // The length of the sequence is the number of the draw.
        let tokens = vec![u32::MAX; step];
        let token = sampler.sample(&mut logits.to_vec(), all(&tokens), sampling).unwrap();
        counts[token as usize] += 1;
    }
    counts
}

fn warm() -> Sampling {
    Sampling { temperature: 1.0, seed: 7, ..Sampling::default() }
}

#[test]
fn zero_temperature_takes_the_first_of_the_largest() {
    let counts = draws(&[0.0, 3.0, 3.0, -1.0], &Sampling::default(), 5);
    assert_eq!(counts, [0, 5, 0, 0]);
}

#[test]
fn frequencies_follow_the_softmax() {
    let logits = [0.0, 1.0_f32.exp().ln(), 2.0, f32::NEG_INFINITY];
    let counts = draws(&logits, &warm(), 2000);
    let total: f32 = logits.iter().map(|x| x.exp()).sum();
    for (count, logit) in counts.iter().zip(logits) {
        let expected = 2000.0 * logit.exp() / total;
        assert!((*count as f32 - expected).abs() < 90.0, "{counts:?}");
    }
    assert_eq!(counts[3], 0);
}

#[test]
fn temperature_flattens() {
    let hot = draws(&[0.0, 2.0], &Sampling { temperature: 10.0, ..warm() }, 2000);
    let cold = draws(&[0.0, 2.0], &Sampling { temperature: 0.2, ..warm() }, 2000);
    assert!(hot[0] > 800 && cold[0] < 10, "{hot:?} {cold:?}");
}

#[test]
fn top_k_keeps_the_likeliest() {
    let logits = [1.0, 1.1, 1.2, 1.3];
    let counts = draws(&logits, &Sampling { top_k: 2, ..warm() }, 500);
    assert_eq!(counts[..2], [0, 0]);
    assert!(counts[2] > 0 && counts[3] > 0);
    assert_eq!(draws(&logits, &Sampling { top_k: 1, ..warm() }, 50), [0, 0, 0, 50]);
}

#[test]
fn top_p_keeps_the_smallest_set_that_is_enough() {
    // Probabilities 0.1, 0.2, 0.3, 0.4.
    let logits = [1.0_f32.ln(), 2.0_f32.ln(), 3.0_f32.ln(), 4.0_f32.ln()];
    let kept = |top_p| {
        let counts = draws(&logits, &Sampling { top_p, ..warm() }, 500);
        counts.iter().filter(|&&n| n > 0).count()
    };
    assert_eq!([kept(0.0), kept(0.35), kept(0.65), kept(0.85), kept(1.0)], [1, 1, 2, 3, 4]);
}

#[test]
fn top_p_of_a_flat_distribution_looks_beyond_the_head() {
    let logits = vec![0.0; 5000];
    let counts = draws(&logits, &Sampling { top_p: 0.5, ..warm() }, 300);
    let kept = counts.iter().take(2500).sum::<usize>();
    assert_eq!(kept, 300, "ties are kept in the order of tokens");
    assert!(counts[256..2500].iter().any(|&n| n > 0));
}

#[test]
fn min_p_cuts_relative_to_the_likeliest() {
    let logits = [0.0, 0.4_f32.ln(), 0.6_f32.ln()];
    let counts = draws(&logits, &Sampling { min_p: 0.5, ..warm() }, 500);
    assert!(counts[0] > 0 && counts[1] == 0 && counts[2] > 0, "{counts:?}");
}

#[test]
fn repetition_penalty_pushes_both_signs_down() {
    let mut sampler = Sampler::default();
    let sampling = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
    let mut logits = [3.0, 2.0, -1.0];
    assert_eq!(sampler.sample(&mut logits, all(&[0, 2, 0, 2]), &sampling), Ok(1));
    assert_eq!(logits, [1.5, 2.0, -2.0]);
    let recent = Sampling { repetition_context: Some(1), ..sampling };
    assert_eq!(sampler.sample(&mut [3.0, 2.0, -1.0], all(&[0, 2]), &recent), Ok(0));
}

#[test]
fn a_nan_is_an_error_that_names_the_token() {
    let mut sampler = Sampler::default();
    let typical = Sampling { typical_p: 0.5, ..warm() };
    for sampling in [Sampling::default(), warm(), typical] {
        let result = sampler.sample(&mut [0.0, f32::NAN], all(&[]), &sampling);
        assert_eq!(result, Err(NotANumber { token: 1 }));
    }
}

#[test]
fn infinite_logits_are_decided() {
    assert_eq!(draws(&[0.0, f32::INFINITY, 1.0], &warm(), 20), [0, 20, 0]);
    assert_eq!(draws(&[f32::NEG_INFINITY; 3], &Sampling::default(), 2), [2, 0, 0]);
}

#[test]
fn the_seed_decides() {
    let logits = vec![0.0; 100];
    let draw = |seed| {
        let mut sampler = Sampler::default();
        let sampling = Sampling { seed, ..warm() };
        let step = |n| sampler.sample(&mut logits.clone(), all(&vec![0; n]), &sampling).unwrap();
        (0..20).map(step).collect::<Vec<_>>()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    /// From -4 to 4.
    fn number(&mut self) -> f32 {
        self.below(8000) as f32 / 1000.0 - 4.0
    }
}

/// What the fields are documented to do, token by token.
fn penalized(logit: f32, token: u32, past: Past<'_>, sampling: &Sampling) -> f32 {
    let reach = sampling.repetition_context.unwrap_or(usize::MAX);
    let recent = |from: usize| {
        let first = from.max(past.tokens.len().saturating_sub(reach));
        (first..past.tokens.len()).filter(|&at| past.tokens[at] == token).count()
    };
    let biases = sampling.logit_bias.iter().filter(|(of, _)| *of == token);
    let mut logit = biases.fold(logit, |logit, (_, bias)| logit + bias);
    if recent(0) > 0 && logit > 0.0 {
        logit /= sampling.repetition_penalty;
    } else if recent(0) > 0 {
        logit *= sampling.repetition_penalty;
    }
    for _ in 0..recent(past.prompt) {
        logit -= sampling.frequency_penalty;
    }
    if recent(past.prompt) > 0 {
        logit -= sampling.presence_penalty;
    }
    logit
}

#[test]
fn penalties_and_bias_are_as_each_token_alone_says() {
    for seed in 1..400 {
        let mut random = Random(u64::wrapping_mul(seed, 0x1234_5678_9abc_def1) | 1);
        let logits: Vec<f32> = (0..12).map(|_| random.number()).collect();
        let tokens: Vec<u32> = (0..random.below(30)).map(|_| random.below(14) as u32).collect();
        let past = Past { tokens: &tokens, prompt: random.below(tokens.len() + 1) };
        let sampling = Sampling {
            repetition_penalty: [1.0, 1.3, 0.8][random.below(3)],
            presence_penalty: [0.0, random.number()][random.below(2)],
            frequency_penalty: [0.0, random.number()][random.below(2)],
            repetition_context: [None, Some(random.below(12))][random.below(2)],
            logit_bias: (0..random.below(3))
                .map(|_| (random.below(14) as u32, random.number()))
                .collect(),
            ..Sampling::default()
        };
        let expected = logits.iter().enumerate();
        let expected = expected.map(|(at, &logit)| penalized(logit, at as u32, past, &sampling));
        let expected: Vec<_> = expected.collect();
        let mut changed = logits.clone();
        let chosen = Sampler::default().sample(&mut changed, past, &sampling).unwrap();
        for (a, b) in changed.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-4, "seed {seed}: {changed:?} {expected:?}");
        }
        assert!(changed.iter().all(|&logit| logit <= changed[chosen as usize]), "seed {seed}");
    }
}

/// What a device may choose is what these leave alone.
#[test]
fn what_looks_at_more_than_the_logits_is_not_left_to_the_device() {
    let warm = Sampling { top_k: 3, top_p: 0.5, min_p: 0.1, repetition_context: Some(1), ..warm() };
    assert!(warm.is_blind());
    for seeing in [
        Sampling { repetition_penalty: 1.1, ..warm.clone() },
        Sampling { presence_penalty: -0.1, ..warm.clone() },
        Sampling { frequency_penalty: 0.1, ..warm.clone() },
        Sampling { logit_bias: vec![(0, 1.0)], ..warm.clone() },
        Sampling { typical_p: 0.9, ..warm.clone() },
        Sampling { logprobs: Some(0), ..warm.clone() },
    ] {
        assert!(!seeing.is_blind(), "{seeing:?}");
    }
}

/// By its definition, in the plainest way.
fn typical(logits: &[f32], temperature: f32, mass: f32) -> Vec<usize> {
    let weights: Vec<f64> = logits.iter().map(|&l| f64::from(l / temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    let shares: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
    let entropy: f64 = shares.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
    let mut order: Vec<usize> = (0..logits.len()).filter(|&at| shares[at] > 0.0).collect();
    order.sort_by(|&a, &b| {
        let far = |at: usize| (-shares[at].ln() - entropy).abs();
        far(a).total_cmp(&far(b))
    });
    let (mut sum, mut kept) = (0.0, Vec::new());
    for at in order {
        if sum < f64::from(mass) {
            sum += shares[at];
            kept.push(at);
        }
    }
    kept.sort_unstable();
    kept
}

#[test]
fn typical_keeps_what_is_as_surprising_as_is_to_be_expected() {
    let mut cut_the_likeliest = 0;
    for seed in 1..400 {
        let mut random = Random(u64::wrapping_mul(seed, 0x1234_5678_9abc_def1) | 1);
        let mut logits: Vec<f32> = (0..20).map(|_| random.number()).collect();
        // As a constraint leaves them.
        logits[random.below(20)] = f32::NEG_INFINITY;
        let (temperature, mass) =
            (0.5 + random.below(10) as f32 / 5.0, random.below(100) as f32 / 100.0);
        let expected = typical(&logits, temperature, mass);
        let sampling = Sampling { typical_p: mass, temperature, seed, ..Sampling::default() };
        let mut changed = logits.clone();
        let past = all(&[]);
        let chosen = Sampler::default().sample(&mut changed, past, &sampling).unwrap() as usize;
        let kept: Vec<usize> = (0..20).filter(|&at| changed[at] > f32::NEG_INFINITY).collect();
        if mass > 0.0 {
            assert_eq!(kept, expected, "seed {seed}");
            assert!(kept.contains(&chosen), "seed {seed}");
        }
        let likeliest = (0..20).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        cut_the_likeliest += usize::from(!kept.contains(&likeliest));
    }
    assert!(cut_the_likeliest > 20, "{cut_the_likeliest}");
}

#[test]
fn logprobs_are_the_networks_own() {
    for seed in 1..300 {
        let mut random = Random(u64::wrapping_mul(seed, 0x1234_5678_9abc_def1) | 1);
        let mut logits: Vec<f32> = (0..30).map(|_| random.number() * 9.0).collect();
        logits[random.below(30)] = f32::NEG_INFINITY;
        logits[4] = logits[9];
        let total: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
        let truth: Vec<f64> = logits.iter().map(|&logit| f64::from(logit) - total.ln()).collect();
        let (chosen, n) = (random.below(30), random.below(40));
        let Logprobs { chosen: of_chosen, likeliest } = Logprobs::of(&logits, chosen as u32, n);
        let near = |a: f32, b: f64| f64::from(a) == b || (f64::from(a) - b).abs() < 1e-4;
        assert!(near(of_chosen, truth[chosen]), "seed {seed}");
        assert_eq!(likeliest.len(), n.min(30));
        let mut order: Vec<u32> = (0..30).collect();
        order.sort_by(|&a, &b| truth[b as usize].total_cmp(&truth[a as usize]));
        for ((token, logprob), expected) in likeliest.iter().zip(order) {
            assert_eq!(*token, expected, "seed {seed}");
            assert!(near(*logprob, truth[*token as usize]), "seed {seed}");
        }
    }
    let certain = Logprobs::of(&[0.0, f32::INFINITY], 1, 2);
    assert_eq!(certain.likeliest, [(1, 0.0), (0, f32::NEG_INFINITY)]);
}
