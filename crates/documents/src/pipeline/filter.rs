//! Which documents are not wanted, as olmOCR's filter has it: forms, other languages, and texts that advertise downloads.
//!
//! It is meant for training language models on what was read, and asks for English. The language is told by another detector
//! than olmOCR's, which has tables of some hundred megabytes: it knows sixteen languages, and takes any other for one of them.

use std::fmt;

use super::Outline;

/// Why a document is not wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum Unwanted {
    /// It has fields for text that somebody is to fill in.
    Form,
    /// It is in another language than English: the code, of three letters, of the one that it is most like.
    Language(&'static str),
    /// So much of its words speaks of downloads and the like.
    Advertising(f64),
}

impl fmt::Display for Unwanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("it is a form with fields to be filled in"),
            Self::Language(code) => write!(f, "it is not in English (most like {code})"),
            Self::Advertising(part) => {
                write!(f, "{:.1} % of its words speak of downloads and the like", part * 100.0)
            }
        }
    }
}

/// Pages whose text is looked at.
pub(super) const PAGES: u32 = 5;
/// A shorter text says nothing.
const LEAST_CHARACTERS: usize = 200;
/// Nor does one of which fewer characters than this part are letters.
const LEAST_LETTERS: f64 = 0.5;
/// From this part of all words on they are too many.
const ADVERTISING: f64 = 0.004;
/// Words that hardly any other language has, and the part of a text from which on they make it English.
const ENGLISH: [&str; 8] = ["the", "of", "and", "for", "with", "that", "this", "from"];
const LEAST_ENGLISH: f64 = 0.02;
const WORDS: [&str; 12] = [
    "download",
    "pdf",
    "epub",
    "mobi",
    "free",
    "ebook",
    "file",
    "save",
    "casino",
    "viagra",
    "cialis",
    "ciprofloxacin",
];

/// Why a document with this outline and this text on its first pages is not wanted, if it is not.
pub fn unwanted(outline: &Outline, text: &str) -> Option<Unwanted> {
    if outline.form {
        return Some(Unwanted::Form);
    }
    let characters = text.chars().count();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    if characters < LEAST_CHARACTERS || (letters as f64) < LEAST_LETTERS * characters as f64 {
        return None;
    }
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric() && c != '_');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let part_of = |some: &[&str]| {
        words.iter().filter(|word| some.contains(word)).count() as f64 / words.len().max(1) as f64
    };
    // Names, tables of contents and listings look like any language by their letters.
    if part_of(&ENGLISH) < LEAST_ENGLISH {
        let language = whichlang::detect_language(text);
        if language != whichlang::Lang::Eng {
            return Some(Unwanted::Language(language.three_letter_code()));
        }
    }
    let part = part_of(&WORDS);
    (part > ADVERTISING).then_some(Unwanted::Advertising(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: &str = "The tenant shall pay the rent on the first day of each month, and shall keep the premises in good repair. \
        The landlord may enter the premises at any reasonable time, after notice in writing, in order to look at their state. ";

    #[test]
    fn forms_other_languages_and_advertising_are_not_wanted() {
        let plain = Outline { pages: 1, ..Outline::default() };
        assert_eq!(unwanted(&plain, LEASE), None);
        assert_eq!(unwanted(&Outline { form: true, ..plain.clone() }, LEASE), Some(Unwanted::Form));
        let german = "Der Mieter zahlt die Miete am ersten Tag eines jeden Monats und hält die Räume in gutem Zustand. \
            Der Vermieter darf die Räume nach schriftlicher Ankündigung zu angemessener Zeit betreten, um ihren Zustand zu prüfen.";
        assert_eq!(unwanted(&plain, german), Some(Unwanted::Language("deu")));
        // What is short, or has few letters, may be anything.
        assert_eq!(unwanted(&plain, &german.chars().take(150).collect::<String>()), None);
        assert_eq!(unwanted(&plain, &"12 34 56 78 90 Der ".repeat(40)), None);
        let selling = format!("{LEASE}Download this free PDF.");
        let Some(Unwanted::Advertising(part)) = unwanted(&plain, &selling) else { panic!() };
        // Three of 46 words.
        assert!((part - 3.0 / 46.0).abs() < 1e-9, "{part}");
        let rarely = format!("{}{}", LEASE.repeat(7), "Download it.");
        assert_eq!(unwanted(&plain, &rarely), None, "one of 296 words is within the limit");
    }
}
