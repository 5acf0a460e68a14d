//! What could not be read, put in the queue again.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Failures;
use crate::Error;
use crate::workspace::{Group, Index, Store, WorkspaceFault, keys, queue};

/// How long the results of a group may be.
const MOST_RESULTS: u64 = 4 << 30;

/// What was put in the queue again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// The index as it is now.
    pub index: Index,
    /// The groups, by their hashes.
    pub groups: BTreeSet<String>,
    /// How many documents they have.
    pub documents: usize,
    /// Documents whose groups are not finished: they are in the queue as it is.
    pub waiting: usize,
}

/// Puts the documents that could not be read in the queue again, and no others: in groups of their own, of `per_group`
/// documents. A group that has just these already is opened again, by removing its flag. Their results come beside
/// those of the group they were in, and when they are finished the documents that they replace are taken out there.
///
/// A Python olmOCR sees groups like any others. It reads them, and only does not know of results to be taken out; a
/// member of a tarball, `tarball::member`, is a file to it that is not there.
///
/// # Errors
/// When the store cannot be read or written.
pub fn retry(store: &dyn Store, failures: &Failures, per_group: usize) -> Result<Retried, Error> {
    let done = queue::done(store)?;
    let mut out = Retried::default();
    let mut again: Vec<String> = Vec::new();
    for (source, failed) in failures.documents() {
        if done.contains(&failed.group) {
            again.push(source.to_owned());
        } else {
            out.waiting += 1;
        }
    }
    out.documents = again.len();
    out.index = Index::change(store, &mut |index| {
        out.groups = choose(index, &again, per_group)?;
        Ok(())
    })?;
    // A crash between two of these leaves some documents for the next time.
    for hash in out.groups.intersection(&done) {
        store.delete(&keys::done_flag(hash))?;
    }
    Ok(out)
}

/// Sees to it that the index has groups of just these documents, and says which.
fn choose(
    index: &mut Index,
    documents: &[String],
    per_group: usize,
) -> Result<BTreeSet<String>, WorkspaceFault> {
    documents.chunks(per_group.max(1)).map(|group| index.add_again(group)).collect()
}

/// For every group that was put in the queue again: those that had its documents before.
pub(in crate::workspace) fn earlier(index: &Index) -> BTreeMap<String, Vec<String>> {
    let mut first: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
    let mut out: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    let mut twice: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, group) in index.groups().iter().enumerate() {
        for path in &group.paths {
            // A member of a tarball was read with the whole of it.
            let whole = path.split_once("::").map(|(tarball, _)| tarball);
            let mut before: BTreeSet<usize> = BTreeSet::new();
            for path in std::iter::once(path.as_str()).chain(whole) {
                before.extend(first.get(path));
                before.extend(twice.get(path).into_iter().flatten());
            }
            if !before.is_empty() {
                twice.entry(path).or_default().push(place);
                out.entry(group.hash.clone()).or_default().extend(before);
            }
            first.entry(path).or_insert(place);
        }
    }
    let hash = |place: &usize| index.groups()[*place].hash.clone();
    let hashes = |places: BTreeSet<usize>| places.iter().map(hash).collect();
    out.into_iter().map(|(group, places)| (group, hashes(places))).collect()
}

/// Takes documents that `results`, those of `group`, have out of the results of `earlier` groups.
///
/// # Errors
/// When the store cannot be read or written.
pub(in crate::workspace) fn supersede(
    store: &dyn Store,
    group: &Group,
    earlier: &[String],
    results: &[u8],
) -> Result<(), Error> {
    let new: BTreeSet<String> = results.split(|&byte| byte == b'\n').filter_map(source).collect();
    for hash in earlier.iter().filter(|hash| **hash != group.hash) {
        store.change(&keys::results(hash), MOST_RESULTS, &mut |old| {
            let Some(old) = old else { return Ok(None) };
            let stays = |line: &&[u8]| source(line).is_none_or(|source| !new.contains(&source));
            let kept: Vec<u8> = old
                .split_inclusive(|&byte| byte == b'\n')
                .filter(stays)
                .flatten()
                .copied()
                .collect();
            Ok((kept.len() < old.len()).then_some(kept))
        })?;
    }
    Ok(())
}

/// The document that a line of results is of.
fn source(line: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(line.trim_ascii()).ok()?;
    Some(value.get("metadata")?.get("Source-File")?.as_str()?.to_owned())
}
