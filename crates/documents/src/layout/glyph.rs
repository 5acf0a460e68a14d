//! What a page's content amounts to before anyone looks at its arrangement.

use std::collections::BTreeMap;

use super::model::{Link, Rule, Style, Warning};
use crate::Rect;

/// A page's content, in the order in which it is painted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// Width as shown, in points.
    pub width: f32,
    /// Height as shown, in points.
    pub height: f32,
    /// The page's rotation: 0, 90, 180 or 270 degrees clockwise.
    pub rotation: u16,
    /// The characters.
    pub glyphs: Vec<Glyph>,
    /// Straight lines, as tables are ruled with.
    pub rules: Vec<Rule>,
    /// Where images stand.
    pub images: Vec<Rect>,
    /// Where links stand.
    pub links: Vec<Link>,
    /// What the interpreter complained about.
    pub warnings: BTreeMap<Warning, u32>,
}

/// One painted character code.
#[derive(Clone, Debug, PartialEq)]
pub struct Glyph {
    /// What it means: usually one character, none for the later parts of a replaced text.
    pub text: GlyphText,
    /// Where its origin stands on the baseline, in points from the left.
    pub x: f32,
    /// The same from the top.
    pub y: f32,
    /// How far the glyph reaches along its baseline (its advance without letter spacing).
    pub dx: f32,
    /// The same downwards; 0 for upright text.
    pub dy: f32,
    /// The font size in points, after all scaling.
    pub size: f32,
    /// How it is set; [`Style::SUPERSCRIPT`] is found later.
    pub style: Style,
}

/// The text of a glyph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GlyphText {
    /// One character.
    Char(char),
    /// None or several, as a ligature has.
    Str(Box<str>),
}

impl GlyphText {
    /// Adds the characters to `out`.
    pub fn push_to(&self, out: &mut String) {
        match self {
            Self::Char(c) => out.push(*c),
            Self::Str(s) => out.push_str(s),
        }
    }

    /// Whether it is white space only (and not nothing).
    pub fn is_space(&self) -> bool {
        match self {
            Self::Char(c) => c.is_whitespace(),
            Self::Str(s) => !s.is_empty() && s.chars().all(char::is_whitespace),
        }
    }

    /// The first character, if any.
    pub fn first(&self) -> Option<char> {
        match self {
            Self::Char(c) => Some(*c),
            Self::Str(s) => s.chars().next(),
        }
    }
}

/// Adds one to a warning.
pub(crate) fn warn(warnings: &mut BTreeMap<Warning, u32>, warning: Warning) {
    let count = warnings.entry(warning).or_default();
    *count = count.saturating_add(1);
}
