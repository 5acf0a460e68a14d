//! Whole operands and single rows.

use super::{multiply, reference};
use crate::Precision;
use crate::ops::conformance::{activations, assert_close, devices};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for shape in [vec![1], vec![3, 15], vec![2, 16], vec![5, 3, 17], vec![40, 1000]] {
            let a = activations(&device, 1, &shape);
            for b in [shape.clone(), vec![a.width()]] {
                let b = activations(&device, 2, &b);
                assert_close(&multiply(&a, &b), &reference::multiply(&a, &b), 1e-6);
            }
        }
    }
}

#[test]
fn one_changes_nothing_and_nothing_gives_nothing() {
    for device in devices(Precision::Exact) {
        let a = activations(&device, 1, &[3, 17]);
        let ones = device.tensor(&[17], vec![1.0; 17]);
        assert_eq!(multiply(&a, &ones).to_vec(), a.to_vec());
        let empty = activations(&device, 1, &[0, 17]);
        assert_eq!(multiply(&empty, &ones).shape(), [0, 17]);
    }
}

#[test]
#[should_panic(expected = "multiply: shapes")]
fn rows_of_another_width_do_not_fit() {
    let device = &devices(Precision::Exact)[0];
    multiply(&activations(device, 1, &[3, 4]), &activations(device, 2, &[3]));
}
