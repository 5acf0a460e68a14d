//! The loop's body: decide, run, sample, report; and, where a device puts work off, prepare what
//! follows while it runs.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kernels::ops::Choice;
use kernels::{DType, Device, KvFormat, Tensor, ops};
use models::{Batch, Cache, Decoder, LayerCache, Remember};

use crate::constraint::Walker;
use crate::sample::NotANumber;
use crate::sight::{Features, Look, SightStats};
use crate::{
    Beginning, Event, Failure, Finish, Flaw, Id, Limits, Logprobs, Move, PagePool, Preemption,
    PromptImage, Refusal, Request, Sampler, Scheduler, Shape, Shelf, Slice, Status, Step, Ticket,
};

/// What an engine is opened with.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Tokens that one forward pass may hold.
    pub step_tokens: usize,
    /// Sequences that may run at once.
    pub sequences: usize,
    /// Requests of each priority that may wait.
    pub waiting: usize,
    /// See [`Limits::ageing`].
    pub ageing: usize,
    /// See [`Limits::decode_share`].
    pub decode_share: f64,
    /// See [`Limits::piece`].
    pub piece: usize,
    /// Tokens in a page of the cache.
    pub page_size: usize,
    /// Tokens that the cache holds in all, over all sequences.
    pub cache_tokens: usize,
    /// Tokens to which that may be [raised](Engine::resize) later; less than `cache_tokens` is as much.
    pub cache_most: usize,
    /// How the cache stores numbers.
    pub cache_format: KvFormat,
    /// Bytes of the cache that may be kept for the beginnings of later prompts while nobody uses them; all of it, if absent.
    pub prefix_bytes: Option<usize>,
    /// Bytes that features of images may take, for a network that sees.
    pub image_bytes: usize,
    /// See [`Limits::preemption`].
    pub preemption: Preemption,
    /// Bytes of memory beside the cache that copies of pages may take, of sequences that were put aside.
    pub swap_bytes: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            step_tokens: 512,
            sequences: 64,
            waiting: 1024,
            ageing: 32 * 1024,
            decode_share: 0.85,
            piece: 16,
            page_size: 32,
            cache_tokens: 32 * 1024,
            cache_most: 0,
            cache_format: DType::F16.into(),
            prefix_bytes: None,
            image_bytes: 256 << 20,
            preemption: Preemption::default(),
            swap_bytes: 0,
        }
    }
}

impl EngineOptions {
    /// The bytes that the cache of a network with these `layers` takes for each token.
    pub fn cache_bytes_per_token(&self, layers: &[LayerCache]) -> usize {
        layers.iter().map(|layer| layer.kv.bytes(self.cache_format)).sum()
    }
}

/// One loaded network and the sequences it is working on. Owned by one thread.
pub struct Engine {
    device: Device,
    decoder: Box<dyn Decoder>,
    cache: Cache,
    cache_format: KvFormat,
    /// Pages that the cache has room for: what is beyond those of the scheduler is never written.
    room: usize,
    scheduler: Scheduler,
    sampler: Sampler,
    /// Whether tokens are chosen on the device, where nothing but the logits decides.
    draws: bool,
    overlaps: bool,
    under_way: Option<Pass>,
    vocabulary: usize,
    features: Features,
    /// How far sequences are on their way through what constrains them.
    walkers: BTreeMap<Id, Walker>,
    /// What is to be told with the tokens of the pass that has just ended.
    likely: BTreeMap<Id, Box<Logprobs>>,
    /// Looks at images that have begun: one of each level at most.
    looks: BTreeMap<[u8; 32], Look>,
    /// Pages of sequences that were put aside.
    copies: BTreeMap<Ticket, Vec<u8>>,
    /// Where pages go that memory has no room for.
    shelf: Option<Box<dyn Shelf>>,
    /// What was computed last, if what it took says something of others.
    last: Option<Did>,
}

/// What a [step](Engine::step) did.
enum Did {
    Pass(Shape),
    /// A piece of a look.
    Looked,
}

/// What a [step](Engine::step) does.
enum Next {
    Pass(Pass),
    Look(PromptImage),
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("scheduler", &self.scheduler).finish_non_exhaustive()
    }
}

impl Engine {
    /// An idle engine for a network with so many positions (`context`) and tokens (`vocabulary`).
    pub fn new(
        device: &Device,
        decoder: Box<dyn Decoder>,
        (context, vocabulary): (usize, usize),
        options: EngineOptions,
    ) -> Self {
        let EngineOptions { step_tokens, sequences, page_size, cache_tokens, .. } = options;
        let EngineOptions { cache_format, image_bytes, waiting, ageing, .. } = options;
        let EngineOptions { decode_share, piece, preemption, swap_bytes, .. } = options;
        let layers = decoder.layers();
        let pages = cache_tokens.div_ceil(page_size);
        let room = match device.puts_off() {
            // Its arrays grow in strides, which end with the room.
            true => pages,
            false => pages.max(options.cache_most.div_ceil(page_size)),
        };
        let cache = Cache::new(device, &layers, page_size, room, cache_format);
        let window = widest(&layers);
        let turn = decoder.turn();
        let limits = Limits {
            tokens: step_tokens,
            sequences,
            context,
            vocabulary,
            window,
            turn,
            waiting,
            ageing,
            decode_share,
            piece,
            preemption,
        };
        let page_bytes = cache.page_bytes().max(1);
        let kept = options.prefix_bytes.map_or(usize::MAX, |bytes| bytes / page_bytes);
        let copies = swap_bytes / page_bytes;
        let pool = PagePool::new(page_size, pages).keeping(kept).swapping(copies);
        let scheduler = Scheduler::new(limits, pool);
        let (draws, device) = (device.puts_off(), device.clone());
        let sampler = Sampler::default();
        let (overlaps, under_way) = (draws, None);
        let features = Features::new(image_bytes);
        Self {
            device,
            decoder,
            cache,
            cache_format,
            room,
            scheduler,
            sampler,
            draws,
            overlaps,
            under_way,
            vocabulary,
            features,
            walkers: BTreeMap::new(),
            likely: BTreeMap::new(),
            looks: BTreeMap::new(),
            copies: BTreeMap::new(),
            shelf: None,
            last: None,
        }
    }

    /// Whether a pass is prepared while the one before it runs. By default it is on devices that put
    /// work off; elsewhere nothing is gained, but the outcome is the same. Tokens are then chosen by
    /// the device, unless more than their logits decides, which must wait for them.
    #[must_use]
    pub fn overlapping(mut self, overlaps: bool) -> Self {
        (self.overlaps, self.draws) = (overlaps, overlaps || self.device.puts_off());
        self
    }

    /// Pages that memory has no room for go to `shelf` from now on, and come back from there.
    #[must_use]
    pub fn shelving(mut self, shelf: Box<dyn Shelf>) -> Self {
        self.scheduler.shelve();
        self.shelf = Some(shelf);
        self
    }

    /// The pages that are kept for later prompts, for who wants to [put them away](Self::put_away) before the engine goes: in the order
    /// of what they are worth. Empty where there is no shelf.
    pub fn kept_pages(&mut self) -> Vec<u32> {
        if self.shelf.is_some() { self.scheduler.pool().by_worth() } else { Vec::new() }
    }

    /// The bytes of a page.
    pub fn page_bytes(&self) -> usize {
        self.cache.page_bytes()
    }

    /// Puts a page on the shelf that is kept, and not there.
    pub fn put_away(&mut self, page: u32) {
        if let Some(beginning) = self.scheduler.pool().beginning_of(page) {
            self.put_on_shelf(page, &beginning);
        }
    }

    /// Queues a request.
    ///
    /// # Errors
    ///
    /// If it can never be finished, or too many wait already.
    pub fn add(&mut self, id: Id, request: Request) -> Result<(), Refusal> {
        if !request.images.is_empty() && self.decoder.vision().is_none() {
            return Err(Refusal::Blind { images: request.images.len() });
        }
        let walker = Walker::of(&request);
        self.scheduler.add(id, request)?;
        if let Some(shelf) = &mut self.shelf {
            self.scheduler.ask_shelf(id, |way, tokens, page| shelf.reach(way, tokens, page));
        }
        self.walkers.extend(walker.map(|walker| (id, walker)));
        Ok(())
    }

    /// Makes the cache one of `tokens` tokens, keeps `image_bytes` of images' features at most, and makes copies of sequences that
    /// are put aside in `swap_bytes`. Returns for how many tokens there is room from now on, and how many bytes of
    /// copies there are beyond.
    ///
    /// Memory that was never written is given up and taken at once. What was written can be given up only all together,
    /// with the beginnings that are kept in it, and while no request is under way; else the cache stays as large as that.
    pub fn resize(
        &mut self,
        tokens: usize,
        image_bytes: usize,
        swap_bytes: usize,
    ) -> (usize, usize) {
        self.features.resize(image_bytes, |digest| self.scheduler.is_showing(digest));
        let (idle, puts_off) = (self.is_idle(), self.device.puts_off());
        let page_bytes = self.cache.page_bytes();
        let pool = self.scheduler.pool();
        let beyond = pool.resize_copies(swap_bytes / page_bytes.max(1)) * page_bytes;
        let page_size = pool.page_size();
        let wanted = tokens.div_ceil(page_size).max(1);
        let fits = if puts_off { wanted == self.room } else { wanted >= pool.touched() };
        if idle && !fits {
            // What is kept goes where it can be found again, if there is such a place.
            pool.give_away();
            self.carry(&mut Step::new());
            self.scheduler.pool().renew(wanted);
            self.copies.clear();
            if puts_off {
                self.room = wanted;
            }
            // First the old one goes: both together may be more than there is room for.
            self.cache = Cache::nothing();
            let (layers, format) = (self.decoder.layers(), self.cache_format);
            self.cache = Cache::new(&self.device, &layers, page_size, self.room, format);
            return (wanted * page_size, 0);
        }
        let capacity = pool.capacity();
        let pages = if puts_off { capacity } else { self.scheduler.resize(wanted.min(self.room)) };
        (pages * page_size, beyond)
    }

    /// How often an image was seen already.
    pub fn sight(&self) -> SightStats {
        self.features.stats
    }

    /// Forgets a request; `None` if it is already over.
    pub fn cancel(&mut self, id: Id) -> Option<Event> {
        let event = self.scheduler.cancel(id);
        self.walkers.remove(&id);
        if self.is_idle() {
            self.under_way = None;
        }
        // Copies of its pages, if there are some.
        self.carry(&mut Step::new());
        event
    }

    /// The network, for those who want to look at it.
    pub fn decoder(&self) -> &dyn Decoder {
        &*self.decoder
    }

    /// Whether there is nothing left to do.
    pub fn is_idle(&self) -> bool {
        self.scheduler.is_idle()
    }

    /// What is in hand.
    pub fn status(&self) -> Status {
        Status { sight: self.sight(), ..self.scheduler.status() }
    }

    /// Runs one forward pass, or a piece of a look at an image, and reports what came of it. A panic on the way, or a failure
    /// of the device, ends the sequences that were in the pass or wait for the image, and no others.
    ///
    /// An image is looked at before the rows of it are computed. Whoever needs no image goes on in between: looks have half of the
    /// time, or what [`decode_share`](Limits::decode_share) leaves them beside a sequence that somebody watches.
    ///
    /// Where passes [overlap](Self::overlapping), the next one is prepared while this one runs, with
    /// tokens that nobody has read; its outcome is reported by the next call.
    pub fn step(&mut self) -> Vec<Event> {
        let pass = match self.under_way.take().map(Next::Pass).or_else(|| self.begin()) {
            None => return Vec::new(),
            Some(Next::Look(image)) => return self.look(&image),
            Some(Next::Pass(pass)) => pass,
        };
        self.last = Some(Did::Pass(shape(&pass.step)));
        let next = if pass.overlaps { self.prepare_next(&pass) } else { None };
        let events = match self.land(&pass) {
            Ok(sampled) => self.scheduler.complete(&pass.step, &sampled),
            Err(failure) => {
                self.forget();
                let events = self.scheduler.abandon(&pass.step, &failure);
                return self.follow(events);
            }
        };
        let events = self.follow(events);
        if let Some(next) = next {
            if next.step.iter().any(|slice| self.scheduler.is_live(slice)) {
                self.under_way = Some(self.start(next));
            } else {
                // All it continues has ended.
                self.cache.revert();
            }
        }
        if self.is_idle() {
            // No other pass comes before which it would be done.
            self.carry(&mut Step::new());
        }
        events
    }

    /// Takes in how many seconds the last [`step`](Self::step) took: what the floor under streams is reckoned
    /// from (see [`Limits::decode_share`]).
    pub fn took(&mut self, seconds: f64) {
        match self.last.take() {
            Some(Did::Pass(shape)) => self.scheduler.took(shape, seconds),
            Some(Did::Looked) => self.scheduler.looked(seconds),
            None => {}
        }
    }

    /// As [`Scheduler::set_longest`].
    pub fn set_longest(&mut self, seconds: Option<f64>) {
        self.scheduler.set_longest(seconds);
    }

    /// As [`Scheduler::is_watched`].
    pub fn is_watched(&self) -> bool {
        self.scheduler.is_watched()
    }

    /// Goes on with constraints by what happened, and ends what may not go on.
    fn follow(&mut self, events: Vec<Event>) -> Vec<Event> {
        let mut likely = std::mem::take(&mut self.likely);
        if self.walkers.is_empty() && likely.is_empty() {
            return events;
        }
        let mut out = Vec::with_capacity(events.len() + likely.len());
        for mut event in events {
            let mut end = None;
            match &mut event {
                Event::Token(id, token) => {
                    let likely = likely.remove(id);
                    out.extend(likely.map(|likely| Event::Likely(*id, likely)));
                    if let Some(walker) = self.walkers.get_mut(id) {
                        end = match walker.accept(*token) {
                            Ok(ends) => ends.then_some((*id, Ok(()))),
                            Err(flaw) => Some((*id, Err(flaw))),
                        };
                    }
                }
                Event::Finished(id, finish) => {
                    if let Some(mut walker) = self.walkers.remove(id)
                        && *finish == Finish::Length
                    {
                        *finish = walker.cut();
                    }
                }
                Event::Begun(..) | Event::Likely(..) | Event::Progress(..) => {}
            }
            out.push(event);
            if let Some((id, why)) = end {
                let ended = self.scheduler.end(id, |length| match why {
                    Ok(()) => Finish::Stop,
                    Err(flaw) => Finish::Failed(flaw.at(length - 1)),
                });
                // With a stop token, or the last that fits, it has ended already.
                if let Some(ended) = ended {
                    self.walkers.remove(&id);
                    out.push(ended);
                }
            }
        }
        out
    }

    /// Decides what comes with nothing before it; prepares a pass and starts it.
    fn begin(&mut self) -> Option<Next> {
        if let Some(image) = self.next_look() {
            return Some(Next::Look(image));
        }
        let step = self.schedule();
        if step.is_empty() {
            // Whoever is there may wait for an image, and be found out only now.
            let begun = |digest: &[u8; 32]| self.looks.contains_key(digest);
            return self.scheduler.first_lacking(begun).map(Next::Look);
        }
        let pass = self.prepare(step, None);
        Some(Next::Pass(self.start(pass)))
    }

    /// Decides on a pass, and makes memory ready for it.
    fn schedule(&mut self) -> Step {
        let mut step = self.scheduler.schedule();
        self.carry(&mut step);
        step
    }

    /// Copies pages and puts copies back, as the scheduler says.
    fn carry(&mut self, step: &mut Step) {
        let mut lost = Vec::new();
        for to_do in self.scheduler.moves() {
            match to_do {
                Move::Out(page, ticket) => {
                    let copy = self.cache.copy_of(page);
                    self.copies.extend(copy.map(|copy| (ticket, copy)));
                }
                Move::In(ticket, page) => {
                    let copy = self.copies.remove(&ticket);
                    if !copy.is_some_and(|copy| self.cache.put_back(page, &copy)) {
                        lost.push(page);
                    }
                }
                Move::Drop(ticket) => drop(self.copies.remove(&ticket)),
                Move::Shelve(page, beginning) => self.put_on_shelf(page, &beginning),
                Move::Fetch(beginning, page) => {
                    let size = self.cache.page_size();
                    let copy = self.shelf.as_mut().and_then(|shelf| shelf.get(&beginning, size));
                    if !copy.is_some_and(|copy| self.cache.put_back(page, &copy)) {
                        lost.push(page);
                    }
                }
            }
        }
        if !lost.is_empty() {
            self.scheduler.lost(&lost, step);
        }
    }

    /// Puts a page on the shelf, unless it is there, or holds rows of an image.
    fn put_on_shelf(&mut self, page: u32, beginning: &Beginning) {
        let size = self.cache.page_size();
        let Some(shelf) = &mut self.shelf else { return };
        let is_word = |&token: &u32| (token as usize) < self.vocabulary;
        if !beginning.tokens.iter().all(is_word) || shelf.has(beginning, size) {
            return;
        }
        if let Some(copy) = self.cache.copy_of(page) {
            shelf.put(beginning, size, copy);
        }
    }

    /// The image to look at before there is another pass.
    fn next_look(&mut self) -> Option<PromptImage> {
        self.decoder.vision()?;
        self.scheduler.see(|digest| self.features.has(digest));
        self.looks.retain(|digest, _| self.scheduler.is_lacking(digest));
        self.scheduler.look(|digest| self.looks.contains_key(digest))
    }

    /// Does the next piece of a look at `image`.
    fn look(&mut self, image: &PromptImage) -> Vec<Event> {
        self.last = Some(Did::Looked);
        let mut look = self.looks.remove(&image.digest).unwrap_or_default();
        let made = catch_unwind(AssertUnwindSafe(|| {
            let vision = self.decoder.vision()?;
            look.advance(&image.picture, vision)
        }));
        let failure = match (self.device.take_failure(), made) {
            (None, Ok(None)) => {
                self.looks.insert(image.digest, look);
                return Vec::new();
            }
            (None, Ok(Some(features))) => {
                let needed = |digest: &[u8; 32]| self.scheduler.is_showing(digest);
                self.features.keep(image.digest, features, needed);
                return Vec::new();
            }
            (Some(what), _) => Failure::Device { what },
            (None, Err(panic)) => Failure::Panicked { what: message(&*panic) },
        };
        let mut events = self.scheduler.give_up_on(&image.digest, &failure);
        if matches!(failure, Failure::Device { .. }) {
            self.forget();
            events.extend(self.scheduler.abandon(&[], &failure));
        }
        self.follow(events)
    }

    /// Gives up what a failed device has computed.
    fn forget(&mut self) {
        self.cache.forget();
        self.features.clear();
        self.looks.clear();
    }

    /// The pass after `pass`, which is under way.
    fn prepare_next(&mut self, pass: &Pass) -> Option<Pass> {
        self.scheduler.ahead(&pass.step);
        if self.next_look().is_some() {
            return None;
        }
        let step = self.schedule();
        if step.is_empty() {
            return None;
        }
        self.cache.mark();
        Some(self.prepare(step, Some(pass)))
    }

    /// Builds a pass: on a device that puts work off, all but the work. `before` is the pass whose
    /// tokens it continues unread.
    fn prepare(&mut self, step: Step, before: Option<&Pass>) -> Pass {
        let built = catch_unwind(AssertUnwindSafe(|| self.build(&step, before)));
        let built = match (self.device.take_failure(), built) {
            (None, Ok(built)) => Ok(built),
            (Some(what), _) => Err(Failure::Device { what }),
            (None, Err(panic)) => Err(Failure::Panicked { what: message(&*panic) }),
        };
        let seen = built.as_ref().is_ok_and(|built| built.logits.is_empty());
        Pass { step, built, overlaps: self.overlaps && seen }
    }

    fn build(&mut self, step: &[Slice], before: Option<&Pass>) -> Built {
        let (common, alone) = step.split_at(step.partition_point(|slice| !slice.alone));
        let mut built = match common {
            [] => Built::default(),
            common => self.build_common(common, before),
        };
        for slice in alone {
            let mut batch = Batch::default();
            self.put(slice, &mut batch);
            let hidden = self.decoder.forward(&batch, &mut self.cache);
            if slice.sample {
                let last = batch.tokens.len() as u32 - 1;
                built.logits.push(self.decoder.unembed(&ops::take(&hidden, &[last])));
            }
        }
        built
    }

    /// Puts a slice into a batch, with its images.
    fn put(&mut self, slice: &Slice, batch: &mut Batch) {
        let images = self.scheduler.images(slice);
        match self.decoder.vision() {
            Some(vision) if !images.is_empty() => {
                // Rows of images take any token of the table: features replace what it says.
                let token = vision.preprocess().token();
                let is_row = |token: u32| token as usize >= self.vocabulary;
                let known =
                    |&row: &u32| if is_row(row) && row != Slice::UNREAD { token } else { row };
                let tokens: Vec<u32> = slice.tokens.iter().map(known).collect();
                batch.push_part(&tokens, slice.start, slice.pages.clone(), slice.length);
                let part = (slice.start, slice.end());
                batch.show(self.features.shown(images, part));
            }
            _ => {
                let pages = slice.pages.clone();
                batch.push_part(&slice.tokens, slice.start, pages, slice.length);
            }
        }
    }

    /// The slices that stand in one batch.
    fn build_common(&mut self, step: &[Slice], before: Option<&Pass>) -> Built {
        let mut batch = Batch::default();
        // Rows that are sampled: on the device, and by the host.
        let (mut device, mut draws, mut host) = (Vec::new(), Vec::new(), Vec::new());
        let mut unread = Vec::new();
        for slice in step {
            self.put(slice, &mut batch);
            let last = batch.tokens.len() as u32 - 1;
            if slice.tokens.last() == Some(&Slice::UNREAD) {
                unread.push((last, slice.id));
            }
            if slice.sample {
                match self.scheduler.sequence(slice) {
                    Some((_, sampling))
                        if self.draws
                            && sampling.is_blind()
                            && !self.walkers.contains_key(&slice.id) =>
                    {
                        device.push((slice.id, last));
                        draws.push(sampling.draw(slice.end()));
                    }
                    Some(_) => host.push((slice.id, last)),
                    None => unreachable!("a scheduled sequence is running"),
                }
            }
        }
        if !unread.is_empty() {
            let Some((choice, ids)) = before.and_then(Pass::choice) else {
                unreachable!("a token is unread only while its pass is under way")
            };
            let from = |id: Id| ids.iter().position(|&of| of == id);
            let pairs = unread.into_iter().map(|(row, id)| match from(id) {
                Some(from) => (row, from as u32),
                None => unreachable!("a token that its pass did not choose"),
            });
            batch.draw(&choice.tokens, &pairs.collect::<Vec<_>>());
        }
        let hidden = self.decoder.forward(&batch, &mut self.cache);
        let score = |rows: &[(Id, u32)]| {
            let rows: Vec<_> = rows.iter().map(|&(_, row)| row).collect();
            self.decoder.unembed(&ops::take(&hidden, &rows))
        };
        let choice = (!device.is_empty()).then(|| {
            let choice = ops::categorical(&score(&device), &draws);
            (choice, device.iter().map(|&(id, _)| id).collect())
        });
        let logits = if host.is_empty() { Vec::new() } else { vec![score(&host)] };
        Built { choice, logits }
    }

    /// Hands a pass to a device that puts work off.
    fn start(&mut self, mut pass: Pass) -> Pass {
        if pass.built.is_ok() {
            self.cache.start(pass.choice().map(|(choice, _)| choice));
            if let Some(what) = self.device.take_failure() {
                (pass.built, pass.overlaps) = (Err(Failure::Device { what }), false);
            }
        }
        pass
    }

    /// Waits for a pass, and samples what the host samples.
    fn land(&mut self, pass: &Pass) -> Result<Vec<Result<u32, Flaw>>, Failure> {
        let built = pass.built.as_ref().map_err(Clone::clone)?;
        let sampled = catch_unwind(AssertUnwindSafe(|| self.outcomes(pass, built)));
        match (self.device.take_failure(), sampled) {
            (None, Ok(sampled)) => Ok(sampled),
            (Some(what), _) => Err(Failure::Device { what }),
            (None, Err(panic)) => Err(Failure::Panicked { what: message(&*panic) }),
        }
    }

    /// One outcome for each slice with `sample`, in order.
    fn outcomes(&mut self, pass: &Pass, built: &Built) -> Vec<Result<u32, Flaw>> {
        let (read, drawn) = match &built.choice {
            Some((choice, ids)) => (choice.read(), &ids[..]),
            None => (Vec::new(), &[][..]),
        };
        let drawn: BTreeMap<Id, _> = drawn.iter().copied().zip(read).collect();
        let width = built.logits.first().map_or(1, Tensor::width);
        let mut logits: Vec<f32> = built.logits.iter().flat_map(Tensor::to_vec).collect();
        if pass.step.iter().all(|slice| !slice.sample) {
            self.cache.wait();
        }
        let mut rows = logits.chunks_exact_mut(width);
        let mut choose = |slice: &Slice| {
            if let Some(&drawn) = drawn.get(&slice.id) {
                return drawn.map_err(|token| NotANumber { token }.into());
            }
            match (rows.next(), self.scheduler.sequence(slice)) {
                (Some(row), Some((past, sampling))) => {
                    let own = sampling.logprobs.map(|n| (row.to_vec(), n));
                    if let Some(walker) = self.walkers.get_mut(&slice.id) {
                        walker.restrict(row)?;
                    }
                    let token = self.sampler.sample(row, past, sampling)?;
                    if let Some((own, n)) = own {
                        let likely = Box::new(Logprobs::of(&own, token, n));
                        self.likely.insert(slice.id, likely);
                    }
                    Ok(token)
                }
                // It has ended meanwhile: nobody asks.
                _ => Ok(0),
            }
        };
        pass.step.iter().filter(|slice| slice.sample).map(&mut choose).collect()
    }
}

/// A forward pass that is prepared, and perhaps under way.
struct Pass {
    step: Step,
    built: Result<Built, Failure>,
    /// Whether the next pass can be prepared before this one's outcome is read.
    overlaps: bool,
}

impl Pass {
    /// What the device chooses, and for which sequences.
    fn choice(&self) -> Option<&(Choice, Vec<Id>)> {
        self.built.as_ref().ok()?.choice.as_ref()
    }
}

/// What will come of a pass.
#[derive(Default)]
struct Built {
    choice: Option<(Choice, Vec<Id>)>,
    /// The rows that the host samples, in order.
    logits: Vec<Tensor>,
}

/// What `step` is made of.
fn shape(step: &[Slice]) -> Shape {
    let one = |slice: &&Slice| slice.sample && slice.tokens.len() == 1;
    let decode = step.iter().filter(one).count();
    let tokens: usize = step.iter().map(|slice| slice.tokens.len()).sum();
    Shape { decode, prompt: tokens - decode }
}

/// How far back the layers look at most; `None` if one looks back to the beginning.
fn widest(layers: &[LayerCache]) -> Option<usize> {
    layers.iter().try_fold(0, |widest, layer| match layer.remember {
        Remember::Full => None,
        Remember::Sliding(window) => Some(widest.max(window)),
    })
}

pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}
