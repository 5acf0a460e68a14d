//! An index moved to a server, without encoding anything again.
//!
//! What is to be done follows from two lists: the pages of the index, by names that follow from their content, and those of the
//! server. So a move that was ended goes on where it was, and one that is done again does nothing. New pages come first and
//! old ones go last: a document that has changed is found all the time. What others pushed into the same collection stays.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use index::{Content, Document, Index, PageId, Profile, Writer};

use super::remote::{Access, Address, Batches, Held, Key, Made, Record, Remote};
use super::{Error, remote};

/// How often a server is asked again whether it has what it took, since the parts of one may lag behind.
const LOOKS: u32 = 5;
/// Of how many pages the words are counted, to know how many a page has.
const COUNTED: usize = 1000;

/// How an index is moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushOptions {
    /// Vectors are moved as 8 bits hold them.
    pub rounded: bool,
    /// How the server keeps them for its first look.
    pub compression: remote::Compression,
    /// Whether Weaviate chooses by MUVERA.
    pub muvera: bool,
    /// Whether small images of pages are moved too.
    pub previews: bool,
}

/// What became of an index that was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushTotals {
    /// Pages that were sent and taken.
    pub sent: usize,
    /// Pages that were there as they are.
    pub there: usize,
    /// Pages that were sent or not, and were not taken.
    pub refused: usize,
    /// Pages that were taken away, because the index has them no longer.
    pub deleted: usize,
    /// Pages of the collection that other indexes have pushed.
    pub others: usize,
}

/// What happens while an index is moved.
#[derive(Debug)]
#[non_exhaustive]
pub enum PushNews<'a> {
    /// It is known how much there is to send.
    Begun {
        /// Pages to be sent.
        pages: usize,
        /// Pages that are there.
        there: usize,
    },
    /// Pages were sent, and those that were not refused are there.
    Sent {
        /// How many.
        pages: usize,
    },
    /// A page is not taken.
    Refused {
        /// Its document.
        path: &'a str,
        /// Its number.
        number: u32,
        /// Why.
        why: &'a str,
    },
    /// All that was sent is there, and what the index has no longer is being taken away.
    Deleting {
        /// How many pages.
        pages: usize,
    },
}

/// Whoever looks on.
pub trait PushWatch {
    /// Is told what happens.
    fn news(&mut self, news: PushNews<'_>);

    /// Whether to end; what is there stays.
    fn stop(&self) -> bool;
}

/// A page of the index, and what it is called on a server.
#[derive(Clone, Copy, Debug)]
struct Place {
    document: usize,
    number: u32,
    page: PageId,
}

/// Moves the index in the folder `path` to a server, which it is told by `access`.
///
/// # Errors
/// When the vectors cannot be moved, the collection was made by something else, the server cannot be asked, or something is
/// there that should not be, or is not that should.
pub fn push(
    path: &Path,
    (address, access): (&Address, &Access),
    options: PushOptions,
    watch: &mut dyn PushWatch,
) -> Result<PushTotals, Error> {
    let profile = Index::profile_of(path)?;
    check(&profile, address, options)?;
    let index = super::open(path, &profile, crate::CpuOptions::default())?;
    let source = identity(&index, path, &profile)?;
    let documents = super::Store::documents(&index)?;
    let made = Made {
        profile: Profile { halves: false, ..profile },
        rounded: options.rounded,
        compression: options.compression,
        muvera: options.muvera,
        words: words(&index, &documents)?,
    };
    let (remote, batches) = Remote::create(address, access, &made)?;
    let mut push = Push { index, documents, remote, batches, source, options, watch };
    push.run()
}

/// Refuses what cannot be moved as is asked.
fn check(profile: &Profile, address: &Address, options: PushOptions) -> Result<(), Error> {
    let unsupported = |what: &str| {
        let (place, server) = (address.to_string(), address.kind().name());
        Err(remote::Error::Unsupported { place, server, what: what.to_owned() }.into())
    };
    if profile.vectors.is_some() && !profile.halves && !options.rounded {
        return Err(remote::Error::NoHalves.into());
    }
    if options.rounded && profile.halves {
        return Err(remote::Error::Halves.into());
    }
    let compressed = options.compression != remote::Compression::None;
    match address.kind() {
        remote::ServerKind::Weaviate if compressed => {
            unsupported("does not compare compressed vectors of pages: leave the compression out")
        }
        remote::ServerKind::Qdrant if options.muvera => {
            unsupported("knows no MUVERA: it compares all pages")
        }
        remote::ServerKind::Weaviate | remote::ServerKind::Qdrant => Ok(()),
    }
}

/// The number by which the index is known. One of an earlier version of this program is given one.
fn identity(index: &Index, path: &Path, profile: &Profile) -> Result<String, Error> {
    let number = match index.identity()? {
        Some(number) => number,
        None => {
            drop(Writer::open(path, profile)?);
            index.identity()?.unwrap_or_default()
        }
    };
    Ok(format!("{number:016x}"))
}

/// How many words a page has on average, among the first ones.
fn words(index: &Index, documents: &[Document]) -> Result<f32, Error> {
    let (mut words, mut pages) = (0, 0);
    for document in documents {
        for (_, page) in index.pages(document.document)? {
            words += remote::count_words(&index.text(page)?);
            pages += 1;
            if pages >= COUNTED {
                return Ok(words as f32 / pages as f32);
            }
        }
    }
    Ok(words as f32 / pages.max(1) as f32)
}

struct Push<'a> {
    index: Index,
    documents: Vec<Document>,
    remote: Remote,
    batches: Batches,
    source: String,
    options: PushOptions,
    watch: &'a mut dyn PushWatch,
}

impl Push<'_> {
    fn run(&mut self) -> Result<PushTotals, Error> {
        let places = self.places()?;
        let held = self.remote.held()?;
        let mut totals = PushTotals::default();
        let mut wanted = Vec::new();
        for (key, place) in &places {
            // What was said of a page may have changed while its name stayed.
            let same = match held.get(key) {
                None => false,
                Some(held) => held.stamp == self.stamp(*key, place)?,
            };
            if same {
                totals.there += 1;
            } else {
                wanted.push(*key);
            }
        }
        self.watch.news(PushNews::Begun { pages: wanted.len(), there: totals.there });
        let refused = self.send(&wanted, &places, &mut totals)?;
        let gone: Vec<Key> = held
            .iter()
            .filter(|(key, held)| !places.contains_key(key) && held.source == self.source)
            .map(|(key, _)| *key)
            .collect();
        if !gone.is_empty() {
            self.watch.news(PushNews::Deleting { pages: gone.len() });
            self.remote.delete(&gone)?;
            totals.deleted = gone.len();
        }
        let expected = places.iter().filter(|(key, _)| !refused.contains(key));
        let there = self.verify(expected.collect())?;
        totals.others = there.keys().filter(|key| !places.contains_key(key)).count();
        Ok(totals)
    }

    /// All pages of the index, by what they are called on a server.
    fn places(&self) -> Result<BTreeMap<Key, Place>, Error> {
        let sum = self.remote.made().sum();
        let mut places = BTreeMap::new();
        for (at, document) in self.documents.iter().enumerate() {
            for (number, page) in self.index.pages(document.document)? {
                let key = Key::of_page(&sum, &document.path, &document.hash, number);
                places.insert(key, Place { document: at, number, page });
            }
        }
        Ok(places)
    }

    /// Sends pages. Answers those that were not taken.
    fn send(
        &mut self,
        wanted: &[Key],
        places: &BTreeMap<Key, Place>,
        totals: &mut PushTotals,
    ) -> Result<BTreeSet<Key>, Error> {
        let mut refused = BTreeSet::new();
        let mut batch: Vec<Record> = Vec::new();
        let mut bytes = 0;
        for key in wanted {
            if self.watch.stop() {
                self.put(&mut batch, &mut refused, totals)?;
                return Err(Error::Stopped);
            }
            let Some(place) = places.get(key) else { continue };
            let record = self.record(*key, place)?;
            if let Some(why) = self.remote.refuses(&record, self.batches.most) {
                let (path, number) = (record.path.as_str(), record.number);
                self.watch.news(PushNews::Refused { path, number, why: &why });
                refused.insert(*key);
                totals.refused += 1;
                continue;
            }
            let weight = self.remote.weigh(&record);
            let full = bytes + weight > self.batches.bytes || batch.len() >= self.batches.pages;
            if full {
                self.put(&mut batch, &mut refused, totals)?;
                bytes = 0;
            }
            bytes += weight;
            batch.push(record);
        }
        self.put(&mut batch, &mut refused, totals)?;
        Ok(refused)
    }

    /// Sends a batch.
    fn put(
        &mut self,
        batch: &mut Vec<Record>,
        refused: &mut BTreeSet<Key>,
        totals: &mut PushTotals,
    ) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let refusals = self.remote.put(batch)?;
        for refusal in &refusals {
            let Some(record) = batch.get(refusal.at) else { continue };
            let (path, number) = (record.path.as_str(), record.number);
            self.watch.news(PushNews::Refused { path, number, why: &refusal.why });
            refused.insert(record.key);
        }
        totals.refused += refusals.len();
        totals.sent += batch.len() - refusals.len();
        self.watch.news(PushNews::Sent { pages: batch.len() });
        batch.clear();
        Ok(())
    }

    /// Looks whether all is there that should be, and that the server counts what it lists.
    fn verify(&self, expected: Vec<(&Key, &Place)>) -> Result<BTreeMap<Key, Held>, Error> {
        let mut look = 0;
        loop {
            let held = self.remote.held()?;
            let counted = self.remote.count()?;
            let mut missing = expected.iter().filter(|(key, _)| !held.contains_key(key));
            let first = missing.next();
            look += 1;
            let place = self.remote.place().to_owned();
            let fault = match first {
                None if counted == held.len() => return Ok(held),
                None => remote::Error::Count { place, counted, listed: held.len() },
                Some((_, of)) => remote::Error::Lost {
                    place,
                    missing: 1 + missing.count(),
                    path: self.documents[of.document].path.clone(),
                    page: of.number,
                },
            };
            if look >= LOOKS {
                return Err(fault.into());
            }
            std::thread::sleep(self.remote.pause(look));
        }
    }

    fn stamp(&self, key: Key, place: &Place) -> Result<String, Error> {
        Ok(self.described(key, place)?.0.stamp())
    }

    /// A page without its vectors and its preview, and what the index holds of it.
    fn described(&self, key: Key, place: &Place) -> Result<(Record, Content), Error> {
        let document = &self.documents[place.document];
        let mut content =
            self.index.content(place.page).map_err(|error| self.gone(place, error))?;
        let record = Record {
            key,
            path: document.path.clone(),
            document: document.hash.to_string(),
            pages: document.pages,
            date: document.date.clone(),
            category: document.category.clone(),
            metadata: document.metadata.clone(),
            number: place.number,
            hash: content.hash.to_string(),
            text: std::mem::take(&mut content.text),
            failure: content.failure.clone(),
            grid: None,
            preview: None,
            with_previews: self.options.previews,
            source: self.source.clone(),
            vectors: Vec::new(),
            dense: Vec::new(),
            sparse: Vec::new(),
        };
        Ok((record, content))
    }

    /// A page as it is sent.
    fn record(&self, key: Key, place: &Place) -> Result<Record, Error> {
        let (mut record, content) = self.described(key, place)?;
        (record.dense, record.sparse) = (content.dense, content.sparse);
        if self.options.previews {
            let preview = self.index.preview(place.page)?;
            record.preview = preview.map(|(kind, bytes)| (kind, STANDARD.encode(bytes)));
        }
        if self.remote.made().profile.vectors.is_some() {
            match self.index.vectors(place.page) {
                Ok((vectors, grid)) => (record.vectors, record.grid) = (vectors, grid),
                // A page that failed has none, and is moved with its reason.
                Err(index::Error::Bare { .. }) => {}
                Err(error) => return Err(self.gone(place, error)),
            }
        }
        Ok(record)
    }

    /// A page that is gone was replaced while the index was read.
    fn gone(&self, place: &Place, error: index::Error) -> Error {
        if matches!(error, index::Error::NoPage { .. }) {
            let path = self.documents[place.document].path.clone();
            return remote::Error::Changed { path }.into();
        }
        error.into()
    }
}
