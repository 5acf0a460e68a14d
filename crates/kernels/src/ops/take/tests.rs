//! Every element type, at odd addresses.

use super::{reference, take};
use crate::ops::conformance::{activations, assert_close, devices, weight};
use crate::{DType, Precision};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for n in [1, 7, 8, 9, 300] {
            for dtype in [DType::F32, DType::F16, DType::BF16] {
                let table = weight(&device, 1, &[10, n], dtype);
                let indices = [0, 9, 3, 3, 1];
                assert_close(&take(&table, &indices), &reference::take(&table, &indices), 0.0);
            }
            let table = activations(&device, 1, &[4, n]);
            assert_close(&take(&table, &[3, 0]), &reference::take(&table, &[3, 0]), 0.0);
        }
    }
}

#[test]
#[should_panic(expected = "take: row 10 of 10")]
fn a_row_beyond_the_table_is_a_bug() {
    let device = &devices(Precision::Exact)[0];
    take(&activations(device, 1, &[10, 2]), &[10]);
}
