//! What both kinds of server do, in one vocabulary.

use serde_json::Value;

use super::qdrant::Qdrant;
use super::record::{Key, Made, Narrow, Record};
use super::weaviate::Weaviate;
use super::wire::Wire;
use super::{Error, ServerKind, There};

/// Pages and how well they fit, the best first.
pub(super) type Ranked = Vec<(Key, f64)>;

/// Pages that are listed at once.
const AT_ONCE: usize = 1000;

/// What pages are looked for by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lists<'a> {
    Words(&'a str),
    Sparse(&'a [(u32, f32)]),
    Dense(&'a [f32]),
    Vectors(&'a [f32]),
}

/// A page of a batch that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) why: String,
}

/// A part of a list, and where the next one begins.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) pages: Vec<(Key, Value)>,
    pub(super) next: Option<Key>,
}

/// A kind of server.
#[derive(Debug)]
pub(super) enum Engine {
    Qdrant(Qdrant),
    Weaviate(Weaviate),
}

impl Engine {
    pub(super) fn new(kind: ServerKind, wire: Wire, collection: &str) -> Self {
        match kind {
            ServerKind::Qdrant => Self::Qdrant(Qdrant::new(wire, collection)),
            ServerKind::Weaviate => Self::Weaviate(Weaviate::new(wire, collection)),
        }
    }

    pub(super) fn place(&self) -> &str {
        match self {
            Self::Qdrant(server) => &server.wire().place,
            Self::Weaviate(server) => &server.wire().place,
        }
    }

    pub(super) async fn there(&self) -> Result<There, Error> {
        match self {
            Self::Qdrant(server) => server.there().await,
            Self::Weaviate(server) => server.there().await,
        }
    }

    /// Makes the collection unless it is there; answers what it was made with.
    pub(super) async fn create(&self, made: &Made) -> Result<Made, Error> {
        let there = self.there().await?;
        let new = match (self, there) {
            (_, There::Made(there)) => return Ok(*there),
            (Self::Qdrant(server), There::Nothing) => server.create(made, false).await?,
            (Self::Qdrant(server), There::Empty) => server.create(made, true).await?,
            (Self::Weaviate(server), There::Nothing | There::Empty) => server.create(made).await?,
        };
        match self.there().await? {
            There::Made(there) => Ok(*there),
            There::Nothing | There::Empty if new => Err(Error::Garbage {
                place: self.place().to_owned(),
                action: "make the collection",
                what: "it was made and is not there".to_owned(),
            }),
            // Whoever makes it has not come to its end.
            There::Nothing | There::Empty => Err(Error::GaveUp {
                place: self.place().to_owned(),
                attempts: 1,
                why: "something else is making the collection".to_owned(),
                late: false,
            }),
        }
    }

    /// Makes ready to take pages. Answers the most bytes of a request, and of a batch, and its most pages.
    pub(super) async fn prepare(&self) -> Result<(usize, (usize, usize)), Error> {
        match self {
            Self::Qdrant(server) => {
                server.prepare().await?;
                Ok((Qdrant::most_bytes(), Qdrant::batch()))
            }
            Self::Weaviate(server) => {
                let most = server.most_bytes().await?;
                let (bytes, pages) = Weaviate::batch();
                Ok((most, (bytes.min(most), pages)))
            }
        }
    }

    /// Why a page cannot be stored there, by what is known of the kind of server.
    pub(super) fn refuses(&self, record: &Record, most: usize) -> Option<String> {
        match self {
            Self::Qdrant(_) => Qdrant::refuses(record),
            Self::Weaviate(_) => Weaviate::refuses(record, most),
        }
    }

    pub(super) fn weigh(&self, record: &Record) -> usize {
        match self {
            Self::Qdrant(_) => Qdrant::weigh(record),
            Self::Weaviate(_) => Weaviate::weigh(record),
        }
    }

    /// Puts pages there, and answers those that are not taken, with the reason of each. What is refused as a whole is put in
    /// halves, until the page is found that is refused.
    pub(super) async fn put(&self, records: &[Record], made: &Made) -> Result<Vec<Fault>, Error> {
        let mut faults = Vec::new();
        let mut parts = vec![(0, records.len())];
        while let Some((from, to)) = parts.pop() {
            let put = match self {
                Self::Qdrant(server) => server.put(&records[from..to], made).await,
                Self::Weaviate(server) => server.put(&records[from..to], made).await,
            };
            let why = match put {
                // What is wrong with one of several may have passed; it is said of one alone.
                Ok(found) if to - from > 1 => {
                    parts.extend(found.iter().map(|fault| (from + fault.at, from + fault.at + 1)));
                    continue;
                }
                Ok(found) => {
                    faults.extend(found.into_iter().map(|of| Fault { at: from, why: of.why }));
                    continue;
                }
                Err(error @ (Error::Refused { .. } | Error::TooLarge { .. })) => error,
                Err(error) => return Err(error),
            };
            if to - from > 1 {
                let middle = from + (to - from) / 2;
                parts.extend([(middle, to), (from, middle)]);
                continue;
            }
            let why = if let Error::Refused { status, message, .. } = why {
                format!("{message} ({status})")
            } else {
                why.to_string()
            };
            faults.push(Fault { at: from, why });
        }
        faults.sort_by_key(|fault| fault.at);
        faults.dedup_by_key(|fault| fault.at);
        Ok(faults)
    }

    /// Gives `visit` all pages, with some of what is known of them.
    pub(super) async fn scan(
        &self,
        names: &[&str],
        visit: &mut dyn FnMut(Key, &Value),
    ) -> Result<(), Error> {
        let mut from = None;
        loop {
            let listed = match self {
                Self::Qdrant(server) => server.list(from, names, AT_ONCE).await?,
                Self::Weaviate(server) => server.list(from, names, AT_ONCE).await?,
            };
            listed.pages.iter().for_each(|(key, values)| visit(*key, values));
            from = listed.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    pub(super) async fn fetch(
        &self,
        keys: &[Key],
        names: &[&str],
    ) -> Result<Vec<(Key, Value)>, Error> {
        match self {
            _ if keys.is_empty() => Ok(Vec::new()),
            Self::Qdrant(server) => server.fetch(keys, names).await,
            Self::Weaviate(server) => server.fetch(keys, names).await,
        }
    }

    pub(super) async fn vectors(
        &self,
        key: Key,
        names: &[&str],
    ) -> Result<Option<(Vec<f32>, Value)>, Error> {
        match self {
            Self::Qdrant(server) => server.vectors(key, names).await,
            Self::Weaviate(server) => server.vectors(key, names).await,
        }
    }

    pub(super) async fn delete(&self, keys: &[Key]) -> Result<(), Error> {
        for keys in keys.chunks(AT_ONCE) {
            match self {
                Self::Qdrant(server) => server.delete(keys).await?,
                Self::Weaviate(server) => server.delete(keys).await?,
            }
        }
        Ok(())
    }

    pub(super) async fn remove(&self, path: &str) -> Result<usize, Error> {
        match self {
            Self::Qdrant(server) => server.remove(path).await,
            Self::Weaviate(server) => server.remove(path).await,
        }
    }

    pub(super) async fn count(&self, narrow: &Narrow) -> Result<usize, Error> {
        match self {
            Self::Qdrant(server) => server.count(narrow).await,
            Self::Weaviate(server) => server.count(narrow).await,
        }
    }

    /// What one list finds.
    pub(super) async fn find(
        &self,
        list: Lists<'_>,
        narrow: &Narrow,
        (limit, made): (usize, &Made),
    ) -> Result<Ranked, Error> {
        match (self, list) {
            (Self::Qdrant(server), _) => server.find(list, narrow, (limit, made)).await,
            (Self::Weaviate(server), Lists::Vectors(vectors)) => {
                server.nearest(vectors, narrow, (limit, dim(made))).await
            }
            (Self::Weaviate(server), _) => server.find_in(list, narrow, limit).await,
        }
    }

    /// The pages whose vectors fit best of those that lists find; of how many lists is said by each list's limit.
    pub(super) async fn find_chained(
        &self,
        lists: &[Lists<'_>],
        vectors: &[f32],
        narrow: &Narrow,
        ((list, limit), made): ((usize, usize), &Made),
    ) -> Result<Ranked, Error> {
        let server = match self {
            Self::Qdrant(server) => {
                return server.find_chained(lists, vectors, narrow, ((list, limit), made)).await;
            }
            Self::Weaviate(server) => server,
        };
        let mut keys = Vec::new();
        for one in lists {
            let found = server.find_in(*one, narrow, list).await?;
            keys.extend(found.into_iter().map(|(key, _)| key));
        }
        keys.sort_unstable();
        keys.dedup();
        server.nearest_among(vectors, &keys, dim(made)).await
    }
}

fn dim(made: &Made) -> usize {
    made.profile.vectors.as_ref().map_or(1, |encoder| encoder.dim as usize)
}
