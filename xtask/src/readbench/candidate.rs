//! What somebody read of the pages: a folder as olmOCR's benchmark has it, or the results of a workspace.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// One reader's pages.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The folder's name.
    pub(super) name: String,
    /// The readings of each page, by file and page.
    pages: BTreeMap<(String, u64), Vec<String>>,
}

impl Candidate {
    /// A folder with `NAME_pgPAGE_repeatN.md` for `NAME.pdf`, at the same place below it.
    pub(super) fn of_folder(folder: &Path) -> Result<Self> {
        let mut pages: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for file in below(folder, "md")? {
            let name = relative(&file, folder)?;
            let Some((pdf, page)) = page_of(&name) else { continue };
            let text = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            pages.entry((pdf, page)).or_default().push(text);
        }
        Ok(Self { name: name(folder), pages })
    }

    /// The results of a workspace: documents whose path ends in the path of one of `pdfs`. What it does not have is a page
    /// without text.
    pub(super) fn of_workspace(folder: &Path, pdfs: &[String]) -> Result<Self> {
        let mut pages: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for file in below(&folder.join("results"), "jsonl")? {
            let text = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            for (index, line) in text.lines().enumerate() {
                let place = || format!("{}:{}", file.display(), index + 1);
                let line: Value = serde_json::from_str(line).with_context(place)?;
                let (source, texts) = document(&line).with_context(place)?;
                let ends = |pdf: &&String| {
                    source
                        .strip_suffix(pdf.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
                };
                // The longest is the one that is meant where two names end alike.
                let Some(pdf) = pdfs.iter().filter(ends).max_by_key(|pdf| pdf.len()) else {
                    continue;
                };
                for (page, text) in texts {
                    pages.insert((pdf.clone(), page), vec![text]);
                }
            }
        }
        if pages.is_empty() {
            bail!("{}: its results have none of the benchmark's files", folder.display());
        }
        for pdf in pdfs {
            pages.entry((pdf.clone(), 1)).or_insert_with(|| vec![String::new()]);
        }
        Ok(Self { name: name(folder), pages })
    }

    /// The readings of a page.
    pub(super) fn page(&self, pdf: &str, page: u64) -> &[String] {
        // A map of pairs is asked by a pair.
        self.pages.get(&(pdf.to_owned(), page)).map_or(&[], Vec::as_slice)
    }

    /// Whether there is any reading of a file.
    pub(super) fn has(&self, pdf: &str) -> bool {
        self.pages.range((pdf.to_owned(), 0)..).next().is_some_and(|((found, _), _)| found == pdf)
    }
}

/// All files of a folder and those below it that end so, in the order of their names.
pub(super) fn below(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(below(&path, extension)?);
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A file's path below a folder, with `/`.
pub(super) fn relative(file: &Path, folder: &Path) -> Result<String> {
    let path = file.strip_prefix(folder)?;
    let path = path.to_str().with_context(|| format!("{} is no UTF-8", file.display()))?;
    Ok(path.replace('\\', "/"))
}

fn name(folder: &Path) -> String {
    folder.file_name().map_or_else(|| folder.display().to_string(), |n| n.to_string_lossy().into())
}

/// `a/b.pdf` and 2 of `a/b_pg2_repeat1.md`.
fn page_of(name: &str) -> Option<(String, u64)> {
    let (rest, repeat) = name.strip_suffix(".md")?.rsplit_once("_repeat")?;
    let (pdf, page) = rest.rsplit_once("_pg")?;
    repeat.parse::<u64>().ok()?;
    Some((format!("{pdf}.pdf"), page.parse().ok()?))
}

/// Where a document of Dolma came from, and its pages.
fn document(line: &Value) -> Result<(String, Vec<(u64, String)>)> {
    let text: Vec<char> = line["text"].as_str().context("has no text")?.chars().collect();
    let source = line["metadata"]["Source-File"].as_str().context("has no Source-File")?;
    let spans = line["attributes"]["pdf_page_numbers"].as_array().context("has no pages")?;
    let mut pages = Vec::new();
    for span in spans {
        let number = |index: usize| span[index].as_u64().context("a span of a page is no triple");
        let (start, end, page) = (number(0)?, number(1)?, number(2)?);
        let part = text.get(usize::try_from(start)?..usize::try_from(end)?);
        pages.push((page, part.context("a page ends after the text")?.iter().collect()));
    }
    Ok((source.to_owned(), pages))
}
