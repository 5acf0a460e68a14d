//! Paths, as far as they are straight lines: tables are ruled with them.

use crate::Rect;
use crate::geometry::Affine;
use crate::layout::Rule;

/// A filled box this thin, in points, is a line.
const THIN: f32 = 3.0;
/// A line this short, in points, rules nothing.
const SHORT: f32 = 4.0;
/// How far from level a line may be, in points.
const LEVEL: f32 = 0.75;
/// Lines kept for a page.
const MOST: usize = 20_000;

/// The path under construction, in page coordinates.
#[derive(Default)]
pub(super) struct Path {
    start: (f64, f64),
    at: (f64, f64),
    segments: Vec<[f32; 4]>,
    boxes: Vec<Rect>,
    /// Subpaths with curves are no boxes.
    curved: bool,
}

impl Path {
    pub(super) fn move_to(&mut self, x: f64, y: f64) {
        self.start = (x, y);
        self.at = (x, y);
    }

    pub(super) fn line_to(&mut self, map: &Affine, x: f64, y: f64) {
        let from = map.apply(self.at.0, self.at.1);
        let to = map.apply(x, y);
        if self.segments.len() < MOST {
            self.segments.push([from.0 as f32, from.1 as f32, to.0 as f32, to.1 as f32]);
        }
        self.at = (x, y);
    }

    pub(super) fn curve_to(&mut self, x: f64, y: f64) {
        self.at = (x, y);
        self.curved = true;
    }

    pub(super) fn close(&mut self, map: &Affine) {
        let (x, y) = self.start;
        self.line_to(map, x, y);
    }

    pub(super) fn rectangle(&mut self, map: &Affine, x: f64, y: f64, w: f64, h: f64) {
        if self.boxes.len() < MOST {
            self.boxes.push(map.apply_box(x, y, x + w, y + h));
        }
        self.move_to(x, y);
    }

    /// Takes the lines of the path as it is painted and begins a new one.
    pub(super) fn paint(&mut self, stroke: bool, fill: bool, rules: &mut Vec<Rule>) {
        if stroke {
            for segment in &self.segments {
                push(rules, Rect::new(segment[0], segment[1], segment[2], segment[3]));
            }
            for b in &self.boxes {
                push(rules, Rect { y1: b.y0, ..*b });
                push(rules, Rect { y0: b.y1, ..*b });
                push(rules, Rect { x1: b.x0, ..*b });
                push(rules, Rect { x0: b.x1, ..*b });
            }
        } else if fill {
            for b in &self.boxes {
                push(rules, *b);
            }
            if !self.curved && (4..=5).contains(&self.segments.len()) {
                let boxes = self.segments.iter().map(|s| Rect::new(s[0], s[1], s[2], s[3]));
                if let Some(all) = boxes.reduce(|a, b| a.union(&b)) {
                    push(rules, all);
                }
            }
        }
        self.clear();
    }

    pub(super) fn clear(&mut self) {
        self.segments.clear();
        self.boxes.clear();
        self.curved = false;
    }
}

fn push(rules: &mut Vec<Rule>, bbox: Rect) {
    let finite = [bbox.x0, bbox.y0, bbox.x1, bbox.y1].iter().all(|v| v.is_finite());
    if !finite || rules.len() >= MOST {
        return;
    }
    let (w, h) = (bbox.width(), bbox.height());
    if h <= THIN.min(w * 0.2).max(LEVEL) && w >= SHORT {
        rules.push(Rule { bbox, horizontal: true });
    } else if w <= THIN.min(h * 0.2).max(LEVEL) && h >= SHORT {
        rules.push(Rule { bbox, horizontal: false });
    }
}
