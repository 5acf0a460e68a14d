//! Styled text as Markdown.

use super::escape;
use crate::Inline;
use crate::layout::Style;

/// Text of a block. Inside a heading nothing is marked bold, since all of it is.
pub(super) fn text(inlines: &[Inline], heading: bool) -> String {
    let mut out = String::new();
    for run in runs(inlines, heading) {
        write(&run, &mut out);
    }
    out
}

/// Text of a table cell: one line.
pub(super) fn cell(inlines: &[Inline]) -> String {
    let all_bold = inlines.iter().all(|i| i.style.contains(Style::BOLD));
    text(inlines, all_bold).replace('\n', "<br>").trim().to_owned()
}

/// A run of text with one way of marking.
pub(crate) struct Run {
    pub(crate) text: String,
    pub(crate) bold: bool,
    pub(crate) italic: bool,
    pub(crate) mono: bool,
    pub(crate) raised: bool,
    pub(crate) link: Option<String>,
}

impl Run {
    fn alike(&self, other: &Self) -> bool {
        self.bold == other.bold
            && self.italic == other.italic
            && self.mono == other.mono
            && self.raised == other.raised
            && self.link == other.link
    }
}

/// Joins neighbours that are marked alike; space between two runs of one style joins them.
pub(crate) fn runs(inlines: &[Inline], heading: bool) -> Vec<Run> {
    let mut out: Vec<Run> = Vec::new();
    // A paragraph that is italic throughout says nothing by it; nor does a typewritten one.
    let worded = |i: &&Inline| !i.text.trim().is_empty();
    let whole = |style: Style| inlines.iter().filter(worded).all(|i| i.style.contains(style));
    let (all_mono, all_italic) = (whole(Style::MONO), whole(Style::ITALIC));
    for (index, inline) in inlines.iter().enumerate() {
        let mut run = Run {
            text: inline.text.clone(),
            bold: inline.style.contains(Style::BOLD) && !heading,
            italic: inline.style.contains(Style::ITALIC) && !(heading && all_italic),
            mono: inline.style.contains(Style::MONO) && !all_mono,
            raised: inline.style.contains(Style::SUPERSCRIPT),
            link: inline.link.clone(),
        };
        if inline.text.trim().is_empty() {
            // Space takes the style around it.
            let next = inlines.get(index + 1);
            let (Some(before), Some(next)) = (out.last(), next) else {
                push(&mut out, run);
                continue;
            };
            let same = next.link == before.link
                && (heading || next.style.contains(Style::BOLD) == before.bold)
                && (all_mono || next.style.contains(Style::MONO) == before.mono)
                && next.style.contains(Style::ITALIC) == before.italic
                && !before.raised;
            run = if same {
                Run { text: run.text, link: before.link.clone(), ..*before }
            } else {
                Run {
                    text: run.text,
                    bold: false,
                    italic: false,
                    mono: false,
                    raised: false,
                    link: None,
                }
            };
        }
        push(&mut out, run);
    }
    out
}

fn push(out: &mut Vec<Run>, run: Run) {
    match out.last_mut() {
        Some(last) if last.alike(&run) => last.text.push_str(&run.text),
        _ => out.push(run),
    }
}

fn write(run: &Run, out: &mut String) {
    // Marks must touch the text they mark.
    let body = run.text.trim();
    if body.is_empty() {
        out.push_str(&run.text);
        return;
    }
    let lead = &run.text[..run.text.len() - run.text.trim_start().len()];
    let tail = &run.text[run.text.trim_end().len()..];
    out.push_str(lead);
    let mut open = String::new();
    let mut close = String::new();
    let wordy = body.chars().any(char::is_alphanumeric);
    if run.raised {
        open.push_str("<sup>");
        close.insert_str(0, "</sup>");
    }
    // Emphasis that begins or ends within a word cannot be written with marks everywhere.
    let touching = out.chars().last().is_some_and(char::is_alphanumeric);
    if wordy && !touching && !run.raised {
        if run.bold {
            open.push_str("**");
            close.insert_str(0, "**");
        }
        if run.italic {
            open.push('*');
            close.insert(0, '*');
        }
    }
    if run.link.is_some() {
        out.push('[');
    }
    out.push_str(&open);
    if run.mono && wordy && !body.contains(['`', '\n']) {
        out.push('`');
        out.push_str(body);
        out.push('`');
    } else {
        escape::inline(body, out);
    }
    out.push_str(&close);
    if let Some(link) = &run.link {
        out.push_str("](");
        out.push_str(&escape::target(link));
        out.push(')');
    }
    out.push_str(tail);
}
