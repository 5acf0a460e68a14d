//! How large a grammar may be before anybody looks at it closely.

use crate::error::{Error, Result};

/// Bytes of a JSON Schema.
pub(super) const SCHEMA: usize = 256 << 10;
/// Bytes of a regular expression, and of all texts of a choice.
const REGEX: usize = 16 << 10;
/// Bytes of a grammar in Lark's syntax.
const LARK: usize = 64 << 10;
/// Texts of a choice.
const CHOICES: usize = 2000;
/// Brackets within brackets.
const NESTING: usize = 100;

pub(super) fn at_most(what: &'static str, found: usize, limit: usize) -> Result<()> {
    if found > limit { Err(Error::GrammarTooLarge { what, found, limit }) } else { Ok(()) }
}

pub(super) fn regex(regex: &str) -> Result<()> {
    at_most("bytes of the regular expression", regex.len(), REGEX)
}

pub(super) fn choice(texts: &[String]) -> Result<()> {
    at_most("texts to choose from", texts.len(), CHOICES)?;
    at_most("bytes to choose from", texts.iter().map(String::len).sum(), REGEX)?;
    let wrong = |what: &str| Error::Grammar { of: "choice", what: what.to_owned() };
    if texts.is_empty() {
        return Err(wrong("there is nothing to choose from"));
    }
    match texts.iter().any(String::is_empty) {
        true => Err(wrong("a text is empty")),
        false => Ok(()),
    }
}

/// Beside the size also how deep brackets are nested, outside of strings, regular expressions and comments.
pub(super) fn lark(grammar: &str) -> Result<()> {
    at_most("bytes of the grammar", grammar.len(), LARK)?;
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut letters = grammar.bytes().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            b'"' => skip(&mut letters, b'"'),
            b'/' if letters.peek() == Some(&b'/') => {
                letters.find(|&letter| letter == b'\n');
            }
            b'/' => skip(&mut letters, b'/'),
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    at_most("brackets within brackets", deepest, NESTING)
}

/// Goes behind the next `end` that has no backslash before it.
fn skip(letters: &mut impl Iterator<Item = u8>, end: u8) {
    while let Some(letter) = letters.next() {
        if letter == b'\\' {
            letters.next();
        } else if letter == end {
            return;
        }
    }
}

/// The library's words, as much of them as a person reads.
pub(super) fn words(error: &str) -> String {
    let said = error.split("<non-verbose/>").next().unwrap_or_default();
    let said = said.split("<backtrace>").next().unwrap_or_default().trim();
    let cut: String = said.chars().take(400).collect();
    if cut.len() < said.len() { format!("{cut}…") } else { cut }
}
