//! Quantized weights to multiply with, in every format.

use bytes::Bytes;
use kernels::{DType, Device, QuantizationMode, QuantizedTensor, Tensor};

/// A format of weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    pub(crate) name: &'static str,
    mode: QuantizationMode,
    bits: usize,
    group_size: usize,
    scales: DType,
}

const fn affine(name: &'static str, bits: usize) -> Format {
    let (mode, scales) = (QuantizationMode::Affine, DType::BF16);
    Format { name, mode, bits, group_size: 64, scales }
}

const fn shared(name: &'static str, mode: QuantizationMode, bits: usize, group: usize) -> Format {
    Format { name, mode, bits, group_size: group, scales: DType::U8 }
}

/// The two that most checkpoints have.
pub(crate) const USUAL: [Format; 2] = [affine("4 bits", 4), affine("8 bits", 8)];

/// The rest.
pub(crate) const OTHERS: [Format; 7] = [
    affine("2 bits", 2),
    affine("3 bits", 3),
    affine("5 bits", 5),
    affine("6 bits", 6),
    shared("mxfp4", QuantizationMode::Mxfp4, 4, 32),
    shared("mxfp8", QuantizationMode::Mxfp8, 8, 32),
    shared("nvfp4", QuantizationMode::Nvfp4, 4, 16),
];

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Format {
    /// A weight of `rows x columns`; another `variant` lies elsewhere in memory.
    pub(crate) fn weight(
        self,
        device: &Device,
        [rows, columns]: [usize; 2],
        variant: usize,
    ) -> QuantizedTensor {
        let Self { mode, bits, group_size, scales, .. } = self;
        let len = rows * columns * bits / 8;
        // E4M3 stays below what is no number: three bits of the exponent.
        let mask = if mode == QuantizationMode::Mxfp8 { 0xb7 } else { 0xff };
        let noise = (0..len).map(|i| ((i + variant).wrapping_mul(0x9e37_79b9) >> 13) as u8 & mask);
        let groups = [rows, columns / group_size];
        // One small number everywhere: in bf16 0.0115, in E4M3 1.5, in E8M0 2^-67.
        let bytes = groups[0] * groups[1] * scales.size();
        let scale = || device.wrap(&groups, scales, Bytes::from(vec![0x3c; bytes]));
        let codes = Bytes::from_iter(noise);
        QuantizedTensor {
            rows,
            columns,
            mode,
            bits,
            group_size,
            weight: device.wrap(&[rows, columns * bits / 32], DType::U32, codes),
            scales: scale(),
            biases: (mode == QuantizationMode::Affine).then(scale),
            global_scale: None,
        }
    }
}

/// The bytes of a quantized weight.
pub(crate) fn size(w: &QuantizedTensor) -> usize {
    let of = |tensor: &Tensor| tensor.elements() * tensor.dtype().size();
    of(&w.weight) + of(&w.scales) + w.biases.as_ref().map_or(0, of)
}
