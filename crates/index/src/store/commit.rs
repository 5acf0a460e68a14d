//! What the writer does within a transaction.

use rusqlite::{Connection, OptionalExtension, params};

use super::database::{meta, set_meta};
use crate::{NewDocument, NewPage, Reading};

/// A page with its number and, if it has vectors, its segment and place there.
pub(super) struct Stored<'a> {
    pub(super) page: &'a NewPage<'a>,
    pub(super) id: i64,
    pub(super) place: Option<(i64, i64)>,
}

/// Has readers look again.
pub(super) fn next_generation(connection: &Connection) -> rusqlite::Result<()> {
    set_meta(connection, "generation", meta(connection, "generation")? + 1)
}

/// Adds a document that is not to be found yet.
pub(super) fn stage(connection: &Connection, document: &NewDocument) -> rusqlite::Result<i64> {
    let id = meta(connection, "next_document")?;
    set_meta(connection, "next_document", id + 1)?;
    let NewDocument { path, hash, pages, .. } = document;
    let sql = "INSERT INTO documents (id, path, hash, page_count, finished) VALUES (?, ?, ?, ?, 0)";
    connection.execute(sql, params![id, path, hash.0, pages])?;
    if let Some(Reading { mode, reader }) = &document.reading {
        let row = params![id, mode, reader];
        connection.execute("INSERT INTO readings VALUES (?, ?, ?)", row)?;
    }
    describe(connection, id, document)?;
    Ok(id)
}

/// Brings up to date what filters know a document by. Answers whether anything was otherwise.
pub(super) fn describe(
    connection: &Connection,
    id: i64,
    document: &NewDocument,
) -> rusqlite::Result<bool> {
    let NewDocument { date, category, metadata, .. } = document;
    let date = date.map(|date| date.to_string());
    let sql = "UPDATE documents SET date = ?1, category = ?2 \
               WHERE id = ?3 AND (date IS NOT ?1 OR category IS NOT ?2)";
    let mut changed = connection.execute(sql, params![date, category, id])? > 0;
    let mut statement = connection
        .prepare("SELECT name, value FROM metadata WHERE document_id = ? ORDER BY name")?;
    let rows = statement.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let stored = rows.collect::<rusqlite::Result<Vec<(String, String)>>>()?;
    if !stored.iter().map(|(name, value)| (name, value)).eq(metadata.iter()) {
        connection.execute("DELETE FROM metadata WHERE document_id = ?", [id])?;
        for (name, value) in metadata {
            let row = params![id, name, value];
            connection.execute("INSERT INTO metadata VALUES (?, ?, ?)", row)?;
        }
        changed = true;
    }
    Ok(changed)
}

/// Removes a document with its pages, and answers how many there were.
pub(super) fn drop_document(connection: &Connection, id: i64) -> rusqlite::Result<usize> {
    // By themselves, so that they are counted and their words go with them.
    let pages = connection.execute("DELETE FROM pages WHERE document_id = ?", [id])?;
    connection.execute("DELETE FROM documents WHERE id = ?", [id])?;
    Ok(pages)
}

/// Has a document be found, instead of the one of its path. Answers how many pages that one had.
pub(super) fn finish(connection: &Connection, id: i64) -> rusqlite::Result<usize> {
    let sql = "SELECT id FROM documents WHERE finished = 1 \
               AND path = (SELECT path FROM documents WHERE id = ?)";
    let mut statement = connection.prepare(sql)?;
    let earlier = statement.query_map([id], |row| row.get(0))?;
    let mut replaced = 0;
    for earlier in earlier.collect::<rusqlite::Result<Vec<i64>>>()? {
        replaced += drop_document(connection, earlier)?;
    }
    connection.execute("UPDATE documents SET finished = 1 WHERE id = ?", [id])?;
    Ok(replaced)
}

/// How the pages of a document were read, if they were.
pub(super) fn reading(connection: &Connection, id: i64) -> rusqlite::Result<Option<Reading>> {
    let sql = "SELECT mode, reader FROM readings WHERE document_id = ?";
    let row = |row: &rusqlite::Row<'_>| Ok(Reading { mode: row.get(0)?, reader: row.get(1)? });
    connection.query_row(sql, [id], row).optional()
}

/// Whether a document was read as is asked. Who reads makes no difference if no page was in doubt.
pub(super) fn is_read(
    connection: &Connection,
    id: i64,
    asked: Option<&Reading>,
) -> rusqlite::Result<bool> {
    let Some(asked) = asked else { return Ok(true) };
    let Some(known) = reading(connection, id)? else { return Ok(false) };
    if known.mode != asked.mode {
        return Ok(false);
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM pages p JOIN read_pages r ON r.page_id = p.id \
               WHERE p.document_id = ?)";
    let is_doubtful = || connection.query_row(sql, [id], |row| row.get::<_, bool>(0));
    Ok(known.reader == asked.reader || !is_doubtful()?)
}

/// Adds a page.
pub(super) fn page(connection: &Connection, stored: &Stored<'_>) -> rusqlite::Result<()> {
    let Stored { page, id, place } = stored;
    let sql = "INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let (segment, slot) = place.unzip();
    let NewPage { document, number, hash, text, failure, .. } = page;
    let row = params![id, document.0, number, hash.0, text, failure, segment, slot];
    connection.prepare_cached(sql)?.execute(row)?;
    if let Some(read) = page.read {
        let row = params![id, read.kind.name(), read.name, read.because];
        connection.prepare_cached("INSERT INTO read_pages VALUES (?, ?, ?, ?)")?.execute(row)?;
    }
    if let Some(looks) = page.looks {
        let row = params![id, looks.0];
        connection.prepare_cached("INSERT INTO looks VALUES (?, ?)")?.execute(row)?;
    }
    for (token, weight) in page.sparse {
        let mut statement = connection.prepare_cached("INSERT INTO sparse VALUES (?, ?, ?)")?;
        statement.execute(params![token, id, weight])?;
    }
    for vector in page.dense {
        let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
        let sql = "INSERT INTO dense (page_id, vector) VALUES (?, ?)";
        connection.prepare_cached(sql)?.execute(params![id, bytes])?;
    }
    if let Some(preview) = page.preview {
        let row = params![id, preview.kind, preview.bytes];
        connection.execute("INSERT INTO previews VALUES (?, ?, ?)", row)?;
    }
    Ok(())
}
