//! A safetensors file, written whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::{Dtype, Error, Result};

/// How much is handed to the system at a time: it keeps what comes together in large pages, and
/// weights that lie in those are read faster. Measured with decoding: a third.
const WRITE: usize = 4 << 20;

/// What a file's header says of a tensor.
#[derive(Clone, Copy, Debug)]
pub struct TensorHeader<'a> {
    /// Its full name.
    pub name: &'a str,
    /// Its element type.
    pub dtype: Dtype,
    /// Its extents.
    pub shape: &'a [usize],
}

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
    let headers: Vec<_> = tensors.iter().map(NewTensor::header).collect();
    for (header, tensor) in headers.iter().zip(tensors) {
        // Before anything is written, so that a mistake leaves no trace on the disk.
        assert_length(header, tensor.bytes.len() as u64);
    }
    write_streamed(path, &headers, metadata, |index, out| out.write_all(tensors[index].bytes))
}

/// Writes a file whose elements are produced as they are needed: one larger than memory, say.
///
/// `produce` is called once for each of `tensors`, in the order of their names, with its index in
/// `tensors`, and writes its elements, little-endian and row-major. Otherwise as [`write()`].
///
/// # Errors
///
/// If a file cannot be written, or `produce` fails. The name of the file is in the error.
///
/// # Panics
///
/// If two tensors have one name, or `produce` writes not as many bytes as a shape says.
pub fn write_streamed(
    path: &Path,
    tensors: &[TensorHeader<'_>],
    metadata: &BTreeMap<String, String>,
    mut produce: impl FnMut(usize, &mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by_key(|&index| tensors[index].name);
    for pair in order.windows(2) {
        assert_ne!(tensors[pair[0]].name, tensors[pair[1]].name, "two tensors have one name");
    }
    let header = header(order.iter().map(|&index| &tensors[index]), metadata);
    let partial = path.with_extension("safetensors.partial");
    let mut put = || {
        let mut out = BufWriter::with_capacity(WRITE, File::create(&partial)?);
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        for &index in &order {
            let mut counted = Counted { out: &mut out, bytes: 0 };
            produce(index, &mut counted)?;
            assert_length(&tensors[index], counted.bytes);
        }
        out.into_inner()?.sync_all()?;
        fs::rename(&partial, path)
    };
    put().map_err(|source| Error::Io { path: path.to_owned(), action: "write", source })
}

impl<'a> NewTensor<'a> {
    fn header(&self) -> TensorHeader<'a> {
        TensorHeader { name: self.name, dtype: self.dtype, shape: self.shape }
    }
}

impl TensorHeader<'_> {
    /// The bytes that its elements take.
    pub fn bytes(&self) -> u64 {
        let elements: u64 = self.shape.iter().map(|&extent| extent as u64).product();
        elements * self.dtype.bits() as u64 / 8
    }
}

#[track_caller]
fn assert_length(tensor: &TensorHeader<'_>, bytes: u64) {
    let TensorHeader { name, dtype, shape } = tensor;
    assert_eq!(tensor.bytes(), bytes, "bytes of `{name}`, {shape:?} {dtype}");
}

/// The header of a file in which `tensors` follow each other.
fn header<'a>(
    tensors: impl Iterator<Item = &'a TensorHeader<'a>>,
    metadata: &BTreeMap<String, String>,
) -> Vec<u8> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".to_owned(), json!(metadata));
    }
    let mut at = 0;
    for tensor in tensors {
        let end = at + tensor.bytes();
        let TensorHeader { name, dtype, shape } = tensor;
        let entry = json!({"dtype": dtype.name(), "shape": shape, "data_offsets": [at, end]});
        header.insert((*name).to_owned(), entry);
        at = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // Elements begin at a multiple of eight bytes, so that readers may map them as they are.
    header.resize(header.len().next_multiple_of(8), b' ');
    header
}

/// Counts what passes through it.
struct Counted<'a, W> {
    out: &'a mut W,
    bytes: u64,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
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

    /// A stream of `sizes[i]` bytes of the value `i` for each tensor.
    fn stream(path: &Path, sizes: [usize; 2]) -> Result<()> {
        let shapes = [[3], [2]];
        let tensors = [("b", &shapes[0]), ("a", &shapes[1])].map(|(name, shape)| TensorHeader {
            name,
            dtype: Dtype::U8,
            shape,
        });
        write_streamed(path, &tensors, &BTreeMap::new(), |index, out| {
            // In pieces, as a large tensor would come.
            (0..sizes[index]).try_for_each(|_| out.write_all(&[index as u8]))
        })
    }

    #[test]
    fn a_stream_is_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, streamed) =
            (folder.path().join("whole.safetensors"), folder.path().join("streamed.safetensors"));
        stream(&streamed, [3, 2]).unwrap();
        let tensor = |name, shape, bytes| NewTensor { name, dtype: Dtype::U8, shape, bytes };
        let tensors = [tensor("b", &[3], &[0; 3]), tensor("a", &[2], &[1; 2])];
        write(&whole, &tensors, &BTreeMap::new()).unwrap();
        assert_eq!(fs::read(whole).unwrap(), fs::read(streamed).unwrap());
    }

    #[test]
    #[should_panic(expected = "bytes of `a`, [2] U8")]
    fn a_stream_that_is_too_short_is_a_bug() {
        let folder = tempfile::tempdir().unwrap();
        let _ = stream(&folder.path().join("model.safetensors"), [3, 1]);
    }

    #[test]
    fn a_stream_that_fails_leaves_no_file_under_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let tensors = [TensorHeader { name: "a", dtype: Dtype::U8, shape: &[2] }];
        let fail = |_, _: &mut dyn Write| Err(io::Error::other("no more"));
        let error = write_streamed(&path, &tensors, &BTreeMap::new(), fail).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert!(!path.exists());
    }
}
