//! One page, laid out.

use super::aligned;
use super::bidi;
use super::frame::{self, Frame};
use super::glyph::{Content, Glyph, warn};
use super::grid::{self, Grid};
use super::markers::marker;
use super::model::{
    Flow, Line, Link, PageLayout, Region, Rule, Style, TableCell, TableRegion, Warning, Word,
};
use super::order::{self, Block};
use super::rows::{self, Row, Segment};
use super::words::{self, Piece};
use crate::Rect;

/// A list marker stands at most this far, in ems, from its text.
const MARKER_GAP: f32 = 8.0;

/// Lays out one page: words, lines, tables and columns in reading order.
pub fn analyse(content: Content) -> PageLayout {
    let Content { width, height, rotation, glyphs, rules, images, links, mut warnings } = content;
    let (mut visible, mut hidden) = (0u32, 0u32);
    for glyph in glyphs.iter().filter(|glyph| !glyph.text.is_space()) {
        if glyph.style.contains(Style::HIDDEN) { hidden += 1 } else { visible += 1 }
    }
    let image_cover = cover(&images, width, height);
    let mut regions = Vec::new();
    for (frame, glyphs) in frame::split(glyphs) {
        let (rules, links) = (frame.rules(&rules), frame.links(&links));
        let (found, arranged) = arrange(&frame, &glyphs, &rules, &links);
        if !arranged {
            warn(&mut warnings, Warning::Layout);
        }
        regions.extend(found);
    }
    PageLayout {
        width,
        height,
        rotation,
        regions,
        images,
        image_cover,
        visible_glyphs: visible,
        hidden_glyphs: hidden,
        warnings,
    }
}

/// The part of a page that images cover, counted on a coarse raster so that tiles add up and
/// overlaps do not.
fn cover(images: &[Rect], width: f32, height: f32) -> f32 {
    const CELLS: usize = 32;
    if images.is_empty() || width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let mut seen = [[false; CELLS]; CELLS];
    for image in images {
        let place = |v: f32, of: f32| ((v / of * CELLS as f32).round()).clamp(0.0, CELLS as f32);
        let (x0, x1) = (place(image.x0, width) as usize, place(image.x1, width) as usize);
        let (y0, y1) = (place(image.y0, height) as usize, place(image.y1, height) as usize);
        for row in &mut seen[y0..y1] {
            row[x0..x1].fill(true);
        }
    }
    let count = seen.iter().flatten().filter(|&&cell| cell).count();
    count as f32 / (CELLS * CELLS) as f32
}

enum Part {
    Column(Vec<Segment>),
    Table(TableRegion),
}

/// The regions of one direction of writing, and whether their arrangement was looked at.
fn arrange(frame: &Frame, glyphs: &[Glyph], rules: &[Rule], links: &[Link]) -> (Vec<Region>, bool) {
    let mut pieces = words::words(glyphs);
    if !links.is_empty() {
        pieces = pieces.into_iter().flat_map(|piece| link(piece, links)).collect();
    }
    let backwards = bidi::is_mostly_rtl(pieces.iter().flat_map(|piece| piece.word.text.chars()));
    let mut blocks: Vec<Block<Part>> = Vec::new();
    for grid in grid::grids(rules) {
        if let Some(table) = ruled_table(frame, &grid, &mut pieces) {
            blocks.push(Block { bbox: grid.bbox(), content: Part::Table(table) });
        }
    }
    let segments = rows::segments(rows::rows(pieces));
    let levels: Vec<(f32, f32, f32)> = rules
        .iter()
        .filter(|rule| rule.horizontal)
        .map(|rule| (rule.bbox.y1, rule.bbox.x0, rule.bbox.x1))
        .take(2000)
        .collect();
    let (rest, tables) = aligned::tables(segments, &levels);
    for table in tables {
        blocks.extend(aligned_table(frame, table));
    }
    for column in order::stack(join_markers(rest)) {
        blocks.push(Block { bbox: column.bbox, content: Part::Column(column.content) });
    }
    let arranged = order::order(&mut blocks, backwards);
    let regions = blocks
        .into_iter()
        .map(|block| match block.content {
            Part::Table(table) => Region::Table(in_reading_order(table)),
            Part::Column(segments) => {
                let lines = segments.into_iter().map(|s| line(frame, s)).collect();
                let (left, right) = (block.bbox.x0, block.bbox.x1);
                Region::Flow(Flow { lines, left, right, turned: frame.quarter() })
            }
        })
        .collect();
    (regions, arranged)
}

/// A table whose first column is the first to read, which is the right one where text runs from right to left.
fn in_reading_order(mut table: TableRegion) -> TableRegion {
    let lines = table.rows.iter().flatten().flat_map(|cell| &cell.lines);
    let words = lines.flat_map(|line| &line.words);
    if bidi::is_mostly_rtl(words.flat_map(|word| word.text.chars())) {
        table.rows.iter_mut().for_each(|row| row.reverse());
    }
    table
}

/// Gives a word the link that covers its middle; punctuation that sticks out of the link's box
/// becomes a word of its own.
fn link(mut piece: Piece, links: &[Link]) -> Vec<Piece> {
    let b = piece.word.bbox;
    let (x, y) = (f32::midpoint(b.x0, b.x1), f32::midpoint(b.y0, b.y1));
    // The last link painted is the one on top.
    let Some(link) = links.iter().rev().find(|link| link.bbox.inflate(1.0).contains(x, y)) else {
        return vec![piece];
    };
    let is_tail = |c: char| matches!(c, '.' | ',' | ';' | ':' | ')' | ']' | '!' | '?');
    let body = piece.word.text.trim_end_matches(is_tail).len();
    let sticks_out = b.x1 > link.bbox.x1 + 0.1 * piece.size();
    if !sticks_out || body == 0 || body == piece.word.text.len() {
        piece.word.link = Some(link.target.clone());
        return vec![piece];
    }
    let mut tail = piece.clone();
    tail.word.text = piece.word.text.split_off(body);
    tail.word.spaced = false;
    tail.word.bbox.x0 = link.bbox.x1.clamp(b.x0, b.x1);
    piece.word.bbox.x1 = tail.word.bbox.x0;
    piece.word.link = Some(link.target.clone());
    vec![piece, tail]
}

/// Takes the words inside a grid into its cells; `None`, and no words, when it holds too few to
/// be a table.
fn ruled_table(frame: &Frame, grid: &Grid, pieces: &mut Vec<Piece>) -> Option<TableRegion> {
    let place = |piece: &Piece| {
        // A word belongs where it begins, whatever it runs into.
        let x = piece.x0() + 0.25 * piece.size().min(piece.word.bbox.width());
        grid.cell(x, piece.baseline - 0.3 * piece.size())
    };
    let mut filled = vec![vec![false; grid.columns()]; grid.rows()];
    for piece in pieces.iter() {
        if let Some((row, column)) = place(piece) {
            filled[row][column] = true;
        }
    }
    let rows = filled.iter().filter(|row| row.iter().any(|&f| f)).count();
    let several = filled.iter().filter(|row| row.iter().filter(|&&f| f).count() >= 2).count();
    let columns = (0..grid.columns()).filter(|&c| filled.iter().any(|row| row[c])).count();
    if rows < 2 || columns < 2 || several * 2 < rows {
        return None;
    }
    let mut cells: Vec<Vec<Vec<Piece>>> = vec![vec![Vec::new(); grid.columns()]; grid.rows()];
    let mut outside = Vec::new();
    for piece in pieces.drain(..) {
        match place(&piece) {
            Some((row, column)) => cells[row][column].push(piece),
            None => outside.push(piece),
        }
    }
    *pieces = outside;
    let used: Vec<bool> =
        (0..grid.columns()).map(|c| cells.iter().any(|row| !row[c].is_empty())).collect();
    let rows = cells
        .into_iter()
        .filter(|row| row.iter().any(|cell| !cell.is_empty()))
        .map(|row| {
            let kept = row.into_iter().zip(&used).filter(|(_, used)| **used);
            kept.map(|(cell, _)| TableCell { lines: cell_lines(frame, cell) }).collect()
        })
        .collect();
    Some(TableRegion { rows, bbox: frame.back(&grid.bbox()), ruled: true })
}

fn cell_lines(frame: &Frame, pieces: Vec<Piece>) -> Vec<Line> {
    rows::rows(pieces)
        .into_iter()
        .map(|Row { pieces, baseline, size }| make_line(frame, pieces, baseline, size))
        .collect()
}

fn aligned_table(frame: &Frame, table: aligned::Aligned) -> Option<Block<Part>> {
    let boxes: Vec<Rect> = table
        .rows
        .iter()
        .flatten()
        .flatten()
        .flat_map(|segment| segment.pieces.iter().map(|p| p.word.bbox))
        .collect();
    let bbox = Rect::enclosing(&boxes)?;
    let cell = |segments: Vec<Segment>| TableCell {
        lines: segments.into_iter().map(|s| line(frame, s)).collect(),
    };
    let rows = table.rows.into_iter().map(|row| row.into_iter().map(cell).collect()).collect();
    let region = TableRegion { rows, bbox: frame.back(&bbox), ruled: false };
    Some(Block { bbox, content: Part::Table(region) })
}

/// Joins a segment that is only a list marker to the text right of it.
fn join_markers(segments: Vec<Segment>) -> Vec<Segment> {
    let mut out: Vec<Segment> = Vec::with_capacity(segments.len());
    for mut segment in segments {
        let joins = out.last().is_some_and(|last| {
            last.row == segment.row
                && segment.x0 - last.x1 < MARKER_GAP * segment.size
                && marker(&last.text()).is_some()
        });
        if joins && let Some(last) = out.pop() {
            if let Some(first) = segment.pieces.first_mut() {
                first.word.spaced = true;
            }
            segment = last.join(segment);
        }
        out.push(segment);
    }
    out
}

/// Takes out the dots that lead the eye from an entry to its page; something else stays in the
/// line always.
fn drop_leaders(words: &mut Vec<Word>) {
    const LEAST: usize = 4;
    let dots = |word: &Word| {
        let all = word.text.chars().all(|c| matches!(c, '.' | '·' | '…' | '\u{2024}'));
        if all { word.text.chars().map(|c| if c == '…' { 3 } else { 1 }).sum() } else { 0 }
    };
    if words.iter().map(dots).sum::<usize>() < LEAST {
        return;
    }
    let mut out: Vec<Word> = Vec::with_capacity(words.len());
    let mut run = Vec::new();
    let mut count = 0;
    for mut word in words.drain(..) {
        if dots(&word) > 0 {
            count += dots(&word);
            run.push(word);
            continue;
        }
        if count >= LEAST {
            word.spaced = true;
            run.clear();
        }
        count = 0;
        out.append(&mut run);
        out.push(word);
    }
    if count < LEAST || out.is_empty() {
        out.append(&mut run);
    }
    *words = out;
}

fn line(frame: &Frame, segment: Segment) -> Line {
    make_line(frame, segment.pieces, segment.baseline, segment.size)
}

fn make_line(frame: &Frame, pieces: Vec<Piece>, baseline: f32, size: f32) -> Line {
    let mut words: Vec<Word> = pieces.into_iter().map(|piece| piece.word).collect();
    drop_leaders(&mut words);
    bidi::order(&mut words);
    for word in &mut words {
        word.bbox = frame.back(&word.bbox);
    }
    let bbox = Rect::enclosing(words.iter().map(|w| &w.bbox)).unwrap_or_default();
    Line { bbox, baseline, size, words }
}
