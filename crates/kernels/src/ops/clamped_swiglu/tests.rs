//! Gated products against the definition, below and beyond the limit.

use super::{Clamp, clamped_swiglu, reference};
use crate::Precision;
use crate::ops::conformance::{activations, assert_close, devices};
use crate::ops::scale;

const USUAL: Clamp = Clamp { alpha: 1.702, limit: 7.0 };

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for shape in [[1, 1], [3, 15], [2, 16], [5, 17], [40, 1000]] {
            for clamp in [USUAL, Clamp { alpha: 1.0, limit: 0.5 }] {
                let gate = scale(&activations(&device, 1, &shape), 9.0);
                let up = scale(&activations(&device, 2, &shape), 9.0);
                let truth = reference::clamped_swiglu(&gate, &up, clamp);
                assert_close(&clamped_swiglu(&gate, &up, clamp), &truth, 1e-6);
            }
        }
    }
}

/// Beyond the limit nothing changes; a gate far below zero is closed.
#[test]
fn large_operands_are_cut() {
    for device in devices(Precision::Exact) {
        let row = |x: [f32; 4]| device.tensor(&[1, 4], x.to_vec());
        let y = clamped_swiglu(&row([7.0, 80.0, 7.0, -1e3]), &row([7.0, 7.0, 1e9, 3.0]), USUAL);
        let y = y.to_vec();
        assert!((y[0] - 56.0).abs() < 1e-3, "{y:?}");
        assert_eq!((y[1], y[2], y[3]), (y[0], y[0], 0.0), "{device:?}");
        let y = clamped_swiglu(&row([1.0; 4]), &row([-7.0, -9.0, -1e9, -1.0]), USUAL).to_vec();
        assert_eq!((y[1], y[2], y[3]), (y[0], y[0], 0.0), "{device:?}");
    }
}

#[test]
fn nan_is_not_hidden() {
    for device in devices(Precision::Exact) {
        let row = |at: usize| {
            let mut x = vec![0.5; 19];
            x[at] = f32::NAN;
            device.tensor(&[1, 19], x)
        };
        let y = clamped_swiglu(&row(3), &row(18), USUAL).to_vec();
        let nans: Vec<_> = (0..19).filter(|&i| y[i].is_nan()).collect();
        assert_eq!(nans, [3, 18], "{device:?}");
    }
}
