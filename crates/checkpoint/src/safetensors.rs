//! The safetensors header: what it says, and whether the file can be so.
//!
//! A file is 8 bytes with the little-endian length of the header, the header (a JSON object), then the tensors. Unlike
//! the official implementation we do not need the whole file to check it, name the tensor in every error, and refuse
//! repeated keys.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::{Dtype, Error, Result};

/// Bytes before the header: its length.
pub const PREFIX: u64 = 8;

/// The most bytes that a header may have, as in the official implementation.
pub const HEADER_LIMIT: u64 = 100_000_000;

/// The most dimensions that a tensor may have.
pub const RANK_LIMIT: usize = 16;

/// A checked header: every tensor lies in the file, none overlaps another, no byte is left over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// `__metadata__`.
    pub metadata: BTreeMap<String, String>,
    /// The tensors, by name.
    pub tensors: BTreeMap<String, Entry>,
    /// Where the first tensor's bytes begin in the file.
    pub data: u64,
}

/// One tensor of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The element type.
    pub dtype: Dtype,
    /// The dimensions, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The first byte, counted from [`Header::data`].
    pub begin: u64,
    /// One past the last byte, counted from [`Header::data`].
    pub end: u64,
}

impl Header {
    /// The length of the header of a file of `file_bytes` bytes that begins with `start`.
    ///
    /// # Errors
    /// If the file is too short for its header, the header is absurdly long, or the file is a Git LFS pointer.
    pub fn length(file: &Path, start: &[u8], file_bytes: u64) -> Result<u64> {
        let Some(prefix) = start.first_chunk::<{ PREFIX as usize }>() else {
            return Err(Error::HeaderTruncated {
                path: file.into(),
                bytes: file_bytes,
                needed: PREFIX,
            });
        };
        if prefix == b"version " {
            return Err(Error::LfsPointer { path: file.into() });
        }
        let length = u64::from_le_bytes(*prefix);
        if length > HEADER_LIMIT {
            return Err(Error::HeaderTooLarge {
                path: file.into(),
                bytes: length,
                limit: HEADER_LIMIT,
            });
        }
        let needed = PREFIX + length;
        if needed > file_bytes {
            return Err(Error::HeaderTruncated { path: file.into(), bytes: file_bytes, needed });
        }
        Ok(length)
    }

    /// Reads and checks the header `json` of a file of `file_bytes` bytes.
    ///
    /// # Errors
    /// If it is not the JSON that safetensors defines (UTF-8, no key twice, no unknown field), a dtype is unknown, a
    /// shape cannot be, shape and offsets disagree, or tensors overlap, leave gaps or end past the end of the file.
    pub fn parse(file: &Path, json: &[u8], file_bytes: u64) -> Result<Self> {
        let raw: RawHeader = serde_json::from_slice(json)
            .map_err(|source| Error::Header { path: file.into(), source })?;
        let mut tensors = BTreeMap::new();
        for (name, raw) in raw.tensors {
            let entry = check_entry(file, &name, raw)?;
            tensors.insert(name, entry);
        }
        let data = PREFIX + json.len() as u64;
        check_layout(file, &tensors, file_bytes.saturating_sub(data))?;
        Ok(Self { metadata: raw.metadata, tensors, data })
    }
}

/// Dtype, shape and offsets of one tensor agree.
fn check_entry(file: &Path, name: &str, raw: RawEntry) -> Result<Entry> {
    let tensor = || name.to_owned();
    let Some(dtype) = Dtype::from_name(&raw.dtype) else {
        return Err(Error::UnknownDtype { path: file.into(), tensor: tensor(), dtype: raw.dtype });
    };
    let (begin, end) = raw.data_offsets;
    let Some(found) = end.checked_sub(begin) else {
        return Err(Error::Reversed { path: file.into(), tensor: tensor(), begin, end });
    };
    // Every dimension counts, also beside a zero: a later reshape must not overflow either.
    let mut sizes = raw.shape.0.iter().map(|&size| size.max(1));
    let bits = sizes.try_fold(dtype.bits() as u64, |product, size| product.checked_mul(size));
    let shape: Result<Vec<usize>, _> =
        raw.shape.0.iter().map(|&size| usize::try_from(size)).collect();
    let (Some(bits), Ok(shape)) = (bits, shape) else {
        return Err(Error::ShapeOverflow {
            path: file.into(),
            tensor: tensor(),
            shape: raw.shape.0,
        });
    };
    let bits = if shape.contains(&0) { 0 } else { bits };
    if bits % 8 != 0 {
        return Err(Error::PartialByte { path: file.into(), tensor: tensor(), dtype });
    }
    let expected = bits / 8;
    if expected != found {
        return Err(Error::ByteLength { path: file.into(), tensor: tensor(), expected, found });
    }
    Ok(Entry { dtype, shape, begin, end })
}

/// The tensors fill the `bytes` after the header exactly.
fn check_layout(file: &Path, tensors: &BTreeMap<String, Entry>, bytes: u64) -> Result<()> {
    let mut order: Vec<(&String, &Entry)> = tensors.iter().collect();
    order.sort_by_key(|(_, entry)| (entry.begin, entry.end));
    let last = order.iter().map(|(_, entry)| entry.end).max().unwrap_or(0);
    if let Some((name, _)) = order.iter().find(|(_, entry)| entry.end > bytes) {
        return Err(Error::Truncated {
            path: file.into(),
            tensor: (*name).clone(),
            missing: last - bytes,
        });
    }
    let (mut position, mut previous) = (0, "");
    for (name, entry) in order {
        if entry.begin < position {
            return Err(Error::Overlap {
                path: file.into(),
                first: previous.to_owned(),
                second: name.clone(),
                bytes: position.min(entry.end) - entry.begin,
            });
        }
        if entry.begin > position {
            return Err(Error::Gap {
                path: file.into(),
                begin: position,
                bytes: entry.begin - position,
            });
        }
        (position, previous) = (entry.end, name);
    }
    if position < bytes {
        return Err(Error::Gap { path: file.into(), begin: position, bytes: bytes - position });
    }
    Ok(())
}

/// The header as it stands in the file.
struct RawHeader {
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, RawEntry>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    dtype: String,
    shape: Shape,
    data_offsets: (u64, u64),
}

/// At most [`RANK_LIMIT`] dimensions, refused while reading.
struct Shape(Vec<u64>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Dimensions;
        impl<'de> Visitor<'de> for Dimensions {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {RANK_LIMIT} dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(size) = seq.next_element()? {
                    if shape.len() == RANK_LIMIT {
                        return Err(de::Error::invalid_length(RANK_LIMIT + 1, &self));
                    }
                    shape.push(size);
                }
                Ok(Shape(shape))
            }
        }
        deserializer.deserialize_seq(Dimensions)
    }
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut metadata = None;
                let mut tensors = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    let twice = if name == "__metadata__" {
                        metadata.replace(map.next_value_seed(Metadata)?).is_some()
                    } else if tensors.contains_key(&name) {
                        true
                    } else {
                        let entry = map.next_value()?;
                        tensors.insert(name.clone(), entry);
                        false
                    };
                    if twice {
                        return Err(de::Error::custom(format_args!("key {name:?} occurs twice")));
                    }
                }
                Ok(RawHeader { metadata: metadata.unwrap_or_default(), tensors })
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// `__metadata__`: text by text, no key twice.
struct Metadata;

impl<'de> DeserializeSeed<'de> for Metadata {
    type Value = BTreeMap<String, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Metadata {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut metadata = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if metadata.contains_key(&key) {
                return Err(de::Error::custom(format_args!(
                    "key {key:?} occurs twice in __metadata__"
                )));
            }
            metadata.insert(key, value);
        }
        Ok(metadata)
    }
}
