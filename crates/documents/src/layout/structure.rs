//! All pages of a document, made into blocks.

use std::collections::BTreeMap;

use super::furniture::{Furniture, Place, furniture, text};
use super::join::{Vocabulary, join};
use super::markers::MarkerKind;
use super::model::{Flow, Line, PageLayout, Region, Style, TableRegion};
use super::paragraphs::{Column, Paragraph, paragraphs};
use crate::page::{Block, BlockKind, Cell, Inline, Table, plain};
use crate::{PageFailure, Rect};

/// A heading is at least this much larger than the body.
const LARGER: f32 = 1.12;
/// A heading has at most this many characters and lines.
const HEADING_CHARS: usize = 220;
const HEADING_LINES: usize = 4;

/// The blocks of every page; a failed page has none.
pub fn structure(pages: &[Result<PageLayout, PageFailure>]) -> Vec<Vec<Block>> {
    let document = Measured::of(pages);
    let of = |(p, page): (usize, &Result<PageLayout, PageFailure>)| {
        page.as_ref().map(|page| document.blocks(p, page)).unwrap_or_default()
    };
    let mut out: Vec<Vec<Block>> = pages.iter().enumerate().map(of).collect();
    level(&mut out.iter_mut().collect::<Vec<_>>());
    out
}

/// What the document as a whole says about its parts.
pub(crate) struct Measured {
    body: f32,
    /// Pages that are mostly bold, where bold says nothing.
    bold: Vec<bool>,
    furniture: BTreeMap<Place, Furniture>,
    vocabulary: Vocabulary,
}

impl Measured {
    /// Of all pages.
    pub(crate) fn of(pages: &[Result<PageLayout, PageFailure>]) -> Self {
        let parsed: Vec<Option<&PageLayout>> = pages.iter().map(|p| p.as_ref().ok()).collect();
        Self {
            body: body_size(&parsed),
            bold: parsed.iter().map(|page| page.is_some_and(is_mostly_bold)).collect(),
            furniture: furniture(&parsed),
            vocabulary: Vocabulary::of(parsed.iter().copied().flatten()),
        }
    }

    /// The blocks of the page with this index among them. Its headings have no levels until [`level`] has seen all pages.
    pub(crate) fn blocks(&self, p: usize, page: &PageLayout) -> Vec<Block> {
        blocks(p, page, self)
    }
}

/// The font size of most characters, in half points.
fn body_size(pages: &[Option<&PageLayout>]) -> f32 {
    let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
    let mut add = |line: &Line| {
        for word in &line.words {
            *counts.entry((word.size * 2.0).round() as i32).or_default() +=
                word.text.chars().count();
        }
    };
    for page in pages.iter().flatten() {
        for region in &page.regions {
            match region {
                Region::Flow(flow) => flow.lines.iter().for_each(&mut add),
                Region::Table(table) => {
                    table.rows.iter().flatten().flat_map(|c| &c.lines).for_each(&mut add);
                }
            }
        }
    }
    let most = counts.into_iter().max_by_key(|&(size, count)| (count, -size));
    most.map_or(10.0, |(size, _)| size as f32 / 2.0)
}

/// Whether more than a third of a page's text is bold, as on slides and charts.
fn is_mostly_bold(page: &PageLayout) -> bool {
    let (mut bold, mut all) = (0, 0);
    for region in &page.regions {
        if let Region::Flow(flow) = region {
            for word in flow.lines.iter().flat_map(|line| &line.words) {
                let count = word.text.chars().count();
                all += count;
                bold += if word.style.contains(Style::BOLD) { count } else { 0 };
            }
        }
    }
    // A title page has little but titles.
    all > 300 && bold * 3 > all
}

/// The blocks of one page, headings not yet levelled.
fn blocks(p: usize, page: &PageLayout, document: &Measured) -> Vec<Block> {
    let mut out: Vec<Block> = Vec::new();
    // The paragraph that the column before left open, by its place in `out`.
    let mut open: Option<usize> = None;
    for (r, region) in page.regions.iter().enumerate() {
        match region {
            Region::Table(region) => {
                out.push(table(region, &document.vocabulary));
                open = None;
            }
            Region::Flow(flow) => {
                open = flow_blocks((p, r), flow, page, document, &mut out, open);
            }
        }
    }
    let mut out = join_code(out);
    depths(&mut out);
    out
}

/// Joins pieces of a listing that empty lines part.
fn join_code(blocks: Vec<Block>) -> Vec<Block> {
    let is_mono = |block: &Block| {
        let mut inlines = block.inlines.iter().filter(|i| !i.text.trim().is_empty()).peekable();
        matches!(block.kind, BlockKind::Code | BlockKind::Paragraph)
            && inlines.peek().is_some()
            && inlines.all(|i| i.style.contains(Style::MONO))
    };
    let mut out: Vec<Block> = Vec::with_capacity(blocks.len());
    for block in blocks {
        let joins = out.last().is_some_and(|last| {
            let gap = block.bbox.y0 - last.bbox.y1;
            let size = block.lines.first().map_or(0.0, |line| line.size);
            is_mono(last) && is_mono(&block) && gap > -0.5 * size && gap < 2.2 * size
        });
        match out.last_mut() {
            Some(last) if joins => {
                last.kind = BlockKind::Code;
                last.bbox = last.bbox.union(&block.bbox);
                if let Some(inline) = last.inlines.last_mut() {
                    inline.text.push('\n');
                }
                last.inlines.extend(block.inlines);
                last.lines.extend(block.lines);
            }
            _ => out.push(block),
        }
    }
    out
}

/// Appends the blocks of a flow; returns the paragraph that it leaves open.
fn flow_blocks(
    (p, r): (usize, usize),
    flow: &Flow,
    page: &PageLayout,
    document: &Measured,
    out: &mut Vec<Block>,
    mut open: Option<usize>,
) -> Option<usize> {
    let mut text_lines: Vec<&Line> = Vec::new();
    for (l, line) in flow.lines.iter().enumerate() {
        match document.furniture.get(&(p, r, l)) {
            None => text_lines.push(line),
            Some(kind) => {
                let kind = match kind {
                    Furniture::Header => BlockKind::Header,
                    Furniture::Footer => BlockKind::Footer,
                    Furniture::PageNumber => BlockKind::PageNumber,
                };
                let inlines = join(&[line], &[], &document.vocabulary);
                out.push(Block { kind, bbox: line.bbox, inlines, lines: vec![line.clone()] });
            }
        }
    }
    if text_lines.is_empty() {
        return open;
    }
    let column = Column::of(&text_lines);
    for (index, paragraph) in paragraphs(&text_lines, &column).into_iter().enumerate() {
        let mut block = block(&paragraph, page, document, document.bold[p]);
        // A sentence that the column before broke off goes on here.
        let goes_on = index == 0
            && block.kind == BlockKind::Paragraph
            && plain(&block.inlines).starts_with(char::is_lowercase);
        if let Some(before) = open.take()
            && goes_on
            && in_next_column(&out[before], &block)
            && (out[before].lines[0].size - block.lines[0].size).abs() < 0.5
        {
            let mut lines = std::mem::take(&mut out[before].lines);
            lines.append(&mut block.lines);
            let refs: Vec<&Line> = lines.iter().collect();
            out[before].inlines = join_item(&out[before].kind, &refs, &document.vocabulary);
            out[before].bbox = out[before].bbox.union(&block.bbox);
            out[before].lines = lines;
            open = paragraph.full.then_some(before);
            continue;
        }
        let may_go_on = matches!(block.kind, BlockKind::Paragraph | BlockKind::ListItem { .. })
            && paragraph.full
            && !plain(&block.inlines).ends_with(['.', ':', ';', '!', '?']);
        out.push(block);
        open = may_go_on.then(|| out.len() - 1);
    }
    open
}

/// Whether a block stands where a text that reached the end of its column goes on: beside it or
/// higher up, not below it.
fn in_next_column(before: &Block, after: &Block) -> bool {
    match (before.lines.last(), after.lines.first()) {
        (Some(last), Some(first)) => {
            last.bbox.horizontal_overlap(&first.bbox) <= 0.0 || first.bbox.y1 <= last.bbox.y0
        }
        _ => false,
    }
}

/// Joins the lines of a paragraph or of a list item without its marker.
fn join_item(kind: &BlockKind, lines: &[&Line], vocabulary: &Vocabulary) -> Vec<Inline> {
    let inlines = join(lines, &[], vocabulary);
    if let BlockKind::ListItem { marker, .. } = kind { strip(inlines, marker) } else { inlines }
}

/// Takes the marker and the space after it off the front.
fn strip(mut inlines: Vec<Inline>, marker: &str) -> Vec<Inline> {
    if let Some(first) = inlines.first_mut()
        && let Some(rest) = first.text.strip_prefix(marker)
    {
        first.text = rest.trim_start().to_owned();
    }
    while inlines.first().is_some_and(|first| first.text.trim().is_empty()) {
        inlines.remove(0);
    }
    if let Some(first) = inlines.first_mut() {
        first.text = first.text.trim_start().to_owned();
    }
    inlines
}

/// What a paragraph is. On a page that is mostly bold, bold makes no heading.
fn block(
    paragraph: &Paragraph<'_>,
    page: &PageLayout,
    document: &Measured,
    mostly_bold: bool,
) -> Block {
    let lines = &paragraph.lines;
    let inlines = join(lines, &paragraph.hard, &document.vocabulary);
    let bbox = Rect::enclosing(lines.iter().map(|line| &line.bbox)).unwrap_or_default();
    let size = lines.iter().map(|line| line.size).fold(0.0, f32::max);
    let content = plain(&inlines);
    let mono = inlines.iter().all(|i| i.style.contains(Style::MONO) || i.text.trim().is_empty());
    let kind = if mono && lines.len() >= 2 {
        return Block { kind: BlockKind::Code, bbox, inlines, lines: owned(lines) };
    } else if is_heading(paragraph, &content, &inlines, size / document.body, mostly_bold) {
        // The level is found when all headings are known.
        BlockKind::Heading { level: 0 }
    } else if is_footnote(lines, page, document.body) {
        BlockKind::Footnote
    } else if let Some(marker) = &paragraph.marker {
        let inlines = strip(inlines, &marker.text);
        let kind = BlockKind::ListItem { marker: marker.text.clone(), depth: 0 };
        return Block { kind, bbox, inlines, lines: owned(lines) };
    } else {
        BlockKind::Paragraph
    };
    Block { kind, bbox, inlines, lines: owned(lines) }
}

fn owned(lines: &[&Line]) -> Vec<Line> {
    lines.iter().map(|&line| line.clone()).collect()
}

/// Whether a paragraph is a heading; `size` is relative to the body's.
fn is_heading(
    paragraph: &Paragraph<'_>,
    content: &str,
    inlines: &[Inline],
    size: f32,
    mostly_bold: bool,
) -> bool {
    let chars = content.chars().count();
    let letters = content.chars().filter(|c| c.is_alphabetic()).count();
    if chars > HEADING_CHARS || paragraph.lines.len() > HEADING_LINES || letters < 2 {
        return false;
    }
    let hidden = inlines.iter().any(|i| i.style.contains(Style::HIDDEN));
    // The sizes of recognised text are guesses.
    let larger = if hidden { 1.5 } else { LARGER };
    let worded = inlines.iter().filter(|i| !i.text.trim().is_empty());
    let bold = worded.clone().all(|i| i.style.contains(Style::BOLD));
    let ends_like_text = content.ends_with([',', ';']) || (content.ends_with('.') && chars > 60);
    if ends_like_text || letters * 3 < chars {
        return false;
    }
    if size >= larger && (bold || size >= 1.17) {
        return true;
    }
    if size < 0.95 || hidden || mostly_bold {
        return false;
    }
    let hard = paragraph.hard.iter().any(|&hard| hard);
    let bullet = paragraph
        .marker
        .as_ref()
        .is_some_and(|m| matches!(m.kind, MarkerKind::Bullet | MarkerKind::Letter));
    if bullet || hard || content.ends_with(':') && paragraph.marker.is_none() && chars > 40 {
        return false;
    }
    // Most scripts have no capitals; what is set in them is not all capitals for that.
    let capitals = content.chars().filter(|c| c.is_uppercase()).count();
    let caps = capitals * 2 > letters && !content.chars().any(char::is_lowercase);
    // A term in bold that begins small is defined, not headed.
    let small = content.chars().find(|c| c.is_alphabetic()).is_some_and(char::is_lowercase);
    (bold && chars <= 150 && !small)
        || (caps && letters >= 5 && chars <= 90 && paragraph.lines.len() <= 2)
}

/// Small print at the foot of the page that begins with a mark.
fn is_footnote(lines: &[&Line], page: &PageLayout, body: f32) -> bool {
    let Some(first) = lines.first() else {
        return false;
    };
    let low = first.bbox.y0 > page.height * 0.55;
    let Some(word) = first.words.first() else {
        return false;
    };
    let short = word.text.chars().count() <= 3;
    let mark = word.style.contains(Style::SUPERSCRIPT) && short
        || matches!(word.text.as_str(), "*" | "**" | "†" | "‡" | "§")
        || short && word.text.bytes().all(|b| b.is_ascii_digit());
    low && first.size < 0.94 * body && mark
}

/// Levels of headings: by size, then bold, then capitals; numbered ones by their depth.
pub(crate) fn level(pages: &mut [&mut Vec<Block>]) {
    let rank = |block: &Block| {
        let size = block.lines.iter().map(|l| l.size).fold(0.0, f32::max);
        let bold = block.inlines.iter().filter(|i| !i.text.trim().is_empty());
        let bold = bold.clone().all(|i| i.style.contains(Style::BOLD));
        let depth = match block.lines.first().and_then(super::paragraphs::line_marker) {
            Some(marker) => match marker.kind {
                MarkerKind::Section(depth) => depth,
                MarkerKind::Number => 1,
                MarkerKind::Bullet | MarkerKind::Letter => 0,
            },
            None => 0,
        };
        // Half a point is no difference; larger comes first, then bold, then shallow.
        (-((size * 2.0).round() as i32), !bold, depth)
    };
    let is_heading = |block: &&Block| matches!(block.kind, BlockKind::Heading { .. });
    let mut ranks: Vec<(i32, bool, u8)> =
        pages.iter().flat_map(|page| page.iter()).filter(is_heading).map(rank).collect();
    ranks.sort_unstable();
    ranks.dedup();
    // Sizes within a point of each other that differ in nothing else are one style; numbering
    // depth separates levels only downwards from its own first.
    let mut levels: BTreeMap<(i32, bool, u8), u8> = BTreeMap::new();
    let mut now = 0u8;
    let mut before: Option<(i32, bool, u8)> = None;
    for rank in ranks {
        let same = before.is_some_and(|b| {
            (rank.0 - b.0).abs() <= 1 && rank.1 == b.1 && (rank.2 == b.2 || rank.2 <= 1 && b.2 <= 1)
        });
        if !same {
            now = now.saturating_add(1).min(6);
        }
        levels.insert(rank, now);
        before = Some(rank);
    }
    for block in pages.iter_mut().flat_map(|page| page.iter_mut()) {
        if matches!(block.kind, BlockKind::Heading { .. }) {
            let level = levels.get(&rank(block)).copied().unwrap_or(6).max(1);
            block.kind = BlockKind::Heading { level };
        }
    }
}

/// The depths of list items, from how far their markers are indented.
fn depths(blocks: &mut [Block]) {
    let mut lefts: Vec<f32> = Vec::new();
    for block in blocks {
        let left = block.lines.first().map_or(block.bbox.x0, |line| line.bbox.x0);
        let size = block.lines.first().map_or(10.0, |line| line.size);
        let kind = &mut block.kind;
        if let BlockKind::ListItem { depth, .. } = kind {
            while lefts.last().is_some_and(|&last| left < last - 0.6 * size) {
                lefts.pop();
            }
            if lefts.last().is_none_or(|&last| left > last + 0.6 * size) {
                lefts.push(left);
            }
            *depth = u8::try_from(lefts.len().saturating_sub(1)).unwrap_or(u8::MAX).min(8);
        } else if !kind.is_furniture() {
            // A paragraph under an item belongs to it when it is indented; else the list is over.
            lefts.retain(|&last| left > last + 0.6 * size);
        }
    }
}

fn table(region: &TableRegion, vocabulary: &Vocabulary) -> Block {
    let width = region.rows.iter().map(Vec::len).max().unwrap_or(0);
    let rows: Vec<Vec<Cell>> = region
        .rows
        .iter()
        .map(|row| {
            let mut cells: Vec<Cell> = row
                .iter()
                .map(|cell| {
                    let lines: Vec<&Line> = cell.lines.iter().collect();
                    let bbox = Rect::enclosing(lines.iter().map(|l| &l.bbox)).unwrap_or_default();
                    Cell { inlines: join(&lines, &[], vocabulary), bbox }
                })
                .collect();
            cells.resize(width, Cell::default());
            cells
        })
        .collect();
    let has_head = has_head(region);
    let kind = BlockKind::Table(Table { rows, has_head });
    Block { kind, bbox: region.bbox, inlines: Vec::new(), lines: Vec::new() }
}

/// Whether the first row names the columns: it is set in bold and the next is not, or it has no
/// figures where the others have.
fn has_head(region: &TableRegion) -> bool {
    let [head, rest @ ..] = region.rows.as_slice() else {
        return false;
    };
    let bold = |row: &Vec<super::model::TableCell>| {
        let mut words = row.iter().flat_map(|c| &c.lines).flat_map(|l| &l.words).peekable();
        words.peek().is_some() && words.all(|word| word.style.contains(Style::BOLD))
    };
    if bold(head) && rest.first().is_some_and(|row| !bold(row)) {
        return true;
    }
    let figure = |cell: &super::model::TableCell| {
        let text: String = cell.lines.iter().map(text).collect();
        text.chars().any(|c| c.is_ascii_digit())
    };
    let full = head.iter().all(|cell| !cell.lines.is_empty());
    let columns = head.iter().filter(|cell| figure(cell)).count();
    let figures = rest.iter().flatten().filter(|cell| figure(cell)).count();
    full && columns == 0 && figures >= rest.len()
}
