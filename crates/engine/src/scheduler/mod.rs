//! Which tokens run next: a pure decision, so it can be simulated.

mod clients;
mod decide;
mod floor;
mod look;
mod sequence;

use clients::Clients;
pub use floor::Shape;
use floor::{Audience, Floor};
use sequence::Sequence;

use crate::cache::{Kind, PagePool, PrefixStats};
use crate::sight::{Numbers, SightStats};
use crate::{
    Event, Failure, Finish, Flaw, Id, Past, Priority, PromptImage, Refusal, Request, Sampling,
};

/// What a step may hold and a sequence may grow to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Tokens that one forward pass may hold.
    pub tokens: usize,
    /// Sequences that may run at once.
    pub sequences: usize,
    /// Positions that the network has.
    pub context: usize,
    /// Tokens that the network knows.
    pub vocabulary: usize,
    /// How far back every layer looks at most, if none looks back to the beginning.
    pub window: Option<usize>,
    /// The length beyond which a network computes a sequence otherwise, all of it. A sequence that
    /// grows past it begins again, and none shares pages with one on the other side.
    pub turn: Option<usize>,
    /// Requests of each priority that may wait.
    pub waiting: usize,
    /// After how many tokens computed for others a sequence that got nothing goes before all of them, whatever
    /// its priority; of each priority one in as many tokens. So a sequence before which `k` of its
    /// priority have come stands first after `(k + 1) * (ageing + tokens)` tokens at the latest, and
    /// then waits for none but those that stood first before it.
    pub ageing: usize,
    /// The share of its rate that an [interactive](Priority::Interactive) sequence keeps while prompts are read, from 0, which
    /// promises nothing, to below 1. It needs to be [told](Scheduler::took) how long steps take.
    pub decode_share: f64,
    /// Tokens of prompts that are worth a step, where that share leaves them few.
    pub piece: usize,
    /// What becomes of the pages of a sequence that is put aside.
    pub preemption: Preemption,
}

/// What becomes of the pages of a sequence that is put aside.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Preemption {
    /// They are given away, and computed again later.
    #[default]
    Recompute,
    /// They are copied to other memory, and put back later; computed again where that memory is full.
    Swap,
    /// The one of the two that takes less time.
    Auto {
        /// Seconds in which a page is copied and put back.
        page_seconds: f64,
    },
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tokens: 512,
            sequences: 64,
            context: usize::MAX,
            vocabulary: usize::MAX,
            window: None,
            turn: None,
            waiting: 1024,
            ageing: 32 * 1024,
            decode_share: 0.85,
            piece: 16,
            preemption: Preemption::default(),
        }
    }
}

impl Limits {
    /// Whether a sequence of so many tokens is beyond the turn.
    fn beyond(&self, tokens: usize) -> bool {
        self.turn.is_some_and(|turn| tokens > turn)
    }
}

/// The tokens of one sequence that the next pass computes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Slice {
    /// Whose they are.
    pub id: Id,
    /// The position of the first.
    pub start: usize,
    /// The tokens; at least one. The last may be [`Slice::UNREAD`]. What is not below the size of the vocabulary stands for a
    /// row of an image.
    pub tokens: Vec<u32>,
    /// The pages of the sequence.
    pub pages: Vec<u32>,
    /// How many tokens the sequence has by now, those of later passes included.
    pub length: usize,
    /// Whether the last row is to be sampled.
    pub sample: bool,
    /// Whether it is computed in a pass of its own: see [`Request::invariant`].
    pub alone: bool,
    attempt: u32,
}

impl Slice {
    /// Stands for the token that the pass before this one chose and nobody has read yet.
    pub const UNREAD: u32 = u32::MAX;

    /// One past the position of the last token.
    pub(crate) fn end(&self) -> usize {
        self.start + self.tokens.len()
    }
}

/// One forward pass.
pub type Step = Vec<Slice>;

/// What the scheduler has in hand.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Status {
    /// Sequences that have not begun, or were put aside.
    pub waiting: usize,
    /// Sequences that are being continued.
    pub running: usize,
    /// Those that wait, by priority, the most urgent first.
    pub waiting_by_priority: [usize; 3],
    /// Those that are being continued, by priority.
    pub running_by_priority: [usize; 3],
    /// Pages that are held.
    pub pages_held: usize,
    /// Pages that are kept for their tokens.
    pub pages_kept: usize,
    /// Pages in all.
    pub pages: usize,
    /// How often a sequence was put aside, for want of pages or for one that is more urgent.
    pub preemptions: u64,
    /// How many of them were copied, and not computed again.
    pub swaps: u64,
    /// Copies of pages that there are.
    pub pages_copied: usize,
    /// How many sequences had waited too long, and went before all others.
    pub promotions: u64,
    /// How often the beginning of a prompt was found.
    pub prefix: PrefixStats,
    /// How often an image was seen already. Only an engine knows.
    pub sight: SightStats,
}

/// Continuous batching with chunked prefill over paged memory.
///
/// Sequences that are being continued go first, one token each; prompts fill what is left of the
/// step: the most urgent first, among them those of the client that had least, and half of it the shortest. When
/// pages run out, the newest of the least urgent sequences is put aside, and copied or computed again later. Whoever
/// stands first always advances, and whoever waited too long stands first, so every sequence
/// ends.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    pool: PagePool,
    waiting: Vec<Sequence>,
    running: Vec<Sequence>,
    clients: Clients,
    /// Tokens that were computed.
    work: u64,
    arrivals: u64,
    preemptions: u64,
    swaps: u64,
    promotions: u64,
    /// How much had been computed when one of each priority was last promoted.
    last_promotion: [u64; 3],
    numbers: Numbers,
    floor: Floor,
}

impl Scheduler {
    /// An idle scheduler.
    ///
    /// # Panics
    ///
    /// If a limit is zero.
    pub fn new(limits: Limits, pool: PagePool) -> Self {
        assert!(limits.tokens > 0 && limits.sequences > 0, "{limits:?}");
        Self {
            limits,
            pool,
            waiting: Vec::new(),
            running: Vec::new(),
            clients: Clients::default(),
            work: 0,
            arrivals: 0,
            preemptions: 0,
            swaps: 0,
            promotions: 0,
            last_promotion: [0; 3],
            numbers: Numbers::default(),
            floor: Floor::new(limits.decode_share, limits.piece),
        }
    }

    /// Queues a request.
    ///
    /// # Errors
    ///
    /// If it can never be finished, or too many wait already.
    pub fn add(&mut self, id: Id, request: Request) -> Result<(), Refusal> {
        let (prompt, max_tokens) = (request.prompt.len(), request.max_tokens);
        let vocabulary = self.limits.vocabulary;
        if prompt == 0 {
            return Err(Refusal::EmptyPrompt);
        }
        if max_tokens == 0 {
            return Err(Refusal::NoTokens);
        }
        if let Some(&token) = request.prompt.iter().find(|&&token| token as usize >= vocabulary) {
            return Err(Refusal::UnknownToken { token, vocabulary });
        }
        let mut end = 0;
        for PromptImage { positions, picture, .. } in &request.images {
            let fits = positions.start >= end && positions.end <= prompt;
            if !fits || positions.len() != picture.tokens || positions.is_empty() {
                let (positions, tokens) = (positions.clone(), picture.tokens);
                return Err(Refusal::ImagePlace { positions, tokens, prompt });
            }
            end = positions.end;
        }
        let memory = self.pool.capacity() * self.pool.page_size();
        let limit = self.limits.context.min(memory);
        if prompt.saturating_add(max_tokens) > limit {
            return Err(Refusal::TooLong { prompt, max_tokens, limit });
        }
        let (priority, limit) = (request.priority, self.limits.waiting);
        let waiting = self.waiting.iter().filter(|other| other.priority == priority).count();
        if waiting >= limit {
            return Err(Refusal::QueueFull { priority, waiting, limit });
        }
        let mut request = request;
        let from = u32::try_from(vocabulary).unwrap_or(u32::MAX);
        for PromptImage { positions, digest, .. } in &request.images {
            let number = self.numbers.of(digest, from).ok_or(Refusal::WornOut)?;
            request.prompt[positions.clone()].fill(number);
        }
        self.arrivals += 1;
        self.clients.enter(priority, request.client);
        self.waiting.push(Sequence::new(id, request, self.arrivals, self.work));
        Ok(())
    }

    /// Forgets a request; `None` if it is already over.
    pub fn cancel(&mut self, id: Id) -> Option<Event> {
        self.end(id, |_| Finish::Cancelled)
    }

    /// Ends a sequence for what `why` makes of its length; `None` if it is already over.
    pub(crate) fn end(&mut self, id: Id, why: impl FnOnce(usize) -> Finish) -> Option<Event> {
        let in_queue = self.waiting.iter().position(|sequence| sequence.id == id);
        let sequence = match in_queue {
            Some(at) => self.waiting.remove(at),
            None => {
                let at = self.running.iter().position(|sequence| sequence.id == id)?;
                self.running.remove(at)
            }
        };
        let finish = why(sequence.tokens.len());
        self.give_up(sequence);
        Some(Event::Finished(id, finish))
    }

    /// Takes back all that a sequence has that ended.
    fn give_up(&mut self, sequence: Sequence) {
        self.clients.leave(sequence.priority, sequence.client);
        if let Some(swapped) = &sequence.swapped {
            self.pool.drop_copies(swapped);
        }
        self.pool.release(sequence.table);
    }

    /// Whether there is nothing left to do.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// What is in hand.
    pub fn status(&self) -> Status {
        let by_priority = |sequences: &[Sequence]| {
            Priority::ALL.map(|p| sequences.iter().filter(|other| other.priority == p).count())
        };
        Status {
            waiting: self.waiting.len(),
            running: self.running.len(),
            waiting_by_priority: by_priority(&self.waiting),
            running_by_priority: by_priority(&self.running),
            pages_held: self.pool.capacity() - self.pool.available(),
            pages_kept: self.pool.kept(),
            pages: self.pool.capacity(),
            preemptions: self.preemptions,
            swaps: self.swaps,
            pages_copied: self.pool.copies(),
            promotions: self.promotions,
            prefix: self.pool.stats(),
            sight: SightStats::default(),
        }
    }

    /// Makes the cache one of `pages` pages, or of as many more as were written or as a request that is under way may come
    /// to need: it was let in because it fits. Returns how many there are now.
    pub fn resize(&mut self, pages: usize) -> usize {
        let all = self.running.iter().chain(&self.waiting);
        let promised = all.map(|sequence| self.pool.pages_for(sequence.longest())).max();
        self.pool.resize(pages.max(promised.unwrap_or(0)))
    }

    /// The pages, for who decides how many there are to be.
    pub(crate) fn pool(&mut self) -> &mut PagePool {
        &mut self.pool
    }

    /// The tokens so far and the sampling of the sequence that `slice` belongs to, unless it has
    /// ended or begun anew.
    pub(crate) fn sequence(&self, slice: &Slice) -> Option<(Past<'_>, &Sampling)> {
        let sequence = &self.running[self.at(slice)?];
        let past = Past { tokens: &sequence.tokens, prompt: sequence.prompt };
        Some((past, &sequence.sampling))
    }

    /// The images of the sequence that `slice` belongs to.
    pub(crate) fn images(&self, slice: &Slice) -> &[PromptImage] {
        self.at(slice).map_or(&[], |at| &self.running[at].images)
    }

    /// Whether somebody still waits for what `slice` computes.
    pub fn is_live(&self, slice: &Slice) -> bool {
        self.at(slice).is_some()
    }

    fn at(&self, slice: &Slice) -> Option<usize> {
        let same = |s: &Sequence| s.id == slice.id && s.attempt == slice.attempt;
        self.running.iter().position(same)
    }

    /// Takes `step` for computed, though its outcome is not known: the next [`Scheduler::schedule`]
    /// builds on it, with [`Slice::UNREAD`] for tokens that it chooses. A sequence that turns out to
    /// have ended with such a token has computed one too many, which [`Scheduler::complete`] drops.
    /// One step at most is ahead: it is completed before the next is taken for computed.
    pub fn ahead(&mut self, step: &[Slice]) {
        for slice in step {
            if let Some(at) = self.at(slice) {
                let sequence = &mut self.running[at];
                (sequence.computed, sequence.unread) = (slice.end(), slice.sample);
            }
        }
    }

    /// Takes in that a step of this shape took so many seconds.
    pub fn took(&mut self, shape: Shape, seconds: f64) {
        self.floor.took(shape, seconds);
    }

    /// Where prompts of invariant sequences are cut: a page where it fits a step, so that pages can be shared.
    fn chunk(&self) -> usize {
        self.pool.page_size().min(self.limits.tokens)
    }

    /// Sets how many seconds prompts may add to a step from now on, at least a [piece](Limits::piece) of them; for the
    /// sake of other networks on the device.
    pub fn set_longest(&mut self, seconds: Option<f64>) {
        self.floor.set_longest(seconds);
    }

    /// Who watches, and who would.
    fn audience(&self) -> Audience {
        let urgent = |(s, _): &(&Sequence, bool)| s.priority == Priority::Interactive;
        let wants = |waits: bool, s: &Sequence| waits || s.remaining() > 1;
        let waiting = self.all().filter(urgent).filter(|(s, waits)| wants(*waits, s)).count();
        let all = self.all().filter(urgent).count();
        Audience { watching: all - waiting, waiting }
    }

    /// Whether a running [interactive](Priority::Interactive) sequence is being continued.
    pub fn is_watched(&self) -> bool {
        self.audience().watching > 0
    }

    /// Takes in what the pass sampled: one outcome for each slice with `sample`, in order.
    pub fn complete(&mut self, step: &[Slice], sampled: &[Result<u32, Flaw>]) -> Vec<Event> {
        let mut events = Vec::new();
        let mut sampled = sampled.iter().cloned();
        let chunk = self.chunk();
        for slice in step {
            let outcome = if slice.sample { sampled.next() } else { None };
            // Ended or put aside while the pass was under way.
            let Some(at) = self.at(slice) else { continue };
            let (sequence, end) = (&mut self.running[at], slice.end());
            // A later pass may build on this one already.
            sequence.computed = sequence.computed.max(end);
            let found = sequence.found.take();
            events.extend(found.map(|found| Event::Begun(slice.id, found)));
            if !sequence.invariant || chunk == self.pool.page_size() {
                let shared = sequence.shared(end, chunk);
                self.pool.remember(&mut sequence.table, &sequence.tokens[..shared]);
            }
            if let Some(window) = self.limits.window {
                let from = (end + 1).saturating_sub(window);
                self.pool.leave_behind(&mut sequence.table, from);
            }
            let finish = match outcome {
                None => {
                    events.push(Event::Progress(slice.id, end));
                    None
                }
                Some(Err(flaw)) => Some(Finish::Failed(flaw.at(end - 1))),
                Some(Ok(token)) => {
                    events.push(Event::Token(slice.id, token));
                    sequence.push(token)
                }
            };
            if let Some(finish) = finish {
                let sequence = self.running.remove(at);
                self.give_up(sequence);
                events.push(Event::Finished(slice.id, finish));
            } else if self.limits.beyond(sequence.tokens.len())
                && !self.limits.beyond(sequence.computed)
                && slice.sample
            {
                // With its last token it went past the turn: what is in the cache is of no use now.
                self.pool.release(sequence.restart());
                (sequence.table, sequence.computed) =
                    self.pool.find(&sequence.tokens, Kind { beyond: true, ..sequence.kind() });
                self.pool.count(sequence.tokens.len(), sequence.computed);
            }
        }
        debug_assert!(sampled.next().is_none(), "more samples than slices to sample");
        events
    }

    /// Ends every sequence of `step`, whose pass broke, and forgets all pages, whose content can
    /// no longer be trusted. Other running sequences begin again.
    pub fn abandon(&mut self, step: &[Slice], failure: &Failure) -> Vec<Event> {
        let mut events = Vec::new();
        for mut sequence in std::mem::take(&mut self.running) {
            if step.iter().any(|s| s.id == sequence.id && s.attempt == sequence.attempt) {
                let finish = Finish::Failed(failure.clone());
                events.push(Event::Finished(sequence.id, finish));
                self.clients.leave(sequence.priority, sequence.client);
            } else {
                sequence.restart();
                self.waiting.push(sequence);
            }
        }
        // What was copied may be of the same making.
        for sequence in &mut self.waiting {
            if let Some(swapped) = sequence.swapped.take() {
                self.pool.drop_copies(&swapped);
                sequence.restart();
            }
        }
        self.pool.clear();
        events
    }
}
