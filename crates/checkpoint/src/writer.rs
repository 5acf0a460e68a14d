//! A safetensors file, written whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::{Dtype, Error, Result};

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct NewTensor<'a> {
    /// Its full name.
    pub name: &'a str,
    /// Its element type.
    pub dtype: Dtype,
    /// Its extents.
    pub shape: &'a [usize],
    /// Its elements, little-endian, row-major.
    pub bytes: &'a [u8],
}

/// Writes `tensors`, sorted by name, to the new file `path`, with `metadata` in its header. The
/// file appears under its name when it is complete; one that was there is replaced.
///
/// # Errors
///
/// If a file cannot be written. The name of the file is in the error.
///
/// # Panics
///
/// If two tensors have one name, or one has not as many bytes as its shape says.
pub fn write(
    path: &Path,
    tensors: &[NewTensor<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let mut sorted: Vec<_> = tensors.iter().collect();
    sorted.sort_by_key(|tensor| tensor.name);
    for pair in sorted.windows(2) {
        assert_ne!(pair[0].name, pair[1].name, "two tensors have one name");
    }
    for NewTensor { name, dtype, shape, bytes } in &sorted {
        let bits = shape.iter().product::<usize>() * dtype.bits();
        assert_eq!(bits, bytes.len() * 8, "bytes of `{name}`, {shape:?} {dtype}");
    }
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".to_owned(), json!(metadata));
    }
    let mut at = 0;
    for NewTensor { name, dtype, shape, bytes } in &sorted {
        let end = at + bytes.len();
        let entry = json!({"dtype": dtype.name(), "shape": shape, "data_offsets": [at, end]});
        header.insert((*name).to_owned(), entry);
        at = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // Elements begin at a multiple of eight bytes, so that readers may map them as they are.
    header.resize(header.len().next_multiple_of(8), b' ');
    let partial = path.with_extension("safetensors.partial");
    let written = put(&partial, &header, &sorted).and_then(|()| fs::rename(&partial, path));
    written.map_err(|source| Error::Io { path: path.to_owned(), action: "write", source })
}

fn put(path: &Path, header: &[u8], tensors: &[&NewTensor<'_>]) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header)?;
    for tensor in tensors {
        out.write_all(tensor.bytes)?;
    }
    out.into_inner()?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Weights;

    #[test]
    fn what_is_written_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let shape = [2, 1];
        let bytes = [1.0_f32, 2.0].map(f32::to_le_bytes).concat();
        let tensor = |name| NewTensor { name, dtype: Dtype::F32, shape: &shape, bytes: &bytes };
        let path = folder.path().join("model.safetensors");
        let metadata = [("format".to_owned(), "mlx".to_owned())].into();
        write(&path, &[tensor("b"), tensor("a")], &metadata).unwrap();
        fs::write(folder.path().join("config.json"), "{}").unwrap();
        let folder = crate::Folder::open(folder.path()).unwrap();
        let weights: Weights = folder.weights().unwrap();
        for name in ["a", "b"] {
            assert_eq!(weights.root().take(name, &shape).unwrap().bytes[..], bytes);
        }
        assert_eq!(folder.index().unwrap().files[0].metadata["format"], "mlx");
        weights.finish().unwrap();
    }
}
