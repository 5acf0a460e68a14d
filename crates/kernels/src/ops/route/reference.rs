//! The definition, in `f64`: whoever has fewer than `chosen` before it is chosen.
#![cfg(test)]

use super::{Routing, Scoring};

/// Experts and weights of one row.
pub(super) fn route(row: &[f32], routing: &Routing) -> Vec<(u32, f64)> {
    let total: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
    let softmax = matches!(routing.scoring, Scoring::SoftmaxThenTop { .. });
    let value = |&x: &f32| if softmax { f64::from(x).exp() / total } else { f64::from(x) };
    let mut scores: Vec<f64> = row.iter().map(value).collect();
    if let Some(groups) = routing.groups {
        let size = row.len() / groups.count;
        let best = |group: usize| {
            scores[group * size..][..size].iter().copied().fold(f64::NEG_INFINITY, f64::max)
        };
        let before = |group: usize| {
            let better = |other: usize| {
                best(other) > best(group) || best(other) == best(group) && other < group
            };
            (0..groups.count).filter(|&other| better(other)).count()
        };
        let out: Vec<bool> = (0..row.len()).map(|i| before(i / size) >= groups.kept).collect();
        for (score, _) in scores.iter_mut().zip(out).filter(|(_, out)| *out) {
            *score = if softmax { 0.0 } else { f64::NEG_INFINITY };
        }
    }
    let before = |i: usize| {
        let better = |&j: &usize| scores[j] > scores[i] || scores[j] == scores[i] && j < i;
        (0..row.len()).filter(better).count()
    };
    let mut chosen: Vec<_> = (0..row.len()).map(|i| (before(i), i)).collect();
    chosen.sort_unstable();
    chosen.truncate(routing.chosen);
    let weights: Vec<f64> = match routing.scoring {
        Scoring::TopThenSoftmax => chosen.iter().map(|&(_, i)| scores[i].exp()).collect(),
        Scoring::SoftmaxThenTop { .. } => chosen.iter().map(|&(_, i)| scores[i]).collect(),
    };
    let whole = match routing.scoring {
        Scoring::SoftmaxThenTop { normalized: false } => 1.0,
        Scoring::SoftmaxThenTop { normalized: true } | Scoring::TopThenSoftmax => {
            weights.iter().sum()
        }
    };
    let scale = f64::from(routing.scale);
    chosen.iter().zip(weights).map(|(&(_, i), w)| (i as u32, w / whole * scale)).collect()
}
