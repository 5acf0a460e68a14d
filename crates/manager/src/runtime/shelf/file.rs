//! A page as a file: what it holds, a checksum, and the page.
//!
//! | bytes | what                          |
//! | ----- | ----------------------------- |
//! | 8     | `folioKV` and the form's version |
//! | 16    | the generation                |
//! | 32    | the key                       |
//! | 8     | the page's length, little-endian |
//! | 32    | SHA-256 of the page           |
//! | rest  | the page                      |

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::index::Name;

/// What a file begins with. Another form has another last byte.
pub(super) const MAGIC: [u8; 8] = *b"folioKV\x01";

const HEADER: usize = 96;

/// No page is larger.
const MOST: u64 = 1 << 30;

/// Why a file is not the page that it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum Flaw {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("its beginning is not that of such a page")]
    Foreign,
    #[error("its checksum is not that of its content")]
    Damaged,
}

/// Bytes of the file of a page.
pub(super) fn size(page: &[u8]) -> u64 {
    (HEADER + page.len()) as u64
}

/// What opens files that nobody else may read: they hold what people wrote.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a folder that nobody else may look into. One that is there already is made so.
pub(super) fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn header(name: &Name, page: &[u8]) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out[..8].copy_from_slice(&MAGIC);
    out[8..24].copy_from_slice(&name.generation.0);
    out[24..56].copy_from_slice(&name.key);
    out[56..64].copy_from_slice(&(page.len() as u64).to_le_bytes());
    out[64..].copy_from_slice(&Sha256::digest(page));
    out
}

/// Writes a page. It has its name once it is whole.
pub(super) fn write(path: &Path, name: &Name, page: &[u8]) -> io::Result<()> {
    path.parent().map_or(Ok(()), make_private)?;
    let part = path.with_extension("part");
    let written = private().create(true).truncate(true).open(&part).and_then(|mut file| {
        file.write_all(&header(name, page))?;
        file.write_all(page)
    });
    let named = written.and_then(|()| fs::rename(&part, path));
    if named.is_err() {
        // What is left of it is of no use; that it cannot be written is said.
        let _ = fs::remove_file(&part);
    }
    named
}

/// Reads a page, and believes it only if it is what its header says, and that is `name`.
pub(super) fn read(path: &Path, name: &Name) -> Result<Vec<u8>, Flaw> {
    let file = fs::File::open(path)?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    let (head, page) = bytes.split_at_checked(HEADER).ok_or(Flaw::Foreign)?;
    let known = head[..8] == MAGIC && head[8..24] == name.generation.0 && head[24..56] == name.key;
    if !known {
        return Err(Flaw::Foreign);
    }
    if head != header(name, page) {
        return Err(Flaw::Damaged);
    }
    bytes.drain(..HEADER);
    Ok(bytes)
}
