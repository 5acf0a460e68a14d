//! Where a model's files are: in a folder, or in memory for tests and fuzzing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;

use crate::safetensors::{Header, PREFIX};
use crate::{Error, Result, torch};

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

    /// The header of the file of weights `name`, checked against the file's size. Reads no tensor.
    pub(crate) fn header(&self, name: &str) -> Result<Header> {
        if !name.ends_with(".safetensors") {
            return torch::header(&self.path(name), &self.map(name)?.bytes);
        }
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
    pub(crate) fn map(&self, name: &str) -> Result<Map> {
        match self {
            Self::Disk(_) => {
                let (path, file, _) = self.open(name)?;
                let map = map(&file).map_err(|source| Error::Io { path, action: "map", source })?;
                let map = Arc::new(map);
                let bytes = Bytes::from_owner(Shared(Arc::clone(&map)));
                Ok(Map { bytes, map: Some(map) })
            }
            Self::Memory(files) => match files.get(name).cloned() {
                Some(bytes) => Ok(Map { bytes, map: None }),
                None => Err(Error::FileMissing { path: self.path(name) }),
            },
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

/// The content of a file.
#[derive(Clone)]
pub(crate) struct Map {
    pub(crate) bytes: Bytes,
    /// The memory map, if that is what it is.
    map: Option<Arc<Mmap>>,
}

/// A map that its readers hold.
struct Shared(Arc<Mmap>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Map {
    /// Takes the pages that lie wholly in `part` out of this process's memory, if `part` is of this
    /// map. They stay as they are in the file, from which a later reader gets them again.
    #[cfg_attr(unix, expect(unsafe_code, reason = "advice about the memory map"))]
    pub(crate) fn let_go(&self, part: &[u8]) {
        // No system has larger pages by default that folio runs on.
        const PAGE: usize = 16 * 1024;
        let Some(map) = &self.map else { return };
        let start = map.as_ptr().addr();
        let (from, to) = (part.as_ptr().addr(), part.as_ptr().addr() + part.len());
        if from < start || to > start + map.len() {
            return;
        }
        let (from, to) = (from.next_multiple_of(PAGE) - start, to / PAGE * PAGE);
        let len = to.saturating_sub(start + from);
        if len == 0 {
            return;
        }
        #[cfg(unix)]
        // SAFETY: the map is of a file and read-only, so its pages are read from there again.
        let advised = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, from, len) };
        // Advice that the system does not take costs memory, and nothing else.
        #[cfg(unix)]
        drop(advised);
    }
}

#[expect(unsafe_code, reason = "a memory map is the one way to load weights without copying them")]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is read-only and private to readers of `Bytes`. What remains is that another process writes to
    // the file or cuts it off while it is mapped: model files are replaced, never edited in place (the hub cache names
    // them by their hash), and every program that maps weights lives with the same rule. A changed byte changes a
    // number, never control flow, because headers are parsed from their own copy.
    let map = unsafe { Mmap::map(file) }?;
    // Where the system keeps this file in large pages, it answers for a weight with one entry of the processor's table
    // of pages and not with hundreds: decoding is a third faster. It decides so when it reads the file from the disk,
    // and what advice it does not take costs nothing.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is let go leaves this process's memory, and is read again as it was.
    #[test]
    fn pages_are_let_go_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let content: Vec<u8> =
            (0..4 << 20).map(|i: u32| (i.wrapping_mul(7919) >> 8) as u8).collect();
        fs::write(folder.path().join("file"), &content).unwrap();
        let map = Files::Disk(folder.path().into()).map("file").unwrap();
        assert_eq!(map.bytes, content);
        let before = resident(&map.bytes);
        // Not a page of what stands around it, nor of what lies elsewhere.
        map.let_go(&map.bytes[1..map.bytes.len() - 1]);
        map.let_go(&content);
        map.let_go(&map.bytes[5..9]);
        let after = resident(&map.bytes);
        if let (Some(before), Some(after)) = (before, after) {
            assert!(before >= 4 << 20 && after <= 64 << 10, "{before} {after}");
        }
        assert_eq!(map.bytes, content);
    }

    /// Bytes of the map of `bytes` that are in this process's memory, where the system says.
    fn resident(bytes: &Bytes) -> Option<usize> {
        let maps = fs::read_to_string("/proc/self/smaps").ok()?;
        let start = format!("{:x}-", bytes.as_ptr().addr());
        let mut lines = maps.lines().skip_while(|line| !line.starts_with(&start));
        let line = lines.find(|line| line.starts_with("Rss:"))?;
        line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kb| kb << 10)
    }
}
