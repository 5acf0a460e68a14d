//! A place in a checkpoint, from which a layer takes its weights onto a device.

use std::fmt::Display;

use checkpoint::{Config, Dtype, Matrix, Mode, RawTensor};
use kernels::{DType, Device, QuantizationMode, QuantizedTensor, Tensor};

use crate::nn::Weight;
use crate::{Error, Result};

/// A place in the tree of names, such as `model.layers.3.mlp`, the configuration beside it, and
/// the device that weights go to.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    path: checkpoint::Path<'a>,
    config: &'a Config,
    device: &'a Device,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(path: checkpoint::Path<'a>, config: &'a Config, device: &'a Device) -> Self {
        Self { path, config, device }
    }

    /// The child `name` of this place.
    #[must_use]
    pub fn at(&self, name: impl Display) -> Self {
        Self { path: self.path.at(name), ..self.clone() }
    }

    /// The full name of this place.
    pub fn name(&self) -> &str {
        self.path.name()
    }

    /// Whether the checkpoint has a tensor `name` here.
    pub fn has(&self, name: &str) -> bool {
        self.path.has(name)
    }

    /// Leaves the tensor `name` here alone, if there is one.
    pub fn ignore(&self, name: &str) {
        self.path.ignore(name);
    }

    /// Leaves all tensors below this place alone.
    pub fn ignore_all(&self) {
        self.path.ignore_all();
    }

    /// Takes `name: [len]`, widened to `f32`: a norm's weight or a bias.
    pub(crate) fn vector(&self, name: &str, len: usize) -> Result<Tensor> {
        let raw = self.path.take(name, &[len])?;
        Ok(self.device.widen(&raw.shape, float(&raw)?, &raw.bytes))
    }

    /// Takes `weight: [rows, columns]` here, dense or in any of MLX's formats, without copying it.
    pub(crate) fn weight(&self, rows: usize, columns: usize) -> Result<Weight> {
        match self.path.matrix(rows, columns)? {
            Matrix::Dense(raw) => Ok(Weight::Dense(self.wrap(&raw, float(&raw)?))),
            Matrix::Quantized(matrix) => {
                let float_or_byte = |raw: &RawTensor| {
                    if raw.dtype == Dtype::U8 { Ok(DType::U8) } else { float(raw) }
                };
                let biases = match &matrix.biases {
                    Some(raw) => Some(self.wrap(raw, float(raw)?)),
                    None => None,
                };
                let tensor = QuantizedTensor {
                    rows,
                    columns,
                    mode: match matrix.quantization.mode {
                        Mode::Affine => QuantizationMode::Affine,
                        Mode::Mxfp4 => QuantizationMode::Mxfp4,
                        Mode::Mxfp8 => QuantizationMode::Mxfp8,
                        Mode::Nvfp4 => QuantizationMode::Nvfp4,
                    },
                    bits: matrix.quantization.bits as usize,
                    group_size: matrix.quantization.group_size,
                    weight: self.wrap(&matrix.weight, DType::U32),
                    scales: self.wrap(&matrix.scales, float_or_byte(&matrix.scales)?),
                    biases,
                    global_scale: matrix.global_scale,
                };
                tensor.validate();
                Ok(Weight::Quantized(Box::new(tensor)))
            }
        }
    }

    fn wrap(&self, raw: &RawTensor, dtype: DType) -> Tensor {
        let tensor = self.device.wrap(&raw.shape, dtype, raw.bytes.clone());
        if self.device.copies() {
            // What was copied need not be in memory twice while the rest is loaded.
            self.path.let_go(raw);
        }
        tensor
    }

    /// An error about a field of the configuration, unless `holds`.
    pub(crate) fn expect(
        &self,
        holds: bool,
        field: &'static str,
        value: impl Display,
        expected: &'static str,
    ) -> Result<()> {
        if holds {
            return Ok(());
        }
        let file = self.config.file().to_owned();
        Err(Error::Config { file, field, value: value.to_string(), expected })
    }

    /// An error about a field whose value asks for something that is not there.
    pub(crate) fn unsupported(
        &self,
        architecture: &'static str,
        field: impl Into<String>,
        value: impl Display,
    ) -> Error {
        let file = self.config.file().to_owned();
        Error::Unsupported { file, field: field.into(), value: value.to_string(), architecture }
    }

    pub(crate) fn config(&self) -> &'a Config {
        self.config
    }
}

fn float(raw: &RawTensor) -> Result<DType> {
    const FLOATS: [(Dtype, DType); 3] =
        [(Dtype::F32, DType::F32), (Dtype::F16, DType::F16), (Dtype::BF16, DType::BF16)];
    let dtype = FLOATS.into_iter().find(|(stored, _)| *stored == raw.dtype);
    let error = || Error::Dtype { tensor: raw.name.clone(), dtype: raw.dtype.to_string() };
    dtype.map(|(_, dtype)| dtype).ok_or_else(error)
}
