//! The PDFs in a `.tar.gz`, one at a time.
//!
//! The formats of POSIX (ustar and pax) and GNU's long names are read, by what the manual of GNU tar says of them. Nothing
//! is written to disk, so a name that climbs out of its folder is just a name; every number that a stranger wrote has a
//! bound.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

const BLOCK: usize = 512;
/// How long a name, and the block of names before a member, may be.
const MOST_NAME: u64 = 1 << 20;

/// What a tarball may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TarballLimits {
    /// Bytes of a member that is read.
    pub member_bytes: u64,
    /// Bytes of all of it, unpacked.
    pub total_bytes: u64,
    /// Members, of any kind.
    pub members: u64,
}

impl Default for TarballLimits {
    fn default() -> Self {
        Self { member_bytes: 2 << 30, total_bytes: 64 << 30, members: 1_000_000 }
    }
}

/// A PDF in a tarball, or one that is passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// One with its bytes.
    File {
        /// Its whole path within the tarball: two members may have the same last component.
        name: String,
        /// What it holds.
        bytes: Vec<u8>,
    },
    /// One that is passed over, though its name is a PDF's.
    Skipped {
        /// Its path.
        name: String,
        /// Why.
        why: SkippedMember,
    },
}

/// Why a member is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkippedMember {
    /// It has more bytes than allowed.
    TooLarge {
        /// How many.
        bytes: u64,
        /// How many may be.
        limit: u64,
    },
    /// Another one before has this name.
    Twice,
    /// It is stored with holes, in a way that is not read.
    Sparse,
}

impl fmt::Display for SkippedMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes, limit } => {
                write!(f, "{bytes} bytes are more than the limit of {limit}")
            }
            Self::Twice => f.write_str("another member of the archive has the same name"),
            Self::Sparse => f.write_str("it is a sparse file, which is not read from archives"),
        }
    }
}

/// Why a tarball cannot be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarballFault {
    /// It is cut off, or not compressed as it should be.
    #[error("its compression is damaged, or it is cut off: {0}")]
    Read(io::Error),
    /// It is no archive.
    #[error("byte {at} of what it unpacks to begins no member")]
    Header {
        /// Where, in what it unpacks to.
        at: u64,
    },
    /// A name, or what stands before a member, is too long.
    #[error("the names before byte {at} of what it unpacks to are too long")]
    Name {
        /// Where, in what it unpacks to.
        at: u64,
    },
    /// It unpacks to more bytes than allowed.
    #[error("it unpacks to more than {limit} bytes")]
    TooLong {
        /// How many may be.
        limit: u64,
    },
    /// It has more members than allowed.
    #[error("it has more than {limit} members")]
    TooMany {
        /// How many may be.
        limit: u64,
    },
}

/// The PDFs of a tarball, in its order.
pub struct Members<R: Read> {
    stream: MultiGzDecoder<R>,
    limits: TarballLimits,
    at: u64,
    seen: u64,
    names: BTreeSet<String>,
    ended: bool,
}

impl<R: Read> fmt::Debug for Members<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("at", &self.at).finish_non_exhaustive()
    }
}

/// What the headers before a member said of it.
#[derive(Default)]
struct Said {
    name: Option<String>,
    bytes: Option<u64>,
    sparse: bool,
}

impl<R: Read> Members<R> {
    /// Reads what `gzip` compressed.
    pub fn new(gzip: R, limits: TarballLimits) -> Self {
        let stream = MultiGzDecoder::new(gzip);
        Self { stream, limits, at: 0, seen: 0, names: BTreeSet::new(), ended: false }
    }

    fn member(&mut self) -> Result<Option<Member>, TarballFault> {
        let mut said = Said::default();
        loop {
            let start = self.at;
            let Some(header) = self.header()? else { return Ok(None) };
            self.seen += 1;
            if self.seen > self.limits.members {
                return Err(TarballFault::TooMany { limit: self.limits.members });
            }
            let bytes = number(&header[124..136]).ok_or(TarballFault::Header { at: start })?;
            match header[156] {
                b'L' => {
                    let name = self.text(bytes)?;
                    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
                    said.name = Some(String::from_utf8_lossy(&name[..end]).into_owned());
                }
                b'x' => pax(&self.text(bytes)?, &mut said),
                kind => {
                    let said = std::mem::take(&mut said);
                    let bytes = said.bytes.unwrap_or(bytes);
                    let name = said.name.unwrap_or_else(|| name_of(&header));
                    let file = matches!(kind, b'0' | 0 | b'7' | b'S');
                    let is_pdf = name.to_lowercase().ends_with(".pdf");
                    if !file || !is_pdf {
                        // Links and folders have no bytes, whatever their headers say.
                        let none = matches!(kind, b'1'..=b'6');
                        self.skip(if none { 0 } else { bytes })?;
                        continue;
                    }
                    let why = if kind == b'S' || said.sparse {
                        Some(SkippedMember::Sparse)
                    } else if bytes > self.limits.member_bytes {
                        let limit = self.limits.member_bytes;
                        Some(SkippedMember::TooLarge { bytes, limit })
                    } else if self.names.contains(&name) {
                        Some(SkippedMember::Twice)
                    } else {
                        None
                    };
                    if let Some(why) = why {
                        self.skip(bytes)?;
                        return Ok(Some(Member::Skipped { name, why }));
                    }
                    let content = self.content(bytes)?;
                    self.names.insert(name.clone());
                    return Ok(Some(Member::File { name, bytes: content }));
                }
            }
        }
    }

    /// The next header; None at the end.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, TarballFault> {
        let mut block = [0; BLOCK];
        let start = self.at;
        let mut filled = 0;
        while filled < BLOCK {
            match self.stream.read(&mut block[filled..]).map_err(TarballFault::Read)? {
                0 => break,
                count => filled += count,
            }
        }
        self.count(filled as u64)?;
        // Archives end with two blocks of zeros; some end without.
        if filled == 0 || block == [0; BLOCK] {
            return Ok(None);
        }
        let sum: u64 = block.iter().map(|&b| u64::from(b)).sum();
        let own: u64 = block[148..156].iter().map(|&b| u64::from(b)).sum();
        if filled < BLOCK || number(&block[148..156]) != Some(sum - own + 8 * u64::from(b' ')) {
            return Err(TarballFault::Header { at: start });
        }
        Ok(Some(block))
    }

    fn count(&mut self, bytes: u64) -> Result<(), TarballFault> {
        self.at = self.at.saturating_add(bytes);
        let limit = self.limits.total_bytes;
        if self.at > limit { Err(TarballFault::TooLong { limit }) } else { Ok(()) }
    }

    /// Names before a member.
    fn text(&mut self, bytes: u64) -> Result<Vec<u8>, TarballFault> {
        if bytes > MOST_NAME {
            return Err(TarballFault::Name { at: self.at });
        }
        self.content(bytes)
    }

    /// What a member holds, and what fills its last block.
    fn content(&mut self, bytes: u64) -> Result<Vec<u8>, TarballFault> {
        let mut out = Vec::new();
        let read = self.stream.by_ref().take(bytes).read_to_end(&mut out);
        let read = read.map_err(TarballFault::Read)? as u64;
        self.count(read)?;
        if read < bytes {
            return Err(TarballFault::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        self.pass(filling(bytes))?;
        Ok(out)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), TarballFault> {
        self.pass(bytes)?;
        self.pass(filling(bytes))
    }

    fn pass(&mut self, bytes: u64) -> Result<(), TarballFault> {
        // What is over the limit is not even read.
        let left = self.limits.total_bytes.saturating_sub(self.at);
        let wanted = bytes.min(left.saturating_add(1));
        let read = io::copy(&mut self.stream.by_ref().take(wanted), &mut io::sink());
        let read = read.map_err(TarballFault::Read)?;
        self.count(read)?;
        if read < bytes {
            return Err(TarballFault::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }
}

impl<R: Read> Iterator for Members<R> {
    type Item = Result<Member, TarballFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.member().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// How many bytes fill the last block of a member.
fn filling(bytes: u64) -> u64 {
    bytes.wrapping_neg() % BLOCK as u64
}

/// A number of a header: octal digits, or big-endian behind a byte of 128.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (first, rest) = field.split_first()?;
        let zero = first & 0x7f == 0;
        let (high, low) = rest.split_at(rest.len().checked_sub(8)?);
        let small = zero && high.iter().all(|&b| b == 0);
        return if small { Some(u64::from_be_bytes(low.try_into().ok()?)) } else { None };
    }
    let text = field.split(|&b| b == 0).next()?;
    let text = std::str::from_utf8(text).ok()?.trim_matches(' ');
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// The name in a header itself.
fn name_of(header: &[u8; BLOCK]) -> String {
    let until = |field: &[u8]| {
        let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
        String::from_utf8_lossy(&field[..end]).into_owned()
    };
    let name = until(&header[..100]);
    // GNU's headers have other things where POSIX has the beginning of a long name.
    let prefix =
        if &header[257..263] == b"ustar\0" { until(&header[345..500]) } else { String::new() };
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

/// The records of a pax header: `LENGTH KEY=VALUE\n`, where the length is that of all of it.
fn pax(records: &[u8], said: &mut Said) {
    let mut rest = records;
    loop {
        let Some(space) = rest.iter().position(|&b| b == b' ') else { return };
        let length = std::str::from_utf8(&rest[..space]).ok().and_then(|text| text.parse().ok());
        let Some(length) = length.filter(|length: &usize| *length > space + 1) else { return };
        let Some(record) = rest.get(space + 1..length) else { return };
        rest = &rest[length..];
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        let Some(equals) = record.iter().position(|&b| b == b'=') else { continue };
        let value = String::from_utf8_lossy(&record[equals + 1..]);
        match &record[..equals] {
            b"path" => said.name = Some(value.into_owned()),
            b"size" => said.bytes = value.parse().ok(),
            key if key.starts_with(b"GNU.sparse.") => {
                said.sparse = true;
                if key == b"GNU.sparse.name" {
                    said.name = Some(value.into_owned());
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
