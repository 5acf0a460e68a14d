//! Every setting that there is, for people: the table of `docs/configuration.md`, flags, and variables.

use std::fmt::Write as _;
use std::path::Path;

use super::bind;
use super::read::{Key, Log, Table};
use super::tree;

/// Sections whose settings are one value each, and so have a flag.
const FLAGGED: [&str; 5] = ["server.", "memory.", "performance.", "fallback.", "logging."];

/// Flags that are not called as the last part of their key.
const FLAGS: &[(&str, &str)] = &[
    ("server.keys_file", "keys"),
    ("server.origins", "allow-origin"),
    ("server.hosts", "allow-host"),
    ("server.roots", "allow-root"),
    ("server.indexes", "index"),
    ("server.urls", "allow-url"),
    ("memory.limit", "memory"),
    ("memory.reserve", "memory-reserve"),
    ("fallback.allow", "fallback"),
    ("logging.level", "log-level"),
    ("logging.format", "log-format"),
    ("logging.file", "log-file"),
];

/// A file in which every table occurs once.
const SAMPLE: &str =
    "[server.keys.NAME]\n[[models]]\nname = 'NAME'\n[routes.TASK]\n[remotes.NAME]\n";

/// Every setting that there is, by section.
pub fn keys() -> Vec<Key> {
    every().keys
}

/// What is noted while a file is read in which every table occurs.
pub(super) fn every() -> Log {
    let mut log = Log::default();
    // What the sample leaves out are faults, which say nothing here.
    if let Ok(root) = tree::read(Path::new("sample.toml"), SAMPLE) {
        bind::config(Table::root(&root, &mut log));
    }
    log
}

impl Key {
    /// The flag that sets it, without its dashes; the settings of single models, routes and remotes have none but `--set`.
    pub fn flag(&self) -> Option<String> {
        flag_of(&self.key)
    }

    /// Whether it is set with several values.
    pub fn is_list(&self) -> bool {
        self.expected.starts_with("a list of")
    }

    /// Whether it is on or off.
    pub fn is_switch(&self) -> bool {
        self.expected == "true or false"
    }
}

fn flag_of(key: &str) -> Option<String> {
    if let Some((_, flag)) = FLAGS.iter().find(|(known, _)| *known == key) {
        return Some((*flag).to_owned());
    }
    let rest = FLAGGED.iter().find_map(|section| key.strip_prefix(section))?;
    (!rest.contains('.')).then(|| rest.replace('_', "-"))
}

/// Keys with their flags.
pub(super) fn flags() -> Vec<(String, String)> {
    keys().into_iter().filter_map(|key| Some((key.key.clone(), flag_of(&key.key)?))).collect()
}

/// The variable of the environment that stands for a flag: `FOLIO_MAX_BODY` for `max-body`.
pub fn variable_of(flag: &str) -> String {
    format!("FOLIO_{}", flag.replace('-', "_").to_ascii_uppercase())
}

/// Every setting as a table in Markdown, one for each section.
pub fn document() -> String {
    let mut sections: Vec<(String, String)> = Vec::new();
    for key in keys() {
        let (head, name) = key.key.rsplit_once('.').unwrap_or(("", &key.key));
        let head = if head == "models.NAME" { "[models]" } else { head };
        let flag = key.flag().map_or_else(|| "-".to_owned(), |flag| format!("`--{flag}`"));
        let default =
            if key.default == "-" { "-".to_owned() } else { format!("`{}`", key.default) };
        let meaning = key.meaning.replace('|', "\\|");
        let row = format!("| `{name}` | {flag} | {meaning} | {} | {default} |\n", key.expected);
        match sections.iter_mut().find(|(known, _)| known == head) {
            Some((_, rows)) => rows.push_str(&row),
            None => sections.push((head.to_owned(), row)),
        }
    }
    let mut out = String::new();
    for (head, rows) in sections {
        let _ = writeln!(out, "\n### `[{head}]`\n\n| key | flag | meaning | may be | default |");
        let _ = write!(out, "|---|---|---|---|---|\n{rows}");
    }
    out.push('\n');
    out
}
