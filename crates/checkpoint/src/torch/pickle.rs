//! As much of the language of pickles as a dictionary of tensors is written in.
//!
//! Nothing is looked up, called or imported: the five names below are all that a pickle may mention, and each has one
//! fixed meaning here. Every instruction takes at least a byte, and none repeats anything, so memory is bounded by the
//! length of the pickle; values are nested [`DEPTH`] deep at most.
//!
//! Sources: the comments of Python's `pickletools`; what `torch.save` writes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::Fault;
use crate::Dtype;

/// How deep tuples may be nested. A tensor's arguments are three deep.
const DEPTH: usize = 8;

/// What an instruction leaves on the stack.
#[derive(Clone)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Text(Rc<str>),
    Tuple(Rc<Tuple>),
    List(Vec<Rc<str>>),
    Dict(Vec<(Rc<str>, Self)>),
    Name(Name),
    Storage(Rc<Storage>),
    Tensor(Rc<Tensor>),
}

pub(super) struct Tuple {
    items: Vec<Value>,
    depth: usize,
}

/// A name that a pickle may mention.
#[derive(Clone, Copy)]
pub(super) enum Name {
    /// `collections.OrderedDict`: an empty dictionary.
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`: storage, offset, shape, strides, and what training needs.
    Tensor,
    /// `torch._utils._rebuild_parameter`: a tensor, and what training needs.
    Parameter,
    /// `torch.FloatStorage` and the like.
    Storage(Dtype),
}

/// Where elements are.
pub(super) struct Storage {
    pub(super) dtype: Dtype,
    pub(super) key: Rc<str>,
    pub(super) bytes: usize,
}

pub(super) struct Tensor {
    pub(super) storage: Rc<Storage>,
    pub(super) shape: Vec<usize>,
    strides: Vec<usize>,
    /// In elements.
    offset: usize,
}

impl Tensor {
    /// The bytes in its storage; `None` where rows do not lie one after another, or numbers are absurd.
    pub(super) fn place(&self) -> Option<Range<usize>> {
        let mut elements = 1_usize;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 && stride != elements {
                return None;
            }
            elements = elements.checked_mul(size)?;
        }
        let size = self.storage.dtype.bits() / 8;
        let begin = self.offset.checked_mul(size)?;
        let end = begin.checked_add(elements.checked_mul(size)?)?;
        (end <= self.storage.bytes).then_some(begin..end)
    }
}

impl Value {
    /// The value of `key` in a dictionary.
    pub(super) fn entry(&self, key: &str) -> Option<&Self> {
        let Self::Dict(entries) = self else { return None };
        entries.iter().find_map(|(k, v)| (&**k == key).then_some(v))
    }

    /// The tensors of a dictionary.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let entries = if let Self::Dict(entries) = self { &entries[..] } else { &[] };
        entries.iter().filter_map(|(_, value)| value.tensor())
    }

    fn tensor(&self) -> Option<&Tensor> {
        if let Self::Tensor(tensor) = self { Some(tensor) } else { None }
    }

    /// The texts of a list of texts.
    pub(super) fn texts(&self) -> Option<Vec<&str>> {
        let Self::List(items) = self else { return None };
        Some(items.iter().map(|text| &**text).collect())
    }

    fn depth(&self) -> usize {
        if let Self::Tuple(tuple) = self { tuple.depth } else { 0 }
    }
}

/// A pickle that is being read.
pub(super) struct Pickle<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value>,
}

impl<'a> Pickle<'a> {
    /// The pickle that begins at `at` in `bytes`.
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new() }
    }

    /// What it builds, and where it ends.
    pub(super) fn run(mut self) -> Result<(Value, usize), Fault> {
        loop {
            let at = self.at;
            let [instruction] = self.take()?;
            match instruction {
                b'.' => return Ok((self.pop()?, self.at)),
                // The version: the instructions here mean the same in each.
                0x80 => drop(self.take::<1>()?),
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.stack.push(Value::None),
                0x88 | 0x89 => self.stack.push(Value::Bool(instruction == 0x88)),
                b'K' => self.int::<1>()?,
                b'M' => self.int::<2>()?,
                b'J' => {
                    let number = i32::from_le_bytes(self.take()?);
                    self.stack.push(Value::Int(number.into()));
                }
                0x8a => {
                    let [len] = self.take()?;
                    let number = self.slice(len.into())?;
                    let mut wide =
                        [if number.last().is_some_and(|b| b & 0x80 > 0) { 0xff } else { 0 }; 8];
                    let fit =
                        wide.get_mut(..number.len()).ok_or_else(|| self.fault("a large number"))?;
                    fit.copy_from_slice(number);
                    self.stack.push(Value::Int(i64::from_le_bytes(wide)));
                }
                b'X' => {
                    let len = u32::from_le_bytes(self.take()?) as usize;
                    let text = self.text(len)?;
                    self.stack.push(Value::Text(text.into()));
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    let name = Name::of(module, name);
                    self.stack.push(Value::Name(name.map_err(|found| Fault::new(at, found))?));
                }
                b')' => self.tuple(self.stack.len())?,
                0x85..=0x87 => {
                    let len = usize::from(instruction - 0x84);
                    let from = self.stack.len().checked_sub(len);
                    self.tuple(from.ok_or_else(|| self.fault("an empty stack"))?)?;
                }
                b't' => {
                    let from = self.mark()?;
                    self.tuple(from)?;
                }
                b'}' => self.stack.push(Value::Dict(Vec::new())),
                b']' => self.stack.push(Value::List(Vec::new())),
                b's' => self.extend_from(self.stack.len().saturating_sub(2))?,
                b'u' | b'e' => {
                    let from = self.mark()?;
                    self.extend_from(from)?;
                }
                b'a' => self.extend_from(self.stack.len().saturating_sub(1))?,
                b'q' => {
                    let [slot] = self.take()?;
                    self.remember(slot.into())?;
                }
                b'r' => {
                    let slot = u32::from_le_bytes(self.take()?);
                    self.remember(slot)?;
                }
                b'h' => {
                    let [slot] = self.take()?;
                    self.recall(slot.into())?;
                }
                b'j' => {
                    let slot = u32::from_le_bytes(self.take()?);
                    self.recall(slot)?;
                }
                b'Q' => self.storage()?,
                b'R' => self.call()?,
                // What an object has besides its entries: the versions of modules, which nobody needs.
                b'b' => {
                    let state = self.pop()?;
                    if !matches!(
                        (&state, self.stack.last()),
                        (Value::Dict(_), Some(Value::Dict(_)))
                    ) {
                        return Err(self.fault("an object with a state"));
                    }
                }
                _ => {
                    return Err(Fault::new(at, format!("the instruction {instruction:#04x}")));
                }
            }
        }
    }

    fn fault(&self, found: &str) -> Fault {
        Fault::new(self.at, found)
    }

    fn slice(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(len);
        let slice = end.and_then(|end| self.bytes.get(self.at..end));
        let slice = slice.ok_or_else(|| self.fault("the end of the pickle"))?;
        self.at += len;
        Ok(slice)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut out = [0; N];
        out.copy_from_slice(self.slice(N)?);
        Ok(out)
    }

    fn text(&mut self, len: usize) -> Result<&'a str, Fault> {
        let bytes = self.slice(len)?;
        std::str::from_utf8(bytes).map_err(|_| self.fault("text that is not UTF-8"))
    }

    /// The text before the next end of a line.
    fn line(&mut self) -> Result<&'a str, Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|&byte| byte == b'\n');
        let line = self.text(len.ok_or_else(|| self.fault("the end of the pickle"))?)?;
        self.at += 1;
        Ok(line)
    }

    fn int<const N: usize>(&mut self) -> Result<(), Fault> {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(&self.take::<N>()?);
        self.stack.push(Value::Int(i64::from_le_bytes(wide)));
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, Fault> {
        self.stack.pop().ok_or_else(|| self.fault("an empty stack"))
    }

    fn mark(&mut self) -> Result<usize, Fault> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        mark.ok_or_else(|| self.fault("an empty stack"))
    }

    fn tuple(&mut self, from: usize) -> Result<(), Fault> {
        let items = self.stack.split_off(from);
        let depth = 1 + items.iter().map(Value::depth).max().unwrap_or(0);
        if depth > DEPTH {
            return Err(self.fault("tuples nested too deep"));
        }
        self.stack.push(Value::Tuple(Rc::new(Tuple { items, depth })));
        Ok(())
    }

    /// Puts what stands above `from` into the list or dictionary below.
    fn extend_from(&mut self, from: usize) -> Result<(), Fault> {
        let items = self.stack.split_off(from);
        let wrong = self.fault("items that are not of a dictionary of tensors");
        match self.stack.last_mut() {
            Some(Value::List(list)) => {
                for item in items {
                    let Value::Text(text) = item else { return Err(wrong) };
                    list.push(text);
                }
            }
            Some(Value::Dict(entries)) if items.len().is_multiple_of(2) => {
                let mut items = items.into_iter();
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    let Value::Text(key) = key else { return Err(wrong) };
                    if matches!(value, Value::List(_) | Value::Tuple(_)) {
                        return Err(wrong);
                    }
                    // The versions of modules and the sizes of types, of which nothing is asked. So nothing nests.
                    let skip = matches!(value, Value::Dict(_));
                    entries.push((key, if skip { Value::None } else { value }));
                }
            }
            _ => return Err(wrong),
        }
        Ok(())
    }

    fn remember(&mut self, slot: u32) -> Result<(), Fault> {
        let value = self.stack.last().ok_or_else(|| self.fault("an empty stack"))?;
        // Containers are written down once, when they are still empty, and never asked for again.
        let container = matches!(value, Value::List(_) | Value::Dict(_));
        if container {
            self.memo.remove(&slot);
        } else {
            self.memo.insert(slot, value.clone());
        }
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), Fault> {
        let value = self.memo.get(&slot).cloned();
        self.stack.push(value.ok_or_else(|| self.fault("something that was not kept"))?);
        Ok(())
    }

    /// `("storage", type, key, device, elements)`.
    fn storage(&mut self) -> Result<(), Fault> {
        let Value::Tuple(tuple) = self.pop()? else {
            return Err(self.fault("a reference to something else than a storage"));
        };
        let [
            Value::Text(kind),
            Value::Name(Name::Storage(dtype)),
            Value::Text(key),
            _,
            Value::Int(n),
            ..,
        ] = &tuple.items[..]
        else {
            return Err(self.fault("a reference to something else than a storage"));
        };
        // What follows is a part of a storage that others share; it has not been written for years.
        let whole = matches!(&tuple.items[5..], [] | [Value::None]);
        let bytes = usize::try_from(*n).ok().and_then(|n| n.checked_mul(dtype.bits() / 8));
        let (true, true, Some(bytes)) = (&**kind == "storage", whole, bytes) else {
            return Err(self.fault("a reference to something else than a storage"));
        };
        let storage = Storage { dtype: *dtype, key: Rc::clone(key), bytes };
        self.stack.push(Value::Storage(Rc::new(storage)));
        Ok(())
    }

    fn call(&mut self) -> Result<(), Fault> {
        let (arguments, name) = (self.pop()?, self.pop()?);
        let (Value::Tuple(arguments), Value::Name(name)) = (arguments, name) else {
            return Err(self.fault("a call of something else than a name"));
        };
        let value = match (name, &arguments.items[..]) {
            (Name::OrderedDict, []) => Value::Dict(Vec::new()),
            (
                Name::Tensor,
                [
                    Value::Storage(storage),
                    Value::Int(offset),
                    Value::Tuple(shape),
                    Value::Tuple(strides),
                    ..,
                ],
            ) => {
                let (shape, strides) = (numbers(shape), numbers(strides));
                let (Some(shape), Some(strides), Ok(offset)) =
                    (shape, strides, usize::try_from(*offset))
                else {
                    return Err(self.fault("a shape that is none"));
                };
                if shape.len() != strides.len() || shape.len() > crate::safetensors::RANK_LIMIT {
                    return Err(self.fault("a shape that is none"));
                }
                Value::Tensor(Rc::new(Tensor {
                    storage: Rc::clone(storage),
                    shape,
                    strides,
                    offset,
                }))
            }
            (Name::Parameter, [Value::Tensor(tensor), ..]) => Value::Tensor(Rc::clone(tensor)),
            _ => return Err(self.fault("a call with other arguments")),
        };
        self.stack.push(value);
        Ok(())
    }
}

fn numbers(tuple: &Tuple) -> Option<Vec<usize>> {
    let number = |item: &_| if let Value::Int(n) = item { usize::try_from(*n).ok() } else { None };
    tuple.items.iter().map(number).collect()
}

impl Name {
    fn of(module: &str, name: &str) -> Result<Self, String> {
        let storage = |dtype| Ok(Self::Storage(dtype));
        match (module, name) {
            ("collections", "OrderedDict") => Ok(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Ok(Self::Tensor),
            ("torch._utils", "_rebuild_parameter") => Ok(Self::Parameter),
            ("torch", "FloatStorage") => storage(Dtype::F32),
            ("torch", "HalfStorage") => storage(Dtype::F16),
            ("torch", "BFloat16Storage") => storage(Dtype::BF16),
            ("torch", "DoubleStorage") => storage(Dtype::F64),
            ("torch", "LongStorage") => storage(Dtype::I64),
            ("torch", "IntStorage") => storage(Dtype::I32),
            ("torch", "ShortStorage") => storage(Dtype::I16),
            ("torch", "CharStorage") => storage(Dtype::I8),
            ("torch", "ByteStorage") => storage(Dtype::U8),
            ("torch", "BoolStorage") => storage(Dtype::Bool),
            _ => Err(format!("the name `{module}.{name}`")),
        }
    }
}
