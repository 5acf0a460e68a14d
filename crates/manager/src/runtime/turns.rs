//! Whose turn it is on a device that several models share: a pure decision.

use std::collections::BTreeMap;

use super::device::ModelId;

/// How much more of the device a model has that continues a text which somebody watches, than one that does not: with one of
/// each, the stream keeps four fifths of its rate.
const WATCHED: f64 = 4.0;

/// How long a step of one model may be while somebody watches another, in seconds, where it can be cut.
pub(super) const PAUSE: f64 = 0.05;

/// A model with work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Busy {
    pub(super) model: ModelId,
    /// Whether it continues a text that somebody watches.
    pub(super) watched: bool,
}

/// What each busy model had of the device. Who had least, by its weight, goes next: a model with long steps has fewer of
/// them.
#[derive(Debug, Default)]
pub(super) struct Turns {
    had: BTreeMap<ModelId, f64>,
}

impl Turns {
    /// Which of `busy` goes next. Who was idle meanwhile has no claim on that time.
    pub(super) fn next(&mut self, busy: &[Busy]) -> Option<Busy> {
        self.had.retain(|model, _| busy.iter().any(|busy| busy.model == *model));
        let least = self.had.values().copied().min_by(f64::total_cmp).unwrap_or(0.0);
        for busy in busy {
            self.had.entry(busy.model).or_insert(least);
        }
        let had = |busy: &Busy| self.had.get(&busy.model).copied().unwrap_or(least);
        // Of several that had the same, the stream first, then in order.
        let first = |a: &&Busy, b: &&Busy| {
            had(a).total_cmp(&had(b)).then(b.watched.cmp(&a.watched)).then(a.model.cmp(&b.model))
        };
        busy.iter().min_by(first).copied()
    }

    /// Notes that a turn took so many seconds.
    pub(super) fn took(&mut self, turn: Busy, seconds: f64) {
        let weight = if turn.watched { WATCHED } else { 1.0 };
        if let Some(had) = self.had.get_mut(&turn.model) {
            *had += seconds.max(0.0) / weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Busy, ModelId, Turns};

    /// The seconds that each of the models has of so many turns, which take it so long.
    fn run(models: &[(bool, f64)], turns: usize) -> Vec<f64> {
        let busy: Vec<_> = (0..)
            .zip(models)
            .map(|(n, &(watched, _))| Busy { model: ModelId::of(n), watched })
            .collect();
        let (mut state, mut had) = (Turns::default(), vec![0.0; models.len()]);
        for _ in 0..turns {
            let turn = state.next(&busy).unwrap();
            let at = busy.iter().position(|busy| busy.model == turn.model).unwrap();
            state.took(turn, models[at].1);
            had[at] += models[at].1;
        }
        had
    }

    #[test]
    fn a_model_with_long_steps_has_fewer_of_them() {
        let had = run(&[(false, 2.0), (false, 0.01)], 10_000);
        assert!((had[0] - had[1]).abs() <= 2.0, "{had:?}");
    }

    #[test]
    fn a_stream_keeps_four_fifths_beside_work_that_nobody_watches() {
        let had = run(&[(false, 0.05), (true, 0.01)], 10_000);
        let share = had[1] / (had[0] + had[1]);
        assert!((0.79..0.81).contains(&share), "{had:?}");
        let had = run(&[(true, 0.03), (true, 0.01), (false, 0.5)], 10_000);
        assert!((had[0] - had[1]).abs() < 1.0 && had[0] > 3.9 * had[2] - 2.0, "{had:?}");
    }

    #[test]
    fn who_was_idle_has_no_claim_on_that_time() {
        let [a, b] = [0, 1].map(|n| Busy { model: ModelId::of(n), watched: false });
        let mut turns = Turns::default();
        for _ in 0..100 {
            assert_eq!(turns.next(&[a]), Some(a));
            turns.took(a, 1.0);
        }
        let mut of_b = 0;
        for _ in 0..100 {
            let turn = turns.next(&[a, b]).unwrap();
            of_b += usize::from(turn == b);
            turns.took(turn, 1.0);
        }
        assert_eq!(of_b, 50);
        assert_eq!(turns.next(&[]), None);
    }
}
