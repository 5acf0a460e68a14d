//! A file on disk, checked before it is read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::{Error, FileKind, OpenFailure};

/// The bytes of one file, with the name that messages use for it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name that messages use.
    pub name: String,
    /// All bytes.
    pub bytes: Vec<u8>,
}

impl Source {
    /// Reads a PDF or a file of pictures from disk. Nothing that is not a regular file is opened, so a FIFO cannot hang
    /// the program; a file that grows while it is read is cut off at the limit.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Folder`], [`Error::Special`], [`Error::Empty`],
    /// [`Error::TooLarge`], [`Error::Read`], and [`OpenFailure::NotPdf`] for another kind of file.
    pub fn read(path: &Path, limit: u64) -> Result<Self, Error> {
        let owned = || path.to_path_buf();
        let read_error = |source: io::Error| {
            if source.kind() == io::ErrorKind::NotFound {
                Error::Missing { path: owned() }
            } else {
                Error::Read { path: owned(), source }
            }
        };
        let metadata = fs::metadata(path).map_err(read_error)?;
        check_type(path, &metadata)?;
        if metadata.len() > limit {
            return Err(Error::TooLarge { path: owned(), bytes: metadata.len(), limit });
        }
        let file = File::open(path).map_err(read_error)?;
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(read_error)?;
        let len = bytes.len() as u64;
        if len > limit {
            return Err(Error::TooLarge { path: owned(), bytes: len, limit });
        }
        if bytes.is_empty() {
            return Err(Error::Empty { path: owned() });
        }
        let name = path.display().to_string();
        let found = FileKind::of(&bytes);
        if !found.is_document() {
            return Err(Error::Open { file: name, failure: OpenFailure::NotPdf { found } });
        }
        Ok(Self { name, bytes })
    }
}

/// The bytes of a file, as several threads share them.
#[derive(Debug)]
pub(crate) struct FileBytes(pub(crate) Vec<u8>);

impl AsRef<[u8]> for FileBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn check_type(path: &Path, metadata: &fs::Metadata) -> Result<(), Error> {
    let path: PathBuf = path.to_path_buf();
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if kind.is_dir() {
        return Err(Error::Folder { path });
    }
    Err(Error::Special { path, what: special(kind) })
}

#[cfg(unix)]
fn special(kind: fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn special(_: fs::FileType) -> &'static str {
    "a device"
}
