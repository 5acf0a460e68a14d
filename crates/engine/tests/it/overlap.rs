//! Steps that are prepared before the one under way is read: the same tokens, and nothing lost.

use std::sync::{Arc, Mutex};

use engine::{Engine, EngineOptions, Event, Failure, Finish, Id, Request, Sampling};
use kernels::{CpuOptions, DType, Device, KvLayer, Tensor, ops};
use models::{Batch, Cache, Decoder, LayerCache, Remember};

const VOCABULARY: usize = 16;
/// A token whose continuation is no number.
const NAN: u32 = 14;

/// Scores the token after each mostly by a table, and never looks at a token itself.
struct Chain {
    table: Tensor,
    device: Device,
    /// The pass that breaks.
    breaks: Option<usize>,
    /// How often the device had been waited for when each pass was built.
    waits: Arc<Mutex<Vec<u64>>>,
}

impl Decoder for Chain {
    fn layers(&self) -> Vec<LayerCache> {
        let kv = KvLayer { kv_heads: 1, key_dim: 2, value_dim: 2 };
        vec![LayerCache { kv, remember: Remember::Full }]
    }

    fn forward(&self, batch: &Batch, _: &mut Cache) -> Tensor {
        let mut waits = self.waits.lock().unwrap();
        assert_ne!(Some(waits.len()), self.breaks, "a broken pass");
        waits.push(self.device.as_mlx().map_or(0, |mlx| mlx.waits()));
        ops::take(&self.table, &batch.tokens)
    }

    fn unembed(&self, hidden: &Tensor) -> Tensor {
        ops::add(hidden, hidden)
    }
}

fn devices() -> Vec<Device> {
    let options = CpuOptions { threads: Some(1), ..CpuOptions::default() };
    let mlx =
        testkit::mlx::opened(|library| Device::mlx(&kernels::MlxOptions::new(library.to_owned())));
    std::iter::once(Device::cpu(options).unwrap()).chain(mlx).collect()
}

type Waits = Arc<Mutex<Vec<u64>>>;

fn engine(device: &Device, breaks: Option<usize>) -> (Engine, Waits) {
    let mut rows = Vec::new();
    for token in 0..VOCABULARY as u32 {
        let likely =
            |next: u32| if next == (token + 1) % 13 { 2.0 } else { (next % 5) as f32 / 4.0 };
        let row = (0..VOCABULARY as u32).map(likely);
        rows.extend(row.map(|x| if token == NAN { f32::NAN } else { x }));
    }
    let table = device.tensor(&[VOCABULARY, VOCABULARY], rows);
    let options = EngineOptions {
        step_tokens: 8,
        sequences: 4,
        page_size: 4,
        cache_tokens: 64,
        cache_format: DType::F32.into(),
        ..EngineOptions::default()
    };
    let waits = Waits::default();
    let decoder = Chain { table, device: device.clone(), breaks, waits: Arc::clone(&waits) };
    (Engine::new(device, Box::new(decoder), (64, VOCABULARY), options), waits)
}

fn drain(engine: &mut Engine) -> Vec<Event> {
    let mut events = Vec::new();
    while !engine.is_idle() {
        // When its turn came is another test's business.
        events.extend(engine.step().into_iter().filter(|event| !matches!(event, Event::Begun(..))));
    }
    assert_eq!(engine.status().pages_held, 0);
    events
}

fn of(events: &[Event], id: u64) -> Vec<&Event> {
    let whose = |event: &&Event| match event {
        Event::Begun(of, _)
        | Event::Progress(of, _)
        | Event::Likely(of, _)
        | Event::Token(of, _)
        | Event::Finished(of, _) => *of == Id(id),
    };
    events.iter().filter(whose).collect()
}

fn requests() -> Vec<Request> {
    let warm = Sampling { temperature: 1.5, seed: 3, ..Sampling::default() };
    let ways = [
        Sampling::default(),
        warm.clone(),
        Sampling { top_p: 0.8, top_k: 9, seed: 8, ..warm.clone() },
        Sampling { repetition_penalty: 1.3, ..warm.clone() },
        Sampling { min_p: 0.1, seed: 1, ..warm.clone() },
        Sampling { logprobs: Some(2), logit_bias: vec![(3, 1.0)], ..warm.clone() },
        Sampling { presence_penalty: 0.5, frequency_penalty: 0.5, typical_p: 0.8, ..warm },
    ];
    let request = |n: usize| Request {
        prompt: (0..1 + n as u32 * 5 % 17).map(|i| i % 12).collect(),
        max_tokens: 1 + n * 7 % 19,
        stop: vec![(n % 12) as u32],
        sampling: ways[n % ways.len()].clone(),
        ..Request::default()
    };
    (0..20).map(request).collect()
}

#[test]
fn overlapping_changes_no_token() {
    for device in devices() {
        let run = |overlaps| {
            let mut engine = engine(&device, None).0.overlapping(overlaps);
            let mut events = Vec::new();
            for (id, request) in (0..).zip(requests()) {
                engine.add(Id(id), request).unwrap();
                events.extend(engine.step());
            }
            events.extend(drain(&mut engine));
            events
        };
        let (one, other) = (run(false), run(true));
        for id in 0..requests().len() as u64 {
            let last = |events: &[Event]| {
                let all = of(events, id).into_iter().cloned();
                // How much is done already when a request begins is a matter of time.
                let timed = |e: &Event| matches!(e, Event::Begun(..) | Event::Progress(..));
                all.filter(|e| !timed(e)).collect::<Vec<_>>()
            };
            assert_eq!(last(&one), last(&other), "{id} on {device:?}");
        }
    }
}

/// The graph of a step stands before anything has waited for the one before it.
#[test]
fn a_step_is_built_before_the_one_under_way_is_read() {
    for device in devices().iter().filter(|device| device.as_mlx().is_some()) {
        let waits = |overlaps, sampling: Sampling| {
            let (engine, waits) = engine(device, None);
            let mut engine = engine.overlapping(overlaps);
            let prompt = vec![1; 20];
            let request = Request { prompt, max_tokens: 4, sampling, ..Request::default() };
            let before = device.as_mlx().unwrap().waits();
            engine.add(Id(1), request).unwrap();
            drain(&mut engine);
            let waits = waits.lock().unwrap();
            waits.iter().map(|waits| waits - before).collect::<Vec<_>>()
        };
        // Three passes read the prompt, three more continue it.
        let warm = Sampling { temperature: 0.7, top_p: 0.9, ..Sampling::default() };
        for sampling in [Sampling::default(), warm] {
            assert_eq!(waits(true, sampling.clone()), [0, 0, 1, 2, 3, 4]);
            assert_eq!(waits(false, sampling), [0, 1, 2, 3, 4, 5]);
        }
        // What looks at all tokens waits for them.
        let penalized = Sampling { repetition_penalty: 1.1, ..Sampling::default() };
        assert_eq!(waits(true, penalized), [0, 0, 1, 3, 4, 5]);
    }
}

#[test]
fn a_nan_is_found_a_step_late_and_ends_only_its_own() {
    for device in devices() {
        let mut engine = engine(&device, None).0.overlapping(true);
        let request = |prompt: &[u32], max_tokens| Request {
            prompt: prompt.to_vec(),
            max_tokens,
            ..Request::default()
        };
        engine.add(Id(1), request(&[3, NAN], 5)).unwrap();
        engine.add(Id(2), request(&[1], 3)).unwrap();
        let events = drain(&mut engine);
        let failure = Failure::NotANumber { position: 1, token: 0 };
        assert_eq!(of(&events, 1), [&Event::Finished(Id(1), Finish::Failed(failure))]);
        assert_eq!(of(&events, 2).last(), Some(&&Event::Finished(Id(2), Finish::Length)));
        assert_eq!(of(&events, 2).len(), 4);
    }
}

/// The step under way is told before the one that broke while it was prepared.
#[test]
fn a_step_that_breaks_while_it_is_prepared_takes_no_other_with_it() {
    for device in devices() {
        let mut engine = engine(&device, Some(2)).0.overlapping(true);
        let request = Request { prompt: vec![1], max_tokens: 9, ..Request::default() };
        engine.add(Id(1), request.clone()).unwrap();
        let events = drain(&mut engine);
        let what = "assertion `left != right` failed: a broken pass";
        let Some(Event::Finished(Id(1), Finish::Failed(Failure::Panicked { what: said }))) =
            events.last()
        else {
            panic!("{events:?}")
        };
        assert!(said.starts_with(what), "{said}");
        assert_eq!(events[..2], [Event::Token(Id(1), 2), Event::Token(Id(1), 3)]);
        assert_eq!(events.len(), 3);
        assert_eq!(device.take_failure(), None);
    }
}

#[test]
fn a_sequence_that_is_cancelled_under_way_leaves_nothing() {
    for device in devices() {
        let mut engine = engine(&device, None).0.overlapping(true);
        let request = Request { prompt: vec![1], max_tokens: 9, ..Request::default() };
        for id in [1, 2] {
            engine.add(Id(id), request.clone()).unwrap();
            engine.step();
            assert!(engine.cancel(Id(id)).is_some() && engine.is_idle());
            assert_eq!(engine.status().pages_held, 0);
        }
        engine.add(Id(3), request).unwrap();
        let events = drain(&mut engine);
        assert_eq!(events.first(), Some(&Event::Token(Id(3), 2)));
        assert_eq!(of(&events, 3).len(), 10);
    }
}
