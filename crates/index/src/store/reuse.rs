//! What was made of pages before, for pages that have not changed.

use rusqlite::{OptionalExtension, params};

use super::Writer;
use crate::{DocumentId, Hash, PageId, ReadPage, ReaderKind, Result};

/// What encoders made of a page beside its vectors for late interaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Made {
    /// Its dense vectors, or those of its passages.
    pub dense: Vec<Vec<f32>>,
    /// The weights of its tokens, in the order of these.
    pub sparse: Vec<(u32, f32)>,
}

impl Writer {
    /// A page that can be found and that looks and reads as this page of a document that was begun: one of the same path or
    /// the same content. What encoders made of it need not be made again.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub fn twin(&self, document: DocumentId, page: Hash) -> Result<Option<PageId>> {
        self.database.ask("find a page", |connection| {
            // Two questions that each have an index to answer them.
            let sql = "WITH it AS (SELECT path, hash FROM documents WHERE id = ?1), \
                       like_it AS ( \
                           SELECT d.id FROM it JOIN documents d ON d.path = it.path \
                           WHERE d.finished = 1 \
                           UNION SELECT d.id FROM it JOIN documents d ON d.hash = it.hash \
                           WHERE d.finished = 1) \
                       SELECT p.id FROM like_it JOIN pages p ON p.document_id = like_it.id \
                       WHERE p.hash = ?2 AND p.failure IS NULL ORDER BY p.id LIMIT 1";
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_row(params![document.0, page.0], |row| row.get(0));
            Ok(found.optional()?.map(PageId))
        })
    }

    /// A page that can be found and that looks as this page of a document that was begun, whatever it says: one of the same path
    /// or the same content. `bare` is the hash that a page of this image has if it has no words: pages of earlier versions of
    /// this program say nothing else of their looks.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub fn lookalike(
        &self,
        document: DocumentId,
        looks: Hash,
        bare: Hash,
    ) -> Result<Option<PageId>> {
        self.database.ask("find a page", |connection| {
            let sql = "WITH it AS (SELECT path, hash FROM documents WHERE id = ?1), \
                       like_it AS ( \
                           SELECT d.id FROM it JOIN documents d ON d.path = it.path \
                           WHERE d.finished = 1 \
                           UNION SELECT d.id FROM it JOIN documents d ON d.hash = it.hash \
                           WHERE d.finished = 1) \
                       SELECT p.id FROM like_it JOIN pages p ON p.document_id = like_it.id \
                       LEFT JOIN looks l ON l.page_id = p.id \
                       WHERE (l.hash = ?2 OR (l.hash IS NULL AND p.hash = ?3)) \
                       AND p.segment_id IS NOT NULL ORDER BY p.id LIMIT 1";
            let mut statement = connection.prepare_cached(sql)?;
            let row = params![document.0, looks.0, bare.0];
            Ok(statement.query_row(row, |row| row.get(0)).optional()?.map(PageId))
        })
    }

    /// What was read of a file of the same content, in the same way, and can be found: by number. What nobody could read is not
    /// among it.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub fn read_before(&self, document: DocumentId) -> Result<Vec<ReadPage>> {
        self.database.ask("give what was read", |connection| {
            let sql = "SELECT p.number, p.text, r.kind, r.name, r.because FROM documents it \
                       JOIN readings way ON way.document_id = it.id \
                       JOIN documents d ON d.hash = it.hash AND d.finished = 1 \
                       JOIN readings other ON other.document_id = d.id \
                           AND other.mode = way.mode AND other.reader = way.reader \
                       JOIN pages p ON p.document_id = d.id \
                       JOIN read_pages r ON r.page_id = p.id \
                       WHERE it.id = ?1 AND r.kind <> ?2 ORDER BY p.number, p.id";
            let mut statement = connection.prepare_cached(sql)?;
            let rows =
                statement.query_map(params![document.0, ReaderKind::Nobody.name()], |row| {
                    Ok(ReadPage {
                        number: row.get(0)?,
                        text: row.get(1)?,
                        kind: ReaderKind::of(row.get_ref(2)?.as_str()?),
                        name: row.get(3)?,
                        because: row.get(4)?,
                    })
                })?;
            let mut all = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            all.dedup_by_key(|page| page.number);
            Ok(all)
        })
    }

    /// The dense vectors of a page, and the weights of its tokens.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub fn made(&self, page: PageId) -> Result<Made> {
        self.database.ask("give a page's vectors", |connection| {
            let sql = "SELECT vector FROM dense WHERE page_id = ? ORDER BY id";
            let mut statement = connection.prepare_cached(sql)?;
            let numbers = |bytes: &[u8]| {
                bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            };
            let rows =
                statement.query_map([page.0], |row| Ok(numbers(row.get_ref(0)?.as_blob()?)))?;
            let dense = rows.collect::<rusqlite::Result<_>>()?;
            let sql = "SELECT token, weight FROM sparse WHERE page_id = ? ORDER BY token";
            let mut statement = connection.prepare_cached(sql)?;
            // They were of 32 bits when they came.
            let rows = statement
                .query_map([page.0], |row| Ok((row.get(0)?, row.get::<_, f64>(1)? as f32)))?;
            Ok(Made { dense, sparse: rows.collect::<rusqlite::Result<_>>()? })
        })
    }
}
