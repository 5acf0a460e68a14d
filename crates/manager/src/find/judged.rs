//! How good a ranking is, given how relevant each document is: the measures of trec_eval, which mteb takes as well.

use std::collections::BTreeMap;

/// What a relevant document counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gain {
    /// Its grade, as trec_eval and mteb count.
    #[default]
    Linear,
    /// `2^grade - 1`, as some papers and model cards do.
    Exponential,
}

impl Gain {
    fn of(self, grade: u32) -> f64 {
        match self {
            Self::Linear => f64::from(grade),
            Self::Exponential => f64::from(grade).exp2() - 1.0,
        }
    }
}

/// Normalised discounted cumulative gain of the first `k`: the sum of `gain / log2(rank + 1)`, of what it would be at best. None if
/// nothing is relevant. `grades` has those documents that were judged; others count for nothing.
pub fn ndcg<D: Ord>(ranked: &[D], grades: &BTreeMap<D, u32>, k: usize, gain: Gain) -> Option<f64> {
    let discounted = |gains: &mut dyn Iterator<Item = f64>| -> f64 {
        gains.take(k).zip(1_u32..).map(|(gain, rank)| gain / f64::from(rank + 1).log2()).sum()
    };
    let mut best: Vec<f64> = grades.values().map(|&grade| gain.of(grade)).collect();
    best.sort_by(|a, b| b.total_cmp(a));
    let ideal = discounted(&mut best.into_iter());
    let of = |document: &D| grades.get(document).map_or(0.0, |&grade| gain.of(grade));
    (ideal > 0.0).then(|| discounted(&mut ranked.iter().map(of)) / ideal)
}

/// The part of the relevant documents that is among the first `k`. None if nothing is relevant.
pub fn recall<D: Ord>(ranked: &[D], grades: &BTreeMap<D, u32>, k: usize) -> Option<f64> {
    let is_relevant = |document: &&D| grades.get(*document).is_some_and(|&grade| grade > 0);
    let all = grades.values().filter(|&&grade| grade > 0).count();
    let found = ranked.iter().take(k).filter(is_relevant).count();
    (all > 0).then(|| found as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn near(found: Option<f64>, expected: f64) {
        assert!((found.unwrap() - expected).abs() < 1e-9, "{found:?} {expected}");
    }

    /// By hand: grades 2, 1, 1; ranked are grades 0, 2, 0, 1, and the third relevant one is not there.
    #[test]
    fn a_ranking_is_worth_what_a_pencil_says() {
        let grades = BTreeMap::from([("a", 2), ("b", 1), ("c", 1), ("d", 0)]);
        let ranked = ["x", "a", "d", "b"];
        let log = |x: f64| x.log2();
        let ideal = 2.0 / log(2.0) + 1.0 / log(3.0) + 1.0 / log(4.0);
        near(ndcg(&ranked, &grades, 5, Gain::Linear), (2.0 / log(3.0) + 1.0 / log(5.0)) / ideal);
        near(ndcg(&ranked, &grades, 5, Gain::Linear), 0.540_585_767_945_010_2);
        // Within two, the ideal has two as well.
        near(ndcg(&ranked, &grades, 2, Gain::Linear), (2.0 / log(3.0)) / (2.0 + 1.0 / log(3.0)));
        let ideal = 3.0 / log(2.0) + 1.0 / log(3.0) + 1.0 / log(4.0);
        near(
            ndcg(&ranked, &grades, 5, Gain::Exponential),
            (3.0 / log(3.0) + 1.0 / log(5.0)) / ideal,
        );
        near(recall(&ranked, &grades, 5), 2.0 / 3.0);
        near(recall(&ranked, &grades, 1), 0.0);
        near(ndcg(&["a", "b", "c"], &grades, 10, Gain::Linear), 1.0);
    }

    /// [rankings.py](../../../../fixtures/rankings.py) has asked trec_eval itself.
    #[test]
    fn rankings_are_worth_what_trec_eval_says() {
        let golden: Value =
            serde_json::from_str(include_str!("../../../../fixtures/index/rankings.json")).unwrap();
        let cuts: Vec<usize> = serde_json::from_value(golden["cuts"].clone()).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert!(cases.len() >= 40);
        for case in cases {
            let ranked: Vec<String> = serde_json::from_value(case["ranked"].clone()).unwrap();
            let grades: BTreeMap<String, u32> =
                serde_json::from_value(case["grades"].clone()).unwrap();
            for (at, &k) in cuts.iter().enumerate() {
                let of = |name: &str| case[name][at].as_f64().unwrap();
                near(ndcg(&ranked, &grades, k, Gain::Linear), of("ndcg"));
                near(recall(&ranked, &grades, k), of("recall"));
            }
        }
    }

    #[test]
    fn nothing_relevant_is_not_judged() {
        let grades = BTreeMap::from([("a", 0)]);
        assert_eq!(ndcg(&["a"], &grades, 5, Gain::Linear), None);
        assert_eq!(recall(&["a"], &BTreeMap::new(), 5), None);
    }
}
