//! Finding pages.

mod describe;
mod late;
mod lists;
mod snapshot;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernels::cpu::Cpu;
use kernels::late_interaction::{self, Layout};

pub use describe::{Content, Document, Hit, Snippet};

use crate::document::{MOST_VECTORS, check_sparse, check_vectors};
use crate::plan::route;
use crate::profile::{DENSE, SPARSE, VECTORS};
use crate::store::{Database, Folder};
use crate::{
    Candidates, DocumentId, Error, Filter, Grid, Limits, PageId, Profile, ReadPage, ReaderPages,
    Result, Route, reciprocal_rank,
};
use snapshot::{Catalog, Snapshot};

/// The most vectors of a query.
const MOST_QUERY: usize = 4096;

/// What is looked for. What is given is used as [`Candidates`] says.
#[derive(Clone, Debug, Default)]
pub struct Query<'a> {
    /// Words, as a person writes them: pages with any of the first 64 are found.
    pub words: Option<&'a str>,
    /// Weights of tokens.
    pub sparse: Option<&'a [(u32, f32)]>,
    /// A dense vector.
    pub dense: Option<&'a [f32]>,
    /// Vectors for late interaction, one after another.
    pub vectors: Option<&'a [f32]>,
    /// Which pages those are compared with.
    pub candidates: Candidates,
    /// Which pages are looked at.
    pub filter: Filter,
    /// How many hits are wanted, at most [`Limits::hits`].
    pub limit: usize,
}

/// A part of a search, told when it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The pages that the filter leaves were found.
    Filter,
    /// Words were looked up.
    Words,
    /// Sparse vectors were compared.
    Sparse,
    /// Dense vectors were compared.
    Dense,
    /// Lists were fused.
    Fuse,
    /// Signs were compared.
    Signs,
    /// Vectors were compared exactly.
    Exact,
    /// Hits were looked up.
    Describe,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The best first.
    pub hits: Vec<Hit>,
    /// The way that was gone.
    pub route: Route,
    /// How many pages the filter left.
    pub pages: usize,
}

/// How well each place of a page fits each vector of a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Places {
    /// Rows of places.
    pub height: usize,
    /// Columns of places.
    pub width: usize,
    /// For each vector of the query, row by row, its product with each place.
    pub products: Vec<f32>,
}

/// An index that is read. Each search sees what one commit of its writer left, and the next may see
/// another. Threads that share one wait for each other; as many may be opened as are wanted.
#[derive(Debug)]
pub struct Index {
    folder: Folder,
    /// Which database was opened.
    mark: Option<(u64, u64)>,
    profile: Profile,
    limits: Limits,
    cpu: Arc<Cpu>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    catalog: Arc<Catalog>,
}

/// How much an index holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Documents that can be found.
    pub documents: usize,
    /// Their pages.
    pub pages: usize,
    /// Those of them that failed, and cannot be found.
    pub failed: usize,
    /// Files of vectors.
    pub segments: usize,
    /// The bytes of those.
    pub bytes: u64,
}

impl Index {
    /// Opens the index in the folder `path` for queries of what `profile` names, with the threads of `cpu`.
    ///
    /// # Errors
    ///
    /// If there is none, or something else made it.
    pub fn open(path: &Path, profile: &Profile, cpu: Arc<Cpu>, limits: Limits) -> Result<Self> {
        let folder = Folder::existing(path)?;
        let mark = folder.mark();
        let database = Database::read(&folder)?;
        database.profile()?.admits(profile, path)?;
        let inner = Mutex::new(Inner { database, catalog: Arc::default() });
        Ok(Self { folder, mark, profile: profile.clone(), limits, cpu, inner })
    }

    /// Whether what was opened still lies in its folder: not if it was removed, or another put there. Until it is
    /// opened anew it answers from what was there.
    pub fn is_current(&self) -> bool {
        self.mark.is_some() && self.folder.mark() == self.mark
    }

    /// What made the index in the folder `path`: for whoever only removes, lists or looks for words.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn profile_of(path: &Path) -> Result<Profile> {
        Database::read(&Folder::existing(path)?)?.profile()
    }

    /// Finds pages. `on_stage` is told of each stage when it has ended, and how many pages it left; the
    /// caller, who has a clock, can tell how long each took.
    ///
    /// # Errors
    ///
    /// If the query is not of what made the index, a page that is to be compared is damaged, or the
    /// database refuses.
    pub fn search(
        &self,
        query: &Query<'_>,
        on_stage: &mut dyn FnMut(Stage, usize),
    ) -> Result<Answer> {
        self.check(query)?;
        let mut inner = self.lock();
        let snapshot = Snapshot::take(&mut inner, &self.folder, &self.profile)?;
        let allowed = snapshot.allowed(&query.filter)?;
        on_stage(Stage::Filter, allowed.len());
        let with_vectors: Vec<usize> = if query.vectors.is_some() {
            allowed.iter().copied().filter(|&at| snapshot.catalog.has_vectors(at)).collect()
        } else {
            Vec::new()
        };
        let has_lists = query.words.is_some() || query.sparse.is_some() || query.dense.is_some();
        let (vectors, count) = (query.vectors.is_some(), with_vectors.len());
        let route = route(vectors, has_lists, query.candidates, count, &self.limits);
        let Some(route) = route else {
            let value = "nothing".to_owned();
            return Err(Error::Value { what: "query", value, allowed: "words or vectors" });
        };
        let limit = query.limit;
        let late = match (query.vectors, self.layout()) {
            (Some(vectors), Some(layout)) => Some(late_interaction::Query::new(layout, vectors)),
            _ => None,
        };
        let mut ranked: Vec<(PageId, f64)> = match route {
            Route::Lists | Route::ListsThenExact => {
                self.lists(&snapshot, query, &allowed, on_stage)?
            }
            Route::Exact | Route::SignsThenExact | Route::Approximate => Vec::new(),
        };
        if let Some(late) = &late {
            let candidates = match route {
                Route::Lists | Route::Exact | Route::Approximate => with_vectors,
                Route::ListsThenExact => {
                    let found = ranked.iter().filter_map(|(page, _)| snapshot.catalog.find(*page));
                    found.filter(|&at| snapshot.catalog.has_vectors(at)).collect()
                }
                Route::SignsThenExact => {
                    let keep = self.limits.kept_by_signs.max(limit);
                    let kept =
                        late::by_signs(&self.cpu, late, &snapshot.catalog, &with_vectors, keep)?;
                    on_stage(Stage::Signs, kept.len());
                    kept
                }
            };
            ranked = late::exact(&self.cpu, late, &snapshot.catalog, &candidates, limit)?;
            on_stage(Stage::Exact, ranked.len());
        }
        ranked.truncate(limit);
        let hits = snapshot.describe(&ranked, query.words)?;
        on_stage(Stage::Describe, hits.len());
        Ok(Answer { hits, route, pages: allowed.len() })
    }

    /// What words, sparse and dense vectors find, fused if there are several.
    fn lists(
        &self,
        snapshot: &Snapshot<'_>,
        query: &Query<'_>,
        allowed: &[usize],
        on_stage: &mut dyn FnMut(Stage, usize),
    ) -> Result<Vec<(PageId, f64)>> {
        let most = self.limits.list.max(query.limit);
        let ids: BTreeSet<i64>;
        // All that can be found needs no list of what may be.
        let allowed = if query.filter.is_empty() {
            None
        } else {
            ids = allowed.iter().map(|&at| snapshot.catalog.id(at).0).collect();
            Some(&ids)
        };
        let mut lists = Vec::new();
        if let Some(words) = query.words {
            let list = snapshot.words(words, &query.filter, most)?;
            on_stage(Stage::Words, list.len());
            lists.push(list);
        }
        if let Some(sparse) = query.sparse {
            let list = snapshot.sparse(sparse, allowed, most)?;
            on_stage(Stage::Sparse, list.len());
            lists.push(list);
        }
        if let Some(dense) = query.dense {
            let list = snapshot.dense(dense, allowed, most)?;
            on_stage(Stage::Dense, list.len());
            lists.push(list);
        }
        if lists.len() == 1 {
            return Ok(lists.remove(0));
        }
        let lists: Vec<Vec<PageId>> = lists
            .into_iter()
            .map(|list| list.into_iter().map(|(page, _)| page).collect())
            .collect();
        let fused = reciprocal_rank(&lists, self.limits.k);
        on_stage(Stage::Fuse, fused.len());
        Ok(fused)
    }

    /// How well each place of a page fits each of the query's vectors: what makes the page's score, where
    /// it lies.
    ///
    /// # Errors
    ///
    /// If there is no such page, it has no vectors or no grid, or it is damaged.
    pub fn places(&self, page: PageId, vectors: &[f32]) -> Result<Places> {
        let Some(layout) = self.layout() else {
            return Err(Error::Representation { what: VECTORS, wanted: false });
        };
        check_vectors("query", vectors, layout.dim(), MOST_QUERY)?;
        let query = late_interaction::Query::new(layout, vectors);
        let mut inner = self.lock();
        let snapshot = Snapshot::take(&mut inner, &self.folder, &self.profile)?;
        let (segment, slot) = snapshot.place(page)?;
        let entry = segment.entry(slot, page)?;
        let Grid { start, height, width } = entry.grid;
        let (height, width) = (usize::from(height), usize::from(width));
        if height * width == 0 {
            return Err(Error::Bare { page, what: "grid of places" });
        }
        let count = entry.vectors as usize;
        let all = late_interaction::similarities(&query, &segment.page(slot)?, count);
        let start = start as usize;
        let rows = all.chunks(count).flat_map(|row| &row[start..start + height * width]);
        Ok(Places { height, width, products: rows.copied().collect() })
    }

    /// A page's vectors, and where its places lie among them: to move an index elsewhere. They
    /// are those that were given, rounded to 16 bits if those were kept, else to 8.
    ///
    /// # Errors
    ///
    /// If there is no such page, it has no vectors, or it is damaged.
    pub fn vectors(&self, page: PageId) -> Result<(Vec<f32>, Option<Grid>)> {
        let mut inner = self.lock();
        let snapshot = Snapshot::take(&mut inner, &self.folder, &self.profile)?;
        let (segment, slot) = snapshot.place(page)?;
        let grid = segment.entry(slot, page)?.grid;
        let grid = (grid.height > 0 && grid.width > 0).then_some(grid);
        Ok((segment.vectors(slot)?, grid))
    }

    /// A page's preview: its media type and its bytes.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub fn preview(&self, page: PageId) -> Result<Option<(String, Vec<u8>)>> {
        describe::preview(&self.lock().database, page)
    }

    /// Whether a page has a preview.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub fn has_preview(&self, page: PageId) -> Result<bool> {
        describe::has_preview(&self.lock().database, page)
    }

    /// Who read a page whose own words are missing or in doubt, and what. Nothing of a page that nobody was to read.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub fn reader(&self, page: PageId) -> Result<Option<ReadPage>> {
        describe::reader(&self.lock().database, page)
    }

    /// Who read how many of the pages that can be found, of those whose own words are missing or in doubt.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub fn readers(&self) -> Result<Vec<ReaderPages>> {
        describe::readers(&self.lock().database)
    }

    /// A page's words.
    ///
    /// # Errors
    ///
    /// If there is no such page.
    pub fn text(&self, page: PageId) -> Result<String> {
        describe::text(&self.lock().database, page)
    }

    /// What there is of a page besides its vectors and its preview: to move an index elsewhere.
    ///
    /// # Errors
    ///
    /// If there is no such page.
    pub fn content(&self, page: PageId) -> Result<Content> {
        describe::content(&self.lock().database, page)
    }

    /// A number by which this index is known among others, wherever it lies. Nothing for one that no writer has opened
    /// since indexes have such numbers.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub fn identity(&self) -> Result<Option<u64>> {
        describe::identity(&self.lock().database)
    }

    /// The folder that it lies in.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What made it.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// A document that can be found; nothing if it is gone.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub fn document(&self, document: DocumentId) -> Result<Option<Document>> {
        // The list begins after the one before it.
        let before = DocumentId(document.0.saturating_sub(1));
        let found = self.documents(Some(before), 1)?.pop();
        Ok(found.filter(|found| found.document == document))
    }

    /// Documents that can be found, after `after` and at most `most` of them, in the order in which they
    /// were begun.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub fn documents(&self, after: Option<DocumentId>, most: usize) -> Result<Vec<Document>> {
        describe::documents(&self.lock().database, after, most)
    }

    /// The pages of a document that can be found, in their order, each with its number.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub fn pages(&self, document: DocumentId) -> Result<Vec<(u32, PageId)>> {
        describe::pages(&self.lock().database, document)
    }

    /// How much there is.
    ///
    /// # Errors
    ///
    /// If a segment cannot be opened, or the database refuses.
    pub fn size(&self) -> Result<Size> {
        let mut inner = self.lock();
        let snapshot = Snapshot::take(&mut inner, &self.folder, &self.profile)?;
        let (documents, failed) = snapshot.count()?;
        let segments = snapshot.catalog.segments();
        Ok(Size {
            documents,
            pages: snapshot.catalog.len(),
            failed,
            segments: segments.len(),
            bytes: segments.iter().map(|segment| segment.bytes()).sum(),
        })
    }

    /// Compares everything with its checksums and has the database look through itself. Answers
    /// what is damaged.
    ///
    /// # Errors
    ///
    /// If the database cannot be asked, or a segment cannot be opened, which is the damage itself.
    pub fn verify(&self) -> Result<Vec<Error>> {
        let mut inner = self.lock();
        let mut found = Vec::new();
        if let Some(verdict) = inner.database.quick_check()? {
            let what = "database";
            found.push(Error::Value { what, value: verdict, allowed: "what SQLite calls sound" });
        }
        let snapshot = Snapshot::take(&mut inner, &self.folder, &self.profile)?;
        for segment in snapshot.catalog.segments() {
            found.extend(segment.verify());
        }
        Ok(found)
    }

    fn layout(&self) -> Option<Layout> {
        Layout::new(self.profile.vectors.as_ref()?.dim as usize)
    }

    /// What a panic of another thread left is as good as before: nothing is changed in two steps.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses what is not of this index.
    fn check(&self, query: &Query<'_>) -> Result<()> {
        query.filter.check()?;
        if query.limit > self.limits.hits {
            let (what, value) = ("number of hits", query.limit.to_string());
            return Err(Error::Value { what, value, allowed: "within the limit of a search" });
        }
        let absent = |what| Error::Representation { what, wanted: false };
        let Profile { vectors, dense, sparse, .. } = &self.profile;
        if let Some(numbers) = query.vectors {
            let encoder = vectors.as_ref().ok_or_else(|| absent(VECTORS))?;
            check_vectors("query", numbers, encoder.dim as usize, MOST_QUERY.min(MOST_VECTORS))?;
        }
        if let Some(numbers) = query.dense {
            let encoder = dense.as_ref().ok_or_else(|| absent(DENSE))?;
            check_vectors("query", numbers, encoder.dim as usize, 1)?;
        }
        if let Some(weights) = query.sparse {
            let encoder = sparse.as_ref().ok_or_else(|| absent(SPARSE))?;
            check_sparse("query", weights, encoder)?;
        }
        Ok(())
    }
}
