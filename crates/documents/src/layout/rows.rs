//! Words to rows: everything on one baseline, across all columns, cut where columns part.

use std::collections::BTreeMap;

use super::model::Style;
use super::words::Piece;

/// Baselines closer than this, in ems, are one.
const SAME_BASELINE: f32 = 0.35;
/// Words further apart than this, in ems, are not chained to one line.
const REACH: f32 = 2.5;
/// Lines are looked up by bands of this many points.
const BAND: f32 = 4.0;
/// Lines kept open in a band.
const OPEN: usize = 24;
/// A gap this wide, in ems, parts columns when the rows around have it too.
const GUTTER: f32 = 0.9;
/// A gap this wide, in ems, parts columns when one more row has it.
const WIDE_GUTTER: f32 = 1.6;
/// A gap this wide, in ems, parts whatever stands there.
const ALWAYS: f32 = 3.2;
/// Rows further apart than this, in ems, do not speak for each other.
const NEIGHBOUR: f32 = 2.6;

/// Words on one baseline, from left to right.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) pieces: Vec<Piece>,
    pub(super) baseline: f32,
    /// The font size of most characters.
    pub(super) size: f32,
}

/// A part of a row between two gutters.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) pieces: Vec<Piece>,
    pub(super) baseline: f32,
    pub(super) size: f32,
    pub(super) x0: f32,
    pub(super) x1: f32,
    /// The number of its row, from the top.
    pub(super) row: usize,
}

impl Segment {
    fn new(pieces: Vec<Piece>, row: usize) -> Self {
        let x0 = pieces.iter().map(Piece::x0).fold(f32::INFINITY, f32::min);
        let x1 = pieces.iter().map(Piece::x1).fold(f32::NEG_INFINITY, f32::max);
        let (baseline, size) = dominant(&pieces);
        Self { pieces, baseline, size, x0, x1, row }
    }

    /// The segment and the one right of it as one.
    pub(super) fn join(mut self, right: Self) -> Self {
        self.pieces.extend(right.pieces);
        Self::new(self.pieces, self.row)
    }

    pub(super) fn width(&self) -> f32 {
        self.x1 - self.x0
    }

    /// The text with its spaces.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            if piece.word.spaced && !out.is_empty() {
                out.push(' ');
            }
            out.push_str(&piece.word.text);
        }
        out
    }
}

/// The baseline and size of most characters.
fn dominant(pieces: &[Piece]) -> (f32, f32) {
    let mut best = (0.0, 0.0);
    let mut best_count = 0;
    // Sizes within a row are few; lengths decide.
    for piece in pieces.iter().take(64) {
        let alike = |p: &&Piece| (p.size() - piece.size()).abs() <= 0.08 * piece.size();
        let count: usize =
            pieces.iter().take(64).filter(alike).map(|p| p.word.text.chars().count()).sum();
        if count > best_count {
            best_count = count;
            best = (piece.baseline, piece.size());
        }
    }
    best
}

/// Groups words into rows from top to bottom.
///
/// Words are first chained to lines by what stands next to them, so that columns whose baselines
/// nearly agree do not disturb each other; lines of one height are then one row.
pub(super) fn rows(pieces: Vec<Piece>) -> Vec<Row> {
    let mut lines: Vec<Row> = chain(pieces);
    for line in &mut lines {
        finish(line);
    }
    lines.sort_by(|a, b| a.baseline.total_cmp(&b.baseline));
    let mut out: Vec<Row> = Vec::new();
    for line in lines {
        let joins = out.last().is_some_and(|row| {
            line.baseline - row.baseline <= SAME_BASELINE * line.size.min(row.size)
                && !overlaps(row, &line)
        });
        match out.last_mut() {
            Some(row) if joins => row.pieces.extend(line.pieces),
            _ => out.push(line),
        }
    }
    for row in &mut out {
        row.pieces.sort_by(|a, b| a.x0().total_cmp(&b.x0()));
        (row.baseline, row.size) = dominant(&row.pieces);
    }
    out
}

/// Whether two lines cover some of the same width.
fn overlaps(a: &Row, b: &Row) -> bool {
    let extent = |row: &Row| {
        let x0 = row.pieces.iter().map(Piece::x0).fold(f32::INFINITY, f32::min);
        (x0, row.pieces.iter().map(Piece::x1).fold(f32::NEG_INFINITY, f32::max))
    };
    // Only the parts beside each other matter; a line between two others overlaps neither.
    let (x0, x1) = extent(b);
    let inside = |piece: &Piece| piece.x1().min(x1) - piece.x0().max(x0) > 0.1 * piece.size();
    a.pieces.iter().rev().take(256).any(inside)
}

/// A line that is being collected from left to right.
struct Chain {
    pieces: Vec<Piece>,
    baseline: f32,
    size: f32,
    x1: f32,
}

impl Chain {
    /// How well a piece continues the chain; smaller is better, `None` not at all.
    fn fit(&self, piece: &Piece) -> Option<f32> {
        let (small, large) = (self.size.min(piece.size()), self.size.max(piece.size()));
        let shift = (piece.baseline - self.baseline).abs();
        let gap = (piece.x0() - self.x1) / large;
        if gap > REACH {
            return None;
        }
        let level = shift <= SAME_BASELINE * small;
        let script = small <= 0.85 * large && shift <= 0.6 * large && gap <= 0.6;
        (level || script).then(|| shift / large + 0.1 * gap.abs())
    }

    fn push(&mut self, piece: Piece) {
        let gap = piece.x0() - self.x1;
        let shift = (piece.baseline - self.baseline).abs();
        let larger = piece.size() > 1.15 * self.size;
        // The line's own text sets the height, not a mark raised above it; after a gap it may be
        // another column's.
        let text = piece.size() >= 0.85 * self.size && shift <= 0.12 * self.size;
        if larger || text || (gap > 0.8 * self.size && piece.size() >= 0.85 * self.size) {
            (self.baseline, self.size) = (piece.baseline, piece.size());
        }
        self.x1 = self.x1.max(piece.x1());
        self.pieces.push(piece);
    }
}

/// Chains words to lines.
fn chain(mut pieces: Vec<Piece>) -> Vec<Row> {
    pieces.sort_by(|a, b| a.x0().total_cmp(&b.x0()).then(a.baseline.total_cmp(&b.baseline)));
    let mut chains: Vec<Chain> = Vec::new();
    // The last chains of each band of heights.
    let mut bands: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    let band = |y: f32| (y / BAND).floor() as i32;
    for piece in pieces {
        let reach = (0.6 * piece.size()).clamp(2.0 * BAND, 100.0 * BAND);
        let near = bands.range(band(piece.baseline - reach)..=band(piece.baseline + reach));
        let mut best: Option<(f32, usize)> = None;
        for &index in near.flat_map(|(_, list)| list) {
            if let Some(fit) = chains[index].fit(&piece)
                && best.is_none_or(|(least, _)| fit < least)
            {
                best = Some((fit, index));
            }
        }
        let index = match best {
            Some((_, index)) => index,
            None => {
                chains.push(Chain {
                    pieces: Vec::new(),
                    baseline: piece.baseline,
                    size: piece.size(),
                    x1: piece.x0(),
                });
                chains.len() - 1
            }
        };
        let before = (best.is_some()).then(|| band(chains[index].baseline));
        chains[index].push(piece);
        let after = band(chains[index].baseline);
        if before != Some(after) {
            if let Some(list) = before.and_then(|before| bands.get_mut(&before)) {
                list.retain(|&other| other != index);
            }
            let list = bands.entry(after).or_default();
            list.push(index);
            // Far more than a page has beside each other; keeps the search short on any input.
            if list.len() > OPEN {
                list.remove(0);
            }
        }
    }
    chains
        .into_iter()
        .map(|chain| {
            let (baseline, size) = dominant(&chain.pieces);
            Row { pieces: chain.pieces, baseline, size }
        })
        .collect()
}

/// Spaces, overprints, spaced-out letters and raised marks of a row whose words are all there.
fn finish(row: &mut Row) {
    let mut kept: Vec<Piece> = Vec::with_capacity(row.pieces.len());
    for mut piece in std::mem::take(&mut row.pieces) {
        if let Some(last) = kept.last_mut() {
            let shared = last.word.bbox.horizontal_overlap(&piece.word.bbox);
            let narrow = last.word.bbox.width().min(piece.word.bbox.width());
            if shared > 0.8 * narrow && last.word.text == piece.word.text {
                // Printed twice to look bold.
                last.word.style = last.word.style.with(Style::BOLD);
                continue;
            }
            let em = last.size().min(piece.size());
            // Content order said so, unless something else stood between them there.
            piece.word.spaced = piece.word.spaced && -shared > 0.02 * em || -shared > 0.16 * em;
        }
        let raised = row.baseline - piece.baseline;
        if piece.size() <= 0.85 * row.size && raised > 0.12 * row.size && is_mark(&piece.word.text)
        {
            piece.word.style = piece.word.style.with(Style::SUPERSCRIPT);
        }
        kept.push(piece);
    }
    row.pieces = join_spaced_letters(kept);
    if let Some(first) = row.pieces.first_mut() {
        first.word.spaced = true;
    }
}

/// What is raised as a mark or an ordinal: short.
fn is_mark(text: &str) -> bool {
    text.chars().count() <= 4
}

/// `C O N T R A C T` is one word when the gaps are even and no wider than half an em.
fn join_spaced_letters(pieces: Vec<Piece>) -> Vec<Piece> {
    let single = |p: &Piece| {
        let mut chars = p.word.text.chars();
        chars.next().is_some_and(char::is_alphabetic) && chars.next().is_none()
    };
    if pieces.iter().filter(|p| single(p)).count() < 4 {
        return pieces;
    }
    let mut out: Vec<Piece> = Vec::with_capacity(pieces.len());
    // The run at the end of `out`: how many letters, and the gaps seen.
    let mut letters = 0;
    let mut gaps = (f32::INFINITY, 0.0f32);
    let mut start = 0;
    let merge = |out: &mut Vec<Piece>, start: usize, letters: usize| {
        if letters >= 4 {
            let run = out.split_off(start);
            let mut run = run.into_iter();
            if let Some(mut first) = run.next() {
                for piece in run {
                    first.word.text.push_str(&piece.word.text);
                    first.word.bbox = first.word.bbox.union(&piece.word.bbox);
                }
                out.push(first);
            }
        }
    };
    for piece in pieces {
        let fits = single(&piece)
            && letters > 0
            && out.last().is_some_and(|last| {
                let gap = piece.x0() - last.x1();
                let (low, high) = (gaps.0.min(gap), gaps.1.max(gap));
                let even = gap > 0.05 * piece.size() && high < 1.6 * low + 0.05 * piece.size();
                even && gap < 0.5 * piece.size() && (last.size() - piece.size()).abs() < 0.5
            });
        if fits {
            if let Some(last) = out.last() {
                let gap = piece.x0() - last.x1();
                gaps = (gaps.0.min(gap), gaps.1.max(gap));
            }
            letters += 1;
        } else {
            merge(&mut out, start, letters);
            start = out.len();
            letters = usize::from(single(&piece));
            gaps = (f32::INFINITY, 0.0);
        }
        out.push(piece);
    }
    merge(&mut out, start, letters);
    out
}

/// Cuts every row at its gutters. Segments come in row order, from left to right.
pub(super) fn segments(rows: Vec<Row>) -> Vec<Segment> {
    let gaps: Vec<Vec<(f32, f32)>> = rows.iter().map(gaps).collect();
    let extents: Vec<(f32, f32)> = rows
        .iter()
        .map(|row| {
            let x0 = row.pieces.iter().map(Piece::x0).fold(f32::INFINITY, f32::min);
            (x0, row.pieces.iter().map(Piece::x1).fold(f32::NEG_INFINITY, f32::max))
        })
        .collect();
    let heights: Vec<(f32, f32)> = rows.iter().map(|row| (row.baseline, row.size)).collect();
    let mut out = Vec::new();
    for (index, row) in rows.into_iter().enumerate() {
        let cuts: Vec<f32> = gaps[index]
            .iter()
            .filter(|gap| {
                is_gutter(**gap, index, &gaps, &extents, &heights) || before_bullet(&row, gap)
            })
            .map(|gap| f32::midpoint(gap.0, gap.1))
            .collect();
        let mut part = Vec::new();
        let mut cut = cuts.iter().peekable();
        for piece in row.pieces {
            while cut.peek().is_some_and(|&&x| piece.x0() >= x) {
                cut.next();
                if !part.is_empty() {
                    out.push(Segment::new(std::mem::take(&mut part), index));
                }
            }
            part.push(piece);
        }
        if !part.is_empty() {
            out.push(Segment::new(part, index));
        }
    }
    out
}

/// The gaps of a row that could part columns.
fn gaps(row: &Row) -> Vec<(f32, f32)> {
    let mut out = Vec::new();
    let mut right = f32::NEG_INFINITY;
    for piece in &row.pieces {
        if right.is_finite() && piece.x0() - right >= 0.55 * row.size {
            out.push((right, piece.x0()));
        }
        right = right.max(piece.x1());
    }
    out
}

/// Whether a bullet stands right of a gap: an item never begins within a line.
fn before_bullet(row: &Row, gap: &(f32, f32)) -> bool {
    let right = row.pieces.iter().find(|piece| piece.x0() >= gap.1 - 0.01);
    right.is_some_and(|piece| {
        gap.1 - gap.0 >= row.size && matches!(piece.word.text.as_str(), "•" | "▪" | "◦" | "●" | "■")
    })
}

/// Whether a gap parts columns: it is very wide, or the rows above and below have it too.
fn is_gutter(
    gap: (f32, f32),
    index: usize,
    gaps: &[Vec<(f32, f32)>],
    extents: &[(f32, f32)],
    heights: &[(f32, f32)],
) -> bool {
    let size = heights[index].1;
    let width = gap.1 - gap.0;
    if width >= ALWAYS * size {
        return true;
    }
    let mut support = 1;
    let mut beside = 0;
    for down in [true, false] {
        let mut window = gap;
        let mut at = index;
        while support < 6 {
            let next = if down { at + 1 } else { at.wrapping_sub(1) };
            if next >= gaps.len() || (heights[next].0 - heights[at].0).abs() > NEIGHBOUR * size {
                break;
            }
            at = next;
            let least = 0.55 * size;
            let shared = gaps[at].iter().find_map(|g| {
                let shared = (g.0.max(window.0), g.1.min(window.1));
                (shared.1 - shared.0 >= least).then_some(shared)
            });
            if let Some(shared) = shared {
                window = shared;
                support += 1;
                continue;
            }
            // A row that ends before the gap or begins after it helps less.
            if extents[at].1 > window.0 + least && extents[at].0 < window.1 - least {
                break;
            }
            beside += 1;
            if beside >= 6 {
                break;
            }
        }
    }
    let ems = width / size;
    let backed = support + beside >= 4 || support >= 2;
    (backed && ems >= WIDE_GUTTER)
        || (support >= 3 && ems >= GUTTER)
        || (support >= 6 && ems >= 0.6)
}
