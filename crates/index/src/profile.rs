//! What made an index: the encoders, and how. An index is used with nothing else.

use std::fmt;
use std::path::Path;

use crate::{Error, Result};

/// 32 bytes that stand for a content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits =
            text.bytes().map(|b| char::from(b).to_digit(16)).collect::<Option<Vec<_>>>()?;
        let bytes: Vec<u8> =
            digits.as_chunks::<2>().0.iter().map(|[high, low]| (high << 4 | low) as u8).collect();
        (digits.len() == 64).then_some(())?;
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What makes vectors. Two encoders with the same fields make vectors that may be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoder {
    /// What people call it; may differ, because a model may be renamed.
    pub name: String,
    /// Of the weights, adapters and configuration.
    pub model: Hash,
    /// Of everything that is put around a page and around a query.
    pub prompt: Hash,
    /// How hidden states become the vectors that are stored, [`MAX_POOLING`](Self::MAX_POOLING) bytes
    /// at most: `none`, `rows-ward/3`, `cls`.
    pub pooling: String,
    /// Components of a vector, after any cut; for sparse vectors, tokens of the vocabulary.
    pub dim: u32,
}

impl Encoder {
    /// The most bytes of [`pooling`](Self::pooling).
    pub const MAX_POOLING: usize = 32;
}

/// Everything that a page of an index is represented by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Vectors for late interaction: many for each page.
    pub vectors: Option<Encoder>,
    /// Dense vectors: one for each page or passage.
    pub dense: Option<Encoder>,
    /// Weights of tokens.
    pub sparse: Option<Encoder>,
    /// Whether the vectors for late interaction are kept in 16 bits too, to be exported.
    pub halves: bool,
}

/// The largest dimension of dense vectors.
const MOST_DENSE: u32 = 65_536;

impl Profile {
    /// Refuses what cannot be stored.
    pub(crate) fn check(&self) -> Result<()> {
        let value = |what, value: String, allowed| Err(Error::Value { what, value, allowed });
        for (part, encoder) in self.parts() {
            let Some(encoder) = encoder else { continue };
            let (pooling, most) = match part {
                VECTORS => (&encoder.pooling, kernels::late_interaction::Layout::MOST as u32),
                DENSE => (&encoder.pooling, MOST_DENSE),
                _ => (&encoder.pooling, u32::MAX),
            };
            if encoder.dim == 0 || encoder.dim > most {
                return value("dimension", encoder.dim.to_string(), "one that vectors can have");
            }
            let plain = !pooling.is_empty() && pooling.bytes().all(|b| b.is_ascii_graphic());
            if !plain || pooling.len() > Encoder::MAX_POOLING {
                return value("pooling", pooling.clone(), "a name of 1 to 32 plain characters");
            }
            if encoder.name.len() > 1000 {
                return value("name", encoder.name.clone(), "at most 1000 bytes");
            }
        }
        if self.halves && self.vectors.is_none() {
            return value("halves", "true".into(), "possible without vectors");
        }
        Ok(())
    }

    /// Each representation with its name.
    pub(crate) fn parts(&self) -> [(&'static str, Option<&Encoder>); 3] {
        let Self { vectors, dense, sparse, .. } = self;
        [(VECTORS, vectors.as_ref()), (DENSE, dense.as_ref()), (SPARSE, sparse.as_ref())]
    }

    /// Refuses `asked` unless it is what made this one, which lies at `path`. Names may differ.
    ///
    /// # Errors
    ///
    /// If a representation was made otherwise, which says what differs.
    pub fn admits(&self, asked: &Self, path: &Path) -> Result<()> {
        for ((part, made), (_, asked)) in self.parts().into_iter().zip(asked.parts()) {
            let differs = |what, made: String, asked: String| {
                Err(Error::Profile { path: path.to_owned(), part, what, made, asked })
            };
            let name = |encoder: Option<&Encoder>| {
                encoder.map_or_else(|| "none".to_owned(), |encoder| encoder.name.clone())
            };
            let (Some(one), Some(other)) = (made, asked) else {
                if made.is_some() != asked.is_some() {
                    return differs("model", name(made), name(asked));
                }
                continue;
            };
            let with_hash = |encoder: &Encoder| {
                let hash = encoder.model.to_string();
                format!("{} ({})", encoder.name, &hash[..12])
            };
            if one.model != other.model {
                return differs("model", with_hash(one), with_hash(other));
            }
            if one.prompt != other.prompt {
                return differs("prompt", one.prompt.to_string(), other.prompt.to_string());
            }
            if one.pooling != other.pooling {
                return differs("pooling", one.pooling.clone(), other.pooling.clone());
            }
            if one.dim != other.dim {
                return differs("dimension", one.dim.to_string(), other.dim.to_string());
            }
        }
        if self.halves != asked.halves {
            let word = |halves| if halves { "kept" } else { "not kept" }.to_owned();
            return Err(Error::Profile {
                path: path.to_owned(),
                part: VECTORS,
                what: "16-bit copy",
                made: word(self.halves),
                asked: word(asked.halves),
            });
        }
        Ok(())
    }
}

/// What errors call the representations.
pub(crate) const VECTORS: &str = "vectors";
pub(crate) const DENSE: &str = "dense vectors";
pub(crate) const SPARSE: &str = "sparse vectors";

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder() -> Encoder {
        let (model, prompt) = (Hash([1; 32]), Hash([2; 32]));
        Encoder { name: "a".into(), model, prompt, pooling: "none".into(), dim: 128 }
    }

    #[test]
    fn hashes_are_read_as_they_are_written() {
        let hash = Hash(std::array::from_fn(|i| (i * 37) as u8));
        assert_eq!(Hash::from_hex(&hash.to_string()), Some(hash));
        let text = hash.to_string();
        for wrong in ["", &text[1..], &format!("{text}00"), &text.replace('5', "g")] {
            assert_eq!(Hash::from_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_what_made_an_index_uses_it() {
        let made = Profile { vectors: Some(encoder()), ..Profile::default() };
        let path = Path::new("x");
        let what = |asked: &Profile| match made.admits(asked, path) {
            Err(Error::Profile { what, .. }) => what,
            other => panic!("{other:?}"),
        };
        let with = |change: fn(&mut Encoder)| {
            let mut encoder = encoder();
            change(&mut encoder);
            Profile { vectors: Some(encoder), ..Profile::default() }
        };
        assert!(made.admits(&made, path).is_ok());
        assert!(made.admits(&with(|e| e.name = "b".into()), path).is_ok());
        assert_eq!(what(&with(|e| e.model = Hash([3; 32]))), "model");
        assert_eq!(what(&with(|e| e.prompt = Hash([3; 32]))), "prompt");
        assert_eq!(what(&with(|e| e.pooling = "rows-ward/3".into())), "pooling");
        assert_eq!(what(&with(|e| e.dim = 64)), "dimension");
        assert_eq!(what(&Profile::default()), "model");
        assert_eq!(what(&Profile { dense: Some(encoder()), ..made.clone() }), "model");
        assert_eq!(what(&Profile { halves: true, ..made.clone() }), "16-bit copy");
    }

    #[test]
    fn what_cannot_be_stored_is_refused() {
        let with = |change: fn(&mut Encoder)| {
            let mut encoder = encoder();
            change(&mut encoder);
            Profile { vectors: Some(encoder), ..Profile::default() }.check()
        };
        assert!(with(|_| ()).is_ok());
        for wrong in [
            with(|e| e.dim = 0),
            with(|e| e.dim = 4097),
            with(|e| e.pooling.clear()),
            with(|e| e.pooling = "x".repeat(33)),
            with(|e| e.pooling = "a b".into()),
            with(|e| e.name = "x".repeat(1001)),
            Profile { halves: true, ..Profile::default() }.check(),
        ] {
            assert!(matches!(wrong, Err(Error::Value { .. })), "{wrong:?}");
        }
    }
}
