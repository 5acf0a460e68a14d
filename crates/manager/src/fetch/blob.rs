//! One file, from the hub to its blob: locked, resumed, verified, and renamed at the very end.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Response, StatusCode, Url};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::client::{self, Attempt, Cause, Client, Retries};
use super::listing::{Digest, RemoteFile};
use super::{Observer, Progress, off_executor, store};
use crate::catalog::{ModelName, Repository, lock};
use crate::error::{AnswerFault, Error, Result};

/// Bytes of a file between two reports.
const REPORT: u64 = 1 << 20;
/// Pieces that may wait for the disk; one is at most some 10 kB.
const QUEUE: usize = 64;
/// Bytes that are written at once.
const STRETCH: usize = 4 << 20;
/// How long bytes may wait to be written.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often we look whether another process is done with a file.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Job {
    pub(super) client: Arc<Client>,
    pub(super) name: ModelName,
    pub(super) url: Url,
    pub(super) repository: Repository,
    pub(super) file: RemoteFile,
    pub(super) observer: Observer,
}

/// The part of a file that is on disk, with the hash of it. It holds the file's lock, so that the lock lives as long
/// as anyone writes, even when the future that began it is gone.
struct Part {
    file: File,
    path: PathBuf,
    digest: Digest,
    len: u64,
    _lock: File,
}

/// How one transfer ended.
enum Transfer {
    Whole,
    Broken(Attempt),
}

impl Job {
    /// Brings the file to its blob.
    pub(super) async fn run(self) -> Result<()> {
        let Some(mut part) = self.open().await? else {
            self.finished();
            return Ok(());
        };
        let mut retries = Retries::default();
        let mut verified_twice = false;
        loop {
            if part.len < self.file.size {
                let before = part.len;
                let (returned, transfer) = self.transfer(part).await?;
                part = returned;
                if let Transfer::Broken(attempt) = transfer {
                    if part.len > before {
                        retries.reset();
                    }
                    retries
                        .pause(
                            &self.client.patience,
                            attempt,
                            Some(&self.file.name),
                            &self.observer,
                        )
                        .await?;
                    continue;
                }
            }
            match self.finish(part).await? {
                None => break,
                // A part of an earlier attempt may have been damaged: once, the file is fetched anew.
                Some((returned, error)) => {
                    if std::mem::replace(&mut verified_twice, true) {
                        let path = returned.path.clone();
                        off_executor("remove a damaged file", move || {
                            fs::remove_file(&path).map_err(Error::file("remove", &path))
                        })
                        .await?;
                        return Err(error);
                    }
                    tracing::warn!(file = self.file.name, %error, "fetching it again");
                    part = self.restart(returned).await?;
                }
            }
        }
        self.finished();
        Ok(())
    }

    fn finished(&self) {
        (self.observer)(Progress::Finished { file: self.file.name.clone(), total: self.file.size });
    }

    fn moved(&self, done: u64) {
        (self.observer)(Progress::Moved {
            file: self.file.name.clone(),
            done,
            total: self.file.size,
        });
    }

    /// Waits for the file's lock and hashes what is there. `None`: the blob is whole.
    async fn open(&self) -> Result<Option<Part>> {
        let mut told = false;
        loop {
            let (repository, file) = (self.repository.clone(), self.file.clone());
            let opened =
                off_executor("open a file", move || Part::open(&repository, &file)).await?;
            match opened {
                Opened::Whole => return Ok(None),
                Opened::Ready(part) => {
                    self.moved(part.len);
                    return Ok(Some(part));
                }
                Opened::Locked => {
                    if !std::mem::replace(&mut told, true) {
                        (self.observer)(Progress::Waiting { file: self.file.name.clone() });
                    }
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
            }
        }
    }

    async fn restart(&self, part: Part) -> Result<Part> {
        let digest = self.file.identity.digest(self.file.size);
        let part = off_executor("empty a file", move || part.emptied(digest)).await?;
        self.moved(0);
        Ok(part)
    }

    /// One request, and as many bytes as it brings.
    async fn transfer(&self, mut part: Part) -> Result<(Part, Transfer)> {
        let response = match self.client.get(&self.name, &self.url, part.len).await {
            Ok(response) => response,
            Err(Attempt::Never(Error::Status { status: 416, .. })) if part.len > 0 => {
                // The other side has no such range: what we have is not a beginning of what it has.
                let again = Attempt::Again {
                    url: self.url.to_string(),
                    cause: Cause::Status(416),
                    wait: None,
                };
                return Ok((self.restart(part).await?, Transfer::Broken(again)));
            }
            Err(attempt) => return Ok((part, Transfer::Broken(attempt))),
        };
        if response.status() != StatusCode::PARTIAL_CONTENT && part.len > 0 {
            part = self.restart(part).await?;
        }
        if let Err(error) = self.check(&response, part.len) {
            return Ok((part, Transfer::Broken(Attempt::Never(error))));
        }
        let (pieces, received) = mpsc::channel(QUEUE);
        let needed = self.file.size;
        let writer = tokio::task::spawn_blocking(move || part.write(received, needed));
        let outcome = self.receive(response, pieces).await;
        let part = writer.await.map_err(|_| Error::TaskLost { action: "write a file" })??;
        if part.len > 0 {
            self.moved(part.len);
        }
        Ok((part, outcome))
    }

    /// Whether an answer is the part of the file that was asked for.
    fn check(&self, response: &Response, from: u64) -> Result<()> {
        let bad = |fault| Error::BadAnswer { url: self.url.to_string(), fault };
        let page_wanted = [".html", ".htm"].iter().any(|end| self.file.name.ends_with(end));
        if client::is_web_page(response.headers()) && !page_wanted {
            return Err(bad(AnswerFault::WebPage));
        }
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let (start, total) = client::content_range(response.headers())
                .ok_or_else(|| bad(AnswerFault::WrongRange))?;
            if start != from || total.is_some_and(|total| total != self.file.size) {
                return Err(bad(AnswerFault::WrongRange));
            }
        }
        match response.content_length() {
            Some(length) if from.saturating_add(length) != self.file.size => {
                Err(self.wrong_size(from.saturating_add(length)))
            }
            _ => Ok(()),
        }
    }

    fn wrong_size(&self, found: u64) -> Error {
        let (file, url) = (self.file.name.clone(), self.url.to_string());
        Error::WrongSize { file, url, expected: self.file.size, found }
    }

    /// Hands pieces to the writer until there are no more.
    async fn receive(&self, mut response: Response, pieces: mpsc::Sender<Piece>) -> Transfer {
        let idle = self.client.patience.idle;
        let mut done = pieces_begin(&response, self.file.size);
        let mut reported = done;
        let again = |cause| {
            Transfer::Broken(Attempt::Again { url: self.url.to_string(), cause, wait: None })
        };
        loop {
            let piece = match tokio::time::timeout(idle, response.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) if done == self.file.size => return Transfer::Whole,
                Ok(Ok(None)) => {
                    return again(Cause::Cut { received: done, expected: self.file.size });
                }
                Ok(Err(error)) => return Transfer::Broken(client::network(&self.url, error)),
                Err(_) => return again(Cause::Stalled(idle)),
            };
            done = done.saturating_add(piece.len() as u64);
            if done > self.file.size {
                return Transfer::Broken(Attempt::Never(self.wrong_size(done)));
            }
            if pieces.send(piece).await.is_err() {
                // The writer is gone and says why when it is joined.
                return Transfer::Whole;
            }
            if done - reported >= REPORT {
                reported = done;
                self.moved(done);
            }
        }
    }

    /// Verifies the file and gives it its name. On a wrong hash the part comes back with the error.
    async fn finish(&self, part: Part) -> Result<Option<(Part, Error)>> {
        let (file, repository) = (self.file.clone(), self.repository.clone());
        off_executor("verify a file", move || {
            part.file.sync_all().map_err(Error::file("write", &part.path))?;
            let expected = file.identity.text();
            match part.digest.clone().finish() {
                Some(found) if found != expected => {
                    let error = Error::WrongHash {
                        file: file.name.clone(),
                        expected: expected.to_owned(),
                        found,
                    };
                    return Ok(Some((part, error)));
                }
                Some(_) => {}
                None => tracing::warn!(
                    file = file.name,
                    "the hub gives no hash: only the size was verified"
                ),
            }
            let blob = store::blob(&repository, &file.identity);
            fs::rename(&part.path, &blob).map_err(Error::file("write", &blob))?;
            store::sync(&repository.blobs())?;
            Ok(None)
        })
        .await
    }
}

/// Bytes as they come.
type Piece = bytes::Bytes;

/// The bytes before the first piece of an answer: an answer's own length tells where it begins.
fn pieces_begin(response: &Response, size: u64) -> u64 {
    match client::content_range(response.headers()) {
        Some((start, _)) if response.status() == StatusCode::PARTIAL_CONTENT => start.min(size),
        _ => 0,
    }
}

enum Opened {
    Whole,
    Locked,
    Ready(Part),
}

impl Part {
    fn open(repository: &Repository, file: &RemoteFile) -> Result<Opened> {
        let blob = store::blob(repository, &file.identity);
        if store::is_whole(&blob, file.size) {
            return Ok(Opened::Whole);
        }
        let Some(lock) = lock::blob(repository, file.identity.text())? else {
            return Ok(Opened::Locked);
        };
        // Whoever held the lock before may have finished it.
        if store::is_whole(&blob, file.size) {
            return Ok(Opened::Whole);
        }
        let path = store::part(repository, &file.identity);
        let handle =
            File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let handle = handle.map_err(Error::file("open", &path))?;
        let digest = file.identity.digest(file.size);
        let part = Self { file: handle, path, digest: digest.clone(), len: 0, _lock: lock };
        part.hashed(file.size, digest).map(Opened::Ready)
    }

    /// Takes the hash of what is there; more than the file may have is no beginning of it.
    fn hashed(mut self, size: u64, digest: Digest) -> Result<Self> {
        let there = self.file.metadata().map_err(Error::file("read", &self.path))?.len();
        if there > size {
            return self.emptied(digest);
        }
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = self.file.read(&mut buffer).map_err(Error::file("read", &self.path))?;
            let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
            self.digest.update(piece);
            self.len += piece.len() as u64;
        }
        Ok(self)
    }

    fn emptied(mut self, digest: Digest) -> Result<Self> {
        self.file.set_len(0).map_err(Error::file("write", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(Error::file("write", &self.path))?;
        self.len = 0;
        self.digest = digest;
        Ok(self)
    }

    /// Writes and hashes pieces until the sender is gone. They are gathered to [`STRETCH`]: what is
    /// written in small pieces lies in small pages, until it is read from the disk again, and
    /// weights are read a good deal slower from these.
    fn write(mut self, mut pieces: mpsc::Receiver<Piece>, size: u64) -> Result<Self> {
        let runtime = Handle::current();
        let mut gathered = Vec::new();
        let mut until = Instant::now() + PATIENCE;
        loop {
            let piece = runtime.block_on(tokio::time::timeout_at(until, pieces.recv()));
            let whole = match &piece {
                Ok(Some(piece)) => {
                    gathered.extend_from_slice(piece);
                    // Stretches begin at their multiples.
                    let ends = STRETCH - (self.len % STRETCH as u64) as usize;
                    if gathered.len() < ends { 0 } else { ends }
                }
                Ok(None) | Err(_) => gathered.len(),
            };
            if whole > 0 {
                self.append(&gathered[..whole], size)?;
                gathered.drain(..whole);
            }
            if whole > 0 || piece.is_err() {
                until = Instant::now() + PATIENCE;
            }
            if matches!(piece, Ok(None)) {
                return Ok(self);
            }
        }
    }

    fn append(&mut self, bytes: &[u8], size: u64) -> Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            if error.kind() == std::io::ErrorKind::StorageFull {
                let needed = size.saturating_sub(self.len);
                let folder = self.path.parent().unwrap_or(&self.path);
                let available = store::free(folder).unwrap_or(0);
                return Err(Error::DiskFull { path: folder.to_owned(), needed, available });
            }
            return Err(Error::file("write", &self.path)(error));
        }
        self.digest.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }
}
