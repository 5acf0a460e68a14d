//! A document in chunks for retrieval: each with the headings above it, its pages and where it stands on them.
//!
//! A chunk ends where a section does, and where the next paragraph, table or list would make it too long. What alone is
//! too long is parted between rows, lines or sentences, and only if one of these is too long between words. Put together,
//! without what is repeated, the chunks are the document.

mod piece;
mod split;

use std::ops::Range;

use serde_json::{Value, json};

use self::piece::{Piece, Sort, pieces};
use self::split::{Grain, tail};
use crate::{Document, Rect};

/// How a document is parted.
#[derive(Clone, Copy)]
pub struct ChunkOptions<'a> {
    /// Tokens of a chunk at most, what is repeated in it included. One character may be more, and stands alone.
    pub tokens: usize,
    /// Tokens at most of the end of the chunk before that a chunk begins with, whole sentences only, within a section.
    pub overlap: usize,
    /// Headings down to this level begin a chunk: 0 for none, 6 for all.
    pub heading_level: u8,
    /// Whether a chunk ends with its page.
    pub by_page: bool,
    /// Keep running headers, footers and page numbers.
    pub furniture: bool,
    /// How many tokens a text has.
    pub count: &'a dyn Fn(&str) -> usize,
}

/// A part of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// `text`, `list`, `table`, `code`, `figure`, `heading`, or `mixed`.
    pub kind: &'static str,
    /// The headings that it stands under, the highest first.
    pub headings: Vec<String>,
    /// Its pages in order, with the box of what stands on each, in points; `None` where that is not known, as with what a
    /// model read.
    pub places: Vec<(u32, Option<Rect>)>,
    /// Markdown.
    pub text: String,
    /// Characters at its beginning that a chunk before has, too: an overlap, a table's head, a fence.
    pub carried: usize,
    /// Characters at its end that stand nowhere else: the end of a table or of code that goes on.
    pub closing: usize,
    /// Tokens of its text.
    pub tokens: usize,
}

impl Chunk {
    /// As a JSON object.
    pub fn to_json(&self, file: &str, number: usize) -> Value {
        let bbox = |bbox: &Rect| -> Value {
            let round = |edge: f32| (f64::from(edge) * 100.0).round() / 100.0;
            json!([round(bbox.x0), round(bbox.y0), round(bbox.x1), round(bbox.y1)])
        };
        let boxes: Vec<Value> = self
            .places
            .iter()
            .map(|(page, place)| json!({ "page": page, "bbox": place.as_ref().map(bbox) }))
            .collect();
        let mut out = json!({
            "file": file,
            "chunk": number,
            "kind": self.kind,
            "headings": self.headings,
            "pages": self.places.iter().map(|(page, _)| *page).collect::<Vec<_>>(),
            "boxes": boxes,
            "tokens": self.tokens,
            "text": self.text,
        });
        for (name, characters) in [("carried", self.carried), ("closing", self.closing)] {
            if characters > 0 {
                out[name] = characters.into();
            }
        }
        out
    }
}

/// How many tokens a text has about: one for four characters of ASCII or two others, and one for each sign of a script
/// without spaces.
pub fn estimate(text: &str) -> usize {
    let quarters = |c: char| match c {
        '\0'..='\x7f' => 1,
        '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' => 4,
        '\u{20000}'..='\u{3ffff}' => 4,
        _ => 2,
    };
    text.chars().map(quarters).sum::<usize>().div_ceil(4)
}

/// Parts a text into passages of at most `tokens`, as `count` counts them: between paragraphs, and what alone is too long
/// between sentences, words, or at last anywhere. Together they are the text, without what is white around each.
pub fn passages<'a>(text: &'a str, tokens: usize, count: &dyn Fn(&str) -> usize) -> Vec<&'a str> {
    let grain = Grain::paragraphs(text);
    let mut fits = |range: Range<usize>| count(text[range].trim()) <= tokens;
    let (mut start, mut out) = (0, Vec::new());
    while start < text.len() {
        let rest = start..text.len();
        // What is left is short more often than not.
        let near = text.len() - start <= tokens.saturating_mul(LONGEST_TOKEN);
        let end = if near && fits(rest.clone()) {
            text.len()
        } else {
            grain.fitting(text, rest, &mut fits)
        };
        let passage = text[start..end].trim();
        if !passage.is_empty() {
            out.push(passage);
        }
        start = end;
    }
    out
}

/// A text of more bytes for each token than this is not counted as a whole.
const LONGEST_TOKEN: usize = 16;

/// Parts a document. Pages that could not be read have no chunks.
pub fn chunks(document: &Document, options: &ChunkOptions<'_>) -> Vec<Chunk> {
    let pieces = pieces(document, options.furniture);
    let paths = paths(&pieces);
    let mut under_way = UnderWay {
        options,
        pieces: &pieces,
        paths: &paths,
        open: Vec::new(),
        overlap: None,
        out: Vec::new(),
    };
    for at in 0..pieces.len() {
        under_way.add(at);
    }
    under_way.flush(false);
    under_way.out
}

/// For each piece the headings that it stands under, by their places; a heading stands under itself.
fn paths(pieces: &[Piece]) -> Vec<Vec<usize>> {
    let mut open: Vec<(u8, usize)> = Vec::new();
    let mut out = Vec::with_capacity(pieces.len());
    for (at, piece) in pieces.iter().enumerate() {
        if let Sort::Heading(level, _) = &piece.sort {
            open.retain(|(above, _)| above < level);
            open.push((*level, at));
        }
        out.push(open.iter().map(|(_, heading)| *heading).collect());
    }
    out
}

/// A part of a piece in a chunk.
#[derive(Clone, Debug)]
struct Part {
    piece: usize,
    range: Range<usize>,
    /// Whether it begins with what all parts of its piece begin with.
    again: bool,
    /// Whether it ends with what all but the last end with.
    closing: bool,
}

struct UnderWay<'a> {
    options: &'a ChunkOptions<'a>,
    pieces: &'a [Piece],
    paths: &'a [Vec<usize>],
    open: Vec<Part>,
    overlap: Option<String>,
    out: Vec<Chunk>,
}

/// A chunk's text, and how much of it is repeated or added.
struct Composed {
    text: String,
    carried: usize,
    closing: usize,
}

impl UnderWay<'_> {
    fn is_heading(&self, part: &Part) -> bool {
        matches!(self.pieces[part.piece].sort, Sort::Heading(..))
    }

    fn whole(&self, at: usize) -> Part {
        Part { piece: at, range: 0..self.pieces[at].text.len(), again: false, closing: false }
    }

    fn add(&mut self, at: usize) {
        let piece = &self.pieces[at];
        let begins =
            matches!(piece.sort, Sort::Heading(level, _) if level <= self.options.heading_level);
        let headed = self.open.iter().all(|part| self.is_heading(part));
        let other_page = |last: &Part| self.pieces[last.piece].page != piece.page;
        let turned = self.options.by_page && self.open.last().is_some_and(other_page);
        if (begins && !headed) || turned {
            self.flush(false);
        }
        if begins {
            self.overlap = None;
        }
        let whole = self.whole(at);
        if self.fits(&whole) {
            return self.open.push(whole);
        }
        // Headings go with what stands below them.
        let kept =
            self.open.iter().rposition(|part| !self.is_heading(part)).map_or(0, |last| last + 1);
        if kept > 0 {
            let headings = self.open.split_off(kept);
            self.flush(headings.is_empty());
            self.open = headings;
            if self.fits(&whole) {
                return self.open.push(whole);
            }
        }
        if self.overlap.take().is_some() && self.fits(&whole) {
            return self.open.push(whole);
        }
        self.part(at);
    }

    /// Adds a piece that is too long for a chunk.
    fn part(&mut self, at: usize) {
        let piece = &self.pieces[at];
        let most = self.options.tokens / 2;
        let frame =
            (self.options.count)(&piece.grain.again) + (self.options.count)(&piece.grain.closing);
        let framed = frame <= most && !piece.grain.closing.is_empty();
        let headed = frame <= most && !piece.grain.again.is_empty();
        let mut start = 0;
        while start < piece.text.len() {
            let part = |range: Range<usize>, last: bool| Part {
                piece: at,
                again: headed && range.start > 0,
                closing: framed && !last,
                range,
            };
            let rest = part(start..piece.text.len(), true);
            if self.fits(&rest) {
                self.open.push(rest);
                return;
            }
            let end = piece
                .grain
                .fitting(&piece.text, rest.range, &mut |range| self.fits(&part(range, false)));
            let part = part(start..end, false);
            // Headings that leave no room for anything stand alone.
            if !self.open.is_empty() && !self.fits(&part) {
                self.flush(false);
                continue;
            }
            if !piece.text[part.range.clone()].trim().is_empty() {
                self.open.push(part);
                self.flush(piece.grain.again.is_empty());
            }
            start = end;
        }
    }

    fn fits(&self, part: &Part) -> bool {
        let all = self.open.iter().chain([part]);
        (self.options.count)(&self.compose(all).text) <= self.options.tokens
    }

    fn compose<'p>(&self, parts: impl Iterator<Item = &'p Part>) -> Composed {
        let mut text = String::new();
        let (mut carried, mut closing) = (0, 0);
        for (place, part) in parts.enumerate() {
            let piece = &self.pieces[part.piece];
            let gap = if piece.close && part.range.start == 0 { "\n" } else { "\n\n" };
            if place > 0 {
                text.push_str(gap);
            } else if let Some(overlap) = &self.overlap {
                text.push_str(overlap);
                text.push_str(if part.range.start > 0 { " " } else { gap });
            }
            if part.again {
                text.push_str(&piece.grain.again);
            }
            if place == 0 {
                carried = text.chars().count();
            }
            let slice = piece.text[part.range.clone()].trim_end();
            // The spaces that a line begins with mean something.
            text.push_str(slice.trim_start_matches(['\n', '\r']));
            if part.closing {
                let before = text.chars().count();
                text.push('\n');
                text.push_str(&piece.grain.closing);
                closing = text.chars().count() - before;
            }
        }
        Composed { text, carried, closing }
    }

    /// Ends the chunk that is under way; `goes_on` says that what follows is of the same section.
    fn flush(&mut self, goes_on: bool) {
        if self.open.is_empty() {
            return;
        }
        let Composed { text, carried, closing } = self.compose(self.open.iter());
        let tokens = (self.options.count)(&text);
        let body = self.open.iter().find(|part| !self.is_heading(part));
        let named = body.or(self.open.last()).map_or(&[][..], |part| &self.paths[part.piece]);
        let words = |heading: &usize| match &self.pieces[*heading].sort {
            Sort::Heading(_, words) => words.clone(),
            Sort::Text | Sort::List | Sort::Table | Sort::Code | Sort::Figure => String::new(),
        };
        let headings = named.iter().map(words).collect();
        let mut kind = "heading";
        for part in self.open.iter().filter(|part| !self.is_heading(part)) {
            let name = self.pieces[part.piece].sort.name();
            kind = if kind == "heading" || kind == name { name } else { "mixed" };
        }
        let places = self.places();
        self.out.push(Chunk { kind, headings, places, text, carried, closing, tokens });
        self.overlap = self.open.last().filter(|_| goes_on).and_then(|last| {
            let piece = &self.pieces[last.piece];
            let prose = matches!(piece.sort, Sort::Text | Sort::List);
            let most = self.options.overlap;
            let end = piece.text[last.range.clone()].trim();
            let fits = |text: &str| (self.options.count)(text) <= most;
            (prose && most > 0).then(|| tail(end, &fits)).flatten().map(str::to_owned)
        });
        self.open.clear();
    }

    /// The pages of what is open, with a box on each.
    fn places(&self) -> Vec<(u32, Option<Rect>)> {
        let mut out: Vec<(u32, Option<Rect>)> = Vec::new();
        for part in &self.open {
            let piece = &self.pieces[part.piece];
            let bbox = place(piece, &part.range);
            match out.last_mut().filter(|(page, _)| *page == piece.page) {
                Some((_, known)) => *known = known.zip(bbox).map(|(a, b)| a.union(&b)),
                None => out.push((piece.page, bbox)),
            }
        }
        out
    }
}

/// Where a part of a piece stands: in the lines that hold as many of the characters before it, and of its own.
fn place(piece: &Piece, range: &Range<usize>) -> Option<Rect> {
    let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
    let all = letters(&piece.text);
    let held: usize = piece.lines.iter().map(|(_, letters)| letters).sum();
    if range.len() == piece.text.len() || held == 0 || all == 0 {
        return piece.bbox;
    }
    // Marks of Markdown are no letters of a line, so that places are proportions.
    let from = letters(&piece.text[..range.start]) * held / all;
    let to = (letters(&piece.text[..range.end]) * held).div_ceil(all);
    let mut end = 0;
    let touched = piece.lines.iter().filter(|(_, letters)| {
        let start = end;
        end += letters;
        end > from && start < to
    });
    Rect::enclosing(touched.map(|(bbox, _)| bbox)).or(piece.bbox)
}
