//! Tokens that stand beside the vocabulary and are found in a text before it is split.
//!
//! They are found twice, as the library does: those that are not normalized in the text as it is, the others in what is
//! between, normalized. The longest that begins first wins; a match that its flags refuse hides what it overlaps.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, MatchKind};
use tokenizers::AddedToken;

use super::classes::{Classes, Kind};
use super::normal::Normal;
use super::vocabulary::Vocabulary;

#[derive(Default)]
pub(super) struct Added {
    tokens: BTreeMap<u32, AddedToken>,
    ids: BTreeMap<String, u32>,
    /// How tokens are spelled that normalizing changes.
    normal: BTreeMap<u32, String>,
    plain: Finder,
    normalized: Finder,
}

/// Finds tokens in a text.
#[derive(Default)]
pub(super) struct Finder {
    patterns: Option<AhoCorasick>,
    /// By the pattern's number.
    ids: Vec<u32>,
}

/// A part of a text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// Text between tokens, and whether it begins where the text does.
    Text(&'a str, bool),
    Token(u32),
}

impl Added {
    pub(super) fn tokens(&self) -> &BTreeMap<u32, AddedToken> {
        &self.tokens
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// How `id` is spelled in text that has been normalized, if it is one of these.
    pub(super) fn spelled(&self, id: u32) -> Option<&str> {
        let token = self.tokens.get(&id)?;
        Some(self.normal.get(&id).unwrap_or(&token.content))
    }

    /// Adds these tokens. A token that the vocabulary knows keeps its id; others are numbered from the end of the
    /// vocabulary, or after those added before. `None` if anything is unusual: the library then decides.
    pub(super) fn add(
        &mut self,
        tokens: Vec<AddedToken>,
        vocabulary: &Vocabulary,
        normal: &Normal,
    ) -> Option<()> {
        let count = u32::try_from(vocabulary.count()).ok()?;
        let after = self.tokens.last_key_value().map_or(0, |(id, _)| id + 1);
        let mut next = after.max(count);
        for token in tokens {
            let before = self.id(&token.content);
            // What the library remembers of a token that it had is its own affair.
            if token.content.is_empty()
                || before.is_some_and(|id| self.normal.contains_key(&id))
                || before
                    .and_then(|id| self.tokens.get(&id))
                    .is_some_and(|old| old.special && !token.special)
            {
                return None;
            }
            let id = match before.or_else(|| vocabulary.id(token.content.as_bytes())) {
                Some(id) => id,
                None => {
                    // In a vocabulary with gaps this number may be taken.
                    if vocabulary.token(next).is_some() || self.tokens.contains_key(&next) {
                        return None;
                    }
                    next += 1;
                    next - 1
                }
            };
            if token.normalized {
                let spelled = normal.apply(&token.content, false);
                if spelled != token.content.as_str() {
                    self.normal.insert(id, spelled.into_owned());
                }
            }
            self.ids.insert(token.content.clone(), id);
            self.tokens.insert(id, token);
        }
        let finder = |normalized| {
            let chosen = self.tokens.iter().filter(|(_, token)| token.normalized == normalized);
            Finder::new(chosen.filter_map(|(&id, _)| Some((self.spelled(id)?, id))).collect())
        };
        (self.plain, self.normalized) = (finder(false)?, finder(true)?);
        Some(())
    }

    /// Cuts `text`, which has not been normalized.
    pub(super) fn split<'a>(&self, text: &'a str, literal: bool, part: &mut impl FnMut(Part<'a>)) {
        self.plain.split(&self.tokens, text, literal, part);
    }

    /// Cuts `text`, which has been normalized.
    pub(super) fn split_normalized<'a>(
        &self,
        text: &'a str,
        literal: bool,
        part: &mut impl FnMut(Part<'a>),
    ) {
        self.normalized.split(&self.tokens, text, literal, part);
    }
}

impl Finder {
    /// `None` if two are spelled alike or one not at all.
    fn new(tokens: Vec<(&str, u32)>) -> Option<Self> {
        let mut spelled: Vec<&str> = tokens.iter().map(|token| token.0).collect();
        spelled.sort_unstable();
        if spelled.windows(2).any(|two| two[0] == two[1]) || spelled.first() == Some(&"") {
            return None;
        }
        let patterns = match tokens.is_empty() {
            true => None,
            false => Some(
                AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostLongest)
                    .build(tokens.iter().map(|token| token.0))
                    .ok()?,
            ),
        };
        Some(Self { patterns, ids: tokens.iter().map(|token| token.1).collect() })
    }

    fn split<'a>(
        &self,
        tokens: &BTreeMap<u32, AddedToken>,
        text: &'a str,
        literal: bool,
        part: &mut impl FnMut(Part<'a>),
    ) {
        let mut done = 0;
        for found in self.patterns.iter().flat_map(|patterns| patterns.find_iter(text)) {
            let id = self.ids[found.pattern().as_usize()];
            let Some(token) = tokens.get(&id) else { continue };
            if literal && token.special {
                continue;
            }
            let (mut from, mut to) = (found.start(), found.end());
            // Matches begin and end between characters, as patterns are whole strings.
            let (before, after) = (&text[..from], &text[to..]);
            if token.single_word
                && (before.chars().next_back().is_some_and(is_word)
                    || after.chars().next().is_some_and(is_word))
            {
                continue;
            }
            if token.lstrip {
                from = before.trim_end_matches(is_space).len().max(done);
            }
            if token.rstrip {
                to += after.len() - after.trim_start_matches(is_space).len();
            }
            if done < from {
                part(Part::Text(&text[done..from], done == 0));
            }
            part(Part::Token(id));
            done = to;
        }
        if done < text.len() {
            part(Part::Text(&text[done..], done == 0));
        }
    }
}

fn is_space(letter: char) -> bool {
    Classes::get().is_some_and(|classes| classes.of(letter) == Kind::Space)
}

/// `\w` of regular expressions.
fn is_word(letter: char) -> bool {
    regex_syntax::is_word_character(letter)
}
