//! The same choice everywhere, but for draws that fall on a border.

use super::{Draw, categorical, reference};
use crate::ops::conformance::devices;
use crate::samples::numbers;
use crate::{Device, Precision};

/// Ways to draw, cold and warm, with each cut alone and all together.
fn ways() -> Vec<Draw> {
    let warm = Draw { temperature: 1.0, ..Draw::LIKELIEST };
    vec![
        Draw::LIKELIEST,
        warm,
        Draw { temperature: 0.3, ..warm },
        Draw { temperature: 5.0, ..warm },
        Draw { min_p: 0.2, ..warm },
        Draw { top_k: 1, ..warm },
        Draw { top_k: 7, ..warm },
        Draw { top_k: 100_000, ..warm },
        Draw { top_p: 0.0, ..warm },
        Draw { top_p: 0.7, ..warm },
        Draw { temperature: 0.7, top_k: 20, top_p: 0.8, min_p: 0.05, ..warm },
    ]
}

/// Rows of `n` logits, with as many draws. Neighbouring rows are drawn in different ways.
fn rows(n: usize, count: usize) -> (Vec<f32>, Vec<Draw>) {
    let spread = |x: f32| 4.0 * x;
    let logits = (0..count).flat_map(|row| numbers(row as u64 + 1, n)).map(spread).collect();
    let ways = ways();
    let uniform = |row: usize| (row as f64 * 0.618_033_988_749).fract();
    let draw = |row: usize| Draw { uniform: uniform(row), ..ways[row % ways.len()] };
    (logits, (0..count).map(draw).collect())
}

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        let mut borders = 0;
        for (n, count) in [(1, 11), (2, 33), (255, 88), (256, 88), (257, 88), (5003, 121)] {
            let (logits, draws) = rows(n, count);
            let tensor = device.tensor(&[count, n], logits.clone());
            let choice = categorical(&tensor, &draws);
            let tokens = choice.tokens.to_u32();
            for (row, token) in choice.read().into_iter().enumerate() {
                let (truth, margin) = reference::categorical(&logits[row * n..][..n], &draws[row]);
                if token == truth {
                    assert_eq!(Ok(tokens[row]), truth);
                } else {
                    borders += 1;
                    let what = &draws[row];
                    assert!(margin < 2e-6, "{token:?}, not {truth:?}: {what:?} on {device:?}");
                }
            }
        }
        assert!(borders <= 2, "{borders} draws fell on a border on {device:?}");
        // Rows alone are as rows together.
        let (logits, draws) = rows(300, 22);
        let together = categorical(&device.tensor(&[22, 300], logits.clone()), &draws).read();
        for (row, expected) in together.into_iter().enumerate() {
            let alone = device.tensor(&[1, 300], logits[row * 300..][..300].to_vec());
            assert_eq!(categorical(&alone, &draws[row..=row]).read(), [expected]);
        }
    }
}

#[test]
fn equal_logits_are_ordered_by_token() {
    for device in devices(Precision::Exact) {
        let n = 1000;
        let flat = device.tensor(&[3, n], vec![0.5; 3 * n]);
        let warm = Draw { temperature: 1.0, uniform: 0.9985, ..Draw::LIKELIEST };
        let draws = [Draw::LIKELIEST, Draw { top_k: 10, ..warm }, Draw { top_p: 0.5, ..warm }];
        assert_eq!(categorical(&flat, &draws).read(), [Ok(0), Ok(9), Ok(499)], "{device:?}");
    }
}

#[test]
fn frequencies_follow_the_softmax() {
    let row = [0.0, 1.0, 2.0, f32::NEG_INFINITY];
    let total: f32 = row.iter().map(|x| x.exp()).sum();
    for device in devices(Precision::Exact).iter().step_by(2) {
        let warm = Draw { temperature: 1.0, ..Draw::LIKELIEST };
        let draws: Vec<_> =
            (0..2000).map(|i| Draw { uniform: f64::from(i) / 2000.0, ..warm }).collect();
        let logits = device.tensor(&[2000, 4], row.repeat(2000));
        let chosen = categorical(&logits, &draws).read();
        for (token, logit) in (0..).zip(row) {
            let count = chosen.iter().filter(|&&chosen| chosen == Ok(token)).count();
            assert!((count as f32 - 2000.0 * logit.exp() / total).abs() <= 1.0, "{count}");
        }
    }
}

/// Small weights beside large ones keep their share: what a running sum in `f32` would lose.
#[test]
fn a_long_tail_is_not_lost() {
    let n = 100_000;
    let mut row = vec![(1e-8_f32).ln(); n];
    row[0] = 0.0;
    let share = 1e-8 * (n - 1) as f64 / (1.0 + 1e-8 * (n - 1) as f64);
    let warm = Draw { temperature: 1.0, ..Draw::LIKELIEST };
    for device in devices(Precision::Exact).iter().rev().step_by(3) {
        let at = |uniform| {
            let logits = device.tensor(&[1, n], row.clone());
            categorical(&logits, &[Draw { uniform, ..warm }]).read()[0].unwrap() as f64
        };
        let middle = at(1.0 - share / 2.0) / n as f64;
        // Sums near 1 have steps of 1e-7, and a block of the tail weighs 2.6e-6.
        assert!((middle - 0.5).abs() < 0.02, "{middle} on {device:?}");
        assert!(at(1.0 - share * 1.01) == 0.0 && at(1.0 - 1e-9) > 0.99 * n as f64);
    }
}

#[test]
fn what_is_no_number_is_told_and_is_still_an_index() {
    for device in devices(Precision::Exact) {
        let mut logits = numbers(1, 40);
        (logits[13], logits[17]) = (f32::NAN, f32::NAN);
        logits[20 + 4] = f32::INFINITY;
        let warm = Draw { temperature: 1.0, uniform: 0.99, ..Draw::LIKELIEST };
        for draw in [Draw::LIKELIEST, warm, Draw { top_p: 0.5, ..warm }] {
            let choice = categorical(&device.tensor(&[2, 20], logits.clone()), &[draw; 2]);
            assert_eq!(choice.read(), [Err(13), Ok(4)], "{draw:?} on {device:?}");
            assert_eq!(choice.tokens.to_u32(), [0, 4]);
        }
        let none = device.tensor(&[1, 3], vec![f32::NEG_INFINITY; 3]);
        assert_eq!(categorical(&none, &[warm]).read(), [Ok(0)]);
    }
}

#[test]
#[should_panic(expected = "categorical: draws")]
fn a_draw_too_few_is_a_bug() {
    let device = Device::cpu(crate::CpuOptions::default()).unwrap();
    categorical(&device.tensor(&[2, 3], vec![0.0; 6]), &[Draw::LIKELIEST]);
}
