//! A stranger's PDF, from its bytes to Markdown and JSON.
//!
//! The parser runs in this process, so this also finds panics of the crates that read the file's
//! syntax and fonts; those are contained by the worker process and reported upstream.
#![no_main]

use documents::pipeline::lay_out;
use documents::{Limits, Origin, PageFailure, PageSet, Source, json, markdown, pdf};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits {
        operators_per_page: 20_000,
        glyphs_per_page: 5_000,
        content_bytes_per_page: 1 << 20,
        ..Limits::default()
    };
    let source = Source { name: "fuzz.pdf".to_owned(), bytes: bytes.to_vec() };
    let mut reader = pdf::Reader::new(limits);
    let Ok(document) = lay_out(source, &PageSet::all(), &[], &mut reader) else {
        return;
    };
    for page in &document.pages {
        if let Origin::Failed(PageFailure::Panic { message }) = &page.origin {
            panic!("page {}: {message}", page.number);
        }
    }
    let _ = markdown::write(&document, Default::default());
    let _ = json::write(&document, Default::default());
});
