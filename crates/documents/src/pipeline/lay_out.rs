//! The text that a file itself holds, made into pages of blocks.

use std::collections::BTreeSet;

use super::choose::{Mode, Need, need};
use crate::layout::{self, PageLayout};
use crate::page::{Block, BlockKind};
use crate::{Document, Error, Origin, Page, PageFailure, PageSet, Source};

/// What a file says about itself once it is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// How many pages it has.
    pub pages: u32,
    /// The title in its metadata.
    pub title: Option<String>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Whether it has fields for text that somebody is to fill in.
    pub form: bool,
}

/// Something that opens files and lays out their pages: [`pdf::Reader`](crate::pdf::Reader) in
/// this process, [`Worker`](crate::worker::Worker) in a child.
pub trait Parse {
    /// Opens a file in place of the one before.
    ///
    /// # Errors
    /// [`Error::Open`], or an error of the worker process.
    fn open(&mut self, source: Source, passwords: &[String]) -> Result<Outline, Error>;

    /// Lays out a page of the open file, by its index from 0.
    ///
    /// # Errors
    /// The reason why this page has none. Other pages can still be asked for.
    fn page(&mut self, index: u32) -> Result<PageLayout, PageFailure>;
}

/// Reads the text that a file itself holds: every wanted page is laid out by `parser`, and the whole is made into blocks.
///
/// # Errors
/// When the file cannot be opened or a wanted page does not exist. A page that fails is no error:
/// it stands in the document as [`Origin::Failed`].
pub fn lay_out(
    source: Source,
    pages: &PageSet,
    passwords: &[String],
    parser: &mut (impl Parse + ?Sized),
) -> Result<Document, Error> {
    let name = source.name.clone();
    let outline = parser.open(source, passwords)?;
    lay_out_opened(name, outline, pages, parser)
}

/// The same for a file that `parser` has open.
///
/// # Errors
/// When a wanted page does not exist.
pub fn lay_out_opened(
    name: String,
    outline: Outline,
    pages: &PageSet,
    parser: &mut (impl Parse + ?Sized),
) -> Result<Document, Error> {
    laid_out(name, outline, pages, (Mode::Text, true), parser)
}

/// The same, with what a model should look at in `mode`; and if `lines`, with lines of text where they stand, which are most of
/// what a document takes in memory.
pub(super) fn laid_out(
    name: String,
    outline: Outline,
    pages: &PageSet,
    (mode, lines): (Mode, bool),
    parser: &mut (impl Parse + ?Sized),
) -> Result<Document, Error> {
    let numbers = pages.numbers(&name, outline.pages)?;
    let laid_out = with_neighbours(&numbers, outline.pages);
    let mut layouts = Vec::with_capacity(laid_out.len());
    for &number in &laid_out {
        layouts.push(parser.page(number - 1));
    }
    let document = layout::Measured::of(&layouts);
    let mut pages = Vec::with_capacity(laid_out.len());
    // Each layout goes as its page comes.
    for ((p, number), layout) in laid_out.into_iter().enumerate().zip(layouts) {
        let mut blocks =
            layout.as_ref().map(|layout| document.blocks(p, layout)).unwrap_or_default();
        if !lines {
            // What headings are, is decided by their lines.
            forget_lines(&mut blocks, |kind| !matches!(kind, BlockKind::Heading { .. }));
        }
        let page = match layout {
            Ok(layout) => Page {
                number,
                width: layout.width,
                height: layout.height,
                rotation: layout.rotation,
                origin: origin(&layout),
                need: need(&layout, mode),
                agreement: None,
                blocks,
                images: layout.images,
                warnings: layout.warnings,
            },
            Err(failure) => Page {
                number,
                width: 0.0,
                height: 0.0,
                rotation: 0,
                origin: Origin::Failed(failure),
                need: (mode != Mode::Text).then_some(Need::Unparsed),
                agreement: None,
                blocks,
                images: Vec::new(),
                warnings: Default::default(),
            },
        };
        pages.push(page);
    }
    layout::level(&mut pages.iter_mut().map(|page| &mut page.blocks).collect::<Vec<_>>());
    pages.retain(|page| numbers.binary_search(&page.number).is_ok());
    if !lines {
        pages.iter_mut().for_each(|page| forget_lines(&mut page.blocks, |_| true));
    }
    Ok(Document {
        name,
        title: outline.title,
        encrypted: outline.encrypted,
        page_count: outline.pages,
        pages,
    })
}

/// Blocks keep their inlines; of code, lines say how far each is indented.
fn forget_lines(blocks: &mut [Block], of: impl Fn(&BlockKind) -> bool) {
    let forgotten = |block: &&mut Block| block.kind != BlockKind::Code && of(&block.kind);
    blocks.iter_mut().filter(forgotten).for_each(|block| block.lines = Vec::new());
}

/// How many pages are laid out for the sake of others.
const NEIGHBOURS: usize = 8;

/// `numbers` and some pages beside them: what repeats from page to page is a header, and what is
/// larger than the text of other pages is a heading, so a page alone is not enough to tell.
fn with_neighbours(numbers: &[u32], count: u32) -> Vec<u32> {
    let mut all: BTreeSet<u32> = numbers.iter().copied().collect();
    let most = all.len() + NEIGHBOURS;
    // A header may stand on every other page.
    for distance in 1..=2 {
        for &number in numbers {
            for beside in [number.saturating_sub(distance), number.saturating_add(distance)] {
                if (1..=count).contains(&beside) && all.len() < most {
                    all.insert(beside);
                }
            }
        }
    }
    all.into_iter().collect()
}

/// Where the text of a parsed page comes from.
fn origin(page: &PageLayout) -> Origin {
    if page.visible_glyphs == 0 && page.hidden_glyphs == 0 {
        if page.images.is_empty() && page.warnings.keys().any(|w| w.loses_text()) {
            Origin::Failed(PageFailure::Undecodable)
        } else if page.images.is_empty() {
            Origin::Blank
        } else {
            Origin::NoText { images: page.images.len(), cover: page.image_cover }
        }
    } else if page.hidden_glyphs > page.visible_glyphs {
        Origin::HiddenText
    } else {
        Origin::TextLayer
    }
}

#[cfg(test)]
mod tests {
    use super::with_neighbours;

    #[test]
    fn some_pages_are_laid_out_for_the_sake_of_others() {
        assert_eq!(with_neighbours(&[1, 2, 3], 3), [1, 2, 3]);
        assert_eq!(with_neighbours(&[2], 3), [1, 2, 3]);
        assert_eq!(with_neighbours(&[5], 100), [3, 4, 5, 6, 7]);
        let many: Vec<u32> = (1..=50).map(|n| n * 10).collect();
        assert_eq!(with_neighbours(&many, 1000).len(), 58);
    }
}
