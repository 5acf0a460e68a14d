//! What is said of pages and documents that were found.

use std::collections::BTreeMap;
use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::lists::any_word;
use super::snapshot::Snapshot;
use crate::store::{Database, IDENTITY, has_readings, meta};
use crate::{DocumentId, Error, Hash, PageId, ReadPage, ReaderKind, ReaderPages, Reading, Result};

/// A page that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The page.
    pub page: PageId,
    /// Its document.
    pub document: DocumentId,
    /// Where that is.
    pub path: String,
    /// The page's number there, from 1.
    pub number: u32,
    /// What its place is owed to, of the last stage that ranked: a sum of products for vectors,
    /// reciprocal ranks for fused lists, else what the one list counts.
    pub score: f64,
    /// Some of its words.
    pub snippet: Snippet,
}

/// Some words of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snippet {
    /// The words around those that were looked for, or the first ones.
    pub text: String,
    /// Where those that were looked for stand, in bytes.
    pub marks: Vec<Range<usize>>,
}

/// A document that can be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its number.
    pub document: DocumentId,
    /// Where it is.
    pub path: String,
    /// Of its content.
    pub hash: Hash,
    /// Its day, as it is written.
    pub date: Option<String>,
    /// Its kind.
    pub category: Option<String>,
    /// What else is known.
    pub metadata: BTreeMap<String, String>,
    /// How many pages it has.
    pub pages: u32,
    /// Pages that failed, with their reasons.
    pub failures: Vec<(u32, String)>,
    /// How pages of it were read, if they were.
    pub reading: Option<Reading>,
    /// Who read those whose own words are missing or in doubt.
    pub read_by: Vec<ReaderPages>,
    /// Pages that nobody could read, with the reasons: they have no words, and may be found by how they look.
    pub unread: Vec<(u32, String)>,
}

/// What there is of a page besides its vectors and its preview.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// Of the page as the encoders saw it.
    pub hash: Hash,
    /// Its words.
    pub text: String,
    /// Why it could not be read or encoded.
    pub failure: Option<String>,
    /// Its dense vectors, or those of its passages.
    pub dense: Vec<Vec<f32>>,
    /// The weights of its tokens, by token.
    pub sparse: Vec<(u32, f32)>,
}

/// Characters that stand in no text, to find marks again.
const OPEN: char = '\u{fdd0}';
const CLOSE: char = '\u{fdd1}';

/// Tokens of a snippet, and characters of one of a page without what was looked for.
const TOKENS: i64 = 32;
const CHARACTERS: i64 = 200;

impl Snapshot<'_> {
    /// Looks up what hits are.
    pub(super) fn describe(
        &self,
        ranked: &[(PageId, f64)],
        words: Option<&str>,
    ) -> Result<Vec<Hit>> {
        let query = words.and_then(any_word);
        self.ask("describe its pages", |connection| {
            let sql = "SELECT d.id, d.path, p.number, substr(p.text, 1, ?) FROM pages p \
                       JOIN documents d ON d.id = p.document_id WHERE p.id = ?";
            let mut pages = connection.prepare_cached(sql)?;
            let sql = "SELECT snippet(words, 0, ?, ?, '…', ?) FROM words \
                       WHERE words MATCH ? AND rowid = ?";
            let mut snippets = connection.prepare_cached(sql)?;
            let mut hits = Vec::with_capacity(ranked.len());
            for &(page, score) in ranked {
                let marked: Option<String> = match &query {
                    Some(query) => {
                        let (open, close) = (OPEN.to_string(), CLOSE.to_string());
                        let values = params![open, close, TOKENS, query, page.0];
                        snippets.query_row(values, |row| row.get(0)).optional()?
                    }
                    None => None,
                };
                let hit = pages.query_row(params![CHARACTERS, page.0], |row| {
                    let snippet = match &marked {
                        Some(marked) => Snippet::read(marked),
                        None => Snippet { text: row.get(3)?, marks: Vec::new() },
                    };
                    let (document, path) = (DocumentId(row.get(0)?), row.get(1)?);
                    Ok(Hit { page, document, path, number: row.get(2)?, score, snippet })
                })?;
                hits.push(hit);
            }
            Ok(hits)
        })
    }
}

impl Snippet {
    fn read(marked: &str) -> Self {
        let mut snippet = Self::default();
        let mut begun = None;
        for c in marked.chars() {
            match c {
                OPEN => begun = Some(snippet.text.len()),
                CLOSE => {
                    snippet.marks.extend(begun.take().map(|begun| begun..snippet.text.len()));
                }
                _ => snippet.text.push(c),
            }
        }
        snippet
    }
}

pub(super) fn preview(database: &Database, page: PageId) -> Result<Option<(String, Vec<u8>)>> {
    database.ask("give a preview", |connection| {
        let sql = "SELECT kind, bytes FROM previews WHERE page_id = ?";
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        connection.query_row(sql, [page.0], row).optional()
    })
}

pub(super) fn has_preview(database: &Database, page: PageId) -> Result<bool> {
    database.ask("look for a preview", |connection| {
        let sql = "SELECT EXISTS (SELECT 1 FROM previews WHERE page_id = ?)";
        connection.query_row(sql, [page.0], |row| row.get(0))
    })
}

pub(super) fn text(database: &Database, page: PageId) -> Result<String> {
    let text = database.ask("give a page's words", |connection| {
        let sql = "SELECT text FROM pages WHERE id = ?";
        connection.query_row(sql, [page.0], |row| row.get(0)).optional()
    })?;
    text.ok_or(Error::NoPage { page })
}

pub(super) fn content(database: &Database, page: PageId) -> Result<Content> {
    let content = database.ask("give a page's content", |connection| {
        // One state of the database, though it is asked several times.
        let connection = connection.unchecked_transaction()?;
        let sql = "SELECT hash, text, failure FROM pages WHERE id = ?";
        let row = |row: &Row<'_>| {
            let (hash, text, failure) = (row.get(0).map(Hash)?, row.get(1)?, row.get(2)?);
            Ok(Content { hash, text, failure, dense: Vec::new(), sparse: Vec::new() })
        };
        let Some(mut content) = connection.query_row(sql, [page.0], row).optional()? else {
            return Ok(None);
        };
        let sql = "SELECT vector FROM dense WHERE page_id = ? ORDER BY id";
        let mut dense = connection.prepare_cached(sql)?;
        let rows = dense.query_map([page.0], |row| {
            let (numbers, _) = row.get_ref(0)?.as_blob()?.as_chunks();
            Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        })?;
        content.dense = rows.collect::<rusqlite::Result<_>>()?;
        let sql = "SELECT token, weight FROM sparse WHERE page_id = ? ORDER BY token";
        let mut sparse = connection.prepare_cached(sql)?;
        let rows =
            sparse.query_map([page.0], |row| Ok((row.get(0)?, row.get::<_, f64>(1)? as f32)))?;
        content.sparse = rows.collect::<rusqlite::Result<_>>()?;
        Ok(Some(content))
    })?;
    content.ok_or(Error::NoPage { page })
}

pub(super) fn identity(database: &Database) -> Result<Option<u64>> {
    database.ask("say which it is", |connection| {
        let number = meta(connection, IDENTITY).optional()?;
        Ok(number.map(i64::cast_unsigned))
    })
}

pub(super) fn pages(database: &Database, document: DocumentId) -> Result<Vec<(u32, PageId)>> {
    database.ask("list its pages", |connection| {
        let sql = "SELECT p.number, p.id FROM pages p JOIN documents d ON d.id = p.document_id \
                   WHERE d.id = ? AND d.finished = 1 ORDER BY p.number";
        let mut statement = connection.prepare_cached(sql)?;
        let rows =
            statement.query_map([document.0], |row| Ok((row.get(0)?, PageId(row.get(1)?))))?;
        rows.collect()
    })
}

pub(super) fn documents(
    database: &Database,
    after: Option<DocumentId>,
    most: usize,
) -> Result<Vec<Document>> {
    database.ask("list its documents", |connection| {
        // One state of the database, though it is asked several times.
        let connection = connection.unchecked_transaction()?;
        let sql = "SELECT id, path, hash, date, category, page_count FROM documents \
                   WHERE finished = 1 AND id > ? ORDER BY id LIMIT ?";
        let mut statement = connection.prepare_cached(sql)?;
        let values = params![after.map_or(0, |after| after.0), i64::try_from(most).unwrap_or(-1)];
        let rows = statement.query_map(values, |row| {
            Ok(Document {
                document: DocumentId(row.get(0)?),
                path: row.get(1)?,
                hash: Hash(row.get(2)?),
                date: row.get(3)?,
                category: row.get(4)?,
                metadata: BTreeMap::new(),
                pages: row.get(5)?,
                failures: Vec::new(),
                reading: None,
                read_by: Vec::new(),
                unread: Vec::new(),
            })
        })?;
        let mut documents = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let sql = "SELECT name, value FROM metadata WHERE document_id = ?";
        let mut metadata = connection.prepare_cached(sql)?;
        let sql = "SELECT number, failure FROM pages \
                   WHERE document_id = ? AND failure IS NOT NULL ORDER BY number";
        let mut failures = connection.prepare_cached(sql)?;
        for document in &mut documents {
            let id = document.document.0;
            let rows = metadata.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            document.metadata = rows.collect::<rusqlite::Result<_>>()?;
            let rows = failures.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            document.failures = rows.collect::<rusqlite::Result<_>>()?;
        }
        if has_readings(&connection)? {
            for document in &mut documents {
                tell_reading(&connection, document)?;
            }
        }
        Ok(documents)
    })
}

/// Adds how a document was read, and by whom.
fn tell_reading(connection: &Connection, document: &mut Document) -> rusqlite::Result<()> {
    let id = document.document.0;
    let sql = "SELECT mode, reader FROM readings WHERE document_id = ?";
    let row = |row: &Row<'_>| Ok(Reading { mode: row.get(0)?, reader: row.get(1)? });
    document.reading = connection.prepare_cached(sql)?.query_row([id], row).optional()?;
    let sql = "SELECT r.kind, r.name, count(*) FROM pages p JOIN read_pages r ON r.page_id = p.id \
               WHERE p.document_id = ? GROUP BY r.kind, r.name ORDER BY r.kind, r.name";
    let mut statement = connection.prepare_cached(sql)?;
    document.read_by = statement.query_map([id], counted)?.collect::<rusqlite::Result<_>>()?;
    let sql = "SELECT p.number, coalesce(r.because, '') FROM pages p \
               JOIN read_pages r ON r.page_id = p.id \
               WHERE p.document_id = ? AND r.kind = ? ORDER BY p.number";
    let mut statement = connection.prepare_cached(sql)?;
    let nobody = params![id, ReaderKind::Nobody.name()];
    let rows = statement.query_map(nobody, |row| Ok((row.get(0)?, row.get(1)?)))?;
    document.unread = rows.collect::<rusqlite::Result<_>>()?;
    Ok(())
}

fn counted(row: &Row<'_>) -> rusqlite::Result<ReaderPages> {
    Ok(ReaderPages {
        kind: ReaderKind::of(row.get_ref(0)?.as_str()?),
        name: row.get(1)?,
        pages: usize::try_from(row.get::<_, i64>(2)?).unwrap_or_default(),
    })
}

/// Who read how many pages of all documents that can be found.
pub(super) fn readers(database: &Database) -> Result<Vec<ReaderPages>> {
    database.ask("say who read its pages", |connection| {
        if !has_readings(connection)? {
            return Ok(Vec::new());
        }
        let sql = "SELECT r.kind, r.name, count(*) FROM read_pages r \
                   JOIN pages p ON p.id = r.page_id \
                   JOIN documents d ON d.id = p.document_id WHERE d.finished = 1 \
                   GROUP BY r.kind, r.name ORDER BY r.kind, r.name";
        connection.prepare_cached(sql)?.query_map([], counted)?.collect()
    })
}

/// Who read a page; nothing if nobody was to.
pub(super) fn reader(database: &Database, page: PageId) -> Result<Option<ReadPage>> {
    database.ask("say who read a page", |connection| {
        if !has_readings(connection)? {
            return Ok(None);
        }
        let sql = "SELECT p.number, p.text, r.kind, r.name, r.because FROM read_pages r \
                   JOIN pages p ON p.id = r.page_id WHERE r.page_id = ?";
        let row = |row: &Row<'_>| {
            Ok(ReadPage {
                number: row.get(0)?,
                text: row.get(1)?,
                kind: ReaderKind::of(row.get_ref(2)?.as_str()?),
                name: row.get(3)?,
                because: row.get(4)?,
            })
        };
        connection.prepare_cached(sql)?.query_row([page.0], row).optional()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_places() {
        let snippet = Snippet::read("…a \u{fdd0}fire\u{fdd1} and \u{fdd0}é\u{fdd1}");
        assert_eq!(snippet.text, "…a fire and é");
        let marked: Vec<_> = snippet.marks.iter().map(|mark| &snippet.text[mark.clone()]).collect();
        assert_eq!(marked, ["fire", "é"]);
        assert_eq!(Snippet::read("\u{fdd1}x\u{fdd0}").marks, []);
    }
}
