//! Row by row: experts are few.

use super::{Groups, Routed, Routing, Scoring};
use crate::{Device, Tensor};

pub(super) fn route(scores: &Tensor, routing: &Routing) -> Routed {
    let device = Device::Cpu(scores.cpu().clone());
    let (experts, weights) = choose(routing, &scores.to_vec());
    let n = weights.len();
    Routed { experts: device.integers(&experts), weights: device.tensor(&[n], weights) }
}

/// Experts and weights.
fn choose(routing: &Routing, scores: &[f32]) -> (Vec<u32>, Vec<f32>) {
    let (mut experts, mut all) = (Vec::new(), Vec::new());
    for row in scores.chunks_exact(routing.experts) {
        let before = matches!(routing.scoring, Scoring::SoftmaxThenTop { .. });
        let mut scores = if before { softmax(row) } else { row.to_vec() };
        if let Some(groups) = routing.groups {
            // As if nobody had asked the others: a weight of zero, or no score at all.
            leave(groups, &mut scores, if before { 0.0 } else { f32::NEG_INFINITY });
        }
        let order = largest(&scores, routing.chosen);
        let mut weights: Vec<f32> = order.iter().map(|&expert| scores[expert]).collect();
        match routing.scoring {
            Scoring::SoftmaxThenTop { normalized: true } => {
                let sum: f32 = weights.iter().sum();
                weights.iter_mut().for_each(|weight| *weight /= sum);
            }
            Scoring::SoftmaxThenTop { normalized: false } => {}
            Scoring::TopThenSoftmax => weights = softmax(&weights),
        }
        experts.extend(order.iter().map(|&expert| expert as u32));
        all.extend(weights.iter().map(|weight| weight * routing.scale));
    }
    (experts, all)
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut weights: Vec<f32> = scores.iter().map(|score| (score - most).exp()).collect();
    let sum: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    weights
}

/// Replaces the scores of all but the groups with the largest ones.
fn leave(groups: Groups, scores: &mut [f32], nothing: f32) {
    let size = scores.len() / groups.count.max(1);
    let most = |group: &[f32]| group.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let best: Vec<f32> = scores.chunks(size.max(1)).map(most).collect();
    let kept = largest(&best, groups.kept);
    for (number, group) in scores.chunks_mut(size.max(1)).enumerate() {
        if !kept.contains(&number) {
            group.fill(nothing);
        }
    }
}

/// The places of the `n` largest, the largest first; of equal ones, the first.
fn largest(scores: &[f32], n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    order.truncate(n);
    order
}
