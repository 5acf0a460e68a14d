//! A matrix of a checkpoint, dense or quantized, with its shapes checked.

use crate::quantization::Declared;
use crate::weights::{Care, MatrixUse, Path};
use crate::{Dtype, Error, Mode, Quantization, RawTensor, Result};

/// The matrix of a linear layer or an embedding.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a few hundred live for the moment of loading; a box would only be in the way"
)]
pub enum Matrix {
    /// `[rows, columns]` in F32, F16 or BF16.
    Dense(RawTensor),
    /// Packed codes with scales.
    Quantized(QuantizedMatrix),
}

/// A quantized matrix whose parts fit together.
#[derive(Clone, Debug)]
pub struct QuantizedMatrix {
    /// The logical number of rows.
    pub rows: usize,
    /// The logical number of columns: a multiple of the group size.
    pub columns: usize,
    /// How codes become numbers.
    pub quantization: Quantization,
    /// U32 `[rows, columns * bits / 32]`: each row is a little-endian stream of codes, lowest bits first.
    pub weight: RawTensor,
    /// `[rows, columns / group_size]`: F32, F16 or BF16 for affine; U8 for the others.
    pub scales: RawTensor,
    /// As `scales`, for affine only.
    pub biases: Option<RawTensor>,
    /// For nvfp4 only: the dequantized matrix is to be multiplied by `global_scale / 2688`.
    pub global_scale: Option<f32>,
}

impl Matrix {
    /// The logical number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Dense(weight) => weight.shape.first().copied().unwrap_or(0),
            Self::Quantized(matrix) => matrix.rows,
        }
    }

    /// The logical number of columns.
    pub fn columns(&self) -> usize {
        match self {
            Self::Dense(weight) => weight.shape.get(1).copied().unwrap_or(0),
            Self::Quantized(matrix) => matrix.columns,
        }
    }
}

impl Path<'_> {
    /// Takes the matrix here: `weight`, and `scales`, `biases` and `global_scale` where it is quantized.
    ///
    /// A place that the configuration lists is what it lists. Any other is quantized if it has `scales`, and its
    /// parameters follow from the shapes: group = columns / scale columns, bits = 32 * weight columns / columns.
    ///
    /// # Errors
    /// If a part is missing, or shapes, dtypes and the configuration do not agree.
    pub fn matrix(&self, rows: usize, columns: usize) -> Result<Matrix> {
        self.take_matrix(Extents { count: None, rows, columns })
    }

    /// Takes the stack of `count` matrices here, stored with a first axis that counts them, as one matrix of all their
    /// rows.
    ///
    /// # Errors
    /// As for [`matrix`](Self::matrix).
    pub fn stack(&self, count: usize, rows: usize, columns: usize) -> Result<Matrix> {
        self.take_matrix(Extents { count: Some(count), rows, columns })
    }

    /// Takes the stack of `count` matrices here whose codes are `NAME_blocks`, U8 `[count, rows, groups, 16]`, and whose
    /// scales are `NAME_scales`, U8 `[count, rows, groups]`: mxfp4 in another spelling, with the same bytes.
    ///
    /// # Errors
    /// As for [`matrix`](Self::matrix).
    pub fn blocks(&self, name: &str, count: usize, rows: usize, columns: usize) -> Result<Matrix> {
        let quantization = Mode::Mxfp4.default_parameters();
        let (codes, scales) = (format!("{name}_blocks"), format!("{name}_scales"));
        let extents = Extents { count: Some(count), rows, columns };
        let Some((words, groups)) = quantization.stored_shapes(rows, columns) else {
            return Err(Error::QuantizedShape {
                path: self.file(&codes),
                place: self.at(name).name().to_owned(),
                weight: self.peek(&codes, |tensor| tensor.shape.clone())?,
                scales: self.peek(&scales, |tensor| tensor.shape.clone())?,
                columns: Some(columns),
            });
        };
        let bytes = [count, rows, groups[1], quantization.group_size / 2];
        let weight = self.take_as(&codes, &bytes, "U8", is_u8)?;
        let scales = self.take_as(&scales, &extents.stored(groups), "U8", is_u8)?;
        let used = extents.used(Some(quantization));
        self.at(name).note(MatrixUse { care: Care::Coded, ..used });
        Ok(Matrix::Quantized(QuantizedMatrix {
            rows: extents.all_rows(),
            columns,
            quantization,
            weight: RawTensor {
                dtype: Dtype::U32,
                shape: vec![extents.all_rows(), words[1]],
                ..weight
            },
            scales: extents.flat(scales),
            biases: None,
            global_scale: None,
        }))
    }

    fn take_matrix(&self, extents: Extents) -> Result<Matrix> {
        let config = || self.folder().join("config.json");
        let place = || self.name().to_owned();
        match (self.declared(), self.has("scales")) {
            (Declared::Nothing | Declared::Dense, false) => {
                if self.peek("weight", |tensor| tensor.dtype)? == Dtype::U32 {
                    // Packed codes without their scales: say so, rather than that the shape is wrong.
                    self.peek("scales", |_| ())?;
                }
                let weight =
                    self.take("weight", &extents.stored([extents.rows, extents.columns]))?;
                self.note(extents.used(None));
                Ok(Matrix::Dense(extents.flat(weight)))
            }
            (Declared::Dense, true) => {
                Err(Error::ScalesUnexpected { path: config(), place: place() })
            }
            (Declared::Quantized(quantization), false) => {
                // A missing matrix is no matter of quantization.
                self.peek("weight", |_| ())?;
                Err(Error::ScalesMissing { path: config(), place: place(), quantization })
            }
            (Declared::Quantized(quantization), true) => self.quantized(extents, quantization),
            (Declared::Nothing, true) => self.quantized(extents, self.infer(extents.columns)?),
        }
    }

    /// The quantization that the stored shapes imply for `columns`.
    fn infer(&self, columns: usize) -> Result<Quantization> {
        let weight = self.peek("weight", |tensor| tensor.shape.clone())?;
        let (scales, dtype) = self.peek("scales", |tensor| (tensor.shape.clone(), tensor.dtype))?;
        let last = |shape: &[usize]| shape.last().copied().unwrap_or(0) as u64;
        let (words, groups, width) = (last(&weight), last(&scales), columns as u64);
        let whole = width != 0
            && groups != 0
            && width % groups == 0
            && (words.saturating_mul(32)) % width == 0;
        if !whole {
            return Err(Error::QuantizedShape {
                path: self.file("weight"),
                place: self.name().to_owned(),
                weight,
                scales,
                columns: Some(columns),
            });
        }
        let (bits, group_size) = (words.saturating_mul(32) / width, width / groups);
        let (mode, found) = Quantization::infer(dtype, bits, group_size);
        found.ok_or_else(|| Error::QuantizationParameters {
            path: self.file("weight"),
            place: self.name().to_owned(),
            mode,
            bits,
            group_size,
        })
    }

    /// Takes the parts of a matrix that is quantized in this way.
    fn quantized(&self, extents: Extents, quantization: Quantization) -> Result<Matrix> {
        let Extents { rows, columns, .. } = extents;
        let Some((words, groups)) = quantization.stored_shapes(rows, columns) else {
            return Err(Error::QuantizedShape {
                path: self.file("weight"),
                place: self.name().to_owned(),
                weight: self.peek("weight", |tensor| tensor.shape.clone())?,
                scales: self.peek("scales", |tensor| tensor.shape.clone())?,
                columns: Some(columns),
            });
        };
        let (words, groups) = (extents.stored(words), extents.stored(groups));
        let weight = self.take_as("weight", &words, "U32", |dtype| dtype == Dtype::U32)?;
        let (scales, biases, global_scale) = match quantization.mode {
            Mode::Affine => {
                let scales = self.take("scales", &groups)?;
                let expected = scales.dtype;
                let biases = self
                    .take_as("biases", &groups, "that of the scales", |dtype| dtype == expected)?;
                (scales, Some(biases), None)
            }
            Mode::Mxfp4 | Mode::Mxfp8 => {
                (self.take_as("scales", &groups, "U8", is_u8)?, None, None)
            }
            Mode::Nvfp4 => {
                (self.take_as("scales", &groups, "U8", is_u8)?, None, self.global_scale()?)
            }
        };
        self.note(extents.used(Some(quantization)));
        Ok(Matrix::Quantized(QuantizedMatrix {
            rows: extents.all_rows(),
            columns,
            quantization,
            weight: extents.flat(weight),
            scales: extents.flat(scales),
            biases: biases.map(|biases| extents.flat(biases)),
            global_scale,
        }))
    }

    /// Takes the scale of an nvfp4 matrix: one finite F32, as a scalar or a vector of one.
    fn global_scale(&self) -> Result<Option<f32>> {
        if !self.has("global_scale") {
            return Ok(None);
        }
        let found = self.peek("global_scale", |tensor| tensor.shape.clone())?;
        let shape: &[usize] = if found.is_empty() { &[] } else { &[1] };
        let path = self.file("global_scale");
        let tensor = self.take_as("global_scale", shape, "F32", |dtype| dtype == Dtype::F32)?;
        let value =
            tensor.bytes.first_chunk::<4>().map_or(f32::NAN, |bytes| f32::from_le_bytes(*bytes));
        if !value.is_finite() {
            return Err(Error::Value {
                path,
                field: tensor.name,
                found: value.to_string(),
                expected: "a finite number",
            });
        }
        Ok(Some(value))
    }
}

fn is_u8(dtype: Dtype) -> bool {
    dtype == Dtype::U8
}

/// The extents of a matrix, or of each of a stack.
#[derive(Clone, Copy)]
struct Extents {
    count: Option<usize>,
    rows: usize,
    columns: usize,
}

impl Extents {
    /// The shape of a tensor of a matrix whose own shape is `one`.
    fn stored(self, one: [usize; 2]) -> Vec<usize> {
        self.count.into_iter().chain(one).collect()
    }

    /// The rows of all matrices. The tensors that hold them were found, so their product is no overflow.
    fn all_rows(self) -> usize {
        self.count.unwrap_or(1).saturating_mul(self.rows)
    }

    /// A tensor of a stack as that of one tall matrix.
    fn flat(self, tensor: RawTensor) -> RawTensor {
        let width = tensor.shape.last().copied().unwrap_or(0);
        RawTensor { shape: vec![self.all_rows(), width], ..tensor }
    }

    fn used(self, quantization: Option<Quantization>) -> MatrixUse {
        let Self { count, rows, columns } = self;
        MatrixUse { count, rows, columns, quantization, care: Care::Usual }
    }
}
