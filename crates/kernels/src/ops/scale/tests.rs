//! Against the definition.

use super::{reference, scale};
use crate::Precision;
use crate::ops::conformance::{activations, assert_close, devices};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for shape in [vec![1], vec![3, 15], vec![0, 4], vec![5, 3, 17], vec![40, 1000]] {
            let x = activations(&device, 1, &shape);
            for factor in [-2.5, 0.0, 0.1] {
                assert_close(&scale(&x, factor), &reference::scale(&x, factor), 1e-6);
            }
        }
    }
}

#[test]
fn a_factor_and_its_reciprocal_cancel() {
    for device in devices(Precision::Exact) {
        let x = activations(&device, 1, &[3, 17]);
        assert_eq!(scale(&scale(&x, 4.0), 0.25).to_vec(), x.to_vec());
    }
}
