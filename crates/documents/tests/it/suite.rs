//! The documents of `fixtures/documents/suite`: each must read as the Markdown beside it, which says
//! what the source of the document says.

use std::fs;
use std::path::{Path, PathBuf};

use documents::Origin;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/documents/suite")
}

/// All PDFs of the suite, by name.
fn files() -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let folders = entries(&folder()).into_iter().filter(|path| path.is_dir());
    let mut files: Vec<PathBuf> = folders.flat_map(|folder| entries(&folder)).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "pdf"));
    files.sort();
    files
}

#[test]
fn every_document_reads_as_it_should() {
    let files = files();
    assert!(files.len() >= 17, "{files:?}");
    let mut wrong = String::new();
    for file in files {
        let document = super::document(fs::read(&file).unwrap());
        assert!(document.pages.iter().all(|page| page.origin == Origin::TextLayer), "{file:?}");
        let read = super::markdown(&document);
        let wanted = fs::read_to_string(file.with_extension("md")).unwrap();
        if read != wanted {
            let name = file.strip_prefix(folder()).unwrap().display().to_string();
            wrong.push_str(&format!("--- {name}, read as\n{read}--- instead of\n{wanted}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
