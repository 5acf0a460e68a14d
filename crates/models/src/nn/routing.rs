//! Which experts a token asks, and how much each answer counts: a function of the router's scores.
//!
//! The scores are read back to the host, where the choice is made: whoever multiplies with chosen
//! matrices has to know them. On a device that puts work off, each layer with experts waits for it.

/// How scores become a choice and its weights.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scoring {
    /// The softmax of all scores, of which the largest are chosen; divided by their sum if so.
    SoftmaxThenTop {
        /// Whether the chosen weights add up to one.
        normalized: bool,
    },
    /// The largest scores, and the softmax of those.
    TopThenSoftmax,
}

/// Experts in groups of equal size, of which only some may be asked: those with the largest scores.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Groups {
    /// Groups in all.
    pub count: usize,
    /// Groups that stay.
    pub kept: usize,
}

/// How a router chooses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Routing {
    /// Experts in all.
    pub experts: usize,
    /// Experts that a token asks.
    pub chosen: usize,
    /// How scores become weights.
    pub scoring: Scoring,
    /// Which experts may be asked, if not all.
    pub groups: Option<Groups>,
    /// A factor of the weights.
    pub scale: f32,
}

/// What was chosen for some tokens: `chosen` experts for each, one token after the other.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Choice {
    pub(crate) experts: Vec<u32>,
    pub(crate) weights: Vec<f32>,
}

impl Routing {
    /// Chooses for each row of `scores: [tokens, experts]`. Of equal scores the first expert wins.
    pub(crate) fn choose(&self, scores: &[f32]) -> Choice {
        let mut choice = Choice::default();
        for row in scores.chunks_exact(self.experts.max(1)) {
            let before = matches!(self.scoring, Scoring::SoftmaxThenTop { .. });
            let mut scores = if before { softmax(row) } else { row.to_vec() };
            if let Some(groups) = self.groups {
                // As if nobody had asked the others: a weight of zero, or no score at all.
                leave(groups, &mut scores, if before { 0.0 } else { f32::NEG_INFINITY });
            }
            let order = largest(&scores, self.chosen);
            let mut weights: Vec<f32> = order.iter().map(|&expert| scores[expert]).collect();
            match self.scoring {
                Scoring::SoftmaxThenTop { normalized: true } => {
                    let sum: f32 = weights.iter().sum();
                    weights.iter_mut().for_each(|weight| *weight /= sum);
                }
                Scoring::SoftmaxThenTop { normalized: false } => {}
                Scoring::TopThenSoftmax => weights = softmax(&weights),
            }
            choice.experts.extend(order.iter().map(|&expert| expert as u32));
            choice.weights.extend(weights.iter().map(|weight| weight * self.scale));
        }
        choice
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Routing = Routing {
        experts: 4,
        chosen: 2,
        scoring: Scoring::SoftmaxThenTop { normalized: false },
        groups: None,
        scale: 1.0,
    };

    /// Scores whose softmax is 0.1, 0.4, 0.3, 0.2.
    fn scores() -> Vec<f32> {
        [0.1_f32, 0.4, 0.3, 0.2].iter().map(|p| p.ln() + 2.0).collect()
    }

    #[track_caller]
    fn chooses(routing: Routing, scores: &[f32], experts: &[u32], weights: &[f32]) {
        let choice = routing.choose(scores);
        assert_eq!(choice.experts, experts);
        for (ours, truth) in choice.weights.iter().zip(weights) {
            assert!((ours - truth).abs() < 1e-6, "{:?}", choice.weights);
        }
    }

    #[test]
    fn the_likeliest_are_asked() {
        chooses(PLAIN, &scores(), &[1, 2], &[0.4, 0.3]);
        let normalized = Scoring::SoftmaxThenTop { normalized: true };
        chooses(
            Routing { scoring: normalized, ..PLAIN },
            &scores(),
            &[1, 2],
            &[4.0 / 7.0, 3.0 / 7.0],
        );
        let after = Scoring::TopThenSoftmax;
        chooses(Routing { scoring: after, ..PLAIN }, &scores(), &[1, 2], &[4.0 / 7.0, 3.0 / 7.0]);
        chooses(Routing { scale: 2.0, ..PLAIN }, &scores(), &[1, 2], &[0.8, 0.6]);
    }

    #[test]
    fn only_groups_with_the_largest_score_are_asked() {
        let groups = Some(Groups { count: 2, kept: 1 });
        chooses(Routing { groups, ..PLAIN }, &scores(), &[1, 0], &[0.4, 0.1]);
        let both = Some(Groups { count: 2, kept: 2 });
        chooses(Routing { groups: both, ..PLAIN }, &scores(), &[1, 2], &[0.4, 0.3]);
    }

    #[test]
    fn of_equals_the_first_is_asked_and_rows_are_apart() {
        let two = [[1.0; 4], [0.0, 0.0, 0.0, 9.0]].concat();
        let choice = PLAIN.choose(&two);
        assert_eq!(choice.experts, [0, 1, 3, 0]);
        assert_eq!(PLAIN.choose(&[]), Choice::default());
    }
}
