//! Sums against the definition.

use super::{add, reference};
use crate::Precision;
use crate::ops::conformance::{activations, assert_close, devices};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for (rows, width) in [(1, 1), (3, 15), (2, 16), (700, 33)] {
            let a = activations(&device, 1, &[rows, width]);
            for b in [vec![rows, width], vec![width]] {
                let b = activations(&device, 2, &b);
                assert_close(&add(&a, &b), &reference::add(&a, &b), 0.0);
            }
        }
    }
}

#[test]
#[should_panic(expected = "add: shapes")]
fn other_shapes_do_not_fit() {
    let device = &devices(Precision::Exact)[0];
    add(&activations(device, 1, &[2, 3]), &activations(device, 2, &[2]));
}
