//! The folder of an index, and the lock that one writer holds.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::segment::{file_name, number_of, remove};
use crate::{Error, Result};

const DATABASE: &str = "index.sqlite";
const LOCK: &str = "writer.lock";
const SEGMENTS: &str = "segments";

/// The right to change an index.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // By itself: a process that is just being started has the file too, for a moment, and would
        // keep the lock if the file were only closed. If it fails, closing the file is what is left.
        drop(self.0.unlock());
    }
}

/// The folder of an index.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder of an index that is there.
    pub(crate) fn existing(path: &Path) -> Result<Self> {
        let folder = Self { path: path.to_owned() };
        if !folder.database().is_file() {
            return Err(Error::Missing { path: folder.path });
        }
        Ok(folder)
    }

    /// The folder of an index that is there, or a new one. What holds something else is left alone.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let folder = Self { path: path.to_owned() };
        fs::create_dir_all(path).map_err(Error::io(path, "create"))?;
        if !folder.database().exists() {
            for entry in fs::read_dir(path).map_err(Error::io(path, "list"))? {
                let name = entry.map_err(Error::io(path, "list"))?.file_name();
                if ![LOCK, SEGMENTS].iter().any(|ours| name == *ours) {
                    return Err(Error::Occupied { path: folder.path });
                }
            }
        }
        let segments = folder.segments();
        fs::create_dir_all(&segments).map_err(Error::io(&segments, "create"))?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Which file the database is, apart from its name: another one has another device or number.
    pub(crate) fn mark(&self) -> Option<(u64, u64)> {
        let of = fs::metadata(self.database()).ok()?;
        Some((of.dev(), of.ino()))
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    pub(crate) fn segments(&self) -> PathBuf {
        self.path.join(SEGMENTS)
    }

    pub(crate) fn segment(&self, number: i64) -> PathBuf {
        self.segments().join(file_name(number))
    }

    /// The right to change the index, until it is dropped or its process dies.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let path = self.path.join(LOCK);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io(&path, "open"))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path: self.path.clone() }),
            Err(TryLockError::Error(source)) => Err(Error::io(&path, "lock")(source)),
        }
    }

    /// Removes segments that `known` does not name, and what is left of unfinished ones. Only the writer
    /// may: others' files may be about to be named.
    pub(crate) fn collect(&self, known: &BTreeSet<i64>) -> Result<()> {
        let path = self.segments();
        for entry in fs::read_dir(&path).map_err(Error::io(&path, "list"))? {
            let entry = entry.map_err(Error::io(&path, "list"))?;
            let number = entry.file_name().to_str().and_then(number_of);
            if number.is_some_and(|(number, finished)| !finished || !known.contains(&number)) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}
