//! Gated products against the definition.

use super::{reference, swiglu};
use crate::Precision;
use crate::ops::conformance::{activations, assert_close, devices, numbers};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for shape in [[1, 1], [3, 15], [2, 16], [5, 17], [40, 1000]] {
            let gate = activations(&device, 1, &shape);
            let up = activations(&device, 2, &shape);
            assert_close(&swiglu(&gate, &up), &reference::swiglu(&gate, &up), 1e-6);
        }
    }
}

#[test]
fn large_gates_neither_overflow_nor_vanish() {
    for device in devices(Precision::Exact) {
        let gate = vec![-1000.0, -100.0, -88.0, 0.0, 88.0, 100.0, 1000.0];
        let gate = device.tensor(&[1, 7], gate);
        let up = device.tensor(&[1, 7], numbers(3, 7));
        assert_close(&swiglu(&gate, &up), &reference::swiglu(&gate, &up), 1e-6);
    }
}

#[test]
fn nan_is_not_hidden() {
    for device in devices(Precision::Exact) {
        let x = |at: usize| {
            let mut x = numbers(3, 19);
            x[at] = f32::NAN;
            device.tensor(&[1, 19], x)
        };
        let nans: Vec<_> = swiglu(&x(3), &x(18)).to_vec().into_iter().map(f32::is_nan).collect();
        let expected: Vec<_> = (0..19).map(|i| i == 3 || i == 18).collect();
        assert_eq!(nans, expected, "{device:?}");
    }
}

#[test]
fn nothing_gives_nothing() {
    for device in devices(Precision::Exact) {
        for shape in [[0, 4], [4, 0]] {
            let x = activations(&device, 1, &shape);
            assert_eq!(swiglu(&x, &x).shape(), shape);
        }
    }
}
