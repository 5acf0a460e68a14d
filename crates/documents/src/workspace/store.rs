//! Where a workspace lies: named bytes, whole or absent.

use std::fmt;
use std::time::SystemTime;

use super::WorkspaceFault;
use crate::Error;

/// What a store says of one of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key: components separated by `/`, relative to the store.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was last written, by the store's clock.
    pub modified: SystemTime,
}

/// What [`Store::change`] makes of what is there: `None` leaves it as it is.
pub type Change<'a> = dyn FnMut(Option<&[u8]>) -> Result<Option<Vec<u8>>, Error> + 'a;

/// A place that keeps bytes under keys such as `done_flags/done_0a.flag`. Several processes on several machines may
/// use it at once.
///
/// A key has components that are not empty, `.` or `..`; every method refuses others with [`WorkspaceFault::Key`]. Besides
/// that, an error is a store that cannot be reached or refuses, with the key's whole address.
pub trait Store: Send + Sync + fmt::Debug {
    /// The address of a key as people know it, such as `s3://bucket/prefix/key`; of the store itself for the empty one.
    fn address(&self, key: &str) -> String;

    /// All bytes of a key; `None` if it is not there.
    ///
    /// # Errors
    /// [`WorkspaceFault::TooLarge`] for more than `limit` bytes, without reading them.
    fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, Error>;

    /// Writes a key, in place of what is there. Others see what was before or all of it, and once this returns it outlives
    /// a crash.
    ///
    /// # Errors
    /// When the store does not take it.
    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Error>;

    /// The same where nothing is yet; `false` if something is. Only one of several callers is told `true`, as far as
    /// the store can tell them apart.
    ///
    /// # Errors
    /// When the store does not take it.
    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<bool, Error>;

    /// Reads a key, makes something else of it, and writes that if nobody has written meanwhile; otherwise begins
    /// again.
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`put`](Self::put), and of `change`.
    fn change(&self, key: &str, limit: u64, change: &mut Change<'_>) -> Result<(), Error>;

    /// Adds lines at the end of a key, which need not be there. A line that a crash cut short is ended first, so that it
    /// spoils nothing but itself.
    ///
    /// # Errors
    /// When the store does not take them.
    fn append(&self, key: &str, lines: &[u8]) -> Result<(), Error>;

    /// Whether [`append`](Self::append) adds to what is there, so that many may. An object store writes all of it anew.
    fn grows(&self) -> bool;

    /// Removes a key. One that is not there is no error.
    ///
    /// # Errors
    /// When the store refuses.
    fn delete(&self, key: &str) -> Result<(), Error>;

    /// All keys that begin with `prefix`, sorted. The prefix need not end at a `/`.
    ///
    /// # Errors
    /// When the store cannot be listed. A folder that is not there has no keys.
    fn list(&self, prefix: &str) -> Result<Vec<Entry>, Error>;

    /// When a key was last written; `None` if it is not there.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn modified(&self, key: &str) -> Result<Option<SystemTime>, Error>;

    /// The same of a key, with its size.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn entry(&self, key: &str) -> Result<Option<Entry>, Error>;

    /// An error about a key of this store.
    fn error(&self, key: &str, fault: WorkspaceFault) -> Error {
        Error::Workspace { place: self.address(key), fault }
    }
}

/// Whether a key can be one: see [`Store`].
pub(super) fn is_key(key: &str) -> bool {
    let component = |part: &str| !part.is_empty() && part != "." && part != "..";
    let odd = |c: char| c == '\0' || (cfg!(windows) && (c == '\\' || c == ':'));
    key.split('/').all(component) && !key.contains(odd)
}
