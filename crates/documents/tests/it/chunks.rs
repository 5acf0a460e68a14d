//! Documents in chunks.

use std::fs;
use std::path::Path;

use documents::chunks::{Chunk, ChunkOptions, chunks, estimate, passages};
use documents::pipeline::{PageReading, Reader};
use documents::{Document, Origin, Page};
use proptest::prelude::*;

use crate::document;

fn lease() -> Document {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/lease.pdf");
    document(fs::read(file).expect("the example"))
}

fn options(tokens: usize) -> ChunkOptions<'static> {
    ChunkOptions {
        tokens,
        overlap: 0,
        heading_level: 6,
        by_page: false,
        furniture: false,
        count: &estimate,
    }
}

/// A document of pages that a model read.
fn seen(texts: &[&str]) -> Document {
    let page = |(at, text): (usize, &&str)| {
        let number = at as u32 + 1;
        let reading = PageReading {
            by: Reader::Model("eyes".to_owned()),
            ..PageReading::of_text_layer(number, Some((*text).to_owned()))
        };
        Page {
            number,
            width: 612.0,
            height: 792.0,
            rotation: 0,
            origin: Origin::Transcript(Box::new(reading)),
            need: None,
            agreement: None,
            blocks: Vec::new(),
            images: Vec::new(),
            warnings: Default::default(),
        }
    };
    Document {
        name: "seen.pdf".to_owned(),
        title: None,
        encrypted: false,
        page_count: texts.len() as u32,
        pages: texts.iter().enumerate().map(page).collect(),
    }
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// What a chunk has that no other has.
fn own(chunk: &Chunk) -> String {
    let all: Vec<char> = chunk.text.chars().collect();
    all[chunk.carried..all.len() - chunk.closing].iter().collect()
}

#[test]
fn chunks_of_a_lease_know_their_headings_and_places() {
    let found = chunks(&lease(), &options(200));
    let shown: Vec<String> = found
        .iter()
        .enumerate()
        .map(|(number, chunk)| chunk.to_json("lease.pdf", number).to_string())
        .collect();
    insta::assert_snapshot!("lease_chunks", shown.join("\n"));
    assert!(found.iter().all(|chunk| chunk.tokens <= 200 && chunk.tokens == estimate(&chunk.text)));
}

#[test]
fn a_heading_goes_with_what_stands_below_it() {
    let text = format!("# One\n\n{}\n\n## Two\n\nshort\n\n### Three\n\nend", "word ".repeat(30));
    let found = chunks(&seen(&[&text]), &options(45));
    let shown: Vec<_> =
        found.iter().map(|c| (c.headings.join("/"), c.text.lines().next())).collect();
    let wanted = [
        ("One".to_owned(), Some("# One")),
        ("One/Two".to_owned(), Some("## Two")),
        ("One/Two/Three".to_owned(), Some("### Three")),
    ];
    assert_eq!(shown, wanted);
    let all = chunks(&seen(&[&text]), &ChunkOptions { heading_level: 0, ..options(1000) });
    assert_eq!(all.len(), 1);
    let two = chunks(&seen(&["a", "b"]), &ChunkOptions { by_page: true, ..options(1000) });
    assert_eq!(two.len(), 2);
    let one = chunks(&seen(&["a", "b"]), &options(1000));
    assert_eq!((one.len(), one[0].places.len()), (1, 2));
}

#[test]
fn tables_and_code_are_parted_between_rows_and_lines() {
    let rows: String =
        (0..40).map(|n| format!("<tr><td>{n}</td><td>value {n}</td></tr>")).collect();
    let table = format!("<table><thead><tr><th>n</th><th>v</th></tr></thead>{rows}</table>");
    let code = format!("```c\n{}```", "    call(1);\n".repeat(60));
    let found = chunks(&seen(&[&table, &code]), &options(120));
    for chunk in &found {
        assert!(chunk.tokens <= 120, "{}", chunk.tokens);
        match chunk.kind {
            "table" => {
                assert!(
                    chunk.text.starts_with("<table><thead>") && chunk.text.ends_with("</table>")
                );
                assert_eq!(chunk.text.matches("<tr>").count(), chunk.text.matches("</tr>").count());
            }
            "code" => {
                assert!(chunk.text.starts_with("```c\n    call") && chunk.text.ends_with("\n```"));
            }
            other => panic!("{other}"),
        }
    }
    assert!(found.len() > 5, "{}", found.len());
}

#[test]
fn the_end_of_a_chunk_may_begin_the_next() {
    let text = (0..30).map(|n| format!("Sentence {n} says little. ")).collect::<String>();
    let found = chunks(&seen(&[&text]), &ChunkOptions { overlap: 15, ..options(60) });
    assert!(found.len() > 3);
    for pair in found.windows(2) {
        let carried: String = pair[1].text.chars().take(pair[1].carried).collect();
        assert!(
            !carried.trim().is_empty() && pair[0].text.ends_with(carried.trim()),
            "{carried:?}"
        );
        assert!(pair[1].tokens <= 60);
    }
}

#[test]
fn a_part_of_a_paragraph_has_the_box_of_its_lines() {
    let found = chunks(&lease(), &options(30));
    let whole = chunks(&lease(), &options(2000));
    let height = |chunk: &Chunk| chunk.places[0].1.map_or(0.0, |bbox| bbox.height());
    let most = whole.iter().map(height).fold(0.0, f32::max);
    assert!(found.iter().all(|chunk| chunk.places.iter().all(|(_, bbox)| bbox.is_some())));
    assert!(found.iter().all(|chunk| height(chunk) < most / 3.0), "{most}");
}

/// Pages as models write them.
fn page() -> impl Strategy<Value = String> {
    let words = "[a-zé一]{1,12}";
    let block = prop_oneof![
        (1..4usize, words).prop_map(|(level, words)| format!("{} {words}", "#".repeat(level))),
        prop::collection::vec(words, 1..60).prop_map(|words| words.join(" ") + "."),
        prop::collection::vec(words, 1..9).prop_map(|words| format!("- {}", words.join("\n- "))),
        prop::collection::vec(words, 1..9).prop_map(|rows| {
            format!(
                "<table><tr><th>h</th></tr><tr><td>{}</td></tr></table>",
                rows.join("</td></tr><tr><td>")
            )
        }),
        prop::collection::vec(words, 1..9)
            .prop_map(|rows| format!("| h |\n|---|\n| {} |", rows.join(" |\n| "))),
        prop::collection::vec(words, 0..9)
            .prop_map(|lines| format!("```\n  {}\n```", lines.join("\n\n  "))),
        Just("<table><tr><td>cut".to_owned()),
        Just("```\nnever ends".to_owned()),
        Just("<!-- hidden -->".to_owned()),
        Just("[x]: http://y.z".to_owned()),
        Just("***".to_owned()),
    ];
    prop::collection::vec(block, 0..9).prop_map(|blocks| blocks.join("\n\n"))
}

#[test]
fn passages_end_with_paragraphs_if_they_can() {
    let text = "One two three.\n\nFour five. Six seven eight nine ten.\n\n  \n\neleven\n";
    let count = |text: &str| text.split_whitespace().count();
    assert_eq!(passages(text, 100, &count), [text.trim()]);
    let two = ["One two three.", "Four five. Six seven eight nine ten.\n\n  \n\neleven"];
    assert_eq!(passages(text, 8, &count), two);
    let five = ["One two three.", "Four five.", "Six seven eight nine ten.", "eleven"];
    assert_eq!(passages(text, 5, &count), five);
    assert!(passages(" \n\n ", 5, &count).is_empty() && passages("", 5, &count).is_empty());
}

proptest! {
    #[test]
    fn passages_are_the_text(pages in prop::collection::vec(page(), 0..4), tokens in 1..80_usize) {
        let text = pages.join("\n\n");
        let found = passages(&text, tokens, &estimate);
        prop_assert_eq!(letters(&found.concat()), letters(&text));
        for passage in found {
            let fits = estimate(passage) <= tokens || passage.chars().count() == 1;
            prop_assert!(!passage.is_empty() && fits, "{passage:?}");
        }
    }

    #[test]
    fn nothing_is_lost_and_nothing_is_too_long(
        pages in prop::collection::vec(page(), 1..4),
        tokens in 1..80_usize,
        overlap in 0..30_usize,
        heading_level in 0..7_u8,
        by_page: bool,
    ) {
        let texts: Vec<&str> = pages.iter().map(String::as_str).collect();
        let document = seen(&texts);
        let options = ChunkOptions { overlap, heading_level, by_page, ..options(tokens) };
        let found = chunks(&document, &options);
        let together: String = found.iter().map(|chunk| letters(&own(chunk))).collect();
        prop_assert_eq!(together, letters(&pages.concat()));
        for chunk in &found {
            prop_assert!(!chunk.text.trim().is_empty() && !letters(&own(chunk)).is_empty());
            prop_assert!(chunk.tokens <= tokens || letters(&chunk.text).chars().count() == 1, "{:?}", chunk);
            prop_assert!(!by_page || chunk.places.len() == 1);
        }
        prop_assert_eq!(found, chunks(&document, &options));
    }
}

#[test]
fn the_own_text_of_pages_is_kept_whole() {
    for tokens in [7, 40, 300] {
        let found = chunks(&lease(), &options(tokens));
        let together: String = found.iter().map(|chunk| letters(&own(chunk))).collect();
        let markdown = documents::markdown::write(&lease(), Default::default());
        assert_eq!(together, letters(&markdown));
    }
}
