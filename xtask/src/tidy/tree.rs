//! The files of the repository, read once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::rust::Source;

/// Folders that hold nothing of ours: build output, version control, fuzzing finds, caches.
const SKIPPED: &[&str] =
    &["target", ".git", "fuzz/target", "fuzz/corpus", "fuzz/artifacts", "__pycache__"];

/// A file as read.
#[derive(Debug)]
pub(super) struct File {
    /// Size in bytes.
    pub(super) bytes: u64,
    /// Its text, empty for a file that is not UTF-8.
    pub(super) text: String,
    /// For `.rs` files, the text taken apart.
    pub(super) rust: Option<Source>,
}

/// Every file by its path from the root, with `/` between the parts.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<String, File>,
}

impl Tree {
    /// Reads all files under `root` except build output and version control.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    fn read_folder(&mut self, root: &Path, folder: &str) -> Result<()> {
        let path = root.join(folder);
        let wrong = || format!("cannot read {}", path.display());
        for entry in fs::read_dir(&path).with_context(wrong)? {
            let entry = entry.with_context(wrong)?;
            let name = entry.file_name();
            let name = name.to_str().with_context(|| format!("{name:?} is not UTF-8"))?;
            let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            let kind = entry.file_type().with_context(wrong)?;
            let skipped = SKIPPED.contains(&path.as_str()) || name == "__pycache__";
            if kind.is_dir() && !skipped {
                self.read_folder(root, &path)?;
            } else if kind.is_file() {
                let content =
                    fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
                self.insert(path, content);
            }
        }
        Ok(())
    }

    /// A made-up tree.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.insert((*path).to_owned(), (*text).as_bytes().to_vec());
        }
        tree
    }

    fn insert(&mut self, path: String, content: Vec<u8>) {
        let bytes = content.len() as u64;
        let text = String::from_utf8(content).unwrap_or_default();
        let rust = path.ends_with(".rs").then(|| Source::new(&text));
        self.files.insert(path, File { bytes, text, rust });
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn get(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// Whether `path` is a file, or a folder with a file in it.
    pub(super) fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        path.is_empty() || self.get(path).is_some() || self.under(path).next().is_some()
    }

    /// Every file, in order of paths.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// Every file in `folder` or below it.
    pub(super) fn under(&self, folder: &str) -> impl Iterator<Item = (&str, &File)> {
        let prefix = format!("{folder}/");
        self.files().filter(move |(path, _)| path.starts_with(&prefix))
    }

    /// Every Rust file, with its text taken apart.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.files().filter_map(|(path, file)| Some((path, file.rust.as_ref()?)))
    }

    /// Every Rust file that is part of a crate's library or program, not of its tests.
    pub(super) fn product(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.rust().filter(|(path, _)| is_product(path))
    }
}

/// Whether a Rust file is compiled into what people run.
fn is_product(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.next() == Some("crates")
        && parts.next().is_some_and(|name| name != "testkit")
        && parts.next() == Some("src")
        && !parts.any(|part| matches!(part, "tests" | "tests.rs" | "conformance.rs"))
}

/// The crate that a path lies in: `crates/NAME/...`.
pub(super) fn crate_of(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.split('/').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_the_kit_are_no_product() {
        for path in ["crates/a/src/b.rs", "crates/a/src/b/mod.rs", "crates/a/src/bin/c.rs"] {
            assert!(is_product(path), "{path}");
        }
        for path in [
            "crates/a/tests/it/main.rs",
            "crates/a/src/b/tests.rs",
            "crates/a/src/tests/c.rs",
            "crates/a/benches/b.rs",
            "crates/testkit/src/lib.rs",
            "xtask/src/main.rs",
        ] {
            assert!(!is_product(path), "{path}");
        }
    }

    #[test]
    fn folders_exist_through_their_files() {
        let tree = Tree::of(&[("docs/dev/a.md", "")]);
        assert!(tree.exists("docs/dev") && tree.exists("docs/") && tree.exists("docs/dev/a.md"));
        assert!(!tree.exists("doc") && !tree.exists("docs/dev/b.md"));
    }

    #[test]
    fn a_real_folder_is_read_without_build_output() {
        let root = std::env::temp_dir().join(format!("folio-tidy-{}", std::process::id()));
        for folder in ["src", "target/debug"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("src/lib.rs"), "//! It.\n").unwrap();
        fs::write(root.join("target/debug/out.rs"), "").unwrap();
        fs::write(root.join("weights.bin"), [0xff, 0xfe, 0x00]).unwrap();
        let tree = Tree::read(&root).unwrap();
        fs::remove_dir_all(&root).unwrap();
        let paths: Vec<_> = tree.files().map(|(path, file)| (path, file.bytes)).collect();
        assert_eq!(paths, [("src/lib.rs", 8), ("weights.bin", 3)]);
    }
}
