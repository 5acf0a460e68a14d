//! The tensors of a checkpoint, walked by name and taken once each.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use bytes::Bytes;

use crate::files::Map;
use crate::quantization::Declared;
use crate::{Dtype, Error, Quantization, QuantizationRules, Result};

/// A tensor as it is stored.
#[derive(Clone)]
pub struct RawTensor {
    /// The full name.
    pub name: String,
    /// The element type.
    pub dtype: Dtype,
    /// The dimensions, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements, little-endian, rows contiguous: a slice of the memory map. Its address has no alignment, for
    /// MLX does not pad headers. Its length is what shape and dtype ask for.
    pub bytes: Bytes,
}

impl fmt::Debug for RawTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{:?}", self.name, self.dtype, self.shape)
    }
}

/// A tensor, and the file it is in as a position in [`Weights::files`].
struct Stored {
    tensor: RawTensor,
    file: usize,
}

#[derive(Default)]
struct Stock {
    left: BTreeMap<String, Stored>,
    taken: BTreeSet<String>,
    matrices: BTreeMap<String, MatrixUse>,
    stacks: BTreeMap<String, Vec<String>>,
    chosen: BTreeMap<String, (usize, usize)>,
    coded: BTreeMap<String, Quantization>,
}

/// What a network takes at a place as a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixUse {
    /// How many matrices lie there, one after the other: `None` for one that has no axis to count them.
    pub count: Option<usize>,
    /// The logical number of rows of each.
    pub rows: usize,
    /// The logical number of columns.
    pub columns: usize,
    /// How it is stored; `None` for floats.
    pub quantization: Option<Quantization>,
    /// How few bits it bears.
    pub care: Care,
}

/// How few bits a matrix bears before the network suffers more than the bits are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Care {
    /// As few as any.
    #[default]
    Usual,
    /// Eight: it decides who computes.
    High,
    /// It stays a float.
    Float,
    /// It is codes already, in a spelling of its own, and stays as it is.
    Coded,
}

/// All tensors of a checkpoint; each is taken once, and none is left.
pub struct Weights {
    folder: PathBuf,
    files: Vec<PathBuf>,
    maps: Vec<Map>,
    rules: QuantizationRules,
    stock: RefCell<Stock>,
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stock = self.stock.borrow();
        write!(
            f,
            "{}: {} tensors left, {} taken",
            self.folder.display(),
            stock.left.len(),
            stock.taken.len()
        )
    }
}

impl Weights {
    /// Tensors already in memory, for tests.
    ///
    /// # Errors
    /// If a name occurs twice, or a tensor's bytes are not what its shape and dtype ask for.
    pub fn from_tensors(tensors: Vec<RawTensor>) -> Result<Self> {
        let memory = PathBuf::from("memory");
        let mut weights = Self::new(memory.clone(), QuantizationRules::default());
        for tensor in tensors {
            let bits = tensor
                .shape
                .iter()
                .try_fold(tensor.dtype.bits(), |product, &size| product.checked_mul(size));
            let expected = bits.map_or(u64::MAX, |bits| bits.div_ceil(8) as u64);
            let found = tensor.bytes.len() as u64;
            if expected != found {
                return Err(Error::ByteLength {
                    path: memory,
                    tensor: tensor.name,
                    expected,
                    found,
                });
            }
            weights.add(&memory, [tensor])?;
        }
        Ok(weights)
    }

    /// The same tensors under other rules of quantization.
    #[must_use]
    pub fn with_quantization(mut self, rules: QuantizationRules) -> Self {
        self.rules = rules;
        self
    }

    pub(crate) fn new(folder: PathBuf, rules: QuantizationRules) -> Self {
        Self { folder, files: Vec::new(), maps: Vec::new(), rules, stock: RefCell::default() }
    }

    /// Keeps hold of the file that tensors were cut from, so that their pages can be given back.
    pub(crate) fn hold(&mut self, map: Map) {
        self.maps.push(map);
    }

    /// Adds the tensors of `file`.
    pub(crate) fn add(
        &mut self,
        file: &std::path::Path,
        tensors: impl IntoIterator<Item = RawTensor>,
    ) -> Result<()> {
        let position = self.files.len();
        self.files.push(file.into());
        let left = &mut self.stock.get_mut().left;
        for tensor in tensors {
            let name = tensor.name.clone();
            if let Some(other) = left.insert(name.clone(), Stored { tensor, file: position }) {
                let first = self.files.get(other.file).cloned().unwrap_or_default();
                return Err(Error::DuplicateTensor { tensor: name, first, second: file.into() });
            }
        }
        Ok(())
    }

    /// The root of the name tree.
    pub fn root(&self) -> Path<'_> {
        Path { weights: self, name: String::new() }
    }

    /// The places that were taken as matrices so far. Each has a tensor `weight`, and its scales where it is quantized.
    pub fn matrices(&self) -> BTreeMap<String, MatrixUse> {
        self.stock.borrow().matrices.clone()
    }

    /// Matrices that lie one by one and that the network takes for a stack: the place of the stack, with those of its
    /// matrices in order.
    pub fn stacks(&self) -> BTreeMap<String, Vec<String>> {
        self.stock.borrow().stacks.clone()
    }

    /// Matrices that are codes already in a spelling of their own: the places that MLX reads them at.
    pub fn coded(&self) -> BTreeMap<String, Quantization> {
        self.stock.borrow().coded.clone()
    }

    /// Places below which a pass of one token reads only some of what lies there: how many of how many.
    pub fn chosen(&self) -> BTreeMap<String, (usize, usize)> {
        self.stock.borrow().chosen.clone()
    }

    /// The model folder.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// The tensor `name`, which stays; `None` where there is none, or it was taken.
    pub fn get(&self, name: &str) -> Option<RawTensor> {
        self.stock.borrow().left.get(name).map(|stored| stored.tensor.clone())
    }

    /// The names of the tensors that have not been taken.
    pub(crate) fn names(&self) -> Vec<String> {
        self.stock.borrow().left.keys().cloned().collect()
    }

    /// The names of all tensors that were taken so far. Ignored ones are not among them.
    pub fn taken(&self) -> BTreeSet<String> {
        self.stock.borrow().taken.clone()
    }

    /// Declares that every tensor has been taken or ignored: a silent leftover is a wrong network.
    ///
    /// # Errors
    /// [`Error::Unused`] with the names of what is left.
    pub fn finish(self) -> Result<()> {
        let names: Vec<String> = self.stock.into_inner().left.into_keys().collect();
        if names.is_empty() { Ok(()) } else { Err(Error::Unused { path: self.folder, names }) }
    }
}

/// A place in the name tree, such as `model.layers.3.mlp`.
#[derive(Clone, Debug)]
pub struct Path<'a> {
    weights: &'a Weights,
    name: String,
}

impl Path<'_> {
    /// The child `name` of this place; `name` may itself have dots.
    #[must_use]
    pub fn at(&self, name: impl fmt::Display) -> Self {
        let name =
            if self.name.is_empty() { name.to_string() } else { format!("{}.{name}", self.name) };
        Self { weights: self.weights, name }
    }

    /// The root of the checkpoint.
    #[must_use]
    pub fn root(&self) -> Self {
        self.weights.root()
    }

    /// The name of this place; empty for the root.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives the memory of `tensor` back to the system: for a device that has copied it. Its bytes stay valid, and are
    /// read from the file again if somebody looks.
    pub fn let_go(&self, tensor: &RawTensor) {
        self.letting_go(tensor)();
    }

    /// [`let_go`](Self::let_go), for whoever will have copied `tensor` later.
    pub fn letting_go(&self, tensor: &RawTensor) -> impl FnOnce() + Send + use<> {
        let (maps, part) = (self.weights.maps.clone(), tensor.bytes.clone());
        move || maps.iter().for_each(|map| map.let_go(&part))
    }

    /// Whether a tensor `name` here, or below a place `name` here, has not been taken yet.
    pub fn has(&self, name: &str) -> bool {
        let full = self.at(name).name;
        let below = format!("{full}.");
        let stock = self.weights.stock.borrow();
        stock.left.contains_key(&full)
            || stock
                .left
                .range(below.clone()..)
                .next()
                .is_some_and(|(name, _)| name.starts_with(&below))
    }

    /// Takes the tensor `name` here, which must have `shape` and be F32, F16 or BF16.
    ///
    /// # Errors
    /// If it is missing or something else.
    pub fn take(&self, name: &str, shape: &[usize]) -> Result<RawTensor> {
        self.take_as(name, shape, "F32, F16 or BF16", Dtype::is_float)
    }

    /// As [`take`](Self::take), but `None` where there is no such tensor.
    ///
    /// # Errors
    /// If it is there and something else.
    pub fn take_optional(&self, name: &str, shape: &[usize]) -> Result<Option<RawTensor>> {
        let there = self.weights.stock.borrow().left.contains_key(&self.at(name).name);
        if there { self.take(name, shape).map(Some) } else { Ok(None) }
    }

    /// Takes the tensor `name` here, which must have `shape`, in whatever dtype it is.
    ///
    /// # Errors
    /// If it is missing or has another shape.
    pub fn take_stored(&self, name: &str, shape: &[usize]) -> Result<RawTensor> {
        self.take_as(name, shape, "any", |_| true)
    }

    /// The shape of the tensor `name` here, which stays; `None` where there is none.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.peek(name, |tensor| tensor.shape.clone()).ok()
    }

    /// Leaves out the tensor `name` here, which the network does not need; it need not exist.
    pub fn ignore(&self, name: &str) {
        self.weights.stock.borrow_mut().left.remove(&self.at(name).name);
    }

    /// Leaves out everything below this place.
    pub fn ignore_all(&self) {
        let below = if self.name.is_empty() { String::new() } else { format!("{}.", self.name) };
        self.weights.stock.borrow_mut().left.retain(|name, _| !name.starts_with(&below));
    }

    /// Takes note of what was taken here as a matrix.
    pub(crate) fn note(&self, matrix: MatrixUse) {
        self.weights.stock.borrow_mut().matrices.insert(self.name.clone(), matrix);
    }

    /// Takes note that the matrices at `parts`, taken one by one, are a stack that would lie here.
    pub fn note_stack(&self, parts: Vec<String>) {
        self.weights.stock.borrow_mut().stacks.insert(self.name.clone(), parts);
    }

    /// Takes note that a pass of one token reads `chosen` of the `count` equal parts below this place.
    pub fn note_chosen(&self, chosen: usize, count: usize) {
        self.weights.stock.borrow_mut().chosen.insert(self.name.clone(), (chosen, count));
    }

    /// Takes note that MLX reads matrices at `place` here that are stored in another spelling.
    pub fn note_coded(&self, place: &str, quantization: Quantization) {
        let place = self.at(place).name;
        self.weights.stock.borrow_mut().coded.insert(place, quantization);
    }

    /// Takes note of how few bits the matrix here bears, which was taken before.
    pub fn note_care(&self, care: Care) {
        if let Some(matrix) = self.weights.stock.borrow_mut().matrices.get_mut(&self.name) {
            matrix.care = care;
        }
    }

    /// The same of all matrices below this place, which were taken before.
    pub fn note_care_below(&self, care: Care) {
        let below = format!("{}.", self.name);
        for (name, matrix) in &mut self.weights.stock.borrow_mut().matrices {
            if name.starts_with(&below) {
                matrix.care = care;
            }
        }
    }

    /// What the configuration says about the matrix here.
    pub(crate) fn declared(&self) -> Declared {
        self.weights.rules.declared(&self.name)
    }

    /// The model folder.
    pub(crate) fn folder(&self) -> &std::path::Path {
        &self.weights.folder
    }

    /// The file of the tensor `name` here, or the folder where there is none.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let stock = self.weights.stock.borrow();
        let file = stock
            .left
            .get(&self.at(name).name)
            .and_then(|stored| self.weights.files.get(stored.file));
        file.unwrap_or(&self.weights.folder).clone()
    }

    /// Looks at the tensor `name` here without taking it.
    pub(crate) fn peek<T>(&self, name: &str, look: impl FnOnce(&RawTensor) -> T) -> Result<T> {
        let name = self.at(name).name;
        let stock = self.weights.stock.borrow();
        match stock.left.get(&name) {
            Some(stored) => Ok(look(&stored.tensor)),
            None if stock.taken.contains(&name) => Err(Error::TakenTwice { tensor: name }),
            None => Err(Error::MissingTensor { tensor: name, path: self.weights.folder.clone() }),
        }
    }

    /// Takes the tensor `name` here, which must have `shape` and a dtype that `fits`, in words `expected`.
    pub(crate) fn take_as(
        &self,
        name: &str,
        shape: &[usize],
        expected: &'static str,
        fits: impl FnOnce(Dtype) -> bool,
    ) -> Result<RawTensor> {
        let (dtype, found) = self.peek(name, |tensor| (tensor.dtype, tensor.shape.clone()))?;
        let path = || self.file(name);
        let tensor = self.at(name).name;
        if found != shape {
            return Err(Error::Shape { path: path(), tensor, found, expected: shape.to_vec() });
        }
        if !fits(dtype) {
            return Err(Error::WrongDtype { path: path(), tensor, found: dtype, expected });
        }
        let mut stock = self.weights.stock.borrow_mut();
        match stock.left.remove(&tensor) {
            Some(stored) => {
                stock.taken.insert(tensor);
                Ok(stored.tensor)
            }
            None => Err(Error::MissingTensor { tensor, path: self.weights.folder.clone() }),
        }
    }
}
