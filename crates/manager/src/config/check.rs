//! What settings come to on one machine, and what of them will not work.

use crate::catalog::Catalog;
use crate::error::Bytes;
use crate::ledger;

use super::{Candidate, Config};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something that should be known.
    Note,
    /// Something that will not work as it is written; the rest does.
    Warning,
    /// The server would not start.
    Error,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: a key, a model, a route.
    pub about: String,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The most that may be reserved, and how that came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Bytes.
    pub bytes: u64,
    /// Why it is less than what was set, if it is.
    pub lowered: Option<String>,
}

/// The limit in force where `most` bytes could be had at most and `available` are free now.
///
/// What is set is never exceeded. It is lowered to what the machine has beside what is to be left to others; where that
/// would be nothing, since a file was written for a larger machine, the default share is taken.
pub fn memory_limit(config: &Config, most: u64, available: u64) -> Limit {
    let memory = &config.memory;
    let share = ledger::default_limit(most, available, 0);
    let rest = most.saturating_sub(memory.reserve);
    if memory.reserve > 0 && rest < most / 8 {
        let bytes = memory.limit.map_or(share, |limit| limit.min(share));
        let lowered = format!(
            "{} are to be left to others, and this machine has {} in all: {} is taken instead",
            Bytes(memory.reserve),
            Bytes(most),
            Bytes(bytes)
        );
        return Limit { bytes, lowered: Some(lowered) };
    }
    match memory.limit {
        Some(limit) if limit <= rest => Limit { bytes: limit, lowered: None },
        Some(limit) => {
            let left = if memory.reserve > 0 {
                format!(" beside the {} that are left to others", Bytes(memory.reserve))
            } else {
                String::new()
            };
            let lowered = format!(
                "{} are set, and this machine has {}{left}: {} is taken",
                Bytes(limit),
                Bytes(rest),
                Bytes(rest.min(share))
            );
            Limit { bytes: rest.min(share), lowered: Some(lowered) }
        }
        None => Limit { bytes: rest.min(share), lowered: None },
    }
}

/// What of the settings will not work on a machine with these models and so much memory.
pub fn check(config: &Config, catalog: &Catalog, most: u64, available: u64) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |severity, about: &str, what: String, hint: Option<String>| {
        found.push(Finding { severity, about: about.to_owned(), what, hint });
    };
    for (said, meant, origin) in &config.renamed {
        let what = format!("no hub has a model of this name; `{meant}` is taken ({origin})");
        say(Severity::Note, said, what, None);
    }
    for path in &config.passed_over {
        let read = config.file.as_deref().unwrap_or(path).display();
        let what = format!("not read, since `{read}` comes first");
        say(Severity::Note, &path.display().to_string(), what, None);
    }
    if let Some(lowered) = memory_limit(config, most, available).lowered {
        say(Severity::Warning, "memory.limit", lowered, None);
    }
    let server = &config.server;
    if !server.host.is_loopback() && server.keys.is_empty() && server.keys_file.is_none() {
        let what = format!("{} is reached from other machines, and no key is set", server.host);
        let hint = "set `server.keys_file` or `server.keys`, or listen on 127.0.0.1".to_owned();
        say(Severity::Error, "server.host", what, Some(hint));
    }
    if let Some(file) = server.keys_file.as_ref().filter(|file| !file.is_file()) {
        let what = format!("there is no file {}", file.display());
        say(Severity::Error, "server.keys_file", what, None);
    }
    for root in server.roots.iter().filter(|root| !root.is_dir()) {
        let what = format!("there is no folder {}", root.display());
        say(Severity::Warning, "server.roots", what, None);
    }
    let mut pinned: u64 = 0;
    for model in &config.models {
        match catalog.find(&model.name).and_then(crate::catalog::Entry::usable) {
            Ok(entry) if model.pinned => pinned = pinned.saturating_add(entry.bytes),
            Ok(_) => {}
            Err(error) => say(Severity::Warning, &model.name, error.to_string(), error.hint()),
        }
        if let Some(Err(error)) = model.adapter.as_ref().map(|adapter| catalog.find(adapter)) {
            say(Severity::Warning, &model.name, error.to_string(), error.hint());
        }
    }
    let limit = memory_limit(config, most, available).bytes;
    if pinned > limit {
        let what =
            format!("{} of weights are pinned, and {} is the limit", Bytes(pinned), Bytes(limit));
        let hint = "unpin a model, or raise `memory.limit`".to_owned();
        say(Severity::Error, "memory.limit", what, Some(hint));
    }
    for (task, route) in &config.routes {
        let mut answers = false;
        for candidate in &route.candidates {
            let Candidate::Local(name) = candidate else {
                answers = true;
                continue;
            };
            match catalog.find(name).and_then(crate::catalog::Entry::usable) {
                Ok(_) => answers = true,
                Err(error) => {
                    say(
                        Severity::Warning,
                        &format!("routes.{task}"),
                        error.to_string(),
                        error.hint(),
                    );
                }
            }
        }
        if !answers {
            let ollama = if config.fallback.find_ollama { " but Ollama, if it runs" } else { "" };
            let what = format!("nobody can answer this task{ollama}");
            say(Severity::Warning, &format!("routes.{task}"), what, None);
        }
        if route.above.is_some() && task != super::LONG_CONTEXT {
            let what = "`above` has a meaning for `long_context` alone".to_owned();
            say(Severity::Warning, &format!("routes.{task}.above"), what, None);
        }
    }
    found
}
