//! Pages as servers keep them, by names that follow from what they are.

use std::collections::BTreeMap;
use std::fmt;

use index::{Date, Encoder, Filter, Grid, Hash, Place, Profile};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Error;

/// The version of what is kept of a page.
const VERSION: u64 = 1;

/// What a page is called on a server: a UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key([u8; 16]);

impl Key {
    /// The name of a page: the same for the same content at the same place, made by the same encoders. The path is part of it
    /// because two copies of a file are two documents of an index.
    pub(in crate::find) fn of_page(
        profile: &Hash,
        path: &str,
        document: &Hash,
        number: u32,
    ) -> Self {
        let mut sha256 = Sha256::new();
        sha256.update(b"folio page\0");
        sha256.update(profile.0);
        sha256.update(document.0);
        sha256.update(number.to_le_bytes());
        sha256.update(path);
        Self::new(sha256)
    }

    /// The name of what says what made a collection, where the server has no other place for it.
    pub(in crate::find) fn of_profile() -> Self {
        Self::new(Sha256::new_with_prefix(b"folio profile\0"))
    }

    fn new(sha256: Sha256) -> Self {
        let sum: [u8; 32] = sha256.finalize().into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&sum[..16]);
        // A UUID of somebody's own making (RFC 9562, version 8).
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// Reads one as it is written.
    pub(in crate::find) fn read(text: &str) -> Option<Self> {
        let digits: Vec<u32> =
            text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
        let (pairs, rest) = digits.as_chunks::<2>();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| (high << 4 | low) as u8).collect();
        let key = Self(bytes.try_into().ok()?);
        (rest.is_empty() && key.to_string().eq_ignore_ascii_case(text)).then_some(key)
    }

    /// A number that stands for it as long as it is looked at.
    pub(in crate::find) fn number(&self) -> i64 {
        let (first, _) = self.0.split_first_chunk().unwrap_or((&[0; 8], &[]));
        (u64::from_be_bytes(*first) >> 1).cast_signed()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A page as it is put on a server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(in crate::find) key: Key,
    /// Its document, as the index has it.
    pub(in crate::find) path: String,
    pub(in crate::find) document: String,
    pub(in crate::find) pages: u32,
    pub(in crate::find) date: Option<String>,
    pub(in crate::find) category: Option<String>,
    pub(in crate::find) metadata: BTreeMap<String, String>,
    pub(in crate::find) number: u32,
    pub(in crate::find) hash: String,
    pub(in crate::find) text: String,
    pub(in crate::find) failure: Option<String>,
    pub(in crate::find) grid: Option<Grid>,
    /// Its media type, and the file in base64.
    pub(in crate::find) preview: Option<(String, String)>,
    /// Whether previews are moved, which is known before one is read.
    pub(in crate::find) with_previews: bool,
    /// Which index it came from.
    pub(in crate::find) source: String,
    /// Vectors for late interaction, one after another.
    pub(in crate::find) vectors: Vec<f32>,
    pub(in crate::find) dense: Vec<Vec<f32>>,
    pub(in crate::find) sparse: Vec<(u32, f32)>,
}

impl Record {
    /// Everything but vectors, under the names that both kinds of server know it by. What is absent is left out.
    pub(in crate::find) fn payload(&self) -> Map<String, Value> {
        let mut all = Map::new();
        let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
        put("path", json!(self.path));
        put("folders", json!(folders(&self.path)));
        put("document", json!(self.document));
        put("number", json!(self.number));
        put("pages", json!(self.pages));
        if let Some(day) = self.date.as_deref().and_then(day) {
            put("day", json!(day));
        }
        if let Some(category) = &self.category {
            put("category", json!(category));
        }
        let metadata = self.metadata.iter().map(|(name, value)| pair(name, value));
        put("metadata", metadata.collect());
        put("text", json!(self.text));
        put("hash", json!(self.hash));
        if let Some(failure) = &self.failure {
            put("failure", json!(failure));
        }
        if let Some(Grid { start, height, width }) = self.grid {
            put("grid", json!([start, height, width]));
        }
        if let Some((kind, bytes)) = &self.preview {
            put("previewKind", json!(kind));
            put("preview", json!(bytes));
        }
        put("source", json!(self.source));
        put("stamp", json!(self.stamp()));
        all
    }

    /// Stands for all of it that may change while its name stays: where it came from does not count, and vectors and previews
    /// follow from the rest.
    pub(in crate::find) fn stamp(&self) -> String {
        let parts = [
            Some(self.hash.clone()),
            Some(self.text.clone()),
            self.date.clone(),
            self.category.clone(),
            self.failure.clone(),
            self.with_previews.then(String::new),
            Some(self.pages.to_string()),
        ];
        let metadata = self.metadata.iter().flat_map(|(name, value)| [name, value]).cloned();
        let mut sha256 = Sha256::new();
        for part in parts.into_iter().chain(metadata.map(Some)) {
            sha256.update([u8::from(part.is_some())]);
            let part = part.unwrap_or_default();
            sha256.update((part.len() as u64).to_le_bytes());
            sha256.update(part);
        }
        crate::hex(&sha256.finalize()[..8])
    }
}

/// A name and a value of metadata as one word.
pub(in crate::find) fn pair(name: &str, value: &str) -> String {
    format!("{name}={value}")
}

/// The folders that a path lies in, from the outermost: servers know no beginnings of words, so each is a word.
pub(in crate::find) fn folders(path: &str) -> Vec<String> {
    let separators = path.char_indices().filter(|(_, c)| matches!(c, '/' | '\\'));
    separators.map(|(at, _)| path[..at].to_owned()).filter(|folder| !folder.is_empty()).collect()
}

/// A day as a number that grows with it: 20240531.
pub(in crate::find) fn day(date: &str) -> Option<u32> {
    let digits: String = date.chars().filter(char::is_ascii_digit).collect();
    (digits.len() == 8).then(|| digits.parse().ok()).flatten()
}

/// A day as it is written.
pub(in crate::find) fn written(day: u64) -> Option<String> {
    let text = day.to_string();
    (text.len() == 8).then(|| format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]))
}

/// Which pages are meant, in what servers have words for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Narrow {
    /// The path is one of these, if that is said.
    pub(in crate::find) paths: Option<Vec<String>>,
    /// It lies below this folder.
    pub(in crate::find) folder: Option<String>,
    pub(in crate::find) from: Option<u32>,
    pub(in crate::find) to: Option<u32>,
    pub(in crate::find) categories: Vec<String>,
    pub(in crate::find) pages: Option<(u32, u32)>,
    pub(in crate::find) metadata: Vec<String>,
}

impl Narrow {
    /// What a filter says, but for a pattern of paths or of files' names, which `matching` finds when it is told whether it is of
    /// names.
    pub(in crate::find) fn of(
        filter: &Filter,
        matching: impl FnOnce(&str, bool) -> Result<Vec<String>, Error>,
    ) -> Result<Self, Error> {
        let day = |date: Option<Date>| date.and_then(|date| day(&date.to_string()));
        let mut narrow = Self {
            from: day(filter.from),
            to: day(filter.to),
            categories: filter.categories.clone(),
            pages: filter.pages,
            metadata: filter.metadata.iter().map(|(name, value)| pair(name, value)).collect(),
            ..Self::default()
        };
        match &filter.place {
            Some(Place::At(path)) => narrow.paths = Some(vec![path.clone()]),
            Some(Place::Below(folder)) => {
                narrow.folder = Some(folder.trim_end_matches(['/', '\\']).to_owned());
            }
            Some(Place::Like(pattern)) => narrow.paths = Some(matching(pattern, false)?),
            Some(Place::Named(pattern)) => narrow.paths = Some(matching(pattern, true)?),
            None => {}
        }
        Ok(narrow)
    }
}

/// What a collection was made with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Made {
    pub(crate) profile: Profile,
    /// Whether vectors were moved as 8-bit codes, for want of better ones.
    pub(crate) rounded: bool,
    pub(crate) compression: Compression,
    /// Whether the server chooses by MUVERA, where that is its way.
    pub(crate) muvera: bool,
    /// Words of a page on average, where words are weighted on our side.
    pub(crate) words: f32,
}

/// How a server keeps vectors for its first look; it keeps the whole ones for the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// A byte for each number.
    Bytes,
    /// A bit for each number.
    Bits,
}

impl Compression {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bytes => "bytes",
            Self::Bits => "bits",
        }
    }
}

impl Made {
    /// As a server keeps it.
    pub(in crate::find) fn write(&self) -> Value {
        let encoder = |encoder: &Option<Encoder>| {
            encoder.as_ref().map(|of| {
                json!({
                    "name": of.name, "model": of.model.to_string(), "prompt": of.prompt.to_string(),
                    "pooling": of.pooling, "dim": of.dim,
                })
            })
        };
        let Profile { vectors, dense, sparse, halves: _ } = &self.profile;
        json!({
            "folio": VERSION, "vectors": encoder(vectors), "dense": encoder(dense), "sparse": encoder(sparse),
            "rounded": self.rounded, "compression": self.compression.name(), "muvera": self.muvera,
            "words": f64::from(self.words),
        })
    }

    /// What a server keeps, or why that is nothing of ours.
    pub(in crate::find) fn read(value: &Value) -> Result<Self, String> {
        match value["folio"].as_u64() {
            Some(VERSION) => {}
            Some(other) => return Err(format!("it is of version {other}, and {VERSION} is known")),
            None => return Err("it does not say what made it".to_owned()),
        }
        let encoder = |name: &str| {
            let of = &value[name];
            if of.is_null() {
                return Ok(None);
            }
            let hash = |name: &str| of[name].as_str().and_then(Hash::from_hex);
            let text = |name: &str| of[name].as_str().map(str::to_owned);
            let dim = of["dim"].as_u64().and_then(|dim| u32::try_from(dim).ok()).filter(|d| *d > 0);
            let read = || {
                Some(Encoder {
                    name: text("name")?,
                    model: hash("model")?,
                    prompt: hash("prompt")?,
                    pooling: text("pooling")?,
                    dim: dim?,
                })
            };
            read().map(Some).ok_or_else(|| format!("what it says of its {name} makes no sense"))
        };
        let profile = Profile {
            vectors: encoder("vectors")?,
            dense: encoder("dense")?,
            sparse: encoder("sparse")?,
            halves: false,
        };
        let name = value["compression"].as_str().unwrap_or_default();
        let known = [Compression::None, Compression::Bytes, Compression::Bits];
        let compression = known.into_iter().find(|known| known.name() == name);
        Ok(Self {
            profile,
            rounded: value["rounded"].as_bool().ok_or("it does not say whether it is rounded")?,
            compression: compression.ok_or_else(|| format!("`{name}` is no compression"))?,
            muvera: value["muvera"].as_bool().unwrap_or_default(),
            words: value["words"].as_f64().unwrap_or_default() as f32,
        })
    }

    /// Stands for the encoders, whatever they are called.
    pub(in crate::find) fn sum(&self) -> Hash {
        let mut sha256 = Sha256::new();
        let Profile { vectors, dense, sparse, halves: _ } = &self.profile;
        for encoder in [vectors, dense, sparse] {
            sha256.update([u8::from(encoder.is_some())]);
            let Some(Encoder { name: _, model, prompt, pooling, dim }) = encoder else { continue };
            sha256.update(model.0);
            sha256.update(prompt.0);
            sha256.update((pooling.len() as u64).to_le_bytes());
            sha256.update(pooling);
            sha256.update(dim.to_le_bytes());
        }
        Hash(sha256.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Made {
        let encoder = Encoder {
            name: "a".to_owned(),
            model: Hash([1; 32]),
            prompt: Hash([2; 32]),
            pooling: "none".to_owned(),
            dim: 4,
        };
        let profile = Profile { vectors: Some(encoder), ..Profile::default() };
        let compression = Compression::Bits;
        Made { profile, rounded: true, compression, muvera: false, words: 12.5 }
    }

    #[test]
    fn a_page_is_called_the_same_whenever_it_is_asked() {
        let (sum, hash) = (made().sum(), Hash([7; 32]));
        let key = Key::of_page(&sum, "/a", &hash, 1);
        assert_eq!(key, Key::of_page(&sum, "/a", &hash, 1));
        let text = key.to_string();
        assert_eq!((text.len(), &text[14..15], Key::read(&text)), (36, "8", Some(key)));
        let renamed = Made {
            profile: Profile {
                vectors: made().profile.vectors.map(|e| Encoder { name: "b".to_owned(), ..e }),
                ..Profile::default()
            },
            ..made()
        };
        assert_eq!(renamed.sum(), sum);
        let other = Made { profile: Profile::default(), ..made() };
        for different in [
            Key::of_page(&other.sum(), "/a", &hash, 1),
            Key::of_page(&sum, "/b", &hash, 1),
            Key::of_page(&sum, "/a", &Hash([8; 32]), 1),
            Key::of_page(&sum, "/a", &hash, 2),
            Key::of_profile(),
        ] {
            assert_ne!(different, key);
        }
        for wrong in ["", "-", &text[1..], &format!("{text}0"), &text.replace('-', "")] {
            assert_eq!(Key::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_made_a_collection_is_read_as_it_is_written() {
        assert_eq!(Made::read(&made().write()), Ok(made()));
        let mut other = made().write();
        other["folio"] = json!(2);
        assert!(Made::read(&other).unwrap_err().contains("version 2"));
        assert!(Made::read(&json!({"a": 1})).unwrap_err().contains("does not say"));
        let mut other = made().write();
        other["vectors"]["model"] = json!("zz");
        assert!(Made::read(&other).unwrap_err().contains("vectors"));
    }

    #[test]
    fn folders_and_days_are_words_and_numbers() {
        assert_eq!(folders("/a/b/c.pdf"), ["/a", "/a/b"]);
        assert_eq!(folders("C:\\x\\y.pdf"), ["C:", "C:\\x"]);
        assert_eq!(folders("y.pdf"), Vec::<String>::new());
        assert_eq!((day("2024-05-31"), day("2024"), day("")), (Some(20_240_531), None, None));
        assert_eq!(written(20_240_531).as_deref(), Some("2024-05-31"));
    }
}
