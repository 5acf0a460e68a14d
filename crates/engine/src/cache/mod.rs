//! Which page of the cache belongs to whom: a pure book of accounts.
//!
//! A page is free, held by one or more sequences, or kept: full, held by nobody, and remembered by
//! its tokens and what came before them, so that a later sequence with the same beginning finds
//! it. Kept pages are given away, longest unused first, when free ones run out.

mod prefix;
mod shelf;
mod swap;

use std::collections::{BTreeMap, BTreeSet};

use prefix::{NodeId, PrefixTree};
pub use shelf::{Beginning, Shelf};
use swap::Swap;
pub(crate) use swap::Swapped;
pub use swap::{Move, Ticket};

/// How often the beginning of a prompt was found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PrefixStats {
    /// Tokens that were looked for.
    pub asked: u64,
    /// Tokens that were found and not computed again.
    pub found: u64,
    /// Kept pages that were given away.
    pub evicted: u64,
    /// Pages that came back from a shelf.
    pub fetched: u64,
}

/// How many pages are left free between two sequences, where there are so many.
const GAP: u32 = 16;

/// How the tokens of a sequence are computed: it shares pages with its like only.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Kind {
    /// Whether it is beyond the length at which a network turns to computing otherwise.
    pub(crate) beyond: bool,
    /// Whether it is computed in passes of its own.
    pub(crate) alone: bool,
}

/// The pages of one sequence.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct PageTable {
    /// In order of position; [`kernels::Span::GONE`] for those a window has left behind.
    pub(crate) pages: Vec<u32>,
    /// How many of the first pages are remembered by their tokens, and the last of those.
    remembered: usize,
    last: NodeId,
    /// How many of the first pages were given back.
    left_behind: usize,
}

/// All pages of a cache.
#[derive(Debug)]
pub struct PagePool {
    page_size: usize,
    capacity: usize,
    /// How many pages are kept at most.
    keep: usize,
    /// Pages from here on were never handed out, so nobody has written them.
    touched: usize,
    free: BTreeSet<u32>,
    /// How many sequences hold each page.
    holders: Vec<u32>,
    tree: PrefixTree,
    /// Kept pages by when they were last held.
    kept: BTreeMap<u64, u32>,
    /// When a kept page was last held.
    kept_since: BTreeMap<u32, u64>,
    clock: u64,
    stats: PrefixStats,
    swap: Swap,
    /// Whether pages that are given away go to a shelf.
    shelves: bool,
}

impl PagePool {
    /// A pool of `capacity` free pages of `page_size` tokens.
    ///
    /// # Panics
    ///
    /// If `page_size` is zero or there are more pages than can be numbered.
    pub fn new(page_size: usize, capacity: usize) -> Self {
        assert!(page_size > 0 && capacity < u32::MAX as usize, "{capacity} pages of {page_size}");
        Self {
            page_size,
            capacity,
            keep: usize::MAX,
            touched: 0,
            free: (0..capacity as u32).collect(),
            holders: vec![0; capacity],
            tree: PrefixTree::default(),
            kept: BTreeMap::new(),
            kept_since: BTreeMap::new(),
            clock: 0,
            stats: PrefixStats::default(),
            swap: Swap::default(),
            shelves: false,
        }
    }

    /// The same, with at most so many pages kept for their tokens while nobody holds them.
    #[must_use]
    pub fn keeping(mut self, pages: usize) -> Self {
        self.keep = pages;
        self
    }

    /// Makes it a pool of `pages` pages; of as many as were ever handed out, if that is more. Returns how many there are now.
    pub(crate) fn resize(&mut self, pages: usize) -> usize {
        let pages = pages.max(self.touched).min(u32::MAX as usize - 1);
        if pages < self.capacity {
            // What was never handed out is free, and these are the last.
            self.free.split_off(&(pages as u32));
        } else {
            self.free.extend(self.capacity as u32..pages as u32);
        }
        self.holders.resize(pages, 0);
        self.capacity = pages;
        pages
    }

    /// The same number of pages or another, all free and none of them ever written: there is new memory for them. Nobody holds
    /// a page or a copy.
    pub(crate) fn renew(&mut self, pages: usize) {
        let room = self.swap.room();
        let new = Self::new(self.page_size, pages).keeping(self.keep).swapping(room);
        *self = Self { stats: self.stats, shelves: self.shelves, ..new };
    }

    /// Gives away all that is kept.
    pub(crate) fn give_away(&mut self) {
        while let Some(page) = self.evict() {
            self.free.insert(page);
        }
    }

    /// The pages that are kept, those of what ended last first, and each before what builds on it.
    pub(crate) fn by_worth(&self) -> Vec<u32> {
        self.kept.values().rev().copied().collect()
    }

    /// What a page holds, if all pages before it are there.
    pub(crate) fn beginning_of(&self, page: u32) -> Option<Beginning> {
        self.tree.beginning_of(page)
    }

    /// How many of the pages were ever handed out, at most.
    pub(crate) fn touched(&self) -> usize {
        self.touched
    }

    /// Tokens in a page.
    pub fn page_size(&self) -> usize {
        self.page_size
    }

    /// How many pages there are.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Pages that nobody holds, kept ones included.
    pub fn available(&self) -> usize {
        self.free.len() + self.kept.len()
    }

    /// Pages that are kept for their tokens though nobody holds them.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// How often the beginning of a prompt was found.
    pub fn stats(&self) -> PrefixStats {
        self.stats
    }

    /// The pages that `tokens` needs.
    pub fn pages_for(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.page_size)
    }

    /// Pages that already hold the beginning of `tokens`, now also held by the caller, and how
    /// many tokens that is. The last token is never among them: somebody must compute its output.
    pub(crate) fn find(&mut self, tokens: &[u32], kind: Kind) -> (PageTable, usize) {
        let mut table = PageTable { last: NodeId::beginning(kind), ..PageTable::default() };
        for chunk in tokens[..tokens.len().saturating_sub(1)].chunks_exact(self.page_size) {
            let Some((node, page)) = self.tree.child(table.last, chunk) else { break };
            self.hold(page);
            table.pages.push(page);
            table.last = node;
        }
        table.remembered = table.pages.len();
        let found = table.pages.len() * self.page_size;
        (table, found)
    }

    /// Counts a beginning that was looked for and is used: `found` of `asked` tokens.
    pub(crate) fn count(&mut self, asked: usize, found: usize) {
        self.stats.asked += asked as u64;
        self.stats.found += found as u64;
    }

    /// Makes room in `table` for `tokens` tokens in all; false, and nothing changed, if there are
    /// not enough pages.
    pub(crate) fn grow(&mut self, table: &mut PageTable, tokens: usize) -> bool {
        let more = self.pages_for(tokens).saturating_sub(table.pages.len());
        if more > self.available() {
            return false;
        }
        for _ in 0..more {
            let last = table.pages.last().copied();
            let Some(page) = self.free_page(last).or_else(|| self.evict()) else { return false };
            self.holders[page as usize] = 1;
            table.pages.push(page);
        }
        true
    }

    /// Remembers the pages of `table` that `tokens`, which have all been computed, fill.
    pub(crate) fn remember(&mut self, table: &mut PageTable, tokens: &[u32]) {
        let full = tokens.len() / self.page_size;
        while table.remembered < full {
            let at = table.remembered;
            let chunk = &tokens[at * self.page_size..][..self.page_size];
            // Somebody else may have computed the same: theirs stays, ours is just not shared.
            let page = table.pages[at];
            table.last = match self.tree.child(table.last, chunk) {
                Some((node, _)) => node,
                None => self.tree.insert(table.last, chunk, page),
            };
            table.remembered += 1;
        }
    }

    /// Gives back the pages of `table` that lie wholly before position `from`.
    pub(crate) fn leave_behind(&mut self, table: &mut PageTable, from: usize) {
        // A page that is not remembered yet would be lost to others.
        let pages = (from / self.page_size).min(table.remembered);
        for at in table.left_behind..pages {
            let page = std::mem::replace(&mut table.pages[at], kernels::Span::GONE);
            self.release_page(page);
        }
        table.left_behind = table.left_behind.max(pages);
    }

    /// Gives back all pages of `table`.
    pub(crate) fn release(&mut self, table: PageTable) {
        // The last page first, so that it is given away before those it builds on.
        for page in table.pages.into_iter().rev().filter(|&page| page != kernels::Span::GONE) {
            self.release_page(page);
        }
    }

    /// Forgets everything: no page is held or kept any more.
    pub(crate) fn clear(&mut self) {
        let empty = Self::new(self.page_size, self.capacity).keeping(self.keep);
        let mut swap = std::mem::take(&mut self.swap);
        swap.distrust();
        *self =
            Self { stats: self.stats, touched: self.touched, swap, shelves: self.shelves, ..empty };
    }

    fn hold(&mut self, page: u32) {
        self.holders[page as usize] += 1;
        if let Some(since) = self.kept_since.remove(&page) {
            self.kept.remove(&since);
        }
    }

    fn release_page(&mut self, page: u32) {
        let holders = &mut self.holders[page as usize];
        *holders -= 1;
        if *holders > 0 {
            return;
        }
        if self.tree.has(page) {
            self.clock += 1;
            self.kept.insert(self.clock, page);
            self.kept_since.insert(page, self.clock);
            if self.kept.len() > self.keep {
                let page = self.evict();
                self.free.extend(page);
            }
        } else {
            self.free.insert(page);
        }
    }

    /// Takes a free page. The one after `last`, because pages in a row are read without being
    /// gathered on some devices; else the first with so many free ones before it that whoever is
    /// there can go on in a row, too; else the first.
    fn free_page(&mut self, last: Option<u32>) -> Option<u32> {
        let next = last.and_then(|last| last.checked_add(1));
        let next = next.filter(|next| self.free.contains(next));
        let page = next.or_else(|| self.roomy()).or_else(|| self.free.first().copied())?;
        self.free.remove(&page);
        self.touched = self.touched.max(page as usize + 1);
        Some(page)
    }

    /// The first free page with [`GAP`] free ones before it, or the first page of all.
    fn roomy(&self) -> Option<u32> {
        let (mut before, mut run) = (None, 0);
        let mut pages = self.free.iter().copied();
        pages.find(|&page| {
            run = if before.is_some() && before == page.checked_sub(1) { run + 1 } else { 0 };
            before = Some(page);
            page == 0 || run >= GAP
        })
    }

    /// Takes the kept page that was unused longest.
    fn evict(&mut self) -> Option<u32> {
        let (_, page) = self.kept.pop_first()?;
        self.kept_since.remove(&page);
        self.shelve_page(page);
        self.tree.remove(page);
        self.stats.evicted += 1;
        Some(page)
    }
}

#[cfg(test)]
mod tests;
