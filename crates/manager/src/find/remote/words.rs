//! Words of pages, for servers that do not rank by them as the embedded index does: as weights of tokens, and as snippets with
//! marks. And the patterns of paths.

use std::collections::BTreeMap;
use std::ops::Range;

use index::Snippet;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// BM25's saturation and its weight of lengths, as SQLite has them.
const K: f32 = 1.2;
const B: f32 = 0.75;
/// Words of a question that are looked up, as in the embedded index.
const MOST_WORDS: usize = 64;
/// Words of a snippet, and characters of one of a page without what was looked for.
const TOKENS: usize = 32;
const CHARACTERS: usize = 200;

/// A word as it is compared, without capitals and accents, and where it stands.
fn words(text: &str) -> impl Iterator<Item = (String, Range<usize>)> {
    let base = text.as_ptr() as usize;
    // A mark above a letter may be a character of its own.
    let apart = |c: char| !c.is_alphanumeric() && !is_combining_mark(c);
    text.split(apart).filter(|word| !word.is_empty()).map(move |word| {
        let start = word.as_ptr() as usize - base;
        (folded(word), start..start + word.len())
    })
}

fn folded(word: &str) -> String {
    let plain: String = word.nfd().filter(|c| !is_combining_mark(*c)).collect();
    plain.to_lowercase()
}

/// How many words a text has.
pub(super) fn count(text: &str) -> usize {
    words(text).count()
}

/// The number that stands for a word: FNV-1a of 32 bits. Of two words with the same number, pages with either are found.
fn token(word: &str) -> u32 {
    word.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The weights of a page's words: BM25 without how rare they are, which the server knows.
pub(super) fn page_weights(text: &str, average: f32) -> Vec<(u32, f32)> {
    let mut counts: BTreeMap<u32, f32> = BTreeMap::new();
    let mut length = 0.0_f32;
    for (word, _) in words(text) {
        *counts.entry(token(&word)).or_default() += 1.0;
        length += 1.0;
    }
    let ratio = if average > 0.0 { length / average } else { 1.0 };
    let around = K * (1.0 - B + B * ratio);
    counts.into_iter().map(|(token, count)| (token, count * (K + 1.0) / (count + around))).collect()
}

/// The weights of a question's words.
pub(super) fn question_weights(text: &str) -> Vec<(u32, f32)> {
    let tokens = words(text).take(MOST_WORDS).map(|(word, _)| (token(&word), 1.0));
    tokens.collect::<BTreeMap<u32, f32>>().into_iter().collect()
}

/// The words of a page around most of what was looked for, or its first ones.
pub(super) fn snippet(text: &str, question: &str) -> Snippet {
    let wanted: Vec<String> = words(question).take(MOST_WORDS).map(|(word, _)| word).collect();
    let all: Vec<(String, Range<usize>)> = words(text).collect();
    let hits: Vec<usize> = (0..all.len()).filter(|at| wanted.contains(&all[*at].0)).collect();
    let Some(&first) = hits.first() else {
        let text = text.chars().take(CHARACTERS).collect();
        return Snippet { text, marks: Vec::new() };
    };
    // Among windows that begin with a word that was looked for, that with the most different ones.
    let mut best = (0, first);
    for &start in &hits {
        let mut kinds: Vec<&str> = hits
            .iter()
            .filter(|at| (start..start + TOKENS).contains(at))
            .map(|at| all[*at].0.as_str())
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        if kinds.len() > best.0 {
            best = (kinds.len(), start);
        }
    }
    // Some words before it say what it is about.
    let last_hit = hits.iter().filter(|at| (best.1..best.1 + TOKENS).contains(at)).max();
    let spare = TOKENS.saturating_sub(last_hit.map_or(1, |last| last - best.1 + 1));
    let from = best.1.saturating_sub(spare / 2);
    let to = (from + TOKENS).min(all.len());
    let (start, end) = (all[from].1.start, all[to - 1].1.end);
    let (start, end) =
        (if from == 0 { 0 } else { start }, if to == all.len() { text.len() } else { end });
    let before = if from == 0 { "" } else { "…" };
    let after = if to == all.len() { "" } else { "…" };
    let moved = |at: usize| at - start + before.len();
    let marks = hits.iter().filter(|at| (from..to).contains(at)).map(|at| {
        let Range { start, end } = all[*at].1;
        moved(start)..moved(end)
    });
    let marks = marks.collect();
    Snippet { text: format!("{before}{}{after}", &text[start..end]), marks }
}

/// Whether a path fits a pattern, in which `*` stands for any characters, `?` for one and `[a-z]` for one of these, as
/// SQLite's `GLOB` has it.
pub(super) fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), path.chars().collect());
    // Where the pattern goes on after its last star, and how much of the path that star has taken.
    let (mut at, mut on, mut star) = (0, 0, None);
    while on < path.len() {
        let step = match pattern.get(at) {
            Some('*') => {
                star = Some((at + 1, on));
                at += 1;
                continue;
            }
            Some('?') => Some(at + 1),
            Some('[') => among(&pattern, at, path[on]),
            Some(c) if *c == path[on] => Some(at + 1),
            Some(_) | None => None,
        };
        match (step, star) {
            (Some(next), _) => (at, on) = (next, on + 1),
            (None, Some((after, taken))) => {
                star = Some((after, taken + 1));
                (at, on) = (after, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// Where the pattern goes on if the set that begins at `at` has `c`.
fn among(pattern: &[char], at: usize, c: char) -> Option<usize> {
    let mut next = at + 1;
    let inverted = pattern.get(next) == Some(&'^');
    next += usize::from(inverted);
    let (mut has, first) = (false, next);
    loop {
        match (pattern.get(next)?, pattern.get(next + 1), pattern.get(next + 2)) {
            // A bracket that comes first is one of the set.
            (']', ..) if next > first => return (has != inverted).then_some(next + 1),
            (low, Some('-'), Some(high)) if *high != ']' => {
                has |= (*low..=*high).contains(&c);
                next += 3;
            }
            (one, ..) => {
                has |= *one == c;
                next += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_capitals_and_accents() {
        let found: Vec<String> = words("Café, CAFE\u{301}! ß-x_1").map(|(word, _)| word).collect();
        assert_eq!(found, ["cafe", "cafe", "ß", "x", "1"]);
        assert_eq!(question_weights("Fire fire FIRE").len(), 1);
        assert_eq!(count(" a  b "), 2);
        // FNV-1a's published value of "foobar".
        assert_eq!(token("foobar"), 0xbf9c_f968);
    }

    #[test]
    fn rare_repetition_and_short_pages_weigh_more() {
        let weight = |text: &str| {
            let all = page_weights(text, 4.0);
            all.iter().find(|(of, _)| *of == token("fire")).unwrap().1
        };
        // 1 * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 4 / 4))
        assert!((weight("fire a b c") - 1.0).abs() < 1e-6);
        assert!(weight("fire") > weight("fire a b c"));
        assert!(weight("fire fire b c") > weight("fire a b c"));
        assert!(page_weights("", 4.0).is_empty());
    }

    #[test]
    fn a_snippet_has_what_was_looked_for() {
        let marked = |text: &str, question: &str| {
            let of = snippet(text, question);
            of.marks.iter().map(|mark| of.text[mark.clone()].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(marked("The tenant pays Rent, é rent.", "rent"), ["Rent", "rent"]);
        assert_eq!(snippet("One two", "three").text, "One two");
        let long: String = (0..300).map(|n| format!("w{n} ")).collect();
        let of = snippet(&long, "w200 w205 w1");
        assert!(of.text.starts_with('…') && of.text.ends_with('…'), "{}", of.text);
        assert_eq!(marked(&long, "w200 w205 w1"), ["w200", "w205"]);
        assert_eq!(words(&of.text).count(), TOKENS);
        assert_eq!(snippet(&"é".repeat(500), "x").text.chars().count(), CHARACTERS);
        assert_eq!(snippet("", "x"), Snippet::default());
    }

    #[test]
    fn patterns_are_those_of_the_embedded_index() {
        for (pattern, path, is) in [
            ("*/lease*", "/a/lease.pdf", true),
            ("*/lease*", "/a/Lease.pdf", false),
            ("*.pdf", "/a/b.pdf", true),
            ("*.pdf", "/a/b.pdfx", false),
            ("/a/?.pdf", "/a/b.pdf", true),
            ("/a/?.pdf", "/a/bb.pdf", false),
            ("[a-c]*", "box", true),
            ("[^a-c]*", "box", false),
            ("[]x]", "]", true),
            ("[a", "a", false),
            ("a*b*c", "axxbyybzzc", true),
            ("a*b*c", "axxbyybzz", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, path), is, "{pattern} {path}");
        }
        // Stars do not multiply the time.
        assert!(!fits("*a*a*a*a*a*b", &"a".repeat(5000)));
    }
}
