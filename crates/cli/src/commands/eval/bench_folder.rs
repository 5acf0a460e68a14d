//! A benchmark of retrieval in a folder, as BEIR lays it out: a corpus, queries, and who is relevant for what.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::report::{Problem, Result};

/// What is in the folder.
pub(super) struct BenchFolder {
    /// The file of each page, by its name.
    pub(super) corpus: BTreeMap<String, PathBuf>,
    /// The words of each query, by its name.
    pub(super) queries: BTreeMap<String, String>,
    /// How relevant pages are, by the query's name.
    pub(super) grades: BTreeMap<String, BTreeMap<String, u32>>,
}

/// Where judgements may lie.
const JUDGEMENTS: [&str; 4] = ["qrels/test.tsv", "qrels.tsv", "qrels/test.jsonl", "qrels.jsonl"];
/// What a page's name may be called in a line, what a query's, and what their contents.
const PAGE: [&str; 4] = ["corpus-id", "_id", "corpus_id", "id"];
const QUERY: [&str; 4] = ["query-id", "_id", "query_id", "id"];
const WORDS: [&str; 2] = ["text", "query"];
const FILE: [&str; 3] = ["image", "file", "path"];

impl BenchFolder {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let corpus = corpus(folder)?;
        let mut queries = BTreeMap::new();
        let path = folder.join("queries.jsonl");
        for (number, line) in lines(&path)? {
            let line = object(&path, number, &line)?;
            let name = field(&line, &QUERY).ok_or_else(|| lacks(&path, number, "`query-id`"))?;
            let words = field(&line, &WORDS).ok_or_else(|| lacks(&path, number, "`text`"))?;
            if queries.insert(name.clone(), words).is_some() {
                return Err(wrong(&path, number, &format!("the query `{name}` was there before")));
            }
        }
        let grades = grades(folder)?;
        let judged = |(query, pages): (&String, &BTreeMap<String, u32>)| {
            let missing = pages.keys().find(|page| !corpus.contains_key(*page));
            let what = match missing {
                Some(page) => {
                    format!("the page `{page}` of the query `{query}` is not in the corpus")
                }
                None if !queries.contains_key(query) => format!("there is no query `{query}`"),
                None => return None,
            };
            Some(what)
        };
        if let Some(reason) = grades.iter().find_map(judged) {
            return Err(Problem::Benchmark { path: folder.to_owned(), reason }.into());
        }
        Ok(Self { corpus, queries, grades })
    }
}

/// The pages: `corpus.jsonl` says where their images are, or the folder `images` has a file for each, which is called as the page is.
fn corpus(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let path = folder.join("corpus.jsonl");
    let mut corpus = BTreeMap::new();
    if !path.exists() {
        let images = folder.join("images");
        let entries = fs::read_dir(&images).map_err(|error| Problem::io("read", &images, error))?;
        for entry in entries {
            let file = entry.map_err(|error| Problem::io("read", &images, error))?.path();
            if let (true, Some(stem)) = (file.is_file(), file.file_stem()) {
                corpus.insert(stem.to_string_lossy().into_owned(), file);
            }
        }
    } else {
        for (number, line) in lines(&path)? {
            let line = object(&path, number, &line)?;
            let name = field(&line, &PAGE).ok_or_else(|| lacks(&path, number, "`corpus-id`"))?;
            let file = field(&line, &FILE).ok_or_else(|| {
                lacks(&path, number, "`image`, the path of the page's picture in this folder")
            })?;
            let file = folder.join(file);
            if !file.is_file() {
                return Err(wrong(&path, number, &format!("there is no file {}", file.display())));
            }
            if corpus.insert(name.clone(), file).is_some() {
                return Err(wrong(&path, number, &format!("the page `{name}` was there before")));
            }
        }
    }
    if corpus.is_empty() {
        let reason = "it has no pages".to_owned();
        return Err(Problem::Benchmark { path: folder.to_owned(), reason }.into());
    }
    Ok(corpus)
}

fn grades(folder: &Path) -> Result<BTreeMap<String, BTreeMap<String, u32>>> {
    let path = JUDGEMENTS.iter().map(|name| folder.join(name)).find(|path| path.exists());
    let Some(path) = path else {
        let reason = format!("it has none of {}", JUDGEMENTS.join(", "));
        return Err(Problem::Benchmark { path: folder.to_owned(), reason }.into());
    };
    let mut grades: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    let tabbed = path.extension().is_some_and(|end| end == "tsv");
    for (number, line) in lines(&path)? {
        let (query, page, grade) = if tabbed {
            let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
            // BEIR has three columns and a head, trec_eval a column more.
            let [query, .., page, grade] = fields[..] else {
                return Err(wrong(&path, number, "it has less than three columns"));
            };
            if number == 1 && grade.parse::<f64>().is_err() {
                continue;
            }
            (query.to_owned(), page.to_owned(), grade.to_owned())
        } else {
            let line = object(&path, number, &line)?;
            let query = field(&line, &["query-id", "query_id"]);
            let page = field(&line, &["corpus-id", "corpus_id"]);
            let (Some(query), Some(page)) = (query, page) else {
                return Err(lacks(&path, number, "`query-id` or `corpus-id`"));
            };
            (query, page, field(&line, &["score"]).unwrap_or_else(|| "1".to_owned()))
        };
        // Some tools write grades as 1.0, and what is less than nothing is not relevant.
        let grade =
            grade.parse::<f64>().ok().filter(|grade| grade.fract() == 0.0 && *grade <= 100.0);
        let Some(grade) = grade else {
            return Err(wrong(&path, number, "the score is no whole number up to 100"));
        };
        grades.entry(query).or_default().insert(page, grade.max(0.0) as u32);
    }
    Ok(grades)
}

/// The lines of a file that say something, with their numbers.
fn lines(path: &Path) -> Result<Vec<(usize, String)>> {
    let text = fs::read_to_string(path).map_err(|error| Problem::io("read", path, error))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    Ok(lines.map(|(line, number)| (number, line.to_owned())).collect())
}

fn object(path: &Path, number: usize, line: &str) -> Result<Value> {
    let value: Result<Value, _> = serde_json::from_str(line);
    match value {
        Ok(value) if value.is_object() => Ok(value),
        _ => Err(wrong(path, number, "it is no JSON object")),
    }
}

/// The first of these fields that is there, as text: names are numbers in some data.
fn field(line: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| match &line[*name] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

fn lacks(path: &Path, number: usize, what: &str) -> crate::report::Failure {
    wrong(path, number, &format!("it lacks {what}"))
}

fn wrong(path: &Path, number: usize, why: &str) -> crate::report::Failure {
    Problem::Benchmark { path: path.to_owned(), reason: format!("line {number}: {why}") }.into()
}
