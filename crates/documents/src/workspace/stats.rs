//! How a workspace stands: what `--stats` prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::failures::{Count, Failures};
use super::{Index, Reason, Store, keys, queue};
use crate::Error;

/// Tokens that a document is long above.
pub const LONG: u64 = 32_768;
/// How long the results of a group may be.
const MOST_RESULTS: u64 = 4 << 30;

/// How a workspace stands, from its index, its flags and its results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Groups in the index.
    pub groups: u64,
    /// Those that are finished.
    pub done: u64,
    /// Documents with results.
    pub documents: u64,
    /// Documents of finished groups that have none: they failed, were empty, or were discarded.
    pub skipped: u64,
    /// Pages of documents with results.
    pub pages: u64,
    /// Those that were read in other ways than by the model.
    pub fallback_pages: u64,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// Documents of more than [`LONG`] tokens.
    pub long_documents: u64,
    /// Their tokens.
    pub long_tokens: u64,
    /// Documents of which more than half of the pages are said to be English.
    pub english_documents: u64,
    /// Their tokens.
    pub english_tokens: u64,
    /// Keys of results with lines that cannot be read, and how many.
    pub damaged: BTreeMap<String, u64>,
    /// What could not be read, by reason, where folio wrote it down.
    pub failures: BTreeMap<Reason, Count>,
}

impl Stats {
    /// Reads a workspace. `progress` is told how many of how many results were read.
    ///
    /// # Errors
    /// When the store cannot be read, or has no index that can be.
    pub fn of(store: &dyn Store, progress: &mut dyn FnMut(usize, usize)) -> Result<Self, Error> {
        let index = Index::load(store)?;
        let done = queue::done(store)?;
        let mut out = Self { groups: index.groups().len() as u64, ..Self::default() };
        out.failures = Failures::load(store)?.summary();
        let results = store.list(keys::RESULTS)?;
        let results: Vec<_> =
            results.iter().filter(|entry| entry.key.ends_with(".jsonl")).collect();
        let mut found = BTreeSet::new();
        for (count, entry) in results.iter().enumerate() {
            progress(count, results.len());
            if let Some(bytes) = store.get(&entry.key, MOST_RESULTS)? {
                out.read(&entry.key, &bytes, &mut found);
            }
        }
        progress(results.len(), results.len());
        let mut wanted = BTreeSet::new();
        for group in index.groups().iter().filter(|group| done.contains(&group.hash)) {
            out.done += 1;
            wanted.extend(group.paths.iter().map(String::as_str));
        }
        out.skipped = wanted.into_iter().filter(|path| !found.contains(*path)).count() as u64;
        Ok(out)
    }

    /// Adds the results of a group, and the paths of its documents to `found`; for members of a tarball, the tarball's.
    fn read(&mut self, key: &str, bytes: &[u8], found: &mut BTreeSet<String>) {
        for line in bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii) {
            if line.is_empty() {
                continue;
            }
            let document = serde_json::from_slice(line).ok();
            let Some(source) = document.and_then(|document| self.add(&document)) else {
                *self.damaged.entry(key.to_owned()).or_default() += 1;
                continue;
            };
            if let Some((tarball, _)) = source.split_once("::") {
                found.insert(tarball.to_owned());
            }
            found.insert(source);
        }
    }

    fn add(&mut self, document: &Value) -> Option<String> {
        let metadata = document.get("metadata")?;
        let source = metadata.get("Source-File")?.as_str()?.to_owned();
        let number = |name: &str| metadata.get(name).and_then(Value::as_u64).unwrap_or(0);
        let tokens = number("total-output-tokens");
        self.documents += 1;
        self.pages += number("pdf-total-pages");
        self.fallback_pages += number("total-fallback-pages");
        self.input_tokens += number("total-input-tokens");
        self.output_tokens += tokens;
        if tokens > LONG {
            self.long_documents += 1;
            self.long_tokens += tokens;
        }
        let languages = document.get("attributes").and_then(|attributes| {
            attributes.get("primary_language")?.as_array().map(Vec::as_slice)
        });
        let languages = languages.unwrap_or_default();
        let english = languages.iter().filter(|language| *language == "en").count();
        if english * 2 > languages.len() {
            self.english_documents += 1;
            self.english_tokens += tokens;
        }
        Some(source)
    }

    /// What a number of the finished groups will be when all are, if the rest is like them.
    pub fn projected(&self, number: u64) -> u64 {
        let of = u128::from(self.done.max(1));
        let all = u128::from(number) * u128::from(self.groups);
        u64::try_from((all + of / 2) / of).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: String| writeln!(f, "{name:<34}{value:>16}");
        line("work items", grouped(self.groups))?;
        line("  done", format!("{} ({})", grouped(self.done), percent(self.done, self.groups)))?;
        line("  to do", grouped(self.groups.saturating_sub(self.done)))?;
        line("documents read", grouped(self.documents))?;
        line("documents skipped", grouped(self.skipped))?;
        line("pages read", grouped(self.pages))?;
        line("  by fallback", grouped(self.fallback_pages))?;
        line("  for each document", ratio(self.pages, self.documents))?;
        line("input tokens", grouped(self.input_tokens))?;
        line("output tokens", grouped(self.output_tokens))?;
        line("  for each document", ratio(self.output_tokens, self.documents))?;
        line("  for each page", ratio(self.output_tokens, self.pages))?;
        line("  expected in all", grouped(self.projected(self.output_tokens)))?;
        line("documents of over 32,768 tokens", grouped(self.long_documents))?;
        line("  their tokens", grouped(self.long_tokens))?;
        line("documents mostly in English", grouped(self.english_documents))?;
        line("  their tokens", grouped(self.english_tokens))?;
        line("  expected in all", grouped(self.projected(self.english_tokens)))?;
        for (reason, count) in &self.failures {
            let name = format!("documents {reason}");
            line(&name, grouped(count.documents))?;
            if count.pages > 0 {
                line("  single pages", grouped(count.pages))?;
            }
        }
        for (key, lines) in &self.damaged {
            writeln!(f, "{key}: {lines} lines cannot be read")?;
        }
        Ok(())
    }
}

/// A number with a comma after each third digit from the right.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// One number divided by another, rounded to a tenth; a dash for nothing divided by nothing.
fn ratio(of: u64, by: u64) -> String {
    if by == 0 {
        return "-".to_owned();
    }
    let tenths = (u128::from(of) * 20 / u128::from(by)).div_ceil(2);
    let whole = u64::try_from(tenths / 10).unwrap_or(u64::MAX);
    format!("{}.{}", grouped(whole), tenths % 10)
}

fn percent(of: u64, by: u64) -> String {
    if by == 0 { "-".to_owned() } else { format!("{} %", ratio(of * 100, by)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workspace::Folder;

    fn document(source: &str, pages: u64, tokens: u64, languages: &[Option<&str>]) -> String {
        json!({
            "metadata": {
                "Source-File": source,
                "pdf-total-pages": pages,
                "total-input-tokens": 1000 * pages,
                "total-output-tokens": tokens,
                "total-fallback-pages": 1,
            },
            "attributes": { "primary_language": languages },
        })
        .to_string()
            + "\n"
    }

    #[test]
    fn numbers_are_those_of_index_and_results() {
        let folder = tempfile::tempdir().unwrap();
        let store = Folder::open(folder.path()).unwrap();
        let index = Index::change(&store, &mut |index| {
            index.add(["a.pdf", "b.pdf", "c.pdf", "d.pdf", "e.pdf", "f.pdf"], 2)?;
            index.add(["x.tgz"], 1).map(drop)
        })
        .unwrap();
        let hash = |place: usize| index.groups()[place].hash.as_str();
        let first = document("a.pdf", 10, 40_000, &[Some("en"), Some("en"), None]);
        let last = document("x.tgz::m/n.pdf", 5, 50, &[Some("de"), Some("en")]);
        store.put(&keys::results(hash(0)), (first + "damaged\n").as_bytes()).unwrap();
        store.put(&keys::results(hash(3)), last.as_bytes()).unwrap();
        for place in [0, 3] {
            store.put(&keys::done_flag(hash(place)), b"").unwrap();
        }
        let mut seen = Vec::new();
        let stats = Stats::of(&store, &mut |done, all| seen.push((done, all))).unwrap();
        assert_eq!(seen, [(0, 2), (1, 2), (2, 2)]);
        let expected = Stats {
            groups: 4,
            done: 2,
            documents: 2,
            // b.pdf: its group is finished, and it has no results.
            skipped: 1,
            pages: 15,
            fallback_pages: 2,
            input_tokens: 15_000,
            output_tokens: 40_050,
            long_documents: 1,
            long_tokens: 40_000,
            english_documents: 1,
            english_tokens: 40_000,
            damaged: BTreeMap::from([(keys::results(hash(0)), 1)]),
            failures: BTreeMap::new(),
        };
        assert_eq!(stats, expected);
        assert_eq!(stats.projected(40_050), 80_100);
        let text = stats.to_string();
        for part in ["2 (50.0 %)", "40,050", "80,100", "7.5", "2,670.0", "1 lines cannot be read"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn an_empty_workspace_has_numbers_too() {
        let folder = tempfile::tempdir().unwrap();
        let stats = Stats::of(&Folder::existing(folder.path()), &mut |_, _| {}).unwrap();
        assert_eq!(stats, Stats::default());
        assert!(stats.to_string().contains("0 (-)"), "{stats}");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [grouped(0), grouped(999), grouped(1000), grouped(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [ratio(1, 3), ratio(1, 6), ratio(99_999, 2), ratio(0, 0)],
            ["0.3", "0.2", "49,999.5", "-"]
        );
    }
}
