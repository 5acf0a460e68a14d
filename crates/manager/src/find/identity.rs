//! Which model it is, by its files.
//!
//! An index is used with the very model that made it. Names tell that badly: a folder may hold another model tomorrow. So the
//! bytes of all its files are summed up; the sums of large files are kept beside what the system says of them, because it
//! takes seconds to make them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Error;
use crate::hex;

/// Files from so many bytes on have their sums kept.
const LARGE: u64 = 1 << 20;
/// Sums that are kept at most.
const MOST_KEPT: usize = 1000;
/// The folders of a model that hold something: those of sentence-transformers.
const DEPTH: usize = 2;

/// A SHA-256 over the files of a model and of what is added to it, in folders. Sums of large files are kept in the file `kept`.
///
/// # Errors
/// When a file cannot be read.
pub fn identity(folders: &[&Path], kept: &Path) -> Result<[u8; 32], Error> {
    let mut sums = Sums::load(kept);
    let mut whole = Sha256::new();
    for folder in folders {
        let mut files = Vec::new();
        gather(folder, Path::new(""), DEPTH, &mut files)?;
        files.sort();
        for name in files {
            let sum = sums.of(&folder.join(&name))?;
            whole.update(name.to_string_lossy().replace('\\', "/").as_bytes());
            whole.update(b"\0");
            whole.update(sum.as_bytes());
        }
        whole.update(b"\0");
    }
    sums.save(kept);
    Ok(whole.finalize().into())
}

/// What the system says of the files that [`identity`] sums up: the same as long as nobody changes one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(Vec<(PathBuf, u64, Duration)>);

impl Stamp {
    /// Of the files in `folders`, now.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn of(folders: &[&Path]) -> Result<Self, Error> {
        let mut all = Vec::new();
        for folder in folders {
            let mut files = Vec::new();
            gather(folder, Path::new(""), DEPTH, &mut files)?;
            files.sort();
            for name in files {
                let path = folder.join(name);
                let of = fs::metadata(&path).map_err(failed(&path))?;
                all.push((path, of.len(), age(&of)));
            }
        }
        Ok(Self(all))
    }

    /// How many bytes they have.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|(_, bytes, _)| bytes).sum()
    }
}

/// When a file was changed last.
fn age(of: &fs::Metadata) -> Duration {
    let modified = of.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    modified.unwrap_or_default()
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Read { path: path.to_owned(), source }
}

/// The files below a folder that decide what a model does: not what only people read, nor what is hidden.
fn gather(
    folder: &Path,
    below: &Path,
    depth: usize,
    files: &mut Vec<PathBuf>,
) -> Result<(), Error> {
    let place = folder.join(below);
    for entry in fs::read_dir(&place).map_err(failed(&place))? {
        let entry = entry.map_err(failed(&place))?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let for_people = ["md", "png", "jpg", "gif", "pdf"];
        let extension = Path::new(&name).extension().and_then(|end| end.to_str());
        if text.starts_with('.') || extension.is_some_and(|end| for_people.contains(&end)) {
            continue;
        }
        let path = entry.path();
        let of = fs::metadata(&path).map_err(failed(&path))?;
        if of.is_dir() && depth > 1 {
            gather(folder, &below.join(&name), depth - 1, files)?;
        } else if of.is_file() {
            files.push(below.join(&name));
        }
    }
    Ok(())
}

/// Sums of files, by their paths, and what the system said of each when it was summed up.
struct Sums {
    known: BTreeMap<String, (String, String)>,
    changed: bool,
}

impl Sums {
    /// What cannot be read is not known.
    fn load(kept: &Path) -> Self {
        let text = fs::read_to_string(kept).unwrap_or_default();
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        let known = value.as_object().into_iter().flatten().filter_map(|(path, entry)| {
            let [state, sum] = [&entry["state"], &entry["sha256"]].map(Value::as_str);
            Some((path.clone(), (state?.to_owned(), sum?.to_owned())))
        });
        Self { known: known.collect(), changed: false }
    }

    fn of(&mut self, file: &Path) -> Result<String, Error> {
        let path = fs::canonicalize(file).map_err(failed(file))?;
        let of = fs::metadata(&path).map_err(failed(&path))?;
        if of.len() < LARGE {
            return sum(&path);
        }
        let state = format!("{} {}", of.len(), age(&of).as_nanos());
        let key = path.to_string_lossy().into_owned();
        if let Some((_, sum)) = self.known.get(&key).filter(|(known, _)| *known == state) {
            return Ok(sum.clone());
        }
        let sum = sum(&path)?;
        self.known.insert(key, (state, sum.clone()));
        self.changed = true;
        Ok(sum)
    }

    /// What cannot be kept is made again the next time.
    fn save(mut self, kept: &Path) {
        if !self.changed {
            return;
        }
        self.known.retain(|path, _| Path::new(path).exists());
        while self.known.len() > MOST_KEPT {
            self.known.pop_first();
        }
        let entry = |(path, (state, sum))| (path, json!({"state": state, "sha256": sum}));
        let all: Value =
            self.known.into_iter().map(entry).collect::<serde_json::Map<_, _>>().into();
        let partial = kept.with_extension(format!("{}.partial", std::process::id()));
        let folder = kept.parent().map_or(Ok(()), fs::create_dir_all);
        let written = folder.and_then(|()| fs::write(&partial, all.to_string()));
        if written.and_then(|()| fs::rename(&partial, kept)).is_err() {
            // Half of it may be there.
            drop(fs::remove_file(&partial));
        }
    }
}

fn sum(path: &Path) -> Result<String, Error> {
    let mut file = File::open(path).map_err(failed(path))?;
    let (mut sha256, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut buffer).map_err(failed(path))?;
        if read == 0 {
            return Ok(hex(&sha256.finalize()));
        }
        sha256.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_known_by_its_bytes() {
        let home = tempfile::tempdir().unwrap();
        let (model, kept) = (home.path().join("model"), home.path().join("kept/sums.json"));
        fs::create_dir_all(model.join("1_Pooling")).unwrap();
        fs::write(model.join("config.json"), "{}").unwrap();
        fs::write(model.join("1_Pooling/config.json"), "{}").unwrap();
        let weights = model.join("model.safetensors");
        fs::write(&weights, vec![7; 2 << 20]).unwrap();
        let of = || identity(&[&model], &kept).unwrap();
        let stamp = || Stamp::of(&[&model]).unwrap();
        let first = of();
        assert_eq!(of(), first);
        assert!(fs::read_to_string(&kept).unwrap().contains("model.safetensors"));
        // What only people read, and where the folder is, makes no difference.
        fs::write(model.join("README.md"), "words").unwrap();
        fs::write(model.join(".hidden"), "words").unwrap();
        assert_eq!(of(), first);
        let moved = home.path().join("moved");
        fs::rename(&model, &moved).unwrap();
        assert_eq!(identity(&[&moved], &kept).unwrap(), first);
        fs::rename(&moved, &model).unwrap();
        for (name, bytes) in
            [("1_Pooling/config.json", vec![b'['; 2]), ("model.safetensors", vec![8; 2 << 20])]
        {
            let before = (of(), stamp());
            fs::write(model.join(name), bytes).unwrap();
            // A clock may be too coarse to tell the two apart.
            let later = std::time::SystemTime::now() + Duration::from_secs(5);
            File::options()
                .append(true)
                .open(model.join(name))
                .unwrap()
                .set_modified(later)
                .unwrap();
            assert!(of() != before.0 && stamp() != before.1, "{name}");
        }
        assert_ne!(identity(&[&model, &model], &kept).unwrap(), of());
        fs::write(&kept, "no JSON").unwrap();
        assert_eq!(identity(&[&model], &kept).unwrap(), of());
    }
}
