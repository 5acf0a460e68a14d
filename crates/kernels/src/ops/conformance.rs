//! What the tests of every operation share: the devices to try and what counts as the same answer.

pub(crate) use crate::samples::{
    Quantization, activations, numbers, quantizations, quantized, weight,
};
use crate::{CpuOptions, Device, Isa, MlxOptions, Precision, Tensor};

/// Every backend of the machine: a device for each instruction set, and MLX where it is installed.
pub(crate) fn devices(precision: Precision) -> Vec<Device> {
    cpu_devices(precision).into_iter().chain(mlx()).collect()
}

/// MLX in 32-bit floats, where its library is installed.
pub(crate) fn mlx() -> Option<Device> {
    testkit::mlx::opened(|library| {
        let options = MlxOptions::new(library.to_owned());
        Device::mlx(&MlxOptions { precision: Precision::Exact, ..options })
    })
}

/// MLX with activations that follow the weights, as on a GPU, where its library is installed.
pub(crate) fn mlx_of_16_bits() -> Option<Device> {
    testkit::mlx::opened(|library| {
        let options = MlxOptions::new(library.to_owned());
        Device::mlx(&MlxOptions { follow_weights: true, ..options })
    })
}

/// A device for each instruction set of the machine, alone and with two more threads.
pub(crate) fn cpu_devices(precision: Precision) -> Vec<Device> {
    let sets = Isa::ALL.into_iter().filter(|isa| isa.is_available());
    let options = sets.flat_map(|isa| [1, 3].map(|threads| (isa, threads)));
    options
        .map(|(isa, threads)| {
            let (isa, threads) = (Some(isa), Some(threads));
            Device::cpu(CpuOptions { isa, threads, precision, ..CpuOptions::default() }).unwrap()
        })
        .collect()
}

/// Fails unless `fast` is as `truth` within `tolerance` of the largest element.
#[track_caller]
pub(crate) fn assert_close(fast: &Tensor, truth: &Tensor, tolerance: f32) {
    assert_eq!(fast.shape(), truth.shape());
    let (fast, device) = (fast.to_vec(), fast.device());
    let truth = truth.to_vec();
    let scale = truth.iter().fold(1e-6, |max: f32, x| max.max(x.abs()));
    for (i, (a, b)) in fast.iter().zip(&truth).enumerate() {
        let error = (a - b).abs() / scale;
        assert!(error <= tolerance, "element {i}: {a}, not {b} (error {error:e}) on {device:?}");
    }
}
