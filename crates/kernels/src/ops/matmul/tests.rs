//! Every element type, one row and several, awkward extents.

use super::{matmul, reference};
use crate::ops::conformance::{activations, assert_close, devices, numbers, weight};
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

/// Where pairs of `bf16` are faster, both operands are rounded to them.
#[test]
fn fast_mode_agrees_with_the_reference() {
    for device in devices(Precision::Fast) {
        for (m, k, n) in
            [(1, 1, 1), (1, 64, 33), (3, 15, 5), (17, 65, 9), (300, 1040, 40), (13, 96, 34)]
        {
            let x = activations(&device, 1, &[m, k]);
            for dtype in [DType::F32, DType::F16, DType::BF16] {
                let w = weight(&device, 2, &[n, k], dtype);
                assert_close(&matmul(&x, &w), &reference::matmul(&x, &w), 8e-3);
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

/// Extents beside those of a vector, a tile, a block of the sum and a widened panel.
#[test]
fn agrees_around_every_boundary() {
    for device in devices(Precision::Exact) {
        for (m, k, n) in [
            (1, 1023, 9),
            (2, 1024, 7),
            (3, 1025, 8),
            (4, 17, 31),
            (5, 33, 5),
            (6, 31, 33),
            (7, 47, 3),
            (12, 48, 4),
            (13, 49, 32),
            (63, 16, 5),
            (64, 1040, 33),
            (65, 100, 6),
            (257, 20, 70),
        ] {
            let x = activations(&device, 1, &[m, k]);
            for dtype in [DType::F32, DType::F16, DType::BF16] {
                let w = weight(&device, 2, &[n, k], dtype);
                assert_close(&matmul(&x, &w), &reference::matmul(&x, &w), 1e-5);
            }
        }
    }
}

#[test]
fn a_row_is_the_same_to_the_bit_whatever_rows_are_beside_it() {
    for device in devices(Precision::Exact) {
        let (m, k, n) = (70, 1100, 40);
        let x = activations(&device, 1, &[m, k]);
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let w = weight(&device, 2, &[n, k], dtype);
            let all = matmul(&x, &w).to_vec();
            for rows in [0..1, 3..5, 1..7, 60..70, 2..68] {
                let part = x.to_vec()[rows.start * k..rows.end * k].to_vec();
                let part = matmul(&device.tensor(&[rows.len(), k], part), &w).to_vec();
                assert_eq!(part, all[rows.start * n..rows.end * n], "rows {rows:?} on {device:?}");
            }
        }
    }
}

#[test]
fn nan_stays_in_its_row_and_column() {
    for device in devices(Precision::Exact) {
        for m in [1, 5, 65] {
            let k = 37;
            let mut x = numbers(1, m * k);
            x[k - 1] = f32::NAN;
            let w = weight(&device, 2, &[9, k], DType::F16);
            let y = matmul(&device.tensor(&[m, k], x), &w).to_vec();
            assert!(y[..9].iter().all(|y| y.is_nan()), "{device:?}");
            assert!(y[9..].iter().all(|y| y.is_finite()), "{device:?}");
        }
    }
}

#[test]
fn an_empty_sum_is_zero() {
    for device in devices(Precision::Exact) {
        let (x, w) = (activations(&device, 1, &[2, 0]), weight(&device, 2, &[3, 0], DType::F32));
        assert_eq!(matmul(&x, &w).to_vec(), [0.0; 6]);
    }
}
