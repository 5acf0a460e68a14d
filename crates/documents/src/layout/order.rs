//! Segments to columns, and columns to reading order.

use super::rows::Segment;
use crate::Rect;

/// Lines further apart than this, in ems of the upper one, are not of one block.
const PITCH: f32 = 2.3;
/// More blocks than this are not worth ordering by their arrangement.
const MOST: usize = 2000;
/// How deep columns may stand within columns.
const DEPTH: usize = 24;

/// Segments below each other that belong to one column, or a table.
#[derive(Debug)]
pub(super) struct Block<T> {
    pub(super) bbox: Rect,
    pub(super) content: T,
}

/// Stacks segments into columns: a segment joins the block above it when each of the two is all
/// that the other overlaps.
pub(super) fn stack(segments: Vec<Segment>) -> Vec<Block<Vec<Segment>>> {
    let mut done: Vec<Block<Vec<Segment>>> = Vec::new();
    // Blocks whose last line is near enough to be continued.
    let mut open: Vec<Block<Vec<Segment>>> = Vec::new();
    let mut segments = segments.into_iter().peekable();
    while let Some(first) = segments.next() {
        let row = first.row;
        let mut line = vec![first];
        while let Some(next) = segments.next_if(|next| next.row == row) {
            line.push(next);
        }
        let baseline = line[0].baseline;
        let (near, far): (Vec<_>, Vec<_>) = open.into_iter().partition(|block| {
            block
                .content
                .last()
                .is_some_and(|last| baseline - last.baseline <= PITCH * last.size.max(line[0].size))
        });
        done.extend(far);
        open = near;
        // Who overlaps whom, before anything moves.
        let touches = |block: &Block<Vec<Segment>>, segment: &Segment| {
            block.content.last().is_some_and(|last| {
                let shared = last.x1.min(segment.x1) - last.x0.max(segment.x0);
                let own = block.bbox.x1.min(segment.x1) - block.bbox.x0.max(segment.x0);
                shared > 0.0 || own > 0.3 * segment.width()
            })
        };
        let mut below = vec![0usize; open.len()];
        let above: Vec<Vec<usize>> = line
            .iter()
            .map(|segment| {
                let over: Vec<usize> =
                    (0..open.len()).filter(|&b| touches(&open[b], segment)).collect();
                for &b in &over {
                    below[b] += 1;
                }
                over
            })
            .collect();
        for (segment, over) in line.into_iter().zip(above) {
            let bbox = bbox(&segment);
            match over.as_slice() {
                [b] if below[*b] == 1 && alike(&open[*b], &segment) => {
                    open[*b].bbox = open[*b].bbox.union(&bbox);
                    open[*b].content.push(segment);
                }
                over => {
                    // What this line interrupts is over.
                    for &b in over {
                        below[b] = usize::MAX;
                    }
                    open.push(Block { bbox, content: vec![segment] });
                    below.push(usize::MAX);
                }
            }
        }
        // A block that two segments share, or that was interrupted, cannot be continued later.
        let mut at = 0;
        let fresh = row;
        let (keep, end): (Vec<_>, Vec<_>) = open.into_iter().partition(|block| {
            let stays = below[at] <= 1 || block.content.last().is_some_and(|s| s.row == fresh);
            at += 1;
            stays
        });
        done.extend(end);
        open = keep;
    }
    done.extend(open);
    done
}

/// Whether a segment could be set in the same text as the block above: headings end a block, so
/// that a title centred over two columns does not become part of one.
fn alike(block: &Block<Vec<Segment>>, segment: &Segment) -> bool {
    block.content.last().is_some_and(|last| {
        let ratio = segment.size / last.size.max(0.1);
        (0.6..=1.7).contains(&ratio)
    })
}

fn bbox(segment: &Segment) -> Rect {
    Rect {
        x0: segment.x0,
        y0: segment.baseline - 0.78 * segment.size,
        x1: segment.x1,
        y1: segment.baseline + 0.22 * segment.size,
    }
}

/// Puts blocks into reading order: of columns beside each other the left one is the first, or the right one where text
/// runs `backwards`. Returns whether their arrangement was looked at; too many of them are only
/// sorted from top to bottom.
pub(super) fn order<T>(blocks: &mut Vec<Block<T>>, backwards: bool) -> bool {
    let few = blocks.len() <= MOST;
    if few {
        let all = std::mem::take(blocks);
        arrange(all, DEPTH, backwards, blocks);
    } else {
        sort(blocks);
    }
    few
}

fn sort<T>(blocks: &mut [Block<T>]) {
    blocks.sort_by(|a, b| a.bbox.y0.total_cmp(&b.bbox.y0).then(a.bbox.x0.total_cmp(&b.bbox.x0)));
}

/// Finds the gutter that parts most of the text, and reads: left of it, then right of it (or the
/// other way round), from one block that spans it to the next.
fn arrange<T>(mut blocks: Vec<Block<T>>, depth: usize, backwards: bool, out: &mut Vec<Block<T>>) {
    sort(&mut blocks);
    let gutter = if depth == 0 || blocks.len() < 2 { None } else { gutter(&blocks) };
    let Some(x) = gutter else {
        out.extend(blocks);
        return;
    };
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let flush = |left: &mut Vec<Block<T>>, right: &mut Vec<Block<T>>, out: &mut Vec<Block<T>>| {
        let sides = if backwards { [right, left] } else { [left, right] };
        for side in sides {
            arrange(std::mem::take(side), depth - 1, backwards, out);
        }
    };
    for block in blocks {
        match side(&block.bbox, x) {
            Side::Left => left.push(block),
            Side::Right => right.push(block),
            Side::Across => {
                flush(&mut left, &mut right, out);
                out.push(block);
            }
        }
    }
    flush(&mut left, &mut right, out);
}

enum Side {
    Left,
    Right,
    Across,
}

fn side(bbox: &Rect, x: f32) -> Side {
    if bbox.x1 <= x + 0.5 {
        Side::Left
    } else if bbox.x0 >= x - 0.5 {
        Side::Right
    } else {
        Side::Across
    }
}

/// The best place to part left from right, if blocks stand beside each other at all.
fn gutter<T>(blocks: &[Block<T>]) -> Option<f32> {
    let mut edges: Vec<f32> = blocks.iter().map(|b| b.bbox.x1).collect();
    edges.sort_by(f32::total_cmp);
    edges.dedup_by(|a, b| (*a - *b).abs() < 2.0);
    // With very many blocks only some edges are tried; they are plenty.
    let step = edges.len().div_ceil(64).max(1);
    let mut best: Option<(f32, f32)> = None;
    for &x in edges.iter().step_by(step) {
        let (mut left, mut right, mut across) = (Vec::new(), Vec::new(), 0.0);
        for block in blocks {
            let span = (block.bbox.y0, block.bbox.y1);
            match side(&block.bbox, x) {
                Side::Left => left.push(span),
                Side::Right => right.push(span),
                Side::Across => across += span.1 - span.0,
            }
        }
        let beside = shared_height(&left, &right);
        if beside <= 0.0 {
            continue;
        }
        let score = beside - 0.7 * across;
        // Text that mostly stands across the gutter is not in columns.
        if score > 0.0 || beside > 0.35 * across {
            let better = best.is_none_or(|(_, s)| score > s);
            if better {
                best = Some((x, score));
            }
        }
    }
    best.map(|(x, _)| x)
}

/// How much height two lists of vertical spans share.
fn shared_height(a: &[(f32, f32)], b: &[(f32, f32)]) -> f32 {
    let (a, b) = (merge(a), merge(b));
    let mut total = 0.0;
    for s in &a {
        for t in &b {
            total += (s.1.min(t.1) - s.0.max(t.0)).max(0.0);
        }
    }
    total
}

fn merge(spans: &[(f32, f32)]) -> Vec<(f32, f32)> {
    let mut spans = spans.to_vec();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut out: Vec<(f32, f32)> = Vec::new();
    for span in spans {
        match out.last_mut() {
            Some(last) if span.0 <= last.1 => last.1 = last.1.max(span.1),
            _ => out.push(span),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(name: &'static str, x0: f32, y0: f32, x1: f32, y1: f32) -> Block<&'static str> {
        Block { bbox: Rect::new(x0, y0, x1, y1), content: name }
    }

    fn ordered(mut blocks: Vec<Block<&'static str>>) -> String {
        assert!(order(&mut blocks, false));
        blocks.iter().map(|b| b.content).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn columns_are_read_one_after_the_other_under_their_title() {
        let blocks = vec![
            block("R1", 310.0, 60.0, 540.0, 300.0),
            block("title", 50.0, 20.0, 540.0, 40.0),
            block("L2", 50.0, 310.0, 290.0, 600.0),
            block("L1", 50.0, 60.0, 290.0, 300.0),
            block("R2", 310.0, 310.0, 540.0, 500.0),
        ];
        assert_eq!(ordered(blocks), "title L1 L2 R1 R2");
    }

    #[test]
    fn a_block_across_parts_the_columns_above_from_those_below() {
        let blocks = vec![
            block("L1", 50.0, 60.0, 290.0, 200.0),
            block("R1", 310.0, 60.0, 540.0, 200.0),
            block("across", 50.0, 220.0, 540.0, 260.0),
            block("L2", 50.0, 280.0, 290.0, 400.0),
            block("R2", 310.0, 280.0, 540.0, 400.0),
        ];
        assert_eq!(ordered(blocks), "L1 R1 across L2 R2");
    }

    #[test]
    fn blocks_that_stand_beside_nothing_are_read_downwards() {
        let blocks = vec![
            block("body", 50.0, 200.0, 540.0, 600.0),
            block("address", 400.0, 40.0, 540.0, 100.0),
            block("reference", 50.0, 120.0, 150.0, 140.0),
        ];
        assert_eq!(ordered(blocks), "address reference body");
    }

    #[test]
    fn three_columns_are_read_from_left_to_right() {
        let blocks = vec![
            block("c", 410.0, 60.0, 540.0, 500.0),
            block("a", 50.0, 60.0, 200.0, 500.0),
            block("b", 230.0, 60.0, 380.0, 500.0),
        ];
        assert_eq!(ordered(blocks), "a b c");
    }
}
