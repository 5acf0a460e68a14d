//! Awkward widths: one under, at and over a group of lanes.

use super::{reference, rms_norm};
use crate::Precision;
use crate::ops::conformance::{activations, assert_close, devices};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for shape in [vec![1, 1], vec![3, 15], vec![2, 3, 16], vec![5, 17], vec![40, 1000]] {
            let x = activations(&device, 1, &shape);
            let weight = activations(&device, 2, &shape[shape.len() - 1..]);
            assert_close(
                &rms_norm(&x, &weight, 1e-5),
                &reference::rms_norm(&x, &weight, 1e-5),
                1e-5,
            );
        }
    }
}

#[test]
fn rows_have_unit_mean_square() {
    let device = &devices(Precision::Exact)[0];
    let x = activations(device, 7, &[2, 33]);
    let y = rms_norm(&x, &device.tensor(&[33], vec![1.0; 33]), 0.0).to_vec();
    for row in y.chunks_exact(33) {
        let mean = row.iter().map(|v| v * v).sum::<f32>() / 33.0;
        assert!((mean - 1.0).abs() < 1e-5);
    }
}

#[test]
fn nan_fills_its_row_and_no_other() {
    for device in devices(Precision::Exact) {
        let mut x = vec![0.5; 3 * 19];
        x[19 + 18] = f32::NAN;
        let (x, weight) = (device.tensor(&[3, 19], x), device.tensor(&[19], vec![1.0; 19]));
        let y = rms_norm(&x, &weight, 1e-5).to_vec();
        for (i, y) in y.iter().enumerate() {
            assert_eq!(y.is_nan(), i / 19 == 1, "element {i} on {device:?}");
        }
        let none = activations(&device, 1, &[0, 19]);
        assert_eq!(rms_norm(&none, &weight, 1e-5).shape(), [0, 19]);
    }
}
