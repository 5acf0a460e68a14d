//! Pictures that stand on pages, cut out of them.
//!
//! On a page with text of its own they are the images that the file places there; on a page that a model read, what the
//! model said is a figure: it names a box of the picture it was shown, as `page_X_Y_WIDTH_HEIGHT.png`. Either way the box is
//! cut out of the page as it is drawn, larger than the model saw it.

use std::collections::BTreeMap;

use crate::markdown::target;
use crate::picture::{Picture, png};
use crate::pipeline::{PageReading, Raster, Reader, Render};
use crate::{Block, BlockKind, Document, Origin, Page, Rect};

/// How many figures, and how large.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FigureOptions {
    /// Pixels of the longer side of the pictures that a model was shown, in which it names boxes.
    pub shown: u32,
    /// Pixels of the longer side of a page that figures are cut from.
    pub longest: u32,
    /// Figures of a page at most.
    pub most_of_page: usize,
    /// Figures of a document at most.
    pub most: usize,
    /// Bytes of all figures of a document at most.
    pub bytes: u64,
}

impl Default for FigureOptions {
    fn default() -> Self {
        Self { shown: 1288, longest: 2576, most_of_page: 32, most: 2000, bytes: 512 << 20 }
    }
}

/// A figure that was cut out.
#[derive(Debug)]
pub struct Figure<'a> {
    /// Its page, from 1.
    pub page: u32,
    /// Its number on the page, from 1.
    pub number: usize,
    /// The picture, as PNG.
    pub png: &'a [u8],
}

/// What became of a document's figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// How many were cut out.
    pub figures: usize,
    /// How many were left out because there were too many, or because they were too large together.
    pub too_many: usize,
    /// Boxes that a model named and that hold nothing of the page.
    pub outside: usize,
    /// Pages that have figures and could not be drawn.
    pub undrawn: Vec<u32>,
}

/// Cuts figures out of the pages of a document that `parser` has open. `keep` stores one and gives the address that
/// documents name it by; `None` if it cannot. Each then stands in its page as a block of its own, and in what a model wrote
/// by its new address.
///
/// # Errors
/// The first of `keep`.
pub fn cut<E>(
    document: &mut Document,
    options: &FigureOptions,
    parser: &mut dyn Render,
    keep: &mut dyn FnMut(Figure<'_>) -> Result<String, E>,
) -> Result<Cut, E> {
    let mut cut = Cut::default();
    let repeated = repeated(document);
    let mut bytes = 0;
    for page in &mut document.pages {
        let raster = Raster { longest: options.longest.clamp(1, Raster::MOST) };
        let mut found = regions(page, options, &repeated);
        let over = found.len().saturating_sub(options.most_of_page);
        found.truncate(options.most_of_page);
        cut.too_many += over;
        if found.is_empty() {
            continue;
        }
        let Ok(picture) = parser.render(page.number - 1, raster) else {
            cut.undrawn.push(page.number);
            continue;
        };
        let mut kept = Vec::new();
        for region in found {
            let Some(file) = region.of(&picture, page, raster) else {
                cut.outside += 1;
                continue;
            };
            if cut.figures >= options.most || bytes + file.len() as u64 > options.bytes {
                cut.too_many += 1;
                continue;
            }
            bytes += file.len() as u64;
            cut.figures += 1;
            let number = kept.len() + 1;
            let address = keep(Figure { page: page.number, number, png: &file })?;
            kept.push((region, address));
        }
        place(page, kept);
    }
    Ok(cut)
}

/// A part of a page that is a figure.
struct Region {
    bbox: Rect,
    alt: String,
    /// What a model calls it.
    link: Option<String>,
    /// By how much the model's picture was turned.
    turned: u16,
}

impl Region {
    /// The part as PNG.
    fn of(&self, picture: &Picture, page: &Page, raster: Raster) -> Option<Vec<u8>> {
        let [x0, y0, x1, y1] = raster.place(&self.bbox, page.width, page.height).map(|e| e as f32);
        let part = picture.crop(&Rect { x0, y0, x1, y1 })?;
        Some(png(&part.turned(self.turned)?))
    }
}

/// What is smaller than this on a side, in points, is a bullet or an ornament.
const LEAST: f32 = 24.0;
/// What covers more than this part of a page is its paper, or a scan of it.
const PAPER: f32 = 0.85;
/// What has text over more than this part of it is the ground of that text.
const WRITTEN: f32 = 0.25;
/// Images that stand so close, in points, are one: programs cut pictures into strips.
const APART: f32 = 2.0;
/// Images of a page that are looked at.
const LOOKED_AT: usize = 400;

/// The figures of a page, in the order in which they are read.
fn regions(
    page: &Page,
    options: &FigureOptions,
    repeated: &BTreeMap<[i32; 4], usize>,
) -> Vec<Region> {
    match &page.origin {
        Origin::Transcript(reading) => named(page, reading, options.shown),
        Origin::TextLayer | Origin::HiddenText => {
            let often = |bbox: &&Rect| repeated.get(&rounded(bbox)).is_some_and(|pages| *pages > 2);
            let images = page.images.iter().filter(|bbox| !often(bbox));
            let merged = merged(images.copied().take(LOOKED_AT).collect());
            let area = page.width * page.height;
            let region = |bbox: Rect| Region { bbox, alt: String::new(), link: None, turned: 0 };
            merged
                .into_iter()
                .filter(|bbox| {
                    bbox.width() >= LEAST && bbox.height() >= LEAST && bbox.area() <= PAPER * area
                })
                .filter(|bbox| written_over(bbox, page) <= WRITTEN * bbox.area())
                .map(region)
                .collect()
        }
        Origin::NoText { .. } | Origin::Blank | Origin::Failed(_) => Vec::new(),
    }
}

/// How much of a box lines of text cover, in square points.
fn written_over(bbox: &Rect, page: &Page) -> f32 {
    let lines = page.blocks.iter().flat_map(|block| &block.lines);
    lines.filter_map(|line| line.bbox.intersection(bbox)).map(|shared| shared.area()).sum()
}

/// A box in whole points, to find it again on other pages.
fn rounded(bbox: &Rect) -> [i32; 4] {
    [bbox.x0, bbox.y0, bbox.x1, bbox.y1].map(|edge| edge.round() as i32)
}

/// On how many pages an image stands at the same place: a logo is no figure.
fn repeated(document: &Document) -> BTreeMap<[i32; 4], usize> {
    let mut out = BTreeMap::new();
    for page in &document.pages {
        for bbox in page.images.iter().take(LOOKED_AT) {
            *out.entry(rounded(bbox)).or_default() += 1;
        }
    }
    out
}

/// Boxes with those that touch made one, from the top down.
fn merged(mut boxes: Vec<Rect>) -> Vec<Rect> {
    boxes.retain(|bbox| [bbox.x0, bbox.y0, bbox.x1, bbox.y1].iter().all(|edge| edge.is_finite()));
    let mut at = 0;
    while at < boxes.len() {
        let near = boxes[at].inflate(APART);
        let other = (0..boxes.len())
            .find(|other| *other != at && near.intersection(&boxes[*other]).is_some());
        match other {
            Some(other) => {
                boxes[at] = boxes[at].union(&boxes[other]);
                boxes.swap_remove(other);
                at = 0;
            }
            None => at += 1,
        }
    }
    boxes.sort_by(|a, b| a.y0.total_cmp(&b.y0).then(a.x0.total_cmp(&b.x0)));
    boxes
}

/// What a model called figures.
fn named(page: &Page, reading: &PageReading, shown: u32) -> Vec<Region> {
    if !matches!(reading.by, Reader::Model(_)) {
        return Vec::new();
    }
    let raster = Raster { longest: shown };
    let [width, height] = raster.size(page.width, page.height).map(|side| side as f32);
    let scale = raster.scale(page.width, page.height) as f32;
    let mut out: Vec<Region> = Vec::new();
    for link in links(reading.text.as_deref().unwrap_or_default()) {
        if out.iter().any(|region| region.link.as_deref() == Some(link.target)) {
            continue;
        }
        let [x, y, w, h] = link.numbers.map(|n| n as f32);
        let (u0, v0, u1, v1) = (x, y, x + w, y + h);
        // From the picture that was shown back to the page as it stands.
        let bbox = match reading.turned {
            90 => Rect::new(width - v1, u0, width - v0, u1),
            180 => Rect::new(width - u1, height - v1, width - u0, height - v0),
            270 => Rect::new(v0, height - u1, v1, height - u0),
            _ => Rect::new(u0, v0, u1, v1),
        };
        let points = |edge: f32| edge / scale;
        let bbox = Rect {
            x0: points(bbox.x0),
            y0: points(bbox.y0),
            x1: points(bbox.x1),
            y1: points(bbox.y1),
        };
        let paper = Rect::new(0.0, 0.0, page.width, page.height);
        out.push(Region {
            bbox: bbox.intersection(&paper).unwrap_or_default(),
            alt: link.alt.trim().to_owned(),
            link: Some(link.target.to_owned()),
            turned: reading.turned,
        });
    }
    out
}

/// A picture in Markdown whose target names a box.
struct Link<'a> {
    alt: &'a str,
    target: &'a str,
    /// Left, top, width and height.
    numbers: [u32; 4],
    /// Where the target begins in the text.
    at: usize,
}

/// The longest description of a picture, in bytes.
const LONGEST_ALT: usize = 4096;

/// The pictures of a text whose targets name boxes.
fn links(text: &str) -> Vec<Link<'_>> {
    let mut out = Vec::new();
    for (at, _) in text.match_indices("](page_") {
        let from = at + 2;
        let Some(length) = text[from..].find([')', '\n']) else { continue };
        let target = &text[from..from + length];
        let Some(numbers) = numbers(target) else { continue };
        let before = &text[text.floor_char_boundary(at.saturating_sub(LONGEST_ALT))..at];
        let Some(open) = before.rfind("![") else { continue };
        let alt = &before[open + 2..];
        if !alt.contains("](") && !alt.contains("\n\n") {
            out.push(Link { alt, target, numbers, at: from });
        }
    }
    out
}

/// The numbers of `page_X_Y_WIDTH_HEIGHT.png`.
fn numbers(target: &str) -> Option<[u32; 4]> {
    let body = target.strip_prefix("page_")?.strip_suffix(".png")?;
    let mut parts = body.split('_').map(|part| {
        let whole = part.split_once('.').map_or(part, |(whole, _)| whole);
        whole.parse::<u32>().ok().filter(|n| *n <= Raster::MOST)
    });
    let numbers = [parts.next()??, parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// Puts figures into their page.
fn place(page: &mut Page, kept: Vec<(Region, String)>) {
    let block = |bbox: Rect, file: String, alt: String| Block {
        kind: BlockKind::Figure { file, alt },
        bbox,
        inlines: Vec::new(),
        lines: Vec::new(),
    };
    if let Origin::Transcript(reading) = &mut page.origin {
        if let Some(text) = &mut reading.text {
            *text = renamed(text, &kept);
        }
        page.blocks.extend(kept.into_iter().map(|(one, file)| block(one.bbox, file, one.alt)));
        return;
    }
    for (region, file) in kept {
        let at = place_of(&region.bbox, &page.blocks);
        page.blocks.insert(at, block(region.bbox, file, region.alt));
    }
}

/// A text whose pictures are called by their new addresses.
fn renamed(text: &str, kept: &[(Region, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for link in links(text) {
        let new = kept.iter().find(|(region, _)| region.link.as_deref() == Some(link.target));
        if let Some((_, address)) = new {
            out.push_str(&text[done..link.at]);
            out.push_str(&target(address));
            done = link.at + link.target.len();
        }
    }
    out.push_str(&text[done..]);
    out
}

/// Where a figure stands among blocks: after the last one above it in its column.
fn place_of(figure: &Rect, blocks: &[Block]) -> usize {
    let middle = (figure.y0 + figure.y1) / 2.0;
    let beside = |block: &Block| block.bbox.horizontal_overlap(figure) > 0.0;
    let above = |block: &&Block| beside(block) && (block.bbox.y0 + block.bbox.y1) / 2.0 <= middle;
    if let Some(last) = blocks.iter().rposition(|block| above(&block)) {
        return last + 1;
    }
    blocks.iter().position(beside).unwrap_or(blocks.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_read_from_names() {
        assert_eq!(numbers("page_10_20_300_400.png"), Some([10, 20, 300, 400]));
        assert_eq!(numbers("page_10.5_20_300_400.png"), Some([10, 20, 300, 400]));
        for other in
            ["page_1_2_3.png", "page_1_2_3_4_5.png", "page_a_2_3_4.png", "page_1_2_3_4.jpg"]
        {
            assert_eq!(numbers(other), None, "{other}");
        }
        assert_eq!(numbers("page_1_2_3_99999.png"), None);
        let text = "a ![x [y]](page_1_2_3_4.png) [no](page_1_2_3_4.png) ![z](page_5_6_7_8.png";
        let found = links(text);
        let [one] = &found[..] else { panic!("{}", found.len()) };
        assert_eq!((one.alt, one.target, one.numbers), ("x [y]", "page_1_2_3_4.png", [1, 2, 3, 4]));
    }

    #[test]
    fn strips_are_one_picture() {
        let strip = |n: u8| Rect::new(10.0, f32::from(n) * 20.0, 200.0, f32::from(n) * 20.0 + 19.0);
        let apart = Rect::new(300.0, 5.0, 400.0, 50.0);
        let found = merged(vec![strip(2), apart, strip(0), strip(1)]);
        assert_eq!(found, [Rect::new(10.0, 0.0, 200.0, 59.0), apart]);
    }

    #[test]
    fn what_is_written_over_is_no_figure() {
        let line = |y: f32| crate::layout::Line {
            bbox: Rect::new(0.0, y, 100.0, y + 10.0),
            ..crate::layout::Line::default()
        };
        let block = Block {
            kind: BlockKind::Paragraph,
            bbox: Rect::default(),
            inlines: Vec::new(),
            lines: vec![line(0.0), line(15.0), line(200.0)],
        };
        let bbox = Rect::new(50.0, 0.0, 100.0, 40.0);
        let page = Page {
            number: 1,
            width: 100.0,
            height: 300.0,
            rotation: 0,
            origin: Origin::TextLayer,
            need: None,
            agreement: None,
            blocks: vec![block],
            images: vec![bbox],
            warnings: BTreeMap::new(),
        };
        assert_eq!(written_over(&bbox, &page), 1000.0);
        assert!(regions(&page, &FigureOptions::default(), &BTreeMap::new()).is_empty());
        let bare = Page { blocks: Vec::new(), ..page };
        assert_eq!(regions(&bare, &FigureOptions::default(), &BTreeMap::new()).len(), 1);
    }

    #[test]
    fn figures_stand_below_what_is_above_them_in_their_column() {
        let block = |x0: f32, y0: f32| Block {
            kind: BlockKind::Paragraph,
            bbox: Rect::new(x0, y0, x0 + 100.0, y0 + 50.0),
            inlines: Vec::new(),
            lines: Vec::new(),
        };
        let blocks = [block(0.0, 0.0), block(0.0, 200.0), block(200.0, 0.0), block(200.0, 200.0)];
        assert_eq!(place_of(&Rect::new(10.0, 80.0, 90.0, 150.0), &blocks), 1);
        assert_eq!(place_of(&Rect::new(210.0, 80.0, 290.0, 150.0), &blocks), 3);
        assert_eq!(place_of(&Rect::new(210.0, 300.0, 290.0, 350.0), &blocks), 4);
        assert_eq!(place_of(&Rect::new(500.0, 0.0, 590.0, 50.0), &blocks), 4);
        assert_eq!(place_of(&Rect::new(10.0, 0.0, 90.0, 20.0), &blocks), 0);
    }
}
