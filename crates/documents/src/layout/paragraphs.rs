//! Lines of a column to paragraphs and list items.

use super::bidi::is_mostly_rtl;
use super::markers::{Marker, marker};
use super::model::{Line, Style};
use crate::Rect;

/// Lines that belong together.
#[derive(Debug)]
pub(super) struct Paragraph<'a> {
    pub(super) lines: Vec<&'a Line>,
    /// Whether the line end after each line stays one, as in an address.
    pub(super) hard: Vec<bool>,
    /// The marker of the first line.
    pub(super) marker: Option<Marker>,
    /// Whether the last line ends where the column ends, so that the text may go on elsewhere.
    pub(super) full: bool,
}

/// Where the text of a column stands, along the direction of its writing: from right to left numbers are negative.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// Where lines begin.
    left: f32,
    /// Where they end.
    right: f32,
    /// The usual distance of baselines.
    pitch: f32,
    /// Whether most lines run from right to left.
    backwards: bool,
}

impl Column {
    pub(super) fn of(lines: &[&Line]) -> Self {
        let backwards = lines.iter().filter(|line| runs_backwards(line)).count() * 2 > lines.len();
        let start = |line: &&Line| edge(&line.bbox, backwards, false);
        let end = |line: &&Line| edge(&line.bbox, backwards, true);
        let left = lines.iter().map(start).fold(f32::INFINITY, f32::min);
        let right = lines.iter().map(end).fold(f32::NEG_INFINITY, f32::max);
        let mut pitches: Vec<f32> = lines
            .windows(2)
            .map(|pair| pair[1].baseline - pair[0].baseline)
            .filter(|pitch| *pitch > 0.0)
            .collect();
        pitches.sort_by(f32::total_cmp);
        // The lower third: paragraphs are set apart by more, never by less.
        let size = lines.iter().map(|l| l.size).fold(0.0, f32::max);
        let pitch = pitches.get(pitches.len().saturating_sub(1) / 3).copied().unwrap_or(1.2 * size);
        // One distance alone may be that of two paragraphs.
        let most = if pitches.len() < 2 { 1.6 } else { 1.9 };
        Self { left, right, pitch: pitch.min(most * size), backwards }
    }

    /// Where a line begins; for a turned line its box is as good.
    fn start(&self, line: &Line) -> f32 {
        edge(&line.bbox, self.backwards, false)
    }

    fn end(&self, line: &Line) -> f32 {
        edge(&line.bbox, self.backwards, true)
    }
}

/// Where a box begins or ends for a reader of this direction.
fn edge(bbox: &Rect, backwards: bool, end: bool) -> f32 {
    match (backwards, end) {
        (false, false) => bbox.x0,
        (false, true) => bbox.x1,
        (true, false) => -bbox.x1,
        (true, true) => -bbox.x0,
    }
}

/// Whether most letters of a line are of scripts that run from right to left.
fn runs_backwards(line: &Line) -> bool {
    is_mostly_rtl(line.words.iter().flat_map(|word| word.text.chars()))
}

/// The marker a line begins with, when text or nothing follows it.
pub(super) fn line_marker(line: &Line) -> Option<Marker> {
    let first = line.words.first()?;
    // A dash needs a word after it, and a lone initial is a name.
    let found = marker(&first.text)?;
    match line.words.get(1) {
        Some(second) if second.spaced => Some(found),
        Some(_) => None,
        None => (first.text.chars().count() > 1).then_some(found),
    }
}

fn all(line: &Line, style: Style) -> bool {
    !line.words.is_empty() && line.words.iter().all(|word| word.style.contains(style))
}

/// Cuts a column's lines into paragraphs.
pub(super) fn paragraphs<'a>(lines: &[&'a Line], column: &Column) -> Vec<Paragraph<'a>> {
    let mut out: Vec<Paragraph<'a>> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let marker = line_marker(line);
        let verdict = match out.last() {
            None => Verdict::Break,
            Some(open) => {
                let after = lines.get(index + 1).copied();
                verdict(open, lines[index - 1], line, after, marker.is_some(), column)
            }
        };
        match (verdict, out.last_mut()) {
            (Verdict::Join { hard }, Some(open)) => {
                open.hard.push(hard);
                open.lines.push(line);
            }
            _ => out.push(Paragraph { lines: vec![line], hard: Vec::new(), marker, full: false }),
        }
    }
    for paragraph in &mut out {
        let last = paragraph.lines.last();
        paragraph.full = last.is_some_and(|l| column.end(l) > column.right - 2.5 * l.size)
            && column.right > column.left;
    }
    out
}

fn is_bullet(c: char) -> bool {
    !c.is_alphanumeric() && c != '('
}

enum Verdict {
    Join { hard: bool },
    Break,
}

/// Whether `line` goes on with the paragraph `open`, whose last line is `previous`.
fn verdict(
    open: &Paragraph<'_>,
    previous: &Line,
    line: &Line,
    after: Option<&Line>,
    marked: bool,
    column: &Column,
) -> Verdict {
    let size = previous.size.max(line.size);
    let pitch = line.baseline - previous.baseline;
    // A number that happens to begin a line of running text numbers nothing.
    let stops = |line: &Line| {
        line.words.last().is_some_and(|w| w.text.ends_with(['.', ':', ';', '!', '?']))
    };
    let runs_on = open.marker.is_none()
        && !stops(previous)
        && column.end(previous) > column.right - 4.0 * size
        && (column.start(previous) - column.start(line)).abs() < 0.5 * size
        && open.lines.len() + usize::from(after.is_some()) > 1
        && line.words.first().is_some_and(|w| !w.text.starts_with(is_bullet));
    if (marked && !runs_on) || pitch > column.pitch * 1.22 + 0.4 || pitch <= 0.0 {
        return Verdict::Break;
    }
    if (previous.size - line.size).abs() > 0.1 * size {
        return Verdict::Break;
    }
    // One footnote below the other.
    let raised = |line: &Line| {
        line.words.first().is_some_and(|word| word.style.contains(Style::SUPERSCRIPT))
    };
    if raised(line) && raised(open.lines[0]) {
        return Verdict::Break;
    }
    if all(previous, Style::BOLD) != all(line, Style::BOLD) {
        // A bold phrase may go on for a line and end in the next.
        let run_on = previous.words.last().map(|w| w.style) == line.words.first().map(|w| w.style);
        if !run_on {
            return Verdict::Break;
        }
    }
    let mono = all(previous, Style::MONO) && all(line, Style::MONO);
    if mono {
        return Verdict::Join { hard: true };
    }
    let em = line.size;
    if open.marker.is_some() {
        // The text of an item hangs beside its marker, or goes back to the margin of the marker.
        let text = open.lines[0]
            .words
            .get(1)
            .map_or(column.start(open.lines[0]), |w| edge(&w.bbox, column.backwards, false));
        let hangs = (column.start(line) - text).abs() < 1.2 * em;
        let flush = column.start(line) >= column.start(open.lines[0]) - 0.5 * em
            && column.start(line) < text;
        // Only the first line is indented, marker and all.
        let outdented = open.lines.len() == 1
            && column.start(line) < column.start(open.lines[0])
            && column.start(line) > column.start(open.lines[0]) - 4.0 * em
            && column.end(previous) > column.right - 2.0 * em;
        let goes_on = open.lines.len() > 1
            && column.start(open.lines[1]) < column.start(open.lines[0])
            && (column.start(line) - column.start(open.lines[1])).abs() < 0.5 * em;
        if !hangs && !flush && !outdented && !goes_on {
            return Verdict::Break;
        }
        if hangs {
            return short_line(previous, line, column, open);
        }
    } else {
        let indent = column.start(line) - column.start(previous);
        let first_of_many = open.lines.len() > 1 || after.is_some();
        if indent > 0.8 * em && first_of_many {
            // Indented against the line above: a new paragraph, unless both are centred or the
            // text hangs.
            let centred = is_centred(previous, column) && is_centred(line, column);
            let hanging = open.lines.len() == 1
                && after
                    .is_some_and(|next| (column.start(next) - column.start(line)).abs() < 0.5 * em)
                && column.end(previous) > column.right - 3.0 * em;
            if !centred && !hanging {
                return Verdict::Break;
            }
        }
    }
    short_line(previous, line, column, open)
}

/// A line that leaves room for the next line's first word was ended on purpose.
fn short_line(previous: &Line, line: &Line, column: &Column, open: &Paragraph<'_>) -> Verdict {
    let em = line.size;
    let first = line.words.first().map_or(0.0, |word| word.bbox.width());
    let room = column.right - column.end(previous);
    let centred = is_centred(previous, column) && is_centred(line, column);
    let room = if centred { room * 2.0 } else { room };
    if room <= first + 1.3 * em {
        return Verdict::Join { hard: false };
    }
    let last = previous.words.last().and_then(|w| w.text.chars().last()).unwrap_or(' ');
    let small =
        line.words.first().and_then(|w| w.text.chars().next()).is_some_and(char::is_lowercase);
    // Small letters go on with a sentence whatever the shape of the lines.
    if small && !matches!(last, '.' | '!' | '?' | ':' | ';') {
        return Verdict::Join { hard: false };
    }
    if matches!(last, '.' | '!' | '?' | ':' | ';') && !is_short(previous, column) {
        return Verdict::Break;
    }
    // Lines all ended on purpose, close together: an address, a signature, a poem.
    let whole = open.lines.len() == 1 || open.hard.iter().all(|&hard| hard);
    if whole && is_short(previous, column) && !matches!(last, '.' | '!' | '?') {
        Verdict::Join { hard: true }
    } else {
        Verdict::Break
    }
}

fn is_short(line: &Line, column: &Column) -> bool {
    line.bbox.width() < 0.7 * (column.right - column.left)
}

fn is_centred(line: &Line, column: &Column) -> bool {
    let (left, right) = (column.start(line) - column.left, column.right - column.end(line));
    left > line.size && (left - right).abs() < 1.5 * line.size
}
