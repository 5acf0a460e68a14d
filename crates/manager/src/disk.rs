//! Room on the disk of a folder, and whether one may write there.

use std::path::Path;

/// Bytes of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of them.
    pub total: u64,
    /// Those that this user may still take.
    pub free: u64,
}

/// The disk that the folder `path` is on, or would be on; `None` where the system does not tell.
pub fn space(path: &Path) -> Option<Space> {
    let stat = rustix::fs::statvfs(existing(path)?).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Some(Space { total: bytes(stat.f_blocks), free: bytes(stat.f_bavail) })
}

/// Whether this user may write into the folder `path`, or into the one that it would be made in.
pub fn is_writable(path: &Path) -> bool {
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    existing(path).is_some_and(|path| rustix::fs::access(path, access).is_ok())
}

/// The nearest folder that exists on the way up from `path`.
fn existing(path: &Path) -> Option<&Path> {
    path.ancestors()
        .map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path })
        .find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_has_the_room_of_its_parent() {
        let root = tempfile::tempdir().unwrap();
        let later = root.path().join("a/b");
        assert_eq!(space(&later).unwrap().total, space(root.path()).unwrap().total);
        assert!(is_writable(&later));
        assert!(space(Path::new("nowhere/at/all")).is_some());
    }
}
