//! Which pages are on the disk, how large they are, and when each was last wanted.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Generation, LOCK};
use crate::hex;

/// The name of a page.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Name {
    pub(super) generation: Generation,
    /// A hash of all tokens up to its last.
    pub(super) key: [u8; 32],
}

const EXTENSION: &str = "page";

/// Bytes of pages that may wait in memory to be written.
pub(in crate::runtime) const MOST_WAITING: u64 = 64 << 20;

impl Name {
    /// Where its file is.
    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        let file = format!("{}.{EXTENSION}", hex(&self.key));
        folder.join(hex(&self.generation.0)).join(file)
    }
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    if text.len() != 2 * N || text.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (byte, at) in out.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(out)
}

#[derive(Debug)]
pub(super) struct Index {
    cap: u64,
    held: u64,
    /// Bytes, and when it was last wanted.
    pages: BTreeMap<Name, (u64, u64)>,
    /// The same, the longest unused first.
    by_use: BTreeMap<u64, Name>,
    /// Those that are to be written, and their bytes.
    expected: BTreeMap<Name, u64>,
    waiting: u64,
    clock: u64,
}

impl Index {
    /// What is in `folder`. What is not ours is named, and left alone.
    pub(super) fn scan(folder: &Path, cap: u64) -> io::Result<Self> {
        let (pages, by_use) = (BTreeMap::new(), BTreeMap::new());
        let expected = BTreeMap::new();
        let mut index = Self { cap, held: 0, pages, by_use, expected, waiting: 0, clock: 0 };
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let generation = name.to_str().and_then(from_hex).map(Generation);
            match generation.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                Some(generation) => scan_generation(&path, generation, &mut found)?,
                None if name == LOCK => {}
                None => strange(&path),
            }
        }
        found.sort_unstable();
        for (_, name, bytes) in found {
            index.add(name, bytes);
        }
        Ok(index)
    }

    pub(super) fn held(&self) -> u64 {
        self.held
    }

    pub(super) fn cap(&self) -> u64 {
        self.cap
    }

    /// Whether a page is there; if so, it was just wanted.
    pub(super) fn touch(&mut self, name: &Name) -> bool {
        let Some((_, used)) = self.pages.get_mut(name) else { return false };
        self.clock += 1;
        self.by_use.remove(used);
        *used = self.clock;
        self.by_use.insert(self.clock, *name);
        true
    }

    /// Whether a page is there, or will be.
    pub(super) fn knows(&self, name: &Name) -> bool {
        self.pages.contains_key(name) || self.expected.contains_key(name)
    }

    /// Notes that a page of so many bytes is to be written; false if it is there, or will be, or too many bytes wait already.
    pub(super) fn expect(&mut self, name: Name, bytes: u64) -> bool {
        let fits = self.waiting == 0 || self.waiting.saturating_add(bytes) <= MOST_WAITING;
        if !fits || self.knows(&name) {
            return false;
        }
        self.waiting += bytes;
        self.expected.insert(name, bytes);
        true
    }

    /// Bytes that may wait beside those that do.
    pub(super) fn room(&self) -> u64 {
        MOST_WAITING.saturating_sub(self.waiting)
    }

    /// Notes that it waits no more.
    pub(super) fn give_up(&mut self, name: &Name) {
        self.waiting -= self.expected.remove(name).unwrap_or(0);
    }

    /// Notes that it was written.
    pub(super) fn add(&mut self, name: Name, bytes: u64) {
        self.give_up(&name);
        self.remove(&name);
        self.clock += 1;
        self.pages.insert(name, (bytes, self.clock));
        self.by_use.insert(self.clock, name);
        self.held += bytes;
    }

    /// Forgets a page: the bytes that it had.
    pub(super) fn remove(&mut self, name: &Name) -> Option<u64> {
        let (bytes, used) = self.pages.remove(name)?;
        self.by_use.remove(&used);
        self.held -= bytes;
        Some(bytes)
    }

    /// Forgets the pages that must go for `more` bytes to fit, the longest unused first; and if some must, a sixteenth of all, so
    /// that it is not done for each page.
    pub(super) fn evict(&mut self, more: u64) -> Vec<(Name, u64)> {
        let mut gone = Vec::new();
        if self.held.saturating_add(more) <= self.cap {
            return gone;
        }
        let most = (self.cap - self.cap / 16).saturating_sub(more);
        while self.held > most
            && let Some((_, &name)) = self.by_use.first_key_value()
        {
            gone.extend(self.remove(&name).map(|bytes| (name, bytes)));
        }
        gone
    }
}

/// The pages of a generation, each with when it was written.
fn scan_generation(
    folder: &Path,
    generation: Generation,
    found: &mut Vec<(SystemTime, Name, u64)>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let metadata = entry.metadata()?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).and_then(from_hex);
        let extension = path.extension().and_then(|extension| extension.to_str());
        match (stem, extension) {
            (Some(key), Some(EXTENSION)) if metadata.is_file() => {
                let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                found.push((written, Name { generation, key }, metadata.len()));
            }
            // What was being written when the program ended.
            (Some(_), Some("part")) if metadata.is_file() => {
                super::remove(&path);
                let bytes = metadata.len();
                tracing::info!(path = %path.display(), bytes, "removed a page that was never whole");
            }
            _ => strange(&path),
        }
    }
    Ok(())
}

fn strange(path: &Path) {
    tracing::warn!(path = %path.display(), "among pages of caches, this is none: it is left alone");
}

#[cfg(test)]
mod tests {
    use super::{Generation, Index, MOST_WAITING, Name};

    #[test]
    fn what_waits_to_be_written_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::scan(folder.path(), u64::MAX).unwrap();
        let name = |n: u8| Name { generation: Generation([0; 16]), key: [n; 32] };
        assert!(index.expect(name(0), MOST_WAITING + 1), "one page waits, however large");
        assert!(!index.expect(name(1), 1));
        index.add(name(0), MOST_WAITING + 1);
        for n in 1..=4 {
            assert!(index.expect(name(n), MOST_WAITING / 4), "{n}");
        }
        assert!(!index.expect(name(5), 1) && !index.knows(&name(5)));
        assert!(index.knows(&name(4)) && !index.touch(&name(4)), "it waits, and is not there");
        index.give_up(&name(4));
        assert!(index.expect(name(5), 1) && !index.expect(name(5), 1), "it waits already");
    }
}
