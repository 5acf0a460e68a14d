//! Against the definition, and the definition against known values.

use super::{Gelu, gelu, reference};
use crate::Precision;
use crate::ops::conformance::{activations, assert_close, devices};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for form in [Gelu::Erf, Gelu::Tanh, Gelu::Quick] {
            for shape in [[1, 1], [3, 15], [2, 16], [5, 17], [40, 1000]] {
                let x = activations(&device, 1, &shape);
                assert_close(&gelu(&x, form), &reference::gelu(&x, form), 1e-6);
            }
        }
    }
}

/// Values of `x Phi(x)` to ten digits, and of the other forms.
#[test]
fn the_definition_has_its_known_values() {
    for (x, erf, tanh, quick) in [
        (-3.0, -0.004_049_694, -0.003_637_392, -0.018_071_3),
        (-1.0, -0.158_655_25, -0.158_808, -0.154_204_23),
        (0.0, 0.0, 0.0, 0.0),
        (0.5, 0.345_731_23, 0.345_714_, 0.350_388_44),
        (2.0, 1.954_499_7, 1.954_597_7, 1.935_658_6),
    ] {
        assert!((Gelu::Erf.apply(x) - erf).abs() < 1e-6, "erf at {x}");
        assert!((Gelu::Tanh.apply(x) - tanh).abs() < 2e-6, "tanh at {x}");
        assert!((Gelu::Quick.apply(x) - quick).abs() < 1e-6, "quick at {x}");
    }
}

#[test]
fn tails_have_their_limits_and_nan_is_not_hidden() {
    for device in devices(Precision::Exact) {
        for form in [Gelu::Erf, Gelu::Tanh, Gelu::Quick] {
            let x = vec![-1e30, -80.0, 80.0, 1e30, f32::INFINITY, f32::NAN];
            let y = gelu(&device.tensor(&[6], x), form).to_vec();
            // A logistic function has a longer tail than a normal distribution.
            assert!(y[1].abs() < 1e-37, "{form:?} on {device:?}: {}", y[1]);
            assert_eq!(y[0], 0.0, "{form:?} on {device:?}");
            for (y, truth) in y[2..4].iter().zip([80.0_f32, 1e30]) {
                assert!((y / truth - 1.0).abs() < 1e-6, "{form:?} on {device:?}: {y}");
            }
            assert_eq!(y[4], f32::INFINITY, "{form:?} on {device:?}");
            assert!(y[5].is_nan(), "{form:?} on {device:?}");
        }
    }
}
