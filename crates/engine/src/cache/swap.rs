//! Pages that were copied to ordinary memory, to be put back later: a pure book, like that of the pages.

use super::{Beginning, PagePool, PageTable};

/// Names the copy of a page.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Ticket(pub u64);

/// What is to be done with memory before the next pass, in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Move {
    /// A page is copied; after that it may be another's.
    Out(u32, Ticket),
    /// A page becomes what the copy says. The copy is not needed any more.
    In(Ticket, u32),
    /// A copy is not needed any more.
    Drop(Ticket),
    /// A page is put on the shelf; after that it may be another's.
    Shelve(u32, Beginning),
    /// A page becomes what the shelf has of a beginning.
    Fetch(Beginning, u32),
}

/// A sequence's pages as copies.
#[derive(Debug)]
pub(crate) struct Swapped {
    /// Without pages.
    table: PageTable,
    /// `None` for pages that a window had left behind.
    copies: Vec<Option<Ticket>>,
}

impl Swapped {
    /// How many pages it is.
    pub(crate) fn pages(&self) -> usize {
        self.copies.iter().flatten().count()
    }

    /// How many a window had left behind.
    pub(crate) fn gone(&self) -> usize {
        self.copies.len() - self.pages()
    }
}

/// How many copies there are and may be, and what is to be done.
#[derive(Debug, Default)]
pub(super) struct Swap {
    room: usize,
    held: usize,
    made: u64,
    moves: Vec<Move>,
}

impl Swap {
    pub(super) fn room(&self) -> usize {
        self.room
    }

    pub(super) fn push(&mut self, to_do: Move) {
        self.moves.push(to_do);
    }

    /// Leaves on no shelf what was not put there yet.
    pub(super) fn distrust(&mut self) {
        self.moves.retain(|to_do| !matches!(to_do, Move::Shelve(..)));
    }
}

impl PagePool {
    /// Has room for copies of so many pages from now on. Those that there are stay. Returns how many these are too many.
    pub(crate) fn resize_copies(&mut self, pages: usize) -> usize {
        self.swap.room = pages;
        self.swap.held.saturating_sub(pages)
    }

    /// The same, with room for copies of so many pages.
    #[must_use]
    pub fn swapping(mut self, pages: usize) -> Self {
        self.swap.room = pages;
        self
    }

    /// Copies that there are.
    pub fn copies(&self) -> usize {
        self.swap.held
    }

    /// Whether there is room for copies of the pages of `table`.
    pub(crate) fn can_swap(&self, table: &PageTable) -> bool {
        let pages = table.pages.iter().filter(|&&page| page != kernels::Span::GONE).count();
        self.swap.held + pages <= self.swap.room
    }

    /// Gives back all pages of `table`, of which copies are made.
    pub(crate) fn swap_out(&mut self, table: PageTable) -> Swapped {
        let copy = |&page: &u32| {
            (page != kernels::Span::GONE).then(|| {
                self.swap.made += 1;
                self.swap.held += 1;
                let ticket = Ticket(self.swap.made);
                self.swap.moves.push(Move::Out(page, ticket));
                ticket
            })
        };
        let copies = table.pages.iter().map(copy).collect();
        let kept = PageTable { pages: Vec::new(), ..table.clone() };
        self.release(table);
        Swapped { table: kept, copies }
    }

    /// Puts copies back into pages; `None`, and nothing changed, if there are not enough.
    pub(crate) fn swap_in(&mut self, swapped: &Swapped) -> Option<PageTable> {
        if swapped.pages() > self.available() {
            return None;
        }
        let mut table = swapped.table.clone();
        for copy in &swapped.copies {
            let Some(ticket) = *copy else {
                table.pages.push(kernels::Span::GONE);
                continue;
            };
            let last = table.pages.last().copied();
            let page = self.free_page(last).or_else(|| self.evict())?;
            self.holders[page as usize] = 1;
            table.pages.push(page);
            self.swap.held -= 1;
            self.swap.moves.push(Move::In(ticket, page));
        }
        Some(table)
    }

    /// Gives up copies.
    pub(crate) fn drop_copies(&mut self, swapped: &Swapped) {
        for &ticket in swapped.copies.iter().flatten() {
            self.swap.held -= 1;
            self.swap.moves.push(Move::Drop(ticket));
        }
    }

    /// What is to be done before the next pass, in order; it is asked for once.
    pub(crate) fn take_moves(&mut self) -> Vec<Move> {
        std::mem::take(&mut self.swap.moves)
    }
}
