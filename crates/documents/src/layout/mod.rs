//! Glyphs on a page, made into words, lines, tables and blocks in reading order.
//!
//! The first half ([`analyse`]) sees one page and runs where the page is parsed; its answer, a
//! [`PageLayout`], is what crosses the process wall. The second half ([`structure`]) sees all
//! pages and knows what a heading or a running header is.

mod aligned;
mod analyse;
mod bidi;
mod frame;
mod furniture;
mod glyph;
mod grid;
mod join;
mod markers;
mod model;
mod order;
mod paragraphs;
mod rows;
mod structure;
mod words;

pub use analyse::analyse;
pub(crate) use glyph::warn;
pub use glyph::{Content, Glyph, GlyphText};
pub use model::{
    Flow, Line, Link, PageLayout, Region, Rule, Style, TableCell, TableRegion, Warning, Word,
};
pub use structure::structure;
pub(crate) use structure::{Measured, level};
