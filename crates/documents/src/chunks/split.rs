//! Where a piece may be parted: between rows of a table, lines of code, sentences; then words; then anywhere.

use std::ops::Range;

use super::piece::Sort;

/// How a piece is parted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grain {
    /// What every part but the first begins with again: a table's head, a fence.
    pub(super) again: String,
    /// What every part but the last ends with besides: a table's end, a fence.
    pub(super) closing: String,
    /// Where it may be parted first of all, in bytes, ascending: the beginnings of rows, lines, items.
    pub(super) joints: Vec<usize>,
    /// Whether sentences are the next finer joints.
    prose: bool,
}

impl Grain {
    pub(super) fn of(sort: &Sort, text: &str) -> Self {
        let plain =
            Self { again: String::new(), closing: String::new(), joints: Vec::new(), prose: true };
        match sort {
            Sort::Heading(..) | Sort::Text | Sort::Figure => plain,
            Sort::List => {
                let marked = |line: &str| {
                    let body = line.trim_start();
                    let digits =
                        body.len() - body.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                    body.starts_with(['-', '*', '+'])
                        || (digits > 0 && body[digits..].starts_with(['.', ')']))
                };
                Self {
                    joints: lines(text)
                        .filter(|(_, line)| marked(line))
                        .map(|(at, _)| at)
                        .filter(|at| *at > 0)
                        .collect(),
                    ..plain
                }
            }
            Sort::Code => code(text).unwrap_or(plain),
            Sort::Table if text.starts_with('|') => {
                let starts: Vec<usize> = lines(text).map(|(at, _)| at).collect();
                let head = starts.get(2).copied().unwrap_or(text.len());
                let again = text[..head].to_owned();
                Self { again, joints: starts.into_iter().skip(3).collect(), prose: false, ..plain }
            }
            Sort::Table => html_table(text).unwrap_or(plain),
        }
    }

    /// Of a text that is nothing more special: between its paragraphs.
    pub(super) fn paragraphs(text: &str) -> Self {
        let gaps = text.match_indices("\n\n").map(|(at, gap)| at + gap.len());
        Self {
            again: String::new(),
            closing: String::new(),
            joints: gaps.filter(|at| *at < text.len()).collect(),
            prose: true,
        }
    }

    /// The longest beginning of `text[range]` that ends at a joint and that `fits`; at least a character of it.
    pub(super) fn fitting(
        &self,
        text: &str,
        range: Range<usize>,
        fits: &mut dyn FnMut(Range<usize>) -> bool,
    ) -> usize {
        let inner = |at: &usize| *at > range.start && *at < range.end;
        let joints: Vec<usize> = self.joints.iter().copied().filter(inner).collect();
        if let Some(end) = longest(&joints, range.start, fits) {
            return end;
        }
        // Finer joints are sought no further than to the first coarse one, which did not fit.
        let end = joints.first().copied().unwrap_or(range.end);
        let end = end.min(text.floor_char_boundary(range.start + WINDOW));
        let part = &text[range.start..end];
        if self.prose {
            let joints: Vec<usize> = sentences(part).map(|at| range.start + at).collect();
            if let Some(end) = longest(&joints, range.start, fits) {
                return end;
            }
        }
        let words: Vec<usize> = words(part).map(|at| range.start + at).collect();
        if let Some(end) = longest(&words, range.start, fits) {
            return end;
        }
        let end = words.first().map_or(end, |first| *first);
        let part = &text[range.start..end];
        let characters: Vec<usize> =
            part.char_indices().skip(1).map(|(at, _)| range.start + at).collect();
        let least = characters.first().copied().unwrap_or(end);
        longest(&characters, range.start, fits).unwrap_or(least)
    }
}

/// How far finer joints are sought, in bytes.
const WINDOW: usize = 1 << 20;

/// The last of `ends` up to which what begins at `start` fits. Longer parts are not tried once one does not.
fn longest(
    ends: &[usize],
    start: usize,
    fits: &mut dyn FnMut(Range<usize>) -> bool,
) -> Option<usize> {
    // In steps that double, and then by halves: a text is long and a chunk is short.
    let (mut good, mut step) = (0, 1);
    while good + step <= ends.len() && fits(start..ends[good + step - 1]) {
        good += step;
        step *= 2;
    }
    while step > 0 {
        if good + step <= ends.len() && fits(start..ends[good + step - 1]) {
            good += step;
        }
        step /= 2;
    }
    good.checked_sub(1).map(|at| ends[at])
}

/// The lines of a text with where they begin.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        at += line.len();
        (at - line.len(), line)
    })
}

/// Code in fences: between its lines.
fn code(text: &str) -> Option<Grain> {
    let first = text.split_inclusive('\n').next()?;
    let body = first.trim_start_matches(' ');
    let mark = body.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = body.len() - body.trim_start_matches(mark).len();
    let fence: String = body.chars().take(length).collect();
    if length < 3 || !first.ends_with('\n') {
        return None;
    }
    // The first joint leaves a line in the first part.
    let joints = lines(text).map(|(at, _)| at).skip(2);
    let last = text.trim_end().rfind('\n').map_or(text.len(), |at| at + 1);
    let joints = joints.filter(|at| *at < last).collect();
    Some(Grain { again: first.to_owned(), closing: fence, joints, prose: false })
}

/// A table of HTML: between its rows, the first of which are its head if they are in a `thead`, or have `th` alone.
fn html_table(text: &str) -> Option<Grain> {
    let rows = rows(text);
    let (first, _) = *rows.first()?;
    let lower = text.to_ascii_lowercase();
    let head_end = match lower.find("</thead") {
        Some(end) => end,
        None if rows.first().is_some_and(|(a, b)| !lower[*a..*b].contains("<td")) => rows[0].1,
        None => first,
    };
    let body = rows.iter().map(|(start, _)| *start).find(|start| *start >= head_end);
    let body = body.unwrap_or(text.len());
    let joints = rows.iter().map(|(start, _)| *start).filter(|start| *start > body).collect();
    Some(Grain {
        again: text[..body].to_owned(),
        closing: "</table>".to_owned(),
        joints,
        prose: false,
    })
}

/// Whether a text begins with this, in letters of either case.
fn starts(text: &str, with: &str) -> bool {
    text.as_bytes()
        .get(..with.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
}

/// A table's rows, as byte ranges of its text: what lies before the first is its beginning, what lies after the last its
/// end. Rows of a table within a cell are part of the outer row.
fn rows(table: &str) -> Vec<(usize, usize)> {
    let (mut depth, mut at) = (0_usize, 0);
    let mut starts_at = Vec::new();
    let mut last = table.len();
    while let Some(found) = table[at..].find('<') {
        at += found;
        let rest = &table[at..];
        if starts(rest, "<table") {
            depth += 1;
        } else if starts(rest, "</table") {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                last = at;
                break;
            }
        } else if depth == 1 && starts(rest, "<tr") && rest[3..].starts_with([' ', '>', '\n', '\t'])
        {
            starts_at.push(at);
        }
        at += 1;
    }
    let ends = starts_at.iter().skip(1).copied().chain([last]);
    starts_at.iter().copied().zip(ends).collect()
}

/// Where a sentence ends and another may begin.
fn sentences(text: &str) -> impl Iterator<Item = usize> {
    let mut before = ['\0'; 2];
    text.char_indices().filter_map(move |(at, c)| {
        let [older, last] = before;
        before = [last, c];
        let full = matches!(last, '。' | '！' | '？');
        let ended =
            last.is_whitespace() && matches!(older, '.' | '!' | '?' | ':' | ';' | '\n' | '…');
        ((full || ended) && !c.is_whitespace() && at > 0).then_some(at)
    })
}

/// Where words begin, but for the first.
fn words(text: &str) -> impl Iterator<Item = usize> {
    let mut before = '\0';
    text.char_indices().filter_map(move |(at, c)| {
        let last = std::mem::replace(&mut before, c);
        (at > 0 && last.is_whitespace() && !c.is_whitespace()).then_some(at)
    })
}

/// The end of a text, from the beginning of a sentence on, that is the longest that `fits`.
pub(super) fn tail<'a>(text: &'a str, fits: &dyn Fn(&str) -> bool) -> Option<&'a str> {
    let starts: Vec<usize> = sentences(text).collect();
    let mut best = None;
    for start in starts.into_iter().rev() {
        if !fits(&text[start..]) {
            break;
        }
        best = Some(&text[start..]);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(sort: &Sort, text: &str, most: usize) -> Vec<String> {
        let grain = Grain::of(sort, text);
        let (mut at, mut out) = (0, Vec::new());
        while at < text.len() {
            let range = at..text.len();
            let mut fits = |range: Range<usize>| range.len() <= most;
            let end = if fits(range.clone()) {
                text.len()
            } else {
                grain.fitting(text, range, &mut fits)
            };
            out.push(text[at..end].to_owned());
            at = end;
        }
        out
    }

    #[test]
    fn text_is_parted_at_sentences_then_words_then_anywhere() {
        let text = "One two. Three four! Five";
        assert_eq!(parts(&Sort::Text, text, 12), ["One two. ", "Three four! ", "Five"]);
        assert_eq!(parts(&Sort::Text, text, 22), ["One two. Three four! ", "Five"]);
        assert_eq!(parts(&Sort::Text, "aaaa bbbb cccc", 10), ["aaaa bbbb ", "cccc"]);
        assert_eq!(parts(&Sort::Text, "éééé", 4), ["éé", "éé"]);
        assert_eq!(parts(&Sort::Text, "éé", 1), ["é", "é"]);
        assert_eq!(parts(&Sort::Text, "一。二。三。", 12), ["一。二。", "三。"]);
    }

    #[test]
    fn tables_are_parted_between_rows() {
        let table = "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |\n| 5 | 6 |";
        let grain = Grain::of(&Sort::Table, table);
        assert_eq!(grain.again, "| a | b |\n| --- | --- |\n");
        let found = parts(&Sort::Table, table, 36);
        assert_eq!(found, ["| a | b |\n| --- | --- |\n| 1 | 2 |\n", "| 3 | 4 |\n| 5 | 6 |"]);
        let html = "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr><tr><td>2</td></tr></tbody></table>";
        let grain = Grain::of(&Sort::Table, html);
        assert_eq!(grain.again, "<table><thead><tr><th>a</th></tr></thead><tbody>");
        assert_eq!(grain.joints, [html.find("<tr><td>2").unwrap()]);
        let bare = "<table><tr><td>1</td></tr><tr><td>2</td></tr></table>";
        assert_eq!(Grain::of(&Sort::Table, bare).again, "<table>");
        assert_eq!(Grain::of(&Sort::Table, "<table>no rows</table>").again, "");
    }

    #[test]
    fn code_is_parted_between_lines_and_fenced_again() {
        let code = "```rust\nfn a() {\n    b\n}\n```";
        let grain = Grain::of(&Sort::Code, code);
        assert_eq!((grain.again.as_str(), grain.closing.as_str()), ("```rust\n", "```"));
        let at = |what| code.find(what).unwrap();
        assert_eq!(grain.joints, [at("    b"), at("}")]);
    }

    #[test]
    fn rows_are_those_of_the_outer_table() {
        let table = "<table><thead><tr><th>a</th></tr></thead><tr ><td><table><tr></tr></table></td></tr></table>";
        let texts: Vec<&str> = rows(table).iter().map(|(a, b)| &table[*a..*b]).collect();
        let wanted = ["<tr><th>a</th></tr></thead>", "<tr ><td><table><tr></tr></table></td></tr>"];
        assert_eq!(texts, wanted);
        assert_eq!(rows("<table>nothing"), []);
    }
}
