//! Markdown as models write it, parted into tables of HTML and everything else.

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    /// Markdown.
    Markdown(&'a str),
    /// `<table>` to `</table>`, or to the end of a text that was cut off.
    Table(&'a str),
}

/// Parts a text. The parts put together are the text again.
pub(crate) fn segments(text: &str) -> Vec<Segment<'_>> {
    let mut out = Vec::new();
    let (mut from, mut at) = (0, 0);
    let mut fence: Option<&str> = None;
    let mut hopeless = false;
    while at < text.len() {
        let line = text[at..].split_inclusive('\n').next().unwrap_or_default();
        let mark = fence_of(line);
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if mark.starts_with(open) => fence = None,
            (None, None) => {
                if let Some((start, end)) = table(text, at, at + line.len(), &mut hopeless) {
                    if start > from {
                        out.push(Segment::Markdown(&text[from..start]));
                    }
                    out.push(Segment::Table(&text[start..end]));
                    (from, at) = (end, end);
                    continue;
                }
            }
            (Some(_), _) => {}
        }
        at += line.len();
    }
    if from < text.len() {
        out.push(Segment::Markdown(&text[from..]));
    }
    out
}

/// The backticks or tildes that a line of code's fence begins with.
fn fence_of(line: &str) -> Option<&str> {
    let body = line.trim_start_matches(' ');
    let mark = body.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = body.len() - body.trim_start_matches(mark).len();
    (length >= 3 && line.len() - body.len() < 4).then(|| &body[..length])
}

/// The table that begins between `from` and `to`, if one does there, outside of code. Where one is sought, `hopeless`
/// becomes true once nothing further on can be one.
fn table(text: &str, from: usize, to: usize, hopeless: &mut bool) -> Option<(usize, usize)> {
    let line = &text[from..to];
    let (mut search, mut counted, mut ticks) = (0, 0, 0);
    while !*hopeless && let Some(found) = find(&line[search..], "<table") {
        let at = search + found;
        ticks += line[counted..at].matches('`').count();
        (counted, search) = (at, at + 6);
        let start = from + at;
        let ends = |c: char| c == '>' || c.is_ascii_whitespace();
        if ticks % 2 == 1 || !text[start + 6..].starts_with(ends) {
            continue;
        }
        let end = start + table_end(&text[start..]);
        let body = &text[start..end];
        if ["<tr", "<td", "<th", "<caption"].iter().any(|tag| find(body, tag).is_some()) {
            return Some((start, end));
        }
        // What has no rows to its end has none further on.
        *hopeless = end == text.len();
        search = search.max((end - from).min(line.len()));
    }
    None
}

/// Where the table that a text begins with ends; the end of the text if it was cut off.
fn table_end(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(found) = text[at..].find('<') {
        at += found;
        let rest = &text[at..];
        if starts(rest, "<table") {
            depth += 1;
        } else if starts(rest, "</table") {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return rest.find('>').map_or(text.len(), |end| at + end + 1);
            }
        }
        at += 1;
    }
    text.len()
}

/// Whether a text begins with this, in letters of either case.
fn starts(text: &str, with: &str) -> bool {
    text.as_bytes()
        .get(..with.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
}

fn find(text: &str, what: &str) -> Option<usize> {
    text.match_indices('<').map(|(at, _)| at).find(|at| starts(&text[*at..], what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_told_from_what_speaks_of_them() {
        let text = "a `<table>` <tr>\n```\n<table><tr></table>\n```\nT: <TABLE border=1><tr><td><table><tr></table></td>\n\n</tr></TABLE> z\n<table> none\n";
        let found = segments(text);
        let tables: Vec<_> = found.iter().filter(|s| matches!(s, Segment::Table(_))).collect();
        let inner = "<TABLE border=1><tr><td><table><tr></table></td>\n\n</tr></TABLE>";
        assert_eq!(tables, [&Segment::Table(inner)]);
        let whole: String = found
            .iter()
            .map(|s| match s {
                Segment::Markdown(text) | Segment::Table(text) => *text,
            })
            .collect();
        assert_eq!(whole, text);
        assert_eq!(segments("<table><tr><td>cut"), [Segment::Table("<table><tr><td>cut")]);
        assert_eq!(segments(""), []);
        let open = "<table>".repeat(5_000);
        assert_eq!(segments(&open), [Segment::Markdown(&open)]);
    }
}
