//! The crate as its callers see it: files in, documents out.

mod album;
mod chunks;
mod figures;
mod hostile;
mod html;
mod job;
mod lease;
mod pages;
mod pictures;
mod pipeline;
mod preview;
mod render;
mod siege;
mod suite;
mod worker;

use documents::pipeline::lay_out;
use documents::{Document, Error, Limits, PageSet, Source, pdf};

/// Reads bytes in this process.
fn try_read(bytes: Vec<u8>, passwords: &[&str]) -> Result<Document, Error> {
    let source = Source { name: "test.pdf".to_owned(), bytes };
    let passwords: Vec<String> = passwords.iter().map(|p| (*p).to_owned()).collect();
    lay_out(source, &PageSet::all(), &passwords, &mut pdf::Reader::new(Limits::default()))
}

fn document(bytes: Vec<u8>) -> Document {
    try_read(bytes, &[]).expect("the file opens")
}

/// Kinds and texts of a page's blocks.
fn blocks(document: &Document, page: usize) -> Vec<(&'static str, String)> {
    document.pages[page].blocks.iter().map(|b| (b.kind.name(), b.text())).collect()
}

fn markdown(document: &Document) -> String {
    documents::markdown::write(document, Default::default())
}
