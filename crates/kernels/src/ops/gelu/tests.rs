//! Against the definition, and the definition against known values.

use super::{Gelu, gelu, reference};
use crate::Precision;
use crate::ops::conformance::{activations, assert_close, devices};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for form in [Gelu::Erf, Gelu::Tanh] {
            for shape in [[1, 1], [3, 15], [2, 16], [5, 17], [40, 1000]] {
                let x = activations(&device, 1, &shape);
                assert_close(&gelu(&x, form), &reference::gelu(&x, form), 1e-6);
            }
        }
    }
}

/// Values of `x Phi(x)` to ten digits, and of the form with a hyperbolic tangent.
#[test]
fn the_definition_has_its_known_values() {
    for (x, erf, tanh) in [
        (-3.0, -0.004_049_694, -0.003_637_392),
        (-1.0, -0.158_655_25, -0.158_808),
        (0.0, 0.0, 0.0),
        (0.5, 0.345_731_23, 0.345_714_),
        (2.0, 1.954_499_7, 1.954_597_7),
    ] {
        assert!((Gelu::Erf.apply(x) - erf).abs() < 1e-6, "erf at {x}");
        assert!((Gelu::Tanh.apply(x) - tanh).abs() < 2e-6, "tanh at {x}");
    }
}

#[test]
fn tails_have_their_limits_and_nan_is_not_hidden() {
    for device in devices(Precision::Exact) {
        for form in [Gelu::Erf, Gelu::Tanh] {
            let x = vec![-1e30, -40.0, 40.0, 1e30, f32::INFINITY, f32::NAN];
            let y = gelu(&device.tensor(&[6], x), form).to_vec();
            assert_eq!(y[..5], [0.0, 0.0, 40.0, 1e30, f32::INFINITY], "{form:?} on {device:?}");
            assert!(y[5].is_nan(), "{form:?} on {device:?}");
        }
    }
}
