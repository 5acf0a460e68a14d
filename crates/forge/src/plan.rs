//! What a conversion will write, decided before anything is written.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use checkpoint::{Care, Dtype, Folder, MatrixUse, Mode, Quantization, TensorHeader};
use kernels::{CpuOptions, Device};
use serde_json::{Map, Value, json};

use crate::{Error, Recipe, Result};

/// The most bytes of a file of weights, as in mlx-lm; a larger tensor has a file of its own.
const SHARD_BYTES: u64 = 5 << 30;

/// A tensor that will be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its full name.
    pub name: String,
    /// Its element type.
    pub dtype: Dtype,
    /// Its extents.
    pub shape: Vec<usize>,
    pub(crate) origin: Origin,
}

/// Where a tensor's elements come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The tensor of the same name, in `Part::dtype`.
    Tensor,
    /// These tensors, one after the other, in `Part::dtype`.
    Stack(Vec<String>),
    /// One of the parts of the quantized matrix whose elements are the tensors `from`, one after the other, read as
    /// `floats`.
    Matrix { from: Vec<String>, floats: Dtype, how: Quantization },
}

/// A matrix of the result, or a stack of them.
#[derive(Debug)]
struct Target {
    /// The tensors of the source that its elements are, one after the other.
    from: Vec<String>,
    /// As the network takes it.
    matrix: MatrixUse,
    /// What becomes of it; `None` if it stays.
    how: Option<Quantization>,
}

impl Part {
    /// The bytes that its elements take.
    pub fn bytes(&self) -> u64 {
        self.header().bytes()
    }

    pub(crate) fn header(&self) -> TensorHeader<'_> {
        TensorHeader { name: &self.name, dtype: self.dtype, shape: &self.shape }
    }
}

/// A model and what is to become of it.
#[derive(Debug)]
pub struct Conversion {
    pub(crate) source: PathBuf,
    pub(crate) recipe: Recipe,
    /// In the order of their names.
    pub(crate) parts: Vec<Part>,
    /// The tensors of each file of weights.
    pub(crate) shards: Vec<Range<usize>>,
    pub(crate) config: Value,
    parameters: u64,
    kept: usize,
    quantized: usize,
}

impl Conversion {
    /// Looks at the model in the folder `source` and decides what `recipe` makes of each of its tensors.
    ///
    /// # Errors
    ///
    /// If the folder does not hold a whole model of a known architecture, it is quantized already, or the recipe
    /// changes nothing.
    pub fn plan(source: &Path, recipe: Recipe) -> Result<Self> {
        let folder = Folder::open(source)?;
        let weights = folder.weights()?;
        let device = Device::cpu(CpuOptions { threads: Some(1), ..CpuOptions::default() })?;
        // The architecture knows which tensors are matrices, and which of the checkpoint's it has no use for.
        drop(models::build(&folder, &weights, &device)?);
        let (matrices, stacks, taken) = (weights.matrices(), weights.stacks(), weights.taken());
        let coded = weights.coded();
        weights.finish()?;
        if let Some((place, quantization)) = matrices
            .iter()
            .filter(|(_, matrix)| matrix.care != Care::Coded)
            .find_map(|(place, matrix)| Some((place, matrix.quantization?)))
        {
            let (path, place) = (source.to_owned(), place.clone());
            return Err(Error::AlreadyQuantized { path, place, quantization });
        }
        let targets = targets(matrices, stacks, &recipe);
        if let Some(pattern) = recipe.idle(targets.keys().map(String::as_str)) {
            let places = targets.keys().take(4).cloned().collect();
            return Err(Error::IdleOverride { pattern: pattern.to_owned(), places });
        }
        let quantized = targets.values().filter(|target| target.how.is_some()).count();
        let (parts, parameters) = parts(&folder, &taken, &targets, recipe.dtype)?;
        let changes = recipe.dtype.is_some() || quantized > 0;
        if !changes {
            return Err(Error::NothingToDo { path: source.to_owned() });
        }
        let config = config(folder.config().value(), &recipe, (&targets, &coded));
        Ok(Self {
            source: source.to_owned(),
            shards: shards(&parts, SHARD_BYTES),
            parts,
            config,
            parameters,
            kept: targets.len() - quantized,
            quantized,
            recipe,
        })
    }

    /// The same in files of at most so many bytes, instead of 5 GiB; a matrix is never cut.
    #[must_use]
    pub fn in_files_of(self, bytes: u64) -> Self {
        Self { shards: shards(&self.parts, bytes), ..self }
    }

    /// The tensors that will be written, in the order of their names.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The bytes that all tensors will take.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(Part::bytes).sum()
    }

    /// Bits for each parameter, scales and what stays a float included.
    pub fn bits_per_weight(&self) -> f64 {
        self.bytes() as f64 * 8.0 / self.parameters.max(1) as f64
    }

    /// How many matrices will be quantized, and how many stay as they are.
    pub fn matrices(&self) -> (usize, usize) {
        (self.quantized, self.kept)
    }

    /// The name of the file of weights number `shard`.
    pub(crate) fn file(&self, shard: usize) -> String {
        match self.shards.len() {
            1 => "model.safetensors".to_owned(),
            all => format!("model-{:05}-of-{all:05}.safetensors", shard + 1),
        }
    }

    /// `model.safetensors.index.json`.
    pub(crate) fn index(&self) -> Value {
        let mut places = Map::new();
        for (shard, range) in self.shards.iter().enumerate() {
            for part in &self.parts[range.clone()] {
                places.insert(part.name.clone(), self.file(shard).into());
            }
        }
        json!({
            "metadata": {"total_size": self.bytes(), "total_parameters": self.parameters},
            "weight_map": places,
        })
    }
}

fn weight_of(place: &str) -> String {
    if place.is_empty() { "weight".to_owned() } else { format!("{place}.weight") }
}

/// The matrices of the result by place. Those that the source has one by one, and the network takes as a stack, become
/// one, as MLX keeps them.
fn targets(
    mut matrices: BTreeMap<String, MatrixUse>,
    stacks: BTreeMap<String, Vec<String>>,
    recipe: &Recipe,
) -> BTreeMap<String, Target> {
    let mut targets = BTreeMap::new();
    for (place, members) in stacks {
        let count = Some(members.len());
        let taken: Vec<_> = members.iter().filter_map(|member| matrices.remove(member)).collect();
        let Some(&first) = taken.first() else { continue };
        let from = members.iter().map(|member| weight_of(member)).collect();
        let matrix = MatrixUse { count, ..first };
        let how = recipe.choose(&place, &matrix);
        targets.insert(place, Target { from, matrix, how });
    }
    for (place, matrix) in matrices {
        let (from, how) = (vec![weight_of(&place)], recipe.choose(&place, &matrix));
        targets.insert(place, Target { from, matrix, how });
    }
    targets
}

/// Every tensor of the result by name, and how many parameters the network has.
fn parts(
    folder: &Folder,
    taken: &BTreeSet<String>,
    targets: &BTreeMap<String, Target>,
    dtype: Option<Dtype>,
) -> Result<(Vec<Part>, u64)> {
    let mut parameters = 0;
    let mut parts = Vec::new();
    let index = folder.index()?;
    let stored = |found: Dtype| dtype.filter(|_| found.is_float()).unwrap_or(found);
    let of_matrices: BTreeSet<&String> = targets.values().flat_map(|target| &target.from).collect();
    for tensor in index.tensors.iter().filter(|tensor| taken.contains(&tensor.name)) {
        parameters += tensor.parameters;
        if !of_matrices.contains(&tensor.name) {
            let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
            parts.push(Part { name, dtype: stored(tensor.dtype), shape, origin: Origin::Tensor });
        }
    }
    for (place, Target { from, matrix, how }) in targets {
        let Some(first) = from.first().and_then(|name| index.get(name)) else { continue };
        let floats = stored(first.dtype);
        let shaped = |one: [usize; 2]| matrix.count.into_iter().chain(one).collect::<Vec<_>>();
        let Some(how) = *how else {
            let (name, shape) = (weight_of(place), shaped([matrix.rows, matrix.columns]));
            let single = from.len() == 1;
            let origin = if single { Origin::Tensor } else { Origin::Stack(from.clone()) };
            parts.push(Part { name, dtype: floats, shape, origin });
            continue;
        };
        let Some((words, groups)) = how.stored_shapes(matrix.rows, matrix.columns) else {
            continue;
        };
        let mut part = |what: &str, dtype, shape: [usize; 2]| {
            let origin = Origin::Matrix { from: from.clone(), floats, how };
            let name = weight_of(place).trim_end_matches("weight").to_owned() + what;
            parts.push(Part { name, dtype, shape: shaped(shape), origin });
        };
        part("weight", Dtype::U32, words);
        if how.mode == Mode::Affine {
            part("scales", floats, groups);
            part("biases", floats, groups);
        } else {
            part("scales", Dtype::U8, groups);
        }
    }
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((parts, parameters))
}

/// Cuts the tensors into files. The parts of a matrix, which follow each other, stay together.
fn shards(parts: &[Part], most: u64) -> Vec<Range<usize>> {
    let mut shards = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    let same = |a: &Origin, b: &Origin| {
        matches!((a, b),
        (Origin::Matrix { from: a, .. }, Origin::Matrix { from: b, .. }) if a == b)
    };
    let mut at = 0;
    while at < parts.len() {
        let together = 1 + parts[at + 1..]
            .iter()
            .take_while(|next| same(&parts[at].origin, &next.origin))
            .count();
        let more: u64 = parts[at..at + together].iter().map(Part::bytes).sum();
        if at > begin && bytes + more > most {
            shards.push(begin..at);
            (begin, bytes) = (at, 0);
        }
        bytes += more;
        at += together;
    }
    shards.push(begin..parts.len());
    shards
}

/// `config.json` of the result.
fn config(
    source: &Value,
    recipe: &Recipe,
    (targets, coded): (&BTreeMap<String, Target>, &BTreeMap<String, Quantization>),
) -> Value {
    let mut config = source.clone();
    let Some(object) = config.as_object_mut() else { return config };
    if let Some(name) = recipe.dtype.and_then(torch_name) {
        for key in ["torch_dtype", "dtype"] {
            if let Some(value) = object.get_mut(key) {
                *value = name.into();
            }
        }
    }
    let mut counts = BTreeMap::new();
    let chosen = || targets.iter().filter_map(|(place, target)| Some((place, target.how?)));
    chosen().for_each(|(_, how)| *counts.entry(how).or_insert(0_usize) += 1);
    // What most matrices have is the rule, and the others are its exceptions.
    let usual = recipe.quantization.filter(|how| counts.contains_key(how));
    let usual = usual.or_else(|| counts.iter().max_by_key(|(_, n)| **n).map(|(how, _)| *how));
    let Some(usual) = usual else { return config };
    let parameters = |how: Quantization| {
        let mut object = Map::new();
        object.insert("group_size".to_owned(), how.group_size.into());
        object.insert("bits".to_owned(), how.bits.into());
        object.insert("mode".to_owned(), how.mode.name().into());
        object
    };
    let mut quantization = parameters(usual);
    // What stays the codes that it was is said by the names that MLX gives it.
    let coded = coded.iter().map(|(place, how)| (place, *how));
    for (place, how) in chosen().chain(coded).filter(|(_, how)| *how != usual) {
        quantization.insert(place.clone(), parameters(how).into());
    }
    // mlx-lm reads the first, Hugging Face's tools the second.
    object.insert("quantization".to_owned(), quantization.clone().into());
    object.insert("quantization_config".to_owned(), quantization.into());
    config
}

fn torch_name(dtype: Dtype) -> Option<&'static str> {
    let names = [(Dtype::F32, "float32"), (Dtype::F16, "float16"), (Dtype::BF16, "bfloat16")];
    names.into_iter().find(|(known, _)| *known == dtype).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, bytes: usize, from: Option<&str>) -> Part {
        let how = Mode::Affine.default_parameters();
        let origin = from.map_or(Origin::Tensor, |from| Origin::Matrix {
            from: vec![from.to_owned()],
            floats: Dtype::BF16,
            how,
        });
        Part { name: name.to_owned(), dtype: Dtype::U8, shape: vec![bytes], origin }
    }

    #[test]
    fn files_hold_what_fits_and_matrices_stay_whole() {
        let parts = [
            part("a", 4, None),
            part("b.biases", 2, Some("b")),
            part("b.scales", 2, Some("b")),
            part("b.weight", 3, Some("b")),
            part("c", 20, None),
            part("d", 1, None),
        ];
        assert_eq!(shards(&parts, 10), [0..1, 1..4, 4..5, 5..6]);
        assert_eq!(shards(&parts, 11), [0..4, 4..5, 5..6]);
        assert_eq!(shards(&parts, 1000), std::slice::from_ref(&(0..6)));
    }
}
