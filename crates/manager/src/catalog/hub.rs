//! The hub cache: `models--org--name/{blobs,refs,snapshots}`, as Python's `huggingface_hub` lays it out.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::folder::{self, Files};
use super::{Catalog, Entry, Gap, ModelName, Revision, Source};

/// The folders of one model in the hub cache.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    /// The hub cache.
    pub(crate) cache: PathBuf,
    /// The folder's name, `models--org--name`.
    pub(crate) folder: String,
}

impl Repository {
    pub(crate) fn new(cache: &Path, name: &ModelName) -> Self {
        Self { cache: cache.to_owned(), folder: name.folder() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.cache.join(&self.folder)
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.path().join("blobs")
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.path().join("snapshots")
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.snapshots().join(commit)
    }

    pub(crate) fn reference(&self, revision: &str) -> PathBuf {
        self.path().join("refs").join(revision)
    }

    /// Where locks lie: outside of the repository, so that removing it does not remove a lock that is held.
    pub(crate) fn locks(&self) -> PathBuf {
        self.cache.join(".locks").join(&self.folder)
    }

    /// The branches and tags on disk, with the commits they name.
    pub(crate) fn references(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut waiting = vec![(self.path().join("refs"), String::new(), 0)];
        while let Some((folder, prefix, depth)) = waiting.pop() {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for entry in entries.flatten() {
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() && depth < 8 {
                    waiting.push((entry.path(), format!("{name}/"), depth + 1));
                } else if let Some(commit) = read_reference(&entry.path()) {
                    found.insert(name, commit);
                }
            }
        }
        found
    }

    /// Bytes of blobs that are not whole.
    pub(crate) fn interrupted(&self) -> u64 {
        let Ok(entries) = fs::read_dir(self.blobs()) else { return 0 };
        let parts = entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().ends_with(".incomplete"));
        parts
            .filter_map(|entry| entry.metadata().ok())
            .fold(0, |sum, m| sum.saturating_add(m.len()))
    }

    /// The commits with a snapshot, sorted.
    pub(crate) fn commits(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.snapshots()) else { return Vec::new() };
        let mut commits: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        commits.sort();
        commits
    }
}

/// The commit that a file below `refs` holds, when it holds one.
pub(crate) fn read_reference(path: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(256).read_to_string(&mut text).ok()?;
    let commit = text.trim();
    is_commit(commit).then(|| commit.to_owned())
}

/// Whether a text is a commit's hash: safe as a folder's name.
pub(crate) fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Adds every model of the cache to the catalog.
pub(super) fn scan(cache: &Path, catalog: &mut Catalog) {
    for (folder, _) in catalog.subfolders(cache) {
        let Some(name) = folder.strip_prefix("models--") else { continue };
        let name = name.replacen("--", "/", 1);
        let repository = Repository { cache: cache.to_owned(), folder };
        catalog.entries.extend(entries(&name, &repository));
    }
}

/// One entry for each snapshot, one for each reference without a snapshot, and one for a repository with neither.
fn entries(name: &str, repository: &Repository) -> Vec<Entry> {
    let references = repository.references();
    let commits = repository.commits();
    let interrupted = repository.interrupted();
    let mut found = Vec::new();
    for commit in &commits {
        let naming = references
            .iter()
            .filter(|(_, named)| *named == commit)
            .map(|(name, _)| name.clone())
            .collect();
        let revision = Revision { commit: commit.clone(), references: naming };
        let path = repository.snapshot(commit);
        let files = Files::walk(&path);
        let seen = folder::inspect(&path, &files);
        let mut gaps = seen.gaps;
        // A part of a blob belongs to a snapshot only if that snapshot lacks something, or nothing names it yet.
        if interrupted > 0
            && (!gaps.is_empty() || (revision.references.is_empty() && commits.len() == 1))
        {
            gaps.push(Gap::Interrupted { bytes: interrupted });
        }
        let identities = files.identities();
        let bytes = identities.values().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        found.push(Entry {
            name: typed(name, &revision, commits.len()),
            path,
            revision: Some(revision),
            source: Source::HubCache,
            bytes,
            format: seen.format,
            model_type: seen.model_type,
            gaps,
            files: identities,
            home: repository.path(),
            root: repository.cache.clone(),
        });
    }
    for (reference, commit) in references.iter().filter(|(_, commit)| !commits.contains(commit)) {
        let revision = Revision { commit: commit.clone(), references: vec![reference.clone()] };
        let gap = Gap::NoSnapshot { reference: reference.clone(), commit: commit.clone() };
        found.push(remains(
            typed(name, &revision, commits.len()),
            repository,
            Some(revision),
            gap,
            interrupted,
        ));
    }
    if found.is_empty() {
        found.push(remains(name.to_owned(), repository, None, Gap::NoWeights, interrupted));
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// What the user types for a revision: the name alone for `main` and for the only one there is.
fn typed(name: &str, revision: &Revision, snapshots: usize) -> String {
    if snapshots <= 1 && revision.references.is_empty()
        || revision.references.iter().any(|r| r == "main")
    {
        return name.to_owned();
    }
    let short = || revision.commit.get(..8).unwrap_or(&revision.commit);
    format!("{name}@{}", revision.references.first().map_or_else(short, String::as_str))
}

fn remains(
    name: String,
    repository: &Repository,
    revision: Option<Revision>,
    gap: Gap,
    interrupted: u64,
) -> Entry {
    let mut gaps = vec![gap];
    if interrupted > 0 {
        gaps.push(Gap::Interrupted { bytes: interrupted });
    }
    let files = Files::walk(&repository.blobs()).identities();
    Entry {
        name,
        path: repository.path(),
        revision,
        source: Source::HubCache,
        bytes: files.values().fold(0, |sum, bytes| sum.saturating_add(*bytes)),
        format: super::Format::Safetensors,
        model_type: None,
        gaps,
        files,
        home: repository.path(),
        root: repository.cache.clone(),
    }
}
