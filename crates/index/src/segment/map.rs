//! A file's bytes, mapped into memory.

use std::fs::File;
use std::ops::Deref;

use memmap2::Mmap;

/// What a segment is read from.
pub(super) enum Content {
    /// A file.
    Map(Mmap),
    /// Bytes in memory, for tests and fuzzing.
    Memory(Vec<u8>),
}

impl Content {
    /// Maps `file`.
    #[expect(unsafe_code, reason = "a memory map is the one way to search without copying")]
    pub(super) fn map(file: &File) -> std::io::Result<Self> {
        // SAFETY: the map is read-only. What remains is that something else writes to the file or cuts it off while it
        // is mapped: a segment is written under another name, is never changed after it got its own, and is
        // removed by its name only, which leaves the map as it is.
        let map = unsafe { Mmap::map(file) }?;
        // Where the system keeps this file in large pages, fewer entries of the processor's table answer for it.
        // Advice that it does not take costs nothing.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self::Map(map))
    }
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Map(map) => map,
            Self::Memory(bytes) => bytes,
        }
    }
}
