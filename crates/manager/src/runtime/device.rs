//! The one thread that owns the device. No lock guards a tensor: others send commands, and it
//! answers between two steps, so an embedding slips in between two tokens of a conversation.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use checkpoint::{Activation, Adapter, Folder};
use engine::{Engine, Event, Finish, Id, Logprobs, Look, Passage, Request, Shelf, Status};
use kernels::{CpuOptions, Device, KvFormat, Precision, Tensor};
use models::{
    Batch, Classifier, EmbeddingHead, Encoder, LayerCache, Model, Network, Preprocess, Retrieval,
    TokenHeads, Vision, token_vectors,
};
use text::Pair;
use tokio::sync::{mpsc, oneshot};

use super::embed::BATCH_TOKENS;
use super::error::Error;
use super::inspect::forward;
use super::leaving::{Leaving, PAUSE as PAUSE_OF_LEAVERS};
use super::load::LoadOptions;
use super::rerank::judge;
use super::share::{Divided, Share, engine_options};
use super::shelf::{Generation, MOST_WAITING, PageStore};
use super::turns::{Busy, PAUSE, Turns};

/// Tokens that are encoded at once while somebody watches another model.
const SHORT_BATCH: usize = 128;

/// Names a loaded model on its thread.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ModelId(u64);

#[cfg(test)]
impl ModelId {
    pub(super) const fn of(number: u64) -> Self {
        Self(number)
    }
}

/// What a model can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ModelKind {
    /// Continue text.
    Language,
    /// Make vectors of text.
    Embedding,
    /// Judge text, or how well one text answers another.
    Classifier,
}

/// What is known of a loaded model.
#[derive(Clone, Debug)]
pub struct ModelFacts {
    /// The architecture.
    pub architecture: &'static str,
    /// What it can do.
    pub kind: ModelKind,
    /// Positions it was trained for.
    pub context: usize,
    /// Tokens that its cache has room for, over all sequences.
    pub cache_tokens: usize,
    /// Bytes that one token takes in the cache.
    pub cache_bytes_per_token: usize,
    /// Rows of its token table.
    pub vocabulary: usize,
    /// The width of its hidden states.
    pub hidden: usize,
    /// The length of its embeddings, for an embedding model.
    pub embedding: Option<usize>,
    /// The lengths to which embeddings may be cut, where the checkpoint lists them.
    pub lengths: Option<Vec<usize>>,
    /// Whether it also gives each token a weight, and a vector.
    pub token_heads: [bool; 2],
    /// How many classes a classifier tells apart.
    pub labels: Option<usize>,
    /// What makes images into what the network reads, if it sees.
    pub(super) vision: Option<Arc<dyn Preprocess>>,
    /// What pages and queries are said with, for a model that makes vectors of their tokens and nothing else.
    pub(super) retrieval: Option<Said>,
}

/// What stands around pages and queries: see [`Retrieval`](models::Retrieval).
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) image: &'static str,
    pub(super) query: [&'static str; 2],
}

/// News of a request.
#[derive(Debug)]
pub(super) enum Update {
    /// Its turn came then; so many tokens of the prompt were computed before, for another.
    Begun(usize, Instant),
    /// Tokens of the prompt that are computed.
    Progress(usize),
    /// How likely the next token is thought to be.
    Likely(Box<Logprobs>),
    /// A token, and when it was sampled.
    Token(u32, Instant),
    Finished(Finish),
}

/// What is made of passages.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) dense: bool,
    /// Weights of tokens, except these.
    pub(super) sparse: Option<Vec<u32>>,
    pub(super) multi: bool,
    /// Elements of an embedding.
    pub(super) dimensions: Option<usize>,
}

/// What was made of some passages, in order; each list is empty if it was not asked for.
#[derive(Debug, Default)]
pub(super) struct EncodeReply {
    pub(super) dense: Vec<Vec<f32>>,
    pub(super) sparse: Vec<BTreeMap<u32, f32>>,
    pub(super) multi: Vec<Vec<Vec<f32>>>,
}

/// Logits `[tokens, vocabulary]` for each token, or hidden states `[tokens, hidden]` of an
/// embedding model, and the activations on the way, by name, with their shapes.
#[derive(Clone, Debug)]
pub struct ForwardReply {
    /// `logits` or `last_hidden_state`.
    pub name: &'static str,
    /// Its rows, one for each token.
    pub rows: Vec<f32>,
    /// The width of a row.
    pub width: usize,
    /// Everything that was recorded on the way.
    pub taps: Vec<(String, Vec<usize>, Vec<f32>)>,
}

pub(super) enum Command {
    Load {
        folder: Box<Folder>,
        adapter: Option<Box<Adapter>>,
        options: LoadOptions,
        reply: oneshot::Sender<Result<(ModelId, ModelFacts), Error>>,
    },
    Unload(ModelId),
    /// Models that are loaded from now on have pages there that memory has no room for.
    Shelve(Arc<PageStore>),
    /// All that was sent before is done.
    Wait(oneshot::Sender<()>),
    Generate {
        model: ModelId,
        request: Request,
        updates: mpsc::UnboundedSender<Update>,
        reply: oneshot::Sender<Result<Id, Error>>,
    },
    Cancel(ModelId, Id),
    /// Another size for a cache. The answer are the bytes that it may take now.
    Resize {
        model: ModelId,
        bytes: u64,
        /// Where it is noted for how many tokens there is room.
        room: Arc<AtomicUsize>,
        reply: oneshot::Sender<Result<u64, Error>>,
    },
    Status {
        model: ModelId,
        reply: oneshot::Sender<Status>,
    },
    Encode {
        model: ModelId,
        passages: Vec<Passage>,
        wanted: Wanted,
        reply: oneshot::Sender<Result<EncodeReply, Error>>,
    },
    Classify {
        model: ModelId,
        pairs: Vec<Pair>,
        /// What follows the logits.
        function: Activation,
        reply: oneshot::Sender<Result<Vec<Vec<f32>>, Error>>,
    },
    Forward {
        model: ModelId,
        passage: Passage,
        taps: bool,
        reply: oneshot::Sender<Result<ForwardReply, Error>>,
    },
}

/// The device's thread. Models live as long as their handles; the thread as long as this.
#[derive(Debug)]
pub struct Runtime {
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    device: Device,
    /// Whether pages are kept on the disk.
    shelved: OnceLock<()>,
}

/// Bytes that the CPU's device keeps of activations that are over, to use them again.
const SPARE: u64 = 64 << 20;

impl Runtime {
    /// Opens the CPU device and starts its thread.
    ///
    /// # Errors
    ///
    /// If the device cannot be opened as `options` ask.
    pub fn start(options: CpuOptions) -> Result<Self, Error> {
        Self::on(Device::cpu(options)?)
    }

    /// Starts the thread of a device that is open. Nothing was computed on it yet: it belongs to
    /// its thread.
    ///
    /// # Errors
    ///
    /// If the operating system refuses the thread.
    pub fn on(device: Device) -> Result<Self, Error> {
        let (commands, inbox) = channel();
        let (slots, turns) = (BTreeMap::new(), Turns::default());
        let leaving = Leaving::default();
        let owner = Owner { device: device.clone(), inbox, slots, turns, store: None, leaving };
        let thread = Builder::new().name("device".to_owned()).spawn(move || owner.run());
        let spawn = |_| kernels::Error::Spawn { started: 0, wanted: 1 };
        let thread = thread.map_err(spawn)?;
        Ok(Self {
            commands: Some(commands),
            thread: Some(thread),
            device,
            shelved: OnceLock::new(),
        })
    }

    /// The device, for its facts.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How numbers are computed.
    pub fn precision(&self) -> Precision {
        self.device.precision()
    }

    /// Has models that are loaded from now on keep pages in `store` that memory has no room for, and find them there.
    ///
    /// # Errors
    ///
    /// If the thread is gone.
    pub fn keep_pages(&self, store: Arc<PageStore>) -> Result<(), Error> {
        let _ = self.shelved.set(());
        self.send(Command::Shelve(store))
    }

    /// Bytes that it may hold beside models: memory to use again, and pages on their way to the disk.
    pub(crate) fn keeps(&self) -> u64 {
        let spare = if self.device.as_cpu().is_some() { SPARE } else { 0 };
        let pages = if self.shelved.get().is_some() { MOST_WAITING } else { 0 };
        spare + pages
    }

    /// Waits until the thread has done all that it was told before.
    pub(super) fn wait(&self) {
        let (reply, done) = oneshot::channel();
        if self.send(Command::Wait(reply)).is_ok() {
            // If the thread is gone, there is nothing to wait for.
            let _ = done.blocking_recv();
        }
    }

    pub(super) fn send(&self, command: Command) -> Result<(), Error> {
        let Some(commands) = &self.commands else { return Err(Error::Gone) };
        commands.send(command).map_err(|_| Error::Gone)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was already reported to whoever waited for an answer.
            let _ = thread.join();
        }
    }
}

/// What lives on the thread.
struct Owner {
    device: Device,
    inbox: Receiver<Command>,
    slots: BTreeMap<ModelId, Slot>,
    turns: Turns,
    store: Option<Arc<PageStore>>,
    leaving: Leaving,
}

pub(super) enum Slot {
    Language(Box<Language>),
    Embedding(Box<Embedder>, VecDeque<EncodeJob>),
    Classifier(Box<dyn Classifier>, VecDeque<ClassifyJob>),
}

/// Passages that wait to be encoded, and what was made of those before them.
pub(super) struct EncodeJob {
    passages: VecDeque<Passage>,
    wanted: Wanted,
    /// A look at the first image that is still to be seen.
    look: Look,
    made: EncodeReply,
    reply: oneshot::Sender<Result<EncodeReply, Error>>,
}

/// Pairs that wait to be judged, and what came of those before them.
pub(super) struct ClassifyJob {
    pairs: VecDeque<Pair>,
    function: Activation,
    judged: Vec<Vec<f32>>,
    reply: oneshot::Sender<Result<Vec<Vec<f32>>, Error>>,
}

pub(super) struct Embedder {
    pub(super) encoder: Box<dyn Encoder>,
    head: EmbeddingHead,
    tokens: TokenHeads,
}

pub(super) struct Language {
    pub(super) engine: Engine,
    /// How its cache stores numbers.
    pub(super) format: KvFormat,
    share: Share,
    updates: BTreeMap<Id, mpsc::UnboundedSender<Update>>,
}

/// Numbers of models and requests: unique in the process.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

fn number() -> u64 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

impl Owner {
    fn run(mut self) {
        loop {
            let busy = self.slots.values().any(Slot::is_busy);
            if let Some(store) = self.store.as_ref().filter(|_| !self.leaving.is_over())
                && self.leaving.go_on(store)
            {
                self.cleared();
            }
            let command = if busy {
                match self.inbox.try_recv() {
                    Ok(command) => Some(command),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => return self.end(),
                }
            } else if !self.leaving.is_over() {
                match self.inbox.recv_timeout(PAUSE_OF_LEAVERS) {
                    Ok(command) => Some(command),
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return self.end(),
                }
            } else {
                match self.inbox.recv() {
                    Ok(command) => Some(command),
                    Err(_) => return,
                }
            };
            match command {
                Some(command) => self.obey(command),
                None => self.turn(),
            }
        }
    }

    /// Nobody asks for anything any more: who is leaving leaves.
    fn end(&mut self) {
        while let Some(store) = self.store.as_ref().filter(|_| !self.leaving.is_over()) {
            if !self.leaving.go_on(store) {
                std::thread::sleep(PAUSE_OF_LEAVERS);
            }
        }
    }

    /// Gives up what the device keeps of what is gone.
    fn cleared(&self) {
        if let Some(mlx) = self.device.as_mlx() {
            mlx.clear_cache();
        }
    }

    /// Lets one model do a piece of its work.
    fn turn(&mut self) {
        let busy = self.slots.iter().filter(|(_, slot)| slot.is_busy());
        let busy = busy.map(|(&model, slot)| Busy { model, watched: slot.is_watched() });
        let busy: Vec<_> = busy.collect();
        let Some(turn) = self.turns.next(&busy) else { return };
        let others = busy.iter().any(|busy| busy.model != turn.model && busy.watched);
        let begun = Instant::now();
        if let Some(slot) = self.slots.get_mut(&turn.model) {
            slot.step(&self.device, others);
        }
        self.turns.took(turn, begun.elapsed().as_secs_f64());
    }

    fn obey(&mut self, command: Command) {
        // A reply that nobody waits for any more is no failure of ours.
        match command {
            Command::Load { folder, adapter, options, reply } => {
                let store = self.store.as_ref();
                let loaded =
                    guarded(&self.device, || load(&folder, adapter, &self.device, options, store));
                let loaded = loaded.map(|(slot, facts)| {
                    let id = ModelId(number());
                    self.slots.insert(id, slot);
                    (id, facts)
                });
                let _ = reply.send(loaded);
            }
            Command::Unload(id) => {
                match (self.slots.remove(&id), &self.store) {
                    (Some(Slot::Language(language)), Some(store)) => {
                        self.leaving.add(language.engine, store);
                    }
                    (slot, _) => drop(slot),
                }
                self.cleared();
            }
            Command::Shelve(store) => self.store = Some(store),
            Command::Wait(reply) => self.leaving.wait(reply),
            Command::Generate { model, request, updates, reply } => {
                let id = Id(number());
                let added = match self.slots.get_mut(&model) {
                    Some(Slot::Language(language)) => {
                        language.engine.add(id, request).map_err(Error::from).map(|()| {
                            language.updates.insert(id, updates);
                            id
                        })
                    }
                    Some(Slot::Embedding(..) | Slot::Classifier(..)) | None => Err(Error::Gone),
                };
                let _ = reply.send(added);
            }
            Command::Cancel(model, id) => {
                if let Some(Slot::Language(language)) = self.slots.get_mut(&model) {
                    let event = language.engine.cancel(id);
                    language.report(event.into_iter().collect(), Instant::now());
                }
            }
            Command::Resize { model, bytes, room, reply } => {
                let device = &self.device;
                let resized = match self.slots.get_mut(&model) {
                    Some(Slot::Language(language)) => {
                        guarded(device, || Ok(language.resize(device, bytes, &room)))
                    }
                    Some(Slot::Embedding(..) | Slot::Classifier(..)) | None => Err(Error::Gone),
                };
                let _ = reply.send(resized);
            }
            Command::Status { model, reply } => {
                let status = match self.slots.get(&model) {
                    Some(Slot::Language(language)) => language.engine.status(),
                    Some(Slot::Embedding(..) | Slot::Classifier(..)) | None => Status::default(),
                };
                let _ = reply.send(status);
            }
            Command::Encode { model, passages, wanted, reply } => {
                match self.slots.get_mut(&model) {
                    Some(Slot::Embedding(_, jobs)) => {
                        let (passages, made) = (passages.into(), EncodeReply::default());
                        let look = Look::default();
                        jobs.push_back(EncodeJob { passages, wanted, look, made, reply });
                    }
                    Some(Slot::Language(_) | Slot::Classifier(..)) | None => {
                        let _ = reply.send(Err(Error::Gone));
                    }
                }
            }
            Command::Classify { model, pairs, function, reply } => {
                match self.slots.get_mut(&model) {
                    Some(Slot::Classifier(_, jobs)) => {
                        let (pairs, judged) = (pairs.into(), Vec::new());
                        jobs.push_back(ClassifyJob { pairs, function, judged, reply });
                    }
                    Some(Slot::Language(_) | Slot::Embedding(..)) | None => {
                        let _ = reply.send(Err(Error::Gone));
                    }
                }
            }
            Command::Forward { model, passage, taps, reply } => {
                let computed = match self.slots.get(&model) {
                    Some(slot) => {
                        guarded(&self.device, || Ok(forward(slot, &self.device, &passage, taps)))
                    }
                    None => Err(Error::Gone),
                };
                let _ = reply.send(computed);
            }
        }
    }
}

impl Slot {
    fn is_busy(&self) -> bool {
        match self {
            Self::Language(language) => !language.engine.is_idle(),
            Self::Embedding(_, jobs) => !jobs.is_empty(),
            Self::Classifier(_, jobs) => !jobs.is_empty(),
        }
    }

    /// Whether it continues a text that somebody watches.
    fn is_watched(&self) -> bool {
        match self {
            Self::Language(language) => language.engine.is_watched(),
            Self::Embedding(..) | Self::Classifier(..) => false,
        }
    }

    /// Does a piece of what there is to do; a short one if somebody watches another model.
    fn step(&mut self, device: &Device, others: bool) {
        let tokens = if others { SHORT_BATCH } else { BATCH_TOKENS };
        match self {
            Self::Language(language) => {
                language.engine.set_longest(others.then_some(PAUSE));
                let begun = Instant::now();
                let events = language.engine.step();
                language.engine.took(begun.elapsed().as_secs_f64());
                language.report(events, begun);
            }
            Self::Embedding(embedder, jobs) => {
                let Some(mut job) = jobs.pop_front().filter(|job| !job.reply.is_closed()) else {
                    return;
                };
                let lengths = job.passages.iter().map(|passage| passage.tokens.len());
                let next = first(lengths, tokens);
                // An image is looked at a piece at a time: others have the device in between.
                let unseen = job.passages.iter_mut().take(next).find(|p| p.is_unseen());
                if let (Some(passage), Some(vision)) = (unseen, embedder.encoder.vision()) {
                    let look = || {
                        passage.look(&mut job.look, vision);
                        Ok(())
                    };
                    match guarded(device, look) {
                        // The next piece comes before other jobs: what a look left so far takes memory.
                        Ok(()) => jobs.push_front(job),
                        Err(error) => drop(job.reply.send(Err(error))),
                    }
                    return;
                }
                let batch = job.passages.drain(..next).collect::<Vec<_>>();
                let made = guarded(device, || {
                    let (hidden, rows) = engine::encode(&*embedder.encoder, &batch);
                    Ok(embedder.make(&hidden, &rows, &job.wanted))
                });
                match made {
                    Ok(made) => {
                        job.made.append(made);
                        if job.passages.is_empty() {
                            let _ = job.reply.send(Ok(job.made));
                        } else {
                            // Whoever came after it with less has its turn before the rest.
                            jobs.push_back(job);
                        }
                    }
                    Err(error) => {
                        let _ = job.reply.send(Err(error));
                    }
                }
            }
            Self::Classifier(classifier, jobs) => {
                let Some(mut job) = jobs.pop_front().filter(|job| !job.reply.is_closed()) else {
                    return;
                };
                let lengths = job.pairs.iter().map(|pair| pair.ids.len());
                let batch = job.pairs.drain(..first(lengths, tokens)).collect::<Vec<_>>();
                match guarded(device, || Ok(judge(&**classifier, &batch, job.function))) {
                    Ok(judged) => {
                        job.judged.extend(judged);
                        if job.pairs.is_empty() {
                            let _ = job.reply.send(Ok(job.judged));
                        } else {
                            jobs.push_back(job);
                        }
                    }
                    Err(error) => {
                        let _ = job.reply.send(Err(error));
                    }
                }
            }
        }
    }
}

/// How many of the first of such lengths are a batch of at most `tokens`; at least one, if there is one.
fn first(lengths: impl Iterator<Item = usize>, tokens: usize) -> usize {
    let lengths: Vec<_> = lengths.collect();
    engine::pack(&lengths, tokens).first().map_or(0, |batch| batch.end)
}

impl EncodeReply {
    fn append(&mut self, other: Self) {
        self.dense.extend(other.dense);
        self.sparse.extend(other.sparse);
        self.multi.extend(other.multi);
    }
}

impl Language {
    /// Makes its cache one of `bytes`, as near as can be, and notes in `room` for how many tokens that is. Returns the bytes that
    /// it may take.
    fn resize(&mut self, device: &Device, bytes: u64, room: &AtomicUsize) -> u64 {
        let Share { per_token, page_size, .. } = self.share;
        let Divided { tokens: wanted, images, copies } = self.share.of(bytes);
        let (tokens, beyond) = self.engine.resize(wanted, images, copies);
        if let Some(mlx) = device.as_mlx() {
            mlx.clear_cache();
        }
        room.store(tokens, Ordering::Relaxed);
        // A last page that is cut is whole.
        let exact = wanted.div_ceil(page_size) * page_size;
        if tokens == exact && beyond == 0 {
            return bytes;
        }
        let parts = [images, copies, beyond].map(|bytes| bytes as u64);
        parts.into_iter().fold((tokens as u64).saturating_mul(per_token), u64::saturating_add)
    }

    /// Passes news on; a request that nobody listens to any more is cancelled.
    fn tell(&mut self, id: Id, update: Update) {
        let heard = self.updates.get(&id).map(|updates| updates.send(update));
        if heard.is_some_and(|sent| sent.is_err()) {
            self.updates.remove(&id);
            self.engine.cancel(id);
        }
    }

    /// Passes events of a pass that began at `begun` on, and cancels the requests that nobody listens to any more.
    fn report(&mut self, events: Vec<Event>, begun: Instant) {
        let now = Instant::now();
        for event in events {
            match event {
                Event::Begun(id, found) => self.tell(id, Update::Begun(found, begun)),
                Event::Progress(id, computed) => self.tell(id, Update::Progress(computed)),
                Event::Likely(id, likely) => self.tell(id, Update::Likely(likely)),
                Event::Token(id, token) => self.tell(id, Update::Token(token, now)),
                Event::Finished(id, finish) => {
                    if let Some(updates) = self.updates.remove(&id) {
                        // Whoever has gone does not need to hear the end.
                        let _ = updates.send(Update::Finished(finish));
                    }
                }
            }
        }
    }
}

/// Runs `work`, and makes a panic of it or a failure of the device an error.
fn guarded<T>(device: &Device, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let done = caught(work);
    match device.take_failure() {
        Some(what) => Err(engine::Failure::Device { what }.into()),
        None => done,
    }
}

/// Runs `work`, and makes a panic of it an error.
fn caught<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let what = what.or_else(|| panic.downcast_ref::<String>().cloned());
        let what = what.unwrap_or_else(|| "a panic without a message".to_owned());
        Err(engine::Failure::Panicked { what }.into())
    })
}

fn load(
    folder: &Folder,
    adapter: Option<Box<Adapter>>,
    device: &Device,
    options: LoadOptions,
    store: Option<&Arc<PageStore>>,
) -> Result<(Slot, ModelFacts), Error> {
    let folders = [Some(folder.path().to_owned()), adapter.as_ref().map(|a| a.path().to_owned())];
    let model = match adapter {
        Some(adapter) => models::load_adapted(folder, *adapter, device)?,
        None => models::load(folder, device)?,
    };
    let Model { architecture, vocabulary, context, hidden, network } = model;
    let mut facts = ModelFacts {
        architecture,
        kind: ModelKind::Embedding,
        context,
        cache_tokens: 0,
        cache_bytes_per_token: 0,
        vocabulary,
        hidden,
        embedding: None,
        lengths: None,
        token_heads: [false; 2],
        labels: None,
        vision: network.vision().map(Vision::preprocess),
        retrieval: None,
    };
    let slot = match network {
        Network::Decoder(decoder) => {
            #[cfg(test)]
            let decoder = super::fault::fragile(folder.path(), decoder);
            facts.kind = ModelKind::Language;
            let (options, share) = engine_options(device, &*decoder, context, options)?;
            let format = options.cache_format;
            facts.cache_tokens = options.cache_tokens;
            facts.cache_bytes_per_token = options.cache_bytes_per_token(&decoder.layers());
            let pages = store.and_then(|store| {
                let layers = decoder.layers();
                shelf_of(
                    store,
                    &folders,
                    device,
                    (&layers, options.cache_format, options.page_size),
                )
            });
            let engine = Engine::new(device, decoder, (context, vocabulary), options);
            let engine = match pages {
                Some(shelf) => engine.shelving(shelf),
                None => engine,
            };
            let updates = BTreeMap::new();
            Slot::Language(Box::new(Language { engine, format, share, updates }))
        }
        Network::Encoder(encoder) => {
            let head = EmbeddingHead::load(folder, device, &*encoder, hidden)?;
            let tokens = TokenHeads::load(folder, device, hidden)?;
            let said =
                |retrieval: Retrieval<'_>| Said { image: retrieval.image, query: retrieval.query };
            facts.retrieval = encoder.retrieval().map(said);
            facts.embedding = facts.retrieval.is_none().then(|| head.width());
            facts.lengths = head.lengths().map(<[usize]>::to_vec);
            facts.token_heads =
                [tokens.has_sparse(), tokens.has_multi() || facts.retrieval.is_some()];
            Slot::Embedding(Box::new(Embedder { encoder, head, tokens }), VecDeque::new())
        }
        Network::Classifier(classifier) => {
            facts.kind = ModelKind::Classifier;
            facts.labels = Some(classifier.labels());
            Slot::Classifier(classifier, VecDeque::new())
        }
    };
    Ok((slot, facts))
}

/// The part of `store` for pages of a model that lies in `folders`, and whose cache is cut so.
fn shelf_of(
    store: &Arc<PageStore>,
    folders: &[Option<PathBuf>],
    device: &Device,
    cut: (&[LayerCache], KvFormat, usize),
) -> Option<Box<dyn Shelf>> {
    let folders: Vec<_> = folders.iter().flatten().map(PathBuf::as_path).collect();
    let computed = (device.as_cpu().map(|cpu| cpu.weights()), device.precision());
    match Generation::of(&folders, &(cut, computed)) {
        Ok(generation) => Some(store.shelf(generation)),
        Err(error) => {
            let folder = folders.first().map(|folder| folder.display().to_string());
            tracing::warn!(?folder, %error, "pages of this model are not kept on the disk");
            None
        }
    }
}

impl Embedder {
    /// What `wanted` asks for of the hidden states of a batch.
    fn make(&self, hidden: &Tensor, batch: &Batch, wanted: &Wanted) -> EncodeReply {
        let mut made = EncodeReply::default();
        if wanted.dense {
            made.dense = self.head.apply(hidden, &batch.spans);
            if let Some(dimensions) = wanted.dimensions {
                made.dense.iter_mut().for_each(|vector| self.head.cut(vector, dimensions));
            }
        }
        if let Some(special) = &wanted.sparse {
            made.sparse = self.tokens.sparse(hidden, batch, special);
        }
        if wanted.multi {
            made.multi = match self.encoder.retrieval() {
                Some(Retrieval { vectors, .. }) => token_vectors(vectors, hidden, batch, 0),
                None => self.tokens.multi(hidden, batch),
            };
        }
        made
    }
}
