//! What could not be read, and why: nothing vanishes.
//!
//! In a folder this is `failures.jsonl`, to which each group adds its lines when it is finished. An object cannot grow, so
//! in an object store each group has an object of its own under `failures/`. Either way a line is a JSON object:
//!
//! ```text
//! {"source": "a.pdf", "page": 3, "reason": "model", "message": "..", "attempt": 8, "time": "..", "group": ".."}
//! {"source": "b.pdf", "page": null, "reason": "encrypted", ..}      the whole document
//! {"source": "a.pdf", "settled": true, "time": "..", "group": ".."}    what was said of it before is over
//! ```
//!
//! Lines are only ever added. What holds of a document is what was said since its last `settled` line, and one is written
//! each time that it is worked at again. olmOCR knows nothing of all this, and nothing of it is in its way.

mod retry;

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

pub use retry::{Retried, retry};
pub(super) use retry::{earlier, supersede};

use super::{Store, keys, moment};
use crate::Error;

/// How long the file of all failures may be.
const MOST_BYTES: u64 = 1 << 30;
/// How long a message is kept.
const MOST_MESSAGE: usize = 2000;

/// Why something could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// The file or object is not there.
    Missing,
    /// It cannot be opened: damaged, too large, or of another kind.
    Unreadable,
    /// It is encrypted, and no password opens it.
    Encrypted,
    /// An archive that cannot be unpacked, or a member of one that is passed over.
    Archive,
    /// A page cannot be drawn.
    Rendering,
    /// The model gave nothing that can be used.
    Model,
    /// The server of the model did not answer.
    Server,
    /// A page or a document on which nothing was found.
    Blank,
    /// More pages than are allowed were read in other ways than by the model, so the document was discarded.
    OverErrorRate,
    /// A filter that was asked for dropped it.
    Filtered,
    /// Something else, such as a newer version of this program wrote.
    Other,
}

impl Reason {
    const ALL: [Self; 11] = [
        Self::Missing,
        Self::Unreadable,
        Self::Encrypted,
        Self::Archive,
        Self::Rendering,
        Self::Model,
        Self::Server,
        Self::Blank,
        Self::OverErrorRate,
        Self::Filtered,
        Self::Other,
    ];

    /// Its name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Encrypted => "encrypted",
            Self::Archive => "archive",
            Self::Rendering => "rendering",
            Self::Model => "model",
            Self::Server => "server",
            Self::Blank => "blank",
            Self::OverErrorRate => "over_error_rate",
            Self::Filtered => "filtered",
            Self::Other => "other",
        }
    }

    fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.name() == name).unwrap_or(Self::Other)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "not found",
            Self::Unreadable => "not readable",
            Self::Encrypted => "encrypted",
            Self::Archive => "in a damaged archive",
            Self::Rendering => "could not be drawn",
            Self::Model => "not read by the model",
            Self::Server => "the server did not answer",
            Self::Blank => "blank",
            Self::OverErrorRate => "discarded, over the page error rate",
            Self::Filtered => "filtered out",
            Self::Other => "for other reasons",
        })
    }
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The page, from 1; None for the whole document.
    pub page: Option<u32>,
    /// Why.
    pub reason: Reason,
    /// The same in words, with what is particular to it.
    pub message: String,
    /// How many attempts were made.
    pub attempt: u32,
}

/// What became of a document.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// Its path, as in the index; for a member of a tarball `tarball::member`.
    pub source: &'a str,
    /// What could not be read of it; nothing if all could.
    pub failures: &'a [Failure],
}

/// What is known of a document that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The group in which it was worked at last.
    pub group: String,
    /// When, as far as the line says.
    pub time: Option<SystemTime>,
    /// What could not be read.
    pub failures: Vec<Failure>,
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    source: String,
    group: String,
    time: Option<SystemTime>,
    /// None: what was said before is over.
    failure: Option<Failure>,
}

/// What could not be read in a workspace, as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    documents: BTreeMap<String, Failed>,
    /// Lines that are none, by the key they stand in.
    damaged: BTreeMap<String, u64>,
}

impl Failures {
    /// Reads what a workspace holds.
    ///
    /// # Errors
    /// When the store cannot be read. Lines that are damaged are no error: see [`damaged`](Self::damaged).
    pub fn load(store: &dyn Store) -> Result<Self, Error> {
        let mut out = Self::default();
        if let Some(bytes) = store.get(keys::FAILURES, MOST_BYTES)? {
            out.read(keys::FAILURES, &bytes);
        }
        let mut objects = store.list(keys::FAILURES_FOLDER)?;
        // By the one clock that all have in common.
        objects.sort_by(|a, b| (a.modified, &a.key).cmp(&(b.modified, &b.key)));
        for object in objects {
            if let Some(bytes) = store.get(&object.key, MOST_BYTES)? {
                out.read(&object.key, &bytes);
            }
        }
        Ok(out)
    }

    /// Takes in the lines of a file, named `key` for messages. The last one may have been cut off by a crash, and is
    /// passed over then.
    pub fn read(&mut self, key: &str, bytes: &[u8]) {
        let mut lines = bytes.split_inclusive(|&byte| byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            let torn = lines.peek().is_none() && !line.ends_with(b"\n");
            let text = line.trim_ascii();
            match serde_json::from_slice(text).ok().and_then(|value| Line::of(&value)) {
                Some(line) => self.apply(line),
                None if torn || text.is_empty() => {}
                None => *self.damaged.entry(key.to_owned()).or_default() += 1,
            }
        }
    }

    fn apply(&mut self, line: Line) {
        let Some(failure) = line.failure else {
            self.documents.remove(&line.source);
            return;
        };
        let new = || Failed { group: String::new(), time: None, failures: Vec::new() };
        let failed = self.documents.entry(line.source).or_insert_with(new);
        failed.group = line.group;
        failed.time = line.time;
        // The same said twice - by two who worked at one group - is said once.
        match failed.failures.iter_mut().find(|known| known.page == failure.page) {
            Some(known) => *known = failure,
            None => failed.failures.push(failure),
        }
    }

    /// Every document that could not be read or not wholly, with what is known of it, in order.
    pub fn documents(&self) -> impl Iterator<Item = (&str, &Failed)> {
        self.documents.iter().map(|(source, failed)| (source.as_str(), failed))
    }

    /// What is known of a document.
    pub fn of(&self, source: &str) -> Option<&Failed> {
        self.documents.get(source)
    }

    /// Whether all could be read.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Keys with lines that cannot be read, and how many. What those said is lost.
    pub fn damaged(&self) -> &BTreeMap<String, u64> {
        &self.damaged
    }

    /// How many documents, and how many pages, could not be read for each reason.
    pub fn summary(&self) -> BTreeMap<Reason, Count> {
        let mut out: BTreeMap<Reason, Count> = BTreeMap::new();
        for failed in self.documents.values() {
            let mut seen = Vec::new();
            for failure in &failed.failures {
                let count = out.entry(failure.reason).or_default();
                match failure.page {
                    Some(_) => count.pages += 1,
                    None => count.whole += 1,
                }
                if !seen.contains(&failure.reason) {
                    seen.push(failure.reason);
                    count.documents += 1;
                }
            }
        }
        out
    }

    /// Writes down what became of the documents of a group, all at once. To be done before the group is
    /// [finished](super::Queue::finish), with all of its documents, also those that could be read.
    ///
    /// # Errors
    /// When the store does not take it. Nothing is written down then.
    pub fn record(
        &mut self,
        store: &dyn Store,
        group: &str,
        outcomes: &[Outcome<'_>],
        now: SystemTime,
    ) -> Result<(), Error> {
        // To the second, as it is written.
        let time = moment::read(&moment::write(now));
        let mut lines = Vec::new();
        for outcome in outcomes {
            let line = |failure: Option<Failure>| Line {
                source: outcome.source.to_owned(),
                group: group.to_owned(),
                time,
                failure,
            };
            if !outcome.failures.is_empty() || self.documents.contains_key(outcome.source) {
                lines.push(line(None));
            }
            for failure in outcome.failures {
                lines.push(line(Some(failure.clone())));
            }
        }
        let text: String = lines.iter().map(|line| line.json().to_string() + "\n").collect();
        if store.grows() {
            if !text.is_empty() {
                store.append(keys::FAILURES, text.as_bytes())?;
            }
        } else {
            let key = keys::failures(group);
            // What an earlier run of this group said is replaced, if only by nothing.
            if !text.is_empty() || store.modified(&key)?.is_some() {
                store.put(&key, text.as_bytes())?;
            }
        }
        for line in lines {
            self.apply(line);
        }
        Ok(())
    }
}

/// How much could not be read for one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Documents that this befell, wholly or in part.
    pub documents: u64,
    /// Those that it befell as a whole.
    pub whole: u64,
    /// Single pages.
    pub pages: u64,
}

impl Line {
    fn json(&self) -> Value {
        let mut out = json!({ "source": self.source });
        match &self.failure {
            Some(failure) => {
                let message: String = failure.message.chars().take(MOST_MESSAGE).collect();
                out["page"] = failure.page.into();
                out["reason"] = failure.reason.name().into();
                out["message"] = message.into();
                out["attempt"] = failure.attempt.into();
            }
            None => out["settled"] = true.into(),
        }
        out["time"] = self.time.map(moment::write).into();
        out["group"] = self.group.as_str().into();
        out
    }

    fn of(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let failure = if fields.get("settled") == Some(&Value::Bool(true)) {
            None
        } else {
            Some(Failure {
                page: page(fields)?,
                reason: Reason::of(text("reason")?),
                message: text("message").unwrap_or_default().to_owned(),
                attempt: fields.get("attempt").and_then(Value::as_u64)?.try_into().ok()?,
            })
        };
        Some(Self {
            source: text("source")?.to_owned(),
            group: text("group").unwrap_or_default().to_owned(),
            time: text("time").and_then(moment::read),
            failure,
        })
    }
}

/// A page, or null for all; `None` if it is neither.
#[expect(clippy::option_option, reason = "null, and what is no page")]
fn page(fields: &Map<String, Value>) -> Option<Option<u32>> {
    match fields.get("page") {
        None | Some(Value::Null) => Some(None),
        Some(page) => page.as_u64().and_then(|page| u32::try_from(page).ok()).map(Some),
    }
}

#[cfg(test)]
mod tests;
