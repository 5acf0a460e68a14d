//! Glyphs and lines in any arrangement, laid out, structured, written and sent through the codec.
#![no_main]

use documents::layout::{
    Content, Glyph, GlyphText, Link, Rule, Style, analyse, structure,
};
use documents::worker::Response;
use documents::{Document, Origin, Page, Rect, json, markdown};
use libfuzzer_sys::fuzz_target;

/// Reads numbers off the input.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// Mostly a place on the page, now and then anything.
    fn number(&mut self) -> f32 {
        match self.byte() {
            255 => f32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
            high => f32::from(high) * 2.5 + f32::from(self.byte()) / 100.0,
        }
    }

    fn finite(&mut self) -> f32 {
        let value = self.number();
        if value.is_finite() { value.clamp(-1e9, 1e9) } else { 0.0 }
    }
}

const CHARS: &[char] = &[
    'a', 'B', 'e', '1', '2', '.', '-', ' ', '(', ')', '\u{2022}', '#', '*', '|', '<', '`', '\u{5d0}',
    '\u{5d1}', '\u{fb01}', '\u{b4}', '\u{65e5}', '\u{ad}', '\u{301}', 'T', 'x', 'i', 'v', '_', '[', ']',
    '\\', '\u{2014}',
];

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let mut pages = Vec::new();
    while !input.0.is_empty() && pages.len() < 4 {
        let mut content =
            Content { width: 612.0, height: 792.0, ..Content::default() };
        let (mut x, mut y, mut size) = (72.0, 72.0, 10.0);
        while !input.0.is_empty() {
            match input.byte() {
                0 => break,
                1 => {
                    x = input.finite();
                    y = input.finite();
                }
                2 => size = input.finite().abs().clamp(0.2, 5000.0),
                3 => {
                    let bbox = Rect::new(x, y, input.finite(), y + 0.5);
                    content.rules.push(Rule { bbox, horizontal: true });
                }
                4 => {
                    let bbox = Rect::new(x, y, x + 0.5, input.finite());
                    content.rules.push(Rule { bbox, horizontal: false });
                }
                5 => {
                    let bbox = Rect::new(x, y, input.finite(), input.finite());
                    content.links.push(Link { bbox, target: "https://a.example/(x)".to_owned() });
                }
                6 => {
                    let bbox = Rect::new(x, y, input.finite(), input.finite());
                    content.images.push(bbox);
                }
                7 => {
                    x = 72.0;
                    y += 1.2 * size;
                }
                code => {
                    let c = CHARS[usize::from(code) % CHARS.len()];
                    let style = Style::from_bits(code >> 6).unwrap_or_default();
                    let (dx, dy) = if code % 61 == 0 { (0.0, size * 0.5) } else { (size * 0.5, 0.0) };
                    content.glyphs.push(Glyph { text: GlyphText::Char(c), x, y, dx, dy, size, style });
                    x += dx;
                    y += dy;
                }
            }
        }
        let layout = analyse(content);
        let (tag, payload) = Response::Page(Box::new(layout.clone())).encode();
        let back = Response::decode(tag, &payload);
        assert_eq!(back, Ok(Response::Page(Box::new(layout.clone()))));
        pages.push(Ok(layout));
    }
    let blocks = structure(&pages);
    let pages = blocks.into_iter().zip(1..).map(|(blocks, number)| Page {
        number,
        width: 612.0,
        height: 792.0,
        rotation: 0,
        origin: Origin::TextLayer,
        blocks,
        images: Vec::new(),
        warnings: Default::default(),
    });
    let document = Document {
        name: "fuzz".to_owned(),
        title: None,
        encrypted: false,
        page_count: 1,
        pages: pages.collect(),
    };
    let _ = markdown::write(&document, Default::default());
    let _ = json::write(&document, json::JsonOptions { lines: true });
});
