//! Where fetched files go: blobs by identity, snapshots of relative links, references; each step a rename.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::listing::{Identity, RemoteFile};
use crate::catalog::{Repository, is_commit};
use crate::error::{Error, Result};

/// The blob of an identity.
pub(super) fn blob(repository: &Repository, identity: &Identity) -> PathBuf {
    repository.blobs().join(identity.text())
}

/// The part of that blob that came so far.
pub(super) fn part(repository: &Repository, identity: &Identity) -> PathBuf {
    repository.blobs().join(format!("{}.incomplete", identity.text()))
}

/// Makes the folders.
pub(super) fn prepare(repository: &Repository) -> Result<()> {
    for folder in [repository.blobs(), repository.snapshots()] {
        fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    }
    Ok(())
}

/// Whether a blob is whole, as far as its size tells: blobs get their names only after their hashes were right.
pub(super) fn is_whole(path: &Path, size: u64) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
}

/// Bytes that a disk has free for us.
pub(super) fn free(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Checks that what is still to come fits. Gives the bytes that are on disk already.
pub(super) fn check_space(repository: &Repository, files: &[RemoteFile]) -> Result<u64> {
    let mut seen = std::collections::BTreeSet::new();
    let (mut present, mut needed) = (0_u64, 0_u64);
    for file in files.iter().filter(|file| seen.insert(&file.identity)) {
        let have = if is_whole(&blob(repository, &file.identity), file.size) {
            file.size
        } else {
            fs::metadata(part(repository, &file.identity))
                .map_or(0, |metadata| metadata.len().min(file.size))
        };
        present = present.saturating_add(have);
        needed = needed.saturating_add(file.size - have);
    }
    match free(&repository.blobs()) {
        Some(available) if available < needed => {
            Err(Error::DiskFull { path: repository.path(), needed, available })
        }
        _ => Ok(present),
    }
}

/// Links the blobs into the snapshot, `config.json` last, and then lets the revision name it.
pub(super) fn publish(
    repository: &Repository,
    commit: &str,
    files: &[RemoteFile],
    revision: &str,
) -> Result<()> {
    let snapshot = repository.snapshot(commit);
    let mut order: Vec<&RemoteFile> = files.iter().collect();
    order.sort_by_key(|file| (file.name == "config.json", &file.name));
    for file in order {
        let link = snapshot.join(&file.name);
        let folder = link.parent().unwrap_or(&snapshot);
        fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        // `snapshots/COMMIT/` is two steps below the repository, and each `/` of the name one more.
        let up = "../".repeat(2 + file.name.matches('/').count());
        let target = PathBuf::from(format!("{up}blobs/{}", file.identity.text()));
        if fs::read_link(&link).is_ok_and(|old| old == target) {
            continue;
        }
        let fresh = fresh(folder, file.identity.text());
        drop(fs::remove_file(&fresh));
        symlink(&target, &fresh).map_err(Error::file("link", &link))?;
        fs::rename(&fresh, &link).map_err(Error::file("link", &link))?;
    }
    sync(&snapshot)?;
    if is_commit(revision) && revision == commit {
        return Ok(());
    }
    let reference = repository.reference(revision);
    if crate::catalog::read_reference(&reference).as_deref() == Some(commit) {
        return Ok(());
    }
    let folder = reference.parent().unwrap_or(&reference);
    fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
    let fresh = fresh(folder, commit);
    let write = || {
        let mut file = fs::File::create(&fresh)?;
        file.write_all(commit.as_bytes())?;
        file.sync_all()
    };
    write().map_err(Error::file("write", &fresh))?;
    fs::rename(&fresh, &reference).map_err(Error::file("write", &reference))
}

/// A name in `folder` that nobody else writes to: other processes have other numbers, and other pulls
/// of this one another count.
fn fresh(folder: &Path, name: &str) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    folder.join(format!(".{name}.{}.{count}", std::process::id()))
}

/// Makes a folder's names survive a loss of power.
pub(super) fn sync(folder: &Path) -> Result<()> {
    fs::File::open(folder).and_then(|file| file.sync_all()).map_err(Error::file("write", folder))
}
