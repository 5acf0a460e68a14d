//! Indexes that others may ask: by name, kept open, with the models of a [`House`].
//!
//! An index is asked with the very models that made it, known by the sums of their files. They come through the house like any
//! other: loaded when they are needed, booked, and let go of. Only one of them is held at a time, and only while it encodes the
//! question, so two that do not fit together still answer. Files are looked at on threads for that, a few at a time; whoever goes
//! away while waiting gives up the place.

mod error;
mod offer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use index::{
    Candidates, Document, DocumentId, Encoder, Filter, Hash, Hit, Index, Limits, PageId, Profile,
    Size,
};
use kernels::cpu::Cpu;
use tokio::sync::Semaphore;

pub use error::LibraryError;
pub use offer::{Offer, SameName, folder};

use super::search::{Clock, compare};
use super::{Asked, Encoders, Error, Found, MakeOptions, Rerank, Stamp, identity, makers};
use crate::flight::{self, Step};
use crate::house::{self, House, Lease};
use crate::runtime;
use crate::stats::Sample;
use crate::{CpuOptions, Device};

/// Indexes that are kept open.
const MOST_OPEN: usize = 32;
/// Searches, and looks at indexes, that are under way or wait.
const MOST_WAITING: usize = 256;
/// Of these so many are under way at least, and at most.
const UNDER_WAY: [usize; 2] = [2, 8];
/// Models whose sums are remembered.
const MOST_SUMS: usize = 256;
/// The task under which searches are counted.
const TASK: &str = "search";

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
    /// How much it holds.
    pub size: Size,
    /// Bytes of all its files.
    pub bytes: u64,
    /// What made it.
    pub makers: Vec<Maker>,
}

/// What made a representation of pages.
#[derive(Clone, Debug)]
pub struct Maker {
    /// What pages are found by with it: looks, meaning, or weights of tokens.
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
    folder: PathBuf,
    profile: Profile,
    index: Index,
}

impl Opened {
    /// An error of the index.
    fn error(&self, error: impl Into<Error>) -> LibraryError {
        of_index(&self.name, &self.folder, error.into())
    }
}

fn of_index(name: &str, folder: &Path, error: Error) -> LibraryError {
    let index = name.to_owned();
    if matches!(error, Error::Index(index::Error::Missing { .. })) {
        return LibraryError::Missing { index };
    }
    LibraryError::Index { index, folder: folder.to_owned(), error: Box::new(error) }
}

/// Indexes by their folders, each with a number that grows with its use.
#[derive(Debug, Default)]
struct Shelf {
    open: BTreeMap<PathBuf, (u64, Arc<Opened>)>,
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
        let (_, options) = makers(&opened.profile);
        let question = Arc::new(question);
        let (mut made, mut models) = (super::encoders::Made::default(), Vec::new());
        let mut encoding = Duration::ZERO;
        let wanted = if question.words { Vec::new() } else { distinct(&opened.profile) };
        for encoder in wanted {
            let lease = self.lease(&opened, &encoder).await?;
            models.push(lease.name().to_owned());
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
            Some((model, _)) => Some(self.house.lease(model).await?),
            None => None,
        };
        models.extend(judge.iter().map(|lease| lease.name().to_owned()));
        // Whoever goes away drops this.
        let going = Going::default();
        let gone = Arc::clone(&going.0);
        self.apart(move || {
            let stop = || gone.load(Ordering::Relaxed);
            let rerank = judge.as_ref().zip(question.rerank.as_ref());
            let rerank = rerank.map(|(lease, (_, pages))| Rerank {
                model: lease.model(),
                pages: *pages,
                told: &|_, _| (),
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
            let found = match (compare(&opened.index, &made, &asked, clock), &judge) {
                (Ok(found), judge) => {
                    judge.iter().for_each(|lease| drop(lease.tried(Ok(()))));
                    found
                }
                (Err(Error::Runtime(error)), Some(lease)) => return Err(tried(lease, error)),
                (Err(error), _) => return Err(opened.error(error)),
            };
            let page = |hit: &Hit| hit_page(&opened.index, hit.page, &question);
            let pages: index::Result<Vec<_>> = found.answer.hits.iter().map(page).collect();
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
        let asked = Arc::clone(&opened);
        let (size, bytes) = self
            .apart(move || {
                let size = asked.index.size().map_err(|error| asked.error(error))?;
                Ok((size, folder_bytes(&asked.folder)))
            })
            .await?;
        let Profile { vectors, dense, sparse, .. } = &opened.profile;
        let mut makers = Vec::new();
        for (finds_by, encoder) in [("looks", vectors), ("meaning", dense), ("weights", sparse)] {
            let Some(encoder) = encoder.clone() else { continue };
            let model = self.maker(&encoder).await?.map(|(name, _)| name);
            makers.push(Maker { finds_by, encoder, model });
        }
        Ok(IndexFacts { size, bytes, makers })
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
        self.apart(move || {
            let documents = opened.index.documents(Some(DocumentId(after)), most);
            documents.map_err(|error| opened.error(error))
        })
        .await
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
            let look = || -> index::Result<Option<PageContent>> {
                let id = DocumentId(document);
                let pages = opened.index.pages(id)?;
                let Some((_, found)) = pages.into_iter().find(|(number, _)| *number == page) else {
                    return Ok(None);
                };
                // Numbers begin at 1, and the first after the one before is it if there is one.
                let before = DocumentId(document.saturating_sub(1));
                let described = opened.index.documents(Some(before), 1)?.pop();
                let Some(document) = described.filter(|it| it.document == id) else {
                    return Ok(None);
                };
                let text = opened.index.text(found)?;
                let preview = opened.index.preview(found)?;
                Ok(Some(PageContent { document, text, preview }))
            };
            match look() {
                Ok(page) => page.ok_or_else(missing),
                // Gone between two looks.
                Err(index::Error::NoPage { .. }) => Err(missing()),
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
        if let Some(folder) = offer.folder(name) {
            let (library, owned) = (Arc::clone(self), name.to_owned());
            match self.apart(move || library.open(owned, folder)).await {
                // Of those that are all offered, nobody has named this one.
                Err(LibraryError::Missing { .. }) if !offer.is_named(name) => {}
                opened => return opened,
            }
        }
        let offered = self.names(offer).await?;
        Err(LibraryError::Unknown { name: name.to_owned(), offered })
    }

    fn open(&self, name: String, folder: PathBuf) -> Result<Arc<Opened>, LibraryError> {
        {
            let mut shelf = self.shelf();
            shelf.uses += 1;
            let now = shelf.uses;
            match shelf.open.get_mut(&folder) {
                Some((used, opened)) if opened.index.is_current() && opened.name == name => {
                    *used = now;
                    return Ok(Arc::clone(opened));
                }
                Some(_) => drop(shelf.open.remove(&folder)),
                None => {}
            }
        }
        let fail = |error: Error| of_index(&name, &folder, error);
        let profile = Index::profile_of(&folder).map_err(|error| fail(error.into()))?;
        let cpu = self.cpu().map_err(fail)?;
        let index = Index::open(&folder, &profile, cpu, Limits::default());
        let index = index.map_err(|error| fail(error.into()))?;
        let opened = Arc::new(Opened { name, folder: folder.clone(), profile, index });
        let mut shelf = self.shelf();
        if shelf.open.len() >= MOST_OPEN
            && let Some(oldest) =
                shelf.open.iter().min_by_key(|(_, (used, _))| *used).map(|(path, _)| path.clone())
        {
            shelf.open.remove(&oldest);
        }
        let now = shelf.uses;
        shelf.open.insert(folder, (now, Arc::clone(&opened)));
        Ok(opened)
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

    /// The model that made what `encoder` says, in memory.
    async fn lease(
        self: &Arc<Self>,
        opened: &Opened,
        encoder: &Encoder,
    ) -> Result<Lease, LibraryError> {
        let Some((model, files)) = self.maker(encoder).await? else {
            let sum = encoder.model.to_string();
            return Err(LibraryError::NoModel {
                index: opened.name.clone(),
                model: called(&encoder.name).to_owned(),
                sum: sum[..12].to_owned(),
            });
        };
        let lease = self.house.lease(&model).await?;
        if lease.files().as_ref() != Some(&files) {
            // What is in memory is not what made the index; what is on the disk is.
            self.house.dismiss(&model).await?;
            return Err(LibraryError::Changed { model });
        }
        Ok(lease)
    }

    /// The model here whose files sum up to what `encoder` says, and what the system says of them: looked for by its name first,
    /// then among all that are offered.
    async fn maker(
        self: &Arc<Self>,
        encoder: &Encoder,
    ) -> Result<Option<(String, Stamp)>, LibraryError> {
        let mut tried = BTreeSet::new();
        for asked in [encoder.name.as_str(), called(&encoder.name)] {
            if let Some(found) = self.is_maker(asked, encoder, &mut tried).await? {
                return Ok(Some(found));
            }
        }
        let offered = self.house.models().await.unwrap_or_default();
        for model in offered {
            if let Some(found) = self.is_maker(&model.name, encoder, &mut tried).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The model `asked`, if it is the one.
    async fn is_maker(
        self: &Arc<Self>,
        asked: &str,
        encoder: &Encoder,
        tried: &mut BTreeSet<String>,
    ) -> Result<Option<(String, Stamp)>, LibraryError> {
        // What cannot be used at all did not make it.
        let Ok(Some((name, folders))) = self.house.encoder(asked).await else { return Ok(None) };
        if !tried.insert(name.clone()) {
            return Ok(None);
        }
        let (library, wanted) = (Arc::clone(self), encoder.model);
        let summed = self.apart(move || Ok(library.sum(folders))).await?;
        match summed {
            Ok((files, sum)) if sum == wanted => Ok(Some((name, files))),
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::warn!(model = name, %error, "cannot be told from others");
                Ok(None)
            }
        }
    }

    /// What the files in `folders` sum up to.
    fn sum(&self, folders: Vec<PathBuf>) -> Result<(Stamp, Hash), Error> {
        let paths: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
        let files = Stamp::of(&paths)?;
        let known = || self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, sum)) = known().get(&folders).filter(|(of, _)| *of == files) {
            return Ok((of.clone(), *sum));
        }
        let sum = Hash(identity(&paths, &self.house.environment().model_sums())?);
        let mut known = known();
        if known.len() >= MOST_SUMS {
            known.clear();
        }
        known.insert(folders, (files.clone(), sum));
        Ok((files, sum))
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

/// What a model is called by people: a folder by its last part.
fn called(name: &str) -> &str {
    let path = Path::new(name);
    match path.file_name().and_then(|last| last.to_str()) {
        Some(last) if path.is_absolute() => last,
        Some(_) | None => name,
    }
}

impl Maker {
    /// What the model was called when it made the index. Where it lay is not told.
    pub fn called(&self) -> &str {
        called(&self.encoder.name)
    }
}

/// One encoder for each model that made an index.
fn distinct(profile: &Profile) -> Vec<Encoder> {
    let mut all: Vec<Encoder> = Vec::new();
    for encoder in [&profile.vectors, &profile.dense, &profile.sparse].into_iter().flatten() {
        if !all.iter().any(|known| known.model == encoder.model) {
            all.push(encoder.clone());
        }
    }
    all
}

/// What a model makes of a question, if it makes what it made the index with.
fn encoded(
    lease: &Lease,
    opened: &Opened,
    encoder: &Encoder,
    (question, options): (&str, MakeOptions),
) -> Result<super::encoders::Made, LibraryError> {
    let made = &opened.profile;
    let dim = made.vectors.as_ref().map(|encoder| encoder.dim);
    let encoders =
        Encoders::default().and_known(lease.model(), &encoder.name, (encoder.model, dim), options);
    let encoders = encoders.map_err(|error| opened.error(error))?;
    let makes = encoders.profile(made.halves);
    let differs = |makes: &Option<Encoder>, made: &Option<Encoder>| {
        let of_this = made.as_ref().filter(|made| made.model == encoder.model);
        makes.as_ref() != of_this
    };
    if differs(&makes.vectors, &made.vectors)
        || differs(&makes.dense, &made.dense)
        || differs(&makes.sparse, &made.sparse)
    {
        return Err(LibraryError::OtherWay {
            index: opened.name.clone(),
            model: called(&encoder.name).to_owned(),
        });
    }
    match encoders.question(question) {
        Ok(made) => {
            let _ = lease.tried(Ok(()));
            Ok(made)
        }
        Err(Error::Runtime(error)) => Err(tried(lease, error)),
        Err(error) => Err(opened.error(error)),
    }
}

/// An error of a model, which goes if it panicked.
fn tried(lease: &Lease, error: runtime::Error) -> LibraryError {
    match lease.tried::<()>(Err(error)) {
        Err(error) => house::Error::from(error).into(),
        Ok(()) => LibraryError::Lost,
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
fn hit_page(index: &Index, page: PageId, question: &Question) -> index::Result<HitPage> {
    let preview = if question.previews { index.preview(page)? } else { None };
    let has_preview = preview.is_some() || (!question.previews && index.has_preview(page)?);
    let text = match question.texts.then(|| index.text(page)) {
        // Gone since it was found.
        None | Some(Err(index::Error::NoPage { .. })) => None,
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
