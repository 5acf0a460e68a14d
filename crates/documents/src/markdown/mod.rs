//! A document as Markdown: CommonMark with the tables of GitHub.

mod escape;
mod inlines;
mod maths;
mod segments;

use crate::furniture::{Framed, framed};
use crate::{Block, BlockKind, Document, Origin, Page, Table};
use inlines::{cell, text};

pub(crate) use escape::target;
pub(crate) use inlines::{Run, runs};
pub(crate) use maths::dollars;
pub(crate) use segments::{Segment, segments};

/// What to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarkdownOptions {
    /// A comment `<!-- page N -->` before each page.
    pub page_markers: bool,
    /// Keep running headers, footers and page numbers.
    pub furniture: bool,
}

/// The document as Markdown, ending in one newline. A page that could not be read leaves a comment
/// that says why, so that nothing is missing silently.
pub fn write(document: &Document, options: MarkdownOptions) -> String {
    let mut parts = Vec::new();
    for each in &document.pages {
        if options.page_markers {
            parts.push(format!("<!-- page {} -->", each.number));
        }
        page(each, options, &mut parts);
    }
    let mut out = parts.join("\n\n");
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

/// One page as Markdown.
pub fn write_page(each: &Page, options: MarkdownOptions) -> String {
    let mut parts = Vec::new();
    page(each, options, &mut parts);
    parts.join("\n\n")
}

/// The text that a page holds itself, whoever read it.
pub(crate) fn write_own(page: &Page, options: MarkdownOptions) -> String {
    let mut parts = Vec::new();
    own(page, options, &mut parts);
    parts.join("\n\n")
}

fn page(page: &Page, options: MarkdownOptions, parts: &mut Vec<String>) {
    match &page.origin {
        Origin::Transcript(reading) => {
            // A page that is empty leaves nothing, as a blank one does.
            let Some(text) = reading.text.as_deref() else { return };
            let Framed { above, text, below } = framed(page, text, options.furniture);
            write_blocks(above.into_iter(), parts);
            parts.push(text.trim_start_matches('\n').trim_end().to_owned());
            write_blocks(below.into_iter(), parts);
        }
        Origin::Failed(failure) => {
            parts.push(comment(&format!("page {} could not be read: {failure}", page.number)));
        }
        Origin::NoText { images, cover } => {
            parts.push(comment(&no_text(page.number, *images, *cover)));
        }
        Origin::TextLayer | Origin::HiddenText | Origin::Blank => own(page, options, parts),
    }
}

fn own(page: &Page, options: MarkdownOptions, parts: &mut Vec<String>) {
    let blocks = page.blocks.iter().filter(|b| options.furniture || !b.kind.is_furniture());
    write_blocks(blocks, parts);
}

/// What is said of a page without text.
pub(crate) fn no_text(number: u32, images: usize, cover: f32) -> String {
    let noun = if images == 1 { "image covers" } else { "images cover" };
    let percent = (cover * 100.0).round();
    format!(
        "page {number} has no text layer: {images} {noun} {percent} % of it; reading it needs a vision model"
    )
}

/// A comment whose text cannot end it.
fn comment(text: &str) -> String {
    format!("<!-- {} -->", text.replace("--", "- -").replace(['\n', '\r'], " "))
}

fn write_blocks<'a>(blocks: impl Iterator<Item = &'a Block>, parts: &mut Vec<String>) {
    for (_, text, close) in written(blocks) {
        // Items of one list stand close together.
        match parts.last_mut() {
            Some(last) if close => {
                last.push('\n');
                last.push_str(&text);
            }
            _ => parts.push(text),
        }
    }
}

/// Blocks that have something to say, each as Markdown, and whether it goes on where the one before ended.
pub(crate) fn written<'a>(
    blocks: impl Iterator<Item = &'a Block>,
) -> Vec<(&'a Block, String, bool)> {
    // The columns at which the text of the open list items begins, by depth.
    let mut items: Vec<usize> = Vec::new();
    let mut in_list = false;
    let mut out = Vec::new();
    for block in blocks {
        let (written, is_item) = match &block.kind {
            BlockKind::ListItem { marker, depth } => {
                (item(marker, usize::from(*depth), block, &mut items), true)
            }
            BlockKind::Heading { level } => {
                let hashes = "#".repeat(usize::from((*level).clamp(1, 6)));
                let line = text(&block.inlines, true).replace('\n', " ");
                (format!("{hashes} {}", line.trim_end_matches('#').trim()), false)
            }
            BlockKind::Code => (code(block), false),
            BlockKind::Table(each) => (table(each), false),
            BlockKind::Figure { file, alt } => (figure(file, alt), false),
            BlockKind::Paragraph
            | BlockKind::Footnote
            | BlockKind::Header
            | BlockKind::Footer
            | BlockKind::PageNumber => (paragraph(&text(&block.inlines, false)), false),
        };
        if !is_item {
            items.clear();
        }
        if written.trim().is_empty() {
            continue;
        }
        let listed = is_item && is_syntax(block);
        out.push((block, written, listed && in_list));
        in_list = listed;
    }
    out
}

/// Whether Markdown itself has the marker of an item.
fn is_syntax(block: &Block) -> bool {
    matches!(&block.kind, BlockKind::ListItem { marker, .. } if syntax(marker).is_some())
}

/// The marker in Markdown; `None` for `(a)` and `1.1`, which are written as they stand.
fn syntax(marker: &str) -> Option<String> {
    let mut chars = marker.chars();
    if let (Some(first), None) = (chars.next(), chars.next())
        && !first.is_alphanumeric()
    {
        return Some("-".to_owned());
    }
    let digits = marker.strip_suffix(['.', ')'])?;
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    number.then(|| marker.to_owned())
}

/// A list item, indented under the item that it stands in.
fn item(marker: &str, depth: usize, block: &Block, items: &mut Vec<usize>) -> String {
    let content = paragraph(&text(&block.inlines, false));
    let Some(marker) = syntax(marker) else {
        // Not Markdown's: a paragraph, that ends the lists above.
        items.clear();
        let mut whole = String::new();
        escape::inline(marker, &mut whole);
        return format!("{} {}", whole, text(&block.inlines, false))
            .trim_end()
            .replace('\n', "\\\n");
    };
    items.truncate(depth);
    let indent = items.last().copied().unwrap_or(0);
    items.push(indent + marker.len() + 1);
    let pad = " ".repeat(indent);
    let hang = " ".repeat(indent + marker.len() + 1);
    format!("{pad}{marker} {}", content.replace('\n', &format!("\n{hang}")))
}

/// Text whose lines cannot be taken for markup; kept line ends become hard breaks.
fn paragraph(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| escape::line_start(line.trim_end())).collect();
    lines.join("\\\n")
}

/// A picture, which needs no words of its own in a document but is told by some to those who cannot see it.
fn figure(file: &str, alt: &str) -> String {
    let mut out = "![".to_owned();
    escape::inline(alt, &mut out);
    format!("{}]({})", out.replace('\n', " "), target(file))
}

/// Lines as they stand, fenced by more backticks than they hold.
fn code(block: &Block) -> String {
    let body = code_lines(block);
    let (mut run, mut longest) = (0, 0);
    for c in body.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}\n{body}{fence}")
}

/// Lines of code with the spaces that they stand apart by; each ends in a newline.
pub(crate) fn code_lines(block: &Block) -> String {
    let left = block.lines.iter().map(|l| l.bbox.x0).fold(f32::INFINITY, f32::min);
    let mut body = String::new();
    let mut above: Option<f32> = None;
    for line in &block.lines {
        if above.is_some_and(|above| line.baseline - above > 1.7 * line.size) {
            body.push('\n');
        }
        above = Some(line.baseline);
        // A typewriter's characters are six tenths of an em wide.
        let indent = ((line.bbox.x0 - left) / (0.6 * line.size.max(1.0))).round();
        body.push_str(&" ".repeat((indent as usize).min(200)));
        let mut right = line.bbox.x0;
        for (at, word) in line.words.iter().enumerate() {
            if at > 0 && word.spaced {
                let gap = ((word.bbox.x0 - right) / (0.6 * line.size.max(1.0))).round();
                body.push_str(&" ".repeat((gap as usize).clamp(1, 200)));
            }
            body.push_str(&word.text);
            right = word.bbox.x1;
        }
        body.push('\n');
    }
    body
}

fn table(table: &Table) -> String {
    let width = table.rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = String::new();
    let row = |cells: &[String], out: &mut String| {
        out.push('|');
        for index in 0..width {
            let cell = cells.get(index).map_or("", String::as_str);
            if cell.is_empty() {
                out.push_str("  |");
            } else {
                out.push(' ');
                out.push_str(cell);
                out.push_str(" |");
            }
        }
    };
    let rows: Vec<Vec<String>> =
        table.rows.iter().map(|r| r.iter().map(|c| cell(&c.inlines)).collect()).collect();
    // Markdown has no table without a head; one that has none gets an empty one.
    let (head, body) = match rows.split_first() {
        Some((head, body)) if table.has_head => (head.clone(), body),
        _ => (Vec::new(), rows.as_slice()),
    };
    row(&head, &mut out);
    out.push_str("\n|");
    out.push_str(&" --- |".repeat(width));
    for cells in body {
        out.push('\n');
        row(cells, &mut out);
    }
    out
}
