//! Every way to score, with groups and without.

use super::{Groups, Routing, Scoring, reference, route};
use crate::Precision;
use crate::ops::conformance::{devices, numbers};

const PLAIN: Routing = Routing {
    experts: 4,
    chosen: 2,
    scoring: Scoring::SoftmaxThenTop { normalized: false },
    groups: None,
    scale: 1.0,
};

fn ways(experts: usize, chosen: usize) -> Vec<Routing> {
    let scorings = [
        Scoring::SoftmaxThenTop { normalized: false },
        Scoring::SoftmaxThenTop { normalized: true },
        Scoring::TopThenSoftmax,
    ];
    let mut all = Vec::new();
    for scoring in scorings {
        let plain = Routing { experts, chosen, scoring, groups: None, scale: 1.0 };
        all.extend([plain, Routing { scale: 2.5, ..plain }]);
        if experts.is_multiple_of(4) && chosen <= experts / 2 {
            all.push(Routing { groups: Some(Groups { count: 4, kept: 2 }), ..plain });
        }
    }
    all
}

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact).iter().rev().step_by(2) {
        for (tokens, experts, chosen) in [(1, 1, 1), (1, 8, 2), (5, 4, 2), (33, 60, 6), (2, 7, 7)] {
            let scores: Vec<_> = numbers(1, tokens * experts).iter().map(|x| 5.0 * x).collect();
            let tensor = device.tensor(&[tokens, experts], scores.clone());
            for routing in ways(experts, chosen) {
                let routed = route(&tensor, &routing);
                let ours = routed.experts.to_u32().into_iter().zip(routed.weights.to_vec());
                let truth = scores.chunks(experts).flat_map(|row| reference::route(row, &routing));
                let mut pairs = 0;
                for ((expert, weight), (true_expert, true_weight)) in ours.zip(truth) {
                    assert_eq!(expert, true_expert, "{routing:?} on {device:?}");
                    let error = (f64::from(weight) - true_weight).abs();
                    assert!(error < 1e-6, "{weight}, not {true_weight}: {routing:?}");
                    pairs += 1;
                }
                assert_eq!(pairs, tokens * chosen);
            }
        }
        assert_eq!(route(&device.tensor(&[0, 4], vec![]), &PLAIN).experts.elements(), 0);
    }
}

#[test]
fn of_equals_the_first_is_asked_and_rows_are_apart() {
    for device in devices(Precision::Exact) {
        let two = device.tensor(&[2, 4], [[1.0; 4], [0.0, 0.0, 0.0, 9.0]].concat());
        assert_eq!(route(&two, &PLAIN).experts.to_u32(), [0, 1, 3, 0], "{device:?}");
    }
}

#[test]
fn only_groups_with_the_largest_score_are_asked() {
    for device in devices(Precision::Exact) {
        let scores = [0.1_f32, 0.4, 0.3, 0.2].iter().map(|p| p.ln() + 2.0).collect();
        let scores = device.tensor(&[1, 4], scores);
        let groups = |kept| Routing { groups: Some(Groups { count: 2, kept }), ..PLAIN };
        assert_eq!(route(&scores, &groups(1)).experts.to_u32(), [1, 0]);
        assert_eq!(route(&scores, &groups(2)).experts.to_u32(), [1, 2]);
    }
}

#[test]
#[should_panic(expected = "route: 5 of 4 experts")]
fn more_than_all_is_a_bug() {
    let device = &devices(Precision::Exact)[0];
    route(&device.tensor(&[1, 4], vec![0.0; 4]), &Routing { chosen: 5, ..PLAIN });
}
