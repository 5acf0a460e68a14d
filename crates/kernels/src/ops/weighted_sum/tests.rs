//! Runs of every length.

use super::{reference, weighted_sum};
use crate::Precision;
use crate::ops::conformance::{activations, assert_close, devices, numbers};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for (rows, each, n) in [(1, 1, 1), (3, 1, 17), (2, 4, 16), (30, 8, 500), (0, 2, 5)] {
            let x = activations(&device, 1, &[rows * each, n]);
            let weights = numbers(2, rows * each);
            let truth = reference::weighted_sum(&x, &weights, each);
            assert_close(
                &weighted_sum(&x, &device.tensor(&[rows * each], weights), each),
                &truth,
                1e-6,
            );
        }
    }
}

/// A weight of one among zeros picks its row.
#[test]
fn one_weight_picks_a_row() {
    for device in devices(Precision::Exact) {
        let x = activations(&device, 1, &[6, 9]);
        let y =
            weighted_sum(&x, &device.tensor(&[6], vec![0.0, 1.0, 0.0, 0.0, 0.0, 1.0]), 3).to_vec();
        let rows = x.to_vec();
        assert_eq!(y, [&rows[9..18], &rows[45..]].concat(), "{device:?}");
    }
}

#[test]
#[should_panic(expected = "5 rows by 2")]
fn a_run_is_whole() {
    let device = &devices(Precision::Exact)[0];
    weighted_sum(&activations(device, 1, &[5, 2]), &device.tensor(&[5], vec![1.0; 5]), 2);
}
