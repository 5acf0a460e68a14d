//! Lines to running text: spaces, hyphens and styles.

use std::collections::BTreeSet;

use super::model::{Line, PageLayout, Region, Style, Word};
use crate::page::Inline;

/// The words of a document, as evidence for how a word broken at a line's end is spelt.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    words: BTreeSet<String>,
}

impl Vocabulary {
    /// The words that stand whole on the pages: not the last of a line with a hyphen, nor the
    /// first of the line after.
    pub(super) fn of<'a>(pages: impl Iterator<Item = &'a PageLayout>) -> Self {
        let mut out = Self::default();
        for page in pages {
            for region in &page.regions {
                match region {
                    Region::Flow(flow) => out.add(&flow.lines),
                    Region::Table(table) => {
                        for cell in table.rows.iter().flatten() {
                            out.add(&cell.lines);
                        }
                    }
                }
            }
        }
        out
    }

    fn add(&mut self, lines: &[Line]) {
        let mut broken = false;
        for line in lines {
            for (index, word) in line.words.iter().enumerate() {
                let last = index + 1 == line.words.len();
                let hyphen = last && ends_with_hyphen(&word.text);
                let rest = broken && index == 0;
                if !rest && !hyphen {
                    let word = bare(&word.text);
                    if word.len() >= 2 {
                        // A compound speaks for its parts as well.
                        if word.contains('-') {
                            self.words.extend(word.split('-').map(str::to_owned));
                        }
                        self.words.insert(word);
                    }
                }
                if last {
                    broken = hyphen;
                }
            }
        }
    }

    fn has(&self, word: &str) -> bool {
        self.words.contains(word)
    }
}

/// A word without the punctuation around it, in small letters.
fn bare(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

fn ends_with_hyphen(text: &str) -> bool {
    let mut chars = text.chars().rev();
    let hyphen = chars.next().is_some_and(|c| matches!(c, '-' | '\u{2010}' | '\u{ad}'));
    hyphen && chars.next().is_some_and(char::is_alphabetic)
}

/// How a line's last word meets the next line's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seam {
    /// A space between.
    Space,
    /// Nothing between.
    Tight,
    /// Nothing between, and the hyphen goes.
    Unhyphenated,
}

/// Appends lines to inlines, joined as running text; `hard` line ends stay line ends.
pub(super) fn join(lines: &[&Line], hard: &[bool], vocabulary: &Vocabulary) -> Vec<Inline> {
    let mut out: Vec<Inline> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let mut start = index == 0;
        for (at, word) in line.words.iter().enumerate() {
            if at > 0 {
                start = false;
            }
            let mut space = word.spaced;
            if at == 0 && !start && hard.get(index - 1).copied().unwrap_or(false) {
                append(&mut out, "\n", word, true);
                space = false;
            } else if at == 0 && !start {
                let before = lines[index - 1].words.last();
                match before.map_or(Seam::Space, |before| seam(before, word, vocabulary)) {
                    Seam::Space => space = true,
                    Seam::Tight => space = false,
                    Seam::Unhyphenated => {
                        space = false;
                        if let Some(last) = out.last_mut() {
                            last.text.pop();
                        }
                    }
                }
            }
            if space && !out.is_empty() && !(at == 0 && start) {
                append(&mut out, " ", word, false);
            }
            let text = without_soft_hyphens(&word.text, at + 1 == line.words.len());
            append(&mut out, &text, word, true);
        }
    }
    for inline in &mut out {
        // A soft hyphen that no line followed.
        if inline.text.ends_with('\u{ad}') {
            inline.text.pop();
        }
    }
    out.retain(|inline| !inline.text.is_empty());
    out
}

/// Soft hyphens are only seen at the end of a line.
fn without_soft_hyphens(text: &str, keep_last: bool) -> String {
    let mut out: String = text.chars().filter(|&c| c != '\u{ad}').collect();
    if keep_last && text.ends_with('\u{ad}') {
        out.push('\u{ad}');
    }
    out
}

/// Adds text in a word's style. A space before a word takes the style of both sides when they are
/// alike, else none, so that `**bold** plain` does not become `**bold **plain`.
fn append(out: &mut Vec<Inline>, text: &str, word: &Word, of_word: bool) {
    if let Some(last) = out.last_mut() {
        let alike = last.style == word.style && last.link == word.link;
        if alike {
            last.text.push_str(text);
            return;
        }
        if !of_word {
            if last.style == Style::PLAIN && last.link.is_none() {
                last.text.push_str(text);
            } else {
                let style = last.style.without(Style::ALL_FACES);
                out.push(Inline { text: text.to_owned(), style, link: None });
            }
            return;
        }
    }
    out.push(Inline { text: text.to_owned(), style: word.style, link: word.link.clone() });
}

fn seam(before: &Word, after: &Word, vocabulary: &Vocabulary) -> Seam {
    let Some(last) = before.text.chars().last() else {
        return Seam::Space;
    };
    let Some(first) = after.text.chars().next() else {
        return Seam::Space;
    };
    if last == '\u{ad}' {
        return Seam::Unhyphenated;
    }
    if ends_with_hyphen(&before.text) {
        return hyphen(&before.text, &after.text, vocabulary);
    }
    if matches!(last, '-' | '\u{2010}') && first.is_numeric() {
        return Seam::Tight;
    }
    // A dash without a space before it has none after it either.
    if matches!(last, '—' | '–' | '/') && before.text.chars().count() > 1 {
        return Seam::Tight;
    }
    if is_unspaced_script(last) && is_unspaced_script(first) {
        return Seam::Tight;
    }
    Seam::Space
}

/// What becomes of a hyphen at a line's end.
fn hyphen(before: &str, after: &str, vocabulary: &Vocabulary) -> Seam {
    let first = after.chars().next().unwrap_or(' ');
    if !first.is_lowercase() {
        // Anglo-Saxon, and a hanging hyphen before another word (pre- AND post-war).
        return Seam::Tight;
    }
    let left = before.trim_end_matches(['-', '\u{2010}']);
    let whole = bare(&format!("{left}{after}"));
    let compound = bare(&format!("{left}-{after}"));
    if vocabulary.has(&whole) {
        return Seam::Unhyphenated;
    }
    if vocabulary.has(&compound) || left.contains('-') {
        return Seam::Tight;
    }
    let (left, right) = (bare(left), bare(after));
    if matches!(
        right.as_str(),
        "and" | "or" | "to" | "und" | "oder" | "bis" | "y" | "e" | "et" | "ou"
    ) {
        return Seam::Space;
    }
    const COMPOUND: [&str; 22] = [
        "well", "self", "non", "ex", "half", "quasi", "cross", "long", "short", "high", "low",
        "first", "second", "third", "full", "part", "multi", "one", "two", "three", "so", "all",
    ];
    const JOINED: [&str; 20] = [
        "there", "here", "where", "with", "under", "over", "out", "in", "up", "for", "to", "any",
        "some", "every", "no", "not", "an", "how", "what", "who",
    ];
    if COMPOUND.contains(&left.as_str()) && vocabulary_knows(vocabulary, &right) {
        return Seam::Tight;
    }
    // Both halves are words of this document: rent-free, not agree-ment.
    const ENDINGS: [&str; 14] = [
        "tion", "sion", "ment", "ments", "able", "ible", "ness", "less", "ture", "ance", "ence",
        "ally", "tions", "ings",
    ];
    let both = left.len() >= 3
        && right.len() >= 4
        && !ENDINGS.contains(&right.as_str())
        && vocabulary.has(&left)
        && vocabulary.has(&right);
    if both && !JOINED.contains(&left.as_str()) { Seam::Tight } else { Seam::Unhyphenated }
}

/// Whether the second half of a compound could stand alone; short documents prove little, so any
/// word of four letters may.
fn vocabulary_knows(vocabulary: &Vocabulary, word: &str) -> bool {
    vocabulary.has(word) || word.len() >= 4
}

/// Scripts written without spaces.
fn is_unspaced_script(c: char) -> bool {
    matches!(c,
        '\u{2e80}'..='\u{2fdf}' | '\u{3000}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ff60}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rect;

    fn line(text: &str) -> Line {
        let words = text
            .split(' ')
            .map(|t| Word {
                text: t.to_owned(),
                bbox: Rect::default(),
                size: 10.0,
                style: Style::PLAIN,
                spaced: true,
                link: None,
            })
            .collect();
        Line { bbox: Rect::default(), baseline: 0.0, size: 10.0, words }
    }

    fn joined(texts: &[&str]) -> String {
        let lines: Vec<Line> = texts.iter().map(|t| line(t)).collect();
        let mut vocabulary = Vocabulary::default();
        vocabulary.add(&lines);
        let refs: Vec<&Line> = lines.iter().collect();
        crate::page::plain(&join(&refs, &[], &vocabulary))
    }

    #[test]
    fn hyphenation_is_undone_and_hyphens_are_kept() {
        assert_eq!(joined(&["the agree-", "ment is made"]), "the agreement is made");
        assert_eq!(joined(&["a well-", "known case"]), "a well-known case");
        assert_eq!(joined(&["a sub-lease of a sub-", "lease"]), "a sub-lease of a sub-lease");
        assert_eq!(
            joined(&["rent is free of a rent-", "free time, free"]),
            "rent is free of a rent-free time, free"
        );
        assert_eq!(joined(&["the Anglo-", "Saxon law"]), "the Anglo-Saxon law");
        assert_eq!(
            joined(&["there and after there-", "after it"]),
            "there and after thereafter it"
        );
        assert_eq!(joined(&["2019-", "2020"]), "2019-2020");
        assert_eq!(joined(&["pre-", "and post-war"]), "pre- and post-war");
        assert_eq!(joined(&["soft\u{ad}", "ened co\u{ad}op"]), "softened coop");
    }

    #[test]
    fn lines_meet_with_a_space_where_the_script_has_one() {
        assert_eq!(joined(&["one", "two"]), "one two");
        assert_eq!(joined(&["日本", "語"]), "日本語");
        assert_eq!(joined(&["either/", "or"]), "either/or");
    }
}
