//! Where pages go that memory has no room for, and come back from.

use super::{Kind, Move, PagePool};

/// What a page holds: what was computed of the last tokens of a beginning.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Beginning {
    /// How it was computed: a page serves those only that are computed in the same way. There are four.
    pub way: u8,
    /// All tokens from the first of the sequence to the last of the page.
    pub tokens: Vec<u32>,
}

/// Keeps pages that memory had no room for. Whoever implements it has files, and threads; the engine has neither.
pub trait Shelf: Send {
    /// How many of the first pages of these tokens, of `page_size` each, are there.
    fn reach(&mut self, way: u8, tokens: &[u32], page_size: usize) -> usize;

    /// Whether a page is there, or on its way.
    fn has(&mut self, beginning: &Beginning, page_size: usize) -> bool;

    /// Takes in a page. It may be lost: nobody relies on it.
    fn put(&mut self, beginning: &Beginning, page_size: usize, page: Vec<u8>);

    /// A page that was put there, to the bit.
    fn get(&mut self, beginning: &Beginning, page_size: usize) -> Option<Vec<u8>>;
}

impl Kind {
    /// See [`Beginning::way`].
    pub(crate) fn way(self) -> u8 {
        u8::from(self.beyond) | u8::from(self.alone) << 1
    }
}

impl PagePool {
    /// From now on, pages that are given away are [put on a shelf](Move::Shelve) before.
    pub(crate) fn shelve(&mut self) {
        self.shelves = true;
    }

    /// Notes that `page` is about to be given away.
    pub(super) fn shelve_page(&mut self, page: u32) {
        if self.shelves
            && let Some(beginning) = self.tree.beginning_of(page)
        {
            self.swap.push(Move::Shelve(page, beginning));
        }
    }

    /// Has `page` become what the shelf has of a beginning.
    pub(crate) fn fetch(&mut self, beginning: Beginning, page: u32) {
        self.stats.fetched += 1;
        self.swap.push(Move::Fetch(beginning, page));
    }
}
