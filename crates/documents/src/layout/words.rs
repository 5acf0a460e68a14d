//! Glyphs to words.

use unicode_normalization::UnicodeNormalization;

use super::bidi;
use super::glyph::{Glyph, GlyphText};
use super::model::{Style, Word};
use crate::Rect;

/// A gap along the baseline wider than this, in ems, is a space.
const SPACE: f32 = 0.16;
/// A step back longer than this, in ems, begins a new word.
const BACK: f32 = 0.35;
/// A shift across the baseline larger than this, in ems, begins a new word.
const SHIFT: f32 = 0.08;
/// Parts of the em above and below the baseline that a word's box covers.
const ASCENT: f32 = 0.78;
const DESCENT: f32 = 0.22;

/// A word and the height of its baseline.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) word: Word,
    pub(super) baseline: f32,
}

impl Piece {
    pub(super) fn x0(&self) -> f32 {
        self.word.bbox.x0
    }

    pub(super) fn x1(&self) -> f32 {
        self.word.bbox.x1
    }

    pub(super) fn size(&self) -> f32 {
        self.word.size
    }
}

/// A word being collected.
struct Open {
    text: String,
    x0: f32,
    x1: f32,
    baseline: f32,
    size: f32,
    style: Style,
    spaced: bool,
    /// The extent of the last glyph.
    last: (f32, f32),
    /// Whether right-to-left characters came from right to left, that is, in reading order.
    leftwards: bool,
    rtl: bool,
}

/// Words in content order. Space glyphs separate and vanish.
pub(super) fn words(glyphs: &[Glyph]) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut open: Option<Open> = None;
    let mut space_seen = true;
    for glyph in glyphs {
        if glyph.text.is_space() {
            // Kept open: a space glyph may be nothing but a position for the next word.
            space_seen = true;
            continue;
        }
        if let Some(word) = &mut open
            && !space_seen
            && let Joint::Same = joint(word, glyph)
        {
            word.push(glyph);
            continue;
        }
        let spaced = match &open {
            Some(word) => space_seen || matches!(joint(word, glyph), Joint::Apart),
            None => true,
        };
        out.extend(open.take().and_then(Open::close));
        open = Some(Open::new(glyph, spaced));
        space_seen = false;
    }
    out.extend(open.and_then(Open::close));
    out
}

/// How a glyph stands to the word before it.
enum Joint {
    /// Part of it.
    Same,
    /// Touching, but set differently.
    Touching,
    /// Apart.
    Apart,
}

fn joint(word: &Open, glyph: &Glyph) -> Joint {
    let em = word.size.min(glyph.size);
    let (left, right) = extent(glyph);
    let shift = (glyph.y - word.baseline).abs();
    if shift > em.max(word.size.max(glyph.size) * 0.7) {
        return Joint::Apart;
    }
    let rtl = glyph.text.first().is_some_and(bidi::is_rtl);
    let gap = left - word.last.1;
    let gap_left = word.last.0 - right;
    let leftwards = rtl
        && word.rtl
        && gap_left > -BACK * em
        && gap_left < SPACE * em
        && (word.leftwards || word.text.chars().count() == 1);
    let near = (gap > -BACK * em && gap <= SPACE * em) || overlaps_mark(word, glyph) || leftwards;
    if !near {
        return Joint::Apart;
    }
    let alike = word.style == glyph.style
        && (word.size - glyph.size).abs() <= 0.08 * word.size
        && shift <= SHIFT * em.max(word.size * 0.8);
    if alike || overlaps_mark(word, glyph) { Joint::Same } else { Joint::Touching }
}

/// An accent that was set over its letter as a glyph of its own: one of the two is the last
/// character, the other comes now, and they cover each other.
fn overlaps_mark(word: &Open, glyph: &Glyph) -> bool {
    let Some(new) = glyph.text.first() else {
        return false;
    };
    let Some(last) = word.text.chars().last() else {
        return false;
    };
    let (left, right) = extent(glyph);
    let shared = right.min(word.last.1) - left.max(word.last.0);
    let narrow = (right - left).min(word.last.1 - word.last.0);
    let over = narrow > 0.0 && shared > 0.5 * narrow;
    over && (combining(new).is_some() && last.is_alphabetic()
        || combining(last).is_some() && new.is_alphabetic())
}

/// The combining mark of a spacing accent.
fn combining(c: char) -> Option<char> {
    Some(match c {
        '`' | '\u{2cb}' => '\u{300}',
        '´' | '\u{2ca}' => '\u{301}',
        'ˆ' => '\u{302}',
        '˜' => '\u{303}',
        '¯' | '\u{2c9}' => '\u{304}',
        '˘' => '\u{306}',
        '˙' => '\u{307}',
        '¨' => '\u{308}',
        '˚' => '\u{30a}',
        '˝' => '\u{30b}',
        'ˇ' => '\u{30c}',
        '¸' => '\u{327}',
        '˛' => '\u{328}',
        _ => return None,
    })
}

/// A glyph's left and right edge.
fn extent(glyph: &Glyph) -> (f32, f32) {
    let end = glyph.x + glyph.dx;
    (glyph.x.min(end), glyph.x.max(end))
}

impl Open {
    fn new(glyph: &Glyph, spaced: bool) -> Self {
        let (x0, x1) = extent(glyph);
        let mut text = String::new();
        glyph.text.push_to(&mut text);
        Self {
            text,
            x0,
            x1,
            baseline: glyph.y,
            size: glyph.size,
            style: glyph.style,
            spaced,
            last: (x0, x1),
            leftwards: false,
            rtl: glyph.text.first().is_some_and(bidi::is_rtl),
        }
    }

    fn push(&mut self, glyph: &Glyph) {
        let (left, right) = extent(glyph);
        let rtl = glyph.text.first().is_some_and(bidi::is_rtl);
        if rtl && self.rtl && left < self.last.0 {
            self.leftwards = true;
        }
        self.rtl |= rtl;
        if overlaps_mark(self, glyph)
            && let (Some(last), GlyphText::Char(new)) = (self.text.pop(), &glyph.text)
        {
            match (combining(last), combining(*new)) {
                (Some(mark), None) => self.text.extend([*new, mark]),
                (_, Some(mark)) => self.text.extend([last, mark]),
                (None, None) => self.text.extend([last, *new]),
            }
        } else {
            glyph.text.push_to(&mut self.text);
        }
        self.x0 = self.x0.min(left);
        self.x1 = self.x1.max(right);
        if right > left {
            self.last = (left, right);
        }
    }

    fn close(self) -> Option<Piece> {
        let mut text = normalize(self.text);
        if text.is_empty() {
            return None;
        }
        if self.rtl && !self.leftwards {
            text = bidi::reverse(&text);
        }
        let bbox = Rect {
            x0: self.x0,
            y0: self.baseline - ASCENT * self.size,
            x1: self.x1.max(self.x0 + 0.05 * self.size),
            y1: self.baseline + DESCENT * self.size,
        };
        let word = Word {
            text,
            bbox,
            size: self.size,
            style: self.style,
            spaced: self.spaced,
            link: None,
        };
        Some(Piece { word, baseline: self.baseline })
    }
}

/// Ligatures and presentation forms as letters, accents composed.
fn normalize(text: String) -> String {
    if text.is_ascii() {
        return text;
    }
    let is_form = |c: char| matches!(c, '\u{fb00}'..='\u{fb4f}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}');
    if text.chars().any(is_form) {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            if is_form(c) {
                out.extend(std::iter::once(c).nfkc());
            } else {
                out.push(c);
            }
        }
        out.nfc().collect()
    } else {
        text.nfc().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, x: f32, y: f32, size: f32) -> Vec<Glyph> {
        let glyph = |(i, c): (usize, char)| Glyph {
            text: GlyphText::Char(c),
            x: x + i as f32 * size * 0.5,
            y,
            dx: size * 0.5,
            dy: 0.0,
            size,
            style: Style::PLAIN,
        };
        text.chars().enumerate().map(glyph).collect()
    }

    fn texts(glyphs: &[Glyph]) -> Vec<(String, bool)> {
        words(glyphs).into_iter().map(|p| (p.word.text, p.word.spaced)).collect()
    }

    #[test]
    fn spaces_come_from_space_glyphs_and_from_gaps() {
        assert_eq!(texts(&set("ab cd", 0.0, 0.0, 10.0)).len(), 2);
        let mut apart = set("ab", 0.0, 0.0, 10.0);
        apart.extend(set("cd", 12.0, 0.0, 10.0));
        assert_eq!(texts(&apart), [("ab".into(), true), ("cd".into(), true)]);
        let mut tight = set("ab", 0.0, 0.0, 10.0);
        tight.extend(set("cd", 11.0, 0.0, 10.0));
        assert_eq!(texts(&tight), [("abcd".into(), true)]);
    }

    #[test]
    fn a_raised_smaller_mark_touches_its_word() {
        let mut glyphs = set("word", 0.0, 100.0, 10.0);
        glyphs.extend(set("1", 20.0, 96.0, 6.0));
        assert_eq!(texts(&glyphs), [("word".into(), true), ("1".into(), false)]);
    }

    #[test]
    fn ligatures_and_accents_become_letters() {
        assert_eq!(texts(&set("eﬃcient", 0.0, 0.0, 10.0))[0].0, "efficient");
        let mut glyphs = set("caf´", 0.0, 0.0, 10.0);
        glyphs.extend(set("e", 15.0, 0.0, 10.0));
        assert_eq!(texts(&glyphs)[0].0, "café");
    }

    #[test]
    fn right_to_left_words_are_read_either_way() {
        // As it looks, from left to right.
        assert_eq!(texts(&set("םולש", 0.0, 0.0, 10.0))[0].0, "שלום");
        // In reading order, each glyph left of the one before.
        let logical: Vec<Glyph> = "שלום"
            .chars()
            .enumerate()
            .flat_map(|(i, c)| set(&c.to_string(), 50.0 - i as f32 * 5.0, 0.0, 10.0))
            .collect();
        assert_eq!(texts(&logical)[0].0, "שלום");
    }
}
