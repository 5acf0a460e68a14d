//! What was made of pages before, for pages that have not changed.

use rusqlite::{OptionalExtension, params};

use super::Writer;
use crate::{DocumentId, Hash, PageId, Result};

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
