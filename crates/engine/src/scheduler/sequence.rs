//! One request under way.

use crate::cache::{Kind, PageTable, Swapped};
use crate::{Finish, Id, Priority, PromptImage, Request, Sampling, Slice};

/// A priority, or above all of them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Level {
    Promoted,
    Of(Priority),
}

/// A level, and a number within it.
pub(super) type Standing = (Level, u64);

#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) id: Id,
    /// Its number in the order of arrival.
    pub(super) arrival: u64,
    pub(super) priority: Priority,
    pub(super) client: u64,
    /// Whether its tokens stand in passes of their own.
    pub(super) invariant: bool,
    /// Its number among those that had waited too long and go before all others.
    pub(super) promoted: Option<u64>,
    /// How much had been computed in all when it last got something, or came.
    pub(super) served: u64,
    /// The prompt and what was sampled; in the rows of an image, its number.
    pub(super) tokens: Vec<u32>,
    pub(super) images: Vec<PromptImage>,
    /// Which of them can be shown by now.
    pub(super) seen: Vec<bool>,
    /// While it waits: the image that must be seen before it can begin, as far as is known.
    pub(super) blind: Option<usize>,
    /// How many of them are in the cache.
    pub(super) computed: usize,
    /// How many of them were found in it when it was begun, until that is told.
    pub(super) found: Option<usize>,
    pub(super) table: PageTable,
    /// How many of its first tokens are on a shelf, as far as is known.
    pub(super) shelved: usize,
    /// While it waits: the copies of its pages, from which it goes on where it stopped.
    pub(super) swapped: Option<Swapped>,
    pub(super) sampling: Sampling,
    /// Whether a pass under way chooses one more token, which nobody has read.
    pub(super) unread: bool,
    /// How often it began anew: what an older pass says of it is out of date.
    pub(super) attempt: u32,
    stop: Vec<u32>,
    /// How many of its tokens are the prompt's.
    pub(super) prompt: usize,
    /// How long it may become.
    longest: usize,
}

impl Sequence {
    /// One that has come when so many tokens (`work`) had been computed in all.
    pub(super) fn new(id: Id, request: Request, arrival: u64, work: u64) -> Self {
        let longest = request.prompt.len() + request.max_tokens;
        Self {
            id,
            arrival,
            priority: request.priority,
            client: request.client,
            invariant: request.invariant,
            promoted: None,
            served: work,
            tokens: request.prompt,
            seen: vec![false; request.images.len()],
            blind: None,
            images: request.images,
            computed: 0,
            found: Some(0),
            table: PageTable::default(),
            shelved: 0,
            swapped: None,
            sampling: request.sampling,
            unread: false,
            attempt: 0,
            stop: request.stop,
            prompt: longest - request.max_tokens,
            longest,
        }
    }

    /// With whom it shares pages, short of the turn.
    pub(super) fn kind(&self) -> Kind {
        Kind { beyond: false, alone: self.invariant }
    }

    /// Where it stands among all, the first first. It changes only when it is promoted, so two
    /// sequences never put each other aside in turn.
    pub(super) fn standing(&self) -> Standing {
        match self.promoted {
            Some(number) => (Level::Promoted, number),
            None => (Level::Of(self.priority), self.arrival),
        }
    }

    /// Tokens that are not in the cache; at least one, unless it is [spent](Self::is_spent).
    pub(super) fn remaining(&self) -> usize {
        self.length() - self.computed
    }

    /// How long it may become.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// All tokens, with one that nobody has read.
    fn length(&self) -> usize {
        self.tokens.len() + usize::from(self.unread)
    }

    /// Whether the token that nobody has read is the last in any case.
    pub(super) fn is_spent(&self) -> bool {
        self.unread && self.length() >= self.longest
    }

    /// How many tokens the next slice has, of `most`; none if the next one is of an image that was not seen. That of an
    /// invariant sequence depends on nothing but its own tokens: prompts are cut at multiples of `chunk`, and what was added
    /// comes one by one, as it did the first time.
    pub(super) fn next(&self, most: usize, chunk: usize) -> usize {
        let shown =
            self.unseen(self.computed).map_or(usize::MAX, |at| self.images[at].positions.start);
        let shown = shown.saturating_sub(self.computed);
        if !self.invariant {
            return self.remaining().min(most).min(shown);
        }
        let next = match self.prompt.checked_sub(self.computed) {
            None | Some(0) => 1,
            Some(rest) => rest.min(chunk),
        };
        if next <= shown { next } else { 0 }
    }

    /// The first image that cannot be shown and is not wholly among so many tokens.
    fn unseen(&self, computed: usize) -> Option<usize> {
        let ends = self.images.iter().map(|image| image.positions.end);
        ends.zip(&self.seen).position(|(end, seen)| end > computed && !seen)
    }

    /// Takes note of the image without which it cannot begin, where so many tokens were `found`.
    pub(super) fn note_blind(&mut self, found: usize) {
        self.blind = self.unseen(found);
    }

    /// The image without which it cannot go on, or begin if it waits.
    pub(super) fn lacks(&self, waits: bool, chunk: usize) -> Option<&PromptImage> {
        let lacked = if waits {
            self.blind.filter(|&at| !self.seen[at])
        } else {
            self.unseen(self.computed).filter(|_| self.next(usize::MAX, chunk) == 0)
        };
        lacked.map(|at| &self.images[at])
    }

    /// How many of the first `end` tokens may be shared with others that begin alike.
    pub(super) fn shared(&self, end: usize, chunk: usize) -> usize {
        if self.invariant { end.min(self.prompt / chunk * chunk) } else { end }
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
            alone: self.invariant,
            attempt: self.attempt,
        }
    }

    /// Forgets what is under way, but keeps what is in the cache, and returns the pages. What a pass under way chooses is lost,
    /// so the last token that is known is computed once more.
    pub(super) fn stop(&mut self) -> PageTable {
        self.computed = self.computed.min(self.tokens.len().saturating_sub(1));
        (self.unread, self.blind) = (false, None);
        self.attempt += 1;
        std::mem::take(&mut self.table)
    }

    /// Forgets what is in the cache and under way, and returns the pages.
    pub(super) fn restart(&mut self) -> PageTable {
        (self.computed, self.unread, self.blind) = (0, false, None);
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
