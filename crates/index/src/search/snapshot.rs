//! What one commit of the writer left, while a search looks at it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use rusqlite::{Connection, Transaction, params_from_iter};

use super::Inner;
use crate::segment::Segment;
use crate::store::{Folder, meta};
use crate::{Error, Filter, PageId, Profile, Result};

/// How often a snapshot is taken again because its segments were written together meanwhile.
const ATTEMPTS: usize = 20;

/// The pages that can be found, by their number, and where their vectors are.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    generation: Option<i64>,
    /// In the order of their numbers.
    pages: Vec<Known>,
    segments: Vec<Arc<Segment>>,
    /// For each segment its number.
    numbers: Vec<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    page: PageId,
    /// A segment's place in the list, and the page's in the segment.
    place: Option<(u32, u32)>,
}

impl Catalog {
    pub(super) fn len(&self) -> usize {
        self.pages.len()
    }

    pub(super) fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    pub(super) fn id(&self, at: usize) -> PageId {
        self.pages[at].page
    }

    /// Where a page stands in the catalog.
    pub(super) fn find(&self, page: PageId) -> Option<usize> {
        self.pages.binary_search_by_key(&page, |known| known.page).ok()
    }

    pub(super) fn has_vectors(&self, at: usize) -> bool {
        self.pages[at].place.is_some()
    }

    /// A page's segment, and its place there, which was found to be its own.
    pub(super) fn place(&self, at: usize) -> Result<(&Arc<Segment>, usize)> {
        let Known { page, place } = self.pages[at];
        let Some((segment, slot)) = place else {
            return Err(Error::Bare { page, what: "vectors" });
        };
        let segment = &self.segments[segment as usize];
        segment.entry(slot as usize, page)?;
        Ok((segment, slot as usize))
    }

    /// Reads the catalog, with segments of `earlier` where they are the same. Nothing if a segment is gone,
    /// because what was read is no longer what there is.
    fn read(
        connection: &Connection,
        generation: i64,
        earlier: &Self,
        (folder, profile): (&Folder, &Profile),
    ) -> Result<Option<Self>> {
        let sql = "SELECT p.id, p.segment_id, p.slot FROM pages p \
                   JOIN documents d ON d.id = p.document_id WHERE d.finished = 1 ORDER BY p.id";
        let rows = || {
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                Ok((
                    PageId(row.get(0)?),
                    row.get::<_, Option<i64>>(1)?,
                    row.get::<_, Option<u32>>(2)?,
                ))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = rows().map_err(Error::database(folder.path(), "list its pages"))?;
        let mut catalog = Self { generation: Some(generation), ..Self::default() };
        let mut places = BTreeMap::new();
        for (page, segment, slot) in rows {
            let place = match segment.zip(slot) {
                None => None,
                Some((number, slot)) => {
                    let at = match places.get(&number) {
                        Some(&at) => at,
                        None => {
                            let Some(segment) = earlier.open(number, folder, profile)? else {
                                return Ok(None);
                            };
                            let at = catalog.segments.len() as u32;
                            catalog.segments.push(segment);
                            catalog.numbers.push(number);
                            places.insert(number, at);
                            at
                        }
                    };
                    Some((at, slot))
                }
            };
            catalog.pages.push(Known { page, place });
        }
        Ok(Some(catalog))
    }

    /// An open segment; nothing if there is no such file.
    fn open(
        &self,
        number: i64,
        folder: &Folder,
        profile: &Profile,
    ) -> Result<Option<Arc<Segment>>> {
        if let Some(at) = self.numbers.iter().position(|&known| known == number) {
            return Ok(Some(Arc::clone(&self.segments[at])));
        }
        match Segment::open(&folder.segment(number)) {
            Ok(segment) => {
                if let Some(encoder) = &profile.vectors {
                    segment.check_maker(encoder, profile.halves)?;
                }
                Ok(Some(Arc::new(segment)))
            }
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A state of the index that does not change while it is looked at.
pub(super) struct Snapshot<'a> {
    pub(super) catalog: Arc<Catalog>,
    pub(super) folder: &'a Folder,
    /// Keeps the database's state.
    transaction: Transaction<'a>,
}

impl<'a> Snapshot<'a> {
    /// The state that the writer left last.
    pub(super) fn take(
        inner: &'a mut Inner,
        folder: &'a Folder,
        profile: &Profile,
    ) -> Result<Self> {
        let connection = &inner.database.connection;
        let mut seen = None;
        for _ in 0..ATTEMPTS {
            let begin = || {
                let transaction = connection.unchecked_transaction()?;
                let generation = meta(&transaction, "generation")?;
                Ok((transaction, generation))
            };
            let (transaction, generation) =
                begin().map_err(Error::database(folder.path(), "be read"))?;
            if inner.catalog.generation != Some(generation) {
                let earlier = Arc::clone(&inner.catalog);
                let read = Catalog::read(&transaction, generation, &earlier, (folder, profile))?;
                let Some(catalog) = read else {
                    // A file that is gone in the same state twice was taken away by somebody else.
                    if seen == Some(generation) {
                        break;
                    }
                    seen = Some(generation);
                    continue;
                };
                inner.catalog = Arc::new(catalog);
            }
            return Ok(Self { catalog: Arc::clone(&inner.catalog), folder, transaction });
        }
        Err(Error::Io {
            path: folder.segments(),
            action: "find all its segments",
            source: ErrorKind::NotFound.into(),
        })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.transaction
    }

    /// Asks the database.
    pub(super) fn ask<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        work(self.connection()).map_err(Error::database(self.folder.path(), action))
    }

    /// Where the pages that a filter leaves stand in the catalog, in order.
    pub(super) fn allowed(&self, filter: &Filter) -> Result<Vec<usize>> {
        if filter.is_empty() {
            return Ok((0..self.catalog.len()).collect());
        }
        let (condition, values) = filter.condition();
        let sql = format!(
            "SELECT p.id FROM pages p JOIN documents d ON d.id = p.document_id \
             WHERE d.finished = 1{condition} ORDER BY p.id"
        );
        let ids = self.ask("filter its pages", |connection| {
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map(params_from_iter(values), |row| row.get(0))?;
            rows.map(|id| id.map(PageId)).collect::<rusqlite::Result<Vec<_>>>()
        })?;
        Ok(ids.into_iter().filter_map(|page| self.catalog.find(page)).collect())
    }

    /// A page's segment and its place there.
    pub(super) fn place(&self, page: PageId) -> Result<(&Arc<Segment>, usize)> {
        let at = self.catalog.find(page).ok_or(Error::NoPage { page })?;
        self.catalog.place(at)
    }

    /// How many documents can be found, and how many of their pages failed.
    pub(super) fn count(&self) -> Result<(usize, usize)> {
        self.ask("count its documents", |connection| {
            let sql = "SELECT (SELECT count(*) FROM documents WHERE finished = 1), \
                       (SELECT count(*) FROM pages p JOIN documents d ON d.id = p.document_id \
                        WHERE d.finished = 1 AND p.failure IS NOT NULL)";
            let count = |number: i64| usize::try_from(number).unwrap_or_default();
            connection.query_row(sql, [], |row| Ok((count(row.get(0)?), count(row.get(1)?))))
        })
    }
}
