//! Each parameter does what it says, and nothing is hidden.

use super::{NotANumber, Sampler, Sampling};

fn draws(logits: &[f32], sampling: &Sampling, n: usize) -> Vec<usize> {
    let mut counts = vec![0; logits.len()];
    let mut sampler = Sampler::default();
    for step in 0..n {
        // The length of the sequence is the number of the draw.
        let tokens = vec![u32::MAX; step];
        let token = sampler.sample(&mut logits.to_vec(), &tokens, sampling).unwrap();
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
    assert_eq!(sampler.sample(&mut logits, &[0, 2, 0, 2], &sampling), Ok(1));
    assert_eq!(logits, [1.5, 2.0, -2.0]);
    let recent = Sampling { repetition_context: Some(1), ..sampling };
    assert_eq!(sampler.sample(&mut [3.0, 2.0, -1.0], &[0, 2], &recent), Ok(0));
}

#[test]
fn a_nan_is_an_error_that_names_the_token() {
    let mut sampler = Sampler::default();
    for sampling in [Sampling::default(), warm()] {
        let result = sampler.sample(&mut [0.0, f32::NAN], &[], &sampling);
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
        let step = |n| sampler.sample(&mut logits.clone(), &vec![0; n], &sampling).unwrap();
        (0..20).map(step).collect::<Vec<_>>()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}
