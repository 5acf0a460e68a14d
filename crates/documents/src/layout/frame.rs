//! Text that runs in different directions, each turned upright.

use std::collections::BTreeMap;

use super::glyph::Glyph;
use super::model::{Link, Rule};
use crate::Rect;

/// Directions are told apart by steps of this many degrees.
const STEP: f32 = 5.0;

/// A direction of writing: coordinates in which text runs to the right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    /// The unit vector along the baseline, on the page.
    ux: f32,
    uy: f32,
    /// Degrees clockwise against the page.
    pub(super) degrees: u16,
}

impl Frame {
    fn new(degrees: u16) -> Self {
        let (uy, ux) = match degrees {
            0 => (0.0, 1.0),
            90 => (1.0, 0.0),
            180 => (0.0, -1.0),
            270 => (-1.0, 0.0),
            other => f32::from(other).to_radians().sin_cos(),
        };
        Self { ux, uy, degrees }
    }

    /// The nearest quarter turn, in degrees.
    pub(super) fn quarter(&self) -> u16 {
        (self.degrees + 45) / 90 % 4 * 90
    }

    fn is_quarter(&self) -> bool {
        self.degrees.is_multiple_of(90)
    }

    fn turn(&self, x: f32, y: f32) -> (f32, f32) {
        (x * self.ux + y * self.uy, y * self.ux - x * self.uy)
    }

    fn turn_box(&self, b: &Rect) -> Rect {
        let (x0, y0) = self.turn(b.x0, b.y0);
        let (x1, y1) = self.turn(b.x1, b.y1);
        Rect::new(x0, y0, x1, y1)
    }

    /// Where a box of this frame stands on the page.
    pub(super) fn back(&self, b: &Rect) -> Rect {
        if self.degrees == 0 {
            return *b;
        }
        let back = |x: f32, y: f32| (x * self.ux - y * self.uy, x * self.uy + y * self.ux);
        let corners = [back(b.x0, b.y0), back(b.x1, b.y0), back(b.x0, b.y1), back(b.x1, b.y1)];
        let mut out = Rect::new(corners[0].0, corners[0].1, corners[0].0, corners[0].1);
        for (x, y) in corners {
            out = out.union(&Rect::new(x, y, x, y));
        }
        out
    }

    /// Straight lines in this frame; none when it is askew, where nothing is ruled.
    pub(super) fn rules(&self, rules: &[Rule]) -> Vec<Rule> {
        if !self.is_quarter() {
            return Vec::new();
        }
        let across = self.degrees % 180 == 90;
        let turned = |rule: &Rule| Rule {
            bbox: self.turn_box(&rule.bbox),
            horizontal: rule.horizontal != across,
        };
        rules.iter().map(turned).collect()
    }

    /// Links in this frame.
    pub(super) fn links(&self, links: &[Link]) -> Vec<Link> {
        let turned =
            |link: &Link| Link { bbox: self.turn_box(&link.bbox), target: link.target.clone() };
        links.iter().map(turned).collect()
    }
}

/// The glyphs of each direction, upright; the direction of most glyphs comes first.
pub(super) fn split(glyphs: Vec<Glyph>) -> Vec<(Frame, Vec<Glyph>)> {
    let mut by_direction: BTreeMap<u16, Vec<Glyph>> = BTreeMap::new();
    let mut last = 0;
    for glyph in glyphs {
        // A glyph without advance (a combining mark) runs with its neighbours.
        if glyph.dx != 0.0 || glyph.dy != 0.0 {
            last = direction(&glyph);
        }
        by_direction.entry(last).or_default().push(glyph);
    }
    let mut groups: Vec<(Frame, Vec<Glyph>)> =
        by_direction.into_iter().map(|(degrees, glyphs)| (Frame::new(degrees), glyphs)).collect();
    for (frame, glyphs) in &mut groups {
        if frame.degrees != 0 {
            for glyph in glyphs {
                let length = glyph.dx.hypot(glyph.dy);
                (glyph.x, glyph.y) = frame.turn(glyph.x, glyph.y);
                (glyph.dx, glyph.dy) = (length, 0.0);
            }
        }
    }
    groups.sort_by_key(|(_, glyphs)| std::cmp::Reverse(glyphs.len()));
    groups
}

/// The direction of a glyph's baseline in degrees clockwise, in steps. A right-to-left glyph with
/// a negative advance, which some producers write, is not taken for text upside down.
fn direction(glyph: &Glyph) -> u16 {
    if glyph.dx != 0.0 && glyph.dy.abs() < glyph.dx.abs() * 0.02 {
        let rtl = glyph.text.first().is_some_and(super::bidi::is_rtl);
        return if glyph.dx > 0.0 || rtl { 0 } else { 180 };
    }
    let degrees = glyph.dy.atan2(glyph.dx).to_degrees().rem_euclid(360.0);
    let step = (degrees / STEP).round() * STEP;
    if step >= 360.0 { 0 } else { step as u16 }
}
