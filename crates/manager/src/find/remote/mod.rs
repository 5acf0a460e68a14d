//! Pages on servers, Qdrant and Weaviate, in the words of the embedded index.
//!
//! What a server has no word for is done here: lists are fused, patterns of paths are matched, and snippets are cut. What it
//! cannot do at all is an error that says so. A collection says what made it, and is asked with nothing else.

mod address;
mod engine;
mod error;
#[cfg(test)]
mod golden;
mod qdrant;
mod record;
mod weaviate;
mod wire;
mod words;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use index::{
    Answer, Candidates, Document, DocumentId, Hash, Hit, Limits, PageId, Places, Profile, Query,
    Route, Stage, VectorFault, reciprocal_rank,
};
use serde_json::Value;
use tokio::runtime::Runtime;

pub use address::{Address, ServerKind};
pub use error::Error;
pub use record::Compression;
pub use wire::Patience;

use super::store::Store;
use crate::config::KeySource;
use crate::environment::{Environment, Token};
use crate::remote::read_key;
use engine::{Engine, Lists, Ranked};
pub(super) use record::{Key, Made, Record};
use record::{Narrow, written};
use wire::Wire;

/// Paths that a pattern may stand for at most, since each is named to the server.
const MOST_PATHS: usize = 10_000;

/// What is there under a collection's name.
#[derive(Debug)]
enum There {
    Nothing,
    /// A collection without pages that does not say what made it.
    Empty,
    Made(Box<Made>),
}

/// How a server is spoken to.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The key that it asks for.
    pub key: Option<Token>,
    /// How long it is waited for.
    pub patience: Patience,
}

impl Access {
    /// With the key in `file`, else in the variable that the server's own tools read, if it is set.
    ///
    /// # Errors
    /// When there is no key where one is named.
    pub fn of(address: &Address, file: Option<&Path>) -> Result<Self, Error> {
        let variable = address.kind().key_variable();
        let source = match file {
            Some(file) => Some(KeySource::File(file.to_owned())),
            None => std::env::var_os(variable)
                .filter(|value| !value.is_empty())
                .map(|_| KeySource::Variable(variable.to_owned())),
        };
        let place = address.to_string();
        let key = source.map(|source| read_key(&source)).transpose();
        let key = key.map_err(|reason| Error::Key { place, reason })?;
        Ok(Self { key, patience: Patience::default() })
    }
}

/// A collection of pages on a server.
#[derive(Debug)]
pub struct Remote {
    engine: Engine,
    made: Made,
    runtime: EventLoop,
    patience: Patience,
    /// The pages that were found, by the numbers that stand for them here.
    seen: Mutex<BTreeMap<PageId, Seen>>,
    /// The pages of documents, by the numbers that stand for these, as they were listed last or found since.
    listed: Mutex<BTreeMap<(DocumentId, u32), Key>>,
}

/// A page that was found.
#[derive(Clone, Copy, Debug)]
struct Seen {
    key: Key,
    /// Whether it has a small image, where that is known.
    has_preview: Option<bool>,
}

/// What the requests of a collection run on. It may be given up where nobody may wait.
#[derive(Debug)]
struct EventLoop(Option<Runtime>);

impl EventLoop {
    fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.0 {
            Some(runtime) => runtime.block_on(work),
            None => unreachable!("an event loop is there until it is dropped"),
        }
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A page of a collection.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) document: Document,
    pub(super) text: String,
    pub(super) preview: Option<(String, Vec<u8>)>,
}

/// What a server has of a page that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) source: String,
    pub(super) stamp: String,
}

/// A page that a server does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) at: usize,
    pub(super) why: String,
}

/// How much is sent at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batches {
    /// The most bytes of a page.
    pub(super) most: usize,
    /// The bytes of a batch.
    pub(super) bytes: usize,
    /// The pages of a batch.
    pub(super) pages: usize,
}

impl Remote {
    /// Opens a collection that there is.
    ///
    /// # Errors
    /// When there is none, or something else made it, or the server cannot be asked.
    pub fn open(address: &Address, access: &Access) -> Result<Self, Error> {
        let (engine, runtime) = connect(address, access)?;
        let there = runtime.block_on(engine.there())?;
        match there {
            There::Made(made) => {
                let made = *made;
                let (seen, listed) = Default::default();
                Ok(Self { engine, made, runtime, patience: access.patience, seen, listed })
            }
            There::Nothing | There::Empty => Err(Error::Missing { place: address.to_string() }),
        }
    }

    /// Opens a collection, or makes it with `made`, to put pages into it.
    pub(super) fn create(
        address: &Address,
        access: &Access,
        made: &Made,
    ) -> Result<(Self, Batches), super::Error> {
        let (engine, runtime) = connect(address, access)?;
        let there = runtime.block_on(engine.create(made))?;
        there.profile.admits(&made.profile, Path::new(&address.to_string()))?;
        let settings = |made: &Made| {
            let moved = if made.rounded { "8 bits" } else { "16 bits" };
            let muvera = if made.muvera { "on" } else { "off" };
            [
                ("vectors of", moved),
                ("the compression", made.compression.name()),
                ("MUVERA", muvera),
            ]
        };
        for ((what, is), (_, asked)) in settings(&there).into_iter().zip(settings(made)) {
            if is != asked {
                let (made, asked) = (is.to_owned(), asked.to_owned());
                let place = address.to_string();
                return Err(Error::Otherwise { place, what, made, asked }.into());
            }
        }
        let (most, (bytes, pages)) = runtime.block_on(engine.prepare())?;
        let (patience, (seen, listed)) = (access.patience, Default::default());
        let remote = Self { engine, made: there, runtime, patience, seen, listed };
        Ok((remote, Batches { most, bytes, pages }))
    }

    pub(super) fn made(&self) -> &Made {
        &self.made
    }

    /// What errors call it.
    pub fn place(&self) -> &str {
        self.engine.place()
    }

    /// Which kind of server it is.
    pub fn kind(&self) -> ServerKind {
        match self.engine {
            Engine::Qdrant(_) => ServerKind::Qdrant,
            Engine::Weaviate(_) => ServerKind::Weaviate,
        }
    }

    /// All pages that are there.
    pub(super) fn held(&self) -> Result<BTreeMap<Key, Held>, Error> {
        let mut held = BTreeMap::new();
        let mut visit = |key: Key, values: &Value| {
            let text = |name: &str| values[name].as_str().unwrap_or_default().to_owned();
            held.insert(key, Held { source: text("source"), stamp: text("stamp") });
        };
        self.runtime.block_on(self.engine.scan(&["source", "stamp"], &mut visit))?;
        Ok(held)
    }

    pub(super) fn weigh(&self, record: &Record) -> usize {
        self.engine.weigh(record)
    }

    pub(super) fn refuses(&self, record: &Record, most: usize) -> Option<String> {
        self.engine.refuses(record, most)
    }

    /// Puts pages there, and answers those that are not taken.
    pub(super) fn put(&self, records: &[Record]) -> Result<Vec<Refusal>, Error> {
        let faults = self.runtime.block_on(self.engine.put(records, &self.made))?;
        Ok(faults.into_iter().map(|fault| Refusal { at: fault.at, why: fault.why }).collect())
    }

    pub(super) fn delete(&self, keys: &[Key]) -> Result<(), Error> {
        self.runtime.block_on(self.engine.delete(keys))
    }

    /// How many pages there are.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub fn count(&self) -> Result<usize, Error> {
        self.runtime.block_on(self.engine.count(&Narrow::default()))
    }

    /// How long it is waited before it is asked again for the `look`th time.
    pub(super) fn pause(&self, look: u32) -> std::time::Duration {
        let pause = self.patience.first_pause.saturating_mul(1 << look.min(16));
        pause.min(self.patience.longest_pause)
    }

    /// Whether the collection is still there, as it was when it was opened.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(super) fn is_current(&self) -> Result<bool, Error> {
        match self.runtime.block_on(self.engine.there())? {
            There::Made(made) => Ok(*made == self.made),
            There::Nothing | There::Empty => Ok(false),
        }
    }

    /// The page of this number of a document, if there is one.
    pub(super) fn page(&self, document: DocumentId, number: u32) -> Result<Option<Shown>, Error> {
        let place = (document, number);
        let known = || self.listed().get(&place).copied();
        if let Some(key) = known()
            && let Some(shown) = self.shown(key)?
        {
            return Ok(Some(shown));
        }
        // It was replaced, or nobody has asked for pages of this document yet.
        let mut all = BTreeMap::new();
        let mut visit = |key: Key, values: &Value| {
            let path = values["path"].as_str().unwrap_or_default();
            if let Some(number) = self::number(&values["number"]) {
                all.insert((document_id(path), number), key);
            }
        };
        self.runtime.block_on(self.engine.scan(&["path", "number"], &mut visit))?;
        *self.listed() = all;
        known().map_or(Ok(None), |key| self.shown(key))
    }

    fn shown(&self, key: Key) -> Result<Option<Shown>, Error> {
        let names = [
            "path",
            "document",
            "pages",
            "day",
            "category",
            "metadata",
            "text",
            "preview",
            "previewKind",
        ];
        let found = self.runtime.block_on(self.engine.fetch(&[key], &names))?.pop();
        Ok(found.map(|(_, values)| {
            let path = values["path"].as_str().unwrap_or_default();
            let text = values["text"].as_str().unwrap_or_default().to_owned();
            Shown { document: described(path, &values), text, preview: preview_of(&values) }
        }))
    }

    fn listed(&self) -> MutexGuard<'_, BTreeMap<(DocumentId, u32), Key>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<PageId, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, key: Key) -> PageId {
        let page = PageId(key.number());
        self.seen().entry(page).or_insert(Seen { key, has_preview: None });
        page
    }

    fn key(&self, page: PageId) -> Result<Key, super::Error> {
        let known = self.seen().get(&page).map(|seen| seen.key);
        Ok(known.ok_or(index::Error::NoPage { page })?)
    }

    /// The paths that a pattern stands for, or if `named` those of the files whose names it stands for.
    fn matching(&self, pattern: &str, named: bool) -> Result<Vec<String>, Error> {
        let part = |path: &str| {
            let name = path.rsplit('/').next().unwrap_or(path);
            words::fits(pattern, if named { name } else { path })
        };
        let mut paths = std::collections::BTreeSet::new();
        let mut visit = |_: Key, values: &Value| {
            if let Some(path) = values["path"].as_str().filter(|path| part(path)) {
                paths.insert(path.to_owned());
            }
        };
        self.runtime.block_on(self.engine.scan(&["path"], &mut visit))?;
        if paths.len() > MOST_PATHS {
            let what =
                format!("cannot be asked for the {} paths that fit `{pattern}`", paths.len());
            let (place, server) = (self.place().to_owned(), self.kind().name());
            return Err(Error::Unsupported { place, server, what });
        }
        Ok(paths.into_iter().collect())
    }

    /// Refuses what is not of this collection.
    fn check(&self, query: &Query<'_>) -> Result<(), index::Error> {
        let most = Limits::default().hits;
        if query.limit > most {
            let (what, value) = ("number of hits", query.limit.to_string());
            return Err(index::Error::Value {
                what,
                value,
                allowed: "within the limit of a search",
            });
        }
        let Profile { vectors, dense, sparse, halves: _ } = &self.made.profile;
        let absent = |what| index::Error::Representation { what, wanted: false };
        for (what, numbers, encoder, most) in
            [("vectors", query.vectors, vectors, 4096), ("dense vectors", query.dense, dense, 1)]
        {
            let Some(numbers) = numbers else { continue };
            let dim = encoder.as_ref().ok_or_else(|| absent(what))?.dim as usize;
            let fault = if let Some(at) = numbers.iter().position(|x| !x.is_finite()) {
                VectorFault::Number { at }
            } else if numbers.is_empty() || numbers.len() % dim != 0 || numbers.len() / dim > most {
                VectorFault::Count { numbers: numbers.len(), dim, most }
            } else {
                continue;
            };
            return Err(index::Error::Vectors { what: "query", fault });
        }
        if query.sparse.is_some() && sparse.is_none() {
            return Err(absent("sparse vectors"));
        }
        Ok(())
    }

    /// Looks up what hits are.
    fn describe(&self, ranked: &[(PageId, f64)], question: &str) -> Result<Vec<Hit>, super::Error> {
        let keys = ranked.iter().map(|(page, _)| self.key(*page)).collect::<Result<Vec<_>, _>>()?;
        let names = ["path", "number", "text", "previewKind"];
        let found = self.runtime.block_on(self.engine.fetch(&keys, &names))?;
        let found: BTreeMap<Key, Value> = found.into_iter().collect();
        let mut hits = Vec::with_capacity(ranked.len());
        for ((page, score), key) in ranked.iter().zip(&keys) {
            // A page may have gone since it was found.
            let Some(values) = found.get(key) else { continue };
            let path = values["path"].as_str().unwrap_or_default().to_owned();
            let (document, number) =
                (document_id(&path), number(&values["number"]).unwrap_or_default());
            self.listed().insert((document, number), *key);
            let has_preview = Some(values["previewKind"].is_string());
            self.seen().insert(*page, Seen { key: *key, has_preview });
            hits.push(Hit {
                page: *page,
                document,
                path,
                number,
                score: *score,
                snippet: words::snippet(values["text"].as_str().unwrap_or_default(), question),
            });
        }
        Ok(hits)
    }
}

fn connect(address: &Address, access: &Access) -> Result<(Engine, EventLoop), Error> {
    let environment = Environment::from_process();
    let wire = Wire::new(address, access.key.as_ref(), &environment, access.patience)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let client = |source| Error::Client { place: address.to_string(), source: Box::new(source) };
    let engine = Engine::new(address.kind, wire, &address.collection);
    Ok((engine, EventLoop(Some(runtime.map_err(client)?))))
}

/// What is known of a document by one of its pages: not which of the others failed.
fn described(path: &str, values: &Value) -> Document {
    let text = |name: &str| values[name].as_str();
    let pairs = values["metadata"].as_array().into_iter().flatten();
    let pairs = pairs.filter_map(|pair| pair.as_str()?.split_once('='));
    Document {
        document: document_id(path),
        path: path.to_owned(),
        hash: text("document").and_then(Hash::from_hex).unwrap_or(Hash([0; 32])),
        date: number(&values["day"]).and_then(|day| written(day.into())),
        category: text("category").map(str::to_owned),
        metadata: pairs.map(|(name, of)| (name.to_owned(), of.to_owned())).collect(),
        pages: number(&values["pages"]).unwrap_or_default(),
        failures: Vec::new(),
        // Who read them is not moved.
        reading: None,
        read_by: Vec::new(),
        unread: Vec::new(),
    }
}

/// A page's small image.
fn preview_of(values: &Value) -> Option<(String, Vec<u8>)> {
    let bytes = values["preview"].as_str().and_then(|text| STANDARD.decode(text).ok())?;
    Some((values["previewKind"].as_str()?.to_owned(), bytes))
}

/// How many words a text has.
pub(super) fn count_words(text: &str) -> usize {
    words::count(text)
}

/// A whole number, which may have come as one with a fraction.
fn number(value: &Value) -> Option<u32> {
    let whole = value.as_f64().filter(|number| number.fract() == 0.0)?;
    (0.0..=f64::from(u32::MAX)).contains(&whole).then_some(whole as u32)
}

/// A number that stands for a document here: one that JavaScript can hold.
fn document_id(path: &str) -> DocumentId {
    use sha2::{Digest as _, Sha256};
    let sum = Sha256::digest(path);
    let first: [u8; 8] = std::array::from_fn(|at| sum[at]);
    DocumentId((u64::from_be_bytes(first) >> 11).cast_signed())
}

impl Store for Remote {
    fn profile(&self) -> &Profile {
        &self.made.profile
    }

    fn search(
        &self,
        query: &Query<'_>,
        on_stage: &mut dyn FnMut(Stage, usize),
    ) -> Result<Answer, super::Error> {
        self.check(query)?;
        let narrow = Narrow::of(&query.filter, |pattern, named| self.matching(pattern, named))?;
        let nobody = narrow.paths.as_ref().is_some_and(Vec::is_empty);
        let pages = if nobody { 0 } else { self.runtime.block_on(self.engine.count(&narrow))? };
        on_stage(Stage::Filter, pages);
        let mut lists: Vec<(Stage, Lists<'_>)> = Vec::new();
        let words = query.words.filter(|words| words::count(words) > 0);
        lists.extend(words.map(|words| (Stage::Words, Lists::Words(words))));
        lists.extend(query.sparse.map(|sparse| (Stage::Sparse, Lists::Sparse(sparse))));
        lists.extend(query.dense.map(|dense| (Stage::Dense, Lists::Dense(dense))));
        // Weights have no place there, and its words do for them.
        lists.retain(|(stage, _)| self.kind() != ServerKind::Weaviate || *stage != Stage::Sparse);
        let is_asked = query.words.is_some() || query.sparse.is_some() || query.dense.is_some();
        let chained = query.candidates == Candidates::Fused && is_asked;
        let exact = match (self.kind(), self.made.compression) {
            (ServerKind::Qdrant, Compression::None) => Route::Exact,
            (ServerKind::Qdrant | ServerKind::Weaviate, _) => Route::Approximate,
        };
        let route = match (query.vectors, is_asked) {
            (None, false) => {
                let (what, value) = ("query", "nothing".to_owned());
                return Err(index::Error::Value { what, value, allowed: "words or vectors" }.into());
            }
            (None, true) => Route::Lists,
            (Some(_), _) if chained => Route::ListsThenExact,
            (Some(_), _) => exact,
        };
        let limits = Limits::default();
        let list = limits.list.max(query.limit);
        let mut ranked: Vec<(PageId, f64)> = Vec::new();
        let known = |ranked: Ranked| {
            ranked.into_iter().map(|(key, score)| (self.remember(key), score)).collect::<Vec<_>>()
        };
        match (query.vectors, route) {
            _ if pages == 0 || query.limit == 0 => {}
            (Some(vectors), Route::ListsThenExact) => {
                let lists: Vec<Lists<'_>> = lists.iter().map(|(_, list)| *list).collect();
                if !lists.is_empty() {
                    let sizes = ((list, query.limit), &self.made);
                    let found = self.engine.find_chained(&lists, vectors, &narrow, sizes);
                    ranked = known(self.runtime.block_on(found)?);
                }
                on_stage(Stage::Exact, ranked.len());
            }
            (Some(vectors), _) => {
                let sizes = (query.limit, &self.made);
                let found = self.engine.find(Lists::Vectors(vectors), &narrow, sizes);
                ranked = known(self.runtime.block_on(found)?);
                on_stage(Stage::Exact, ranked.len());
            }
            (None, _) => {
                let mut all = Vec::new();
                for (stage, one) in lists {
                    let found = self.engine.find(one, &narrow, (list, &self.made));
                    let found = known(self.runtime.block_on(found)?);
                    on_stage(stage, found.len());
                    all.push(found);
                }
                if all.len() == 1 {
                    ranked = all.remove(0);
                } else {
                    let all: Vec<Vec<PageId>> = all
                        .iter()
                        .map(|list| list.iter().map(|(page, _)| *page).collect())
                        .collect();
                    ranked = reciprocal_rank(&all, limits.k);
                    on_stage(Stage::Fuse, ranked.len());
                }
            }
        }
        ranked.truncate(query.limit);
        let hits = self.describe(&ranked, query.words.unwrap_or_default())?;
        on_stage(Stage::Describe, hits.len());
        Ok(Answer { hits, route, pages })
    }

    fn places(&self, page: PageId, vectors: &[f32]) -> Result<Option<Places>, super::Error> {
        let key = self.key(page)?;
        let found = self.runtime.block_on(self.engine.vectors(key, &["grid"]))?;
        let (numbers, values) = found.ok_or(index::Error::NoPage { page })?;
        let Some(encoder) = &self.made.profile.vectors else { return Ok(None) };
        let grid: Vec<usize> = values["grid"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|of| number(of).map(|of| of as usize))
            .collect();
        let [start, height, width] = grid[..] else { return Ok(None) };
        let rows: Vec<&[f32]> = numbers.chunks_exact(encoder.dim as usize).collect();
        let end = height.checked_mul(width).and_then(|places| places.checked_add(start));
        let Some(rows) = end.and_then(|end| rows.get(start..end)) else { return Ok(None) };
        let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum();
        let products = vectors
            .chunks_exact(encoder.dim as usize)
            .flat_map(|of| rows.iter().map(move |row| product(of, row)))
            .collect();
        Ok(Some(Places { height, width, products }))
    }

    fn preview(&self, page: PageId) -> Result<Option<(String, Vec<u8>)>, super::Error> {
        let keys = [self.key(page)?];
        let found = self.engine.fetch(&keys, &["preview", "previewKind"]);
        let found = self.runtime.block_on(found)?.pop();
        Ok(found.and_then(|(_, values)| preview_of(&values)))
    }

    fn has_preview(&self, page: PageId) -> Result<bool, super::Error> {
        let known = self.seen().get(&page).and_then(|seen| seen.has_preview);
        match known {
            Some(known) => Ok(known),
            None => Ok(self.preview(page)?.is_some()),
        }
    }

    fn text(&self, page: PageId) -> Result<String, super::Error> {
        let keys = [self.key(page)?];
        let found = self.runtime.block_on(self.engine.fetch(&keys, &["text"]))?.pop();
        let (_, values) = found.ok_or(index::Error::NoPage { page })?;
        Ok(values["text"].as_str().unwrap_or_default().to_owned())
    }

    fn reader(&self, _: PageId) -> Result<Option<index::ReadPage>, super::Error> {
        // It is not moved.
        Ok(None)
    }

    fn content(&self, hit: &Hit) -> Result<Option<Hash>, super::Error> {
        let keys = [self.key(hit.page)?];
        let found = self.runtime.block_on(self.engine.fetch(&keys, &["document"]))?.pop();
        Ok(found.and_then(|(_, values)| Hash::from_hex(values["document"].as_str()?)))
    }

    fn documents(&self) -> Result<Vec<Document>, super::Error> {
        let names =
            ["path", "document", "pages", "day", "category", "metadata", "number", "failure"];
        let mut all: BTreeMap<String, Document> = BTreeMap::new();
        let mut visit = |_: Key, values: &Value| {
            let text = |name: &str| values[name].as_str();
            let path = text("path").unwrap_or_default();
            let document = all.entry(path.to_owned()).or_insert_with(|| described(path, values));
            if let Some(why) = text("failure") {
                let page = number(&values["number"]).unwrap_or_default();
                document.failures.push((page, why.to_owned()));
            }
        };
        self.runtime.block_on(self.engine.scan(&names, &mut visit))?;
        let mut all: Vec<Document> = all.into_values().collect();
        all.iter_mut().for_each(|document| document.failures.sort());
        Ok(all)
    }

    fn remove(&self, path: &str) -> Result<usize, super::Error> {
        Ok(self.runtime.block_on(self.engine.remove(path))?)
    }
}
