//! One request under way.

use crate::cache::PageTable;
use crate::{Finish, Id, Request, Sampling, Slice};

#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) id: Id,
    /// Its number in the order of arrival.
    pub(super) arrival: u64,
    /// The prompt and what was sampled.
    pub(super) tokens: Vec<u32>,
    /// How many of them are in the cache.
    pub(super) computed: usize,
    pub(super) table: PageTable,
    pub(super) sampling: Sampling,
    stop: Vec<u32>,
    /// How long it may become.
    longest: usize,
}

impl Sequence {
    pub(super) fn new(id: Id, request: Request, arrival: u64) -> Self {
        let longest = request.prompt.len() + request.max_tokens;
        Self {
            id,
            arrival,
            tokens: request.prompt,
            computed: 0,
            table: PageTable::default(),
            sampling: request.sampling,
            stop: request.stop,
            longest,
        }
    }

    /// Tokens that are not in the cache; at least one.
    pub(super) fn remaining(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// The next `n` tokens.
    pub(super) fn slice(&self, n: usize) -> Slice {
        let end = self.computed + n;
        Slice {
            id: self.id,
            start: self.computed,
            tokens: self.tokens[self.computed..end].to_vec(),
            pages: self.table.pages.clone(),
            length: self.tokens.len(),
            sample: end == self.tokens.len(),
        }
    }

    /// Forgets what is in the cache, and returns the pages.
    pub(super) fn restart(&mut self) -> PageTable {
        self.computed = 0;
        std::mem::take(&mut self.table)
    }

    /// Adds a sampled token, and says whether it is the last.
    pub(super) fn push(&mut self, token: u32) -> Option<Finish> {
        self.tokens.push(token);
        if self.stop.contains(&token) {
            Some(Finish::Stop)
        } else if self.tokens.len() >= self.longest {
            Some(Finish::Length)
        } else {
            None
        }
    }
}
