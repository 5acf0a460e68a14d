//! A matrix in one of MLX's quantized formats.

use crate::ops::LaidOut;
use crate::{DType, Device, Tensor};

/// The meaning of codes and scales.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum QuantizationMode {
    /// `w = scale * code + bias`; codes of 2, 3, 4, 5, 6 or 8 bits, unsigned; scales and biases
    /// are floats.
    Affine,
    /// 4-bit E2M1 elements, one E8M0 scale for each 32.
    Mxfp4,
    /// 8-bit E4M3 elements, one E8M0 scale for each 32.
    Mxfp8,
    /// 4-bit E2M1 elements, one E4M3 scale for each 16, and an optional scale of the tensor.
    Nvfp4,
}

/// `rows x columns` weights in groups along a row; each row is one little-endian bitstream.
///
/// | tensor   | shape                       | element type                              |
/// | -------- | --------------------------- | ----------------------------------------- |
/// | `weight` | `[rows, columns*bits/32]`   | `U32`                                     |
/// | `scales` | `[rows, columns/group_size]`| a float (affine), `U8` (the other modes)  |
/// | `biases` | as `scales`                 | as `scales`; affine only                  |
#[derive(Clone, Debug)]
pub struct QuantizedTensor {
    /// Output features.
    pub rows: usize,
    /// Input features.
    pub columns: usize,
    /// The meaning of codes and scales.
    pub mode: QuantizationMode,
    /// The width of one code.
    pub bits: usize,
    /// How many elements share a scale.
    pub group_size: usize,
    /// The packed codes.
    pub weight: Tensor,
    /// One for each group.
    pub scales: Tensor,
    /// One for each group, in affine mode.
    pub biases: Option<Tensor>,
    /// `Nvfp4` only: a factor of every element, divided by 2688 when it is applied.
    pub global_scale: Option<f32>,
}

impl QuantizedTensor {
    /// Lays the weight out as its device multiplies it fastest, now or in time, as the device was
    /// opened with a [`WeightLayout`](crate::WeightLayout); tells whether that is so. Products then no
    /// longer read the memory that it came in; only [`quantized_take`](crate::ops::quantized_take)
    /// does. `done` is called when it has come to that.
    ///
    /// Nothing is done unless the device rounds activations to bytes and the codes have 2, 4 or 8 bits.
    /// Where there is no memory, the weight stays as it is.
    pub fn lay_out(&mut self, done: impl FnOnce() + Send + 'static) -> bool {
        let laid_out = match self.weight.device() {
            Device::Cpu(cpu) => LaidOut::of(&cpu, self, Box::new(done)),
            Device::Mlx(_) => None,
        };
        laid_out.is_some_and(|laid_out| {
            self.weight.lay_out(laid_out);
            true
        })
    }

    /// Panics unless the parts fit together: a mistake of ours, since loading has checked them.
    #[track_caller]
    pub fn validate(&self) {
        let Self { rows, columns, bits, group_size, .. } = *self;
        assert!(columns.is_multiple_of(group_size), "{columns} columns in groups of {group_size}");
        assert_eq!(self.weight.dtype(), DType::U32, "packed codes");
        assert_eq!(self.weight.shape(), [rows, columns * bits / 32], "shape of the codes");
        assert_eq!(self.scales.shape(), [rows, columns / group_size], "shape of the scales");
        match self.mode {
            QuantizationMode::Affine => {
                assert!(matches!(bits, 2..=6 | 8), "{bits} bits");
                let biases = self.biases.as_ref().map(|b| (b.shape(), b.dtype()));
                assert_eq!(biases, Some((self.scales.shape(), self.scales.dtype())), "biases");
                assert!(self.scales.dtype().is_float(), "scales are {:?}", self.scales.dtype());
            }
            QuantizationMode::Mxfp4 => assert_eq!((bits, group_size), (4, 32), "mxfp4"),
            QuantizationMode::Mxfp8 => assert_eq!((bits, group_size), (8, 32), "mxfp8"),
            QuantizationMode::Nvfp4 => assert_eq!((bits, group_size), (4, 16), "nvfp4"),
        }
        if self.mode != QuantizationMode::Affine {
            assert_eq!(self.scales.dtype(), DType::U8, "scales");
            assert!(self.biases.is_none(), "biases");
        }
    }
}

/// The scale and the bias with which MLX's affine format keeps a group in codes of `bits`: the end
/// of the range that is farther from zero is met exactly, and zero is made a code, so that the other
/// end may lie up to half a step outside. NaN for both if an element is not finite, so that what is
/// no number does not become one.
pub fn scale_and_bias(group: &[f32], bits: usize) -> (f32, f32) {
    /// The least scale: a group of equal elements has it.
    const LEAST: f32 = 1e-7;
    let (mut low, mut high, mut finite) = (f32::INFINITY, f32::NEG_INFINITY, true);
    for &x in group {
        (low, high) = (low.min(x), high.max(x));
        finite &= x.is_finite();
    }
    if !finite {
        return (f32::NAN, f32::NAN);
    }
    let step = ((high - low) / ((1_u32 << bits) - 1) as f32).max(LEAST);
    let (step, edge) = if low.abs() > high.abs() { (step, low) } else { (-step, high) };
    let steps = (edge / step).round_ties_even();
    if steps == 0.0 { (step, 0.0) } else { (edge / steps, edge) }
}
