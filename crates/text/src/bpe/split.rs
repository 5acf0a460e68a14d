//! The splitting rules of published byte-level tokenizers, by hand.
//!
//! A rule is a regular expression with a look-ahead. Each here is one expression, known by its exact text, and says where
//! the match ends that begins at a place; every character of a text belongs to a match. Written out, a rule takes time in
//! proportion to the text, whatever the text is.

use super::classes::{Classes, Kind};

const CONTRACTIONS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|";
const REST: &str = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The rule of `ByteLevel` with `use_regex`.
const FIRST: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// One of the rules.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rule {
    /// Contractions in either case, a letter's run with one character before it, so many digits, marks with line ends.
    Words { digits: usize },
    /// GPT-2's: contractions in lower case, and runs with one space before them.
    Spaced,
}

impl Rule {
    /// The rule that this expression is.
    pub(super) fn of(expression: &str) -> Option<Self> {
        if expression == FIRST {
            return Some(Self::Spaced);
        }
        let digits = expression.strip_prefix(CONTRACTIONS)?.strip_suffix(REST)?;
        match digits {
            r"\p{N}" => Some(Self::Words { digits: 1 }),
            r"\p{N}{1,3}" => Some(Self::Words { digits: 3 }),
            _ => None,
        }
    }

    /// The length of the piece at the beginning of `text`; 0 if there is no text.
    pub(super) fn piece(self, classes: &Classes, text: &str) -> usize {
        let walk = Walk { classes, text };
        let Some((first, kind, next)) = walk.at(0) else { return 0 };
        if first == '\'' {
            let end = contraction(&text[1..], matches!(self, Self::Words { .. }));
            if end > 0 {
                return 1 + end;
            }
        }
        match (self, kind) {
            (_, Kind::Letter) => walk.run(next, Kind::Letter),
            (Self::Words { digits }, Kind::Number) => walk.digits(digits),
            (Self::Spaced, Kind::Number) => walk.run(next, Kind::Number),
            (Self::Words { .. }, _) if !matches!(first, '\r' | '\n') => {
                match (walk.kind(next), kind) {
                    (Some(Kind::Letter), _) => walk.run(next, Kind::Letter),
                    (_, Kind::Other) => walk.line_ends(walk.run(next, Kind::Other)),
                    (Some(Kind::Other), _) if first == ' ' => {
                        walk.line_ends(walk.run(next, Kind::Other))
                    }
                    _ => walk.white(true),
                }
            }
            (Self::Words { .. }, _) => walk.white(true),
            (Self::Spaced, Kind::Other) => walk.run(next, Kind::Other),
            (Self::Spaced, Kind::Space) => match walk.kind(next) {
                Some(kind) if first == ' ' && kind != Kind::Space => walk.run(next, kind),
                _ => walk.white(false),
            },
        }
    }
}

/// The length of what follows an apostrophe, if together they are a contraction.
fn contraction(text: &str, any_case: bool) -> usize {
    let mut letters = text.chars().take(2).map(|letter| match letter {
        // The one letter outside ASCII that is one of these in another case.
        '\u{17f}' if any_case => 's',
        _ if any_case => letter.to_ascii_lowercase(),
        _ => letter,
    });
    match (letters.next(), letters.next()) {
        (Some('s'), _) => text.chars().next().map_or(0, char::len_utf8),
        (Some('t' | 'm' | 'd'), _) => 1,
        (Some('r' | 'v'), Some('e')) | (Some('l'), Some('l')) => 2,
        _ => 0,
    }
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    classes: &'a Classes,
    text: &'a str,
}

impl Walk<'_> {
    /// The character at `place`, its kind, and where the next begins.
    fn at(&self, place: usize) -> Option<(char, Kind, usize)> {
        let letter = self.text[place..].chars().next()?;
        Some((letter, self.classes.of(letter), place + letter.len_utf8()))
    }

    fn kind(&self, place: usize) -> Option<Kind> {
        self.at(place).map(|(_, kind, _)| kind)
    }

    /// Where the run of `kind` ends that goes on at `place`.
    fn run(&self, place: usize, kind: Kind) -> usize {
        let rest = self.text[place..].char_indices();
        let mut other = rest.skip_while(|&(_, letter)| self.classes.of(letter) == kind);
        other.next().map_or(self.text.len(), |(at, _)| place + at)
    }

    fn digits(&self, most: usize) -> usize {
        let digits = self.text.char_indices().take(most);
        let digits = digits.take_while(|&(_, letter)| self.classes.of(letter) == Kind::Number);
        digits.last().map_or(0, |(at, letter)| at + letter.len_utf8())
    }

    fn line_ends(&self, place: usize) -> usize {
        let ends =
            self.text.as_bytes()[place..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        place + ends.count()
    }

    /// White space from the beginning on. Up to the last line end in it, if `lines`; else all of it at the end of the
    /// text; else all but the last, which goes with what follows, unless it is the only one.
    fn white(&self, lines: bool) -> usize {
        let end = self.run(0, Kind::Space);
        let run = &self.text[..end];
        if lines && let Some(last) = run.rfind(['\r', '\n']) {
            return last + 1;
        }
        if end == self.text.len() {
            return end;
        }
        match run.char_indices().next_back() {
            Some((last, _)) if last > 0 => last,
            _ => end,
        }
    }
}
