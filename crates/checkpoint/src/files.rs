//! Where a model's files are: in a folder, or in memory for tests and fuzzing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

use crate::safetensors::{Header, PREFIX};
use crate::{Error, Result};

/// The files of one model. Names are relative and use `/`.
#[derive(Clone, Debug)]
pub(crate) enum Files {
    /// A folder, whose files may be links (the hub cache links into its blobs).
    Disk(PathBuf),
    /// Contents by name.
    Memory(BTreeMap<String, Bytes>),
}

impl Files {
    /// The folder, as errors show it.
    pub(crate) fn root(&self) -> &Path {
        match self {
            Self::Disk(path) => path,
            Self::Memory(_) => Path::new("memory"),
        }
    }

    /// The path of `name`, as errors show it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// The files of the folder `sub` in this one; empty means the same folder.
    pub(crate) fn below(&self, sub: &str) -> Result<Self> {
        if sub.is_empty() || sub == "." {
            return Ok(self.clone());
        }
        check_inside(self.root(), sub)?;
        Ok(match self {
            Self::Disk(path) => Self::Disk(path.join(sub)),
            Self::Memory(files) => {
                let prefix = format!("{}/", sub.trim_end_matches('/'));
                let inside = files
                    .iter()
                    .filter_map(|(name, bytes)| Some((name.strip_prefix(&prefix)?, bytes)));
                Self::Memory(inside.map(|(name, bytes)| (name.to_owned(), bytes.clone())).collect())
            }
        })
    }

    /// The names of the files and folders directly in this folder, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        match self {
            Self::Disk(path) => {
                let failed = |source| Error::Io { path: path.clone(), action: "list", source };
                for entry in fs::read_dir(path).map_err(failed)? {
                    // A name that is not Unicode belongs to no model.
                    names.extend(entry.map_err(failed)?.file_name().into_string().ok());
                }
                names.sort();
            }
            Self::Memory(files) => {
                names.extend(
                    files.keys().map(|name| name.split('/').next().unwrap_or(name).to_owned()),
                );
                names.dedup();
            }
        }
        Ok(names)
    }

    /// Whether there is something called `name`, even a link to nothing.
    pub(crate) fn exists(&self, name: &str) -> bool {
        match self {
            Self::Disk(path) => fs::symlink_metadata(path.join(name)).is_ok(),
            Self::Memory(files) => files.contains_key(name),
        }
    }

    /// The content of `name`, of at most `limit` bytes; `None` where there is no such file.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        check_inside(self.root(), name)?;
        match self {
            Self::Disk(_) => {
                if !self.exists(name) {
                    return Ok(None);
                }
                let (path, file, bytes) = self.open(name)?;
                if bytes > limit {
                    return Err(Error::TooLarge { path, bytes, limit });
                }
                let mut content = Vec::new();
                // The limit holds even if the file grows meanwhile.
                let read = file.take(limit).read_to_end(&mut content);
                read.map_err(|source| Error::Io { path, action: "read", source })?;
                Ok(Some(content))
            }
            Self::Memory(files) => {
                let Some(content) = files.get(name) else { return Ok(None) };
                let bytes = content.len() as u64;
                if bytes > limit {
                    return Err(Error::TooLarge { path: self.path(name), bytes, limit });
                }
                Ok(Some(content.to_vec()))
            }
        }
    }

    /// The header of the safetensors file `name`, checked against the file's size. Reads no tensor.
    pub(crate) fn header(&self, name: &str) -> Result<Header> {
        match self {
            Self::Disk(_) => {
                let (path, mut file, bytes) = self.open(name)?;
                let mut start = Vec::new();
                let mut read = |count: u64, into: &mut Vec<u8>| {
                    let done = file.by_ref().take(count).read_to_end(into);
                    done.map_err(|source| Error::Io { path: path.clone(), action: "read", source })
                };
                read(PREFIX, &mut start)?;
                let length = Header::length(&path, &start, bytes)?;
                let mut json = Vec::new();
                read(length, &mut json)?;
                Header::parse(&path, &json, bytes)
            }
            Self::Memory(files) => {
                let path = self.path(name);
                let content = files.get(name).ok_or(Error::FileMissing { path: path.clone() })?;
                let bytes = content.len() as u64;
                let length = Header::length(&path, content, bytes)?;
                // `length` has checked that the header is inside the file, which is in memory.
                let json =
                    content.get(PREFIX as usize..(PREFIX + length) as usize).unwrap_or_default();
                Header::parse(&path, json, bytes)
            }
        }
    }

    /// The whole of the file `name`, mapped into memory.
    pub(crate) fn map(&self, name: &str) -> Result<Bytes> {
        match self {
            Self::Disk(_) => {
                let (path, file, _) = self.open(name)?;
                let map = map(&file).map_err(|source| Error::Io { path, action: "map", source })?;
                Ok(Bytes::from_owner(map))
            }
            Self::Memory(files) => {
                files.get(name).cloned().ok_or_else(|| Error::FileMissing { path: self.path(name) })
            }
        }
    }

    /// Opens a regular file, through links, and gives its size.
    fn open(&self, name: &str) -> Result<(PathBuf, File, u64)> {
        let path = self.path(name);
        // Asked first, because opening a pipe would wait for a writer.
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(match fs::read_link(&path) {
                    Ok(target) => Error::DanglingLink { path, target },
                    Err(_) => Error::FileMissing { path },
                });
            }
            Err(source) => return Err(Error::Io { path, action: "open", source }),
        };
        if !metadata.is_file() {
            return Err(Error::NotRegular { path });
        }
        match File::open(&path) {
            Ok(file) => Ok((path, file, metadata.len())),
            Err(source) => Err(Error::Io { path, action: "open", source }),
        }
    }
}

/// Refuses a name that is empty, absolute or climbs; `from` is the file or folder that holds the name.
pub(crate) fn check_inside(from: &Path, name: &str) -> Result<()> {
    let plain = |part| matches!(part, Component::Normal(_));
    let inside = !name.is_empty()
        && !name.contains(['\\', '\0', ':'])
        && Path::new(name).components().all(plain);
    if inside {
        Ok(())
    } else {
        Err(Error::OutsideFolder { path: from.into(), name: name.to_owned() })
    }
}

#[expect(unsafe_code, reason = "a memory map is the one way to load weights without copying them")]
fn map(file: &File) -> std::io::Result<memmap2::Mmap> {
    // SAFETY: the map is read-only and private to readers of `Bytes`. What remains is that another process writes to
    // the file or cuts it off while it is mapped: model files are replaced, never edited in place (the hub cache names
    // them by their hash), and every program that maps weights lives with the same rule. A changed byte changes a
    // number, never control flow, because headers are parsed from their own copy.
    unsafe { memmap2::Mmap::map(file) }
}
