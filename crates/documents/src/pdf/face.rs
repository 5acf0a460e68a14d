//! A font as far as text needs it: what codes mean, how far they advance, how the face looks.

use std::collections::HashMap;

use hayro_cmap::BfString;
use hayro_font::{Font, FontGlyph};
use hayro_syntax::object::{Array, Dict, Name, Rect};

use crate::layout::{GlyphText, Style};

/// A font of the document.
pub(super) struct Face<'a> {
    font: Option<Font<'a>>,
    /// Bold, italic, mono.
    pub(super) style: Style,
    /// For a Type 3 font: the height of its em in text space for font size 1.
    type3_em: Option<f64>,
    known: HashMap<u32, Known>,
}

/// What one code of a font is.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) meaning: Meaning,
    /// Advance in text space for font size 1.
    pub(super) advance: (f64, f64),
    /// Displacement of the origin in text space for font size 1 (vertical writing).
    pub(super) origin: (f64, f64),
}

/// Where the text of a code comes from.
#[derive(Clone)]
pub(super) enum Meaning {
    /// The font says so.
    Text(GlyphText),
    /// The font does not say; the code is printable Latin-1.
    Guess(char),
    /// Nobody knows.
    Unreadable,
}

impl<'a> Face<'a> {
    /// The face of a font dictionary; without `font` its text cannot be measured or read.
    pub(super) fn new(dict: &Dict<'a>, font: Option<Font<'a>>) -> Self {
        let descendant = dict
            .get::<Array<'_>>("DescendantFonts")
            .and_then(|fonts| fonts.iter::<Dict<'_>>().next());
        let descriptor = dict
            .get::<Dict<'_>>("FontDescriptor")
            .or_else(|| descendant.as_ref()?.get::<Dict<'_>>("FontDescriptor"));
        let name = dict
            .get::<Name<'_>>("BaseFont")
            .map(|name| String::from_utf8_lossy(&name).into_owned())
            .unwrap_or_default();
        Self {
            font,
            style: style(&name, descriptor.as_ref()),
            type3_em: type3_em(dict),
            known: HashMap::new(),
        }
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.font.is_some()
    }

    pub(super) fn is_horizontal(&self) -> bool {
        self.font.as_ref().is_none_or(Font::is_horizontal)
    }

    /// The height of the em in text space for font size 1.
    pub(super) fn em(&self) -> f64 {
        self.type3_em.unwrap_or(1.0)
    }

    /// The next code of a string at `at` and its length in bytes, at least 1.
    pub(super) fn code(&self, bytes: &[u8], at: usize) -> (u32, usize) {
        match &self.font {
            Some(font) => {
                let (code, length) = font.read_code(bytes, at);
                (code, length.max(1))
            }
            None => (bytes.get(at).copied().map_or(0, u32::from), 1),
        }
    }

    /// What a code is.
    pub(super) fn look_up(&mut self, code: u32) -> &Known {
        let font = &self.font;
        self.known.entry(code).or_insert_with(|| {
            let Some(font) = font else {
                return Known { meaning: guess(code), advance: (0.5, 0.0), origin: (0.0, 0.0) };
            };
            let unicode = match font.glyph(font.map_code(code), code) {
                FontGlyph::Outline(glyph) => glyph.as_unicode(),
                FontGlyph::Type3(glyph) => glyph.as_unicode(),
            };
            let advance = font.code_advance(code);
            let origin = font.origin_displacement(code);
            Known {
                meaning: unicode.and_then(meaning).unwrap_or_else(|| guess(code)),
                advance: (advance.x / 1000.0, advance.y / 1000.0),
                origin: (origin.x / 1000.0, origin.y / 1000.0),
            }
        })
    }
}

/// The text a font gives; `None` when it is nothing that could be printed.
fn meaning(unicode: BfString) -> Option<Meaning> {
    let text = match unicode {
        BfString::Char(c) => GlyphText::Char(readable(c)?),
        BfString::String(s) => {
            let mut chars = s.chars().filter_map(readable);
            let first = chars.next()?;
            let rest: String = chars.collect();
            if rest.is_empty() {
                GlyphText::Char(first)
            } else {
                GlyphText::Str(format!("{first}{rest}").into())
            }
        }
    };
    Some(Meaning::Text(text))
}

/// A character as text should have it: symbol fonts in the private area become what they show.
fn readable(c: char) -> Option<char> {
    match c {
        '\t' | '\n' | '\r' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' => {
            Some(' ')
        }
        // Bullets of Symbol and Wingdings.
        '\u{f0b7}' | '\u{f06c}' | '\u{f09f}' => Some('•'),
        '\u{f0a7}' | '\u{f06e}' => Some('▪'),
        '\u{f0a8}' | '\u{f06f}' => Some('☐'),
        '\u{f0fc}' => Some('✓'),
        '\u{f0d8}' | '\u{f0e0}' => Some('➢'),
        // The rest of a symbol font stands 0xF000 above its code.
        '\u{f020}'..='\u{f07e}' => char::from_u32(u32::from(c) - 0xf000),
        // Marks without width that text does not need.
        '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}' => None,
        // Byte-order marks, replacement characters, non-characters.
        '\u{feff}' | '\u{fffd}' | '\u{fffe}' | '\u{ffff}' => None,
        c if c.is_control() => None,
        c => Some(c),
    }
}

/// What a code without a Unicode value could be.
fn guess(code: u32) -> Meaning {
    match code {
        0x20..=0x7e | 0xa1..=0xff => {
            char::from_u32(code).map_or(Meaning::Unreadable, Meaning::Guess)
        }
        _ => Meaning::Unreadable,
    }
}

/// How a face looks, by its name and its descriptor.
fn style(name: &str, descriptor: Option<&Dict<'_>>) -> Style {
    // `ABCDEF+Name` is a subset.
    let name = name.split_once('+').filter(|(tag, _)| tag.len() == 6).map_or(name, |(_, n)| n);
    let lower = name.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    let flags = descriptor.and_then(|d| d.get::<u32>("Flags")).unwrap_or(0);
    let flag = |bit: u32| flags & (1 << (bit - 1)) != 0;
    let weight = descriptor.and_then(|d| d.get::<f32>("FontWeight")).unwrap_or(0.0);
    let angle = descriptor.and_then(|d| d.get::<f32>("ItalicAngle")).unwrap_or(0.0);

    let mut style = Style::PLAIN;
    if has(&["bold", "black", "heavy", "demi", "cmbx", "cmb1", "sfbx", "nimbussanl-bold", "-bd"])
        || lower.ends_with("-b")
        || flag(19)
        || (600.0..=1000.0).contains(&weight)
    {
        style = style.with(Style::BOLD);
    }
    if has(&["italic", "oblique", "cmti", "cmsl", "sfti", "-ital", "slanted"])
        || lower.ends_with("-it")
        || lower.ends_with("-i")
        || flag(7)
        || (2.0..=45.0).contains(&angle.abs())
    {
        style = style.with(Style::ITALIC);
    }
    // `cmtt10`, `t1xtt-Slant`: TeX's typewriters.
    let tt = lower.split('-').next().is_some_and(|family| {
        family.trim_end_matches(|c: char| c.is_ascii_digit()).ends_with("tt")
    });
    if has(&["courier", "mono", "cmtt", "sftt", "consol", "typewriter"]) || tt || flag(1) {
        style = style.with(Style::MONO);
    }
    style
}

/// The em of a Type 3 font, whose glyph space can have any scale: its box is as good a guess as
/// there is.
fn type3_em(dict: &Dict<'_>) -> Option<f64> {
    if dict.get::<Name<'_>>("Subtype")?.as_ref() != b"Type3" {
        return None;
    }
    let matrix = dict.get::<[f64; 6]>("FontMatrix").unwrap_or([0.001, 0.0, 0.0, 0.001, 0.0, 0.0]);
    let scale = matrix[1].hypot(matrix[3]);
    let height = dict.get::<Rect>("FontBBox").map_or(0.0, |b| b.height());
    let em = height * scale;
    // A box of nothing, or one the size of a page, says nothing.
    let em = if (0.05..=20.0).contains(&em) { em } else { (scale * 1000.0).clamp(0.05, 20.0) };
    Some(em)
}
