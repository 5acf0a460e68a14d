//! Running headers, footers and page numbers: what repeats at the edges of pages.

use std::collections::BTreeMap;

use super::model::{Line, PageLayout, Region};

/// The part of the page's height, above and below, where furniture stands.
const BAND: f32 = 0.15;
/// Furniture stands at one height on all pages, give or take this many points.
const LEVEL: f32 = 9.0;

/// What a line of furniture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Furniture {
    Header,
    Footer,
    PageNumber,
}

/// Where a line stands: page, region, line.
pub(super) type Place = (usize, usize, usize);

/// Finds the furniture of a document. Pages that could not be parsed are `None`.
pub(super) fn furniture(pages: &[Option<&PageLayout>]) -> BTreeMap<Place, Furniture> {
    let mut found = BTreeMap::new();
    let mut by_text: BTreeMap<String, Vec<(Place, f32, bool)>> = BTreeMap::new();
    for (p, page) in pages.iter().enumerate() {
        let Some(page) = page else { continue };
        for (place, line) in edge_lines(p, page) {
            let bottom = line.bbox.y0 > page.height * 0.5;
            let text = text(line);
            if is_page_number(&text) && stands_alone(page, line, bottom) {
                found.insert(place, Furniture::PageNumber);
                continue;
            }
            let height = if bottom { page.height - line.bbox.y1 } else { line.bbox.y0 };
            by_text.entry(pattern(&text)).or_default().push((place, height, bottom));
        }
    }
    let parsed = pages.iter().flatten().count();
    for (place, bottom) in outermost(pages, parsed) {
        let kind = if bottom { Furniture::Footer } else { Furniture::Header };
        found.entry(place).or_insert(kind);
    }
    // Left and right pages may differ, and a title page may have neither.
    let least = (parsed / 4).clamp(2, 12);
    for mut places in by_text.into_values() {
        places.sort_by(|a, b| a.2.cmp(&b.2).then(a.1.total_cmp(&b.1)));
        let mut start = 0;
        for end in 1..=places.len() {
            let same = end < places.len()
                && places[end].2 == places[start].2
                && places[end].1 - places[end - 1].1 <= LEVEL;
            if same {
                continue;
            }
            let group = &places[start..end];
            let mut on: Vec<usize> = group.iter().map(|(place, ..)| place.0).collect();
            on.sort_unstable();
            on.dedup();
            if on.len() >= least {
                for (place, _, bottom) in group {
                    let kind = if *bottom { Furniture::Footer } else { Furniture::Header };
                    found.entry(*place).or_insert(kind);
                }
            }
            start = end;
        }
    }
    found
}

/// Lines that stand outermost and apart at a height where most pages have such a line: running
/// titles that change with the chapter.
fn outermost(pages: &[Option<&PageLayout>], parsed: usize) -> Vec<(Place, bool)> {
    let mut out = Vec::new();
    if parsed < 4 {
        return out;
    }
    for bottom in [false, true] {
        // The height of the outermost line's baseline on each page, and all lines on it.
        let mut candidates: Vec<(i32, Vec<Place>)> = Vec::new();
        for (p, page) in pages.iter().enumerate() {
            let Some(page) = page else { continue };
            let lines = edge_lines(p, page);
            let outer = lines
                .iter()
                .map(|(_, line)| line.baseline)
                .reduce(|a, b| if bottom { a.max(b) } else { a.min(b) });
            let Some(outer) = outer else { continue };
            let level: Vec<_> =
                lines.iter().filter(|(_, line)| (line.baseline - outer).abs() < 2.0).collect();
            if level.iter().all(|(_, line)| stands_alone(page, line, bottom))
                && (outer > page.height * 0.5) == bottom
            {
                let places = level.iter().map(|(place, _)| *place).collect();
                candidates.push((outer.round() as i32, places));
            }
        }
        let mut heights: BTreeMap<i32, usize> = BTreeMap::new();
        for (height, _) in &candidates {
            *heights.entry(*height).or_default() += 1;
        }
        for (height, places) in candidates {
            let alike: usize = heights.range(height - 2..=height + 2).map(|(_, n)| n).sum();
            if alike * 5 >= parsed * 3 {
                out.extend(places.into_iter().map(|place| (place, bottom)));
            }
        }
    }
    out
}

/// The lines in the bands at the top and bottom of a page. Tables are no furniture.
fn edge_lines(p: usize, page: &PageLayout) -> Vec<(Place, &Line)> {
    let (top, bottom) = (page.height * BAND, page.height * (1.0 - BAND));
    let mut out = Vec::new();
    for (r, region) in page.regions.iter().enumerate() {
        if let Region::Flow(flow) = region
            && flow.turned == 0
        {
            let outside = |line: &Line| line.bbox.y1 <= top || line.bbox.y0 >= bottom;
            // Lines that are set as one text with lines further inside belong to the text.
            let together = |a: &Line, b: &Line| b.baseline - a.baseline < 1.45 * a.size;
            let mut start = 0;
            while start < flow.lines.len() {
                let mut end = start + 1;
                while end < flow.lines.len() && together(&flow.lines[end - 1], &flow.lines[end]) {
                    end += 1;
                }
                let run = &flow.lines[start..end];
                if run.iter().all(outside) {
                    out.extend(run.iter().enumerate().map(|(i, l)| ((p, r, start + i), l)));
                }
                start = end;
            }
        }
    }
    out
}

/// Whether no text stands close inside a line at the edge, so that the last line of a text is not
/// taken for furniture.
fn stands_alone(page: &PageLayout, number: &Line, bottom: bool) -> bool {
    let gap = 0.9 * number.size;
    let mut lines = page.regions.iter().flat_map(|region| -> Box<dyn Iterator<Item = &Line>> {
        match region {
            Region::Flow(flow) => Box::new(flow.lines.iter()),
            Region::Table(table) => {
                Box::new(table.rows.iter().flatten().flat_map(|cell| cell.lines.iter()))
            }
        }
    });
    lines.all(|line| {
        if std::ptr::eq(line, number) || line.bbox.vertical_overlap(&number.bbox) > 0.0 {
            return true;
        }
        let inside =
            if bottom { number.bbox.y0 - line.bbox.y1 } else { line.bbox.y0 - number.bbox.y1 };
        // Further out: a footer below the number. Inside: at some distance.
        inside < 0.0 || inside > gap
    })
}

pub(super) fn text(line: &Line) -> String {
    let mut out = String::new();
    for word in &line.words {
        if word.spaced && !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&word.text);
    }
    out
}

/// A text with its figures blurred, so that `Page 3` and `Page 4` are alike.
fn pattern(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_numeric() {
            if !out.ends_with('#') {
                out.push('#');
            }
        } else {
            out.extend(c.to_lowercase());
        }
    }
    out
}

/// `7`, `- 7 -`, `Page 7 of 9`, `7/9`, `xii`.
fn is_page_number(text: &str) -> bool {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| c.is_whitespace() || "-–—|[]()/:".contains(c))
        .map(|word| word.trim_matches(['.', ',']))
        .filter(|word| !word.is_empty())
        .collect();
    const NAMES: [&str; 14] = [
        "page", "pages", "p", "pg", "of", "seite", "von", "pagina", "página", "de", "sur",
        "strana", "sida", "av",
    ];
    let number = |word: &&str| word.len() <= 4 && word.bytes().all(|b| b.is_ascii_digit());
    let roman = |word: &&str| word.len() <= 6 && word.bytes().all(|b| b"ivxlc".contains(&b));
    let numbers = words.iter().filter(|w| number(w)).count();
    let romans = words.iter().filter(|w| !number(w) && roman(w)).count();
    let named = words.iter().filter(|w| NAMES.contains(w)).count();
    let total = numbers + romans + named;
    total == words.len()
        && (numbers + romans == 1 || (numbers == 2 && words.len() <= 4))
        && (romans == 0 || named > 0 || words.len() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_numbers_are_told_from_text() {
        for text in ["7", "- 7 -", "Page 7 of 12", "7/12", "xii", "Seite 3 von 9", "[ 4 ]", "p. 3"]
        {
            assert!(is_page_number(text), "{text}");
        }
        for text in ["", "page", "Rent 7", "1 2 3", "20,000", "Section 4", "civil war", "v. i. p."]
        {
            assert!(!is_page_number(text), "{text}");
        }
    }

    #[test]
    fn figures_do_not_tell_patterns_apart() {
        assert_eq!(pattern("Lease 12/2024 — Page 3"), pattern("Lease 7/2025 — Page 10"));
        assert_ne!(pattern("Lease"), pattern("Rent"));
    }
}
