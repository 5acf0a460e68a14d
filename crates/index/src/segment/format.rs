//! The numbers of a segment's header and directory, and what follows from them.

use std::ops::Range;

use kernels::late_interaction::{BLOCK, Layout};

use crate::document::MOST_VECTORS;
use crate::{Encoder, Fault, Grid, Hash};

/// What a segment begins with.
const MAGIC: [u8; 8] = *b"FOLIOSEG";

/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// How numbers become 8-bit codes: see [`kernels::late_interaction::Packed`].
const QUANTIZATION: u32 = 1;

/// The bytes of a header.
pub(super) const HEADER: usize = 256;

/// The bytes of an entry.
pub(super) const ENTRY: usize = 40;

/// The most pages of a segment.
pub(super) const MOST_PAGES: u32 = 1 << 20;

/// Planes begin at multiples of this.
const ALIGNMENT: u64 = 64;

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) dim: u32,
    pub(super) halves: bool,
    pub(super) pages: u32,
    pub(super) blocks: u64,
    pub(super) model: Hash,
    pub(super) prompt: Hash,
    pub(super) pooling: [u8; Encoder::MAX_POOLING],
    /// Of the directory.
    pub(super) checksum: u32,
}

/// Where the parts of a file lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) layout: Layout,
    pub(super) directory: u64,
    pub(super) codes: u64,
    pub(super) scales: u64,
    pub(super) signs: u64,
    /// The end of the file if there are none.
    pub(super) halves: u64,
    /// The length of the file.
    pub(super) end: u64,
}

impl Places {
    /// What follows from a dimension and how much there is; nothing if that is too much.
    pub(super) fn new(dim: u32, pages: u32, blocks: u64, halves: bool) -> Option<Self> {
        let layout = Layout::new(dim as usize)?;
        let directory = HEADER as u64;
        let mut at = directory.checked_add(u64::from(pages) * ENTRY as u64)?;
        let mut plane = |block: usize| {
            let start = at.checked_next_multiple_of(ALIGNMENT)?;
            at = start.checked_add(blocks.checked_mul(block as u64)?)?;
            Some(start)
        };
        let codes = plane(layout.code_bytes())?;
        let scales = plane(Layout::SCALE_BYTES)?;
        let signs = plane(layout.sign_bytes())?;
        let halves = plane(if halves { half_bytes(layout) } else { 0 })?;
        Some(Self { layout, directory, codes, scales, signs, halves, end: at })
    }

    /// Where the blocks of a page's codes lie.
    pub(super) fn codes(&self, entry: &Entry) -> Range<u64> {
        part(self.codes, self.layout.code_bytes(), entry)
    }

    /// Where the blocks of its scales lie.
    pub(super) fn scales(&self, entry: &Entry) -> Range<u64> {
        part(self.scales, Layout::SCALE_BYTES, entry)
    }

    /// Where the blocks of its signs lie.
    pub(super) fn signs(&self, entry: &Entry) -> Range<u64> {
        part(self.signs, self.layout.sign_bytes(), entry)
    }

    /// Where its vectors lie as 16-bit floats, without what fills up the last block.
    pub(super) fn halves(&self, entry: &Entry) -> Range<u64> {
        let part = part(self.halves, half_bytes(self.layout), entry);
        let bytes = u64::from(entry.vectors) * (self.layout.dim() * size_of::<u16>()) as u64;
        part.start..part.start + bytes
    }
}

/// Where an entry's blocks of so many bytes lie in a plane.
fn part(plane: u64, block: usize, entry: &Entry) -> Range<u64> {
    let at = |number: u64| plane + number * block as u64;
    at(entry.first)..at(entry.first + entry.blocks())
}

fn half_bytes(layout: Layout) -> usize {
    BLOCK * layout.dim() * size_of::<u16>()
}

impl Header {
    /// The bytes of a header.
    pub(super) fn write(&self) -> [u8; HEADER] {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend(MAGIC);
        for number in [VERSION, HEADER as u32, self.dim, QUANTIZATION, u32::from(self.halves)] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.pages.to_le_bytes());
        bytes.extend(self.blocks.to_le_bytes());
        bytes.extend(self.model.0);
        bytes.extend(self.prompt.0);
        bytes.extend(self.pooling);
        let length = self.places().map_or(0, |places| places.end);
        bytes.extend(length.to_le_bytes());
        bytes.extend(self.checksum.to_le_bytes());
        bytes.resize(HEADER - size_of::<u32>(), 0);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend(checksum.to_le_bytes());
        let mut out = [0; HEADER];
        out.copy_from_slice(&bytes);
        out
    }

    /// Reads the header of a file of so many bytes, and says where its parts lie.
    pub(super) fn read(bytes: &[u8], length: u64) -> Result<(Self, Places), Fault> {
        let short = Fault::Length { wanted: HEADER as u64, found: length };
        let bytes = bytes.get(..HEADER).ok_or(short)?;
        let mut reader = Reader(bytes);
        if reader.take::<8>() != MAGIC {
            return Err(Fault::Magic);
        }
        let version = reader.u32();
        let (content, checksum) = bytes.split_at(HEADER - size_of::<u32>());
        if checksum != crc32c::crc32c(content).to_le_bytes() {
            return Err(Fault::Checksum("header"));
        }
        if version != VERSION {
            return Err(Fault::Version(version));
        }
        let (size, dim, quantization) = (reader.u32(), reader.u32(), reader.u32());
        let (halves, pages, blocks) = (reader.u32(), reader.u32(), reader.u64());
        let header = Self {
            dim,
            halves: halves == 1,
            pages,
            blocks,
            model: Hash(reader.take()),
            prompt: Hash(reader.take()),
            pooling: reader.take(),
            checksum: {
                let wanted = reader.u64();
                if wanted != length {
                    return Err(Fault::Length { wanted, found: length });
                }
                reader.u32()
            },
        };
        let known = size == HEADER as u32 && quantization == QUANTIZATION && halves <= 1;
        if !known || pages > MOST_PAGES {
            return Err(Fault::Contradiction("header"));
        }
        match header.places() {
            Some(places) if places.end == length => Ok((header, places)),
            _ => Err(Fault::Contradiction("length")),
        }
    }

    /// Where the parts lie.
    pub(super) fn places(&self) -> Option<Places> {
        Places::new(self.dim, self.pages, self.blocks, self.halves)
    }
}

/// A page in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The page's number in the database.
    pub(crate) page: i64,
    /// Its first block.
    pub(super) first: u64,
    /// How many vectors it has.
    pub(crate) vectors: u32,
    /// Where the vectors of its places begin; all zeros if it has none.
    pub(crate) grid: Grid,
    /// Of codes and scales.
    pub(super) exact: u32,
    pub(super) signs: u32,
    pub(super) halves: u32,
}

impl Entry {
    /// How many blocks it has.
    pub(super) fn blocks(&self) -> u64 {
        u64::from(self.vectors).div_ceil(BLOCK as u64)
    }

    pub(super) fn write(&self, to: &mut Vec<u8>) {
        to.extend(self.page.to_le_bytes());
        to.extend(self.first.to_le_bytes());
        to.extend(self.vectors.to_le_bytes());
        to.extend(self.grid.start.to_le_bytes());
        to.extend(self.grid.height.to_le_bytes());
        to.extend(self.grid.width.to_le_bytes());
        for checksum in [self.exact, self.signs, self.halves] {
            to.extend(checksum.to_le_bytes());
        }
    }

    /// Reads a directory whose header has been read. Pages follow each other without a gap.
    pub(super) fn read_all(header: &Header, bytes: &[u8]) -> Result<Vec<Self>, Fault> {
        if crc32c::crc32c(bytes) != header.checksum {
            return Err(Fault::Checksum("directory"));
        }
        let mut next = 0;
        let mut entries = Vec::with_capacity(header.pages as usize);
        for bytes in bytes.chunks_exact(ENTRY) {
            let mut reader = Reader(bytes);
            let entry = Self {
                page: reader.u64().cast_signed(),
                first: reader.u64(),
                vectors: reader.u32(),
                grid: Grid { start: reader.u32(), height: reader.u16(), width: reader.u16() },
                exact: reader.u32(),
                signs: reader.u32(),
                halves: reader.u32(),
            };
            let Grid { start, height, width } = entry.grid;
            let places = u64::from(height) * u64::from(width) + u64::from(start);
            let vectors = u64::from(entry.vectors);
            let possible = vectors > 0 && vectors <= MOST_VECTORS as u64 && places <= vectors;
            if !possible || entry.first != next {
                return Err(Fault::Contradiction("directory"));
            }
            next += entry.blocks();
            entries.push(entry);
        }
        if next != header.blocks || entries.len() != header.pages as usize {
            return Err(Fault::Contradiction("directory"));
        }
        Ok(entries)
    }
}

/// Numbers one after another; zeros after the end.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((first, rest)) = self.0.split_first_chunk() else { return [0; N] };
        self.0 = rest;
        *first
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}
