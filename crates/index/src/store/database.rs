//! The database: its tables, and how a connection is opened.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};

use super::Folder;
use crate::{Encoder, Error, Hash, Profile, Result};

/// What marks the file as ours: "FOLI".
const APPLICATION: i64 = 0x464f_4c49;

/// The version of the tables.
const VERSION: i64 = 1;

/// How long a connection waits for another one's short lock. Readers and the writer do not
/// wait for each other; only a moment at opening and closing is exclusive.
const PATIENCE: Duration = Duration::from_secs(10);

const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE encoders (
    part TEXT PRIMARY KEY, name TEXT NOT NULL, model BLOB NOT NULL, prompt BLOB NOT NULL,
    pooling TEXT NOT NULL, dim INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL, hash BLOB NOT NULL, date TEXT, category TEXT,
    page_count INTEGER NOT NULL, finished INTEGER NOT NULL, UNIQUE (path, finished)
) STRICT;
CREATE TABLE metadata (
    document_id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (document_id, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE segments (id INTEGER PRIMARY KEY, pages INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
CREATE TABLE pages (
    id INTEGER PRIMARY KEY,
    document_id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    number INTEGER NOT NULL, hash BLOB NOT NULL, text TEXT NOT NULL, failure TEXT,
    segment_id INTEGER REFERENCES segments (id), slot INTEGER,
    UNIQUE (document_id, number)
) STRICT;
CREATE INDEX pages_by_segment ON pages (segment_id);
CREATE VIRTUAL TABLE words USING fts5 (
    text, content = 'pages', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER words_come AFTER INSERT ON pages BEGIN
    INSERT INTO words (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER words_go AFTER DELETE ON pages BEGIN
    INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
END;
CREATE TABLE sparse (
    token INTEGER NOT NULL, page_id INTEGER NOT NULL REFERENCES pages (id) ON DELETE CASCADE,
    weight REAL NOT NULL, PRIMARY KEY (token, page_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sparse_by_page ON sparse (page_id);
CREATE TABLE dense (
    id INTEGER PRIMARY KEY, page_id INTEGER NOT NULL REFERENCES pages (id) ON DELETE CASCADE,
    vector BLOB NOT NULL
) STRICT;
CREATE INDEX dense_by_page ON dense (page_id);
CREATE TABLE previews (
    page_id INTEGER PRIMARY KEY REFERENCES pages (id) ON DELETE CASCADE,
    kind TEXT NOT NULL, bytes BLOB NOT NULL
) STRICT;
INSERT INTO meta VALUES ('generation', 0), ('next_document', 1), ('next_page', 1), ('next_segment', 1);
";

/// What came later. Whoever does not know these tables may read and write the others: rows of theirs go with their pages and
/// documents.
const LATER_TABLES: &str = "
CREATE TABLE IF NOT EXISTS readings (
    document_id INTEGER PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
    mode TEXT NOT NULL, reader TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS read_pages (
    page_id INTEGER PRIMARY KEY REFERENCES pages (id) ON DELETE CASCADE,
    kind TEXT NOT NULL, name TEXT NOT NULL, because TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS looks (
    page_id INTEGER PRIMARY KEY REFERENCES pages (id) ON DELETE CASCADE, hash BLOB NOT NULL
) STRICT;
";

/// A connection to an index's database.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    pub(crate) connection: Connection,
}

impl Database {
    /// Opens the database to be changed, with new tables for `profile` if there are none. The caller
    /// holds the writer's lock.
    pub(crate) fn write(folder: &Folder, profile: Option<&Profile>) -> Result<Self> {
        let mut database = Self::connect(folder, profile.is_some())?;
        let version = database.version()?;
        match (version, profile) {
            ((0, 0), Some(profile)) => database.make(profile)?,
            ((0, 0), None) => return Err(Error::Missing { path: database.path }),
            ((APPLICATION, VERSION), _) => {}
            ((_, found), _) => {
                return Err(Error::Version { path: database.path, found, wanted: VERSION });
            }
        }
        if !database.ask("be opened", has_readings)? {
            database.change("be made", |transaction| transaction.execute_batch(LATER_TABLES))?;
        }
        Ok(database)
    }

    /// Opens the database to be read.
    pub(crate) fn read(folder: &Folder) -> Result<Self> {
        let database = Self::connect(folder, false)?;
        match database.version()? {
            // Its writer has not come to the tables yet.
            (0, 0) => Err(Error::Missing { path: database.path }),
            (APPLICATION, VERSION) => {
                let ask = database.connection.pragma_update(None, "query_only", true);
                ask.map_err(Error::database(&database.path, "be read"))?;
                Ok(database)
            }
            (_, found) => Err(Error::Version { path: database.path, found, wanted: VERSION }),
        }
    }

    fn connect(folder: &Folder, create: bool) -> Result<Self> {
        let path = folder.path().to_owned();
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if create {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
        }
        let open = || {
            let connection = Connection::open_with_flags(folder.database(), flags)?;
            connection.busy_timeout(PATIENCE)?;
            let mode: String =
                connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
            // A transaction that was answered is on the disk, whatever happens to the machine.
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", true)?;
            Ok((connection, mode))
        };
        let (connection, mode) = open().map_err(Error::database(&path, "be opened"))?;
        if mode != "wal" {
            return Err(Error::Value {
                what: "journal of the database",
                value: mode,
                allowed: "a write-ahead log, which network folders cannot have",
            });
        }
        Ok(Self { path, connection })
    }

    /// The application and the version that the file says; zeros if it is new.
    fn version(&self) -> Result<(i64, i64)> {
        let number = |name| self.connection.pragma_query_value(None, name, |row| row.get(0));
        let both = number("application_id").and_then(|id| Ok((id, number("user_version")?)));
        both.map_err(Error::database(&self.path, "be opened"))
    }

    fn make(&mut self, profile: &Profile) -> Result<()> {
        self.change("be made", |transaction| {
            transaction.execute_batch(TABLES)?;
            for (part, encoder) in profile.parts() {
                let Some(Encoder { name, model, prompt, pooling, dim }) = encoder else { continue };
                let row = params![part, name, model.0, prompt.0, pooling, dim];
                transaction.execute("INSERT INTO encoders VALUES (?, ?, ?, ?, ?, ?)", row)?;
            }
            let halves = i64::from(profile.halves);
            transaction.execute("INSERT INTO meta VALUES ('halves', ?)", [halves])?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            Ok(())
        })
    }

    /// What made the index.
    pub(crate) fn profile(&self) -> Result<Profile> {
        let ask = || {
            let mut profile = Profile::default();
            let mut statement = self.connection.prepare("SELECT * FROM encoders")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let encoder = Encoder {
                    name: row.get(1)?,
                    model: Hash(row.get(2)?),
                    prompt: Hash(row.get(3)?),
                    pooling: row.get(4)?,
                    dim: row.get(5)?,
                };
                match row.get_ref(0)?.as_str()? {
                    crate::profile::VECTORS => profile.vectors = Some(encoder),
                    crate::profile::DENSE => profile.dense = Some(encoder),
                    _ => profile.sparse = Some(encoder),
                }
            }
            profile.halves = meta(&self.connection, "halves")? == 1;
            Ok(profile)
        };
        ask().map_err(Error::database(&self.path, "say what made it"))
    }

    /// Does `work` in one transaction that is whole or was never there.
    pub(crate) fn change<T>(
        &mut self,
        action: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let run = || {
            let behavior = TransactionBehavior::Immediate;
            let transaction = self.connection.transaction_with_behavior(behavior)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        run().map_err(Error::database(&self.path, action))
    }

    /// Asks something.
    pub(crate) fn ask<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        work(&self.connection).map_err(Error::database(&self.path, action))
    }

    /// Has SQLite look through its pages, and returns what it finds wrong, if anything.
    pub(crate) fn quick_check(&self) -> Result<Option<String>> {
        let verdict: Option<String> = self.ask("be checked", |connection| {
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).optional()
        })?;
        Ok(verdict.filter(|verdict| verdict != "ok"))
    }
}

/// What the table `meta` calls the number by which an index is known among others.
pub(crate) const IDENTITY: &str = "identity";

/// Gives the index a number by which it is known among others, if it has none.
pub(crate) fn identify(database: &mut Database) -> Result<()> {
    let known = database.ask("say which it is", |connection| meta(connection, IDENTITY).optional());
    if known?.is_none() {
        database.change("be numbered", |transaction| {
            transaction.execute("INSERT INTO meta VALUES (?, random())", [IDENTITY])
        })?;
    }
    Ok(())
}

/// Whether there are tables that say who read pages. An index without them that nobody has written to since has none.
pub(crate) fn has_readings(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'looks')";
    connection.query_row(sql, [], |row| row.get(0))
}

/// A number of the table `meta`.
pub(crate) fn meta(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.query_row("SELECT value FROM meta WHERE name = ?", [name], |row| row.get(0))
}

/// Sets a number of the table `meta`.
pub(crate) fn set_meta(connection: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    connection.execute("UPDATE meta SET value = ? WHERE name = ?", params![value, name])?;
    Ok(())
}
