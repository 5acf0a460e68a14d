//! Numbers to try operations on, the same on every run and every device.

use bytes::Bytes;
use half::{bf16, f16};

use crate::{DType, Device, QuantizationMode, QuantizedTensor, Tensor};

/// Numbers between -1 and 1 that are the same on every run.
pub(crate) fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// The same numbers as a tensor of activations, in 16 bits where those follow the weights.
pub(crate) fn activations(device: &Device, seed: u64, shape: &[usize]) -> Tensor {
    let numbers = numbers(seed, shape.iter().product());
    if !device.as_mlx().is_some_and(|mlx| mlx.is_native()) {
        return device.tensor(shape, numbers);
    }
    let bits: Vec<[u8; 2]> = numbers.iter().map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
    device.widen(shape, DType::BF16, bits.as_flattened())
}

/// The same numbers as a mapped weight, at an odd address as a file may put it.
pub(crate) fn weight(device: &Device, seed: u64, shape: &[usize], dtype: DType) -> Tensor {
    let mut bytes = vec![0];
    for x in numbers(seed, shape.iter().product()) {
        match dtype {
            DType::F32 => bytes.extend(x.to_le_bytes()),
            DType::F16 => bytes.extend(f16::from_f32(x).to_le_bytes()),
            DType::BF16 => bytes.extend(bf16::from_f32(x).to_le_bytes()),
            DType::U8 | DType::U32 => panic!("not a float"),
        }
    }
    device.wrap(shape, dtype, Bytes::from(bytes).slice(1..))
}

/// A format of quantized weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quantization {
    pub(crate) mode: QuantizationMode,
    pub(crate) bits: usize,
    pub(crate) group_size: usize,
    /// The element type of affine scales.
    pub(crate) scales: DType,
}

/// Every format there is.
pub(crate) fn quantizations() -> Vec<Quantization> {
    use QuantizationMode::{Affine, Mxfp4, Mxfp8, Nvfp4};
    let mut all = Vec::new();
    for bits in [2, 3, 4, 5, 6, 8] {
        for (group_size, scales) in [(32, DType::F32), (64, DType::BF16), (128, DType::F16)] {
            all.push(Quantization { mode: Affine, bits, group_size, scales });
        }
    }
    for (mode, bits, group_size) in [(Mxfp4, 4, 32), (Mxfp8, 8, 32), (Nvfp4, 4, 16)] {
        all.push(Quantization { mode, bits, group_size, scales: DType::U8 });
    }
    all
}

/// Random codes with scales of reasonable size: every bit pattern is a valid code.
pub(crate) fn quantized(
    device: &Device,
    seed: u64,
    rows: usize,
    columns: usize,
    quantization: Quantization,
) -> QuantizedTensor {
    let Quantization { mode, bits, group_size, scales } = quantization;
    let bytes = |seed, len: usize, valid: fn(u8) -> u8| {
        let numbers = numbers(seed, len + 1).into_iter();
        Bytes::from_iter(numbers.map(|x| valid((x * 1e6) as i32 as u8))).slice(1..)
    };
    // E4M3 has two patterns that are no number.
    let valid = if mode == QuantizationMode::Mxfp8 { |b| b & !1 } else { |b| b };
    let codes = bytes(seed, rows * columns * bits / 8, valid);
    let shape = [rows, columns / group_size];
    let (scales, biases) = match mode {
        QuantizationMode::Affine => {
            let biases = weight(device, seed + 2, &shape, scales);
            (weight(device, seed + 1, &shape, scales), Some(biases))
        }
        QuantizationMode::Mxfp4 | QuantizationMode::Mxfp8 | QuantizationMode::Nvfp4 => {
            let near_one: fn(u8) -> u8 =
                if mode == QuantizationMode::Nvfp4 { |b| 48 + b % 16 } else { |b| 124 + b % 6 };
            let scales = bytes(seed + 1, shape[0] * shape[1], near_one);
            (device.wrap(&shape, DType::U8, scales), None)
        }
    };
    let global_scale = (mode == QuantizationMode::Nvfp4).then_some(1500.0);
    let weight = device.wrap(&[rows, columns * bits / 32], DType::U32, codes);
    let tensor = QuantizedTensor {
        rows,
        columns,
        mode,
        bits,
        group_size,
        weight,
        scales,
        biases,
        global_scale,
    };
    tensor.validate();
    tensor
}
