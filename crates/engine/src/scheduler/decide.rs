//! What stands in the next step.

use super::floor::Audience;
use super::sequence::{Level, Sequence};
use super::{Preemption, Scheduler, Step};
use crate::cache::{Beginning, Kind, Move, Swapped};
use crate::{Id, Priority};

/// How many requests that do not fit are passed over for later ones in one step.
const PASSED_OVER: usize = 8;

/// A prompt that could have a part of the step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    id: Id,
    pub(super) level: Level,
    /// Tokens that its client had, and its place among others of the same.
    pub(super) rank: (u64, u64),
    remaining: usize,
    waits: bool,
}

impl Scheduler {
    /// Decides the next pass. It is empty only if there is nothing to do, or nothing before the
    /// step that is [ahead](Self::ahead) is completed.
    pub fn schedule(&mut self) -> Step {
        self.promote();
        let mut step = Step::new();
        let mut budget = self.limits.tokens;
        // Whoever waited too long has its token even where there are more sequences than tokens.
        let prompts = self.running.iter().chain(&self.waiting);
        let overdue = prompts.filter(|s| s.promoted.is_some() && s.remaining() > 1);
        let kept_back = overdue.map(|s| s.next(1, self.chunk())).max().unwrap_or(0);
        for id in self.decoding() {
            if budget <= kept_back {
                break;
            }
            budget = budget.saturating_sub(self.give(id, 1, &mut step));
        }
        let wanting = |sequence: &Sequence| sequence.remaining() > 1;
        if budget > 0 && (!self.waiting.is_empty() || self.running.iter().any(wanting)) {
            let continued = step.iter().filter_map(|slice| self.at(slice));
            let watched = |at: &usize| self.running[*at].priority == Priority::Interactive;
            let audience =
                Audience { watching: continued.filter(watched).count(), ..self.audience() };
            let budget = self.floor.allows(budget, audience);
            self.give_prompts(budget, &mut step);
        }
        // A sequence that was put aside after its slice was cut is not in this step after all.
        step.retain(|slice| self.is_live(slice));
        if step.is_empty() {
            // Whoever stands first can put all others aside.
            let mut running: Vec<_> = self.running.iter().map(|s| (s.standing(), s.id)).collect();
            running.sort_unstable();
            for (_, id) in running {
                if self.give(id, self.limits.tokens, &mut step) > 0 {
                    break;
                }
            }
            step.retain(|slice| self.is_live(slice));
        }
        // Passes of their own come after the one for all.
        step.sort_by_key(|slice| slice.alone);
        self.account(&step);
        step
    }

    /// All sequences, and whether they wait.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Sequence, bool)> {
        let running = self.running.iter().map(|sequence| (sequence, false));
        running.chain(self.waiting.iter().map(|sequence| (sequence, true)))
    }

    /// The sequences that want one token, the first first.
    fn decoding(&self) -> Vec<Id> {
        let one = self.running.iter().filter(|sequence| sequence.remaining() == 1);
        let mut one: Vec<_> = one.map(|sequence| (sequence.standing(), sequence.id)).collect();
        one.sort_unstable();
        one.into_iter().map(|(_, id)| id).collect()
    }

    /// Gives `budget` tokens to prompts: those that run, and those that are begun.
    ///
    /// They go by priority, then by how much their clients had, then in order of arrival. But half of the
    /// budget is for the shortest, so that a short one does not wait behind a long one, nor a long
    /// one behind many short ones.
    fn give_prompts(&mut self, mut budget: usize, step: &mut Step) {
        let prompts = self.candidates();
        let Some(&first) = prompts.first().filter(|_| budget > 0) else { return };
        let short = self.short(&prompts);
        let wanted: usize = short.iter().map(|prompt| prompt.remaining).sum();
        let mut lane = wanted.min(budget / 2);
        let mut blocked = Blocked::default();
        let given = self.give_prompt(first, budget - lane, step, &mut blocked);
        budget = (budget - lane).saturating_sub(given);
        for &prompt in &short {
            if lane == 0 {
                break;
            }
            lane = lane.saturating_sub(self.give_prompt(prompt, lane, step, &mut blocked));
        }
        budget += lane;
        for prompt in prompts {
            if budget == 0 {
                break;
            }
            if step.iter().all(|slice| slice.id != prompt.id) {
                let given = self.give_prompt(prompt, budget, step, &mut blocked);
                budget = budget.saturating_sub(given);
            }
        }
    }

    /// Those of `prompts` that are shorter than the first, the shortest first: of the most urgent level, and as many as
    /// there are places for beside the first.
    fn short(&self, prompts: &[Candidate]) -> Vec<Candidate> {
        let [first, others @ ..] = prompts else { return Vec::new() };
        let level = prompts.iter().map(|p| p.level).find(|&level| level != Level::Promoted);
        let shorter = |p: &&Candidate| Some(p.level) == level && p.remaining < first.remaining;
        let mut short: Vec<_> = others.iter().filter(shorter).copied().collect();
        short.sort_by_key(|prompt| (prompt.remaining, prompt.rank));
        let taken = self.running.len() + usize::from(first.waits);
        let mut places = self.limits.sequences.saturating_sub(taken);
        short.retain(|prompt| {
            let fits = !prompt.waits || places > 0;
            places -= usize::from(prompt.waits && fits);
            fits
        });
        short
    }

    /// All prompts that lack no image, in order.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let wants = |sequence: &Sequence, waits: bool| waits || sequence.remaining() > 1;
        let prompts = self.all().filter(|&(sequence, waits)| {
            wants(sequence, waits) && sequence.lacks(waits, self.chunk()).is_none()
        });
        let mut all: Vec<_> =
            prompts.map(|(sequence, waits)| self.candidate(sequence, waits)).collect();
        all.sort_by_key(|candidate| (candidate.level, candidate.rank));
        all
    }

    pub(super) fn candidate(&self, sequence: &Sequence, waits: bool) -> Candidate {
        let (level, number) = sequence.standing();
        let served = self.clients.served(sequence.priority, sequence.client);
        // Among those that waited too long, nobody's client counts.
        let served = if level == Level::Promoted { 0 } else { served };
        let (id, remaining) = (sequence.id, sequence.remaining());
        Candidate { id, level, rank: (served, number), remaining, waits }
    }

    fn give_prompt(
        &mut self,
        prompt: Candidate,
        most: usize,
        step: &mut Step,
        blocked: &mut Blocked,
    ) -> usize {
        if !prompt.waits {
            return self.give(prompt.id, most, step);
        }
        if blocked.all || blocked.passed_over == PASSED_OVER {
            return 0;
        }
        let given = self.admit(prompt.id, most, step);
        // Who waits for an image does not wait for room.
        let lacking = || {
            self.all().any(|(other, waits)| {
                other.id == prompt.id && other.lacks(waits, self.chunk()).is_some()
            })
        };
        if given == 0 && !lacking() {
            blocked.passed_over += 1;
            blocked.all |= prompt.level == Level::Promoted;
        }
        given
    }

    /// Gives up to `most` tokens to a running sequence, and returns how many.
    fn give(&mut self, id: Id, most: usize, step: &mut Step) -> usize {
        let Some(at) = self.running.iter().position(|sequence| sequence.id == id) else { return 0 };
        if self.running[at].is_spent() || self.turns_at(at) {
            return 0;
        }
        let wanted = self.running[at].next(most, self.chunk());
        if wanted == 0 || wanted > self.room_in(step) {
            return 0;
        }
        let n = self.room_for(id, wanted);
        if n > 0
            && let Some(sequence) = self.running.iter().find(|sequence| sequence.id == id)
        {
            step.push(sequence.slice(n));
        }
        n
    }

    /// How many more tokens the step holds. What cannot be cut may be more than was meant for it, but not more than this.
    fn room_in(&self, step: &Step) -> usize {
        let held: usize = step.iter().map(|slice| slice.tokens.len()).sum();
        self.limits.tokens.saturating_sub(held)
    }

    /// Begins the sequence `id` of the queue, if there is a place and there are pages for what it has so far, and
    /// returns how many of its tokens the step takes. Less urgent ones are put aside for it.
    fn admit(&mut self, id: Id, budget: usize, step: &mut Step) -> usize {
        let Some(at) = self.waiting.iter().position(|sequence| sequence.id == id) else { return 0 };
        let priority = self.waiting[at].priority;
        let below = || self.running.iter().filter(|other| is_below(other, priority));
        if self.running.len() >= self.limits.sequences && below().next().is_none() {
            return 0;
        }
        let theirs: usize = below().map(|other| other.table.pages.len()).sum();
        let mut sequence = self.waiting.remove(at);
        let beyond = self.limits.beyond(sequence.tokens.len());
        let kind = Kind { beyond, ..sequence.kind() };
        let found = match sequence.swapped {
            // It has all that it had.
            Some(_) => sequence.computed,
            None => {
                let (table, found) = self.pool.find(&sequence.tokens, kind);
                let shelved = if beyond { 0 } else { sequence.shelved };
                (sequence.table, sequence.computed) = (table, found.max(shelved));
                sequence.computed
            }
        };
        let n = sequence.next(budget, self.chunk());
        if n == 0 {
            self.give_back(&mut sequence);
            sequence.note_blind(found);
            self.waiting.push(sequence);
            return 0;
        }
        let gone = sequence.swapped.as_ref().map_or(0, Swapped::gone);
        let held = sequence.table.pages.len() + gone;
        let missing = self.pool.pages_for(sequence.tokens.len()).saturating_sub(held);
        if n <= self.room_in(step) && missing <= self.pool.available() + theirs {
            while (missing > self.pool.available() || self.running.len() >= self.limits.sequences)
                && let Some(last) = self.last_below(priority)
            {
                self.put_aside(last);
            }
        }
        if n > self.room_in(step)
            || missing > self.pool.available()
            || self.running.len() >= self.limits.sequences
            || !self.take_up(&mut sequence, n)
        {
            self.give_back(&mut sequence);
            self.waiting.push(sequence);
            return 0;
        }
        step.push(sequence.slice(n));
        self.running.push(sequence);
        n
    }

    /// Gives a sequence that is begun, or goes on, pages for `n` more tokens; false if there are not enough.
    fn take_up(&mut self, sequence: &mut Sequence, n: usize) -> bool {
        let end = sequence.computed + n;
        let Some(swapped) = &sequence.swapped else {
            let from = sequence.table.pages.len();
            let grown = self.pool.grow(&mut sequence.table, end);
            if grown {
                let page_size = self.pool.page_size();
                // What the tree had not, the shelf has.
                for at in from..sequence.computed / page_size {
                    let tokens = sequence.tokens[..(at + 1) * page_size].to_vec();
                    let beginning = Beginning { way: sequence.kind().way(), tokens };
                    self.pool.fetch(beginning, sequence.table.pages[at]);
                }
                self.pool.count(sequence.tokens.len(), sequence.computed);
                // One that was put aside before anything was computed is begun as if for the first time.
                sequence.found = sequence.found.map(|_| sequence.computed);
            }
            return grown;
        };
        let more = self.pool.pages_for(end).saturating_sub(swapped.gone());
        if more > self.pool.available() {
            return false;
        }
        let Some(mut table) = self.pool.swap_in(swapped) else { return false };
        let grown = self.pool.grow(&mut table, end);
        (sequence.swapped, sequence.table) = (None, table);
        grown
    }

    /// Takes back what a sequence was given that is not begun after all.
    fn give_back(&mut self, sequence: &mut Sequence) {
        if sequence.swapped.is_none() {
            self.pool.release(sequence.restart());
        }
    }

    /// The last of the running sequences that are less urgent than `priority`.
    fn last_below(&self, priority: Priority) -> Option<Id> {
        let below = self.running.iter().filter(|other| is_below(other, priority));
        below.max_by_key(|other| other.standing()).map(|other| other.id)
    }

    /// Makes room for up to `n` more tokens of the running sequence `id`, putting aside those that stand
    /// behind it if need be, and returns for how many there is room.
    fn room_for(&mut self, id: Id, n: usize) -> usize {
        loop {
            let Some(at) = self.running.iter().position(|s| s.id == id) else { return 0 };
            let sequence = &mut self.running[at];
            let end = sequence.computed + n;
            if self.pool.grow(&mut sequence.table, end) {
                return n;
            }
            // What fits already is better than putting others aside.
            let pages = sequence.table.pages.len() + self.pool.available();
            let fits = (pages * self.pool.page_size()).saturating_sub(sequence.computed).min(n);
            let fits = if sequence.invariant { 0 } else { fits };
            if fits > 0 && self.pool.grow(&mut sequence.table, sequence.computed + fits) {
                return fits;
            }
            let standing = self.running[at].standing();
            let behind = self.running.iter().filter(|other| other.standing() > standing);
            match behind.max_by_key(|other| other.standing()).map(|other| other.id) {
                Some(last) => self.put_aside(last),
                // The last waits for the others; alone, it always fits.
                None => return 0,
            }
        }
    }

    /// Takes the pages of a running sequence: they are copied and put back later, or computed again.
    fn put_aside(&mut self, id: Id) {
        let Some(at) = self.running.iter().position(|s| s.id == id) else { return };
        let mut sequence = self.running.remove(at);
        self.preemptions += 1;
        if self.copies_pay(&sequence) && self.pool.can_swap(&sequence.table) {
            self.swaps += 1;
            let table = sequence.stop();
            sequence.swapped = Some(self.pool.swap_out(table));
        } else {
            self.pool.release(sequence.restart());
        }
        self.waiting.push(sequence);
    }

    /// Whether the pages of a sequence are rather copied than computed again.
    fn copies_pay(&self, sequence: &Sequence) -> bool {
        match self.limits.preemption {
            Preemption::Recompute => false,
            _ if sequence.computed == 0 => false,
            Preemption::Swap => true,
            Preemption::Auto { page_seconds } => {
                let pages = self.pool.pages_for(sequence.computed) as f64;
                let again = self.floor.token_seconds().map(|one| one * sequence.computed as f64);
                again.is_some_and(|again| again > pages * page_seconds)
            }
        }
    }

    /// What is to be done with pages before the step that was just [scheduled](Self::schedule) is computed, in order. A copy that
    /// fails is [lost](Self::lost).
    pub fn moves(&mut self) -> Vec<Move> {
        self.pool.take_moves()
    }

    /// Has pages that are given away put on a shelf from now on.
    pub fn shelve(&mut self) {
        self.pool.shelve();
    }

    /// Asks a shelf, by `reach`, for how many pages of tokens of a way it has, on behalf of the sequence that waits as `id`. A
    /// sequence that is cut otherwise than its pages asks for none, and neither does one that began.
    pub fn ask_shelf(&mut self, id: Id, reach: impl FnOnce(u8, &[u32], usize) -> usize) {
        let (page_size, chunk) = (self.pool.page_size(), self.chunk());
        let Some(sequence) = self.waiting.iter_mut().find(|sequence| sequence.id == id) else {
            return;
        };
        if chunk != page_size || self.limits.beyond(sequence.tokens.len()) {
            return;
        }
        // Numbers of images are told apart in this engine only; and the last token is always computed.
        let words = sequence.images.first().map_or(usize::MAX, |image| image.positions.start);
        let most = words.min(sequence.tokens.len() - 1) / page_size;
        let tokens = &sequence.tokens[..most * page_size];
        let way = sequence.kind().way();
        sequence.shelved = reach(way, tokens, page_size).min(most) * page_size;
    }

    /// Takes in that `pages` could not be put back: whoever was to go on from them begins again, and is not in `step`.
    pub fn lost(&mut self, pages: &[u32], step: &mut Step) {
        let all = std::mem::take(&mut self.running);
        for mut sequence in all {
            if sequence.table.pages.iter().any(|page| pages.contains(page)) {
                sequence.shelved = 0;
                self.pool.release(sequence.restart());
                self.waiting.push(sequence);
            } else {
                self.running.push(sequence);
            }
        }
        step.retain(|slice| self.is_live(slice));
    }

    /// Whether the token that nobody has read takes the running sequence at `at` past the turn:
    /// what is in the cache is of no use for it.
    fn turns_at(&self, at: usize) -> bool {
        let sequence = &self.running[at];
        let length = sequence.tokens.len();
        sequence.unread && self.limits.beyond(length + 1) && !self.limits.beyond(length)
    }

    /// Of each priority, the oldest that got nothing for too long goes before all others from now on; but one at a
    /// time, so that those who are put off have a share and no more.
    fn promote(&mut self) {
        let ageing = self.limits.ageing as u64;
        for (priority, last) in Priority::ALL.into_iter().zip(&mut self.last_promotion) {
            if self.work < *last + ageing {
                continue;
            }
            let all = self.running.iter_mut().chain(&mut self.waiting);
            let due = all.filter(|sequence| {
                let starved = sequence.served + ageing <= self.work;
                sequence.priority == priority && sequence.promoted.is_none() && starved
            });
            if let Some(oldest) = due.min_by_key(|sequence| sequence.arrival) {
                oldest.promoted = Some(self.promotions);
                self.promotions += 1;
                *last = self.work;
            }
        }
    }

    /// Notes who got what.
    fn account(&mut self, step: &Step) {
        self.work += step.iter().map(|slice| slice.tokens.len() as u64).sum::<u64>();
        for slice in step {
            if let Some(at) = self.at(slice) {
                let sequence = &mut self.running[at];
                sequence.served = self.work;
                self.clients.charge(sequence.priority, sequence.client, slice.tokens.len());
            }
        }
    }
}

/// What stood in the way of requests that were to be begun in this step.
#[derive(Debug, Default)]
struct Blocked {
    passed_over: usize,
    /// Whether one that goes before all others waits for room.
    all: bool,
}

/// Whether `sequence` is less urgent than `priority`.
fn is_below(sequence: &Sequence, priority: Priority) -> bool {
    sequence.standing().0 > Level::Of(priority)
}
