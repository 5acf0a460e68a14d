//! Whether the text that a page holds is good enough, or a model is to look at it.

use crate::layout::{PageLayout, Region, TableCell, Warning};

/// How the pages of a document are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A page's own text where it is good, a model for the others.
    #[default]
    Auto,
    /// Only the pages' own text.
    Text,
    /// A model for every page.
    Ocr,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Text, Self::Ocr];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Ocr => "ocr",
        }
    }
}

/// Why a model is to look at a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// It was asked for.
    Wanted,
    /// The page has pictures and no text.
    NoText,
    /// Its text is not painted: another program recognised it.
    Hidden,
    /// A picture covers the page, and there are few words beside it.
    Picture,
    /// Many of its characters have no meaning, or only a guessed one.
    Unreadable,
    /// The page could not be parsed.
    Unparsed,
}

impl Need {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::NoText => "no_text_layer",
            Self::Hidden => "hidden_text",
            Self::Picture => "picture_covers_page",
            Self::Unreadable => "unreadable_characters",
            Self::Unparsed => "unparsed",
        }
    }
}

/// The part of a page that a picture covers when the page is a picture.
const COVERED: f32 = 0.6;
/// Characters beside it that are no more than a stamp or a running header.
const FEW: u32 = 200;
/// The part of the characters that may be without a meaning.
const GARBLED: f64 = 0.1;

/// Why a model should look at a page, if one should. A page with neither text nor pictures needs nobody, unless every
/// page is to be looked at: what is drawn may still be text.
pub fn need(page: &PageLayout, mode: Mode) -> Option<Need> {
    match mode {
        Mode::Text => None,
        Mode::Ocr => Some(Need::Wanted),
        Mode::Auto => doubt(page),
    }
}

fn doubt(page: &PageLayout) -> Option<Need> {
    let (visible, hidden) = (page.visible_glyphs, page.hidden_glyphs);
    let pictures = !page.images.is_empty();
    if visible == 0 && hidden == 0 {
        let lost = page.warnings.keys().any(|warning| warning.loses_text());
        return match (pictures, lost) {
            (true, _) => Some(Need::NoText),
            (false, true) => Some(Need::Unreadable),
            (false, false) => None,
        };
    }
    if hidden > visible {
        return Some(Need::Hidden);
    }
    if page.image_cover >= COVERED && visible < FEW {
        return Some(Need::Picture);
    }
    let without = |warning| page.warnings.get(&warning).copied().map_or(0, u64::from);
    let unknown = without(Warning::Unreadable) + foreign(page);
    let all = u64::from(visible) + without(Warning::Unreadable);
    (unknown as f64 > all as f64 * GARBLED).then_some(Need::Unreadable)
}

/// Characters that nobody writes: those for private use, and those that stand for what could not be read.
fn foreign(page: &PageLayout) -> u64 {
    let lines = page.regions.iter().flat_map(|region| match region {
        Region::Flow(flow) => vec![&flow.lines],
        Region::Table(table) => {
            table.rows.iter().flatten().map(|cell: &TableCell| &cell.lines).collect()
        }
    });
    let words = lines.flatten().flat_map(|line| &line.words);
    let is_foreign = |c: &char| {
        matches!(c, '\u{fffd}' | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
            || (c.is_control() && *c != '\t')
    };
    words.map(|word| word.text.chars().filter(is_foreign).count() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rect;
    use crate::layout::{Flow, Line, Style, Word};

    fn page(text: &str, pictures: usize, cover: f32) -> PageLayout {
        let word = Word {
            text: text.to_owned(),
            bbox: Rect::default(),
            size: 10.0,
            style: Style::PLAIN,
            spaced: false,
            link: None,
        };
        let line = Line { words: vec![word], ..Line::default() };
        PageLayout {
            regions: vec![Region::Flow(Flow { lines: vec![line], ..Flow::default() })],
            images: vec![Rect::default(); pictures],
            image_cover: cover,
            visible_glyphs: text.chars().count() as u32,
            ..PageLayout::default()
        }
    }

    #[test]
    fn the_mode_decides_first() {
        let text = page(&"x".repeat(2000), 0, 0.0);
        assert_eq!(need(&text, Mode::Auto), None);
        assert_eq!(need(&text, Mode::Ocr), Some(Need::Wanted));
        assert_eq!(need(&page("", 1, 1.0), Mode::Text), None);
    }

    #[test]
    fn scans_stamps_and_garbage_need_eyes() {
        assert_eq!(need(&page("", 1, 1.0), Mode::Auto), Some(Need::NoText));
        assert_eq!(need(&page("", 0, 0.0), Mode::Auto), None);
        assert_eq!(need(&page("Received 3 May", 1, 0.95), Mode::Auto), Some(Need::Picture));
        assert_eq!(need(&page(&"word".repeat(200), 1, 0.95), Mode::Auto), None);
        assert_eq!(need(&page("a logo beside text", 1, 0.2), Mode::Auto), None);
        let mut hidden = page(&"x".repeat(10), 1, 1.0);
        hidden.hidden_glyphs = 900;
        assert_eq!(need(&hidden, Mode::Auto), Some(Need::Hidden));
        let private = format!("{}{}", "\u{e001}".repeat(300), "x".repeat(700));
        assert_eq!(need(&page(&private, 0, 0.0), Mode::Auto), Some(Need::Unreadable));
        let mut lost = page(&"x".repeat(500), 0, 0.0);
        lost.warnings.insert(Warning::Unreadable, 400);
        assert_eq!(need(&lost, Mode::Auto), Some(Need::Unreadable));
        let mut undecoded = page("", 0, 0.0);
        undecoded.warnings.insert(Warning::Stream, 1);
        assert_eq!(need(&undecoded, Mode::Auto), Some(Need::Unreadable));
    }
}
