//! Writing the result.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use checkpoint::{Dtype, Folder, Quantization, RawTensor, Weights};
use serde_json::{Value, json};

use crate::plan::Origin;
use crate::quantize::{push, quantize, widen};
use crate::{Conversion, Error, Part, Quantized, Result, side_files};

/// What tells an unfinished conversion from another.
const STAMP: &str = "conversion.json";

/// Elements that are cast at a time.
const CHUNK: usize = 64 * 1024;

/// How far a conversion is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of tensors that are written, those of an earlier run included.
    pub done: u64,
    /// Bytes of all.
    pub total: u64,
    /// The tensor that comes next.
    pub tensor: String,
}

/// What whoever watches the progress answers to stop a conversion.
pub type Stopped = ControlFlow<()>;

impl Conversion {
    /// Writes the result to the new folder `to`. It appears under its name when it is complete; until then it is
    /// `to` with `.partial` after it, where a later call with the same model and recipe goes on.
    ///
    /// # Errors
    ///
    /// If `to` is there, a file cannot be read or written, an element cannot be kept, or `watch` asks to stop.
    pub fn write(&self, to: &Path, watch: &mut dyn FnMut(&Progress) -> Stopped) -> Result<()> {
        if fs::symlink_metadata(to).is_ok() {
            return Err(Error::Exists { path: to.to_owned() });
        }
        let mut partial = to.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let folder = Folder::open(&self.source)?;
        let lock = self.claim(&partial, &folder)?;
        let weights = folder.weights()?;
        let mut progress = Progress { done: 0, total: self.bytes(), tensor: String::new() };
        for (number, shard) in self.shards.iter().enumerate() {
            let path = partial.join(self.file(number));
            let bytes = self.parts[shard.clone()].iter().map(Part::bytes).sum::<u64>();
            // A file has its name only when it is whole.
            if path.exists() {
                progress.done += bytes;
                continue;
            }
            self.write_shard(&path, shard.clone(), &weights, &mut |part| {
                progress.tensor.clone_from(&part.name);
                let answer = watch(&progress);
                progress.done += part.bytes();
                answer
            })?;
        }
        for (from, name) in side_files::find(&self.source)? {
            let path = partial.join(&name);
            let copy = || {
                path.parent().map_or(Ok(()), fs::create_dir_all)?;
                fs::copy(&from, &path)
            };
            copy().map_err(|source| Error::Io { path: from.clone(), action: "copy", source })?;
        }
        write_json(&partial.join("model.safetensors.index.json"), &self.index())?;
        write_json(&partial.join("config.json"), &self.config)?;
        let finish = || {
            fs::remove_file(partial.join(STAMP))?;
            fs::rename(&partial, to)
        };
        finish().map_err(|source| Error::Io { path: to.to_owned(), action: "write", source })?;
        drop(lock);
        Ok(())
    }

    /// Makes the folder `partial`, or takes over one that the same conversion began.
    fn claim(&self, partial: &Path, folder: &Folder) -> Result<File> {
        let fail = |source| Error::Io { path: partial.to_owned(), action: "write", source };
        let stamp = self.stamp(folder)?.to_string();
        fs::create_dir_all(partial).map_err(fail)?;
        let path = partial.join(STAMP);
        let mut file =
            File::options().read(true).append(true).create(true).open(&path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path: partial.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        let found = fs::read_to_string(&path).map_err(fail)?;
        if found == stamp {
            return Ok(file);
        }
        let others = fs::read_dir(partial).map_err(fail)?.count() > 1;
        if !found.is_empty() || others {
            return Err(Error::OtherConversion { path: partial.to_owned() });
        }
        file.write_all(stamp.as_bytes()).and_then(|()| file.sync_all()).map_err(fail)?;
        Ok(file)
    }

    /// Which files of weights, made into what.
    fn stamp(&self, folder: &Folder) -> Result<Value> {
        let mut files = BTreeMap::new();
        for file in folder.index()?.files {
            let path = self.source.join(&file.name);
            let metadata = fs::metadata(&path).map_err(|source| Error::Io {
                path: path.clone(),
                action: "open",
                source,
            })?;
            let changed = metadata.modified().ok();
            let changed = changed.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            files.insert(
                file.name,
                (metadata.len(), changed.map_or(0, |time| time.as_nanos() as u64)),
            );
        }
        let tensors: Vec<_> = self
            .parts
            .iter()
            .map(|part| format!("{} {}{:?}", part.name, part.dtype, part.shape))
            .collect();
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "source": self.source.canonicalize().unwrap_or_else(|_| self.source.clone()),
            "files": files,
            "recipe": format!("{:?}", self.recipe),
            "tensors": tensors,
        }))
    }

    fn write_shard(
        &self,
        path: &Path,
        shard: Range<usize>,
        weights: &Weights,
        watch: &mut dyn FnMut(&Part) -> Stopped,
    ) -> Result<()> {
        let parts = &self.parts[shard];
        let headers: Vec<_> = parts.iter().map(Part::header).collect();
        let metadata = BTreeMap::from([("format".to_owned(), "mlx".to_owned())]);
        // The matrix that was quantized last: its parts follow each other.
        let mut last: Option<(Vec<String>, Quantized)> = None;
        // A failure of ours travels beside that of the writer, which only knows the system's.
        let mut failure = None;
        let written = checkpoint::write_streamed(path, &headers, &metadata, |index, out| {
            let part = &parts[index];
            let mut produce = || -> Result<()> {
                if watch(part).is_break() {
                    return Err(Error::Stopped);
                }
                let fail = |source| Error::Io { path: path.to_owned(), action: "write", source };
                match &part.origin {
                    Origin::Tensor => {
                        let raw = tensor(weights, &part.name)?;
                        cast(&raw, part.dtype, out, &fail)
                    }
                    Origin::Stack(from) => from
                        .iter()
                        .try_for_each(|name| cast(&tensor(weights, name)?, part.dtype, out, &fail)),
                    Origin::Matrix { from, floats, how } => {
                        if last.as_ref().is_none_or(|(names, _)| names != from) {
                            last = None;
                            let mut whole = Quantized::default();
                            for name in from {
                                let one = encode(&tensor(weights, name)?, *floats, *how)?;
                                whole.weight.extend(one.weight);
                                whole.scales.extend(one.scales);
                                whole.biases.extend(one.biases);
                            }
                            last = Some((from.clone(), whole));
                        }
                        let Some((_, matrix)) = &last else { return Ok(()) };
                        let bytes = match part.name.rsplit('.').next() {
                            Some("scales") => &matrix.scales,
                            Some("biases") => &matrix.biases,
                            _ => &matrix.weight,
                        };
                        out.write_all(bytes).map_err(fail)
                    }
                }
            };
            produce().map_err(|error| {
                failure = Some(error);
                io::Error::from(ErrorKind::Interrupted)
            })
        });
        match (failure, written) {
            (Some(error), _) => Err(error),
            (None, written) => Ok(written?),
        }
    }
}

fn tensor(weights: &Weights, name: &str) -> Result<RawTensor> {
    let missing = || checkpoint::Error::MissingTensor {
        tensor: name.to_owned(),
        path: weights.folder().to_owned(),
    };
    Ok(weights.get(name).ok_or_else(missing)?)
}

/// Quantizes a whole matrix.
fn encode(raw: &RawTensor, floats: Dtype, how: Quantization) -> Result<Quantized> {
    let mut cast_bytes = Vec::new();
    let bytes: &[u8] = if floats == raw.dtype {
        &raw.bytes
    } else {
        let fail = |source| Error::Io { path: PathBuf::from("memory"), action: "write", source };
        cast(raw, floats, &mut cast_bytes, &fail)?;
        &cast_bytes
    };
    check(raw, bytes, floats, &how.to_string())?;
    Ok(quantize(bytes, floats, how))
}

/// Writes the elements of `raw` as `dtype`.
fn cast(
    raw: &RawTensor,
    dtype: Dtype,
    out: &mut dyn Write,
    fail: &dyn Fn(io::Error) -> Error,
) -> Result<()> {
    if dtype == raw.dtype {
        return out.write_all(&raw.bytes).map_err(fail);
    }
    let width = raw.dtype.bits() / 8;
    let mut values = vec![0.0; CHUNK];
    let mut bytes = Vec::with_capacity(CHUNK * 4);
    for chunk in raw.bytes.chunks(CHUNK * width) {
        let values = &mut values[..chunk.len() / width];
        widen(chunk, raw.dtype, values);
        bytes.clear();
        values.iter().for_each(|&value| push(&mut bytes, value, dtype));
        check(raw, &bytes, dtype, dtype.name())?;
        out.write_all(&bytes).map_err(fail)?;
    }
    Ok(())
}

/// An error unless all elements of `bytes`, which became of `raw`, are finite.
fn check(raw: &RawTensor, bytes: &[u8], dtype: Dtype, to: &str) -> Result<()> {
    let width = dtype.bits() / 8;
    let mut values = [0.0; 1024];
    for chunk in bytes.chunks(values.len() * width) {
        let values = &mut values[..chunk.len() / width];
        widen(chunk, dtype, values);
        if let Some(&value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Error::Unfit { tensor: raw.name.clone(), value, to: to.to_owned() });
        }
    }
    Ok(())
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = format!("{value:#}\n");
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| Error::Io { path: path.to_owned(), action: "write", source })
}
