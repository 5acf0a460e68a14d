//! A zip archive whose files are stored as they are.
//!
//! Source: PKWARE, "APPNOTE.TXT - .ZIP File Format Specification".

use std::collections::BTreeMap;
use std::ops::Range;

use super::Fault;

/// The most files: one for each tensor, and a few.
const FILES: usize = 100_000;

/// The most bytes that may follow the end record: a comment, whose length has 16 bits.
const COMMENT: usize = 0xffff;

/// The files of an archive, by name.
pub(super) struct Archive<'a> {
    file: &'a [u8],
    /// Where the header before each file begins, and the file's length.
    places: BTreeMap<String, (usize, usize)>,
}

impl<'a> Archive<'a> {
    /// Reads the table of contents of `file`.
    pub(super) fn open(file: &'a [u8]) -> Result<Self, Fault> {
        let none = || Fault::new(0, "no archive of `torch.save`");
        let from = file.len().saturating_sub(COMMENT + 22);
        let end =
            file[from..].windows(4).rposition(|mark| mark == b"PK\x05\x06").ok_or_else(none)?;
        let end = from + end;
        if number::<2>(file, end + 20)? != file.len() - end - 22 {
            return Err(Fault::new(end, "an archive cut off"));
        }
        let (mut count, mut at) = (number::<2>(file, end + 10)?, number::<4>(file, end + 16)?);
        if count == 0xffff || at == 0xffff_ffff {
            // The numbers did not fit, and stand in a record of their own, which is found through a third.
            let locator = end.checked_sub(20).ok_or_else(none)?;
            marked(file, locator, *b"PK\x06\x07")?;
            let record = number::<8>(file, locator + 8)?;
            marked(file, record, *b"PK\x06\x06")?;
            (count, at) =
                (number::<8>(file, add(record, 32)?)?, number::<8>(file, add(record, 48)?)?);
        }
        if count > FILES {
            return Err(Fault::new(end, format!("{count} files")));
        }
        let mut places = BTreeMap::new();
        for _ in 0..count {
            marked(file, at, *b"PK\x01\x02")?;
            let [name, extra, comment] = [28, 30, 32].map(|field| number::<2>(file, at + field));
            let (name, extra) = (name?, extra?);
            let next = at + 46 + name + extra + comment?;
            let bytes = part(file, at + 46, name)?;
            let name = String::from_utf8_lossy(bytes).into_owned();
            let mut fields = part(file, at + 46 + bytes.len(), extra)?;
            let mut wide = long(&mut fields);
            // In this order, each only where the short field is full.
            let size = wide.or(number::<4>(file, at + 24)?, at)?;
            let stored = wide.or(number::<4>(file, at + 20)?, at)?;
            let begin = wide.or(number::<4>(file, at + 42)?, at)?;
            if number::<2>(file, at + 10)? != 0 || stored != size {
                return Err(Fault::new(at, format!("`{name}`, which is compressed")));
            }
            if places.insert(name.clone(), (begin, size)).is_some() {
                return Err(Fault::new(at, format!("`{name}` twice")));
            }
            at = next;
        }
        Ok(Self { file, places })
    }

    /// The folder that everything is in.
    pub(super) fn folder(&self) -> Result<&str, Fault> {
        let folder = self.places.keys().find_map(|name| name.strip_suffix("/data.pkl"));
        folder.ok_or_else(|| Fault::new(0, "an archive without `data.pkl`"))
    }

    /// Whether there is a file `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// Where the content of the file `name` is.
    pub(super) fn place(&self, name: &str) -> Result<Range<usize>, Fault> {
        let missing = || Fault::new(0, format!("an archive without `{name}`"));
        let &(at, size) = self.places.get(name).ok_or_else(missing)?;
        marked(self.file, at, *b"PK\x03\x04")?;
        let skip = number::<2>(self.file, at + 26)? + number::<2>(self.file, at + 28)?;
        let begin = at + 30 + skip;
        part(self.file, begin, size)?;
        Ok(begin..begin + size)
    }
}

/// The long forms of numbers that did not fit, of an entry's extra fields.
struct Wide<'a>(&'a [u8]);

impl Wide<'_> {
    /// `short`, or the next long number where that is full.
    fn or(&mut self, short: usize, at: usize) -> Result<usize, Fault> {
        if short != 0xffff_ffff {
            return Ok(short);
        }
        let found = number::<8>(self.0, 0).map_err(|_| Fault::new(at, "an entry cut off"))?;
        self.0 = &self.0[8..];
        Ok(found)
    }
}

fn long<'a>(fields: &mut &'a [u8]) -> Wide<'a> {
    while let (Ok(kind), Ok(len)) = (number::<2>(fields, 0), number::<2>(fields, 2)) {
        let Ok(content) = part(fields, 4, len) else { break };
        if kind == 1 {
            return Wide(content);
        }
        *fields = &fields[4 + len..];
    }
    Wide(&[])
}

fn add(at: usize, offset: usize) -> Result<usize, Fault> {
    at.checked_add(offset).ok_or_else(|| Fault::new(at, "an archive cut off"))
}

fn part(bytes: &[u8], at: usize, len: usize) -> Result<&[u8], Fault> {
    let cut = || Fault::new(at, "an archive cut off");
    at.checked_add(len).and_then(|end| bytes.get(at..end)).ok_or_else(cut)
}

fn marked(bytes: &[u8], at: usize, mark: [u8; 4]) -> Result<(), Fault> {
    if part(bytes, at, 4)? == mark { Ok(()) } else { Err(Fault::new(at, "a damaged archive")) }
}

/// The little-endian number of `N` bytes at `at`.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(part(bytes, at, N)?);
    usize::try_from(u64::from_le_bytes(wide)).map_err(|_| Fault::new(at, "a damaged archive"))
}
