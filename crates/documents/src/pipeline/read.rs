//! A file, made into pages of blocks.

use std::collections::BTreeSet;

use crate::layout::{self, PageLayout};
use crate::{Document, Error, Origin, Page, PageFailure, PageSet, Source, Untranscribed, World};

/// What a file says about itself once it is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// How many pages it has.
    pub pages: u32,
    /// The title in its metadata.
    pub title: Option<String>,
    /// Whether it is encrypted.
    pub encrypted: bool,
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

/// What to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Which pages.
    pub pages: PageSet,
    /// Passwords to try on encrypted files; the empty one is always tried first.
    pub passwords: Vec<String>,
}

/// Reads a file: every wanted page is laid out by `parser`, one without text is offered to
/// `world`, and the whole is made into blocks.
///
/// # Errors
/// When the file cannot be opened or a wanted page does not exist. A page that fails is no error:
/// it stands in the document as [`Origin::Failed`].
pub fn read(
    source: Source,
    options: &ReadOptions,
    parser: &mut impl Parse,
    world: &mut impl World,
) -> Result<Document, Error> {
    let name = source.name.clone();
    let outline = parser.open(source, &options.passwords)?;
    let numbers = options.pages.numbers(&name, outline.pages)?;
    let laid_out = with_neighbours(&numbers, outline.pages);
    let mut layouts = Vec::with_capacity(laid_out.len());
    for &number in &laid_out {
        layouts.push(parser.page(number - 1));
    }
    let blocks = layout::structure(&layouts);
    let mut pages = Vec::with_capacity(numbers.len());
    for ((number, layout), blocks) in laid_out.into_iter().zip(layouts).zip(blocks) {
        if numbers.binary_search(&number).is_err() {
            continue;
        }
        let mut page = match layout {
            Ok(layout) => Page {
                number,
                width: layout.width,
                height: layout.height,
                rotation: layout.rotation,
                origin: origin(&layout),
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
                blocks,
                images: Vec::new(),
                warnings: Default::default(),
            },
        };
        transcribe(&name, &mut page, world);
        pages.push(page);
    }
    Ok(Document {
        name,
        title: outline.title,
        encrypted: outline.encrypted,
        page_count: outline.pages,
        pages,
    })
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

/// Offers a page without text to the world.
fn transcribe(file: &str, page: &mut Page, world: &mut impl World) {
    if !matches!(page.origin, Origin::NoText { .. }) {
        return;
    }
    let ask = Untranscribed {
        file,
        number: page.number,
        width: page.width,
        height: page.height,
        images: &page.images,
    };
    match world.transcribe(&ask) {
        Ok(None) => {}
        Ok(Some(transcript)) => {
            page.origin = Origin::Transcript { by: transcript.by, markdown: transcript.markdown };
        }
        Err(error) => {
            let message = error.to_string();
            page.origin = Origin::Failed(PageFailure::Transcription { message });
        }
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
