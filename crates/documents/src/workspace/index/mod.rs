//! The index of a workspace: which documents there are, in groups that are worked at as one.
//!
//! A group is a line of CSV, its hash and its paths; all lines together are one frame of Zstandard. Python's reader needs
//! the size of the content in the frame's header, and takes a line to end where `str.splitlines` does, before it looks at
//! quotation marks. So a path with a line break of any kind has no place here.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{Cursor, Read as _};

use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use sha1::{Digest as _, Sha1};

use super::{IndexFault, PathFault, Store, WorkspaceFault, keys};
use crate::{Error, hex};

/// How long an index may be, packed and unpacked: ten million paths of two hundred letters.
const MOST_BYTES: u64 = 2 << 30;
/// How long a path may be in bytes; Python reads fields of up to 131,072 letters.
const MOST_PATH: usize = 65_536;

/// Documents that are worked at as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What names it: [`group_hash`] of its paths.
    pub hash: String,
    /// Its documents, as they were given.
    pub paths: Vec<String>,
}

/// The groups of a workspace, each hash once, in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    groups: Vec<Group>,
}

/// The hash of a group: SHA-1 of its paths, sorted and put together without anything between, in hexadecimal digits.
pub fn group_hash(paths: &[String]) -> String {
    let mut sorted: Vec<&str> = paths.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut sha1 = Sha1::new();
    for path in sorted {
        sha1.update(path.as_bytes());
    }
    hex(&sha1.finalize())
}

/// Whether an index can hold a path.
///
/// # Errors
/// Why not.
pub fn check_path(path: &str) -> Result<(), PathFault> {
    if path.is_empty() {
        return Err(PathFault::Empty);
    }
    if path.len() > MOST_PATH {
        return Err(PathFault::TooLong(MOST_PATH));
    }
    match path.chars().find(|c| *c == '\0' || ends_line(*c)) {
        Some('\0') => Err(PathFault::Zero),
        Some(c) => Err(PathFault::LineBreak(c)),
        None => Ok(()),
    }
}

/// Where Python's `str.splitlines` ends a line.
fn ends_line(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

impl Index {
    /// All groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// A group by its hash.
    pub fn group(&self, hash: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.hash == hash)
    }

    /// All documents, in the order of their groups.
    pub fn paths(&self) -> impl Iterator<Item = &str> + Clone {
        self.groups.iter().flat_map(|group| &group.paths).map(String::as_str)
    }

    /// The index of a workspace; an empty one if it has none yet.
    ///
    /// # Errors
    /// When the store cannot be read, or what is there is no index.
    pub fn load(store: &dyn Store) -> Result<Self, Error> {
        match store.get(keys::INDEX, MOST_BYTES)? {
            Some(bytes) => Self::of(store, &bytes),
            None => Ok(Self::default()),
        }
    }

    /// Changes the index of a workspace, which others may do at the same time, and says what it is then. Nothing is
    /// written if nothing was changed.
    ///
    /// # Errors
    /// When the store cannot be read or written, what is there is no index, or `change` fails.
    pub fn change(
        store: &dyn Store,
        change: &mut dyn FnMut(&mut Self) -> Result<(), WorkspaceFault>,
    ) -> Result<Self, Error> {
        let mut result = Self::default();
        store.change(keys::INDEX, MOST_BYTES, &mut |bytes| {
            let before = bytes.map(|bytes| Self::of(store, bytes)).transpose()?.unwrap_or_default();
            result = before.clone();
            change(&mut result).map_err(|fault| store.error(keys::INDEX, fault))?;
            Ok((result != before).then(|| result.encode()))
        })?;
        Ok(result)
    }

    fn of(store: &dyn Store, bytes: &[u8]) -> Result<Self, Error> {
        let fault = |fault| store.error(keys::INDEX, WorkspaceFault::Index(fault));
        Self::decode(bytes).map_err(fault)
    }

    /// Adds the paths that no group has yet, sorted, in new groups of `per_group`, and says how many they were.
    ///
    /// # Errors
    /// [`WorkspaceFault::Path`] for a path that no index can hold (callers check with [`check_path`] first, to name it),
    /// [`WorkspaceFault::SameHash`] if a new group has the hash of one that is there. Nothing is added then.
    pub fn add<'a>(
        &mut self,
        paths: impl IntoIterator<Item = &'a str>,
        per_group: usize,
    ) -> Result<usize, WorkspaceFault> {
        let fresh: BTreeSet<&str> = {
            let there: HashSet<&str> = self.paths().collect();
            paths.into_iter().filter(|path| !there.contains(path)).collect()
        };
        let fresh: Vec<String> = fresh.into_iter().map(str::to_owned).collect();
        let hashes: HashSet<&str> = self.groups.iter().map(|group| group.hash.as_str()).collect();
        let mut groups: Vec<Group> = Vec::new();
        let mut new = BTreeSet::new();
        for paths in fresh.chunks(per_group.max(1)) {
            for path in paths {
                check_path(path).map_err(WorkspaceFault::Path)?;
            }
            let hash = group_hash(paths);
            if hashes.contains(hash.as_str()) || !new.insert(hash.clone()) {
                return Err(WorkspaceFault::SameHash { hash });
            }
            groups.push(Group { hash, paths: paths.to_vec() });
        }
        self.groups.extend(groups);
        Ok(fresh.len())
    }

    /// Sees to it that there is a group of just these paths, beside the groups that have them already, and says its
    /// hash: that of a group that was there, or of a new one.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub fn add_again(&mut self, paths: &[String]) -> Result<String, WorkspaceFault> {
        for path in paths {
            check_path(path).map_err(WorkspaceFault::Path)?;
        }
        let set: BTreeSet<&String> = paths.iter().collect();
        let sorted: Vec<String> = set.into_iter().cloned().collect();
        let hash = group_hash(&sorted);
        match self.group(&hash) {
            Some(group) => {
                let there: BTreeSet<&String> = group.paths.iter().collect();
                if there.into_iter().eq(&sorted) {
                    Ok(hash)
                } else {
                    Err(WorkspaceFault::SameHash { hash })
                }
            }
            None => {
                self.groups.push(Group { hash: hash.clone(), paths: sorted });
                Ok(hash)
            }
        }
    }

    /// The index as its file holds it.
    pub fn encode(&self) -> Vec<u8> {
        let lines: Vec<String> = self.groups.iter().map(row).collect();
        compress(lines.join("\n").as_bytes())
    }

    /// Reads the file of an index.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, IndexFault> {
        let content = decompress(bytes)?;
        let text = std::str::from_utf8(&content).map_err(|error| {
            let before = &content[..error.valid_up_to()];
            let breaks = before.iter().filter(|&&byte| byte == b'\n').count();
            IndexFault::Text { line: breaks as u64 + 1 }
        })?;
        let mut groups: Vec<Group> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        // A carriage return ends a line too for Python, which reads in text mode.
        for (number, line) in text.split('\n').enumerate() {
            for line in line.split('\r').filter(|line| !line.trim().is_empty()) {
                let mut fields = fields(line).into_iter();
                let hash = fields.next().unwrap_or_default();
                if !keys::is_hash(&hash) {
                    let found = hash.chars().take(60).collect();
                    return Err(IndexFault::Hash { line: number as u64 + 1, found });
                }
                let group = Group { hash, paths: fields.collect() };
                // The last of several with one hash holds, in the place of the first: as in a Python dictionary.
                match places.get(&group.hash) {
                    Some(&place) => groups[place] = group,
                    None => {
                        places.insert(group.hash.clone(), groups.len());
                        groups.push(group);
                    }
                }
            }
        }
        Ok(Self { groups })
    }
}

/// A group as a line of CSV, quoted where it must be.
fn row(group: &Group) -> String {
    let mut out = group.hash.clone();
    let last = group.paths.len().wrapping_sub(1);
    for (place, path) in group.paths.iter().enumerate() {
        out.push(',');
        // Spaces at the end of a line are lost on Python's way unless they stand in quotation marks.
        let ends = place == last && path.ends_with(char::is_whitespace);
        if ends || path.contains([',', '"']) {
            out.push('"');
            out.push_str(&path.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(path);
        }
    }
    out
}

/// The fields of a line of CSV, as Python's reader takes them: a field that begins with a quotation mark is quoted to the
/// next single one; what follows that up to the comma belongs to it; elsewhere such marks are letters.
fn fields(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        let mut field = String::new();
        if chars.next_if_eq(&'"').is_some() {
            while let Some(c) = chars.next() {
                if c != '"' || chars.next_if_eq(&'"').is_some() {
                    field.push(c);
                } else {
                    break;
                }
            }
        }
        while let Some(c) = chars.next_if(|c| *c != ',') {
            field.push(c);
        }
        out.push(field);
        if chars.next().is_none() {
            return out;
        }
    }
}

/// Where the header of a frame has its description, after four bytes that every frame begins with, and the window's size.
const DESCRIPTION: usize = 4;
const WINDOW: usize = 5;

/// One frame of Zstandard, with the size of the content in its header.
fn compress(content: &[u8]) -> Vec<u8> {
    let packed = with_size(&compress_to_vec(content, CompressionLevel::Fastest), content.len());
    // The index is all that knows of some work, so nothing is taken on trust.
    match packed {
        Some(packed) if decompress(&packed).is_ok_and(|read| read == content) => packed,
        _ => stored(content),
    }
}

/// A frame with the size of its content, from one that has a window and no size.
fn with_size(frame: &[u8], size: usize) -> Option<Vec<u8>> {
    // Only the flag of the checksum may be set.
    if frame.get(DESCRIPTION)? & !0b100 != 0 {
        return None;
    }
    let mut out = Vec::with_capacity(frame.len() + 8);
    out.extend_from_slice(&frame[..DESCRIPTION]);
    out.push(frame[DESCRIPTION] | 0b1100_0000);
    out.push(*frame.get(WINDOW)?);
    out.extend_from_slice(&(size as u64).to_le_bytes());
    out.extend_from_slice(&frame[WINDOW + 1..]);
    Some(out)
}

/// A frame that holds its content as it is.
fn stored(content: &[u8]) -> Vec<u8> {
    const MOST: usize = 128 << 10;
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd];
    // Eight bytes of size, and a window of 128 KiB.
    out.extend_from_slice(&[0b1100_0000, 7 << 3]);
    out.extend_from_slice(&(content.len() as u64).to_le_bytes());
    let mut blocks = content.chunks(MOST).peekable();
    if blocks.peek().is_none() {
        out.extend_from_slice(&[1, 0, 0]);
    }
    while let Some(block) = blocks.next() {
        let last = u32::from(blocks.peek().is_none());
        let header = last | (u32::try_from(block.len()).unwrap_or(0) << 3);
        out.extend_from_slice(&header.to_le_bytes()[..3]);
        out.extend_from_slice(block);
    }
    out
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>, IndexFault> {
    decompress_at_most(bytes, MOST_BYTES)
}

fn decompress_at_most(bytes: &[u8], limit: u64) -> Result<Vec<u8>, IndexFault> {
    let bad = |message: String| IndexFault::Compression { message };
    let mut rest = Cursor::new(bytes);
    let mut decoder = StreamingDecoder::new(&mut rest).map_err(|error| bad(error.to_string()))?;
    let mut out = Vec::new();
    decoder
        .by_ref()
        .take(limit + 1)
        .read_to_end(&mut out)
        .map_err(|error| bad(error.to_string()))?;
    if out.len() as u64 > limit {
        return Err(IndexFault::TooLong { limit });
    }
    let frame = decoder.into_frame_decoder();
    let (given, read) = (frame.get_checksum_from_data(), frame.get_calculated_checksum());
    if given.is_some() && given != read {
        return Err(bad("its checksum is another".to_owned()));
    }
    if !frame.is_finished() {
        return Err(bad("it is cut off".to_owned()));
    }
    let declared = frame.content_size();
    if declared != 0 && declared != out.len() as u64 {
        return Err(bad(format!("it holds {} bytes and says {declared}", out.len())));
    }
    let trailing = (bytes.len() as u64).saturating_sub(rest.position());
    if trailing > 0 { Err(IndexFault::Trailing { bytes: trailing }) } else { Ok(out) }
}

#[cfg(test)]
mod tests;
