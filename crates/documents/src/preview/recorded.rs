//! What a workspace says of a document: its line of Dolma, taken apart into pages again.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::pipeline::{FrontMatter, PageReading, Reader, agree};
use crate::workspace::{Failure, Reason};
use crate::{Document, Origin, Page};

/// A document as it was written down.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its path as it stands in the index.
    pub source: String,
    /// Its pages.
    pub pages: Vec<PageReading>,
}

/// Takes a line of `results/output_….jsonl` apart. `None` if it is no document of Dolma's.
pub fn recorded(line: &str) -> Option<Recorded> {
    let value: Value = serde_json::from_str(line).ok()?;
    let source = value["metadata"]["Source-File"].as_str()?.to_owned();
    let text = value["text"].as_str()?;
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let attributes = &value["attributes"];
    let mut pages = Vec::new();
    for (at, span) in attributes["pdf_page_numbers"].as_array()?.iter().enumerate() {
        let number = |n: usize| span[n].as_u64().and_then(|n| usize::try_from(n).ok());
        let [start, end, page] = [number(0)?, number(1)?, number(2)?];
        let said = text.get(*places.get(start)?..*places.get(end)?)?;
        let said = said.strip_suffix('\n').unwrap_or(said);
        let truth = |name: &str| attributes[name][at].as_bool().unwrap_or_default();
        let degrees = attributes["rotation_correction"][at].as_u64().unwrap_or_default();
        pages.push(PageReading {
            front_matter: FrontMatter {
                primary_language: attributes["primary_language"][at].as_str().map(str::to_owned),
                is_rotation_valid: truth("is_rotation_valid"),
                rotation_correction: u16::try_from(degrees).unwrap_or_default(),
                is_table: truth("is_table"),
                is_diagram: truth("is_diagram"),
            },
            // Who it was is not written down.
            by: Reader::Model("the workspace's model".to_owned()),
            ..PageReading::of_text_layer(
                u32::try_from(page).ok()?,
                (!said.is_empty()).then(|| said.to_owned()),
            )
        });
    }
    Some(Recorded { source, pages })
}

/// Puts what was read into a document that is laid out, with what failed of it, and compares it with the pages' own text.
/// A page that is not in the document is added without its look.
pub fn fill(document: &mut Document, recorded: &Recorded, failures: &[Failure]) {
    let mut failed: BTreeMap<u32, &Failure> = BTreeMap::new();
    for failure in failures {
        if let (Some(page), false) = (failure.page, failure.reason == Reason::OverErrorRate) {
            failed.entry(page).or_insert(failure);
        }
    }
    for reading in &recorded.pages {
        let mut reading = reading.clone();
        if let Some(failure) = failed.get(&reading.number) {
            (reading.fallback, reading.because) = (true, Some(failure.message.clone()));
            reading.by = Reader::TextLayer;
        }
        let number = reading.number;
        let at = match document.pages.binary_search_by_key(&number, |page| page.number) {
            Ok(at) => at,
            Err(at) => {
                document.pages.insert(at, unseen(number));
                at
            }
        };
        let page = &mut document.pages[at];
        page.origin = Origin::Transcript(Box::new(reading));
        agree(page);
    }
}

/// A page of which nothing is known but its number.
fn unseen(number: u32) -> Page {
    Page {
        number,
        width: 0.0,
        height: 0.0,
        rotation: 0,
        origin: Origin::Blank,
        need: None,
        agreement: None,
        blocks: Vec::new(),
        images: Vec::new(),
        warnings: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Provenance, dolma};

    #[test]
    fn a_line_is_taken_apart_into_the_pages_that_it_was_made_of() {
        let page = |number, text: Option<&str>| PageReading {
            by: Reader::Model("the workspace's model".to_owned()),
            ..PageReading::of_text_layer(number, text.map(str::to_owned))
        };
        let pages = [page(1, Some("é one\n")), page(2, None), page(3, Some("𝔸 three"))];
        let provenance = Provenance { source: "a.pdf", version: "0", date: "2000-01-01" };
        let line = dolma(&provenance, &pages).expect("it has text").line;
        let found = recorded(&line).expect("a document");
        assert_eq!((found.source.as_str(), &found.pages[..]), ("a.pdf", &pages[..]));
        assert_eq!(recorded("{}"), None);
        let broken = line.replace("[[0, ", "[[99, ");
        assert_eq!(recorded(&broken), None);
    }
}
