//! Words of a page that the other reading does not have, marked.

use std::collections::BTreeMap;
use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use crate::html::{Token, decoded, escape, tokens};

/// HTML of ours with a mark around what `other` does not have. Words are compared as [`compare`](crate::pipeline::compare)
/// does it: without case, signs and order.
pub(super) fn marked(html: &str, other: &str) -> String {
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    for (_, word) in words(&decoded(&unmarked(other))) {
        *left.entry(word).or_default() += 1;
    }
    let mut out = String::with_capacity(html.len() + html.len() / 8);
    for token in tokens(html) {
        match token {
            Token::Text(text) => mark(&decoded(text), &mut left, &mut out),
            Token::Open { raw, .. } | Token::Close { raw, .. } => out.push_str(raw),
            Token::Hidden => {}
        }
    }
    out
}

/// The text of HTML: its tags part words.
fn unmarked(html: &str) -> String {
    let mut out = String::new();
    for token in tokens(html) {
        if let Token::Text(text) = token {
            out.push_str(text);
        } else {
            out.push(' ');
        }
    }
    out
}

fn mark(text: &str, left: &mut BTreeMap<String, usize>, out: &mut String) {
    let mut done = 0;
    let mut open: Option<Range<usize>> = None;
    let close = |span: Range<usize>, done: &mut usize, out: &mut String| {
        escape(&text[*done..span.start], out);
        out.push_str("<mark>");
        escape(&text[span.clone()], out);
        out.push_str("</mark>");
        *done = span.end;
    };
    for (range, word) in words(text) {
        let known = left.get_mut(&word).filter(|count| **count > 0);
        match (known, &mut open) {
            (Some(count), _) => {
                *count -= 1;
                if let Some(span) = open.take() {
                    close(span, &mut done, out);
                }
            }
            (None, Some(span)) => span.end = range.end,
            (None, none) => *none = Some(range),
        }
    }
    if let Some(span) = open {
        close(span, &mut done, out);
    }
    escape(&text[done..], out);
}

/// The words of a text, as they are compared, with where they stand.
fn words(text: &str) -> Vec<(Range<usize>, String)> {
    let mut out = Vec::new();
    let mut open: Option<Range<usize>> = None;
    let plain = |range: &Range<usize>| -> String {
        let folded = text[range.clone()].nfkc().flat_map(char::to_lowercase);
        folded.filter(|c| c.is_alphanumeric()).collect()
    };
    let mut end = |open: &mut Option<Range<usize>>| {
        if let Some(range) = open.take() {
            out.push((range.clone(), plain(&range)));
        }
    };
    for (at, c) in text.char_indices() {
        let range = at..at + c.len_utf8();
        if is_ideograph(c) {
            end(&mut open);
            open = Some(range);
            end(&mut open);
        } else if c.is_alphanumeric() {
            open = Some(open.map_or(range.clone(), |open| open.start..range.end));
        } else if let Some(word) = &mut open
            && (is_combining_mark(c) || joins(c, &text[range.end..]))
        {
            word.end = range.end;
        } else {
            end(&mut open);
        }
    }
    end(&mut open);
    out
}

/// Whether a sign is within a word: `1,000.5` and `co-operate` are one, and a full stop ends one.
fn joins(c: char, after: &str) -> bool {
    matches!(c, '\u{ad}' | '\'' | '’' | '.' | ',' | '-' | '‐' | '‑')
        && after.starts_with(|next: char| next.is_alphanumeric() && !is_ideograph(next))
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_marked_and_nothing_is_lost() {
        let html = "<p>The sum is <b>7,500</b> euros &amp; no more.</p>";
        let found = marked(html, "<p>the SUM is 1,500 euros, no</p>");
        let wanted =
            "<p>The sum is <b><mark>7,500</mark></b> euros &amp; no <mark>more</mark>.</p>";
        assert_eq!(found, wanted);
        assert_eq!(marked(html, html), html);
        assert_eq!(marked("<p>契約書 a b c</p>", "契約 c"), "<p>契約<mark>書 a b</mark> c</p>");
        assert_eq!(marked("<i>ﬁne e\u{301}</i>", "fine \u{e9}"), "<i>ﬁne e\u{301}</i>");
    }
}
