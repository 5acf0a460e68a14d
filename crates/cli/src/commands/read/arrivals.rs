//! What is to be done about the files of a folder that is watched: decided from what lies there and from what was done
//! before, without looking at anything.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// A file as a look at the folder finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) bytes: u64,
    /// Nanoseconds since 1970.
    pub(super) modified: u64,
}

/// What was done about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) stat: Stat,
    /// The digest of its bytes.
    pub(super) digest: String,
    /// In which form it was written.
    pub(super) form: String,
    /// The name of what was written, in the folder of texts; for what could not be read, of what would have been.
    pub(super) output: String,
    pub(super) state: State,
}

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It was begun, and its output is ours.
    Begun,
    /// It was read.
    Read,
    /// It could not be read, which was told.
    Failed,
}

/// What a watch knows.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    done: BTreeMap<String, Done>,
    /// What lay there at the last look.
    before: BTreeMap<String, Stat>,
    under_way: BTreeSet<String>,
    /// Files that are gone, which was told.
    gone: BTreeSet<String>,
}

/// What a look at the folder leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Files that have come or changed, and lie still.
    pub(super) arrived: Vec<(String, Stat)>,
    /// Files that were read and are gone.
    pub(super) gone: Vec<String>,
}

impl Ledger {
    /// Takes a look: a file that is as it was at the look before lies still.
    pub(super) fn look(&mut self, seen: BTreeMap<String, Stat>) -> Found {
        let mut found = Found::default();
        for (name, stat) in &seen {
            self.gone.remove(name);
            let known = self.done.get(name);
            let known = known.is_some_and(|done| done.stat == *stat && done.state != State::Begun);
            if !known && !self.under_way.contains(name) && self.before.get(name) == Some(stat) {
                found.arrived.push((name.clone(), stat.clone()));
            }
        }
        for (name, done) in &self.done {
            // Once absent may be on its way to another name.
            let absent = !seen.contains_key(name) && !self.before.contains_key(name);
            if absent && done.state != State::Begun && self.gone.insert(name.clone()) {
                found.gone.push(name.clone());
            }
        }
        self.under_way.extend(found.arrived.iter().map(|(name, _)| name.clone()));
        self.before = seen;
        found
    }

    /// A file is not worked at any more, whatever came of it.
    pub(super) fn ended(&mut self, name: &str) {
        self.under_way.remove(name);
    }

    /// Writes down what was done.
    pub(super) fn record(&mut self, name: String, done: Done) {
        self.done.insert(name, done);
    }

    /// What was done about a file.
    pub(super) fn of(&self, name: &str) -> Option<&Done> {
        self.done.get(name)
    }

    /// A file of the same bytes that was read in the same form, and whether it is gone: then it has another name now.
    pub(super) fn twin(&self, name: &str, digest: &str, form: &str) -> Option<(&str, &Done, bool)> {
        let read =
            |done: &Done| done.state == State::Read && done.digest == digest && done.form == form;
        let mut twins = self.done.iter().filter(|(other, done)| *other != name && read(done));
        let gone = |other: &str| !self.before.contains_key(other);
        let first = twins.clone().find(|(other, _)| gone(other)).or_else(|| twins.next())?;
        Some((first.0, first.1, gone(first.0)))
    }

    /// Forgets a file, whose text belongs to another now.
    pub(super) fn forget(&mut self, name: &str) {
        self.done.remove(name);
        self.gone.remove(name);
    }

    /// Forgets what could not be read, so that it is tried again.
    pub(super) fn forget_failed(&mut self) {
        self.done.retain(|_, done| done.state != State::Failed);
    }

    /// Whose text has this name, if it is anybody's but `name`'s.
    pub(super) fn owner(&self, output: &str, name: &str) -> Option<&str> {
        let owns = |(other, done): &(&String, &Done)| *other != name && done.output == output;
        self.done.iter().find(owns).map(|(other, _)| other.as_str())
    }

    /// Takes a line of the file of state; `false` if it is none.
    pub(super) fn take(&mut self, line: &str) -> bool {
        let Ok(value) = serde_json::from_str::<Value>(line) else { return false };
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let Some(name) = text("file") else { return false };
        let state = match value["state"].as_str() {
            Some("begun") => State::Begun,
            Some("read") => State::Read,
            Some("failed") => State::Failed,
            Some("forgotten") => {
                self.forget(&name);
                return true;
            }
            _ => return false,
        };
        let (Some(bytes), Some(modified)) = (value["bytes"].as_u64(), value["modified"].as_u64())
        else {
            return false;
        };
        let (Some(digest), Some(form), Some(output)) =
            (text("digest"), text("form"), text("output"))
        else {
            return false;
        };
        self.record(name, Done { stat: Stat { bytes, modified }, digest, form, output, state });
        true
    }
}

/// A line of the file of state.
pub(super) fn line(name: &str, done: Option<&Done>) -> String {
    let Some(done) = done else {
        return format!("{}\n", json!({ "file": name, "state": "forgotten" }));
    };
    let state = match done.state {
        State::Begun => "begun",
        State::Read => "read",
        State::Failed => "failed",
    };
    let value = json!({
        "file": name,
        "state": state,
        "bytes": done.stat.bytes,
        "modified": done.stat.modified,
        "digest": done.digest,
        "form": done.form,
        "output": done.output,
    });
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(bytes: u64) -> Stat {
        Stat { bytes, modified: 7 }
    }

    fn seen(files: &[(&str, u64)]) -> BTreeMap<String, Stat> {
        files.iter().map(|(name, bytes)| ((*name).to_owned(), stat(*bytes))).collect()
    }

    fn done(bytes: u64, digest: &str) -> Done {
        let (digest, form) = (digest.to_owned(), "md".to_owned());
        Done { stat: stat(bytes), digest, form, output: "a.md".to_owned(), state: State::Read }
    }

    fn arrived(found: &Found) -> Vec<&str> {
        found.arrived.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn a_file_is_read_once_it_lies_still() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.look(seen(&[("a", 1)])), Found::default());
        assert_eq!(ledger.look(seen(&[("a", 2)])), Found::default(), "it grows");
        assert_eq!(arrived(&ledger.look(seen(&[("a", 2)]))), ["a"]);
        assert_eq!(ledger.look(seen(&[("a", 2)])), Found::default(), "it is under way");
        ledger.record("a".to_owned(), done(2, "x"));
        ledger.ended("a");
        assert_eq!(ledger.look(seen(&[("a", 2)])), Found::default(), "it is done");
        assert_eq!(ledger.look(seen(&[("a", 3)])), Found::default(), "it changes");
        assert_eq!(arrived(&ledger.look(seen(&[("a", 3)]))), ["a"]);
    }

    #[test]
    fn what_failed_for_a_reason_that_passes_is_tried_again() {
        let mut ledger = Ledger::default();
        ledger.look(seen(&[("a", 1)]));
        assert_eq!(arrived(&ledger.look(seen(&[("a", 1)]))), ["a"]);
        ledger.ended("a");
        assert_eq!(arrived(&ledger.look(seen(&[("a", 1)]))), ["a"]);
    }

    #[test]
    fn what_is_gone_is_told_once_and_another_name_is_found() {
        let mut ledger = Ledger::default();
        ledger.record("a".to_owned(), done(1, "x"));
        ledger.look(seen(&[("a", 1)]));
        assert_eq!(ledger.look(seen(&[("b", 1)])), Found::default());
        let found = ledger.look(seen(&[("b", 1)]));
        assert_eq!((arrived(&found), &found.gone[..]), (vec!["b"], &["a".to_owned()][..]));
        assert_eq!(
            ledger.twin("b", "x", "md").map(|(name, _, gone)| (name, gone)),
            Some(("a", true))
        );
        assert_eq!(ledger.twin("b", "y", "md"), None);
        assert_eq!(ledger.twin("b", "x", "html"), None);
        assert_eq!(ledger.look(seen(&[("b", 1)])).gone, [] as [String; 0]);
        assert_eq!(ledger.owner("a.md", "b"), Some("a"));
        ledger.forget("a");
        assert_eq!(ledger.owner("a.md", "b"), None);
    }

    #[test]
    fn state_survives_a_restart_and_lines_that_are_cut() {
        let mut ledger = Ledger::default();
        let begun = Done { state: State::Begun, ..done(2, "y") };
        for (name, done) in [("a", done(1, "x")), ("b", begun)] {
            assert!(ledger.take(line(name, Some(&done)).trim_end()));
            assert_eq!(ledger.of(name), Some(&done));
        }
        assert!(!ledger.take("{\"file\": \"c\", \"sta"));
        assert!(!ledger.take("{\"file\": \"c\", \"state\": \"read\"}"));
        ledger.look(seen(&[("a", 1), ("b", 2)]));
        let found = ledger.look(seen(&[("a", 1), ("b", 2)]));
        assert_eq!(arrived(&found), ["b"], "what was begun is begun again");
        assert!(ledger.take(line("a", None).trim_end()));
        assert_eq!(ledger.of("a"), None);
    }
}
