//! The documents of `fixtures/documents/suite`: each must read as the Markdown beside it, which says
//! what the source of the document says.

use std::fs;
use std::path::{Path, PathBuf};

use documents::pipeline::{Mode, ReadOptions, Room, read, reading};
use documents::{BlockKind, Document, Limits, Local, NoModel, Origin, Source};

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

/// A long document takes a tenth of the memory without its lines, and says the same.
#[test]
fn text_does_not_depend_on_lines_being_kept() {
    let read_with = |bytes: Vec<u8>, lines: bool| {
        let options = ReadOptions { lines, mode: Mode::Text, ..ReadOptions::default() };
        let source = Source { name: "file.pdf".to_owned(), bytes };
        let mut parser = Local::new(Limits::default());
        read(source, &options, &mut parser, &NoModel, &Room::new(1), &mut ()).unwrap()
    };
    for file in files() {
        let bytes = fs::read(&file).unwrap();
        let (with, without) = (read_with(bytes.clone(), true), read_with(bytes, false));
        let texts = |document: &Document| -> Vec<_> {
            document.pages.iter().filter_map(reading).map(|page| page.text).collect()
        };
        assert_eq!(texts(&with), texts(&without), "{file:?}");
        assert_eq!(super::markdown(&with), super::markdown(&without), "{file:?}");
        let lines = |document: &Document| {
            let blocks = document.pages.iter().flat_map(|page| &page.blocks);
            blocks
                .filter(|block| block.kind != BlockKind::Code)
                .map(|b| b.lines.len())
                .sum::<usize>()
        };
        assert!(lines(&with) > 0 && lines(&without) == 0, "{file:?}");
    }
}
