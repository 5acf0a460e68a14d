//! Every element type, one row and several, awkward extents.

use super::{matmul, reference};
use crate::ops::conformance::{activations, assert_close, devices, weight};
use crate::{DType, Precision};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for (m, k, n) in [(1, 1, 1), (1, 64, 33), (3, 15, 5), (2, 16, 8), (17, 65, 9), (5, 130, 40)]
        {
            let x = activations(&device, 1, &[m, k]);
            for dtype in [DType::F32, DType::F16, DType::BF16] {
                let w = weight(&device, 2, &[n, k], dtype);
                assert_close(&matmul(&x, &w), &reference::matmul(&x, &w), 1e-5);
            }
        }
    }
}

#[test]
fn no_rows_give_no_rows() {
    for device in devices(Precision::Exact) {
        let (x, w) = (activations(&device, 1, &[0, 4]), weight(&device, 2, &[3, 4], DType::F32));
        assert_eq!(matmul(&x, &w).shape(), [0, 3]);
    }
}
