//! How large a grammar may be before anybody looks at it closely.

use crate::error::{Error, Result};

/// Bytes of a JSON Schema.
pub(super) const SCHEMA: usize = 256 << 10;
/// Bytes of a regular expression, and of all texts of a choice.
const REGEX: usize = 16 << 10;
/// Texts of a choice.
const CHOICES: usize = 2000;

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

/// The library's words, as much of them as a person reads.
pub(super) fn words(error: &str) -> String {
    let said = error.split("<non-verbose/>").next().unwrap_or_default();
    let said = said.split("<backtrace>").next().unwrap_or_default().trim();
    let cut: String = said.chars().take(400).collect();
    if cut.len() < said.len() { format!("{cut}…") } else { cut }
}
