//! What is in a checkpoint, from its headers alone: for `show` and `plan`.

use std::collections::BTreeMap;

use crate::files::Files;
use crate::quantization::Declared;
use crate::shards::Shard;
use crate::{Dtype, Error, Mode, Quantization, QuantizationRules, Result};

/// A list of a checkpoint's tensors. No tensor was read for it.
#[derive(Clone, Debug)]
pub struct Index {
    /// The files of weights.
    pub files: Vec<IndexFile>,
    /// The tensors, sorted by name.
    pub tensors: Vec<IndexTensor>,
}

/// A file of weights.
#[derive(Clone, Debug)]
pub struct IndexFile {
    /// The name in the model folder.
    pub name: String,
    /// Bytes of tensors in it: without its header.
    pub bytes: u64,
    /// The file's own notes; MLX writes `format: mlx`.
    pub metadata: BTreeMap<String, String>,
}

/// A tensor in a file.
#[derive(Clone, Debug)]
pub struct IndexTensor {
    /// The full name.
    pub name: String,
    /// The stored element type.
    pub dtype: Dtype,
    /// The stored shape.
    pub shape: Vec<usize>,
    /// A position in [`Index::files`].
    pub file: usize,
    /// Bytes in the file.
    pub bytes: u64,
    /// How it is quantized, if it is the packed weight of a matrix.
    pub quantization: Option<Quantization>,
    /// The numbers it stands for: unpacked for a packed weight; none for its scales and biases, nor for a tensor that
    /// is not made of floats.
    pub parameters: u64,
}

impl Index {
    /// The number of parameters of the network.
    pub fn parameters(&self) -> u64 {
        self.tensors.iter().fold(0, |sum, tensor| sum.saturating_add(tensor.parameters))
    }

    /// The bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().fold(0, |sum, tensor| sum.saturating_add(tensor.bytes))
    }

    /// Bits of storage per parameter, scales included; `None` without parameters.
    pub fn bits_per_weight(&self) -> Option<f64> {
        let parameters = self.parameters();
        (parameters > 0).then(|| self.bytes() as f64 * 8.0 / parameters as f64)
    }

    /// The tensor `name`.
    pub fn get(&self, name: &str) -> Option<&IndexTensor> {
        let position =
            self.tensors.binary_search_by(|tensor| tensor.name.as_str().cmp(name)).ok()?;
        self.tensors.get(position)
    }

    /// The parameters under each quantization; `None` stands for what is not quantized.
    pub fn parameters_by_quantization(&self) -> BTreeMap<Option<Quantization>, u64> {
        let mut sums = BTreeMap::new();
        for tensor in self.tensors.iter().filter(|tensor| tensor.parameters > 0) {
            let sum: &mut u64 = sums.entry(tensor.quantization).or_default();
            *sum = sum.saturating_add(tensor.parameters);
        }
        sums
    }

    pub(crate) fn build(
        files: &Files,
        shards: Vec<Shard>,
        rules: &QuantizationRules,
    ) -> Result<Self> {
        let mut index = Self { files: Vec::new(), tensors: Vec::new() };
        for (file, shard) in shards.into_iter().enumerate() {
            let mut sum = 0;
            for (name, entry) in shard.header.tensors {
                let bytes = entry.end - entry.begin;
                sum += bytes;
                let elements = elements(&entry.shape);
                let parameters = if entry.dtype.is_float() { elements } else { 0 };
                let (dtype, shape) = (entry.dtype, entry.shape);
                index.tensors.push(IndexTensor {
                    name,
                    dtype,
                    shape,
                    file,
                    bytes,
                    quantization: None,
                    parameters,
                });
            }
            index.files.push(IndexFile {
                name: shard.name,
                bytes: sum,
                metadata: shard.header.metadata,
            });
        }
        index.tensors.sort_by(|a, b| a.name.cmp(&b.name));
        index.count_blocks();
        index.count_quantized(files, rules)?;
        Ok(index)
    }

    /// Counts blocks of codes, `NAME_blocks` beside `NAME_scales`, as what they stand for.
    fn count_blocks(&mut self) {
        let bytes =
            |tensor: &IndexTensor, axes| tensor.dtype == Dtype::U8 && tensor.shape.len() == axes;
        let named = self.tensors.iter().filter(|tensor| bytes(tensor, 4));
        let names: Vec<String> = named
            .filter_map(|tensor| Some(tensor.name.strip_suffix("_blocks")?.to_owned()))
            .filter(|name| self.get(&format!("{name}_scales")).is_some_and(|it| bytes(it, 3)))
            .collect();
        for tensor in &mut self.tensors {
            let name = tensor.name.strip_suffix("_blocks");
            let name = name.or_else(|| tensor.name.strip_suffix("_scales"));
            if name.is_some_and(|name| names.iter().any(|known| known == name)) {
                tensor.quantization = Some(Mode::Mxfp4.default_parameters());
                // Two codes in a byte, and scales are nothing of their own.
                let codes = tensor.bytes.saturating_mul(2);
                tensor.parameters = if tensor.shape.len() == 4 { codes } else { 0 };
            }
        }
    }

    /// Counts packed weights as what they stand for, and their scales and biases as nothing.
    fn count_quantized(&mut self, files: &Files, rules: &QuantizationRules) -> Result<()> {
        let positions: BTreeMap<String, usize> = self
            .tensors
            .iter()
            .enumerate()
            .map(|(position, tensor)| (tensor.name.clone(), position))
            .collect();
        for (name, &at_scales) in &positions {
            let Some(place) = name.strip_suffix(".scales") else { continue };
            let Some(&at_weight) = positions.get(&format!("{place}.weight")) else { continue };
            let (Some(weight), Some(scales)) =
                (self.tensors.get(at_weight), self.tensors.get(at_scales))
            else {
                continue;
            };
            if weight.dtype != Dtype::U32 {
                continue;
            }
            let Some(quantization) = quantization(rules, place, weight, scales) else {
                let file = self.files.get(weight.file).map(|file| files.path(&file.name));
                return Err(Error::QuantizedShape {
                    path: file.unwrap_or_default(),
                    place: place.to_owned(),
                    weight: weight.shape.clone(),
                    scales: scales.shape.clone(),
                    columns: None,
                });
            };
            let parameters = weight.bytes.saturating_mul(8) / u64::from(quantization.bits);
            for part in ["scales", "biases", "global_scale"] {
                let position = positions.get(&format!("{place}.{part}"));
                if let Some(tensor) = position.and_then(|&position| self.tensors.get_mut(position))
                {
                    tensor.parameters = 0;
                }
            }
            if let Some(weight) = self.tensors.get_mut(at_weight) {
                (weight.quantization, weight.parameters) = (Some(quantization), parameters);
            }
        }
        Ok(())
    }
}

/// The quantization of a matrix whose logical width is not known: what is declared for it or for all, if the shapes
/// allow it, or else the nearest parameters that they allow.
fn quantization(
    rules: &QuantizationRules,
    place: &str,
    weight: &IndexTensor,
    scales: &IndexTensor,
) -> Option<Quantization> {
    let (words, weight_rows) = weight.shape.split_last()?;
    let (groups, scale_rows) = scales.shape.split_last()?;
    if weight_rows != scale_rows || *groups == 0 {
        return None;
    }
    // One word has 32 bits; one group has bits * group_size of them.
    let fits = |candidate: &Quantization| {
        let (_, found) = Quantization::infer(
            scales.dtype,
            u64::from(candidate.bits),
            candidate.group_size as u64,
        );
        let bits_per_group = (candidate.bits as usize).checked_mul(candidate.group_size);
        found == Some(*candidate)
            && bits_per_group.and_then(|bits| bits.checked_mul(*groups)) == words.checked_mul(32)
    };
    match rules.declared(place) {
        Declared::Quantized(declared) => return Some(declared).filter(fits),
        Declared::Dense => return None,
        Declared::Nothing => {}
    }
    // Scales of another mode than the declared one make the declared parameters meaningless.
    let affine = scales.dtype != Dtype::U8;
    let same_mode = rules.default.filter(|default| (default.mode == Mode::Affine) == affine);
    let default = same_mode.unwrap_or(Mode::Affine.default_parameters());
    let mut candidates = vec![default];
    for group_size in [default.group_size, 64, 32, 128, 16] {
        for bits in [default.bits, 4, 8, 6, 5, 3, 2] {
            candidates
                .extend(Quantization::infer(scales.dtype, u64::from(bits), group_size as u64).1);
        }
    }
    candidates.into_iter().find(fits)
}

/// The product of a checked shape.
fn elements(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |product: u64, &size| product.saturating_mul(size as u64))
}
