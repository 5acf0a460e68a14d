//! Who of this machine is still at work.
//!
//! A lock in a workspace says that somebody works at a group, and is good for half an hour after its last refreshment. The
//! program that is killed and started again would wait for itself so long. Therefore each one holds a lock of the
//! operating system, which goes with the process, on a file of its own in a folder of this machine; the lock in the
//! workspace names that file. Other machines do not find it, and wait.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::BuildHasher as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Doing, WorkspaceFault};
use crate::Error;

/// What begins the content of a lock, before the token of whose it is.
const OURS: &str = "folio ";
const SUFFIX: &str = ".running";
/// Files of the dead are of no use longer than their locks are.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// A sign that this process is at work, until it is dropped.
#[derive(Debug)]
pub struct Presence {
    folder: PathBuf,
    token: String,
    /// Locked while we live. None if the disk has no such locks: then nobody can tell.
    file: Option<File>,
}

impl Presence {
    /// Says in `folder`, which is of this machine alone, that this process is at work.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be made.
    pub fn announce(folder: &Path) -> Result<Self, Error> {
        let fault = |source: io::Error| Error::Workspace {
            place: folder.display().to_string(),
            fault: WorkspaceFault::Disk { doing: Doing::Writing, source },
        };
        fs::create_dir_all(folder).map_err(fault)?;
        // Two states, because each is a number of 64 bits that nobody can guess; and the process, for people.
        let random = || RandomState::new().hash_one(SystemTime::now());
        let token = format!("{}-{:016x}{:016x}", std::process::id(), random(), random());
        let path = folder.join(format!("{token}{SUFFIX}"));
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(fault)?;
        let file = match file.try_lock() {
            Ok(()) => Some(file),
            Err(_) => {
                // A file without its lock would say that we are dead.
                fs::remove_file(&path).map_err(fault)?;
                None
            }
        };
        Ok(Self { folder: folder.to_path_buf(), token, file })
    }

    /// What the locks of this process hold.
    pub fn mark(&self) -> String {
        format!("{OURS}{}\n", self.token)
    }

    /// Whether the content of a lock is that of a process of this machine that is no more.
    pub fn is_gone(&self, lock: &[u8]) -> bool {
        let token = std::str::from_utf8(lock)
            .ok()
            .and_then(|text| text.strip_prefix(OURS))
            .map(str::trim_end)
            .filter(|token| *token != self.token);
        let plain = |token: &&str| {
            token.len() < 100 && token.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
        };
        token
            .filter(plain)
            .is_some_and(|token| is_dead(&self.folder.join(format!("{token}{SUFFIX}"))))
    }

    /// Removes what processes left that ended long ago.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let ours = entry.file_name().to_str().is_some_and(|name| name.ends_with(SUFFIX));
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            let age = modified.and_then(|modified| SystemTime::now().duration_since(modified).ok());
            if ours && age.is_some_and(|age| age > OLD) && is_dead(&entry.path()) {
                // Whoever else sweeps may have been first.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What is left says that we are gone, which is true.
            let _ = fs::remove_file(self.folder.join(format!("{}{SUFFIX}", self.token)));
        }
        self.sweep();
    }
}

/// Whether a process left this file behind.
fn is_dead(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
        },
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_told_from_the_living_and_from_strangers() {
        let folder = tempfile::tempdir().unwrap();
        let we = Presence::announce(folder.path()).unwrap();
        let living = Presence::announce(folder.path()).unwrap();
        assert!(!we.is_gone(we.mark().as_bytes()), "ourselves");
        assert!(!we.is_gone(living.mark().as_bytes()), "the living");
        // One that is killed leaves its file, and its lock goes.
        let mut killed = Presence::announce(folder.path()).unwrap();
        let mark = killed.mark();
        drop(killed.file.take());
        assert!(we.is_gone(mark.as_bytes()), "the dead");
        drop(killed);
        assert!(we.is_gone(mark.as_bytes()));
        for strange in ["", "folio ../../etc/passwd\n", "folio 12-ab\n", "somebody else"] {
            assert!(!we.is_gone(strange.as_bytes()), "{strange:?}");
        }
        // Who ends in good order removes its file.
        let mark = living.mark();
        drop(living);
        assert!(!we.is_gone(mark.as_bytes()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
