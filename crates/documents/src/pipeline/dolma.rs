//! A document as a line of Dolma, as olmOCR writes it, to the byte.
//!
//! Its readers are written in Python: places in the text are counted in code points, and the line itself is what
//! `json.dumps` makes of it, with all but ASCII escaped.

use std::fmt::Write as _;

use sha1::{Digest as _, Sha1};

use super::PageReading;
use crate::hex;

/// A document that is finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dolma {
    /// The line, without the line break that ends it.
    pub line: String,
    /// The text, which is what a Markdown file of the document holds.
    pub text: String,
}

/// What a document is called, and by whom and when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance<'a> {
    /// Its path, as it stands in the index; for a member of a tarball `tarball::member`.
    pub source: &'a str,
    /// The version of who read it.
    pub version: &'a str,
    /// The local date, as `YYYY-MM-DD`.
    pub date: &'a str,
}

/// Makes a document of its pages, which are in order. `None` if they have no text at all: olmOCR writes no line for
/// such a document, so who calls this says so elsewhere.
pub fn dolma(provenance: &Provenance<'_>, pages: &[PageReading]) -> Option<Dolma> {
    let mut text = String::new();
    let mut spans = Vec::with_capacity(pages.len());
    let mut end = 0;
    for (place, page) in pages.iter().enumerate() {
        let start = end;
        if let Some(page) = &page.text {
            text.push_str(page);
            end += page.chars().count();
            if place + 1 < pages.len() {
                text.push('\n');
                end += 1;
            }
        }
        spans.push((start, end, page.number));
    }
    if text.is_empty() {
        return None;
    }
    let line = line(provenance, pages, &text, &spans);
    Some(Dolma { line, text })
}

fn line(
    provenance: &Provenance<'_>,
    pages: &[PageReading],
    text: &str,
    spans: &[(usize, usize, u32)],
) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8 + 1024);
    let id = hex(&Sha1::digest(text.as_bytes()));
    let sum = |of: fn(&PageReading) -> u64| pages.iter().map(of).sum::<u64>();
    let (input, output) = (sum(|page| page.input_tokens), sum(|page| page.output_tokens));
    let fallback = sum(|page| u64::from(page.fallback));
    out.push_str("{\"id\": ");
    string(&mut out, &id);
    out.push_str(", \"text\": ");
    string(&mut out, text);
    out.push_str(", \"source\": \"olmocr\"");
    for name in ["added", "created"] {
        put(&mut out, format_args!(", \"{name}\": "));
        string(&mut out, provenance.date);
    }
    out.push_str(", \"metadata\": {\"Source-File\": ");
    string(&mut out, provenance.source);
    out.push_str(", \"olmocr-version\": ");
    string(&mut out, provenance.version);
    let count = pages.len();
    put(
        &mut out,
        format_args!(
            ", \"pdf-total-pages\": {count}, \"total-input-tokens\": {input}, \"total-output-tokens\": {output}, \
             \"total-fallback-pages\": {fallback}}}, \"attributes\": {{\"pdf_page_numbers\": "
        ),
    );
    list(&mut out, spans, |out, (start, end, page)| {
        put(out, format_args!("[{start}, {end}, {page}]"));
    });
    out.push_str(", \"primary_language\": ");
    list(&mut out, pages, |out, page| match &page.front_matter.primary_language {
        Some(language) => string(out, language),
        None => out.push_str("null"),
    });
    out.push_str(", \"is_rotation_valid\": ");
    list(&mut out, pages, |out, page| {
        put(out, format_args!("{}", page.front_matter.is_rotation_valid));
    });
    out.push_str(", \"rotation_correction\": ");
    list(&mut out, pages, |out, page| {
        put(out, format_args!("{}", page.front_matter.rotation_correction));
    });
    out.push_str(", \"is_table\": ");
    list(&mut out, pages, |out, page| put(out, format_args!("{}", page.front_matter.is_table)));
    out.push_str(", \"is_diagram\": ");
    list(&mut out, pages, |out, page| put(out, format_args!("{}", page.front_matter.is_diagram)));
    out.push_str("}}");
    out
}

fn list<T>(out: &mut String, items: &[T], write: impl Fn(&mut String, &T)) {
    out.push('[');
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push_str(", ");
        }
        write(out, item);
    }
    out.push(']');
}

/// A string with everything but printable ASCII escaped.
fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    put(out, format_args!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

/// Writing to a string does not fail.
fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{FrontMatter, Reader};

    /// Made by olmOCR's own `build_dolma_document` and `json.dumps`: see fixtures/workspace/README.md.
    const PYTHONS: &str = include_str!("../../../../fixtures/workspace/documents.jsonl");

    fn page(number: u32, text: Option<&str>) -> PageReading {
        PageReading {
            by: Reader::Model("test".to_owned()),
            input_tokens: 1000 + u64::from(number),
            output_tokens: 10 * u64::from(number),
            ..PageReading::of_text_layer(number, text.map(str::to_owned))
        }
    }

    #[test]
    fn lines_are_pythons_to_the_byte() {
        let front = |language: Option<&str>, valid, turn, table, diagram| FrontMatter {
            primary_language: language.map(str::to_owned),
            is_rotation_valid: valid,
            rotation_correction: turn,
            is_table: table,
            is_diagram: diagram,
        };
        let text = "Mathematics: \u{1d4b3} \u{2208} \u{211d}, e\u{301}t\u{e9}, \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        let control = "\"quoted\" \\frac{a}{b}\t\u{1}\u{8}\u{c}\u{1f}\u{7f}\u{80}\u{2028}\u{feff}\u{ffff}</script>";
        let mut first =
            [page(1, Some(text)), page(2, None), page(3, Some(control)), page(4, Some(""))];
        first[0].front_matter = front(Some("en"), true, 0, false, false);
        first[1].front_matter = front(None, false, 270, true, true);
        first[2].front_matter = front(Some("日本"), true, 90, false, true);
        first[2].fallback = true;
        let single = [page(7, Some("one\nline\r\n"))];
        let blank_end = [page(1, Some("text")), page(2, None)];
        let documents = [
            ("s3://bucket/é \"1\".pdf", &first[..]),
            ("a.tgz::b.pdf", &single),
            ("c.pdf", &blank_end),
        ];
        let mut expected = PYTHONS.lines();
        for (source, pages) in documents {
            let provenance = Provenance { source, version: "0.4.27", date: "2001-02-03" };
            let made = dolma(&provenance, pages).unwrap();
            assert_eq!(made.line, expected.next().unwrap());
            let read: serde_json::Value = serde_json::from_str(&made.line).unwrap();
            assert_eq!(read["text"], made.text.as_str());
        }
        assert_eq!(expected.next(), None);
    }

    #[test]
    fn a_document_without_text_is_none() {
        let provenance = Provenance { source: "a", version: "b", date: "c" };
        assert_eq!(dolma(&provenance, &[]), None);
        assert_eq!(dolma(&provenance, &[page(1, None), page(2, None)]), None);
        assert_eq!(dolma(&provenance, &[page(1, Some(""))]), None);
        // As in Python, where a page that is empty and not null still has its line break.
        assert!(
            dolma(&provenance, &[page(1, Some("")), page(2, None)]).is_some_and(|d| d.text == "\n")
        );
    }
}
