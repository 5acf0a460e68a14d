//! What a list item begins with.

/// The marker of a list item at the start of a line, and what it says about the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// The marker as printed.
    pub(super) text: String,
    pub(super) kind: MarkerKind,
}

/// A family of markers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkerKind {
    /// A bullet or dash.
    Bullet,
    /// `1.` or `1)`: the numbers of Markdown's own lists.
    Number,
    /// `1.1`, with its depth.
    Section(u8),
    /// `(a)`, `a)`, `iv.`, `(1)`.
    Letter,
}

/// The marker that a word is, if it is nothing else.
pub(super) fn marker(word: &str) -> Option<Marker> {
    let kind = kind(word)?;
    Some(Marker { text: word.to_owned(), kind })
}

fn kind(word: &str) -> Option<MarkerKind> {
    let mut chars = word.chars();
    let first = chars.next()?;
    if chars.next().is_none() {
        let bullet = matches!(
            first,
            '•' | '▪'
                | '◦'
                | '‣'
                | '●'
                | '○'
                | '■'
                | '□'
                | '–'
                | '-'
                | '—'
                | '*'
                | '·'
                | '➢'
                | '✓'
                | '☐'
                | '☑'
                | '☒'
                | '⁃'
                | '∙'
                | '►'
                | '▶'
                | '➤'
                | '❖'
                | '◆'
                | '◼'
        );
        return bullet.then_some(MarkerKind::Bullet);
    }
    let inner = word.strip_prefix('(').and_then(|w| w.strip_suffix(')'));
    if let Some(inner) = inner {
        let short = inner.len() <= 4 && !inner.is_empty();
        return (short && is_label(inner)).then_some(MarkerKind::Letter);
    }
    if let Some(label) = word.strip_suffix(')') {
        if label.len() <= 3 && !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()) {
            return Some(MarkerKind::Number);
        }
        return (is_label(label) && label.len() <= 4).then_some(MarkerKind::Letter);
    }
    if word.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
        return section(word);
    }
    let label = word.strip_suffix('.')?;
    let single = label.len() == 1 && label.bytes().all(|b| b.is_ascii_alphabetic());
    (single || (label.len() <= 5 && is_roman(label))).then_some(MarkerKind::Letter)
}

/// `1.`, `1.1`, `1.1.`, `12.3.4`; not a year, an amount or a date.
fn section(word: &str) -> Option<MarkerKind> {
    let dotted = word.ends_with('.');
    let body = word.strip_suffix('.').unwrap_or(word);
    let parts: Vec<&str> = body.split('.').collect();
    let number =
        |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    if !parts.iter().all(number) || parts.len() > 6 {
        return None;
    }
    match parts.len() {
        1 if dotted => Some(MarkerKind::Number),
        1 => None,
        // These are rather amounts.
        2 if !dotted && parts[1].len() > 2 => None,
        2 if !dotted && parts[1].starts_with('0') => None,
        2 if !dotted && parts[1].parse().is_ok_and(|n: u32| n >= 40) => None,
        depth => Some(MarkerKind::Section(u8::try_from(depth).unwrap_or(6))),
    }
}

/// Letters or digits that number an item: `a`, `B`, `12`, `iv`, `aa`.
fn is_label(label: &str) -> bool {
    let digits = label.bytes().all(|b| b.is_ascii_digit());
    let letter = label.len() == 1 && label.bytes().all(|b| b.is_ascii_alphabetic());
    let bytes = label.as_bytes();
    let doubled = bytes.len() == 2 && bytes[0] == bytes[1] && bytes[0].is_ascii_lowercase();
    (digits && label.len() <= 3) || letter || doubled || is_roman(label)
}

fn is_roman(label: &str) -> bool {
    !label.is_empty()
        && (label.bytes().all(|b| b"ivxlc".contains(&b))
            || label.bytes().all(|b| b"IVXLC".contains(&b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_told_from_words() {
        let kinds = [
            ("•", MarkerKind::Bullet),
            ("1.", MarkerKind::Number),
            ("12)", MarkerKind::Number),
            ("1.1", MarkerKind::Section(2)),
            ("4.2.1.", MarkerKind::Section(3)),
            ("(a)", MarkerKind::Letter),
            ("(iv)", MarkerKind::Letter),
            ("(12)", MarkerKind::Letter),
            ("b)", MarkerKind::Letter),
            ("ii.", MarkerKind::Letter),
            ("A.", MarkerKind::Letter),
        ];
        for (word, kind) in kinds {
            assert_eq!(marker(word).map(|m| m.kind), Some(kind), "{word}");
        }
        for word in
            ["1", "2024.", "12.50", "3.05", "word", "e.g.", "(the)", "()", "", "£5.", "1,2."]
        {
            assert_eq!(marker(word), None, "{word}");
        }
    }
}
