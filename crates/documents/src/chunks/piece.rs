//! A document as a row of pieces: what stands together and is parted only if it must be.

use pulldown_cmark::{Event, HeadingLevel, Parser, Tag, TagEnd};

use super::split::Grain;
use crate::furniture::{Framed, framed};
use crate::html::dialect;
use crate::layout::Line;
use crate::markdown::{Segment, segments, written};
use crate::page::plain;
use crate::{Block, BlockKind, Document, Origin, Page, Rect};

/// What a piece is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// A heading of this level, and its words.
    Heading(u8, String),
    Text,
    List,
    Table,
    Code,
    Figure,
}

impl Sort {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Heading(..) => "heading",
            Self::Text => "text",
            Self::List => "list",
            Self::Table => "table",
            Self::Code => "code",
            Self::Figure => "figure",
        }
    }
}

/// A piece of a document, as Markdown.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) page: u32,
    pub(super) sort: Sort,
    /// Its Markdown, which is not empty.
    pub(super) text: String,
    /// Whether it goes on where the piece before ended, as items of a list do.
    pub(super) close: bool,
    /// Where it stands, where that is known.
    pub(super) bbox: Option<Rect>,
    /// Where parts of it stand, and how many characters each has.
    pub(super) lines: Vec<(Rect, usize)>,
    /// How it is parted if it must be.
    pub(super) grain: Grain,
}

/// The pieces of a document in reading order.
pub(super) fn pieces(document: &Document, furniture: bool) -> Vec<Piece> {
    let mut out = Vec::new();
    for page in &document.pages {
        match &page.origin {
            Origin::TextLayer | Origin::HiddenText => {
                let kept = |block: &&Block| furniture || !block.kind.is_furniture();
                of_blocks(page, page.blocks.iter().filter(kept), &mut out);
            }
            Origin::Transcript(reading) => {
                let text = reading.text.as_deref().unwrap_or_default();
                let Framed { above, text, below } = framed(page, text, furniture);
                of_blocks(page, above.into_iter(), &mut out);
                for segment in segments(text) {
                    match segment {
                        Segment::Table(table) => add(page, Sort::Table, table, &mut out),
                        Segment::Markdown(text) => transcript(page, text, &mut out),
                    }
                }
                of_blocks(page, below.into_iter(), &mut out);
            }
            Origin::NoText { .. } | Origin::Blank | Origin::Failed(_) => {}
        }
    }
    out
}

/// Blocks of a page's own text.
fn of_blocks<'a>(page: &Page, blocks: impl Iterator<Item = &'a Block>, out: &mut Vec<Piece>) {
    for (block, text, close) in written(blocks) {
        let sort = match &block.kind {
            BlockKind::Heading { level } => Sort::Heading(*level, plain(&block.inlines)),
            BlockKind::ListItem { .. } => Sort::List,
            BlockKind::Table(_) => Sort::Table,
            BlockKind::Code => Sort::Code,
            BlockKind::Figure { .. } => Sort::Figure,
            BlockKind::Paragraph
            | BlockKind::Footnote
            | BlockKind::Header
            | BlockKind::Footer
            | BlockKind::PageNumber => Sort::Text,
        };
        let grain = Grain::of(&sort, &text);
        let (bbox, lines) = (Some(block.bbox), lines(block));
        out.push(Piece { page: page.number, sort, text, close, bbox, lines, grain });
    }
}

/// Where the lines of a block stand, or the rows of a table.
fn lines(block: &Block) -> Vec<(Rect, usize)> {
    let weight = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
    if let BlockKind::Table(table) = &block.kind {
        let row = |row: &Vec<crate::Cell>| {
            let cells = row.iter().filter(|cell| !cell.inlines.is_empty());
            let bbox = Rect::enclosing(cells.clone().map(|cell| &cell.bbox))?;
            let frame = row.len() + 1;
            Some((bbox, cells.map(|cell| weight(&plain(&cell.inlines))).sum::<usize>() + frame))
        };
        return table.rows.iter().filter_map(row).collect();
    }
    let line = |line: &Line| {
        let letters: usize = line.words.iter().map(|word| weight(&word.text)).sum();
        (line.bbox, letters)
    };
    block.lines.iter().map(line).collect()
}

/// Markdown that a model wrote, parted into its outermost blocks. What lies between them belongs to the one before.
fn transcript(page: &Page, text: &str, out: &mut Vec<Piece>) {
    let mut found: Vec<(usize, Sort)> = Vec::new();
    let mut depth = 0;
    let mut heading: Option<(u8, String)> = None;
    for (event, range) in Parser::new_ext(text, dialect()).into_offset_iter() {
        match event {
            Event::Start(tag) => {
                if depth == 0 {
                    if let Tag::Heading { level, .. } = &tag {
                        heading = Some((number(*level), String::new()));
                    }
                    let sort = if matches!(tag, Tag::List(_)) {
                        Sort::List
                    } else if matches!(tag, Tag::Table(_)) {
                        Sort::Table
                    } else if matches!(tag, Tag::CodeBlock(_)) {
                        Sort::Code
                    } else {
                        Sort::Text
                    };
                    found.push((range.start, sort));
                }
                depth += 1;
            }
            Event::End(tag) => {
                depth -= 1;
                if let (TagEnd::Heading(_), 0) = (tag, depth)
                    && let (Some((level, words)), Some((_, sort))) =
                        (heading.take(), found.last_mut())
                {
                    *sort = Sort::Heading(level, words.trim().to_owned());
                }
            }
            Event::Text(said) | Event::Code(said) | Event::InlineMath(said) => {
                if let Some((_, words)) = &mut heading {
                    words.push_str(&said);
                }
            }
            Event::SoftBreak | Event::HardBreak => {
                if let Some((_, words)) = &mut heading {
                    words.push(' ');
                }
            }
            Event::Rule if depth == 0 => found.push((range.start, Sort::Text)),
            Event::Rule
            | Event::DisplayMath(_)
            | Event::Html(_)
            | Event::InlineHtml(_)
            | Event::FootnoteReference(_)
            | Event::TaskListMarker(_) => {}
        }
    }
    // Nothing that a parser has no name for is lost.
    match found.first_mut() {
        Some((start, _)) => *start = 0,
        None => found.push((0, Sort::Text)),
    }
    let ends: Vec<usize> =
        found.iter().skip(1).map(|(start, _)| *start).chain([text.len()]).collect();
    for ((start, sort), end) in found.into_iter().zip(ends) {
        add(page, sort, &text[start..end], out);
    }
}

/// Adds a piece of what a model wrote. Its place is known if it is a figure.
fn add(page: &Page, sort: Sort, text: &str, out: &mut Vec<Piece>) {
    // The spaces that a line of code or of a list begins with mean something.
    let text = text.trim_end().trim_start_matches(['\n', '\r']);
    if text.trim().is_empty() {
        return;
    }
    let figure = page.blocks.iter().find(|block| {
        let BlockKind::Figure { file, .. } = &block.kind else { return false };
        sort == Sort::Text && text.starts_with("![") && text.ends_with(&format!("]({file})"))
    });
    let sort = if figure.is_some() { Sort::Figure } else { sort };
    let grain = Grain::of(&sort, text);
    let bbox = figure.map(|block| block.bbox);
    let text = text.to_owned();
    out.push(Piece { page: page.number, sort, text, close: false, bbox, lines: Vec::new(), grain });
}

fn number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}
