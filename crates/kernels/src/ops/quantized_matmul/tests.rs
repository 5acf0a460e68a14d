//! Every format, one row and several.

use super::{quantized_matmul, reference};
use crate::Precision;
use crate::ops::conformance::{activations, assert_close, devices, quantizations, quantized};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for quantization in quantizations() {
            for (m, groups, n) in [(1, 1, 1), (1, 3, 17), (2, 2, 9), (5, 4, 8), (19, 2, 33)] {
                let k = groups * quantization.group_size.max(32);
                let w = quantized(&device, 2, n, k, quantization);
                let x = activations(&device, 1, &[m, k]);
                let truth = reference::quantized_matmul(&x, &w);
                assert_close(&quantized_matmul(&x, &w), &truth, 5e-5);
            }
        }
    }
}
