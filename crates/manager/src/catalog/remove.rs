//! Removing a model: first what would go, then its going.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::{Entry, Hold, Repository, Source};
use crate::error::{Error, Result};

/// One file, link or folder that would go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its path.
    pub path: PathBuf,
    /// Bytes that removing it frees; 0 for links and folders.
    pub bytes: u64,
}

/// What removing a model would take away. Nothing is touched before [`Removal::execute`].
#[derive(Clone, Debug)]
pub struct Removal {
    name: String,
    items: Vec<Item>,
    /// Folders to remove when they are empty by then, innermost first.
    folders: Vec<PathBuf>,
    repository: Option<Repository>,
    root: PathBuf,
}

impl Removal {
    /// What removing one entry would take: its snapshot, the references to it, the blobs that only it uses. When it is
    /// the only one of its repository, the whole repository goes, parts of downloads too. An entry of another
    /// program's or the user's own folder needs `force`.
    ///
    /// # Errors
    /// [`Error::NotOwned`], [`Error::OutsideFolder`], [`Error::File`].
    pub fn of(entry: &Entry, force: bool) -> Result<Self> {
        if entry.source != Source::HubCache {
            if !force {
                return Err(Error::NotOwned { path: entry.home.clone() });
            }
            return Self::whole(entry, None);
        }
        let repository = repository(entry);
        let commits = repository.commits();
        match &entry.revision {
            Some(revision) if commits.iter().any(|commit| *commit != revision.commit) => {
                Self::snapshot(entry, repository, &revision.commit)
            }
            _ => Self::whole(entry, Some(repository)),
        }
    }

    /// What removing every revision of an entry's repository would take.
    ///
    /// # Errors
    /// As [`Removal::of`].
    pub fn of_repository(entry: &Entry, force: bool) -> Result<Self> {
        if entry.source == Source::HubCache {
            Self::whole(entry, Some(repository(entry)))
        } else {
            Self::of(entry, force)
        }
    }

    fn whole(entry: &Entry, repository: Option<Repository>) -> Result<Self> {
        let home = &entry.home;
        stays_inside(home, &entry.root)?;
        let mut removal = Self::nothing(entry, repository);
        removal.add_tree(home)?;
        Ok(removal)
    }

    fn snapshot(entry: &Entry, repository: Repository, commit: &str) -> Result<Self> {
        stays_inside(&entry.home, &entry.root)?;
        let path = repository.snapshot(commit);
        stays_inside(&path, &entry.home)?;
        let blobs = repository.blobs();
        if fs::symlink_metadata(&blobs).is_ok() {
            stays_inside(&blobs, &entry.home)?;
        }
        let mine = linked_blobs(&path)?;
        let mut others = BTreeSet::new();
        for other in repository.commits().iter().filter(|other| *other != commit) {
            others.extend(linked_blobs(&repository.snapshot(other))?);
        }
        let references = repository.references();
        let mut removal = Self::nothing(entry, Some(repository.clone()));
        removal.add_tree(&path)?;
        for (reference, _) in references.iter().filter(|(_, named)| *named == commit) {
            let reference = repository.reference(reference);
            stays_inside(&reference, &entry.home)?;
            removal.add_file(&reference)?;
        }
        for blob in mine.difference(&others) {
            let path = blobs.join(blob);
            if fs::symlink_metadata(&path).is_ok() {
                removal.add_file(&path)?;
            }
        }
        Ok(removal)
    }

    fn nothing(entry: &Entry, repository: Option<Repository>) -> Self {
        Self {
            name: entry.name.clone(),
            items: Vec::new(),
            folders: Vec::new(),
            repository,
            root: entry.root.clone(),
        }
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every file and link that would go.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Bytes that would be free then.
    pub fn bytes(&self) -> u64 {
        self.items.iter().fold(0, |sum, item| sum.saturating_add(item.bytes))
    }

    /// Removes it, links first, so that a crash leaves unused files and never a model that looks whole. Files that
    /// came in the meantime stay. Gives the bytes freed.
    ///
    /// # Errors
    /// [`Error::InUse`] while any process loads, fetches or holds it; [`Error::File`] when a file cannot be removed;
    /// what was removed before stays removed.
    pub fn execute(self) -> Result<u64> {
        let _locks = self
            .repository
            .as_ref()
            .map(|repository| Hold::alone(repository, &self.name))
            .transpose()?;
        let mut freed = 0_u64;
        for item in &self.items {
            match fs::remove_file(&item.path) {
                Ok(()) => freed = freed.saturating_add(item.bytes),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::file("remove", &item.path)(error)),
            }
        }
        for folder in self.folders.iter().filter(|folder| **folder != self.root) {
            match fs::remove_dir(folder) {
                Ok(()) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::NotFound | std::io::ErrorKind::DirectoryNotEmpty
                    ) => {}
                Err(error) => return Err(Error::file("remove", folder)(error)),
            }
        }
        Ok(freed)
    }

    /// Everything below a folder, and the folder. Links are listed, never followed.
    fn add_tree(&mut self, root: &Path) -> Result<()> {
        let mut files = Vec::new();
        let mut folders = vec![root.to_owned()];
        let mut next = 0;
        while let Some(folder) = folders.get(next).cloned() {
            next += 1;
            for entry in fs::read_dir(&folder).map_err(Error::file("list", &folder))? {
                let entry = entry.map_err(Error::file("list", &folder))?;
                let kind = entry.file_type().map_err(Error::file("look at", &entry.path()))?;
                if kind.is_dir() {
                    folders.push(entry.path());
                } else {
                    files.push((!kind.is_symlink(), entry.path()));
                }
            }
        }
        files.sort();
        // A file with several names frees its bytes once, with the last of them.
        let mut counted: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        for (_, path) in files {
            let metadata = fs::symlink_metadata(&path).map_err(Error::file("look at", &path))?;
            let names = counted.entry((metadata.dev(), metadata.ino())).or_insert(0);
            *names += 1;
            let freed = metadata.is_file() && *names == metadata.nlink();
            self.items.push(Item { bytes: if freed { metadata.len() } else { 0 }, path });
        }
        folders.reverse();
        self.folders.extend(folders);
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> Result<()> {
        let metadata = fs::symlink_metadata(path).map_err(Error::file("look at", path))?;
        let bytes = if metadata.is_file() && metadata.nlink() == 1 { metadata.len() } else { 0 };
        self.items.push(Item { path: path.to_owned(), bytes });
        Ok(())
    }
}

fn repository(entry: &Entry) -> Repository {
    let folder = entry.home.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Repository { cache: entry.root.clone(), folder }
}

/// Refuses a folder that is a link or lies, links resolved, outside of `root`.
fn stays_inside(path: &Path, root: &Path) -> Result<()> {
    let outside = || Error::OutsideFolder { path: path.to_owned(), root: root.to_owned() };
    let link = fs::symlink_metadata(path).map_err(Error::file("look at", path))?.is_symlink();
    let real_root = root.canonicalize().map_err(Error::file("look at", root))?;
    let real = path.canonicalize().map_err(Error::file("look at", path))?;
    if link || real == real_root || !real.starts_with(&real_root) {
        return Err(outside());
    }
    Ok(())
}

/// The names of the blobs that a snapshot's links name, when they lie in `blobs` next to `snapshots`.
fn linked_blobs(snapshot: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![snapshot.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::file("list", &folder))? {
            let entry = entry.map_err(Error::file("list", &folder))?;
            let kind = entry.file_type().map_err(Error::file("look at", &entry.path()))?;
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_symlink() {
                let target =
                    fs::read_link(entry.path()).map_err(Error::file("read", &entry.path()))?;
                found.extend(blob_name(&target));
            }
        }
    }
    Ok(found)
}

/// `../../blobs/NAME`, or the same as an absolute path.
fn blob_name(target: &Path) -> Option<String> {
    let mut parts = target.components().rev();
    let (Some(Component::Normal(name)), Some(Component::Normal(folder))) =
        (parts.next(), parts.next())
    else {
        return None;
    };
    (folder == "blobs").then(|| name.to_string_lossy().into_owned())
}
