//! The loop's body: decide, run, sample, report.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kernels::{DType, Device, KvFormat, Tensor, ops};
use models::{Batch, Cache, Decoder, LayerCache, Remember};

use crate::sample::NotANumber;
use crate::{
    Event, Failure, Id, Limits, PagePool, Refusal, Request, Sampler, Scheduler, Status, Step,
};

/// What an engine is opened with.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Tokens that one forward pass may hold.
    pub step_tokens: usize,
    /// Sequences that may run at once.
    pub sequences: usize,
    /// Tokens in a page of the cache.
    pub page_size: usize,
    /// Tokens that the cache holds in all, over all sequences.
    pub cache_tokens: usize,
    /// How the cache stores numbers.
    pub cache_format: KvFormat,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            step_tokens: 512,
            sequences: 64,
            page_size: 32,
            cache_tokens: 32 * 1024,
            cache_format: DType::F16.into(),
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
    scheduler: Scheduler,
    sampler: Sampler,
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
        let EngineOptions { step_tokens, sequences, page_size, cache_tokens, cache_format } =
            options;
        let layers = decoder.layers();
        let pages = cache_tokens.div_ceil(page_size);
        let cache = Cache::new(device, &layers, page_size, pages, cache_format);
        let window = widest(&layers);
        let turn = decoder.turn();
        let limits = Limits { tokens: step_tokens, sequences, context, vocabulary, window, turn };
        let scheduler = Scheduler::new(limits, PagePool::new(page_size, pages));
        let device = device.clone();
        Self { device, decoder, cache, scheduler, sampler: Sampler::default() }
    }

    /// Queues a request.
    ///
    /// # Errors
    ///
    /// If it can never be finished.
    pub fn add(&mut self, id: Id, request: Request) -> Result<(), Refusal> {
        self.scheduler.add(id, request)
    }

    /// Forgets a request; `None` if it is already over.
    pub fn cancel(&mut self, id: Id) -> Option<Event> {
        self.scheduler.cancel(id)
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
        self.scheduler.status()
    }

    /// Runs one forward pass and reports what came of it. A panic on the way, or a failure of the
    /// device, ends the sequences that were in the pass, and no others.
    pub fn step(&mut self) -> Vec<Event> {
        let step = self.scheduler.schedule();
        if step.is_empty() {
            return Vec::new();
        }
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let sampled = self.run(&step);
            self.cache.settle();
            sampled
        }));
        let failure = match (self.device.take_failure(), ran) {
            (None, Ok(sampled)) => return self.scheduler.complete(&step, &sampled),
            (Some(what), _) => Failure::Device { what },
            (None, Err(panic)) => Failure::Panicked { what: message(&*panic) },
        };
        self.cache.forget();
        self.scheduler.abandon(&step, &failure)
    }

    fn run(&mut self, step: &Step) -> Vec<Result<u32, NotANumber>> {
        let mut batch = Batch::default();
        let mut last_rows = Vec::new();
        for slice in step {
            batch.push_part(&slice.tokens, slice.start, slice.pages.clone(), slice.length);
            if slice.sample {
                last_rows.push(batch.tokens.len() as u32 - 1);
            }
        }
        let hidden = self.decoder.forward(&batch, &mut self.cache);
        if last_rows.is_empty() {
            return Vec::new();
        }
        let logits: Tensor = self.decoder.unembed(&ops::take(&hidden, &last_rows));
        let width = logits.width();
        let mut rows = logits.to_vec();
        let sampled = step.iter().filter(|slice| slice.sample);
        let choose = |(slice, row): (&crate::Slice, &mut [f32])| {
            let Some((tokens, sampling)) = self.scheduler.sequence(slice.id) else {
                unreachable!("a scheduled sequence is running")
            };
            self.sampler.sample(row, tokens, sampling)
        };
        sampled.zip(rows.chunks_exact_mut(width)).map(choose).collect()
    }
}

/// How far back the layers look at most; `None` if one looks back to the beginning.
fn widest(layers: &[LayerCache]) -> Option<usize> {
    layers.iter().try_fold(0, |widest, layer| match layer.remember {
        Remember::Full => None,
        Remember::Sliding(window) => Some(widest.max(window)),
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}
