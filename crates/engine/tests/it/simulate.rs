//! The scheduler against a made-up device, over many seeds.

use std::collections::{BTreeMap, BTreeSet};

use engine::{
    Beginning, Event, Failure, Finish, Id, Limits, Move, PagePool, Preemption, Priority, Refusal,
    Request, Scheduler, Shape, Slice, Step, Ticket,
};

const SEEDS: u64 = 1_500;

/// The token that a made-up network puts after `tokens`: a function of all of them, so that a
/// sequence whose past was lost or mixed up goes wrong.
fn next(tokens: &[u32]) -> u32 {
    tokens.iter().fold(7, |hash: u32, token| (hash ^ token).wrapping_mul(0x0100_0193) >> 3) % 50
}

/// What is added to each token of a sequence that is longer than the turn.
fn mark(limits: &Limits, length: usize) -> u32 {
    if limits.turn.is_some_and(|turn| length > turn) { 1000 } else { 0 }
}

/// What a made-up device has in the pages of its cache.
#[derive(Default)]
struct Memory {
    pages: BTreeMap<u32, Vec<Option<u32>>>,
    copies: BTreeMap<Ticket, Vec<Option<u32>>>,
    shelf: BTreeMap<(u8, Vec<u32>), Vec<Option<u32>>>,
}

impl Memory {
    /// Copies pages and puts copies back: the pages for which that failed.
    fn carry(&mut self, moves: Vec<Move>, random: &mut Random) -> Vec<u32> {
        let mut lost = Vec::new();
        for to_do in moves {
            match to_do {
                Move::Out(page, ticket) => {
                    let copy = self.pages.get(&page).cloned().unwrap_or_default();
                    assert!(self.copies.insert(ticket, copy).is_none(), "{ticket:?} twice");
                }
                Move::In(ticket, page) => {
                    let copy = self.copies.remove(&ticket).expect("a copy that was never made");
                    self.pages.insert(page, copy);
                }
                Move::Drop(ticket) => drop(self.copies.remove(&ticket).expect("a copy")),
                Move::Shelve(page, Beginning { way, tokens }) => {
                    let copy = &self.pages[&page];
                    assert!(copy.iter().all(Option::is_some), "a page that is not full");
                    self.shelf.insert((way, tokens), copy.clone());
                }
                Move::Fetch(Beginning { way, tokens }, page) => {
                    let copy = &self.shelf[&(way, tokens)];
                    if random.below(8) == 0 {
                        lost.push(page);
                    } else {
                        self.pages.insert(page, copy.clone());
                    }
                }
            }
        }
        lost
    }

    /// How many of the first pages of `tokens` are on the shelf.
    fn reach(&self, way: u8, tokens: &[u32], page_size: usize) -> usize {
        let has = |&n: &usize| self.shelf.contains_key(&(way, tokens[..n * page_size].to_vec()));
        (1..=tokens.len() / page_size).take_while(has).count()
    }

    /// Computes a slice: writes its tokens, reads its whole past, and continues it. All tokens are
    /// known by the time the device gets to it.
    fn run(&mut self, slice: &Slice, page_size: usize, limits: &Limits) -> u32 {
        assert!(!slice.tokens.contains(&Slice::UNREAD), "a token that nobody chose");
        let window = limits.window;
        for (position, &token) in (slice.start..).zip(&slice.tokens) {
            let token = token + mark(limits, slice.length);
            let page = self.pages.entry(slice.pages[position / page_size]).or_default();
            page.resize(page_size, None);
            page[position % page_size] = Some(token);
        }
        let end = slice.start + slice.tokens.len();
        let from = window.map_or(0, |window| end.saturating_sub(window));
        let past = (from..end).map(|position| {
            let page = &self.pages[&slice.pages[position / page_size]];
            page[position % page_size].expect("a slot that was never written is read")
        });
        next(&past.collect::<Vec<_>>())
    }
}

struct World {
    scheduler: Scheduler,
    /// Pages that may be kept, and copied.
    kept: usize,
    copies: usize,
    /// Whether the next step is decided before the outcome of one is known.
    overlaps: bool,
    limits: Limits,
    page_size: usize,
    memory: Memory,
    random: Random,
    seed: u64,
    wanted: BTreeMap<Id, Request>,
    got: BTreeMap<Id, Vec<u32>>,
    ended: BTreeMap<Id, Finish>,
    found: BTreeMap<Id, usize>,
    /// A step that the device has been given and whose outcome was not asked for.
    under_way: Option<Step>,
    /// Rows that were computed for sequences that had ended.
    overshot: u64,
    /// Requests for which there was no place in the queue.
    refused: u64,
    /// How often there were more pages afterwards, or as many, and how often fewer.
    resized: [u64; 2],
}

impl World {
    fn new(seed: u64, overlaps: bool) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let page_size = 1 + random.below(8);
        let pages = 12 + random.below(60);
        let limits = Limits {
            tokens: random.below(64) + 1,
            sequences: random.below(8) + 1,
            context: 120,
            vocabulary: 50,
            window: (random.below(3) == 0).then(|| 1 + random.below(20)),
            turn: (random.below(3) == 0).then(|| 1 + random.below(60)),
            waiting: 1 + random.below(40),
            ageing: 1 + random.below(400),
            decode_share: [0.0, 0.5, 0.8][random.below(3)],
            piece: 1 + random.below(20),
            preemption: [
                Preemption::Recompute,
                Preemption::Swap,
                Preemption::Auto { page_seconds: 0.1 },
            ][random.below(3)],
        };
        let pool = PagePool::new(page_size, pages);
        let (kept, copies) = (random.below(2 * pages), random.below(2 * pages));
        let mut scheduler = Scheduler::new(limits, pool.keeping(kept).swapping(copies));
        if random.below(2) == 0 {
            scheduler.shelve();
        }
        Self {
            scheduler,
            kept,
            copies,
            overlaps,
            limits,
            page_size,
            memory: Memory::default(),
            random,
            seed,
            wanted: BTreeMap::new(),
            got: BTreeMap::new(),
            ended: BTreeMap::new(),
            found: BTreeMap::new(),
            under_way: None,
            overshot: 0,
            refused: 0,
            resized: [0; 2],
        }
    }

    fn add(&mut self, id: Id) {
        let max_tokens = self.random.below(20) + 1;
        // Few different tokens and common beginnings: pages are shared.
        let common = [1, 2, 3, 4, 5, 6, 7, 8].repeat(4);
        let mut prompt = common[..self.random.below(common.len())].to_vec();
        prompt.extend((0..=self.random.below(40)).map(|_| self.random.below(3) as u32));
        let stop = vec![self.random.below(50) as u32];
        let priority = Priority::ALL[self.random.below(3)];
        let client = self.random.below(3) as u64;
        let request = Request { prompt, max_tokens, stop, priority, client, ..Request::default() };
        match self.scheduler.add(id, request.clone()) {
            Ok(()) => {
                let memory = &self.memory;
                self.scheduler.ask_shelf(id, |way, tokens, size| memory.reach(way, tokens, size));
                self.wanted.insert(id, request);
            }
            Err(Refusal::TooLong { limit, .. }) => {
                assert!(request.prompt.len() + max_tokens > limit);
            }
            Err(Refusal::QueueFull { priority, waiting, limit }) => {
                assert_eq!((priority, limit), (request.priority, self.limits.waiting));
                assert!(waiting >= limit, "seed {}", self.seed);
                self.refused += 1;
            }
            Err(other) => panic!("seed {}: {other}", self.seed),
        }
    }

    /// Another number of pages: what is under way still ends, with the same tokens.
    fn resize(&mut self) {
        let (before, wanted) = (self.scheduler.status(), 1 + self.random.below(90));
        let pages = self.scheduler.resize(wanted);
        let after = self.scheduler.status();
        assert_eq!(after.pages, pages);
        assert!(pages >= wanted && pages >= after.pages_held + after.pages_kept);
        assert!(pages <= wanted.max(before.pages), "seed {}: it grew unasked", self.seed);
        assert_eq!((before.pages_held, before.pages_kept), (after.pages_held, after.pages_kept));
        self.resized[usize::from(pages < before.pages)] += 1;
    }

    fn step(&mut self) {
        let Self { seed, limits, page_size, .. } = *self;
        let step = self.under_way.take().unwrap_or_else(|| {
            let idle = self.scheduler.is_idle();
            let mut step = self.scheduler.schedule();
            assert_eq!(step.is_empty(), idle, "seed {seed}: work is left but nothing is scheduled");
            let lost = self.memory.carry(self.scheduler.moves(), &mut self.random);
            self.scheduler.lost(&lost, &mut step);
            step
        });
        self.check_step(&step);
        // Now and then a step must be waited for before the next is decided.
        let next = (self.overlaps && self.random.below(4) > 0).then(|| {
            self.scheduler.ahead(&step);
            let next = self.scheduler.schedule();
            (next, self.scheduler.moves())
        });
        self.overshot += step.iter().filter(|s| !self.scheduler.is_live(s)).count() as u64;
        if self.random.below(200) == 0 && !step.is_empty() {
            let failure = Failure::Panicked { what: "boom".into() };
            if let Some((_, moves)) = next {
                self.memory.carry(moves, &mut self.random);
            }
            let events = self.scheduler.abandon(&step, &failure);
            self.memory.carry(self.scheduler.moves(), &mut self.random);
            assert!(self.memory.copies.is_empty(), "seed {seed}");
            self.memory.pages.clear();
            assert!(events.len() <= step.len(), "seed {seed}");
            assert!(self.overlaps || events.len() == step.len(), "seed {seed}");
            return self.record(events);
        }
        let (mut sampled, mut chosen) = (Vec::new(), BTreeMap::new());
        for slice in &step {
            let token = self.memory.run(slice, page_size, &limits);
            if slice.sample {
                sampled.push(Ok(token));
                chosen.insert(slice.id, token);
            }
        }
        // The device gets to it after the step that it was given before.
        let next = next.map(|(mut next, moves)| {
            let lost = self.memory.carry(moves, &mut self.random);
            self.scheduler.lost(&lost, &mut next);
            next
        });
        let events = self.scheduler.complete(&step, &sampled);
        let status = self.scheduler.status();
        assert!(status.pages_kept <= self.kept, "seed {seed}");
        assert!(status.pages_copied <= self.copies, "seed {seed}");
        assert_eq!(status.pages_copied, self.memory.copies.len(), "seed {seed}");
        self.record(events);
        let decode = step.iter().filter(|s| s.sample && s.tokens.len() == 1).count();
        let prompt = step.iter().map(|s| s.tokens.len()).sum::<usize>() - decode;
        let token = [0.001, 0.1, 5.0][self.random.below(3)];
        self.scheduler.took(Shape { decode, prompt }, 0.1 + token * prompt as f64);
        // What the device has chosen goes into the step that it was given unread; one that nobody
        // waits for is not computed.
        let next = next.filter(|step| step.iter().any(|slice| self.scheduler.is_live(slice)));
        self.under_way = next.map(|mut step| {
            for slice in &mut step {
                let unread = slice.tokens.iter_mut().filter(|token| **token == Slice::UNREAD);
                unread.for_each(|token| *token = chosen[&slice.id]);
            }
            step
        });
    }

    fn check_step(&self, step: &[Slice]) {
        let Self { seed, limits, .. } = *self;
        assert!(step.iter().map(|s| s.tokens.len()).sum::<usize>() <= limits.tokens, "seed {seed}");
        assert!(step.len() <= limits.sequences, "seed {seed}");
        let ids: BTreeSet<_> = step.iter().map(|slice| slice.id).collect();
        assert_eq!(ids.len(), step.len(), "seed {seed}: a sequence is twice in a step");
        for slice in step {
            assert!(!slice.tokens.is_empty(), "seed {seed}");
            let Request { prompt, max_tokens, .. } = &self.wanted[&slice.id];
            let end = slice.start + slice.tokens.len();
            assert!(end < prompt.len() + max_tokens, "seed {seed}: a token beyond the last");
            if slice.alone {
                // Where it is cut depends on nothing but its own prompt.
                let chunk = self.page_size.min(limits.tokens);
                let expected = if slice.start >= prompt.len() {
                    1
                } else {
                    chunk.min(prompt.len() - slice.start)
                };
                assert_eq!(slice.tokens.len(), expected, "seed {seed}");
                assert!(slice.start >= prompt.len() || slice.start % chunk == 0, "seed {seed}");
            }
        }
    }

    fn record(&mut self, events: Vec<Event>) {
        let seed = self.seed;
        for event in events {
            match event {
                Event::Likely(..) => panic!("seed {seed}: nobody asked"),
                Event::Begun(id, found) => {
                    let before = self.found.insert(id, found);
                    assert!(before.is_none(), "seed {seed}: found twice");
                    assert!(!self.got.contains_key(&id), "seed {seed}: found after a token");
                    let prompt = self.wanted[&id].prompt.len();
                    assert!(found < prompt, "seed {seed}");
                }
                Event::Progress(id, computed) => {
                    assert!(!self.ended.contains_key(&id), "seed {seed}: progress after the end");
                    let prompt = self.wanted[&id].prompt.len();
                    let got = self.got.get(&id).map_or(0, Vec::len);
                    assert!(computed > 0 && computed < prompt + got, "seed {seed}");
                }
                Event::Token(id, token) => {
                    assert!(!self.ended.contains_key(&id), "seed {seed}: a token after the end");
                    self.got.entry(id).or_default().push(token);
                }
                Event::Finished(id, finish) => {
                    let before = self.ended.insert(id, finish);
                    assert!(before.is_none(), "seed {seed}: ended twice");
                }
            }
        }
    }

    /// Each sequence got exactly what the network says, and ended for the right reason.
    fn check(&mut self) {
        let seed = self.seed;
        for (id, request) in &self.wanted {
            let got = self.got.remove(id).unwrap_or_default();
            let mut tokens = request.prompt.clone();
            for &token in &got {
                let reach = self.limits.window.unwrap_or(usize::MAX).min(tokens.len());
                let mark = mark(&self.limits, tokens.len());
                let seen: Vec<_> =
                    tokens[tokens.len() - reach..].iter().map(|t| t + mark).collect();
                assert_eq!(token, next(&seen), "seed {seed}: {id:?}");
                tokens.push(token);
            }
            match &self.ended[id] {
                Finish::Length => assert_eq!(got.len(), request.max_tokens, "seed {seed}"),
                Finish::Stop => assert_eq!(got.last(), request.stop.last(), "seed {seed}"),
                Finish::Cancelled | Finish::Failed(_) => assert!(got.len() <= request.max_tokens),
                Finish::Unfinished => panic!("seed {seed}: nothing is constrained here"),
            }
        }
        let status = self.scheduler.status();
        assert_eq!(status.pages_held, 0, "seed {seed}: a page leaked");
        assert_eq!(status.pages_copied, 0, "seed {seed}: a copy leaked");
        assert!(self.memory.copies.is_empty(), "seed {seed}: a copy was kept");
    }
}

#[test]
fn every_request_ends_once_with_its_own_tokens() {
    assert_eq!(simulate(false), 0, "nothing is computed for nobody");
}

/// The same when each step is decided before the tokens of the one before it are known.
#[test]
fn steps_that_overlap_end_every_request_with_the_same_tokens() {
    assert!(simulate(true) > 1_000, "the seeds exercise what they are meant to");
}

/// How many rows were computed for sequences that had ended.
fn simulate(overlaps: bool) -> u64 {
    let (mut preemptions, mut found, mut evicted, mut overshot) = (0, 0, 0, 0);
    let (mut refused, mut promotions, mut told, mut swaps, mut fetched) = (0, 0, 0, 0, 0);
    let mut resized = [0, 0];
    for seed in 1..=SEEDS {
        let mut world = World::new(seed, overlaps);
        for n in 0..30 {
            world.add(Id(n));
            for _ in 0..world.random.below(6) {
                world.step();
            }
            if world.random.below(8) == 0 {
                world.resize();
            }
            if world.random.below(10) == 0 {
                let id = Id(world.random.below(n as usize + 1) as u64);
                let events = world.scheduler.cancel(id).into_iter().collect();
                world.memory.carry(world.scheduler.moves(), &mut world.random);
                world.record(events);
            }
        }
        let mut steps = 0;
        while !world.scheduler.is_idle() {
            world.step();
            steps += 1;
            assert!(steps < 20_000, "seed {seed}: no end");
        }
        let status = world.scheduler.status();
        preemptions += status.preemptions;
        swaps += status.swaps;
        fetched += status.prefix.fetched;
        found += status.prefix.found;
        told += world.found.values().sum::<usize>();
        evicted += status.prefix.evicted;
        overshot += world.overshot;
        refused += world.refused;
        promotions += status.promotions;
        resized = [resized[0] + world.resized[0], resized[1] + world.resized[1]];
        world.check();
    }
    // The seeds exercise what they are meant to.
    assert!(preemptions > 1_000 && found > 10_000 && evicted > 1_000 && told > 1_000);
    assert!(fetched > 500, "{fetched}");
    assert!(swaps > 500 && swaps < preemptions - 500, "{swaps} of {preemptions}");
    assert!(refused > 100 && promotions > 100, "{refused} {promotions}");
    assert!(resized.iter().all(|&times| times > 500), "{resized:?}");
    overshot
}

#[test]
fn a_decoding_sequence_is_not_held_up_by_prompts() {
    let limits =
        Limits { tokens: 16, sequences: 8, context: 4096, vocabulary: 50, ..Limits::default() };
    let mut scheduler = Scheduler::new(limits, PagePool::new(4, 1024));
    let request = |token, n, max_tokens| {
        // Different prompts: nothing is shared.
        Request { prompt: vec![token; n], max_tokens, ..Request::default() }
    };
    scheduler.add(Id(0), request(3, 4, 100)).unwrap();
    let step = scheduler.schedule();
    scheduler.complete(&step, &[Ok(1)]);
    for id in 1..4 {
        scheduler.add(Id(id), request(10 + id as u32, 500, 1)).unwrap();
    }
    for _ in 0..50 {
        let step = scheduler.schedule();
        assert_eq!((step[0].id, step[0].tokens.len(), step[0].sample), (Id(0), 1, true));
        assert_eq!(step.iter().map(|slice| slice.tokens.len()).sum::<usize>(), 16);
        let sampled: Vec<_> = step.iter().filter(|s| s.sample).map(|_| Ok(1)).collect();
        scheduler.complete(&step, &sampled);
    }
}

#[test]
fn what_can_never_be_finished_is_refused() {
    let limits =
        Limits { tokens: 16, sequences: 8, context: 100, vocabulary: 50, ..Limits::default() };
    let mut scheduler = Scheduler::new(limits, PagePool::new(4, 10));
    let mut add = |prompt: Vec<u32>, max_tokens| {
        scheduler.add(Id(0), Request { prompt, max_tokens, ..Request::default() })
    };
    assert_eq!(add(vec![], 1), Err(Refusal::EmptyPrompt));
    assert_eq!(add(vec![1], 0), Err(Refusal::NoTokens));
    let unknown = Refusal::UnknownToken { token: 50, vocabulary: 50 };
    assert_eq!(add(vec![1, 50], 1), Err(unknown));
    let long = Refusal::TooLong { prompt: 30, max_tokens: 11, limit: 40 };
    assert_eq!(add(vec![1; 30], 11), Err(long));
    assert_eq!(add(vec![1; 30], 10), Ok(()));
    let huge = Refusal::TooLong { prompt: 1, max_tokens: usize::MAX, limit: 40 };
    assert_eq!(add(vec![1], usize::MAX), Err(huge));
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}
