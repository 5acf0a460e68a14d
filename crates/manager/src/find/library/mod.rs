//! Indexes that others may ask: by name, kept open, with the models of a [`House`].
//!
//! An index is asked with the very models that made it, known by the sums of their files. They come through the house like any
//! other: loaded when they are needed, booked, and let go of. Only one of them is held at a time, and only while it encodes the
//! question, so two that do not fit together still answer. Files are looked at on threads for that, a few at a time; whoever goes
//! away while waiting gives up the place.

mod error;
mod makers;
mod offer;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use index::{
    Candidates, Document, DocumentId, Encoder, Filter, Hash, Hit, Index, Limits, PageId, Profile,
    ReaderPages, Size,
};
use kernels::cpu::Cpu;
use tokio::sync::{Semaphore, watch};

pub use error::LibraryError;
pub use makers::called;
pub use offer::{Location, Offer, OfferError, folder};

use self::makers::{distinct, encoded, tried};
use super::remote::{self, Access, Patience, Remote};
use super::search::{Clock, compare};
use super::{Asked, Error, Found, Rerank, Stamp, Store, makers as made_by};
use crate::flight::{self, Step};
use crate::house::House;
use crate::peak;
use crate::runtime;
use crate::stats::Sample;
use crate::{CpuOptions, Device};

/// Indexes that are kept open.
const MOST_OPEN: usize = 32;
/// Searches, and looks at indexes, that are under way or wait.
const MOST_WAITING: usize = 256;
/// Of these so many are under way at least, and at most.
const UNDER_WAY: [usize; 2] = [2, 8];
/// The task under which searches are counted.
const TASK: &str = "search";
/// How long a server of pages is waited for: somebody waits for the answer, and others wait behind.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    answer: Duration::from_secs(30),
    attempts: 2,
    first_pause: Duration::from_millis(500),
    longest_pause: Duration::from_secs(5),
};

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// In words.
    pub text: String,
    /// Which pages are compared by their vectors.
    pub candidates: Candidates,
    /// Which pages are looked at.
    pub filter: Filter,
    /// How many hits are wanted.
    pub limit: usize,
    /// Whether words alone are looked for, and none of the models that made the index is asked.
    pub words: bool,
    /// The model that looks at the best hits again, and at how many of them.
    pub rerank: Option<(String, usize)>,
    /// Whether all words of each hit's page are wanted.
    pub texts: bool,
    /// Whether the small image of each hit's page is wanted.
    pub previews: bool,
    /// Where it is told what is done, in words, if anybody listens.
    pub told: Option<watch::Sender<String>>,
}

impl Question {
    fn tell(&self, what: impl Into<String>) {
        if let Some(told) = &self.told {
            told.send_replace(what.into());
        }
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Hits {
    /// The hits and the way.
    pub found: Found,
    /// What is known of each hit's page beside, in their order.
    pub pages: Vec<HitPage>,
    /// The models that were asked, as they are called here.
    pub models: Vec<String>,
}

/// The page of a hit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HitPage {
    /// Whether there is a small image of it.
    pub has_preview: bool,
    /// Its media type and its bytes, if they were asked for.
    pub preview: Option<(String, Vec<u8>)>,
    /// Its words, if they were asked for.
    pub text: Option<String>,
}

/// A page by its number.
#[derive(Clone, Debug)]
pub struct PageContent {
    /// Its document.
    pub document: Document,
    /// Its words.
    pub text: String,
    /// The media type and the bytes of its small image, if there is one.
    pub preview: Option<(String, Vec<u8>)>,
}

/// An index that is offered.
#[derive(Debug)]
pub struct IndexStatus {
    /// What it goes by.
    pub name: String,
    /// What is known of it, or why nothing is.
    pub facts: Result<IndexFacts, LibraryError>,
}

/// What is known of an index.
#[derive(Clone, Debug)]
pub struct IndexFacts {
    /// Its pages.
    pub pages: usize,
    /// How much it holds beside, and bytes of all its files: not known of an index on a server.
    pub size: Option<(Size, u64)>,
    /// The kind of server that it lies on, if it lies on one.
    pub server: Option<&'static str>,
    /// What made it.
    pub makers: Vec<Maker>,
    /// Who read pages whose own words were missing or in doubt.
    pub read_by: Vec<ReaderPages>,
}

/// What made a representation of pages.
#[derive(Clone, Debug)]
pub struct Maker {
    /// What pages are found by with it: looks, tokens of their words, meaning, or weights of tokens.
    pub finds_by: &'static str,
    /// What was written down of it.
    pub encoder: Encoder,
    /// What this very model is called here; nothing if it is not here.
    pub model: Option<String>,
}

/// An index that is open.
#[derive(Debug)]
struct Opened {
    name: String,
    /// Where it lies, which nobody is told.
    place: String,
    profile: Profile,
    pages: Pages,
}

/// The pages of an index.
#[derive(Debug)]
enum Pages {
    /// In a folder.
    Here(Box<Index>),
    /// On a server.
    There(Box<Remote>),
}

impl Opened {
    /// What is asked for pages.
    fn store(&self) -> &dyn Store {
        match &self.pages {
            Pages::Here(index) => &**index,
            Pages::There(remote) => &**remote,
        }
    }

    /// Whether it is still what it was when it was opened.
    fn is_current(&self) -> Result<bool, LibraryError> {
        match &self.pages {
            Pages::Here(index) => Ok(index.is_current()),
            Pages::There(remote) => remote.is_current().map_err(|error| self.error(error)),
        }
    }

    /// An error of the index.
    fn error(&self, error: impl Into<Error>) -> LibraryError {
        of_index(&self.name, &self.place, error.into())
    }

    /// At most `most` documents, after the one with the number `after`.
    fn documents(&self, after: i64, most: usize) -> Result<Vec<Document>, Error> {
        match &self.pages {
            Pages::Here(index) => Ok(index.documents(Some(DocumentId(after)), most)?),
            Pages::There(remote) => {
                let mut all = Store::documents(&**remote)?;
                all.retain(|document| document.document.0 > after);
                all.sort_by_key(|document| document.document);
                all.truncate(most);
                Ok(all)
            }
        }
    }

    /// The page of this number of a document, if there is one.
    fn page(&self, document: i64, page: u32) -> Result<Option<PageContent>, Error> {
        let id = DocumentId(document);
        let index =
            match &self.pages {
                Pages::Here(index) => &**index,
                Pages::There(remote) => {
                    let shown = remote.page(id, page)?;
                    return Ok(shown.map(|remote::Shown { document, text, preview }| {
                        PageContent { document, text, preview }
                    }));
                }
            };
        let pages = index.pages(id)?;
        let Some((_, found)) = pages.into_iter().find(|(number, _)| *number == page) else {
            return Ok(None);
        };
        let Some(document) = index.document(id)? else { return Ok(None) };
        let (text, preview) = (index.text(found)?, index.preview(found)?);
        Ok(Some(PageContent { document, text, preview }))
    }

    /// How much it holds, who read it, and on which kind of server it lies.
    fn facts(&self, makers: Vec<Maker>) -> Result<IndexFacts, Error> {
        match &self.pages {
            Pages::Here(index) => {
                let (size, read_by) = (index.size()?, index.readers()?);
                let bytes = folder_bytes(Path::new(&self.place));
                let (pages, size) = (size.pages, Some((size, bytes)));
                Ok(IndexFacts { pages, size, server: None, makers, read_by })
            }
            Pages::There(remote) => {
                let (pages, server) = (remote.count()?, Some(remote.kind().name()));
                Ok(IndexFacts { pages, size: None, server, makers, read_by: Vec::new() })
            }
        }
    }
}

fn of_index(name: &str, place: &str, error: Error) -> LibraryError {
    let index = name.to_owned();
    let is_missing = matches!(
        error,
        Error::Index(index::Error::Missing { .. }) | Error::Remote(remote::Error::Missing { .. })
    );
    if is_missing {
        return LibraryError::Missing { index };
    }
    LibraryError::Index { index, place: place.to_owned(), error: Box::new(error) }
}

/// Indexes by where they lie, each with a number that grows with its use.
#[derive(Debug, Default)]
struct Shelf {
    open: BTreeMap<String, (u64, Arc<Opened>)>,
    uses: u64,
}

/// The indexes that a server offers.
#[derive(Debug)]
pub struct Library {
    house: Arc<House>,
    shelf: Mutex<Shelf>,
    /// What compares vectors: threads of its own, so that no model's step waits for a search.
    cpu: OnceLock<Arc<Cpu>>,
    /// What the files in folders summed up to, and what the system said of them then.
    sums: Mutex<BTreeMap<Vec<PathBuf>, (Stamp, Hash)>>,
    door: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl Library {
    /// Indexes that are asked with the models of `house`.
    pub fn new(house: Arc<House>) -> Arc<Self> {
        let [least, most] = UNDER_WAY;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Self {
            house,
            shelf: Mutex::default(),
            cpu: OnceLock::new(),
            sums: Mutex::default(),
            door: Arc::new(Semaphore::new(MOST_WAITING)),
            turns: Arc::new(Semaphore::new(cores.clamp(least, most))),
        })
    }

    /// Finds pages of the index `name`.
    ///
    /// # Errors
    /// When it is not offered or not there, the models that made it are not here, or it or they cannot be asked.
    pub async fn search(
        self: &Arc<Self>,
        offer: &Offer,
        name: &str,
        question: Question,
    ) -> Result<Hits, LibraryError> {
        let begun = Instant::now();
        let found = self.found(offer, name, question).await;
        let sample = Sample { failed: found.is_err(), total: begun.elapsed(), ..Sample::default() };
        let who = match &found {
            Ok(hits) if !hits.models.is_empty() => hits.models.join(" + "),
            Ok(_) => "words".to_owned(),
            Err(_) => "nobody".to_owned(),
        };
        self.house.stats().add(TASK, &who, &sample);
        flight::note(|| Step::Ended {
            reason: if found.is_ok() { "stop" } else { "error" },
            prompt_tokens: None,
            cached_tokens: None,
            completion_tokens: 0,
        });
        found
    }

    async fn found(
        self: &Arc<Self>,
        offer: &Offer,
        name: &str,
        question: Question,
    ) -> Result<Hits, LibraryError> {
        let opened = self.opened(offer, name).await?;
        let (_, options) = made_by(&opened.profile);
        let question = Arc::new(question);
        question.tell("waiting for the models that made the index");
        let (mut made, mut models) = (super::encoders::Made::default(), Vec::new());
        let mut encoding = Duration::ZERO;
        let wanted = if question.words { Vec::new() } else { distinct(&opened.profile) };
        for encoder in wanted {
            let lease = self.lease(&opened, &encoder).await?;
            models.push(lease.name().to_owned());
            question.tell(format!("{} reads the question", lease.name()));
            let (opened, question) = (Arc::clone(&opened), Arc::clone(&question));
            let (of, took) = self
                .apart(move || {
                    let begun = Instant::now();
                    let made = encoded(&lease, &opened, &encoder, (&question.text, options))?;
                    Ok((made, begun.elapsed()))
                })
                .await?;
            made = made.and(of);
            encoding += took;
        }
        let judge = match &question.rerank {
            Some((model, _)) => {
                question.tell(format!("waiting for {model}"));
                Some(self.house.lease(model).await?)
            }
            None => None,
        };
        models.extend(judge.iter().map(|lease| lease.name().to_owned()));
        // Whoever goes away drops this.
        let going = Going::default();
        let gone = Arc::clone(&going.0);
        self.apart(move || {
            let stop = || gone.load(Ordering::Relaxed);
            let judged = Cell::new(0);
            let judging = |more: usize, all: usize| {
                judged.set(judged.get() + more);
                question.tell(format!("{} of {all} passages of the best pages read", judged.get()));
            };
            question.tell("comparing pages");
            let rerank = judge.as_ref().zip(question.rerank.as_ref());
            let rerank = rerank.map(|(lease, (_, pages))| Rerank {
                model: lease.model(),
                pages: *pages,
                told: &judging,
                stop: &stop,
            });
            let asked = Asked {
                question: &question.text,
                candidates: question.candidates,
                filter: question.filter.clone(),
                limit: question.limit,
                places: false,
                rerank,
            };
            let clock = Clock::after(encoding);
            let found = match (compare(opened.store(), &made, &asked, clock), &judge) {
                (Ok(found), judge) => {
                    judge.iter().for_each(|lease| drop(lease.tried(Ok(()))));
                    found
                }
                (Err(Error::Runtime(error)), Some(lease)) => return Err(tried(lease, error)),
                (Err(error), _) => return Err(opened.error(error)),
            };
            let page = |hit: &Hit| hit_page(opened.store(), hit.page, &question);
            let pages: Result<Vec<_>, Error> = found.answer.hits.iter().map(page).collect();
            let pages = pages.map_err(|error| opened.error(error))?;
            Ok(Hits { found, pages, models })
        })
        .await
    }

    /// All that is offered, by name.
    ///
    /// # Errors
    /// When too many ask. What is wrong with one index is told of that one.
    pub async fn list(self: &Arc<Self>, offer: &Offer) -> Result<Vec<IndexStatus>, LibraryError> {
        let names = self.names(offer).await?;
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            let facts = self.facts(offer, &name).await;
            all.push(IndexStatus { name, facts });
        }
        Ok(all)
    }

    /// The names of all that is offered.
    ///
    /// # Errors
    /// When too many ask.
    pub async fn names(self: &Arc<Self>, offer: &Offer) -> Result<Vec<String>, LibraryError> {
        let offer = offer.clone();
        self.apart(move || Ok(offer.names())).await
    }

    /// What is known of the index `name`.
    ///
    /// # Errors
    /// When it is not offered, not there, or cannot be read.
    pub async fn facts(
        self: &Arc<Self>,
        offer: &Offer,
        name: &str,
    ) -> Result<IndexFacts, LibraryError> {
        let opened = self.opened(offer, name).await?;
        let Profile { vectors, dense, sparse, .. } = &opened.profile;
        let mut makers = Vec::new();
        let of_tokens = made_by(&opened.profile).1.token_vectors;
        let one_by_one = if of_tokens { "tokens" } else { "looks" };
        for (finds_by, encoder) in [(one_by_one, vectors), ("meaning", dense), ("weights", sparse)]
        {
            let Some(encoder) = encoder.clone() else { continue };
            let model = self.maker(&encoder).await?.map(|(name, _)| name);
            makers.push(Maker { finds_by, encoder, model });
        }
        self.apart(move || opened.facts(makers).map_err(|error| opened.error(error))).await
    }

    /// At most `most` documents of the index `name`, after the one with the number `after`.
    ///
    /// # Errors
    /// When it is not offered, not there, or cannot be read.
    pub async fn documents(
        self: &Arc<Self>,
        offer: &Offer,
        name: &str,
        (after, most): (i64, usize),
    ) -> Result<Vec<Document>, LibraryError> {
        let opened = self.opened(offer, name).await?;
        self.apart(move || opened.documents(after, most).map_err(|error| opened.error(error))).await
    }

    /// The page `page` of the document `document` of the index `name`.
    ///
    /// # Errors
    /// When there is no such page, or the index is not offered, not there, or cannot be read.
    pub async fn page(
        self: &Arc<Self>,
        offer: &Offer,
        name: &str,
        (document, page): (i64, u32),
    ) -> Result<PageContent, LibraryError> {
        let opened = self.opened(offer, name).await?;
        self.apart(move || {
            let missing = || {
                let index = opened.name.clone();
                LibraryError::NoPage { index, document, page }
            };
            match opened.page(document, page) {
                Ok(page) => page.ok_or_else(missing),
                // Gone between two looks.
                Err(Error::Index(index::Error::NoPage { .. })) => Err(missing()),
                Err(error) => Err(opened.error(error)),
            }
        })
        .await
    }

    /// The index `name`, open.
    async fn opened(
        self: &Arc<Self>,
        offer: &Offer,
        name: &str,
    ) -> Result<Arc<Opened>, LibraryError> {
        if offer.is_empty() {
            return Err(LibraryError::NoneOffered);
        }
        if let Some(location) = offer.location(name) {
            let (library, owned) = (Arc::clone(self), name.to_owned());
            match self.apart(move || library.open(owned, &location)).await {
                // Of those that are all offered, nobody has named this one.
                Err(LibraryError::Missing { .. }) if !offer.is_named(name) => {}
                opened => return opened,
            }
        }
        let offered = self.names(offer).await?;
        Err(LibraryError::Unknown { name: name.to_owned(), offered })
    }

    fn open(&self, name: String, location: &Location) -> Result<Arc<Opened>, LibraryError> {
        let place = location.to_string();
        let kept = {
            let mut shelf = self.shelf();
            shelf.uses += 1;
            let now = shelf.uses;
            shelf.open.get_mut(&place).map(|(used, opened)| {
                *used = now;
                Arc::clone(opened)
            })
        };
        if let Some(opened) = kept.filter(|opened| opened.name == name) {
            // A server is asked whether it is, and nobody else waits for that.
            if opened.is_current()? {
                return Ok(opened);
            }
        }
        self.shelf().open.remove(&place);
        let opened = self.open_anew(&name, location);
        let (profile, pages) = opened.map_err(|error| of_index(&name, &place, error))?;
        let opened = Arc::new(Opened { name, place: place.clone(), profile, pages });
        let mut shelf = self.shelf();
        if shelf.open.len() >= MOST_OPEN
            && let Some(oldest) =
                shelf.open.iter().min_by_key(|(_, (used, _))| *used).map(|(path, _)| path.clone())
        {
            shelf.open.remove(&oldest);
        }
        let now = shelf.uses;
        shelf.open.insert(place, (now, Arc::clone(&opened)));
        Ok(opened)
    }

    fn open_anew(&self, name: &str, location: &Location) -> Result<(Profile, Pages), Error> {
        match location {
            Location::Folder(folder) => {
                let profile = Index::profile_of(folder)?;
                let cpu = self.cpu()?;
                if profile.vectors.is_some() {
                    peak::expect_indexes();
                }
                let index = Index::open(folder, &profile, cpu, Limits::default())?;
                Ok((profile, Pages::Here(Box::new(index))))
            }
            Location::Server(address) => {
                let mut access = Access::of(address, None)?;
                access.patience = PATIENCE;
                let remote = Remote::open(address, &access)?;
                tracing::debug!(index = name, place = %address, "opened");
                Ok((remote.profile().clone(), Pages::There(Box::new(remote))))
            }
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Whoever panicked held it for no longer than it takes to change a map.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What compares vectors.
    fn cpu(&self) -> Result<Arc<Cpu>, Error> {
        if let Some(cpu) = self.cpu.get() {
            return Ok(Arc::clone(cpu));
        }
        let threads = self.house.runtime().device().as_cpu().map(|cpu| cpu.threads());
        let options = CpuOptions { threads, ..CpuOptions::default() };
        let device = Device::cpu(options).map_err(runtime::Error::from)?;
        let Some(cpu) = device.as_cpu() else { unreachable!("a device of the CPU is one") };
        Ok(Arc::clone(self.cpu.get_or_init(|| Arc::clone(cpu))))
    }

    /// Runs `work`, which looks at files or computes, on a thread for such, once its turn has come.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, LibraryError> + Send + 'static,
    ) -> Result<T, LibraryError> {
        let busy = |_| LibraryError::Busy { waiting: MOST_WAITING };
        let _place = Arc::clone(&self.door).try_acquire_owned().map_err(busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| LibraryError::Lost)?;
        let working = tokio::task::spawn_blocking(move || {
            // Kept to the end of the work, whether anybody waits for it or not.
            let _turn = turn;
            work()
        });
        working.await.unwrap_or(Err(LibraryError::Lost))
    }
}

impl Maker {
    /// What the model was called when it made the index. Where it lay is not told.
    pub fn called(&self) -> &str {
        called(&self.encoder.name)
    }
}

/// Says, when it is dropped, that nobody waits any more.
#[derive(Debug, Default)]
struct Going(Arc<AtomicBool>);

impl Drop for Going {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What is wanted of a hit's page beside.
fn hit_page(store: &dyn Store, page: PageId, question: &Question) -> Result<HitPage, Error> {
    let preview = if question.previews { store.preview(page)? } else { None };
    let has_preview = preview.is_some() || (!question.previews && store.has_preview(page)?);
    let text = match question.texts.then(|| store.text(page)) {
        // Gone since it was found.
        None | Some(Err(Error::Index(index::Error::NoPage { .. }))) => None,
        Some(text) => Some(text?),
    };
    Ok(HitPage { has_preview, preview, text })
}

/// Bytes of the files in a folder and the folders in it.
fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(of) if of.is_dir() => folder_bytes(&entry.path()),
        Ok(of) => of.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use index::{Begun, NewDocument, NewPage, PageVectors, Writer};

    /// What an index holds in memory is not taken for what a model has not given back.
    #[cfg(target_os = "linux")]
    #[test]
    fn maps_of_vectors_are_known() {
        let home = tempfile::tempdir().unwrap();
        let encoder = Encoder {
            name: "a".to_owned(),
            model: Hash([1; 32]),
            prompt: Hash([2; 32]),
            pooling: "none".to_owned(),
            dim: 64,
        };
        let profile = Profile { vectors: Some(encoder), ..Profile::default() };
        let mut writer = Writer::create(home.path(), &profile).unwrap();
        let document = NewDocument {
            path: "/a.pdf".to_owned(),
            hash: Hash([3; 32]),
            pages: 1,
            date: None,
            category: None,
            metadata: BTreeMap::new(),
            reading: None,
        };
        let Begun::Open { document, .. } = writer.begin(&document).unwrap() else {
            panic!("it is new")
        };
        let vectors: Vec<f32> = (0..64 * 16_384).map(|i| (i % 7) as f32 - 2.5).collect();
        let page = NewPage {
            document,
            number: 1,
            hash: Hash([4; 32]),
            looks: None,
            text: "",
            read: None,
            vectors: Some(PageVectors::New { vectors: &vectors, grid: None }),
            dense: &[],
            sparse: &[],
            preview: None,
            failure: None,
        };
        writer.commit(&[page], &[document]).unwrap();
        let device = Device::cpu(CpuOptions { threads: Some(1), ..CpuOptions::default() }).unwrap();
        let cpu = Arc::clone(device.as_cpu().unwrap());
        let index = Index::open(home.path(), &profile, cpu, Limits::default()).unwrap();
        let query =
            index::Query { vectors: Some(&vectors[..64]), limit: 1, ..index::Query::default() };
        peak::expect_indexes();
        assert_eq!(index.search(&query, &mut |_, _| ()).unwrap().hits.len(), 1);
        let held = peak::index_rss();
        assert!(held >= 1 << 20, "{held}");
        drop(index);
        assert!(peak::index_rss() < held);
    }
}
