//! Text as the benchmark compares it: without emphasis, with one kind of space, quotation mark and dash.

use unicode_normalization::UnicodeNormalization as _;

/// What the benchmark's rules and answers are before they are compared.
pub(super) fn normalize(text: &str) -> String {
    let mut text = text.replace("<br>", " ").replace("<br/>", " ");
    for mark in ["**", "__"] {
        text = unpaired(&text, &[mark]);
    }
    for tag in ["<b>", "</b>", "<i>", "</i>"] {
        text = text.replace(tag, "");
    }
    text = unpaired(&text, &["**", "__"]);
    text = unpaired(&text, &["*", "_"]);
    one_space(&text).nfc().map(plain).collect()
}

/// Takes away marks that stand in pairs on a line, from left to right.
fn unpaired(text: &str, marks: &[&str]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    'text: while let Some(first) = rest.chars().next() {
        for mark in marks {
            let Some(inside) = rest.strip_prefix(mark) else { continue };
            let line = inside.split('\n').next().unwrap_or_default();
            if let Some(end) = line.find(mark) {
                out.push_str(&line[..end]);
                rest = &inside[end + mark.len()..];
                continue 'text;
            }
        }
        out.push(first);
        rest = &rest[first.len_utf8()..];
    }
    out
}

/// Whether Python's regular expressions take a character for white space.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// White space as one space each.
pub(super) fn one_space(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut after = false;
    for c in text.chars() {
        let space = is_space(c);
        if !(space && after) {
            out.push(if space { ' ' } else { c });
        }
        after = space;
    }
    out
}

fn plain(c: char) -> char {
    match c {
        '\u{2018}' | '\u{2019}' | '\u{201a}' => '\'',
        '\u{201c}' | '\u{201d}' | '\u{201e}' => '"',
        '\u{ff3f}' => '_',
        '\u{2011}' | '\u{2012}' | '\u{2013}' | '\u{2014}' | '\u{2212}' => '-',
        '\u{b5}' => '\u{3bc}',
        other => other,
    }
}
