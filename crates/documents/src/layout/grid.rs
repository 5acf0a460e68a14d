//! Tables that lines on the page rule.

use super::model::Rule;
use crate::Rect;

/// Lines this close, in points, are one or touch.
const TOUCH: f32 = 3.0;
/// More rows or columns than this are a drawing.
const MOST: usize = 400;

/// The ruled cells of a table: the places of its lines.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    pub(super) xs: Vec<f32>,
    pub(super) ys: Vec<f32>,
}

impl Grid {
    pub(super) fn bbox(&self) -> Rect {
        let edge =
            |of: &[f32]| (of.first().copied().unwrap_or(0.0), of.last().copied().unwrap_or(0.0));
        let ((x0, x1), (y0, y1)) = (edge(&self.xs), edge(&self.ys));
        Rect { x0, y0, x1, y1 }
    }

    pub(super) fn columns(&self) -> usize {
        self.xs.len().saturating_sub(1)
    }

    pub(super) fn rows(&self) -> usize {
        self.ys.len().saturating_sub(1)
    }

    /// The row and column of a point inside.
    pub(super) fn cell(&self, x: f32, y: f32) -> Option<(usize, usize)> {
        let place = |of: &[f32], v: f32| {
            let after = of.partition_point(|&edge| edge <= v);
            (after > 0 && after < of.len()).then(|| after - 1)
        };
        Some((place(&self.ys, y)?, place(&self.xs, x)?))
    }
}

/// Grids of at least two rows and two columns.
pub(super) fn grids(rules: &[Rule]) -> Vec<Grid> {
    let horizontal = merged(rules, true);
    let vertical = merged(rules, false);
    if horizontal.len() < 2 || vertical.len() < 2 || horizontal.len() + vertical.len() > 4000 {
        return Vec::new();
    }
    // Lines that touch belong together.
    let count = horizontal.len() + vertical.len();
    let mut parent: Vec<usize> = (0..count).collect();
    for (i, h) in horizontal.iter().enumerate() {
        for (j, v) in vertical.iter().enumerate() {
            let wide = h.inflate(TOUCH);
            if wide.horizontal_overlap(v) >= 0.0 && wide.vertical_overlap(v) >= 0.0 {
                let (a, b) = (root(&mut parent, i), root(&mut parent, horizontal.len() + j));
                parent[a] = b;
            }
        }
    }
    let mut by_root: std::collections::BTreeMap<usize, (Vec<Rect>, Vec<Rect>)> =
        std::collections::BTreeMap::new();
    for (i, h) in horizontal.iter().enumerate() {
        by_root.entry(root(&mut parent, i)).or_default().0.push(*h);
    }
    for (j, v) in vertical.iter().enumerate() {
        by_root.entry(root(&mut parent, horizontal.len() + j)).or_default().1.push(*v);
    }
    by_root.into_values().filter_map(|(h, v)| grid(&h, &v)).collect()
}

fn root(parent: &mut [usize], mut at: usize) -> usize {
    while parent[at] != at {
        parent[at] = parent[parent[at]];
        at = parent[at];
    }
    at
}

fn grid(horizontal: &[Rect], vertical: &[Rect]) -> Option<Grid> {
    let places = |of: &[Rect], place: fn(&Rect) -> f32| {
        let mut at: Vec<f32> = of.iter().map(place).collect();
        at.sort_by(f32::total_cmp);
        at.dedup_by(|a, b| (*a - *b).abs() < TOUCH);
        at
    };
    let grid = Grid {
        xs: places(vertical, |b| f32::midpoint(b.x0, b.x1)),
        ys: places(horizontal, |b| f32::midpoint(b.y0, b.y1)),
    };
    let plausible = (2..=MOST).contains(&grid.columns()) && (2..=MOST).contains(&grid.rows());
    plausible.then_some(grid)
}

/// Lines of one direction, pieces of one line joined.
fn merged(rules: &[Rule], horizontal: bool) -> Vec<Rect> {
    // Along and across the line.
    let view = |b: &Rect| {
        if horizontal { (b.x0, b.x1, b.y0, b.y1) } else { (b.y0, b.y1, b.x0, b.x1) }
    };
    let mut lines: Vec<Rect> =
        rules.iter().filter(|r| r.horizontal == horizontal).map(|r| r.bbox).collect();
    lines.sort_by(|a, b| {
        let (a, b) = (view(a), view(b));
        let across = |v: (f32, f32, f32, f32)| (f32::midpoint(v.2, v.3) / TOUCH).round();
        across(a).total_cmp(&across(b)).then(a.0.total_cmp(&b.0))
    });
    let mut out: Vec<Rect> = Vec::new();
    for line in lines {
        if let Some(last) = out.last_mut() {
            let (l, n) = (view(last), view(&line));
            let level = (f32::midpoint(l.2, l.3) - f32::midpoint(n.2, n.3)).abs() < TOUCH;
            if level && n.0 <= l.1 + TOUCH {
                *last = last.union(&line);
                continue;
            }
        }
        out.push(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_drawn_cell_by_cell_are_one_grid() {
        let mut rules = Vec::new();
        for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)] {
            let (x, y) = (column as f32 * 100.0, row as f32 * 20.0);
            let b = Rect::new(x, y, x + 100.0, y + 20.0);
            rules.push(Rule { bbox: Rect { y1: b.y0, ..b }, horizontal: true });
            rules.push(Rule { bbox: Rect { y0: b.y1, ..b }, horizontal: true });
            rules.push(Rule { bbox: Rect { x1: b.x0, ..b }, horizontal: false });
            rules.push(Rule { bbox: Rect { x0: b.x1, ..b }, horizontal: false });
        }
        let found = grids(&rules);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].rows(), found[0].columns()), (3, 2));
        assert_eq!(found[0].cell(150.0, 30.0), Some((1, 1)));
        assert_eq!(found[0].cell(250.0, 30.0), None);
    }

    #[test]
    fn a_frame_is_no_table() {
        let frame = [
            Rule { bbox: Rect::new(0.0, 0.0, 100.0, 0.0), horizontal: true },
            Rule { bbox: Rect::new(0.0, 50.0, 100.0, 50.0), horizontal: true },
            Rule { bbox: Rect::new(0.0, 0.0, 0.0, 50.0), horizontal: false },
            Rule { bbox: Rect::new(100.0, 0.0, 100.0, 50.0), horizontal: false },
        ];
        assert!(grids(&frame).is_empty());
    }
}
