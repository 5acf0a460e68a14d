//! Byte-pair encoding of the two common shapes, read and run by ourselves.
//!
//! The library keeps every string several times and hashes each of them: a vocabulary of 150,000 tokens takes it half a
//! second to open, which is most of the time between starting the program and its first token. Here the file is read
//! once, borrowed, into tables of numbers. Known exactly are
//!
//! - byte-level vocabularies, split by one of the rules of [`split`], composed or as they are;
//! - SentencePiece's, with `▁` for spaces and a token for each byte;
//!
//! and tokens beside the vocabulary with all their flags. What is not known to the letter is not tried: [`read`] returns
//! `None`, and the library serves. The tests compare the two, id by id.

mod added;
mod charsmap;
mod classes;
mod merges;
mod normal;
mod read;
mod scan;
pub(crate) mod sentencepiece;
mod split;
#[cfg(test)]
mod tests;
mod unigram;
mod vocabulary;

use std::collections::BTreeMap;

use serde_json::Value;
use tokenizers::AddedToken;

use self::added::{Added, Part};
use self::classes::Classes;
use self::merges::{Merges, Workplace};
use self::normal::{META, Normal, When, meta};
pub(crate) use self::read::{File, read};
use self::split::Rule;
use self::unigram::Unigram;
use self::vocabulary::{NONE, Vocabulary, hash};

/// A tokenizer of one of the known shapes.
pub(crate) struct Encoder {
    vocabulary: Vocabulary,
    units: Units,
    added: Added,
    normal: Normal,
    shape: Shape,
    /// A word that is a token is that token, whatever the merges say.
    whole_words: bool,
}

/// How letters become tokens.
enum Units {
    Pairs(Merges),
    Pieces(Unigram),
}

/// How a piece of text becomes words, and a word symbols.
enum Shape {
    Bytes {
        classes: &'static Classes,
        /// Each numeral is cut out first.
        numerals: bool,
        rule: Rule,
        /// The token of each byte.
        bytes: Box<[u32; 256]>,
    },
    Letters {
        /// `▁` is put for spaces here and not by the normalizer.
        prepend: Option<When>,
        /// A piece may be cut before each `▁`, or each that follows something else.
        cut: Cut,
        /// The token of each letter of ASCII; `NONE` if it is spelled in bytes.
        ascii: Box<[u32; 128]>,
        /// The token of each byte, for letters without one.
        bytes: Option<Box<[u32; 256]>>,
        /// The token of a run of letters without one, where bytes have none either.
        unknown: u32,
    },
}

/// Where a piece may be cut before it is merged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cut {
    Never,
    /// Between something and `▁`: no merge crosses that border, so merging the parts is merging the whole.
    BeforeRun,
    /// Before each `▁`, because the file says so.
    BeforeEach,
}

/// What encoding one text needs.
struct Desk<'a> {
    /// The text's pieces, normalized.
    text: String,
    ids: Vec<u32>,
    work: Workplace,
    /// Words that were encoded before, by hash: where they stand in `text` and `ids`.
    seen: Vec<Seen>,
    encoder: &'a Encoder,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    from: u32,
    bytes: u32,
    first: u32,
    ids: u32,
}

/// Longer words are rarely said twice.
const LONGEST_SEEN: usize = 64;

impl Encoder {
    /// The tokens that stand beside the vocabulary.
    pub(crate) fn added(&self) -> &BTreeMap<u32, AddedToken> {
        self.added.tokens()
    }

    /// Adds a token; `None` if that is unusual, and the library has to decide.
    pub(crate) fn add(&mut self, token: AddedToken) -> Option<()> {
        self.added.add(vec![token], &self.vocabulary, &self.normal)
    }

    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.added.id(token).or_else(|| self.vocabulary.id(token.as_bytes()))
    }

    pub(crate) fn token(&self, id: u32) -> Option<&str> {
        self.added.spelled(id).or_else(|| self.vocabulary.token(id))
    }

    /// One more than the highest id.
    pub(crate) fn ids(&self) -> u32 {
        let added = self.added.tokens().last_key_value().map_or(0, |(id, _)| id + 1);
        added.max(self.vocabulary.ids())
    }

    /// The ids of `text`, with nothing around it. Special tokens in it are text if `literal`.
    pub(crate) fn encode(&self, text: &str, literal: bool) -> Vec<u32> {
        let seen = match text.len() {
            0..512 => 0,
            bytes => (bytes / 8).next_power_of_two().min(8192),
        };
        let mut desk = Desk {
            text: String::with_capacity(text.len()),
            ids: Vec::with_capacity(text.len() / 3),
            work: Workplace::default(),
            seen: vec![Seen::default(); seen],
            encoder: self,
        };
        self.added.split(text, literal, &mut |part| match part {
            Part::Token(id) => desk.ids.push(id),
            Part::Text(text, first) => {
                let text = self.normal.apply(text, first);
                self.added.split_normalized(&text, literal, &mut |part| match part {
                    Part::Token(id) => desk.ids.push(id),
                    Part::Text(text, begins) => desk.piece(text, first && begins),
                });
            }
        });
        desk.ids
    }
}

impl Desk<'_> {
    fn piece(&mut self, piece: &str, first: bool) {
        match &self.encoder.shape {
            Shape::Bytes { classes, numerals, rule, .. } => {
                let from = self.take(piece);
                let mut at = from;
                if *numerals {
                    let mut rest = from;
                    for (numeral, _) in piece.match_indices(char::is_numeric) {
                        self.words(classes, *rule, rest, from + numeral);
                        let after = piece[numeral..].chars().next().map_or(0, char::len_utf8);
                        self.word(from + numeral, from + numeral + after);
                        rest = from + numeral + after;
                    }
                    at = rest;
                }
                self.words(classes, *rule, at, self.text.len());
            }
            Shape::Letters { prepend, cut, .. } => {
                let from = match prepend {
                    None => self.take(piece),
                    Some(prepend) => {
                        let wanted = prepend.now(first) && !piece.starts_with([' ', META]);
                        self.take(&meta(piece, wanted))
                    }
                };
                self.cut(*cut, from);
            }
        }
    }

    /// Copies a piece to the desk and returns where it begins.
    fn take(&mut self, piece: &str) -> usize {
        // What was encoded before need not stay where it would no longer be found.
        if self.text.len() + piece.len() > u32::MAX as usize {
            self.text.clear();
            self.seen.fill(Seen::default());
        }
        self.text.push_str(piece);
        self.text.len() - piece.len()
    }

    fn words(&mut self, classes: &Classes, rule: Rule, from: usize, to: usize) {
        let mut at = from;
        while at < to {
            let end = at + rule.piece(classes, &self.text[at..to]);
            self.word(at, end);
            at = end;
        }
    }

    fn cut(&mut self, cut: Cut, from: usize) {
        let mut at = from;
        while at < self.text.len() {
            let rest = &self.text[at..];
            let end = match cut {
                Cut::Never => rest.len(),
                Cut::BeforeEach => {
                    let first = rest.chars().next().map_or(1, char::len_utf8);
                    rest[first..].find(META).map_or(rest.len(), |end| first + end)
                }
                Cut::BeforeRun => {
                    let run = rest.len() - rest.trim_start_matches(META).len();
                    rest[run..].find(META).map_or(rest.len(), |end| run + end)
                }
            };
            self.word(at, at + end);
            at += end;
        }
    }

    /// Encodes the word between two places of the desk.
    fn word(&mut self, from: usize, to: usize) {
        let word = &self.text.as_bytes()[from..to];
        let first = self.ids.len();
        let mut slot = None;
        if word.len() <= LONGEST_SEEN && !self.seen.is_empty() {
            let at = hash(word) as usize & (self.seen.len() - 1);
            let seen = self.seen[at];
            let before = seen.from as usize..seen.from as usize + seen.bytes as usize;
            if seen.bytes > 0 && self.text.as_bytes().get(before) == Some(word) {
                let ids = seen.first as usize..seen.first as usize + seen.ids as usize;
                self.ids.extend_from_within(ids);
                return;
            }
            slot = Some(at);
        }
        self.encoder.merge(&self.text[from..to], &mut self.work);
        self.ids.extend_from_slice(&self.work.symbols);
        if let Some(at) = slot
            && let Ok(from) = u32::try_from(from)
            && let Ok(first) = u32::try_from(first)
        {
            // A word is short, and has no more symbols than bytes.
            let (bytes, ids) = ((to - from as usize) as u32, self.work.symbols.len() as u32);
            self.seen[at] = Seen { from, bytes, first, ids };
        }
    }
}

impl Encoder {
    /// Leaves the tokens of `word` in the workplace.
    fn merge(&self, word: &str, work: &mut Workplace) {
        work.symbols.clear();
        if self.whole_words
            && let Some(id) = self.whole(word)
        {
            work.symbols.push(id);
            return;
        }
        match &self.shape {
            Shape::Bytes { bytes, .. } => {
                work.symbols.extend(word.bytes().map(|byte| bytes[usize::from(byte)]));
            }
            Shape::Letters { ascii, bytes, unknown, .. } => {
                let mut put = |id: u32, letters: &str| match bytes {
                    _ if id != NONE => work.symbols.push(id),
                    Some(bytes) => {
                        work.symbols.extend(letters.bytes().map(|byte| bytes[usize::from(byte)]));
                    }
                    None if work.symbols.last() == Some(unknown) => {}
                    None => work.symbols.push(*unknown),
                };
                if let Units::Pieces(unigram) = &self.units {
                    unigram.spell(&self.vocabulary, word, |range, id| put(id, &word[range]));
                    return;
                }
                for (at, letter) in word.char_indices() {
                    let spelled = &word[at..at + letter.len_utf8()];
                    let id = match ascii.get(letter as usize) {
                        Some(&id) => id,
                        None => self.vocabulary.id(spelled.as_bytes()).unwrap_or(NONE),
                    };
                    put(id, spelled);
                }
            }
        }
        if let Units::Pairs(merges) = &self.units {
            merges.apply(work);
        }
    }

    fn whole(&self, word: &str) -> Option<u32> {
        match &self.shape {
            Shape::Letters { .. } => self.vocabulary.id(word.as_bytes()),
            Shape::Bytes { .. } => {
                let spelled: String = word.bytes().map(crate::detokenizer::byte_letter).collect();
                self.vocabulary.id(spelled.as_bytes())
            }
        }
    }
}

/// A field of an object, as text; empty if it is none.
fn text_of<'a>(part: &'a Value, field: &str) -> &'a str {
    part.get(field).and_then(Value::as_str).unwrap_or("")
}
