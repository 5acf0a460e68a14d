//! Every format.

use super::{quantized_take, reference};
use crate::Precision;
use crate::ops::conformance::{assert_close, cpu_devices, devices, quantizations, quantized};

#[test]
fn agrees_with_the_reference() {
    let home = &cpu_devices(Precision::Exact)[0];
    for device in devices(Precision::Exact) {
        // MLX may fuse a product and a sum.
        let tolerance = if device.as_mlx().is_some() { 1e-6 } else { 0.0 };
        for quantization in quantizations() {
            let indices = [6, 0, 3, 3];
            let truth =
                reference::quantized_take(&quantized(home, 1, 7, 256, quantization), &indices);
            let w = quantized(&device, 1, 7, 256, quantization);
            assert_close(&quantized_take(&w, &indices), &truth, tolerance);
        }
    }
}
