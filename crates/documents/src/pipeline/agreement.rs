//! Two readings of a page, compared: what the file says is written there, and what a model saw.
//!
//! A model may invent, and a text layer may be wrong or incomplete. Where both say the same, either may be trusted; where
//! they differ, a person should look. Words are compared without case, markup, punctuation and the order of blocks: a
//! model reads columns and footnotes in another order, and rightly.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization as _;

/// How far two readings of a page are alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agreement {
    /// The part of the text layer's words that the model read too, 0 to 1.
    pub recall: f32,
    /// The part of the model's words that the text layer has too, 0 to 1.
    pub precision: f32,
    /// What only the text layer has: runs of words as they stand there.
    pub only_text_layer: Vec<String>,
    /// What only the model read.
    pub only_model: Vec<String>,
}

impl Agreement {
    /// Both parts in one number, their harmonic mean.
    pub fn score(&self) -> f32 {
        let sum = self.recall + self.precision;
        if sum > 0.0 { 2.0 * self.recall * self.precision / sum } else { 0.0 }
    }
}

/// Words of a difference that are shown at most, so that a page that differs altogether is not shown twice.
const SHOWN: usize = 40;
/// Differences that are shown at most.
const SPANS: usize = 50;

/// Compares the text layer's text with what a model read, both as markdown.
pub fn compare(text_layer: &str, model: &str) -> Agreement {
    let (ours, theirs) = (words(&unmarked(text_layer)), words(&unmarked(model)));
    if ours.is_empty() && theirs.is_empty() {
        return Agreement { recall: 1.0, precision: 1.0, ..Agreement::default() };
    }
    let matched = |these: &[Word], those: &[Word]| -> Vec<bool> {
        let mut left: BTreeMap<&str, usize> = BTreeMap::new();
        for word in those {
            *left.entry(&word.plain).or_default() += 1;
        }
        let mut take = |word: &Word| match left.get_mut(word.plain.as_str()) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            Some(_) | None => false,
        };
        these.iter().map(&mut take).collect()
    };
    let (found, read) = (matched(&ours, &theirs), matched(&theirs, &ours));
    let part = |found: &[bool]| {
        let hits = found.iter().filter(|hit| **hit).count();
        if found.is_empty() { 1.0 } else { hits as f32 / found.len() as f32 }
    };
    Agreement {
        recall: part(&found),
        precision: part(&read),
        only_text_layer: spans(&ours, &found),
        only_model: spans(&theirs, &read),
    }
}

#[derive(Default)]
struct Word {
    shown: String,
    plain: String,
}

/// The words of a text, those of scripts without spaces one character each.
fn words(text: &str) -> Vec<Word> {
    let mut out = Vec::new();
    let mut word = Word::default();
    let composed: String = text.nfc().collect();
    for c in composed.chars() {
        let folded = || std::iter::once(c).nfkc().flat_map(char::to_lowercase);
        if is_ideograph(c) {
            out.extend(word.end());
            out.push(Word { shown: c.to_string(), plain: folded().collect() });
        } else if c.is_alphanumeric() {
            word.plain.extend(folded().filter(|c| c.is_alphanumeric()));
            word.shown.push(c);
        } else if matches!(c, '\u{ad}' | '\'' | '’' | '.' | ',' | '-' | '‐' | '‑') {
            // `1,000.5` and `co-operate` are one word, `and/or` is two.
            word.shown.push(c);
        } else {
            out.extend(word.end());
        }
    }
    out.extend(word.end());
    out
}

impl Word {
    /// What was gathered, unless that is nothing but signs.
    fn end(&mut self) -> Option<Self> {
        let mut word = std::mem::take(self);
        let kept = word.shown.trim_end_matches(['.', ',', '\'', '’']).len();
        word.shown.truncate(kept);
        (!word.plain.is_empty()).then_some(word)
    }
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Markdown and HTML without what is not read: tags, the targets of links and pictures.
fn unmarked(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len());
    let mut rest = markdown;
    while let Some(at) = rest.find(['<', ']']) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let skipped = if after.starts_with('<') { tag(after) } else { target(after) };
        // A tag parts words, as a cell's end does.
        out.push(' ');
        rest = &after[skipped.unwrap_or(1)..];
    }
    out.push_str(rest);
    out
}

/// The length of the tag that a text begins with.
fn tag(text: &str) -> Option<usize> {
    let name = text[1..].trim_start_matches('/');
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!') {
        return None;
    }
    text.find('>').map(|end| end + 1)
}

/// The length of `](target)`.
fn target(text: &str) -> Option<usize> {
    text.strip_prefix("](")?.find([')', '\n']).map(|end| end + 3)
}

/// Runs of words that were not found.
fn spans(words: &[Word], found: &[bool]) -> Vec<String> {
    let mut out: Vec<Vec<&str>> = Vec::new();
    let mut open = false;
    for (word, found) in words.iter().zip(found) {
        if *found {
            open = false;
            continue;
        }
        if !open {
            out.push(Vec::new());
        }
        open = true;
        if let Some(span) = out.last_mut() {
            span.push(&word.shown);
        }
    }
    let more = out.len().saturating_sub(SPANS);
    let shown = |span: Vec<&str>| {
        let rest = span.len().saturating_sub(SHOWN);
        let text = span[..span.len() - rest].join(" ");
        if rest > 0 { format!("{text} … and {rest} words more") } else { text }
    };
    let mut shown: Vec<String> = out.into_iter().take(SPANS).map(shown).collect();
    if more > 0 {
        shown.push(format!("… and {more} places more"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_case_and_order_do_not_matter() {
        let layer = "Annual Report\nThe ﬁrst co-\noperative sold 1,000 units.\nAlpha 1 Beta 2";
        let model = "# ANNUAL REPORT\n\nThe **first** co- operative sold 1,000 units.\n\n<table><tr><td>Alpha</td><td>1</td></tr>\
                     <tr><td>Beta</td><td>2</td></tr></table>";
        let found = compare(layer, model);
        assert_eq!((found.recall, found.precision), (1.0, 1.0), "{found:?}");
        assert!(found.score() > 0.999);
        let turned = compare("one two three", "three [one](http://x.y/z) ![two](page_1_2_3_4.png)");
        assert_eq!((turned.recall, turned.precision), (1.0, 1.0), "{turned:?}");
    }

    #[test]
    fn what_differs_is_shown() {
        let found = compare("the sum is 1,500 euros in all", "the sum is 7,500 euros");
        assert_eq!(found.only_text_layer, ["1,500", "in all"]);
        assert_eq!(found.only_model, ["7,500"]);
        assert!((found.recall - 4.0 / 7.0).abs() < 1e-6 && (found.precision - 0.8).abs() < 1e-6);
        let nothing = compare("words", "");
        assert_eq!((nothing.recall, nothing.precision, nothing.score()), (0.0, 1.0, 0.0));
        assert_eq!(compare("", " \n").score(), 1.0);
    }

    #[test]
    fn a_page_that_differs_altogether_is_not_shown_whole() {
        let other = "word ".repeat(500);
        let found = compare(&other, "nothing of it");
        assert_eq!(found.only_text_layer.len(), 1);
        assert!(found.only_text_layer[0].ends_with("… and 460 words more"));
        let scattered: String = (0..200).map(|n| format!("same new{n} ")).collect();
        let found = compare(&"same ".repeat(200), &scattered);
        assert_eq!(found.only_model.len(), SPANS + 1);
        assert!(found.only_model[SPANS].contains("150"));
    }

    #[test]
    fn scripts_without_spaces_are_compared_by_character() {
        let found = compare("第一章 契約", "第一章 契約書");
        assert_eq!(found.recall, 1.0);
        assert_eq!(found.only_model, ["書"]);
    }

    #[test]
    fn a_stray_bracket_or_less_than_ends_nothing() {
        assert_eq!(compare("a < b ] c", "a < b ] c").score(), 1.0);
        assert_eq!(compare("x y", "x ](y").score(), 1.0);
        assert_eq!(compare("x y", "x <y").score(), 1.0);
    }
}
