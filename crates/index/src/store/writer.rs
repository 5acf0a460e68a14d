//! The one who changes an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use kernels::late_interaction::Layout;
use rusqlite::{OptionalExtension, params};

use super::commit::{self, Stored};
use super::database::{Database, identify, meta, set_meta};
use super::folder::{Folder, Lock};
use crate::compaction::{CompactionLimits, Facts, plan};
use crate::segment::{Planes, Segment, SegmentWriter, remove};
use crate::{
    Begun, Compacted, DocumentId, Encoder, Error, NewDocument, NewPage, PageId, PageVectors,
    Profile, Result,
};

/// The most pages that are written at once.
const MOST_AT_ONCE: usize = 65_536;

/// What one commit brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The numbers of its pages, in their order.
    pub pages: Vec<PageId>,
    /// How many pages of earlier versions of finished documents went.
    pub replaced: usize,
}

/// A segment that is on the disk, and that no row names yet.
#[derive(Clone, Copy)]
struct Written {
    number: i64,
    pages: i64,
    bytes: u64,
}

/// The one who changes an index. While it lives, no other process can; all may read.
///
/// What a method has answered is on the disk. What it has not answered is there wholly or not at
/// all.
#[derive(Debug)]
pub struct Writer {
    folder: Folder,
    pub(super) database: Database,
    profile: Profile,
    /// Segments from which something was read.
    open: BTreeMap<i64, Arc<Segment>>,
    /// Held, and never looked at.
    _lock: Lock,
}

impl Writer {
    /// Opens the index in the folder `path`, or makes it there, for what `profile` names.
    ///
    /// # Errors
    ///
    /// If something else is writing to it, made it, or is in its place.
    pub fn create(path: &Path, profile: &Profile) -> Result<Self> {
        profile.check()?;
        let folder = Folder::create(path)?;
        let lock = folder.lock()?;
        let database = Database::write(&folder, Some(profile))?;
        Self::with(folder, database, profile, lock)
    }

    /// Opens the index in the folder `path` for what `profile` names.
    ///
    /// # Errors
    ///
    /// If there is none, or something else is writing to it or made it.
    pub fn open(path: &Path, profile: &Profile) -> Result<Self> {
        let folder = Folder::existing(path)?;
        let lock = folder.lock()?;
        let database = Database::write(&folder, None)?;
        Self::with(folder, database, profile, lock)
    }

    fn with(folder: Folder, mut database: Database, profile: &Profile, lock: Lock) -> Result<Self> {
        database.profile()?.admits(profile, folder.path())?;
        identify(&mut database)?;
        let known = database.ask("list its segments", |connection| {
            let mut statement = connection.prepare("SELECT id FROM segments")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<BTreeSet<i64>>>()
        })?;
        folder.collect(&known)?;
        let profile = profile.clone();
        let mut writer = Self { folder, database, profile, open: BTreeMap::new(), _lock: lock };
        // What a writer that was killed had no time for.
        writer.collect()?;
        Ok(writer)
    }

    /// Begins a document, or goes on with it, unless it is there with the same content; then what else is
    /// said of it is brought up to date. Beginning another version of a document that was begun gives up
    /// what was there of the earlier one.
    ///
    /// # Errors
    ///
    /// If the document is not to be stored, or the database refuses.
    pub fn begin(&mut self, document: &NewDocument) -> Result<Begun> {
        document.check()?;
        let begun = self.database.change("begin a document", |transaction| {
            let find = |finished: bool| {
                let sql =
                    "SELECT id, hash, page_count FROM documents WHERE path = ? AND finished = ?";
                let row = |row: &rusqlite::Row<'_>| {
                    Ok((row.get(0)?, row.get::<_, [u8; 32]>(1)?, row.get::<_, u32>(2)?))
                };
                transaction.query_row(sql, params![document.path, finished], row).optional()
            };
            let same = |(_, hash, pages): &(i64, [u8; 32], u32)| {
                *hash == document.hash.0 && *pages == document.pages
            };
            let staged = find(false)?;
            let asked = document.reading.as_ref();
            let mut whole = find(true)?.filter(same);
            if let Some((id, ..)) = whole
                && !commit::is_read(transaction, id, asked)?
            {
                whole = None;
            }
            if let Some((id, ..)) = whole {
                if let Some((staged, ..)) = staged {
                    commit::drop_document(transaction, staged)?;
                }
                if commit::describe(transaction, id, document)? {
                    commit::next_generation(transaction)?;
                }
                return Ok(Begun::Unchanged(DocumentId(id)));
            }
            let goes_on = match &staged {
                // Half of it would be read otherwise than the other.
                Some(found) if same(found) => {
                    commit::reading(transaction, found.0)?.as_ref() == asked
                }
                Some(_) | None => false,
            };
            match staged {
                Some((id, ..)) if goes_on => {
                    commit::describe(transaction, id, document)?;
                    let sql = "SELECT number FROM pages WHERE document_id = ? ORDER BY number";
                    let mut statement = transaction.prepare(sql)?;
                    let have = statement.query_map([id], |row| row.get(0))?;
                    let have = have.collect::<rusqlite::Result<_>>()?;
                    return Ok(Begun::Open { document: DocumentId(id), have });
                }
                Some((id, ..)) => drop(commit::drop_document(transaction, id)?),
                None => {}
            }
            let id = commit::stage(transaction, document)?;
            Ok(Begun::Open { document: DocumentId(id), have: Vec::new() })
        })?;
        self.collect()?;
        Ok(begun)
    }

    /// Writes pages of documents that were begun, and finishes those documents of which `finished` says that
    /// they are whole now: with the pages they are found from now on, and what was there of
    /// their paths before is gone. All of it happens at once.
    ///
    /// # Errors
    ///
    /// If a page is not what the index has, a document was not begun or misses pages, or the disk or
    /// the database refuses. Then nothing has happened.
    pub fn commit(&mut self, pages: &[NewPage<'_>], finished: &[DocumentId]) -> Result<Committed> {
        if pages.len() > MOST_AT_ONCE {
            let value = pages.len().to_string();
            return Err(Error::Value { what: "pages", value, allowed: "at most 65536 at once" });
        }
        for page in pages {
            page.check(&self.profile)?;
        }
        self.check_numbers(pages, finished)?;
        let first = self.next("next_page")?;
        let (ids, segment) = self.write_segment(pages, first)?;
        let result = self.database.change("take pages", |transaction| {
            if let Some(Written { number, pages, bytes }) = segment {
                let row = params![number, pages, bytes];
                transaction.execute("INSERT INTO segments VALUES (?, ?, ?)", row)?;
                set_meta(transaction, "next_segment", number + 1)?;
            }
            let mut slot = 0;
            for (page, id) in pages.iter().zip(&ids) {
                let place = page.vectors.and(segment).map(|segment| {
                    slot += 1;
                    (segment.number, slot - 1)
                });
                commit::page(transaction, &Stored { page, id: id.0, place })?;
            }
            set_meta(transaction, "next_page", first + ids.len() as i64)?;
            let mut replaced = 0;
            for document in finished {
                replaced += commit::finish(transaction, document.0)?;
            }
            if !finished.is_empty() {
                commit::next_generation(transaction)?;
            }
            Ok(replaced)
        });
        let replaced = match result {
            Ok(replaced) => replaced,
            Err(error) => {
                // Whether the transaction counts is for the database to say, when it is opened again.
                if let Some(Written { number, .. }) = segment
                    && self.is_unknown(number)
                {
                    drop(remove(&self.folder.segment(number)));
                }
                return Err(error);
            }
        };
        self.collect()?;
        Ok(Committed { pages: ids, replaced })
    }

    /// Removes the document of this path, and what was begun of it. Answers how many pages went that
    /// could be found.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub fn remove(&mut self, path: &str) -> Result<usize> {
        let pages = self.database.change("remove a document", |transaction| {
            let sql = "SELECT id, finished FROM documents WHERE path = ?";
            let mut statement = transaction.prepare(sql)?;
            let rows = statement.query_map([path], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let mut pages = 0;
            for row in rows.collect::<rusqlite::Result<Vec<(i64, bool)>>>()? {
                let gone = commit::drop_document(transaction, row.0)?;
                pages += if row.1 { gone } else { 0 };
            }
            commit::next_generation(transaction)?;
            Ok(pages)
        })?;
        self.collect()?;
        Ok(pages)
    }

    /// Writes segments together of which much is deleted or which are small, as far as `limits` say, and
    /// removes them. Answers nothing if there is nothing to be gained. Call it again until then.
    ///
    /// # Errors
    ///
    /// If a page is damaged, which is named, or the disk or the database refuses. Then nothing has happened.
    pub fn compact(&mut self, limits: &CompactionLimits) -> Result<Option<Compacted>> {
        let Some(encoder) = self.profile.vectors.clone() else { return Ok(None) };
        let facts = self.database.ask("count its pages", |connection| {
            let sql = "SELECT s.id, s.pages, s.bytes, count(p.id) FROM segments s \
                       LEFT JOIN pages p ON p.segment_id = s.id GROUP BY s.id ORDER BY s.id";
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([], |row| {
                let (segment, pages) = (row.get(0)?, row.get(1)?);
                Ok(Facts { segment, pages, bytes: row.get(2)?, live: row.get(3)? })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        let chosen = plan(&facts, limits);
        if chosen.is_empty() {
            return Ok(None);
        }
        let mut places = Vec::new();
        for &segment in &chosen {
            places.extend(self.database.ask("list its pages", |connection| {
                let sql = "SELECT slot, id FROM pages WHERE segment_id = ? ORDER BY slot";
                let mut statement = connection.prepare(sql)?;
                let rows = statement.query_map([segment], |row| {
                    Ok((segment, row.get::<_, u32>(0)? as usize, PageId(row.get(1)?)))
                })?;
                rows.collect::<rusqlite::Result<Vec<_>>>()
            })?);
        }
        let number = self.next("next_segment")?;
        let mut counts = Vec::with_capacity(places.len());
        for &(segment, slot, page) in &places {
            counts.push(self.segment(segment)?.entry(slot, page)?.vectors);
        }
        let maker = (&encoder, self.profile.halves);
        let mut writer = SegmentWriter::create(&self.folder.segments(), number, maker, &counts)?;
        for &(segment, slot, page) in &places {
            let segment = self.segment(segment)?;
            writer.page(page, &planes_of(&segment, slot, page)?)?;
        }
        let after = writer.finish()?;
        let done = self.database.change("move pages", |transaction| {
            let row = params![number, places.len() as i64, after];
            transaction.execute("INSERT INTO segments VALUES (?, ?, ?)", row)?;
            let sql = "UPDATE pages SET segment_id = ?, slot = ? WHERE id = ?";
            let mut statement = transaction.prepare(sql)?;
            for (slot, (.., page)) in places.iter().enumerate() {
                statement.execute(params![number, slot as i64, page.0])?;
            }
            set_meta(transaction, "next_segment", number + 1)?;
            commit::next_generation(transaction)
        });
        if let Err(error) = done {
            if self.is_unknown(number) {
                drop(remove(&self.folder.segment(number)));
            }
            return Err(error);
        }
        self.collect()?;
        let before = facts.iter().filter(|facts| chosen.contains(&facts.segment));
        Ok(Some(Compacted {
            segments: chosen.len(),
            pages: places.len(),
            bytes_before: before.map(|facts| facts.bytes).sum(),
            bytes_after: after,
        }))
    }

    /// Refuses pages of documents that were not begun, pages that are there already, and documents that
    /// would be finished without all of their pages.
    fn check_numbers(&self, pages: &[NewPage<'_>], finished: &[DocumentId]) -> Result<()> {
        let mut wanted: BTreeMap<i64, BTreeSet<u32>> =
            finished.iter().map(|document| (document.0, BTreeSet::new())).collect();
        for page in pages {
            let numbers = wanted.entry(page.document.0).or_default();
            if !numbers.insert(page.number) {
                return Err(Error::Twice { document: page.document, number: page.number });
            }
        }
        for (&id, new) in &wanted {
            let document = DocumentId(id);
            let (path, count, mut have) = self.database.ask("find a document", |connection| {
                let sql = "SELECT path, page_count FROM documents WHERE id = ? AND finished = 0";
                let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, u32>(1)?));
                let found: Option<(String, u32)> =
                    connection.query_row(sql, [id], row).optional()?;
                let Some((path, count)) = found else { return Ok((None, 0, BTreeSet::new())) };
                let sql = "SELECT number FROM pages WHERE document_id = ?";
                let mut statement = connection.prepare(sql)?;
                let have = statement.query_map([id], |row| row.get(0))?;
                Ok((Some(path), count, have.collect::<rusqlite::Result<BTreeSet<u32>>>()?))
            })?;
            let Some(path) = path else { return Err(Error::NotBegun { document }) };
            for &number in new {
                if number > count {
                    let value = number.to_string();
                    let allowed = "at most as large as the document has pages";
                    return Err(Error::Value { what: "page number", value, allowed });
                }
                if !have.insert(number) {
                    return Err(Error::Twice { document, number });
                }
            }
            if finished.contains(&document) && have.len() < count as usize {
                let first = (1..=count).find(|number| !have.contains(number)).unwrap_or(1);
                let more = count - have.len() as u32 - 1;
                return Err(Error::Incomplete { path, first, more });
            }
        }
        Ok(())
    }

    /// Numbers the pages from `first` on, and writes the vectors of those that have any as a segment.
    /// Answers the pages' numbers, and the segment if there is one.
    fn write_segment(
        &mut self,
        pages: &[NewPage<'_>],
        first: i64,
    ) -> Result<(Vec<PageId>, Option<Written>)> {
        let ids: Vec<PageId> = (first..).take(pages.len()).map(PageId).collect();
        let with_vectors: Vec<_> =
            pages.iter().zip(&ids).filter_map(|(page, id)| Some((page.vectors?, *id))).collect();
        let Some(encoder) = self.profile.vectors.clone().filter(|_| !with_vectors.is_empty())
        else {
            return Ok((ids, None));
        };
        let halves = self.profile.halves;
        let layout = layout_of(&encoder)?;
        let mut counts = Vec::with_capacity(with_vectors.len());
        let mut sources = Vec::with_capacity(with_vectors.len());
        for (vectors, _) in &with_vectors {
            let source = match vectors {
                PageVectors::New { vectors, .. } => {
                    counts.push((vectors.len() / layout.dim()) as u32);
                    None
                }
                PageVectors::SameAs(other) => {
                    let (segment, slot) = self.find(*other)?;
                    counts.push(segment.entry(slot, *other)?.vectors);
                    Some((segment, slot, *other))
                }
            };
            sources.push(source);
        }
        let number = self.next("next_segment")?;
        let maker = (&encoder, halves);
        let mut writer = SegmentWriter::create(&self.folder.segments(), number, maker, &counts)?;
        for ((vectors, id), source) in with_vectors.iter().zip(&sources) {
            match (vectors, source) {
                (PageVectors::New { vectors, grid }, _) => {
                    writer.page(*id, &Planes::new(layout, vectors, *grid, halves))?;
                }
                (_, Some((segment, slot, other))) => {
                    writer.page(*id, &planes_of(segment, *slot, *other)?)?;
                }
                (PageVectors::SameAs(page), None) => return Err(Error::NoPage { page: *page }),
            }
        }
        let bytes = writer.finish()?;
        Ok((ids, Some(Written { number, pages: counts.len() as i64, bytes })))
    }

    /// Where a page's vectors are.
    fn find(&mut self, page: PageId) -> Result<(Arc<Segment>, usize)> {
        let place = self.database.ask("find a page", |connection| {
            let sql = "SELECT segment_id, slot FROM pages WHERE id = ?";
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, Option<u32>>(1)?));
            connection.query_row(sql, [page.0], row).optional()
        })?;
        match place {
            None => Err(Error::NoPage { page }),
            Some((Some(segment), Some(slot))) => Ok((self.segment(segment)?, slot as usize)),
            Some(_) => Err(Error::Bare { page, what: "vectors" }),
        }
    }

    /// An open segment that this index's encoder made.
    fn segment(&mut self, number: i64) -> Result<Arc<Segment>> {
        if let Some(segment) = self.open.get(&number) {
            return Ok(Arc::clone(segment));
        }
        let segment = Segment::open(&self.folder.segment(number))?;
        if let Some(encoder) = &self.profile.vectors {
            segment.check_maker(encoder, self.profile.halves)?;
        }
        let segment = Arc::new(segment);
        self.open.insert(number, Arc::clone(&segment));
        Ok(segment)
    }

    fn next(&self, name: &'static str) -> Result<i64> {
        self.database.ask("count", |connection| meta(connection, name))
    }

    /// Whether the database is sure not to name a segment.
    fn is_unknown(&self, segment: i64) -> bool {
        let count = self.database.ask("list its segments", |connection| {
            let sql = "SELECT count(*) FROM segments WHERE id = ?";
            connection.query_row(sql, [segment], |row| row.get::<_, i64>(0))
        });
        matches!(count, Ok(0))
    }

    /// Forgets segments of which no page is left, and removes their files. A reader that has one open
    /// keeps it; one that comes too late asks again.
    fn collect(&mut self) -> Result<()> {
        const DEAD: &str = "SELECT id FROM segments s \
                            WHERE NOT EXISTS (SELECT 1 FROM pages WHERE segment_id = s.id)";
        let dead = self.database.ask("list its segments", |connection| {
            let mut statement = connection.prepare_cached(DEAD)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<Vec<i64>>>()
        })?;
        if dead.is_empty() {
            return Ok(());
        }
        self.database.change("forget segments", |transaction| {
            for segment in &dead {
                transaction.execute("DELETE FROM segments WHERE id = ?", [segment])?;
            }
            Ok(())
        })?;
        for segment in dead {
            self.open.remove(&segment);
            // Where a file that is mapped cannot be removed, the next writer does it.
            drop(remove(&self.folder.segment(segment)));
        }
        Ok(())
    }
}

fn layout_of(encoder: &Encoder) -> Result<Layout> {
    Layout::new(encoder.dim as usize).ok_or_else(|| Error::Value {
        what: "dimension",
        value: encoder.dim.to_string(),
        allowed: "one that vectors can have",
    })
}

/// A page of another segment, checked, as it is to be written.
fn planes_of(segment: &Segment, slot: usize, page: PageId) -> Result<Planes<'_>> {
    let entry = segment.entry(slot, page)?;
    let stored = segment.page(slot)?;
    let is_grid = entry.grid.height > 0 && entry.grid.width > 0;
    Ok(Planes {
        codes: stored.codes.into(),
        scales: stored.scales.into(),
        signs: segment.signs(slot)?.into(),
        halves: segment.halves(slot)?.unwrap_or_default().into(),
        vectors: entry.vectors,
        grid: is_grid.then_some(entry.grid),
    })
}
