//! Pages of caches on the disk: a folder with a cap, for all models of a server.
//!
//! A page is a file, in a folder for each generation: what the page means depends on the model's files, the device, and how the
//! cache is cut and coded, and a page of another generation is never found. A file says what it holds and has a checksum of it;
//! one that does not keep its word is named and taken away. Files that are not ours are named and left alone.
//!
//! A thread writes; whoever puts a page does not wait for it. What cannot be written in time is not.

mod file;
mod generation;
mod index;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use engine::{Beginning, Shelf};
use sha2::{Digest as _, Sha256};

pub(super) use self::generation::Generation;
pub(super) use self::index::MOST_WAITING;
use self::index::{Index, Name};
use super::error::Error;

/// The file that tells other programs that the folder is in use.
const LOCK: &str = "lock";

/// The folder. Its thread ends when the last handle is gone, and has then written all that it was given.
#[derive(Debug)]
pub struct PageStore {
    shared: Arc<Shared>,
    jobs: Option<Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    /// Held as long as this lives.
    _lock: File,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    index: Mutex<Index>,
}

struct Job {
    name: Name,
    page: Vec<u8>,
}

impl PageStore {
    /// Opens the folder, and makes it if it is not there, for this user's eyes only. What is there beyond `cap` bytes goes, the
    /// longest unused first.
    ///
    /// # Errors
    ///
    /// If the folder cannot be made or read, or another program has it.
    pub fn open(folder: &Path, cap: u64) -> Result<Arc<Self>, Error> {
        let fail = |source| Error::Shelf { path: folder.to_owned(), source };
        file::make_private(folder).map_err(fail)?;
        let lock = file::private().create(true).truncate(false).open(folder.join(LOCK));
        let lock = lock.map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(Error::ShelfTaken { path: folder.to_owned() });
            }
            Err(fs::TryLockError::Error(source)) => return Err(fail(source)),
        }
        let index = Mutex::new(Index::scan(folder, cap).map_err(fail)?);
        let shared = Arc::new(Shared { folder: folder.to_owned(), index });
        shared.evict(0);
        let (jobs, waiting) = channel();
        let writer = {
            let shared = Arc::clone(&shared);
            Builder::new().name("pages".to_owned()).spawn(move || shared.write_all(&waiting))
        };
        let writer = Some(writer.map_err(fail)?);
        Ok(Arc::new(Self { shared, jobs: Some(jobs), writer, _lock: lock }))
    }

    /// How many bytes of pages are there, and how many may be.
    pub fn bytes(&self) -> (u64, u64) {
        let index = self.shared.index();
        (index.held(), index.cap())
    }

    /// Bytes of pages that may be put here without being left out.
    pub(super) fn room(&self) -> u64 {
        self.shared.index().room()
    }

    /// Waits until all is written that was put here, but no longer than `patience`. Returns whether it is. Blocks.
    pub fn settle(&self, patience: Duration) -> bool {
        let begun = Instant::now();
        while self.room() < MOST_WAITING {
            if begun.elapsed() > patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// The part of it for one generation.
    pub(super) fn shelf(self: &Arc<Self>, generation: Generation) -> Box<dyn Shelf> {
        Box::new(ModelShelf { store: Arc::clone(self), generation })
    }
}

impl Drop for PageStore {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            // A panic there cost pages, which nobody relies on.
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        // No work under the lock can be left half done.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, jobs: &Receiver<Job>) {
        for Job { name, page } in jobs {
            let bytes = file::size(&page);
            let room = bytes <= self.index().cap();
            if room {
                self.evict(bytes);
            }
            let path = name.path(&self.folder);
            let written = if room { file::write(&path, &name, &page) } else { Ok(()) };
            let mut index = self.index();
            match written {
                Ok(()) if room => index.add(name, bytes),
                Ok(()) => index.give_up(&name),
                Err(error) => {
                    index.give_up(&name);
                    drop(index);
                    tracing::warn!(path = %path.display(), %error, "a page was not written");
                }
            }
        }
    }

    /// Makes room for so many more bytes, and for a while.
    fn evict(&self, more: u64) {
        let gone = self.index().evict(more);
        if gone.is_empty() {
            return;
        }
        let mut bytes = 0;
        for (name, size) in &gone {
            bytes += size;
            remove(&name.path(&self.folder));
        }
        tracing::info!(pages = gone.len(), bytes, folder = %self.folder.display(), "removed the pages that were unused longest");
    }

    /// Takes away a page that is not what it should be.
    fn distrust(&self, name: &Name, why: &file::Flaw) {
        let path = name.path(&self.folder);
        let bytes = self.index().remove(name).unwrap_or(0);
        remove(&path);
        tracing::warn!(path = %path.display(), bytes, %why, "removed a page that is not to be trusted");
    }
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a page could not be removed");
        }
    }
}

/// The pages of one generation.
struct ModelShelf {
    store: Arc<PageStore>,
    generation: Generation,
}

impl ModelShelf {
    /// The name of the page behind each of these tokens' chunks, one after the other: a hash of all tokens before.
    fn names<'a>(
        &'a self,
        way: u8,
        tokens: &'a [u32],
        page_size: usize,
    ) -> impl Iterator<Item = Name> + 'a {
        let mut hash = Sha256::new();
        hash.update([way]);
        tokens.chunks_exact(page_size.max(1)).map(move |chunk| {
            chunk.iter().for_each(|token| hash.update(token.to_le_bytes()));
            Name { generation: self.generation, key: hash.clone().finalize().into() }
        })
    }

    fn name(&self, beginning: &Beginning, page_size: usize) -> Option<Name> {
        self.names(beginning.way, &beginning.tokens, page_size).last()
    }
}

impl Shelf for ModelShelf {
    fn reach(&mut self, way: u8, tokens: &[u32], page_size: usize) -> usize {
        let mut index = self.store.shared.index();
        self.names(way, tokens, page_size).take_while(|name| index.touch(name)).count()
    }

    fn has(&mut self, beginning: &Beginning, page_size: usize) -> bool {
        let name = self.name(beginning, page_size);
        name.is_some_and(|name| self.store.shared.index().knows(&name))
    }

    fn put(&mut self, beginning: &Beginning, page_size: usize, page: Vec<u8>) {
        let Some(name) = self.name(beginning, page_size) else { return };
        // Where the disk is behind, this page is computed again if it is wanted.
        if !self.store.shared.index().expect(name, page.len() as u64) {
            return;
        }
        let sent = self.store.jobs.as_ref().map(|jobs| jobs.send(Job { name, page }));
        if !matches!(sent, Some(Ok(()))) {
            self.store.shared.index().give_up(&name);
        }
    }

    fn get(&mut self, beginning: &Beginning, page_size: usize) -> Option<Vec<u8>> {
        let name = self.name(beginning, page_size)?;
        let shared = &self.store.shared;
        shared.index().touch(&name).then_some(())?;
        match file::read(&name.path(&shared.folder), &name) {
            Ok(page) => Some(page),
            Err(flaw) => {
                shared.distrust(&name, &flaw);
                None
            }
        }
    }
}
