//! Rows that share a matrix, rows that are alone, matrices that nobody chooses.

use super::{Gather, gather_each, gather_mm, reference};
use crate::ops;
use crate::ops::conformance::{activations, assert_close, devices, weight};
use crate::{DType, Precision};

const LHS: [u32; 7] = [2, 0, 1, 4, 0, 3, 2];
const RHS: [u32; 7] = [3, 1, 3, 0, 3, 4, 1];

#[test]
fn agrees_with_the_reference() {
    for (precision, tolerance) in [(Precision::Exact, 1e-5), (Precision::Fast, 1e-2)] {
        for device in devices(precision) {
            for dtype in [DType::F32, DType::F16, DType::BF16] {
                for (n, k) in [(1, 1), (33, 17), (40, 96)] {
                    let w = weight(&device, 1, &[6, n, k], dtype);
                    let x = activations(&device, 2, &[5, k]);
                    for count in [0, 1, 7] {
                        let gather =
                            Gather { lhs_indices: &LHS[..count], rhs_indices: &RHS[..count] };
                        let truth = reference::gather_mm(&x, &w, gather);
                        assert_close(&gather_mm(&x, &w, gather), &truth, tolerance);
                    }
                }
            }
        }
    }
}

#[test]
fn a_stack_of_one_is_a_product() {
    for device in devices(Precision::Exact) {
        let (w, x) = (weight(&device, 1, &[9, 12], DType::F32), activations(&device, 2, &[3, 12]));
        let gather = Gather { lhs_indices: &[0, 1, 2], rhs_indices: &[0; 3] };
        let y = gather_mm(&x, &w.reshape(&[1, 9, 12]), gather);
        assert_close(&y, &ops::matmul(&x, &w), 1e-6);
    }
}

#[test]
#[should_panic(expected = "gather of matrices")]
fn a_matrix_that_is_not_there_is_no_matrix() {
    let device = &devices(Precision::Exact)[0];
    let (w, x) = (weight(device, 1, &[2, 3, 4], DType::F32), activations(device, 2, &[1, 4]));
    gather_mm(&x, &w, Gather { lhs_indices: &[0], rhs_indices: &[2] });
}

/// A stack and the same matrices one by one give the same.
#[test]
fn matrices_that_lie_apart_agree_with_the_reference() {
    for device in devices(Precision::Exact) {
        let (n, k) = (33, 17);
        let stack = weight(&device, 1, &[6, n, k], DType::F32);
        let numbers = stack.to_vec();
        let bytes = |matrix: usize| {
            let part = numbers[matrix * n * k..][..n * k].iter();
            part.flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>().into()
        };
        let apart: Vec<_> =
            (0..6).map(|matrix| device.wrap(&[n, k], DType::F32, bytes(matrix))).collect();
        let x = activations(&device, 2, &[5, k]);
        for count in [0, 1, 7] {
            let gather = Gather { lhs_indices: &LHS[..count], rhs_indices: &RHS[..count] };
            let truth = reference::gather_mm(&x, &stack, gather);
            let mut asked = Vec::new();
            let y = gather_each(&x, (6, n), gather, |matrix, rows| {
                asked.push(matrix);
                ops::matmul(rows, &apart[matrix])
            });
            assert_close(&y, &truth, 1e-5);
            asked.dedup();
            let mut chosen: Vec<_> = RHS[..count].iter().map(|&i| i as usize).collect();
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(asked, chosen);
        }
    }
}
