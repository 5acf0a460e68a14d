//! What pages depend on beside their tokens.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::UNIX_EPOCH;

use sha2::{Digest as _, Sha256};

/// Names all that pages of a cache depend on. Two that differ in any of it share nothing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::runtime) struct Generation(pub(super) [u8; 16]);

/// How much of both ends of a file is read.
const END: u64 = 64 << 10;

impl Generation {
    /// Of a model in `folders` (its own, and an adapter's), that is computed and cached as `how` says. A file counts by its name,
    /// length and age, and by what stands at both ends.
    pub(in crate::runtime) fn of(folders: &[&Path], how: &impl Debug) -> io::Result<Self> {
        let mut hash = Sha256::new();
        hash.update(super::file::MAGIC);
        // How pages lie may change with the program.
        hash.update(env!("CARGO_PKG_VERSION"));
        hash.update(format!("{how:?}"));
        for folder in folders {
            let mut files = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
            files.sort_by_key(fs::DirEntry::file_name);
            for file in files {
                // Through links: the files of the hub's cache are some.
                let metadata = fs::metadata(file.path())?;
                if metadata.is_file() {
                    hash.update(file.file_name().as_encoded_bytes());
                    let age = metadata.modified()?.duration_since(UNIX_EPOCH);
                    hash.update(age.map_or(0, |age| age.as_nanos()).to_le_bytes());
                    hash.update(metadata.len().to_le_bytes());
                    hash.update(ends(&file.path(), metadata.len())?);
                }
            }
            hash.update([0]);
        }
        let mut out = [0; 16];
        out.copy_from_slice(&hash.finalize()[..16]);
        Ok(Self(out))
    }
}

/// What stands at both ends of a file.
fn ends(path: &Path, length: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut out = Vec::new();
    file.by_ref().take(END).read_to_end(&mut out)?;
    if length > END {
        file.seek(SeekFrom::Start((length - END).max(END)))?;
        file.take(END).read_to_end(&mut out)?;
    }
    Ok(out)
}
