//! Segments: files of pages' vectors that are written once, mapped into memory and checked.
//!
//! A file is a header, a directory with an entry for each page, and planes: 8-bit codes, their
//! scales, signs, and 16-bit floats if they were asked for. A plane holds all pages one after another in
//! blocks of sixteen vectors ([`kernels::late_interaction::Layout`]). Where everything
//! lies follows from the number of vectors of each page; what the header says of it must agree, so no
//! number of a file is followed without having been checked. All numbers are little-endian.
//!
//! Header and directory have checksums (CRC-32C) that are compared when a segment is opened; each
//! page has one for its codes and scales, one for its signs, one for its 16-bit floats, which are compared
//! before the page is first used.

mod format;
mod map;
mod open;
mod write;

pub use open::Segment;
pub(crate) use write::{Planes, SegmentWriter};

use std::fs::{self, File};
use std::path::Path;

use crate::{Error, Result};

/// What a segment is called while it is written.
const UNFINISHED: &str = "tmp";

/// What a segment is called.
const FINISHED: &str = "vec";

/// The name of a segment's file.
pub(crate) fn file_name(segment: i64) -> String {
    format!("seg-{segment:08}.{FINISHED}")
}

/// The number of the segment that a file belongs to, finished or not; none if it belongs to none.
pub(crate) fn number_of(name: &str) -> Option<(i64, bool)> {
    let (stem, kind) = name.strip_prefix("seg-")?.split_once('.')?;
    let finished = match kind {
        FINISHED => true,
        UNFINISHED => false,
        _ => return None,
    };
    let number = stem.bytes().all(|b| b.is_ascii_digit()).then(|| stem.parse().ok())??;
    Some((number, finished))
}

/// Has the folder remember its names even if the power fails.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    if cfg!(unix) {
        let folder = File::open(path).map_err(Error::io(path, "open"))?;
        folder.sync_all().map_err(Error::io(path, "write"))?;
    }
    Ok(())
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(path, "remove")(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_files_have_numbers() {
        assert_eq!(file_name(7), "seg-00000007.vec");
        assert_eq!(number_of(&file_name(123_456_789_012)), Some((123_456_789_012, true)));
        assert_eq!(number_of("seg-00000007.tmp"), Some((7, false)));
        for other in ["seg-7", "seg-x.vec", "seg-.vec", "seg--1.vec", "a-7.vec", "seg-7.old", ""] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
