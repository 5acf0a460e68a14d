//! Documents to be looked over.

use std::fs;
use std::path::Path;

use documents::picture::decode;
use documents::pipeline::{PageReading, Reader, compare};
use documents::preview::{Look, Recorded, Shown, Thumbnail, fill, write};
use documents::workspace::{Failure, Reason};
use documents::{Document, Limits, Origin, PageFailure, Source, pdf};

use crate::document;

fn lease() -> (Vec<u8>, Document) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/lease.pdf");
    let bytes = fs::read(file).expect("the example");
    (bytes.clone(), document(bytes))
}

fn shown(document: Document) -> Shown {
    let look = Look::Picture("data:image/webp;base64,AAAA".to_owned(), [3, 4]);
    Shown { looks: vec![look; document.pages.len()], document, note: None }
}

#[test]
fn what_differs_is_marked_and_what_failed_is_named() {
    let (_, mut document) = lease();
    let text = "# LEASE AGREEMENT\n\nmade on 14 March 2026 between\n\n<script>alert(1)</script>";
    let reading = PageReading {
        by: Reader::Model("eyes".to_owned()),
        ..PageReading::of_text_layer(1, Some(text.to_owned()))
    };
    let recorded = Recorded { source: "lease.pdf".to_owned(), pages: vec![reading] };
    fill(&mut document, &recorded, &[]);
    document.pages[1].origin = Origin::Failed(PageFailure::StackOverflow);
    let failure =
        Failure { page: None, reason: Reason::Missing, message: "<gone>".to_owned(), attempt: 0 };
    let html = write("A & B", &[shown(document)], &[("lost.pdf", &failure)]);
    assert!(html.contains("<mark>2026</mark>"), "{html}");
    assert!(html.contains("read by eyes") && html.contains("<details>"));
    assert!(html.contains("&lt;gone&gt;") && html.contains("lost.pdf"));
    assert!(html.contains("Page 2 could not be read") && html.contains("1 not read"));
    // One script, ours; nothing from anywhere.
    assert_eq!(html.matches("<script").count(), 1);
    assert!(!html.contains("http://") && !html.contains("https://"));
    assert!(html.contains("script-src &#39;sha256-") && !html.contains("unsafe"));
}

#[test]
fn pages_that_failed_in_a_workspace_are_told_from_those_that_were_read() {
    let (_, mut document) = lease();
    let page = |number| PageReading {
        by: Reader::Model("eyes".to_owned()),
        ..PageReading::of_text_layer(number, Some("words".to_owned()))
    };
    let recorded =
        Recorded { source: "lease.pdf".to_owned(), pages: vec![page(1), page(2), page(9)] };
    let message = "it went round".to_owned();
    let failure = Failure { page: Some(2), reason: Reason::Model, message, attempt: 8 };
    fill(&mut document, &recorded, &[failure]);
    let numbers: Vec<u32> = document.pages.iter().map(|page| page.number).collect();
    assert_eq!(numbers, [1, 2, 3, 9], "a page that the file does not have is shown, too");
    let of = |at: usize| {
        let Origin::Transcript(reading) = &document.pages[at].origin else {
            panic!("{:?}", document.pages[at].origin)
        };
        (reading.fallback, reading.because.clone())
    };
    assert_eq!(of(0), (false, None));
    assert_eq!(of(1), (true, Some("it went round".to_owned())));
    assert!(document.pages[0].agreement.is_some() && document.pages[1].agreement.is_none());
}

#[test]
fn pictures_are_small_and_can_be_opened() {
    let (bytes, _) = lease();
    let mut reader = pdf::Reader::new(Limits::default());
    let source = Source { name: "lease.pdf".to_owned(), bytes };
    documents::pipeline::Parse::open(&mut reader, source, &[]).expect("it opens");
    let picture = Thumbnail::draw(&mut reader, 1, 400).expect("it is drawn");
    let there = decode(&picture.bytes).expect("a picture");
    assert_eq!([there.width, there.height], picture.size);
    assert_eq!(there.height, 400);
    assert!(picture.inline().starts_with(&format!("data:image/{};base64,", picture.format)));
}

#[test]
fn marks_of_markdown_are_no_words_of_either_reading() {
    let found = compare("a<sup>1</sup> [b](mailto:x@y.z)", "a 1 b");
    assert_eq!((found.recall, found.precision), (1.0, 1.0), "{found:?}");
}
