//! A workspace in a folder of this machine, or of a disk that several share.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::store::{Change, is_key};
use super::{Doing, Entry, Store, WorkspaceFault, keys};
use crate::Error;

/// What the names of files end with that are being written. They begin with a dot.
const PARTIAL: &str = ".partial";
/// What is left of a write that broke off is removed after so long.
const LEFT_OVER: Duration = Duration::from_secs(24 * 3600);
/// Held while a file is read and changed.
const CHANGING: &str = ".changing";

/// A folder as a [`Store`]. Files are made as the user's mask says: a workspace is often shared by a group.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    count: AtomicU64,
}

impl Folder {
    /// Opens a folder, and makes it if it is not there. What is left of writes that broke off more than a day ago is
    /// removed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let folder = Self::existing(root);
        fs::create_dir_all(root).map_err(folder.fault("", Doing::Writing))?;
        folder.sweep();
        Ok(folder)
    }

    /// A folder as it is, which need not be there: reading from it finds nothing then.
    pub fn existing(root: &Path) -> Self {
        Self { root: root.to_path_buf(), count: AtomicU64::new(0) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.root
    }

    fn place(&self, key: &str) -> Result<PathBuf, Error> {
        if is_key(key) {
            Ok(self.root.join(key))
        } else {
            Err(self.error(key, WorkspaceFault::Key))
        }
    }

    fn fault(&self, key: &str, doing: Doing) -> impl Fn(io::Error) -> Error {
        let place = self.address(key);
        move |source| Error::Workspace {
            place: place.clone(),
            fault: WorkspaceFault::Disk { doing, source },
        }
    }

    /// Removes old partial files beside what is written most.
    fn sweep(&self) {
        let folders = ["", keys::RESULTS, keys::DONE_FLAGS, keys::WORKER_LOCKS];
        for entry in folders.iter().filter_map(|f| fs::read_dir(self.root.join(f)).ok()).flatten() {
            let Ok(entry) = entry else { continue };
            let old = || {
                let modified = entry.metadata().and_then(|m| m.modified()).ok()?;
                SystemTime::now().duration_since(modified).ok()
            };
            if is_partial(&entry.file_name()) && old().is_some_and(|age| age > LEFT_OVER) {
                // Somebody else may have removed it; the next run looks again.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Writes bytes to a file of a name that nobody uses, beside `place`.
    fn partial(&self, place: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
        let parent = place.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent)?;
        loop {
            let count = self.count.fetch_add(1, Ordering::Relaxed);
            // A name of its own, because the whole one may be as long as names can be.
            let path = parent.join(format!(".{}-{count}{PARTIAL}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => {
                    let written = file.write_all(bytes).and_then(|()| file.sync_all());
                    return match written {
                        Ok(()) => Ok(path),
                        Err(error) => {
                            let _ = fs::remove_file(&path);
                            Err(error)
                        }
                    };
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn write(&self, place: &Path, bytes: &[u8]) -> io::Result<()> {
        let partial = self.partial(place, bytes)?;
        if let Err(error) = fs::rename(&partial, place) {
            let _ = fs::remove_file(&partial);
            return Err(error);
        }
        settle(place)
    }

    fn write_new(&self, place: &Path, bytes: &[u8]) -> io::Result<bool> {
        if fs::exists(place)? {
            return Ok(false);
        }
        let partial = self.partial(place, bytes)?;
        let linked = fs::hard_link(&partial, place);
        let _ = fs::remove_file(&partial);
        match linked {
            Ok(()) => settle(place).map(|()| true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            // Disks without links: the file is there before its bytes are.
            Err(_) => match OpenOptions::new().write(true).create_new(true).open(place) {
                Ok(mut file) => file
                    .write_all(bytes)
                    .and_then(|()| file.sync_all())
                    .and_then(|()| settle(place))
                    .map(|()| true),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error),
            },
        }
    }

    /// A lock of the whole folder against other processes, until it is dropped. On disks that have no locks there is
    /// none.
    fn hold(&self) -> io::Result<File> {
        fs::create_dir_all(&self.root)?;
        let path = self.root.join(CHANGING);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.lock() {
            Ok(()) => Ok(file),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(file),
            Err(error) => Err(error),
        }
    }

    fn walk(&self, folder: &Path, prefix: &str, out: &mut Vec<Entry>) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if is_partial(&name) || name == CHANGING {
                continue;
            }
            let path = entry.path();
            let Some(key) = self.key_of(&path) else { continue };
            if entry.file_type()?.is_dir() {
                let inside = format!("{key}/");
                if inside.starts_with(prefix) || prefix.starts_with(&inside) {
                    self.walk(&path, prefix, out)?;
                }
            } else if key.starts_with(prefix) {
                // Another process may remove a file between our seeing its name and asking about it.
                if let Some(entry) = about(key, &path)? {
                    out.push(entry);
                }
            }
        }
        Ok(())
    }

    /// None for what nobody could have written through here.
    fn key_of(&self, path: &Path) -> Option<String> {
        let relative = path.strip_prefix(&self.root).ok()?;
        let parts: Option<Vec<&str>> = relative.iter().map(OsStr::to_str).collect();
        Some(parts?.join("/"))
    }
}

impl Store for Folder {
    fn address(&self, key: &str) -> String {
        if key.is_empty() {
            self.root.display().to_string()
        } else {
            // Written as it is: the key may be no path at all.
            format!("{}/{key}", self.root.display())
        }
    }

    fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let place = self.place(key)?;
        let fault = self.fault(key, Doing::Reading);
        let file = match File::open(&place) {
            Ok(file) => file,
            Err(error) if absent(&error) => return Ok(None),
            Err(error) => return Err(fault(error)),
        };
        let bytes = file.metadata().map_err(&fault)?.len();
        let too_large = |bytes| self.error(key, WorkspaceFault::TooLarge { bytes, limit });
        if bytes > limit {
            return Err(too_large(bytes));
        }
        let mut out = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        file.take(limit.saturating_add(1)).read_to_end(&mut out).map_err(&fault)?;
        if out.len() as u64 > limit { Err(too_large(out.len() as u64)) } else { Ok(Some(out)) }
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        let place = self.place(key)?;
        self.write(&place, bytes).map_err(self.fault(key, Doing::Writing))
    }

    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<bool, Error> {
        let place = self.place(key)?;
        self.write_new(&place, bytes).map_err(self.fault(key, Doing::Writing))
    }

    fn change(&self, key: &str, limit: u64, change: &mut Change<'_>) -> Result<(), Error> {
        let place = self.place(key)?;
        let _held = self.hold().map_err(self.fault("", Doing::Writing))?;
        let there = self.get(key, limit)?;
        match change(there.as_deref())? {
            Some(bytes) => self.write(&place, &bytes).map_err(self.fault(key, Doing::Writing)),
            None => Ok(()),
        }
    }

    fn append(&self, key: &str, lines: &[u8]) -> Result<(), Error> {
        let place = self.place(key)?;
        let _held = self.hold().map_err(self.fault("", Doing::Writing))?;
        grow(&place, lines).map_err(self.fault(key, Doing::Writing))
    }

    fn grows(&self) -> bool {
        true
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        match fs::remove_file(self.place(key)?) {
            Ok(()) => Ok(()),
            Err(error) if absent(&error) => Ok(()),
            Err(error) => Err(self.fault(key, Doing::Removing)(error)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, Error> {
        let folder = match prefix.rsplit_once('/') {
            Some((folder, _)) => self.place(folder)?,
            None => self.root.clone(),
        };
        let mut out = Vec::new();
        self.walk(&folder, prefix, &mut out).map_err(self.fault(prefix, Doing::Listing))?;
        out.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(out)
    }

    fn modified(&self, key: &str) -> Result<Option<SystemTime>, Error> {
        Ok(self.entry(key)?.map(|entry| entry.modified))
    }

    fn entry(&self, key: &str) -> Result<Option<Entry>, Error> {
        let place = self.place(key)?;
        about(key.to_owned(), &place).map_err(self.fault(key, Doing::Reading))
    }
}

fn grow(place: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    let fresh = !fs::exists(place)?;
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(place)?;
    if last_byte(&mut file)?.is_some_and(|byte| byte != b'\n') {
        file.write_all(b"\n")?;
    }
    file.write_all(bytes)?;
    file.sync_data()?;
    if fresh { settle(place) } else { Ok(()) }
}

fn about(key: String, path: &Path) -> io::Result<Option<Entry>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            let entry = Entry { key, bytes: metadata.len(), modified: metadata.modified()? };
            Ok(Some(entry))
        }
        Ok(_) => Ok(None),
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a file is not there; a file where one of its folders should be says the same.
fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn is_partial(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(PARTIAL))
}

/// Lets the name of a new file outlive a crash, as its bytes do.
#[cfg(unix)]
fn settle(place: &Path) -> io::Result<()> {
    let Some(folder) = place.parent() else { return Ok(()) };
    match File::open(folder)?.sync_all() {
        // Some disks of other machines do not know this.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
            Ok(())
        }
        other => other,
    }
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "folders cannot be opened there")]
fn settle(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The last byte of a file, if it has any.
pub(super) fn last_byte(file: &mut File) -> io::Result<Option<u8>> {
    if file.metadata()?.len() == 0 {
        return Ok(None);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(Some(byte[0]))
}

#[cfg(test)]
mod tests;
