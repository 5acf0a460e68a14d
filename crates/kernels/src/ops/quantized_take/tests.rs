//! Every format.

use super::{quantized_take, reference};
use crate::Precision;
use crate::ops::conformance::{assert_close, devices, quantizations, quantized};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for quantization in quantizations() {
            let w = quantized(&device, 1, 7, 256, quantization);
            let indices = [6, 0, 3, 3];
            let truth = reference::quantized_take(&w, &indices);
            assert_close(&quantized_take(&w, &indices), &truth, 0.0);
        }
    }
}
