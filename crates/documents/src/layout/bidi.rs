//! Right-to-left text: pages hold it as it looks, documents hold it as it is read.

use super::model::Word;

/// Whether a character belongs to a script that is written from right to left.
pub(crate) fn is_rtl(c: char) -> bool {
    matches!(c,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
        && !matches!(c, '\u{660}'..='\u{669}' | '\u{6f0}'..='\u{6f9}')
}

/// Whether most letters of a text are of scripts that are written from right to left.
pub(super) fn is_mostly_rtl(text: impl Iterator<Item = char>) -> bool {
    let (mut rtl, mut all) = (0usize, 0usize);
    for c in text.filter(|c| c.is_alphabetic()) {
        all += 1;
        rtl += usize::from(is_rtl(c));
    }
    rtl * 2 > all
}

/// Whether a character takes part in no script: it follows its neighbours.
fn is_neutral(c: char) -> bool {
    !c.is_alphanumeric()
}

/// A word whose characters were collected from left to right, in reading order.
pub(super) fn reverse(text: &str) -> String {
    let mut clusters: Vec<String> = Vec::new();
    let mut run = String::new();
    for c in text.chars() {
        // Digits and Latin letters inside keep their order.
        if !is_rtl(c) && c.is_alphanumeric() {
            run.push(c);
            continue;
        }
        if !run.is_empty() {
            clusters.push(std::mem::take(&mut run));
        }
        let mirrored = match c {
            '(' => ')',
            ')' => '(',
            '[' => ']',
            ']' => '[',
            '«' => '»',
            '»' => '«',
            c => c,
        };
        clusters.push(mirrored.to_string());
    }
    if !run.is_empty() {
        clusters.push(run);
    }
    clusters.reverse();
    clusters.concat()
}

/// Puts the words of a line, given from left to right, into reading order.
pub(super) fn order(words: &mut [Word]) {
    let (mut rtl, mut ltr) = (0usize, 0usize);
    for c in words.iter().flat_map(|word| word.text.chars()) {
        if is_rtl(c) {
            rtl += 1;
        } else if c.is_alphabetic() {
            ltr += 1;
        }
    }
    if rtl == 0 {
        return;
    }
    let wants_rtl = |word: &Word| word.text.chars().any(is_rtl);
    let wants_ltr = |word: &Word| !wants_rtl(word) && word.text.chars().any(|c| !is_neutral(c));
    let base_rtl = rtl > ltr;
    if base_rtl {
        words.reverse();
        reverse_runs(words, wants_ltr);
    } else {
        reverse_runs(words, wants_rtl);
    }
    // The space stood before a word's left edge; in a run that was turned it stands after.
    // Reading order needs one wherever two words were apart, which is nearly everywhere.
    let spaced: Vec<bool> = words
        .windows(2)
        .map(|pair| gap(&pair[0], &pair[1]) > 0.1 * pair[0].size.min(pair[1].size))
        .collect();
    if let Some(first) = words.first_mut() {
        first.spaced = false;
    }
    for (word, spaced) in words.iter_mut().skip(1).zip(spaced) {
        word.spaced = spaced;
    }
}

fn gap(a: &Word, b: &Word) -> f32 {
    -a.bbox.horizontal_overlap(&b.bbox)
}

/// Reverses every run of words that `inside` selects; neutral words between two of them belong to
/// the run.
fn reverse_runs(words: &mut [Word], inside: impl Fn(&Word) -> bool) {
    let mut start = 0;
    while start < words.len() {
        if !inside(&words[start]) {
            start += 1;
            continue;
        }
        let mut end = start + 1;
        let mut at = end;
        while at < words.len() {
            if inside(&words[at]) {
                end = at + 1;
            } else if !words[at].text.chars().all(is_neutral) {
                break;
            }
            at += 1;
        }
        words[start..end].reverse();
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rect;
    use crate::layout::Style;

    fn words(texts: &[&str]) -> Vec<Word> {
        let word = |(i, text): (usize, &&str)| Word {
            text: (*text).to_owned(),
            bbox: Rect::new(i as f32 * 20.0, 0.0, i as f32 * 20.0 + 15.0, 10.0),
            size: 10.0,
            style: Style::PLAIN,
            spaced: i > 0,
            link: None,
        };
        texts.iter().enumerate().map(word).collect()
    }

    fn ordered(texts: &[&str]) -> String {
        let mut words = words(texts);
        order(&mut words);
        words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_are_put_into_reading_order() {
        assert_eq!(ordered(&["one", "two"]), "one two");
        assert_eq!(ordered(&["גגג", "בבב", "אאא"]), "אאא בבב גגג");
        assert_eq!(ordered(&["גגגגג", "New", "York", "אאאאא"]), "אאאאא New York גגגגג");
        assert_eq!(ordered(&["see", "the", "בבב", "אאא", "title"]), "see the אאא בבב title");
    }

    #[test]
    fn a_word_is_reversed_but_not_its_number() {
        assert_eq!(reverse("אב"), "בא");
        assert_eq!(reverse("12-אב"), "בא-12");
        assert_eq!(reverse("(א"), "א)");
    }
}
