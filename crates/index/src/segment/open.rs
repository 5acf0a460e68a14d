//! Reading a segment.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use half::f16;
use kernels::late_interaction::{Layout, Page};

use super::format::{ENTRY, Entry, HEADER, Header, Places};
use super::map::Content;
use crate::{Encoder, Error, Fault, PageId, Result};

/// Which parts of a page have been compared with their checksums.
const EXACT: u8 = 1;
const SIGNS: u8 = 2;
const HALVES: u8 = 4;

/// An open segment. Nothing of it changes; pages are checked before they are given out.
pub struct Segment {
    path: PathBuf,
    content: Content,
    header: Header,
    places: Places,
    entries: Vec<Entry>,
    /// For each page, what has been checked.
    checked: Vec<AtomicU8>,
}

impl Segment {
    /// Opens a file, and checks its header and directory.
    ///
    /// # Errors
    ///
    /// If it cannot be mapped, or is no whole segment.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path, "open"))?;
        let length = file.metadata().map_err(Error::io(path, "read"))?.len();
        // A file of nothing cannot be mapped everywhere.
        let content = if length == 0 {
            Content::Memory(Vec::new())
        } else {
            Content::map(&file).map_err(Error::io(path, "map"))?
        };
        Self::read(path.to_owned(), content)
    }

    /// Reads what a file would hold. `path` is what errors call it.
    ///
    /// # Errors
    ///
    /// If it is no whole segment.
    pub fn from_bytes(path: PathBuf, bytes: Vec<u8>) -> Result<Self> {
        Self::read(path, Content::Memory(bytes))
    }

    fn read(path: PathBuf, content: Content) -> Result<Self> {
        let parse = || {
            let (header, places) = Header::read(&content, content.len() as u64)?;
            let end = HEADER + header.pages as usize * ENTRY;
            let directory = content.get(HEADER..end).ok_or(Fault::Contradiction("length"))?;
            let entries = Entry::read_all(&header, directory)?;
            Ok((header, places, entries))
        };
        match parse() {
            Ok((header, places, entries)) => {
                let checked = entries.iter().map(|_| AtomicU8::new(0)).collect();
                Ok(Self { path, content, header, places, entries, checked })
            }
            Err(fault) => Err(Error::Corrupt { path, page: None, fault }),
        }
    }

    /// Refuses a segment that something else made.
    pub(crate) fn check_maker(&self, encoder: &Encoder, halves: bool) -> Result<()> {
        let Header { dim, model, prompt, pooling, .. } = &self.header;
        let what = if *model != encoder.model {
            "model"
        } else if *prompt != encoder.prompt {
            "prompt"
        } else if *pooling != pooling_bytes(encoder) {
            "pooling"
        } else if *dim != encoder.dim {
            "dimension"
        } else if self.header.halves != halves {
            "16-bit copy"
        } else {
            return Ok(());
        };
        Err(Error::Corrupt { path: self.path.clone(), page: None, fault: Fault::Foreign(what) })
    }

    /// How vectors lie.
    pub fn layout(&self) -> Layout {
        self.places.layout
    }

    /// How many pages there are, of which some may be deleted.
    pub fn pages(&self) -> usize {
        self.entries.len()
    }

    /// The bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.places.end
    }

    /// The entry of the page at `slot`, which must be `page`.
    pub(crate) fn entry(&self, slot: usize, page: PageId) -> Result<&Entry> {
        match self.entries.get(slot) {
            Some(entry) if entry.page == page.0 => Ok(entry),
            _ => Err(Error::Corrupt {
                path: self.path.clone(),
                page: Some(page),
                fault: Fault::Misplaced,
            }),
        }
    }

    /// Codes and scales of the page at `slot`, which have been checked.
    ///
    /// # Errors
    ///
    /// If they do not match their checksum.
    ///
    /// # Panics
    ///
    /// If there are not so many pages.
    pub fn page(&self, slot: usize) -> Result<Page<'_>> {
        let entry = &self.entries[slot];
        let page = Page {
            codes: self.part(self.places.codes(entry)),
            scales: self.part(self.places.scales(entry)),
        };
        self.check(slot, EXACT, "codes", || {
            crc32c::crc32c_append(crc32c::crc32c(page.codes), page.scales) == entry.exact
        })?;
        Ok(page)
    }

    /// The signs of the page at `slot`, which have been checked.
    ///
    /// # Errors
    ///
    /// If they do not match their checksum.
    ///
    /// # Panics
    ///
    /// If there are not so many pages.
    pub fn signs(&self, slot: usize) -> Result<&[u8]> {
        let entry = &self.entries[slot];
        let signs = self.part(self.places.signs(entry));
        self.check(slot, SIGNS, "signs", || crc32c::crc32c(signs) == entry.signs)?;
        Ok(signs)
    }

    /// The vectors of the page at `slot`, one after another: from 16-bit floats if they were kept, else
    /// from codes.
    ///
    /// # Errors
    ///
    /// If they do not match their checksum.
    ///
    /// # Panics
    ///
    /// If there are not so many pages.
    pub fn vectors(&self, slot: usize) -> Result<Vec<f32>> {
        let Some(halves) = self.halves(slot)? else {
            let vectors = self.entries[slot].vectors as usize;
            return Ok(self.page(slot)?.unpack(self.layout(), vectors));
        };
        let (halves, _) = halves.as_chunks();
        Ok(halves.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect())
    }

    /// The 16-bit floats of the page at `slot`, if they were kept, checked.
    pub(crate) fn halves(&self, slot: usize) -> Result<Option<&[u8]>> {
        if !self.header.halves {
            return Ok(None);
        }
        let entry = &self.entries[slot];
        let halves = self.part(self.places.halves(entry));
        self.check(slot, HALVES, "16-bit floats", || crc32c::crc32c(halves) == entry.halves)?;
        Ok(Some(halves))
    }

    /// Whether the page's codes, or its signs, have been checked.
    pub(crate) fn is_checked(&self, slot: usize, signs: bool) -> bool {
        let part = if signs { SIGNS } else { EXACT };
        self.checked[slot].load(Ordering::Relaxed) & part != 0
    }

    /// Compares the checksums of every page that has not been, and returns the errors.
    pub fn verify(&self) -> Vec<Error> {
        let parts = |slot| [self.page(slot).err(), self.signs(slot).err(), self.halves(slot).err()];
        (0..self.pages()).flat_map(parts).flatten().collect()
    }

    /// Compares a checksum unless it was before.
    fn check(
        &self,
        slot: usize,
        part: u8,
        name: &'static str,
        matches: impl FnOnce() -> bool,
    ) -> Result<()> {
        // Whoever comes meanwhile checks it again, and finds the same.
        if self.checked[slot].load(Ordering::Relaxed) & part == 0 {
            if !matches() {
                let page = Some(PageId(self.entries[slot].page));
                let path = self.path.clone();
                return Err(Error::Corrupt { path, page, fault: Fault::Checksum(name) });
            }
            self.checked[slot].fetch_or(part, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Bytes of a plane. Directory and length were found to agree when the file was opened.
    fn part(&self, range: std::ops::Range<u64>) -> &[u8] {
        &self.content[range.start as usize..range.end as usize]
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The name of an encoder's pooling as a header holds it.
pub(super) fn pooling_bytes(encoder: &Encoder) -> [u8; Encoder::MAX_POOLING] {
    let mut bytes = [0; Encoder::MAX_POOLING];
    for (to, from) in bytes.iter_mut().zip(encoder.pooling.bytes()) {
        *to = from;
    }
    bytes
}
