//! Locks on a model of the hub cache, so that loading, fetching and removing it do not meet.
//!
//! They are advisory locks of the system (`flock`), as Python's client takes them: the system drops a lock with the
//! process that held it, so no lock is ever stale, whatever files lie about.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::{Entry, ModelName, Repository, Source};
use crate::error::{Error, Result};

/// The lock that says that a model as a whole is in use.
const WHOLE: &str = "folio.lock";

/// A model in use: while it lives, [`Removal::execute`](super::Removal::execute) refuses to remove the model.
#[derive(Debug)]
pub struct Hold {
    _file: Option<File>,
}

impl Hold {
    /// Marks a model of the catalog as in use. Models outside of the hub cache need no mark. Opens a file: not for the
    /// async executor.
    ///
    /// # Errors
    /// [`Error::InUse`] while it is being removed, [`Error::File`] when no lock file can be made.
    pub fn of(entry: &Entry) -> Result<Self> {
        if entry.source != Source::HubCache {
            return Ok(Self { _file: None });
        }
        let folder = entry.home.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let repository = Repository { cache: entry.root.clone(), folder };
        match Self::shared(&repository, &entry.name) {
            // A cache that may only be read cannot be removed from either.
            Err(Error::File { source, .. })
                if matches!(
                    source.kind(),
                    std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                Ok(Self { _file: None })
            }
            other => other,
        }
    }

    pub(crate) fn fetching(repository: &Repository, name: &ModelName) -> Result<Self> {
        Self::shared(repository, &name.to_string())
    }

    fn shared(repository: &Repository, name: &str) -> Result<Self> {
        let path = repository.locks().join(WHOLE);
        let file = open(&path)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(Self { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => {
                Err(Error::InUse { name: name.to_owned(), lock: path })
            }
            Err(TryLockError::Error(error)) => {
                tracing::warn!(path = %path.display(), %error, "this file system has no locks");
                Ok(Self { _file: None })
            }
        }
    }

    /// The model for us alone: neither held nor fetched by anyone, Python's client included.
    pub(super) fn alone(repository: &Repository, name: &str) -> Result<Vec<File>> {
        let whole = repository.locks().join(WHOLE);
        let mut files = vec![exclusive(&whole, name)?];
        for entry in fs::read_dir(repository.locks()).into_iter().flatten().flatten() {
            let path = entry.path();
            if path != whole && path.extension().is_some_and(|end| end == "lock") {
                files.push(exclusive(&path, name)?);
            }
        }
        Ok(files)
    }
}

fn exclusive(path: &Path, name: &str) -> Result<File> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::InUse { name: name.to_owned(), lock: path.to_owned() })
        }
        Err(TryLockError::Error(error)) => {
            tracing::warn!(path = %path.display(), %error, "this file system has no locks");
            Ok(file)
        }
    }
}

/// Tries to take the lock of one blob; `None` while another process has it.
pub(crate) fn blob(repository: &Repository, identity: &str) -> Result<Option<File>> {
    let path: PathBuf = repository.locks().join(format!("{identity}.lock"));
    let file = open(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            // The worst that two writers can do to each other is a wrong hash, which is an error and no damage.
            tracing::warn!(path = %path.display(), %error, "this file system has no locks");
            Ok(Some(file))
        }
    }
}

fn open(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
    }
    File::options()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(path)
        .map_err(Error::file("open", path))
}
