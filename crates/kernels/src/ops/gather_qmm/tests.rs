//! Every format, with rows that share a matrix and rows that are alone.

use super::{gather_qmm, reference};
use crate::Precision;
use crate::ops::conformance::{
    activations, assert_close, cpu_devices, devices, quantizations, quantized,
};
use crate::ops::{self, Gather};

const MATRICES: usize = 5;

/// Pairs of rows and matrices: a token alone and its three experts, rows of their own, and many.
fn gathers() -> Vec<(Vec<u32>, Vec<u32>)> {
    let many = (0..40).map(|i| (i * 7 % 6, i * i % 4)).unzip();
    vec![
        (vec![], vec![]),
        (vec![2, 2, 2], vec![4, 0, 3]),
        (vec![0, 1, 2, 3, 4], vec![1, 3, 1, 1, 0]),
        many,
    ]
}

#[test]
fn agrees_with_the_reference() {
    let home = &cpu_devices(Precision::Exact)[0];
    for (precision, tolerance) in [(Precision::Exact, 1e-5), (Precision::Fast, 1.5e-2)] {
        for device in devices(precision) {
            for format in quantizations() {
                let (n, k) = (19, 256);
                let there = quantized(home, 1, MATRICES * n, k, format);
                let w = quantized(&device, 1, MATRICES * n, k, format);
                let (x, same) = (activations(&device, 2, &[6, k]), activations(home, 2, &[6, k]));
                for (lhs, rhs) in gathers() {
                    let gather = Gather { lhs_indices: &lhs, rhs_indices: &rhs };
                    let truth = reference::gather_qmm(&same, &there, MATRICES, gather);
                    let fast = gather_qmm(&x, &w, MATRICES, gather);
                    assert_close(&fast, &truth, tolerance);
                }
            }
        }
    }
}

/// Rows that are alone with their matrix come out as from a product, to the bit.
#[test]
fn a_stack_of_one_is_a_product() {
    for device in cpu_devices(Precision::Fast) {
        for format in quantizations() {
            let (w, x) =
                (quantized(&device, 1, 24, 128, format), activations(&device, 2, &[3, 128]));
            let gather = Gather { lhs_indices: &[0, 1, 2], rhs_indices: &[0; 3] };
            let y = gather_qmm(&x, &w, 1, gather).to_vec();
            assert_eq!(y, ops::quantized_matmul(&x, &w).to_vec(), "{format:?} on {device:?}");
        }
    }
}
