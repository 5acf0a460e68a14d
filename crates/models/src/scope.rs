//! A place in a checkpoint, from which a layer takes its weights onto a device.

use std::fmt::Display;

use bytes::Bytes;
use checkpoint::{Adapter, Care, Config, Dtype, Folder, Matrix, Mode, QuantizedMatrix, RawTensor};
use kernels::{DType, Device, Precision, QuantizationMode, QuantizedTensor, Tensor};

use crate::nn::Weight;
use crate::{Error, Result};

/// A place in the tree of names, such as `model.layers.3.mlp`, the configuration beside it, and
/// the device that weights go to.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    path: checkpoint::Path<'a>,
    config: &'a Config,
    device: &'a Device,
    adapter: Option<&'a Adapter>,
    folder: Option<&'a Folder>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(path: checkpoint::Path<'a>, config: &'a Config, device: &'a Device) -> Self {
        Self { path, config, device, adapter: None, folder: None }
    }

    /// The same place, with the folder that its files are in.
    pub(crate) fn of(self, folder: &'a Folder) -> Self {
        Self { folder: Some(folder), ..self }
    }

    /// The device that weights go to.
    pub(crate) fn device(&self) -> &Device {
        self.device
    }

    /// What says how images are made into what the network reads: `preprocessor_config.json`, that of an adapter before that of
    /// the checkpoint, or its part of the newer `processor_config.json`.
    pub(crate) fn preprocessor(&self) -> Result<Config> {
        const FILE: &str = "preprocessor_config.json";
        let missing = || {
            let path = self.config.file().with_file_name(FILE);
            Error::Checkpoint(checkpoint::Error::FileMissing { path })
        };
        if let Some(config) = self.adapter.and_then(Adapter::preprocessor) {
            return Ok(config.clone());
        }
        let folder = self.folder.ok_or_else(missing)?;
        if let Some(config) = folder.side_config(FILE)? {
            return Ok(config);
        }
        let newer = folder.side_config("processor_config.json")?;
        let part = newer.map(|config| config.part("image_processor")).transpose()?;
        part.flatten().ok_or_else(missing)
    }

    /// The same place, with an adapter that adds to the matrices.
    pub(crate) fn adapted(self, adapter: Option<&'a Adapter>) -> Self {
        Self { adapter, ..self }
    }

    /// What an adapter adds to the matrix here: `[rank, columns]`, `[rows, rank]`, and a factor.
    pub(crate) fn low_rank(
        &self,
        rows: usize,
        columns: usize,
    ) -> Result<Option<(Tensor, Tensor, f32)>> {
        let Some(adapter) = self.adapter else { return Ok(None) };
        let Some(low_rank) = adapter.low_rank(self.name(), rows, columns)? else { return Ok(None) };
        let wrap = |raw: &RawTensor| {
            Ok::<_, Error>(self.device.wrap(&raw.shape, float(raw)?, raw.bytes.clone()))
        };
        Ok(Some((wrap(&low_rank.a)?, wrap(&low_rank.b)?, low_rank.scale)))
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

    /// The shape of the tensor `name` here, if there is one.
    pub(crate) fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.path.shape(name)
    }

    /// Whether the checkpoint has a tensor `name` at its root.
    pub(crate) fn checkpoint_has(&self, name: &str) -> bool {
        self.path.root().has(name)
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
        self.widened(name, &[len])
    }

    /// Takes `name`, widened to `f32`: a few numbers to add, or to stand among others.
    pub(crate) fn widened(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let raw = self.path.take(name, shape)?;
        Ok(self.device.widen(&raw.shape, float(&raw)?, &raw.bytes))
    }

    /// Takes the floats `name: [rows, columns]` without copying them: a table that rows are taken from.
    pub(crate) fn table(&self, name: &str, rows: usize, columns: usize) -> Result<Tensor> {
        let raw = self.path.take(name, &[rows, columns])?;
        Ok(self.wrap(&raw, float(&raw)?))
    }

    /// Takes `weight`, a convolution of `width` outputs over patches that do not overlap, as the matrix
    /// `[width, channels * patch]` of the elements of a patch: channel by channel, each in the order of the axes of `patch`.
    /// It is stored so, or with the channels last.
    pub(crate) fn patches(&self, width: usize, channels: usize, patch: &[usize]) -> Result<Weight> {
        let first = [&[width, channels], patch].concat();
        let last = [&[width], patch, &[channels]].concat();
        let area: usize = patch.iter().product();
        let flat = [width, channels * area];
        if first == last || self.shape("weight") != Some(last.clone()) {
            let raw = self.path.take("weight", &first)?;
            return Ok(Weight::Dense(self.device.wrap(&flat, float(&raw)?, raw.bytes)));
        }
        let raw = self.path.take("weight", &last)?;
        let dtype = float(&raw)?;
        let size = dtype.size();
        let mut bytes = Vec::with_capacity(raw.bytes.len());
        for output in raw.bytes.chunks_exact(channels * area * size) {
            for channel in 0..channels {
                for element in output.chunks_exact(channels * size) {
                    bytes.extend_from_slice(&element[channel * size..][..size]);
                }
            }
        }
        Ok(self.laid_out(&flat, dtype, bytes))
    }

    /// Takes `weight: [rows, columns]` here, dense or in any of MLX's formats, to multiply with: laid
    /// out anew, now or in time, if the device has a layout of its own.
    pub(crate) fn weight(&self, rows: usize, columns: usize) -> Result<Weight> {
        let matrix = self.path.matrix(rows, columns)?;
        let mut weight = self.whole(&matrix)?;
        if let Weight::Quantized(tensor) = &mut weight {
            // What is laid out need not be in memory twice.
            let parts: Vec<_> = parts(&matrix).map(|raw| self.path.letting_go(raw)).collect();
            tensor.lay_out(|| parts.into_iter().for_each(|let_go| let_go()));
        }
        Ok(weight)
    }

    /// Takes `weight: [rows, columns]` here, as it lies, to take rows from.
    pub(crate) fn rows(&self, rows: usize, columns: usize) -> Result<Weight> {
        self.whole(&self.path.matrix(rows, columns)?)
    }

    /// Takes the stack `weight: [count, rows, columns]` here, one matrix below the other.
    pub(crate) fn stack(&self, count: usize, rows: usize, columns: usize) -> Result<Weight> {
        self.whole(&self.path.stack(count, rows, columns)?)
    }

    /// Takes a matrix at each of `places`, which would be stacked here. They stay where they lie,
    /// unless the device copies weights anyway: then they become one stack on the way.
    pub(crate) fn list(&self, places: &[Self], rows: usize, columns: usize) -> Result<Vec<Weight>> {
        let matrices: Vec<Matrix> =
            places.iter().map(|at| at.path.matrix(rows, columns)).collect::<Result<_, _>>()?;
        self.path.note_stack(places.iter().map(|at| at.name().to_owned()).collect());
        if self.device.copies()
            && let Some(stack) = stacked(&matrices)
        {
            let weight = self.whole(&stack);
            matrices.iter().flat_map(parts).for_each(|raw| self.path.let_go(raw));
            return Ok(vec![weight?]);
        }
        matrices.iter().map(|matrix| self.whole(matrix)).collect()
    }

    /// Takes note of how few bits the matrix here bears.
    pub(crate) fn note_care(&self, care: Care) {
        self.path.note_care(care);
    }

    /// Takes note that what lies below this place makes features of images: a token of text reads none of it, and matrices stay
    /// floats, for they are a small part of a model, and suffer most.
    pub(crate) fn note_floats(&self) {
        self.path.note_care_below(Care::Float);
        self.path.note_chosen(0, 1);
    }

    /// Takes note that one token reads only `chosen` of the `count` parts below this place.
    pub(crate) fn note_chosen(&self, chosen: usize, count: usize) {
        self.path.note_chosen(chosen, count);
    }

    /// Ones of the type that [`vector`](Self::vector) gave.
    pub(crate) fn ones(&self, dtype: DType, len: usize) -> Tensor {
        let one: &[u8] = match dtype {
            DType::F16 => &[0x00, 0x3c],
            DType::BF16 => &[0x80, 0x3f],
            DType::F32 | DType::U8 | DType::U32 => &[0x00, 0x00, 0x80, 0x3f],
        };
        let dtype = if one.len() == 4 { DType::F32 } else { dtype };
        self.device.widen(&[len], dtype, &one.repeat(len))
    }

    /// Takes the stack of `count` matrices here that are stored as `NAME_blocks` and `NAME_scales`.
    pub(crate) fn blocks(
        &self,
        name: &str,
        count: usize,
        rows: usize,
        columns: usize,
    ) -> Result<Weight> {
        self.whole(&self.path.blocks(name, count, rows, columns)?)
    }

    /// Takes note that blocks here are what MLX reads at these `places`.
    pub(crate) fn note_blocks(&self, places: &[&str]) {
        let quantization = Mode::Mxfp4.default_parameters();
        places.iter().for_each(|place| self.path.note_coded(place, quantization));
    }

    /// Takes `weight: [rows, columns]` here as the numbers that it holds, little-endian, row by row:
    /// those of the file, or what codes stand for. For what must be laid out anew.
    pub(crate) fn numbers(&self, rows: usize, columns: usize) -> Result<(DType, Bytes)> {
        let matrix = self.path.matrix(rows, columns)?;
        if let Matrix::Dense(raw) = &matrix {
            return Ok((float(raw)?, raw.bytes.clone()));
        }
        let weight = self.whole(&matrix)?;
        let all: Vec<u32> = (0..rows as u32).collect();
        let numbers = weight.take(&all).to_vec();
        if self.device.precision() == Precision::Exact {
            let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            return Ok((DType::F32, bytes.into()));
        }
        let halves: Vec<u8> = numbers.iter().flat_map(|&x| bf16(x).to_le_bytes()).collect();
        Ok((DType::BF16, halves.into()))
    }

    /// A weight that was laid out anew.
    pub(crate) fn laid_out(&self, shape: &[usize], dtype: DType, bytes: Vec<u8>) -> Weight {
        Weight::Dense(self.device.wrap(shape, dtype, bytes.into()))
    }

    fn whole(&self, matrix: &Matrix) -> Result<Weight> {
        match matrix {
            Matrix::Dense(raw) => Ok(Weight::Dense(self.wrap(raw, float(raw)?))),
            Matrix::Quantized(matrix) => {
                let float_or_byte = |raw: &RawTensor| {
                    if raw.dtype == Dtype::U8 { Ok(DType::U8) } else { float(raw) }
                };
                let biases = match &matrix.biases {
                    Some(raw) => Some(self.wrap(raw, float(raw)?)),
                    None => None,
                };
                let tensor = QuantizedTensor {
                    rows: matrix.rows,
                    columns: matrix.columns,
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

    /// The same place, with a part of the configuration beside it.
    pub(crate) fn beside<'b>(&'b self, config: &'b Config) -> Scope<'b> {
        let Self { path, device, adapter, folder, .. } = self.clone();
        Scope { path, config, device, adapter, folder }
    }

    pub(crate) fn config(&self) -> &'a Config {
        self.config
    }
}

/// The nearest number with the upper half of the bits; halves go to even.
pub(crate) fn bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return 0x7fc0;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// The tensors that a matrix is stored in.
fn parts(matrix: &Matrix) -> impl Iterator<Item = &RawTensor> {
    let (first, second, third) = match matrix {
        Matrix::Dense(weight) => (weight, None, None),
        Matrix::Quantized(matrix) => (&matrix.weight, Some(&matrix.scales), matrix.biases.as_ref()),
    };
    std::iter::once(first).chain(second).chain(third)
}

/// Matrices below each other, in memory of their own; `None` if they are not stored alike.
fn stacked(matrices: &[Matrix]) -> Option<Matrix> {
    let join = |pick: &dyn Fn(&Matrix) -> Option<&RawTensor>| -> Option<RawTensor> {
        let first = pick(matrices.first()?)?;
        let mut bytes = Vec::with_capacity(first.bytes.len() * matrices.len());
        for matrix in matrices {
            let raw = pick(matrix)?;
            if raw.dtype != first.dtype || raw.shape != first.shape {
                return None;
            }
            bytes.extend_from_slice(&raw.bytes);
        }
        let shape = vec![first.shape.first()? * matrices.len(), *first.shape.last()?];
        Some(RawTensor { shape, bytes: bytes.into(), ..first.clone() })
    };
    match matrices.first()? {
        Matrix::Dense(_) => {
            let dense = |matrix: &Matrix| matches!(matrix, Matrix::Dense(_));
            let weight = matrices.iter().all(dense).then(|| join(&|matrix| parts(matrix).next()));
            weight?.map(Matrix::Dense)
        }
        Matrix::Quantized(first) => {
            let alike = |matrix: &Matrix| match matrix {
                Matrix::Quantized(matrix) => {
                    matrix.quantization == first.quantization
                        && matrix.global_scale == first.global_scale
                }
                Matrix::Dense(_) => false,
            };
            if !matrices.iter().all(alike) {
                return None;
            }
            Some(Matrix::Quantized(QuantizedMatrix {
                rows: first.rows * matrices.len(),
                weight: join(&|matrix| parts(matrix).next())?,
                scales: join(&|matrix| parts(matrix).nth(1))?,
                biases: join(&|matrix| parts(matrix).nth(2)),
                ..first.clone()
            }))
        }
    }
}

fn float(raw: &RawTensor) -> Result<DType> {
    const FLOATS: [(Dtype, DType); 3] =
        [(Dtype::F32, DType::F32), (Dtype::F16, DType::F16), (Dtype::BF16, DType::BF16)];
    let dtype = FLOATS.into_iter().find(|(stored, _)| *stored == raw.dtype);
    let error = || Error::Dtype { tensor: raw.name.clone(), dtype: raw.dtype.to_string() };
    dtype.map(|(_, dtype)| dtype).ok_or_else(error)
}
