//! Tensors that `torch.save` wrote, in both of its layouts, read without running anything.
//!
//! Such a file is a pickle, a program that builds objects. What a dictionary of tensors needs of that language is small
//! and fixed; [`pickle`] knows this much of it, and refuses the rest. Tensors stay
//! where they are in the file, as those of a safetensors file do.

mod archive;
mod pickle;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use self::archive::Archive;
use self::pickle::{Pickle, Storage, Value};
use crate::safetensors::{Entry, Header};
use crate::{Error, Result};

/// The most bytes of a pickle: that of a network with 10,000 tensors has half of it.
const PICKLE_LIMIT: usize = 4 << 20;

/// How the older layout begins: a pickle of its magic number, and one of its version.
const LEGACY: [u8; 21] =
    *b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e\x80\x02M\xe9\x03.";

/// What in a file is not as it should be.
pub(crate) struct Fault {
    /// Where, in bytes from the beginning of the pickle or the file.
    offset: usize,
    found: String,
}

impl Fault {
    fn new(offset: usize, found: impl Into<String>) -> Self {
        Self { offset, found: found.into() }
    }
}

/// The tensors in `file`, the content of `path`, as the header of a safetensors file would list them: offsets count from
/// the beginning of the file. Tensors may share bytes.
///
/// # Errors
///
/// If the file is anything but a flat dictionary of contiguous little-endian tensors.
pub(crate) fn header(path: &Path, file: &[u8]) -> Result<Header> {
    let tensors = if file.starts_with(&LEGACY) { legacy(file) } else { zipped(file) };
    let fail = |Fault { offset, found }| Error::Torch { path: path.into(), offset, found };
    Ok(Header { metadata: BTreeMap::new(), tensors: tensors.map_err(fail)?, data: 0 })
}

/// An archive of a pickle and one file for each storage.
fn zipped(file: &[u8]) -> Result<BTreeMap<String, Entry>, Fault> {
    let archive = Archive::open(file)?;
    let folder = archive.folder()?;
    let pickle = archive.place(&format!("{folder}/data.pkl"))?;
    if pickle.len() > PICKLE_LIMIT {
        return Err(Fault::new(pickle.start, format!("a pickle of {} bytes", pickle.len())));
    }
    let order = format!("{folder}/byteorder");
    if archive.has(&order) && file[archive.place(&order)?] != *b"little" {
        return Err(Fault::new(0, "numbers with the highest byte first"));
    }
    let (value, _) = Pickle::new(&file[..pickle.end], pickle.start).run()?;
    tensors(value, |storage| archive.place(&format!("{folder}/data/{}", storage.key)))
}

/// Pickles one after another, and the storages after them.
fn legacy(file: &[u8]) -> Result<BTreeMap<String, Entry>, Fault> {
    let head = &file[..file.len().min(PICKLE_LIMIT)];
    let (machine, at) = Pickle::new(head, LEGACY.len()).run()?;
    if !matches!(machine.entry("little_endian"), Some(Value::Bool(true))) {
        return Err(Fault::new(LEGACY.len(), "numbers with the highest byte first"));
    }
    let (value, at) = Pickle::new(head, at).run()?;
    let sizes: BTreeMap<_, _> =
        value.tensors().map(|tensor| (&*tensor.storage.key, tensor.storage.bytes)).collect();
    let (keys, mut at) = Pickle::new(head, at).run()?;
    let mut storages = BTreeMap::new();
    for key in keys.texts().ok_or_else(|| Fault::new(at, "no list of storages"))? {
        // Each is preceded by the number of its elements, which the pickle has said already.
        let place = sizes.get(key).and_then(|&bytes| {
            let begin = at.checked_add(8)?;
            Some(begin..begin.checked_add(bytes).filter(|&end| end <= file.len())?)
        });
        let place = place.ok_or_else(|| Fault::new(at, format!("no storage `{key}`")))?;
        at = place.end;
        storages.insert(key.to_owned(), place);
    }
    tensors(value, |storage| {
        let missing = || Fault::new(at, format!("no storage `{}`", storage.key));
        storages.get(&*storage.key).cloned().ok_or_else(missing)
    })
}

/// Finds each tensor of the dictionary `value` in its storage.
fn tensors(
    value: Value,
    storage: impl Fn(&Storage) -> Result<Range<usize>, Fault>,
) -> Result<BTreeMap<String, Entry>, Fault> {
    let Value::Dict(entries) = value else {
        return Err(Fault::new(0, "something else than a dictionary"));
    };
    let mut out = BTreeMap::new();
    for (name, value) in entries {
        let Value::Tensor(tensor) = value else {
            return Err(Fault::new(0, format!("`{name}`, which is no tensor")));
        };
        let whole = storage(&tensor.storage)?;
        let Some(place) = tensor.place().filter(|place| place.end <= whole.len()) else {
            let found = format!("tensor `{name}`, which is strided or leaves its storage");
            return Err(Fault::new(whole.start, found));
        };
        let [begin, end] = [place.start, place.end].map(|at| (whole.start + at) as u64);
        let entry = Entry { dtype: tensor.storage.dtype, shape: tensor.shape.clone(), begin, end };
        if out.insert(name.to_string(), entry).is_some() {
            return Err(Fault::new(0, format!("tensor `{name}` twice")));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
