//! Patterns of names, as shells and olmOCR write them.

use std::iter::Peekable;
use std::str::Chars;

/// One part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Letter(char),
    /// Any one character.
    One,
    /// Any characters, also none.
    Any,
    /// One character in, or with `not` outside of, these ranges.
    Class {
        not: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A pattern that whole names are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pieces: Vec<Piece>,
}

impl Pattern {
    /// A pattern of objects' keys: `*` stands for any characters, slashes too, `[a-z]` and `[!a-z]` for one. `?` is
    /// a letter like any other, because olmOCR has it so.
    pub fn of_keys(text: &str) -> Self {
        Self::new(text, false)
    }

    /// A pattern of the names of files in one folder, where `?` stands for any one character too.
    pub fn of_names(text: &str) -> Self {
        Self::new(text, true)
    }

    fn new(text: &str, one: bool) -> Self {
        let mut pieces = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            pieces.push(match c {
                '*' => {
                    if pieces.last() == Some(&Piece::Any) {
                        continue;
                    }
                    Piece::Any
                }
                '?' if one => Piece::One,
                '[' => match class(&mut chars) {
                    Some(class) => class,
                    None => Piece::Letter('['),
                },
                c => Piece::Letter(c),
            });
        }
        Self { pieces }
    }

    /// Whether a whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut piece, mut place) = (0, 0);
        // Where to go on if what follows the last `*` does not fit: one character further.
        let mut again: Option<(usize, usize)> = None;
        loop {
            match (self.pieces.get(piece), name.get(place)) {
                (Some(Piece::Any), _) => {
                    again = Some((piece + 1, place));
                    piece += 1;
                }
                (None, None) => return true,
                (Some(wanted), Some(c)) if wanted.takes(*c) => {
                    piece += 1;
                    place += 1;
                }
                _ => match &mut again {
                    Some((after, from)) if *from < name.len() => {
                        *from += 1;
                        (piece, place) = (*after, *from);
                    }
                    _ => return false,
                },
            }
        }
    }
}

impl Piece {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Letter(letter) => *letter == c,
            Self::One | Self::Any => true,
            Self::Class { not, ranges } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *not
            }
        }
    }
}

/// A class, behind its opening bracket; None, and nothing read, if no bracket closes it.
fn class(chars: &mut Peekable<Chars<'_>>) -> Option<Piece> {
    let mut ahead = chars.clone();
    let not = ahead.next_if_eq(&'!').is_some();
    let mut letters = Vec::new();
    // A closing bracket that comes first is a letter.
    letters.extend(ahead.next_if_eq(&']'));
    loop {
        match ahead.next()? {
            ']' => break,
            c => letters.push(c),
        }
    }
    let mut ranges = Vec::new();
    let mut rest = letters.as_slice();
    while let [first, tail @ ..] = rest {
        match tail {
            ['-', last, tail @ ..] => {
                ranges.push((*first, *last));
                rest = tail;
            }
            _ => {
                ranges.push((*first, *first));
                rest = tail;
            }
        }
    }
    *chars = ahead;
    Some(Piece::Class { not, ranges })
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn keys_match_as_in_python() {
        // What fnmatch.fnmatchcase says.
        let cases = [
            ("*.pdf", "a/b/c.pdf", true),
            ("*.pdf", "c.PDF", false),
            ("a/*/c.pdf", "a/b/b/c.pdf", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("[ab].pdf", "b.pdf", true),
            ("[!ab].pdf", "b.pdf", false),
            ("[!ab].pdf", "c.pdf", true),
            ("[a-c]x", "bx", true),
            ("[c-a]x", "bx", false),
            ("[]x].pdf", "].pdf", true),
            ("[a-].pdf", "-.pdf", true),
            ("[^a].pdf", "^.pdf", true),
            ("[abc", "[abc", true),
            ("a]", "a]", true),
            ("**", "", true),
            ("", "", true),
            ("", "a", false),
            ("é*", "été", true),
        ];
        for (pattern, name, matches) in cases {
            assert_eq!(Pattern::of_keys(pattern).matches(name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn a_question_mark_is_a_letter_of_keys_and_a_wildcard_of_names() {
        assert!(Pattern::of_keys("a?.pdf").matches("a?.pdf"));
        assert!(!Pattern::of_keys("a?.pdf").matches("ab.pdf"));
        assert!(Pattern::of_names("a?.pdf").matches("ab.pdf"));
        assert!(!Pattern::of_names("a?.pdf").matches("a.pdf"));
    }

    #[test]
    fn many_stars_take_no_longer_than_their_product() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!Pattern::of_keys(&pattern).matches(&"a".repeat(5000)));
    }
}
