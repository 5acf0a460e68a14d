//! `cargo xtask tidy`: what no compiler checks. Walls between crates, names said once, purity,
//! the shape of files, and the documents. ARCHITECTURE.md lists the invariants these checks hold.
//!
//! Each check is a function of a [`Tree`] (and of what cargo says of the manifests), so that it
//! can be shown to fail on a made-up breach.

mod layout;
mod manifests;
mod names;
mod prose;
mod purity;
mod rust;
mod tree;

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use self::tree::Tree;
use crate::command::{cargo, output};

/// One broken rule. Printed as `file:line: what; what to do`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Breach {
    /// The path, relative to the root of the repository.
    file: String,
    /// The line, from 1; 1 also for a breach of the whole file.
    line: usize,
    what: String,
    remedy: &'static str,
}

impl Breach {
    fn new(file: &str, line: usize, what: impl Into<String>, remedy: &'static str) -> Self {
        Self { file: file.to_owned(), line, what: what.into(), remedy }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.file, self.line, self.what, self.remedy)
    }
}

/// Checks the repository at `root` and prints every breach. `true` if there is none.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let tree = Tree::read(root)?;
    // Without dependencies nothing is resolved: no network, no lock file, no build.
    let mut metadata = cargo(root);
    metadata.args(["metadata", "--format-version=1", "--no-deps", "--offline"]);
    let metadata = serde_json::from_str(&output(&mut metadata)?).context("cargo metadata")?;
    let breaches = breaches(&tree, &metadata);
    for breach in &breaches {
        println!("{breach}");
    }
    match breaches.len() {
        0 => println!("tidy: {} files, no breach", tree.len()),
        n => println!("tidy: {n} breaches"),
    }
    Ok(breaches.is_empty())
}

fn breaches(tree: &Tree, metadata: &Value) -> Vec<Breach> {
    let checks: [fn(&Tree) -> Vec<Breach>; 5] =
        [layout::check, names::check, prose::check, purity::check, manifests::check_files];
    let mut out = manifests::check_metadata(tree, metadata);
    out.extend(checks.into_iter().flat_map(|check| check(tree)));
    out.sort();
    out.dedup();
    out
}

/// What the tests of each check need.
#[cfg(test)]
mod testing {
    use super::*;

    /// The breaches that `check` finds, each as it is printed.
    pub(super) fn found(check: fn(&Tree) -> Vec<Breach>, files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).iter().map(ToString::to_string).collect()
    }

    /// Fails unless `check` finds exactly one breach, which starts with `start`.
    #[track_caller]
    pub(super) fn one(check: fn(&Tree) -> Vec<Breach>, files: &[(&str, &str)], start: &str) {
        let found = found(check, files);
        assert!(found.len() == 1 && found[0].starts_with(start), "{found:#?}");
    }

    /// Fails if `check` finds a breach.
    #[track_caller]
    pub(super) fn none(check: fn(&Tree) -> Vec<Breach>, files: &[(&str, &str)]) {
        let found = found(check, files);
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn a_breach_is_one_line() {
        let breach = Breach::new("crates/a/src/b.rs", 7, "it leaks", "mend it");
        assert_eq!(breach.to_string(), "crates/a/src/b.rs:7: it leaks; mend it");
    }
}
