//! What a document is once it has been read: pages of blocks.

use std::collections::BTreeMap;

use crate::layout::{Line, Style, Warning};
use crate::pipeline::{Agreement, Need, PageReading};
use crate::{PageFailure, Rect};

/// A file that has been read.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The name of the file.
    pub name: String,
    /// The title that the file's metadata give, if any.
    pub title: Option<String>,
    /// Whether the file is encrypted (and a password opened it).
    pub encrypted: bool,
    /// How many pages the file has, read or not.
    pub page_count: u32,
    /// The pages that were asked for, in order.
    pub pages: Vec<Page>,
}

/// A page that has been read, or the reason why it has not.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Its number in the file, from 1.
    pub number: u32,
    /// Width as shown, in points; 0 when the page could not be parsed.
    pub width: f32,
    /// Height as shown, in points.
    pub height: f32,
    /// The page's own rotation in degrees clockwise: 0, 90, 180 or 270. Boxes are already turned.
    pub rotation: u16,
    /// Where the text came from.
    pub origin: Origin,
    /// Why a model was to look at it, whether or not one did.
    pub need: Option<Need>,
    /// How far the text of the page itself and what a model read are alike, where there are both.
    pub agreement: Option<Agreement>,
    /// The content in reading order, page furniture included.
    pub blocks: Vec<Block>,
    /// Where images stand.
    pub images: Vec<Rect>,
    /// What the interpreter complained about, with counts.
    pub warnings: BTreeMap<Warning, u32>,
}

/// Where the text of a page came from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Origin {
    /// The page's own visible text.
    TextLayer,
    /// Text that is present but not painted, as OCR programs put it under a scan.
    HiddenText,
    /// Somebody who looked at the page, or what was taken because nobody could read it.
    Transcript(Box<PageReading>),
    /// No text, but images: a scan that needs a vision model.
    NoText {
        /// How many images there are.
        images: usize,
        /// The part of the page that they cover, 0 to 1.
        cover: f32,
    },
    /// Neither text nor images.
    Blank,
    /// The page could not be read.
    Failed(PageFailure),
}

/// A piece of a page that belongs together.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// What it is.
    pub kind: BlockKind,
    /// Around its lines.
    pub bbox: Rect,
    /// The text: lines joined, hyphenation undone. Empty for a table.
    pub inlines: Vec<Inline>,
    /// The lines as they stand on the page. Empty for a table.
    pub lines: Vec<Line>,
}

/// What a block is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum BlockKind {
    /// A heading; 1 is the highest level, 6 the lowest.
    Heading {
        /// 1 to 6.
        level: u8,
    },
    /// Running text.
    Paragraph,
    /// An item of a list.
    ListItem {
        /// The marker as printed: `•`, `1.`, `(a)`, `2.1`.
        marker: String,
        /// Nesting, from 0.
        depth: u8,
    },
    /// A table.
    Table(Table),
    /// Text in a typewriter face whose line breaks matter.
    Code,
    /// A picture that stands on the page and was cut out of it.
    Figure {
        /// The file, as whoever shows the page finds it.
        file: String,
        /// What it shows, as far as anybody said so.
        alt: String,
    },
    /// A note at the foot of the page.
    Footnote,
    /// Repeated at the top of pages.
    Header,
    /// Repeated at the bottom of pages.
    Footer,
    /// The page's printed number.
    PageNumber,
}

impl BlockKind {
    /// Its name in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Heading { .. } => "heading",
            Self::Paragraph => "paragraph",
            Self::ListItem { .. } => "list_item",
            Self::Table(_) => "table",
            Self::Code => "code",
            Self::Figure { .. } => "figure",
            Self::Footnote => "footnote",
            Self::Header => "header",
            Self::Footer => "footer",
            Self::PageNumber => "page_number",
        }
    }

    /// Whether it repeats from page to page and is no part of the text.
    pub fn is_furniture(&self) -> bool {
        matches!(self, Self::Header | Self::Footer | Self::PageNumber)
    }
}

/// Rows of cells; every row has as many cells as the widest, empty ones included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The rows, top to bottom. The first is the head when `has_head`.
    pub rows: Vec<Vec<Cell>>,
    /// Whether the first row names the columns.
    pub has_head: bool,
}

/// A cell of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Its text.
    pub inlines: Vec<Inline>,
    /// Around its text; empty at the origin for a cell without text.
    pub bbox: Rect,
}

/// Text of one style.
#[derive(Clone, Debug, PartialEq)]
pub struct Inline {
    /// The text, in logical order.
    pub text: String,
    /// How it is set.
    pub style: Style,
    /// Where it links to.
    pub link: Option<String>,
}

impl Block {
    /// The text without styles; a table's cells are separated by tabs and newlines.
    pub fn text(&self) -> String {
        match &self.kind {
            BlockKind::Table(table) => {
                let row = |row: &Vec<Cell>| {
                    row.iter().map(|c| plain(&c.inlines)).collect::<Vec<_>>().join("\t")
                };
                table.rows.iter().map(row).collect::<Vec<_>>().join("\n")
            }
            BlockKind::Figure { alt, .. } => alt.clone(),
            BlockKind::Heading { .. }
            | BlockKind::Paragraph
            | BlockKind::ListItem { .. }
            | BlockKind::Code
            | BlockKind::Footnote
            | BlockKind::Header
            | BlockKind::Footer
            | BlockKind::PageNumber => plain(&self.inlines),
        }
    }

    /// Whether any of the text is hidden, as under a scan.
    pub fn is_hidden(&self) -> bool {
        let hidden = |inlines: &[Inline]| inlines.iter().any(|i| i.style.contains(Style::HIDDEN));
        if let BlockKind::Table(table) = &self.kind {
            table.rows.iter().flatten().any(|c| hidden(&c.inlines))
        } else {
            hidden(&self.inlines)
        }
    }
}

/// The text of inlines, without their styles.
pub(crate) fn plain(inlines: &[Inline]) -> String {
    inlines.iter().map(|i| i.text.as_str()).collect()
}
