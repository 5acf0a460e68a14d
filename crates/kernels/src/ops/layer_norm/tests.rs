//! Against the definition, also far from zero.

use super::{layer_norm, reference};
use crate::Precision;
use crate::ops::conformance::{activations, assert_close, devices, numbers};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for shape in [[1, 1], [3, 15], [2, 16], [5, 17], [40, 1000]] {
            let x = activations(&device, 1, &shape);
            let weight = activations(&device, 2, &shape[1..]);
            let bias = activations(&device, 3, &shape[1..]);
            for bias in [None, Some(&bias)] {
                let truth = reference::layer_norm(&x, &weight, bias, 1e-5);
                assert_close(&layer_norm(&x, &weight, bias, 1e-5), &truth, 1e-5);
            }
        }
    }
}

#[test]
fn a_large_mean_costs_no_digits() {
    for device in devices(Precision::Exact) {
        let x = numbers(4, 64).into_iter().map(|v| v + 1000.0).collect();
        let x = device.tensor(&[1, 64], x);
        let weight = device.tensor(&[64], vec![1.0; 64]);
        let truth = reference::layer_norm(&x, &weight, None, 1e-5);
        assert_close(&layer_norm(&x, &weight, None, 1e-5), &truth, 1e-3);
    }
}

#[test]
fn nan_fills_its_row_and_no_other() {
    for device in devices(Precision::Exact) {
        let mut x = vec![0.5; 3 * 19];
        x[19 + 18] = f32::NAN;
        let (x, weight) = (device.tensor(&[3, 19], x), device.tensor(&[19], vec![1.0; 19]));
        let y = layer_norm(&x, &weight, None, 1e-5).to_vec();
        for (i, y) in y.iter().enumerate() {
            assert_eq!(y.is_nan(), i / 19 == 1, "element {i} on {device:?}");
        }
        let none = activations(&device, 1, &[0, 19]);
        assert_eq!(layer_norm(&none, &weight, None, 1e-5).shape(), [0, 19]);
    }
}
