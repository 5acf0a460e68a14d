//! What is in an index.

use std::path::Path;
use std::process::ExitCode;

use documents::found::{ContactDocument, contact_sheet};
use manager::find::Store;
use manager::find::index::{Index, Profile};
use serde_json::json;

use super::told;
use crate::output;
use crate::report::{Problem, Result};

/// An index that is not searched.
pub(super) fn opened(path: &Path) -> Result<(Profile, Index)> {
    let profile = Index::profile_of(path)?;
    let index = manager::find::open(path, &profile, Default::default())?;
    Ok((profile, index))
}

pub(super) fn show(path: &Path, as_json: bool) -> Result<ExitCode> {
    let (profile, index) = opened(path)?;
    let size = index.size()?;
    let (place, documents) = (path.display().to_string(), Store::documents(&index)?);
    if as_json {
        let mut all = told::as_json(&place, &profile, &documents);
        for (name, value) in [
            ("pages", json!(size.pages)),
            ("segments", json!(size.segments)),
            ("bytes", json!(size.bytes)),
        ] {
            all[name] = value;
        }
        output::line(&all.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let (count, pages, bytes) = (size.documents, size.pages, output::bytes(size.bytes));
    let head = format!("{place}: {count} documents, {pages} pages, {bytes} of vectors\n");
    output::write(&(head + &told::lines(&profile, &documents)))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the images of all pages into the folder `into`, and a page of HTML that shows them.
pub(super) fn previews(path: &Path, into: &Path) -> Result<()> {
    let (_, index) = opened(path)?;
    let mut shown = Vec::new();
    let (mut pages, mut without) = (0_usize, 0_usize);
    for document in Store::documents(&index)? {
        // The name is for people, the hash tells two of the same name apart.
        let stem = Path::new(&document.path).file_stem().unwrap_or_default().to_string_lossy();
        let stem: String =
            stem.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        let stem: String = stem.chars().take(60).collect();
        let folder = format!("{stem}-{}", &document.hash.to_string()[..8]);
        let place = into.join(&folder);
        std::fs::create_dir_all(&place)
            .map_err(|error| Problem::io("make the folder", &place, error))?;
        let mut of = Vec::new();
        for (number, page) in index.pages(document.document)? {
            let image = match index.preview(page)? {
                Some((kind, bytes)) => {
                    let end = if kind == "image/webp" { "webp" } else { "jpg" };
                    let name = format!("{number:04}.{end}");
                    let file = place.join(&name);
                    std::fs::write(&file, bytes)
                        .map_err(|error| Problem::io("write", &file, error))?;
                    pages += 1;
                    Ok(format!("{folder}/{name}"))
                }
                None => {
                    without += 1;
                    let failure = document.failures.iter().find(|(failed, _)| *failed == number);
                    Err(failure.map_or_else(
                        || "no image of this page was kept".to_owned(),
                        |(_, why)| why.clone(),
                    ))
                }
            };
            of.push((number, image));
        }
        let note = [document.category, document.date].into_iter().flatten();
        let note = note.collect::<Vec<_>>().join(", ");
        shown.push(ContactDocument { path: document.path, note, pages: of });
    }
    let file = into.join("index.html");
    let title = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    std::fs::create_dir_all(into).map_err(|error| Problem::io("make the folder", into, error))?;
    std::fs::write(&file, contact_sheet(&title, &shown))
        .map_err(|error| Problem::io("write", &file, error))?;
    eprintln!("{}: {pages} pages; {without} have no image", file.display());
    Ok(())
}

pub(super) fn verify(path: &Path) -> Result<ExitCode> {
    let (_, index) = opened(path)?;
    let faults = index.verify()?;
    for fault in &faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() {
        let size = index.size()?;
        eprintln!("{}: all {} pages are as they were written", path.display(), size.pages);
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("index the documents again: what is damaged is replaced if they are removed first");
    Ok(ExitCode::FAILURE)
}
