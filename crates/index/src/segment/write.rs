//! Writing a segment: under another name, to the disk, and only then under its own.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::f16;
use kernels::late_interaction::{Layout, Packed};

use super::format::{ENTRY, Entry, HEADER, Header, MOST_PAGES, Places};
use super::open::pooling_bytes;
use super::{FINISHED, UNFINISHED, file_name, remove, sync_folder};
use crate::{Encoder, Error, Grid, PageId, Result};

/// The planes of a page that is to be written: its own, or another's.
pub(crate) struct Planes<'a> {
    pub(crate) codes: Cow<'a, [u8]>,
    pub(crate) scales: Cow<'a, [u8]>,
    pub(crate) signs: Cow<'a, [u8]>,
    pub(crate) halves: Cow<'a, [u8]>,
    pub(crate) vectors: u32,
    pub(crate) grid: Option<Grid>,
}

impl Planes<'static> {
    /// Stores vectors, which have been checked.
    pub(crate) fn new(layout: Layout, numbers: &[f32], grid: Option<Grid>, halves: bool) -> Self {
        let Packed { codes, scales, signs } = Packed::new(layout, numbers);
        let halves = if halves {
            numbers.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect()
        } else {
            Vec::new()
        };
        let vectors = (numbers.len() / layout.dim()) as u32;
        let [codes, scales, signs, halves] = [codes, scales, signs, halves].map(Cow::Owned);
        Self { codes, scales, signs, halves, vectors, grid }
    }
}

/// A segment that is being written. Its file vanishes unless it is finished.
pub(crate) struct SegmentWriter {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    header: Header,
    places: Places,
    entries: Vec<Entry>,
    finished: bool,
}

impl SegmentWriter {
    /// Begins segment `number` in `folder`, with pages that have so many vectors.
    pub(crate) fn create(
        folder: &Path,
        number: i64,
        (encoder, halves): (&Encoder, bool),
        vectors: &[u32],
    ) -> Result<Self> {
        let blocks = vectors.iter().map(|&vectors| u64::from(vectors).div_ceil(16)).sum();
        let pages = u32::try_from(vectors.len()).ok().filter(|&pages| pages <= MOST_PAGES);
        let header = pages.map(|pages| Header {
            dim: encoder.dim,
            halves,
            pages,
            blocks,
            model: encoder.model,
            prompt: encoder.prompt,
            pooling: pooling_bytes(encoder),
            checksum: 0,
        });
        let both = header.and_then(|header| header.places().map(|places| (header, places)));
        let Some((header, places)) = both else {
            let value = vectors.len().to_string();
            return Err(Error::Value {
                what: "pages",
                value,
                allowed: "at most a million at once",
            });
        };
        let path = folder.join(file_name(number)).with_extension(UNFINISHED);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(Error::io(&path, "create"))?;
        // What lies between the planes is zeros.
        file.set_len(places.end).map_err(Error::io(&path, "write"))?;
        let (folder, entries) = (folder.to_owned(), Vec::with_capacity(vectors.len()));
        Ok(Self { folder, path, file, header, places, entries, finished: false })
    }

    /// Writes the next page.
    ///
    /// # Panics
    ///
    /// If its planes are not as large as its number of vectors says.
    pub(crate) fn page(&mut self, page: PageId, planes: &Planes<'_>) -> Result<()> {
        let Planes { codes, scales, signs, halves, vectors, grid } = planes;
        let first = self.entries.last().map_or(0, |last| last.first + last.blocks());
        let entry = Entry {
            page: page.0,
            first,
            vectors: *vectors,
            grid: grid.unwrap_or(Grid { start: 0, height: 0, width: 0 }),
            exact: crc32c::crc32c_append(crc32c::crc32c(codes), scales),
            signs: crc32c::crc32c(signs),
            halves: crc32c::crc32c(halves),
        };
        self.put(self.places.codes(&entry), codes)?;
        self.put(self.places.scales(&entry), scales)?;
        self.put(self.places.signs(&entry), signs)?;
        if self.header.halves {
            self.put(self.places.halves(&entry), halves)?;
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Writes directory and header, has the disk keep it all, and gives the file its name. Answers its bytes.
    ///
    /// # Panics
    ///
    /// If it has not as many pages as it was begun with.
    pub(crate) fn finish(mut self) -> Result<u64> {
        assert_eq!(self.entries.len(), self.header.pages as usize, "as many pages as were begun");
        let mut directory = Vec::with_capacity(self.entries.len() * ENTRY);
        for entry in &self.entries {
            entry.write(&mut directory);
        }
        self.header.checksum = crc32c::crc32c(&directory);
        let header = self.header.write();
        self.put(HEADER as u64..HEADER as u64 + directory.len() as u64, &directory)?;
        self.put(0..HEADER as u64, &header)?;
        self.file.sync_all().map_err(Error::io(&self.path, "write"))?;
        let name = self.path.with_extension(FINISHED);
        fs::rename(&self.path, &name).map_err(Error::io(&self.path, "rename"))?;
        self.finished = true;
        sync_folder(&self.folder)?;
        Ok(self.places.end)
    }

    fn put(&mut self, place: Range<u64>, bytes: &[u8]) -> Result<()> {
        assert_eq!(place.end - place.start, bytes.len() as u64, "a part of the planned size");
        let written =
            self.file.seek(SeekFrom::Start(place.start)).and_then(|_| self.file.write_all(bytes));
        written.map_err(Error::io(&self.path, "write"))
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if !self.finished {
            // What stays is collected when the index is next written to.
            drop(remove(&self.path));
        }
    }
}
