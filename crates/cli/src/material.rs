//! Files that are put before a model: PDFs as markdown, everything else as the text it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use documents::markdown::MarkdownOptions;
use documents::pipeline::lay_out;
use documents::worker::Worker;
use documents::{Document, FileKind, Limits, Origin, PageSet, Source};
use manager::Image;
use server::mcp::Files;

use crate::report::{Problem, Result};

/// The hidden name under which this program parses strangers' files for another of its kind.
pub(crate) const WORKER: &str = "__read-worker";

/// How to start this program as a worker.
pub(crate) fn worker() -> Result<impl Fn() -> Command + Send + Sync + 'static> {
    let program = std::env::current_exe()
        .map_err(|error| Problem::io("find", "this program".as_ref(), error))?;
    Ok(move || {
        let mut command = Command::new(&program);
        command.arg(WORKER);
        command
    })
}

/// The files under `roots`, for the tools of a server.
pub(crate) fn files(roots: &[PathBuf]) -> Result<Files> {
    for root in roots.iter().filter(|root| !root.is_dir()) {
        eprintln!("note: nothing is read under {}, which is no folder", root.display());
    }
    let command = worker()?();
    let arguments = command.get_args().map(ToOwned::to_owned);
    let worker = std::iter::once(command.get_program().to_owned()).chain(arguments).collect();
    Ok(Files { roots: roots.to_vec(), worker })
}

/// The text of the file `path`. Pages without text are named on standard error.
pub(crate) fn text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|error| Problem::io("read", path, error))?;
    if FileKind::of(&bytes) != FileKind::Pdf {
        return String::from_utf8(bytes).map_err(|_| Problem::NotText { path: path.into() }.into());
    }
    drop(bytes);
    let limits = Limits::default();
    let source = Source::read(path, limits.file_bytes)?;
    let mut parser = Worker::new(worker()?, limits);
    let document = lay_out(source, &PageSet::all(), &[], &mut parser)?;
    unread(&document);
    Ok(documents::markdown::write(&document, MarkdownOptions::default()))
}

/// The files `paths`, as images that nobody has decoded yet.
pub(crate) fn images(paths: &[PathBuf]) -> Result<Vec<Image>> {
    let limit = Limits::default().file_bytes;
    let read = |path: &PathBuf| {
        let fail = |error| Problem::io("read", path, error);
        let size = std::fs::metadata(path).map_err(fail)?.len();
        if size > limit {
            let reason = format!("{} has {size} bytes; at most {limit} are read", path.display());
            return Err(Problem::Flag { flag: "--image", reason }.into());
        }
        let bytes = std::fs::read(path).map_err(fail)?;
        Ok(Image::new(bytes).named(path.display().to_string()))
    };
    paths.iter().map(read).collect()
}

/// Names the pages without text on standard error, and counts those that failed.
pub(crate) fn unread(document: &Document) -> usize {
    let mut failed = 0;
    let mut scans = Vec::new();
    for page in &document.pages {
        if matches!(page.origin, Origin::NoText { .. }) {
            scans.push(page.number);
        }
        if let Origin::Failed(failure) = &page.origin {
            failed += 1;
            eprintln!("{}: page {}: {failure}", document.name, page.number);
            if let Some(hint) = failure.hint() {
                eprintln!("  help: {hint}");
            }
        }
    }
    if !scans.is_empty() {
        eprintln!(
            "{}: no text on {}: images only, for which a vision model is needed",
            document.name,
            numbers(&scans),
        );
    }
    failed
}

/// `page 3`, or `pages 1-4, 7`.
fn numbers(pages: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &page in pages {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == page => *last = page,
            _ => ranges.push((page, page)),
        }
    }
    let range = |(first, last): &(u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let all: Vec<_> = ranges.iter().map(range).collect();
    format!("{} {}", if pages.len() == 1 { "page" } else { "pages" }, all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn neighbouring_pages_are_a_range() {
        assert_eq!(numbers(&[3]), "page 3");
        assert_eq!(numbers(&[1, 2, 3, 7, 9, 10]), "pages 1-3, 7, 9-10");
    }
}
