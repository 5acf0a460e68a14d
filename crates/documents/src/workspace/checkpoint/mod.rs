//! Pages that are finished, of documents that are not: what a process that is killed leaves to the next.
//!
//! A document has a file, to which each page is added as a line when it is finished:
//!
//! ```text
//! CHECKSUM SETTINGS PAGE JSON
//! ```
//!
//! The checksum is the beginning of a SHA-1 of what follows it. `SETTINGS` is a word of the caller's, a hash of all
//! that decides what the text of a page is - the file, the model, the prompt, the size of the picture - so that pages which
//! were read otherwise are not taken for these. Lines are only ever added, each with one call, so two who work at one
//! document do not spoil each other's.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;
use sha1::{Digest as _, Sha1};

use super::folder::last_byte;
use super::{Doing, WorkspaceFault};
use crate::{Error, hex};

/// How long the file of a document may be.
const MOST_BYTES: u64 = 4 << 30;
/// Digits of a checksum.
const DIGITS: usize = 16;

/// Where finished pages are kept: `page_checkpoints/` of a workspace in a folder, or a folder of this machine.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

/// The finished pages of a document, to which others are added.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    settings: String,
    /// Opened when the first page is added.
    file: Option<File>,
    pages: BTreeMap<u32, Value>,
    damaged: Vec<u64>,
}

impl Checkpoints {
    /// The checkpoints of a workspace that lies in a folder.
    pub fn of_workspace(folder: &Path) -> Self {
        Self { folder: folder.join("page_checkpoints") }
    }

    /// Checkpoints in a folder of this machine, which is made such that nobody else may look into it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn private(folder: &Path) -> Result<Self, Error> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(|source| fault(folder, Doing::Writing, source))?;
        Ok(Self { folder: folder.to_path_buf() })
    }

    /// Removes what nobody added a page to since `before`: the rest of work that was not gone on with. What cannot be removed
    /// stays.
    ///
    /// # Errors
    /// When the folder cannot be read. One that is not there has nothing to remove.
    pub fn forget(&self, before: SystemTime) -> Result<usize, Error> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(fault(&self.folder, Doing::Reading, error)),
        };
        let mut gone = 0;
        for entry in entries.flatten() {
            let path = entry.path();
            let old = entry.metadata().and_then(|of| of.modified()).is_ok_and(|at| at < before);
            if old && path.extension().is_some_and(|end| end == "pages") {
                gone += usize::from(fs::remove_file(&path).is_ok());
            }
        }
        Ok(gone)
    }

    fn path(&self, source: &str) -> PathBuf {
        self.folder.join(format!("{}.pages", hex(&Sha1::digest(source.as_bytes()))))
    }

    /// Opens the checkpoint of a document and reads what pages it holds that were read with `settings`, a word without
    /// spaces. Nothing is made until a page is added.
    ///
    /// # Errors
    /// When the file cannot be read. What is damaged in it is no error: see [`Checkpoint::damaged`].
    pub fn open(&self, source: &str, settings: &str) -> Result<Checkpoint, Error> {
        let path = self.path(source);
        let mut bytes = Vec::new();
        let read =
            File::open(&path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(fault(&path, Doing::Reading, error)),
        }
        if bytes.len() as u64 > MOST_BYTES {
            let fault = WorkspaceFault::TooLarge { bytes: bytes.len() as u64, limit: MOST_BYTES };
            return Err(Error::Workspace { place: path.display().to_string(), fault });
        }
        let Restored { pages, damaged } = restore(&bytes, settings);
        Ok(Checkpoint { path, settings: settings.to_owned(), file: None, pages, damaged })
    }

    /// Removes the checkpoint of a document, once it is finished and nothing of it is to be read again. One that is not
    /// there is no error.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, source: &str) -> Result<(), Error> {
        let path = self.path(source);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(fault(&path, Doing::Removing, error)),
        }
        // The folder goes with the last of them; if there are others, it stays.
        let _ = fs::remove_dir(&self.folder);
        Ok(())
    }
}

impl Checkpoint {
    /// The pages that were finished before, by their numbers. They are handed out once.
    pub fn take_pages(&mut self) -> BTreeMap<u32, Value> {
        std::mem::take(&mut self.pages)
    }

    /// Lines of the file that are not as they were written, from 1: their pages are read again. One that a crash cut
    /// short is not among them.
    pub fn damaged(&self) -> &[u64] {
        &self.damaged
    }

    /// Where the file is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a page. When this returns, the page outlives a crash.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn add(&mut self, page: u32, content: &Value) -> Result<(), Error> {
        let line = line(&self.settings, page, content);
        let path = &self.path;
        let write = |file: &mut Option<File>| -> io::Result<()> {
            let file = match file {
                Some(file) => file,
                None => file.insert(open(path)?),
            };
            file.write_all(line.as_bytes())?;
            file.sync_data()
        };
        write(&mut self.file).map_err(|source| fault(path, Doing::Writing, source))
    }
}

/// Opens a file to add lines to, behind one that was cut short.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    if last_byte(&mut file)?.is_some_and(|byte| byte != b'\n') {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn fault(path: &Path, doing: Doing, source: io::Error) -> Error {
    let place = path.display().to_string();
    Error::Workspace { place, fault: WorkspaceFault::Disk { doing, source } }
}

fn checksum(rest: &[u8]) -> String {
    let mut digits = hex(&Sha1::digest(rest));
    digits.truncate(DIGITS);
    digits
}

fn line(settings: &str, page: u32, content: &Value) -> String {
    let rest = format!("{settings} {page} {content}");
    format!("{} {rest}\n", checksum(rest.as_bytes()))
}

/// What a file of finished pages holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// Pages that were read with the settings asked for; of one that was read twice, the later.
    pub pages: BTreeMap<u32, Value>,
    /// Lines that are not as they were written, from 1.
    pub damaged: Vec<u64>,
}

/// Reads the bytes of a file of finished pages.
pub fn restore(bytes: &[u8], settings: &str) -> Restored {
    let mut out = Restored::default();
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n').zip(1..).peekable();
    while let Some((line, number)) = lines.next() {
        match entry(line) {
            Some((of, page, content)) if of == settings.as_bytes() => {
                out.pages.insert(page, content);
            }
            Some(_) => {}
            // A crash cuts the last line short; what comes after one has a line of its own, so that such a line may
            // stand anywhere. It cannot be told from a damaged one then, and is named.
            None if lines.peek().is_none() && !line.ends_with(b"\n") => {}
            None => out.damaged.push(number),
        }
    }
    out
}

/// The settings, page and content of a line, if it is as it was written.
fn entry(line: &[u8]) -> Option<(&[u8], u32, Value)> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, rest) = line.split_at_checked(DIGITS)?;
    let rest = rest.strip_prefix(b" ")?;
    if sum != checksum(rest).as_bytes() {
        return None;
    }
    let mut parts = rest.splitn(3, |&byte| byte == b' ');
    let (settings, page, content) = (parts.next()?, parts.next()?, parts.next()?);
    let page = std::str::from_utf8(page).ok()?.parse().ok()?;
    Some((settings, page, serde_json::from_slice(content).ok()?))
}

#[cfg(test)]
mod tests;
