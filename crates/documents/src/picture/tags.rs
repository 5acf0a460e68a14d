//! Directories of TIFF, which also hold what cameras say of a photograph (EXIF): bounds-checked, and no further than we
//! need them.

use std::collections::BTreeSet;

/// Pixels across and down to a unit of length, and which unit that is.
pub(super) const ACROSS: u16 = 282;
pub(super) const DOWN: u16 = 283;
pub(super) const UNIT: u16 = 296;
/// Whether a picture is a small version of another.
const SUBFILE: u16 = 254;

/// The most pictures of a file. A directory takes six bytes at the least, so that a small file can claim many.
const MOST_FRAMES: usize = 100_000;

/// The bytes of a TIFF file.
#[derive(Clone, Copy)]
pub(super) struct Tags<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    /// Whether offsets have 64 bits.
    long: bool,
}

/// A number of bytes as the file orders them.
fn number(bytes: &[u8], big_endian: bool) -> u64 {
    let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    if big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
}

impl<'a> Tags<'a> {
    /// Those of a file, if it begins as one.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (big_endian, long) = match bytes.get(..4)? {
            b"II*\0" => (false, false),
            b"MM\0*" => (true, false),
            b"II+\0" => (false, true),
            b"MM\0+" => (true, true),
            _ => return None,
        };
        Some(Self { bytes, big_endian, long })
    }

    /// Where the first directory's offset stands, and how many bytes it has.
    pub(super) fn pointer(&self) -> (usize, usize) {
        if self.long { (8, 8) } else { (4, 4) }
    }

    /// An offset as the header holds it.
    pub(super) fn offset(&self, value: u64) -> Vec<u8> {
        let (_, size) = self.pointer();
        let bytes = value.to_be_bytes();
        let mut bytes = bytes[8 - size..].to_vec();
        if !self.big_endian {
            bytes.reverse();
        }
        bytes
    }

    fn number(&self, at: u64, size: usize) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let bytes = self.bytes.get(at..at.checked_add(size)?)?;
        Some(number(bytes, self.big_endian))
    }

    /// Where the directories stand, first to last. A chain that is torn or bites its tail ends there, and small
    /// versions of another picture are left out.
    pub(super) fn directories(&self) -> Vec<u64> {
        let (at, size) = self.pointer();
        let mut next = self.number(at as u64, size);
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        while let Some(at) = next.filter(|&at| at > 0) {
            if found.len() >= MOST_FRAMES || !seen.insert(at) {
                break;
            }
            let Some((first, count)) = self.entries(at) else { break };
            let small = self.value(at, SUBFILE).is_some_and(|kind| kind as u64 & 1 == 1);
            if !small || found.is_empty() {
                found.push(at);
            }
            next = count
                .checked_mul(self.entry_size())
                .and_then(|bytes| first.checked_add(bytes))
                .and_then(|after| self.number(after, size));
        }
        found
    }

    fn entry_size(&self) -> u64 {
        if self.long { 20 } else { 12 }
    }

    /// Where a directory's entries begin, and how many they are.
    fn entries(&self, at: u64) -> Option<(u64, u64)> {
        let size = if self.long { 8 } else { 2 };
        let count = self.number(at, size)?;
        // More than a file can hold are none.
        (count <= self.bytes.len() as u64 / self.entry_size()).then_some((at + size as u64, count))
    }

    /// The first value of a tag in the directory at `at`.
    pub(super) fn value(&self, at: u64, tag: u16) -> Option<f64> {
        let (first, count) = self.entries(at)?;
        let entry = (0..count)
            .map(|index| first + index * self.entry_size())
            .find(|&entry| self.number(entry, 2) == Some(tag.into()))?;
        let value = entry + if self.long { 12 } else { 8 };
        match self.number(entry + 2, 2)? {
            3 => Some(self.number(value, 2)? as f64),
            4 => Some(self.number(value, 4)? as f64),
            // Two numbers of four bytes are where the value says, or in it where there is room.
            5 => {
                let at = if self.long { value } else { self.number(value, 4)? };
                let (over, under) = (self.number(at, 4)?, self.number(at.checked_add(4)?, 4)?);
                (under > 0).then(|| over as f64 / under as f64)
            }
            _ => None,
        }
    }

    /// The directory that comes first.
    pub(super) fn first(&self) -> Option<u64> {
        let (at, size) = self.pointer();
        self.number(at as u64, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of directories with one entry each, at these offsets, each naming the next.
    fn chain(offsets: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 200];
        bytes[..4].copy_from_slice(b"II*\0");
        bytes[4..8].copy_from_slice(&offsets[0].to_le_bytes());
        for (index, &at) in offsets.iter().enumerate() {
            let at = at as usize;
            bytes[at] = 1;
            bytes[at + 2..at + 4].copy_from_slice(&SUBFILE.to_le_bytes());
            bytes[at + 4] = 4;
            let next = offsets.get(index + 1).copied().unwrap_or(0);
            bytes[at + 14..at + 18].copy_from_slice(&next.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn chains_of_directories_end() {
        let found = |bytes: &[u8]| Tags::new(bytes).unwrap().directories();
        assert_eq!(found(&chain(&[8, 60, 30])), [8, 60, 30]);
        let mut tail = chain(&[8, 60, 30]);
        tail[44..48].copy_from_slice(&60u32.to_le_bytes());
        assert_eq!(found(&tail), [8, 60, 30], "a chain that bites its tail");
        let mut torn = chain(&[8, 60, 30]);
        torn[22..26].copy_from_slice(&199u32.to_le_bytes());
        assert_eq!(found(&torn), [8]);
        let mut small = chain(&[8, 60, 30]);
        small[70] = 1;
        assert_eq!(found(&small), [8, 30], "a small version of another");
        assert_eq!(found(b"II*\0\xff\xff\xff\xff"), [] as [u64; 0]);
    }

    #[test]
    fn values_are_found_whatever_the_order_of_bytes() {
        for big in [false, true] {
            let put = |value: u32, size: usize| {
                let bytes = value.to_be_bytes()[4 - size..].to_vec();
                if big { bytes } else { bytes.into_iter().rev().collect() }
            };
            let mut bytes = if big { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
            bytes.extend(put(8, 4));
            bytes.extend([put(2, 2), put(282, 2), put(5, 2), put(1, 4), put(38, 4)].concat());
            bytes.extend([put(296, 2), put(3, 2), put(1, 4), put(3, 2), vec![0; 2]].concat());
            bytes.extend([put(0, 4), put(300, 4), put(2, 4)].concat());
            let tags = Tags::new(&bytes).unwrap();
            assert_eq!(tags.value(8, ACROSS), Some(150.0));
            assert_eq!(tags.value(8, UNIT), Some(3.0));
            assert_eq!(tags.value(8, DOWN), None);
            assert_eq!(tags.offset(258), put(258, 4));
        }
    }
}
