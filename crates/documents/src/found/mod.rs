//! Pages that were found, as one page of HTML: how each looks, what it says, and where on it each word of the question fits.

mod contact;

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::html::{Markup, head};
use crate::picture::{Picture, png};

pub use contact::{ContactDocument, contact_sheet};

const SHEET: &str = concat!(include_str!("base.css"), include_str!("sheet.css"));

/// What the head of such a page says that it was made by.
pub const GENERATOR: &str = "folio search";

/// Words of a question that are shown by themselves: so many the style sheet knows.
pub const MOST_WORDS: usize = 24;

/// How well each place of a page fits, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Heat {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// For the whole question, and then for each of its words: a number for each place.
    pub values: Vec<Vec<f32>>,
}

/// A page that was found.
#[derive(Clone, Debug)]
pub struct FoundPage {
    /// Where the document is.
    pub path: String,
    /// The page, from 1.
    pub number: u32,
    /// How well it fits.
    pub score: f64,
    /// Some of its words, and which of them were looked for, in bytes.
    pub snippet: (String, Vec<Range<usize>>),
    /// Its image: a media type and a file.
    pub preview: Option<(String, Vec<u8>)>,
    /// Where it fits, if that is known.
    pub heat: Option<Heat>,
}

/// The page, for a question of these words.
pub fn write(question: &str, words: &[String], note: &str, pages: &[FoundPage]) -> String {
    let words = &words[..words.len().min(MOST_WORDS)];
    let heated = pages.iter().any(|page| page.heat.is_some());
    let mut markup = Markup::default();
    markup.ours("<!DOCTYPE html>\n");
    markup.open("html", &[]);
    head(question, GENERATOR, SHEET, None, &mut markup);
    markup.open("body", &[]);
    markup.line();
    if heated {
        // Which map is shown is said by these alone: the page needs no script.
        choice("none", "No map", false, &mut markup);
        choice("w0", "The whole question", true, &mut markup);
        for (index, word) in words.iter().enumerate() {
            choice(&format!("w{}", index + 1), word, false, &mut markup);
        }
    }
    markup.open("header", &[]);
    markup.element("h1", &[("dir", "auto")], question);
    markup.element("p", &[], note);
    if heated {
        markup.open("p", &[("class", "words")]);
        label("none", "no map", &mut markup);
        label("w0", "whole question", &mut markup);
        for (index, word) in words.iter().enumerate() {
            label(&format!("w{}", index + 1), word, &mut markup);
        }
        markup.close();
    }
    markup.close();
    markup.line();
    markup.open("main", &[]);
    let ranges = ranges(pages);
    for (rank, page) in pages.iter().enumerate() {
        section(rank + 1, page, words.len(), &ranges, &mut markup);
    }
    if pages.is_empty() {
        markup.element("p", &[], "Nothing was found.");
    }
    let mut html = markup.finish();
    html.push('\n');
    html
}

fn choice(id: &str, name: &str, chosen: bool, markup: &mut Markup) {
    let attributes = [
        ("type", "radio"),
        ("name", "map"),
        ("id", id),
        ("aria-label", name),
        ("checked", "checked"),
    ];
    markup.void("input", &attributes[..if chosen { 5 } else { 4 }]);
    markup.line();
}

fn label(id: &str, name: &str, markup: &mut Markup) {
    markup.element("label", &[("for", id), ("class", id), ("dir", "auto")], name);
}

/// For each map, the numbers from which on a place is warm, and at which it is hot: the mean and the most of all pages, so that
/// pages can be compared.
fn ranges(pages: &[FoundPage]) -> Vec<(f32, f32)> {
    let maps = pages.iter().filter_map(|page| Some(page.heat.as_ref()?.values.len())).max();
    (0..maps.unwrap_or(0))
        .map(|map| {
            let of = |page: &'_ FoundPage| {
                page.heat.as_ref().and_then(|heat| heat.values.get(map).cloned())
            };
            let all: Vec<f32> = pages.iter().filter_map(of).flatten().collect();
            let mean = all.iter().sum::<f32>() / all.len().max(1) as f32;
            (mean, all.into_iter().fold(mean, f32::max))
        })
        .collect()
}

fn section(
    rank: usize,
    page: &FoundPage,
    words: usize,
    ranges: &[(f32, f32)],
    markup: &mut Markup,
) {
    let name = page.path.rsplit('/').next().unwrap_or(&page.path);
    markup.open("section", &[]);
    markup.open("h2", &[("dir", "auto"), ("title", &page.path)]);
    markup.element("span", &[("class", "rank")], &rank.to_string());
    markup.text(&format!(" {name}, page {} ", page.number));
    markup.element("span", &[("class", "score")], &format!("{:.3}", page.score));
    markup.close();
    markup.line();
    markup.open("div", &[("class", "sides")]);
    markup.open("div", &[("class", "seen")]);
    match &page.preview {
        Some((kind, bytes)) => {
            let alt = format!("Page {} of {name}", page.number);
            let address = format!("data:{kind};base64,{}", STANDARD.encode(bytes));
            markup.void("img", &[("src", &address), ("alt", &alt)]);
            if let Some(heat) = &page.heat {
                maps(heat, words, ranges, markup);
            }
        }
        None => markup.element("p", &[("class", "missing")], "No image of the page was kept."),
    }
    markup.close();
    markup.open("p", &[("class", "said"), ("dir", "auto")]);
    let (text, marks) = &page.snippet;
    let mut from = 0;
    for mark in marks {
        markup.text(text.get(from..mark.start).unwrap_or_default());
        markup.element("mark", &[], text.get(mark.clone()).unwrap_or_default());
        from = mark.end;
    }
    markup.text(text.get(from..).unwrap_or_default());
    markup.close();
    markup.close();
    markup.element("p", &[("class", "path")], &page.path);
    markup.close();
    markup.line();
}

fn maps(heat: &Heat, words: usize, ranges: &[(f32, f32)], markup: &mut Markup) {
    for (map, (values, (low, high))) in heat.values.iter().zip(ranges).enumerate().take(words + 1) {
        if values.len() != heat.height * heat.width || values.is_empty() {
            continue;
        }
        let pixels = values.iter().flat_map(|value| colour((value - low) / (high - low).max(1e-6)));
        let picture = Picture { width: heat.width, height: heat.height, pixels: pixels.collect() };
        let address = format!("data:image/png;base64,{}", STANDARD.encode(png(&picture)));
        let class = format!("map w{map}");
        markup.void("img", &[("src", &address), ("alt", ""), ("class", &class)]);
    }
}

/// White where it is cold, and through yellow to red where it is hot: multiplied with the page, ink stays black.
fn colour(heat: f32) -> [u8; 3] {
    let heat = heat.clamp(0.0, 1.0);
    let part = |most: f32| (255.0 - most * heat) as u8;
    [255, part(150.0), part(255.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u32, heat: Option<Heat>) -> FoundPage {
        FoundPage {
            path: "/papers/<a> & b.pdf".to_owned(),
            number,
            score: 12.5,
            snippet: ("the rent is due".to_owned(), Vec::from([Range { start: 4, end: 8 }])),
            preview: Some(("image/jpeg".to_owned(), vec![1, 2, 3])),
            heat,
        }
    }

    #[test]
    fn pages_stand_in_their_order_with_a_map_for_each_word() {
        let heat = Heat {
            height: 1,
            width: 2,
            values: vec![vec![0.0, 1.0], vec![0.5, 0.25], vec![1.0, 0.0]],
        };
        let words = ["rent".to_owned(), "</style>".to_owned()];
        let html = write("rent <due>", &words, "2 pages", &[page(3, Some(heat)), page(1, None)]);
        assert!(html.find("page 3").unwrap() < html.find("page 1").unwrap());
        assert_eq!(html.matches("class=\"map ").count(), 3);
        assert_eq!(html.matches("type=\"radio\"").count(), 4);
        assert!(html.contains("the <mark>rent</mark> is due"));
        assert!(html.contains("rent &lt;due&gt;") && html.contains("&lt;a&gt; &amp; b.pdf"));
        assert_eq!(html.matches("</style>").count(), 1);
        // Each word has its rule.
        assert!((0..=MOST_WORDS).all(|word| SHEET.contains(&format!("#w{word}:checked"))));
    }

    #[test]
    fn without_maps_there_is_nothing_to_choose() {
        let html = write("rent", &["rent".to_owned()], "", &[page(1, None)]);
        assert!(!html.contains("radio"));
        assert!(write("rent", &[], "", &[]).contains("Nothing was found."));
    }

    #[test]
    fn hot_places_are_red_and_cold_ones_leave_the_page_as_it_is() {
        assert_eq!((colour(-1.0), colour(0.0)), ([255; 3], [255; 3]));
        assert_eq!((colour(1.0), colour(9.0)), ([255, 105, 0], [255, 105, 0]));
        let heat = |values: [f32; 2]| Heat { height: 1, width: 2, values: vec![values.to_vec()] };
        let pages = [page(1, Some(heat([0.0, 0.5]))), page(2, Some(heat([0.5, 1.0])))];
        assert_eq!(ranges(&pages), [(0.5, 1.0)]);
    }
}
