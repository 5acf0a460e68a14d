//! A folder as `NAME.tar.gz`, the same bytes on every run: sorted, one time and one owner for all.

use std::fs::{self, File};
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use crate::command::must;

const BLOCK: usize = 512;

/// Packs `folder`, under its own name, into `folder`.tar.gz beside it. Every file gets the time `time`, in seconds since
/// 1970. Links are followed. Needs `gzip`.
pub(super) fn pack(folder: &Path, time: u64) -> Result<PathBuf> {
    let above = folder.parent().context("a folder in a folder")?;
    let name = folder.file_name().context("a folder with a name")?.to_string_lossy();
    let tar = above.join(format!("{name}.tar"));
    let mut paths = Vec::new();
    list(folder, &name, &mut paths)?;
    paths.sort();
    let file = File::create(&tar).with_context(|| format!("cannot write {}", tar.display()))?;
    let mut out = BufWriter::new(file);
    for (inside, path) in &paths {
        let metadata = fs::metadata(path)?;
        out.write_all(&header(inside, &metadata, time)?)?;
        if metadata.is_file() {
            let copied = std::io::copy(&mut File::open(path)?, &mut out)?;
            ensure!(copied == metadata.len(), "{} changed while it was packed", path.display());
            let rest = (copied as usize).next_multiple_of(BLOCK) - copied as usize;
            out.write_all(&[0; BLOCK][..rest])?;
        }
    }
    out.write_all(&[0; 2 * BLOCK])?;
    out.into_inner()?.sync_all()?;
    // Without the name and the time of the file.
    must(Command::new("gzip").args(["-n", "-f"]).arg(&tar)).context("cannot compress")?;
    Ok(above.join(format!("{name}.tar.gz")))
}

/// Everything in `folder`, itself included: the name within the archive, and where it is. Folders end in `/`.
fn list(folder: &Path, inside: &str, out: &mut Vec<(String, PathBuf)>) -> Result<()> {
    out.push((format!("{inside}/"), folder.to_owned()));
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let inside = format!("{inside}/{}", name.context("a file's name is not UTF-8")?);
        if path.is_dir() {
            list(&path, &inside, out)?;
        } else {
            out.push((inside, path));
        }
    }
    Ok(())
}

/// A header as POSIX's `ustar` has it.
fn header(name: &str, metadata: &fs::Metadata, time: u64) -> Result<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    let mut put =
        |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    // A long name is cut at a slash: its end in the first field, its beginning in another.
    let cut = match name.len() {
        0..=100 => None,
        _ => Some(name[..name.len() - 1].match_indices('/').map(|(at, _)| at))
            .and_then(|mut slashes| slashes.find(|at| name.len() - at - 1 <= 100)),
    };
    let (prefix, rest) = cut.map_or(("", name), |at| (&name[..at], &name[at + 1..]));
    ensure!(rest.len() <= 100 && prefix.len() <= 155, "the name {name} is too long for an archive");
    put(0, rest);
    put(345, prefix);
    let mode = if metadata.is_dir() || is_executable(metadata) { 0o755 } else { 0o644 };
    let size = if metadata.is_dir() { 0 } else { metadata.len() };
    ensure!(size < 1 << 33, "{name} is too large for an archive");
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, &format!("{time:011o}"));
    put(148, "        ");
    put(156, if metadata.is_dir() { "5" } else { "0" });
    put(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    Ok(block)
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    false
}

/// The SHA-256 of a file, in hexadecimal.
pub(super) fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::output;

    #[test]
    fn an_archive_is_the_same_each_time_and_unpacks() {
        let pack_into = |order: &[&str]| {
            let above = tempfile::tempdir().unwrap();
            let folder = above.path().join("thing-1.0");
            let deep = format!("{}/{}", "long".repeat(20), "name".repeat(20));
            for name in order {
                let path = folder.join(name.replace("DEEP", &deep));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, name.repeat(400)).unwrap();
            }
            let archive = pack(&folder, 1_000_000_000).unwrap();
            let listed = output(Command::new("tar").arg("tzf").arg(&archive)).unwrap();
            let unpacked = above.path().join("unpacked");
            fs::create_dir(&unpacked).unwrap();
            must(Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(&unpacked)).unwrap();
            for name in order {
                let path = unpacked.join("thing-1.0").join(name.replace("DEEP", &deep));
                assert_eq!(fs::read_to_string(&path).unwrap(), name.repeat(400));
                assert_eq!(
                    fs::metadata(&path).unwrap().modified().unwrap(),
                    std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)
                );
            }
            (sha256(&archive).unwrap(), listed)
        };
        let first = pack_into(&["a", "b/c", "DEEP/d", "b/a"]);
        assert_eq!(first, pack_into(&["b/a", "DEEP/d", "b/c", "a"]));
        assert!(first.1.starts_with("thing-1.0/\nthing-1.0/a\nthing-1.0/b/\nthing-1.0/b/a\n"));
        assert_ne!(first.0, pack_into(&["a", "b/c", "DEEP/d"]).0);
    }

    #[test]
    fn a_known_hash() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "abc").unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(file.path()).unwrap(), known);
    }
}
