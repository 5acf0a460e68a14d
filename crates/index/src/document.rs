//! What goes into an index.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::VectorFault;
use crate::profile::{DENSE, SPARSE, VECTORS};
use crate::{Date, Encoder, Error, Hash, Profile, ReadBy, Reading, Result};

/// A document of an index. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocumentId(pub i64);

/// A page of an index. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageId(pub i64);

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A document to be indexed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDocument {
    /// Where it is found, which is its name: a document of the same path is replaced.
    pub path: String,
    /// Of its content: a document of the same path and content is left as it is.
    pub hash: Hash,
    /// How many pages it has.
    pub pages: u32,
    /// A day that filters know it by.
    pub date: Option<Date>,
    /// A kind that filters know it by.
    pub category: Option<String>,
    /// Whatever else filters know it by.
    pub metadata: BTreeMap<String, String>,
    /// How pages are read whose own words are missing or in doubt. A document of the same path and content is replaced if it
    /// was not read so, unless this is absent.
    pub reading: Option<Reading>,
}

/// The most bytes of a path, a category, and a name and a value of metadata.
const MOST_WORD: usize = 4096;

/// The most pages of a document.
const MOST_PAGES: u32 = 1_000_000;

/// The most bytes of a page's text.
const MOST_TEXT: usize = 16 << 20;

/// The most bytes of a preview.
const MOST_PREVIEW: usize = 4 << 20;

/// The most vectors of a page.
pub(crate) const MOST_VECTORS: usize = 65_536;

/// The most dense vectors of a page.
const MOST_PARTS: usize = 1024;

/// The largest number that a 16-bit float holds.
const LARGEST: f32 = 65_504.0;

impl NewDocument {
    /// Refuses what cannot be stored.
    pub(crate) fn check(&self) -> Result<()> {
        let words = self.metadata.iter().flat_map(|(name, value)| [name, value]);
        let reading = self.reading.iter().flat_map(|of| [&of.mode, &of.reader]);
        for word in [&self.path].into_iter().chain(&self.category).chain(words).chain(reading) {
            if word.len() > MOST_WORD || word.contains('\0') {
                return Err(Error::Value {
                    what: "path, category, metadata or reader",
                    value: word.chars().take(60).collect(),
                    allowed: "at most 4096 bytes without a zero",
                });
            }
        }
        if self.pages > MOST_PAGES {
            let value = self.pages.to_string();
            return Err(Error::Value { what: "pages", value, allowed: "at most a million" });
        }
        Ok(())
    }
}

/// What became of a document that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is there with the same content.
    Unchanged(DocumentId),
    /// Its pages are wanted. Until the last is there, the index shows what it showed before.
    Open {
        /// What its pages are added to.
        document: DocumentId,
        /// Pages, from 1, that are there from an earlier attempt, in order.
        have: Vec<u32>,
    },
}

/// Where the places of a page's image lie among its vectors, row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The first place's vector.
    pub start: u32,
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// A page's vectors for late interaction.
#[derive(Clone, Copy, Debug)]
pub enum PageVectors<'a> {
    /// Vectors, one after another.
    New {
        /// Their numbers.
        vectors: &'a [f32],
        /// Which of them are places of the page; none if they were pooled.
        grid: Option<Grid>,
    },
    /// The same as those of another page of the index, which [`Writer::twin`](crate::Writer::twin) finds.
    SameAs(PageId),
}

/// A small image of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preview<'a> {
    /// Its media type, as `image/webp`.
    pub kind: &'a str,
    /// The file's bytes, 4 MiB at most.
    pub bytes: &'a [u8],
}

/// A page to be indexed.
#[derive(Clone, Copy, Debug)]
pub struct NewPage<'a> {
    /// Its document, which has been begun.
    pub document: DocumentId,
    /// Its number, from 1.
    pub number: u32,
    /// Of its content, as it is shown to the encoders.
    pub hash: Hash,
    /// Of its image alone, where vectors for late interaction are made of that and of nothing else.
    pub looks: Option<Hash>,
    /// Its words; 16 MiB at most.
    pub text: &'a str,
    /// Who read them, if its own are missing or in doubt.
    pub read: Option<ReadBy<'a>>,
    /// Its vectors for late interaction.
    pub vectors: Option<PageVectors<'a>>,
    /// Its dense vectors, or those of its passages; the best one counts.
    pub dense: &'a [Vec<f32>],
    /// The weights of its tokens, each token once.
    pub sparse: &'a [(u32, f32)],
    /// What it looks like.
    pub preview: Option<Preview<'a>>,
    /// Why it could not be read or encoded: such a page has no vectors, and is reported.
    pub failure: Option<&'a str>,
}

impl NewPage<'_> {
    /// Refuses what cannot be stored, or what `profile` has no place for.
    pub(crate) fn check(&self, profile: &Profile) -> Result<()> {
        let value = |what, value: usize, allowed| {
            Err(Error::Value { what, value: value.to_string(), allowed })
        };
        if self.number == 0 {
            return value("page number", 0, "a number from 1");
        }
        if self.text.len() > MOST_TEXT {
            return value("bytes of text", self.text.len(), "at most 16 MiB");
        }
        if let Some(preview) = self.preview
            && (preview.bytes.len() > MOST_PREVIEW || preview.kind.len() > 100)
        {
            return value("bytes of a preview", preview.bytes.len(), "at most 4 MiB");
        }
        if let Some(read) = self.read.filter(|read| read.name.len() > MOST_WORD) {
            return value("bytes of a reader's name", read.name.len(), "at most 4096");
        }
        let refused = |what, wanted| Err(Error::Representation { what, wanted });
        match (&profile.vectors, &self.vectors) {
            (None, Some(_)) => return refused(VECTORS, false),
            (Some(_), None) if self.failure.is_none() => return refused(VECTORS, true),
            (Some(encoder), Some(PageVectors::New { vectors, grid })) => {
                let count = check_vectors("page", vectors, encoder.dim as usize, MOST_VECTORS)?;
                if let Some(Grid { start, height, width }) = *grid
                    && start as usize + usize::from(height) * usize::from(width) > count
                {
                    let fault = VectorFault::Grid { height, width, start, vectors: count };
                    return Err(Error::Vectors { what: "page", fault });
                }
            }
            (_, _) => {}
        }
        match &profile.dense {
            None if !self.dense.is_empty() => return refused(DENSE, false),
            Some(encoder) => {
                if self.dense.len() > MOST_PARTS {
                    return value("dense vectors", self.dense.len(), "at most 1024");
                }
                for vector in self.dense {
                    check_vectors("page", vector, encoder.dim as usize, 1)?;
                }
            }
            None => {}
        }
        match &profile.sparse {
            None if !self.sparse.is_empty() => refused(SPARSE, false),
            Some(encoder) => check_sparse("page", self.sparse, encoder),
            None => Ok(()),
        }
    }
}

/// How many vectors of `dim` these numbers are, at least one and at most `most`, all of which can be
/// compared.
pub(crate) fn check_vectors(
    what: &'static str,
    numbers: &[f32],
    dim: usize,
    most: usize,
) -> Result<usize> {
    let fault = |fault| Err(Error::Vectors { what, fault });
    let count = numbers.len() / dim;
    if count == 0 || count > most || count * dim != numbers.len() {
        return fault(VectorFault::Count { numbers: numbers.len(), dim, most });
    }
    // A number that is none is not at most anything.
    if let Some(at) = numbers.iter().position(|x| !matches!(x.abs(), 0.0..=LARGEST)) {
        return fault(VectorFault::Number { at });
    }
    // What is too small to be scaled to 8 bits counts as zero.
    let tiny = |vector: &[f32]| vector.iter().all(|x| x.abs() / 127.0 < f32::MIN_POSITIVE);
    if let Some(at) = numbers.chunks(dim).position(tiny) {
        return fault(VectorFault::Zero { at });
    }
    Ok(count)
}

/// Refuses weights that are none, or of tokens that there are not or that come twice.
pub(crate) fn check_sparse(
    what: &'static str,
    weights: &[(u32, f32)],
    encoder: &Encoder,
) -> Result<()> {
    let mut tokens: Vec<u32> = weights.iter().map(|(token, _)| *token).collect();
    tokens.sort_unstable();
    let twice = tokens.windows(2).any(|pair| pair[0] == pair[1]);
    let beyond = tokens.last().is_some_and(|&token| token >= encoder.dim);
    let wrong = weights.iter().position(|(_, weight)| !(*weight > 0.0 && *weight <= LARGEST));
    if twice || beyond {
        let (value, allowed) = ("of a token".to_owned(), "each token of the vocabulary once");
        return Err(Error::Value { what: "sparse weight", value, allowed });
    }
    match wrong {
        Some(at) => Err(Error::Vectors { what, fault: VectorFault::Number { at } }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(dim: u32) -> Option<Encoder> {
        let (name, pooling) = ("a".to_owned(), "none".to_owned());
        Some(Encoder { name, model: Hash([1; 32]), prompt: Hash([2; 32]), pooling, dim })
    }

    fn page<'a>() -> NewPage<'a> {
        NewPage {
            document: DocumentId(1),
            number: 1,
            hash: Hash([0; 32]),
            looks: None,
            text: "",
            read: None,
            vectors: Some(PageVectors::New { vectors: &[1.0, 0.0, 0.5, 0.5], grid: None }),
            dense: &[],
            sparse: &[],
            preview: None,
            failure: None,
        }
    }

    #[test]
    fn vectors_must_be_vectors() {
        let check = |numbers: &[f32]| match check_vectors("x", numbers, 2, 2) {
            Ok(count) => Ok(count),
            Err(Error::Vectors { fault, .. }) => Err(fault),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(check(&[1.0, 0.0]), Ok(1));
        assert_eq!(check(&[1.0, 0.0, -65_504.0, 0.0]), Ok(2));
        for (numbers, count) in [(&[][..], 0), (&[1.0], 1), (&[1.0; 3], 3), (&[1.0; 6], 6)] {
            let fault = VectorFault::Count { numbers: count, dim: 2, most: 2 };
            assert_eq!(check(numbers), Err(fault));
        }
        for wrong in [f32::NAN, f32::INFINITY, -f32::INFINITY, 65_505.0] {
            assert_eq!(check(&[1.0, wrong]), Err(VectorFault::Number { at: 1 }));
        }
        assert_eq!(check(&[1.0, 0.0, 0.0, -0.0]), Err(VectorFault::Zero { at: 1 }));
        assert_eq!(check(&[1e-40, 0.0]), Err(VectorFault::Zero { at: 0 }));
    }

    #[test]
    fn a_page_has_what_its_index_has() {
        let profile = Profile { vectors: encoder(2), ..Profile::default() };
        assert!(page().check(&profile).is_ok());
        let missing = NewPage { vectors: None, ..page() };
        let failed = NewPage { failure: Some("torn"), ..missing };
        assert!(missing.check(&profile).is_err() && failed.check(&profile).is_ok());
        assert!(page().check(&Profile::default()).is_err());
        assert!(missing.check(&Profile::default()).is_ok());
        let dense = [vec![1.0_f32, 2.0, 3.0]];
        let with_dense = NewPage { dense: &dense, ..page() };
        assert!(with_dense.check(&profile).is_err());
        assert!(with_dense.check(&Profile { dense: encoder(3), ..profile.clone() }).is_ok());
        assert!(with_dense.check(&Profile { dense: encoder(2), ..profile.clone() }).is_err());
        let sparse = |weights| NewPage { sparse: weights, ..page() };
        assert!(sparse(&[(1, 0.5)]).check(&profile).is_err());
        let profile = Profile { sparse: encoder(9), ..profile };
        assert!(sparse(&[(8, 0.5), (1, 2.0)]).check(&profile).is_ok());
        for wrong in [&[(9, 0.5)][..], &[(1, 0.5), (1, 0.5)], &[(1, 0.0)], &[(1, f32::NAN)]] {
            assert!(sparse(wrong).check(&profile).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_grid_lies_within_the_vectors() {
        let profile = Profile { vectors: encoder(2), ..Profile::default() };
        let check = |start, height, width| {
            let vectors = &[1.0; 12];
            let grid = Some(Grid { start, height, width });
            let vectors = Some(PageVectors::New { vectors, grid });
            NewPage { vectors, ..page() }.check(&profile).is_ok()
        };
        assert!(check(0, 2, 3) && check(2, 2, 2) && check(6, 0, 0));
        assert!(!check(1, 2, 3) && !check(u32::MAX, 1, 1) && !check(0, u16::MAX, u16::MAX));
    }
}
