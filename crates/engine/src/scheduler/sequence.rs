//! One request under way.

use crate::cache::PageTable;
use crate::{Finish, Id, PromptImage, Request, Sampling, Slice};

#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) id: Id,
    /// Its number in the order of arrival.
    pub(super) arrival: u64,
    /// The prompt and what was sampled; in the rows of an image, its number.
    pub(super) tokens: Vec<u32>,
    pub(super) images: Vec<PromptImage>,
    /// How many of them are in the cache.
    pub(super) computed: usize,
    pub(super) table: PageTable,
    pub(super) sampling: Sampling,
    /// Whether a pass under way chooses one more token, which nobody has read.
    pub(super) unread: bool,
    /// How often it began anew: what an older pass says of it is out of date.
    pub(super) attempt: u32,
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
            images: request.images,
            computed: 0,
            table: PageTable::default(),
            sampling: request.sampling,
            unread: false,
            attempt: 0,
            stop: request.stop,
            longest,
        }
    }

    /// Tokens that are not in the cache; at least one, unless it is [spent](Self::is_spent).
    pub(super) fn remaining(&self) -> usize {
        self.length() - self.computed
    }

    /// All tokens, with one that nobody has read.
    fn length(&self) -> usize {
        self.tokens.len() + usize::from(self.unread)
    }

    /// Whether the token that nobody has read is the last in any case.
    pub(super) fn is_spent(&self) -> bool {
        self.unread && self.length() >= self.longest
    }

    /// The next `n` tokens.
    pub(super) fn slice(&self, n: usize) -> Slice {
        let end = self.computed + n;
        let known = end.min(self.tokens.len());
        let mut tokens = self.tokens[self.computed..known].to_vec();
        tokens.resize(n, Slice::UNREAD);
        Slice {
            id: self.id,
            start: self.computed,
            tokens,
            pages: self.table.pages.clone(),
            length: self.length(),
            sample: end == self.length(),
            attempt: self.attempt,
        }
    }

    /// Forgets what is in the cache and under way, and returns the pages.
    pub(super) fn restart(&mut self) -> PageTable {
        (self.computed, self.unread) = (0, false);
        self.attempt += 1;
        std::mem::take(&mut self.table)
    }

    /// Adds a sampled token, and says whether it is the last.
    pub(super) fn push(&mut self, token: u32) -> Option<Finish> {
        self.unread = false;
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
