//! Where the documents of clients lie: a folder of folio's own, and nothing else.
//!
//! A document is two files, named after its id: what it holds, and what is known of it. The second is written last and
//! removed first, so that a document is there when it is. Nothing is kept in memory, so several servers may use the folder.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::fault::Fault;
use crate::number;

/// Documents at most.
const MOST_FILES: usize = 1000;
/// Bytes of all of them.
const MOST_BYTES: u64 = 2 << 30;
/// Letters of a document's name that are kept.
const MOST_NAME: usize = 255;
/// What is left of an upload that broke off is removed after so long.
const LEFT_OVER: Duration = Duration::from_secs(3600);
/// Letters before and behind the number of an id.
const PREFIX: &str = "file-";
const DIGITS: usize = 24;

/// All documents.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// None: no documents are kept.
    folder: Option<PathBuf>,
    /// One upload is counted at a time.
    counting: Mutex<()>,
}

/// What is known of a document.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Entry {
    pub(super) id: String,
    owner: u64,
    pub(super) bytes: u64,
    pub(super) created: u64,
    expires: Option<u64>,
    pub(crate) name: String,
    pub(super) purpose: String,
    sha256: String,
}

impl Entry {
    /// The same in OpenAI's words.
    pub(super) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": self.created,
            "expires_at": self.expires,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
        })
    }
}

/// What a client leaves here.
#[derive(Debug)]
pub(super) struct Upload<'a> {
    pub(super) owner: u64,
    pub(super) name: &'a str,
    pub(super) purpose: &'a str,
    /// Seconds.
    pub(super) lasts: Option<u64>,
    pub(super) bytes: &'a [u8],
}

impl Shelf {
    /// Documents that lie under `folder`, which is made when the first comes.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, counting: Mutex::default() }
    }

    fn folder(&self) -> Result<&Path, Fault> {
        self.folder.as_deref().ok_or_else(|| {
            Fault::of(StatusCode::FORBIDDEN, "this server keeps no files: send them as `file_data`")
        })
    }

    /// Keeps a document.
    ///
    /// # Errors
    ///
    /// If there is no room, or the disk does not take it.
    pub(super) fn keep(&self, upload: &Upload<'_>) -> Result<Entry, Fault> {
        let folder = self.folder()?;
        make(folder)?;
        let _counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = sweep(folder)?;
        let bytes = upload.bytes.len() as u64;
        let all: u64 = kept.iter().map(|entry| entry.bytes).sum();
        if kept.len() >= MOST_FILES || all.saturating_add(bytes) > MOST_BYTES {
            let message = format!(
                "{} files of {all} bytes are kept here, of at most {MOST_FILES} files and {MOST_BYTES} bytes: delete some first",
                kept.len()
            );
            return Err(Fault::field("file", message).coded("storage_full"));
        }
        let created = number::now();
        let entry = Entry {
            id: number::name(PREFIX),
            owner: upload.owner,
            bytes,
            created,
            expires: upload.lasts.map(|lasts| created + lasts),
            name: upload.name.chars().filter(|c| !c.is_control()).take(MOST_NAME).collect(),
            purpose: upload.purpose.to_owned(),
            sha256: digest(upload.bytes),
        };
        let known = serde_json::to_vec(&entry)
            .map_err(|error| Fault::of(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        let content = folder.join(format!("{}.data", entry.id));
        write(&content, upload.bytes)?;
        write(&folder.join(format!("{}.json", entry.id)), &known).inspect_err(|_| {
            // Nobody knows of it.
            let _ = fs::remove_file(&content);
        })?;
        Ok(entry)
    }

    /// All of a client's, the newest first.
    ///
    /// # Errors
    ///
    /// If the disk does not tell.
    pub(super) fn list(&self, owner: u64) -> Result<Vec<Entry>, Fault> {
        let mut all = sweep(self.folder()?)?;
        all.retain(|entry| entry.owner == owner);
        all.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
        Ok(all)
    }

    /// What is known of one.
    ///
    /// # Errors
    ///
    /// If it is not there, or somebody else's.
    pub(super) fn entry(&self, owner: u64, id: &str) -> Result<Entry, Fault> {
        let folder = self.folder()?;
        let found = is_id(id).then(|| entry(&folder.join(format!("{id}.json")))).flatten();
        let now = number::now();
        found
            .filter(|found| found.id == id && found.owner == owner)
            .filter(|found| found.expires.is_none_or(|expires| expires > now))
            .ok_or_else(|| missing(id))
    }

    /// One, with what it holds.
    ///
    /// # Errors
    ///
    /// As [`entry`](Self::entry), or if what it holds is not what was left here.
    pub(crate) fn content(&self, owner: u64, id: &str) -> Result<(Entry, Vec<u8>), Fault> {
        let entry = self.entry(owner, id)?;
        let path = self.folder()?.join(format!("{id}.data"));
        let bytes = fs::read(&path).map_err(|error| broken(&path, &error))?;
        if digest(&bytes) != entry.sha256 {
            let message = format!("the file `{id}` is damaged: delete it, and upload it once more");
            return Err(Fault::of(StatusCode::INTERNAL_SERVER_ERROR, message));
        }
        Ok((entry, bytes))
    }

    /// Removes one.
    ///
    /// # Errors
    ///
    /// As [`entry`](Self::entry), or if the disk keeps it.
    pub(super) fn remove(&self, owner: u64, id: &str) -> Result<(), Fault> {
        self.entry(owner, id)?;
        discard(self.folder()?, id)
    }
}

/// All that is there, when what has expired and what is left of broken uploads is gone.
fn sweep(folder: &Path) -> Result<Vec<Entry>, Fault> {
    let found = match fs::read_dir(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(broken(folder, &error)),
    };
    let now = number::now();
    let mut kept = Vec::new();
    for file in found {
        let path = file.map_err(|error| broken(folder, &error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((id, rest)) = name.split_once('.').filter(|(id, _)| is_id(id)) else {
            continue;
        };
        match rest {
            "json" => match entry(&path).filter(|entry| entry.id == id) {
                Some(entry) if entry.expires.is_some_and(|expires| expires <= now) => {
                    discard(folder, id)?;
                }
                Some(entry) => kept.push(entry),
                None => {}
            },
            _ => {
                let whole = rest == "data" && folder.join(format!("{id}.json")).exists();
                let since = fs::metadata(&path).and_then(|told| told.modified());
                let age = since.ok().and_then(|since| since.elapsed().ok());
                if !whole && age.is_some_and(|age| age > LEFT_OVER) {
                    // Whoever was quicker has removed it.
                    let _ = fs::remove_file(&path);
                }
            }
        }
    }
    Ok(kept)
}

/// Whether `text` is a name that this server gives: it never leads out of the folder.
fn is_id(text: &str) -> bool {
    let digits = text.strip_prefix(PREFIX).unwrap_or_default();
    digits.len() == DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn entry(path: &Path) -> Option<Entry> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// What is known of it first: without that it is not there.
fn discard(folder: &Path, id: &str) -> Result<(), Fault> {
    for end in ["json", "data"] {
        let path = folder.join(format!("{id}.{end}"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(broken(&path, &error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), Fault> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| broken(folder, &error))
}

/// Writes a file that is whole when it has its name.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let part = path.with_added_extension("part");
    let written = File::create_new(&part)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&part, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&part);
        broken(path, &error)
    })
}

fn digest(bytes: &[u8]) -> String {
    manager::hex(&Sha256::digest(bytes))
}

fn broken(path: &Path, error: &std::io::Error) -> Fault {
    tracing::error!(path = %path.display(), %error, "the files of clients cannot be kept");
    Fault::of(StatusCode::INTERNAL_SERVER_ERROR, format!("the disk does not keep files: {error}"))
}

fn missing(id: &str) -> Fault {
    let message =
        format!("there is no file `{id}` here: it was never uploaded, deleted, or has expired");
    Fault { param: Some("file_id".to_owned()), ..Fault::of(StatusCode::NOT_FOUND, message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload<'a>(owner: u64, name: &'a str, lasts: Option<u64>) -> Upload<'a> {
        Upload { owner, name, purpose: "user_data", lasts, bytes: b"words" }
    }

    #[test]
    fn documents_outlive_the_server_and_are_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = |_| Shelf::new(Some(folder.path().join("files")));
        let one = shelf(0).keep(&upload(1, "../../etc/passwd\n", None)).unwrap();
        assert_eq!((one.name.as_str(), one.bytes), ("../../etc/passwd", 5));
        let (read, bytes) = shelf(1).content(1, &one.id).unwrap();
        assert_eq!((read.json(), &bytes[..]), (one.json(), &b"words"[..]));
        assert_eq!(shelf(1).list(1).unwrap().len(), 1);
        assert_eq!(shelf(1).list(2).unwrap().len(), 0);
        for (owner, id) in [(2, one.id.as_str()), (1, "file-x"), (1, "../files"), (1, "")] {
            let fault = shelf(1).content(owner, id).unwrap_err();
            assert_eq!((fault.status.as_u16(), shelf(1).remove(owner, id).is_err()), (404, true));
        }
        shelf(1).remove(1, &one.id).unwrap();
        assert!(shelf(1).entry(1, &one.id).is_err());
        assert_eq!(fs::read_dir(folder.path().join("files")).unwrap().count(), 0);
    }

    #[test]
    fn what_has_expired_is_gone_and_what_is_damaged_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(Some(folder.path().to_owned()));
        let gone = shelf.keep(&upload(0, "a", Some(0))).unwrap();
        assert_eq!(shelf.entry(0, &gone.id).unwrap_err().status.as_u16(), 404);
        let stays = shelf.keep(&upload(0, "a", Some(3600))).unwrap();
        assert_eq!(shelf.list(0).unwrap().len(), 1);
        assert!(!folder.path().join(format!("{}.data", gone.id)).exists());
        fs::write(folder.path().join(format!("{}.data", stays.id)), "other").unwrap();
        let fault = shelf.content(0, &stays.id).unwrap_err();
        assert!(fault.message.contains("damaged"), "{fault:?}");
        // What an upload that broke off has left is nobody's, and goes when it is old.
        let left = folder.path().join(format!("{PREFIX}{}.data", "0".repeat(DIGITS)));
        fs::write(&left, "x").unwrap();
        assert_eq!(shelf.list(0).unwrap().len(), 1);
        assert!(left.exists());
        let old = std::time::SystemTime::now() - 2 * LEFT_OVER;
        File::options().write(true).open(&left).unwrap().set_modified(old).unwrap();
        assert_eq!(shelf.list(0).unwrap().len(), 1);
        assert!(!left.exists());
    }

    #[test]
    fn there_is_an_end_to_the_room() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(Some(folder.path().to_owned()));
        let entry = shelf.keep(&upload(0, "a", None)).unwrap();
        let mut large = entry.clone();
        large.id = format!("{PREFIX}{}", "1".repeat(DIGITS));
        large.bytes = MOST_BYTES - 7;
        let path = folder.path().join(format!("{}.json", large.id));
        fs::write(&path, serde_json::to_vec(&large).unwrap()).unwrap();
        let fault = shelf.keep(&upload(0, "b", None)).unwrap_err();
        assert_eq!((fault.status.as_u16(), fault.code), (400, Some("storage_full")));
        let nowhere = Shelf::new(None).keep(&upload(0, "b", None)).unwrap_err();
        assert_eq!(nowhere.status.as_u16(), 403);
    }
}
