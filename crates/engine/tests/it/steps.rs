//! Whole steps over a made-up network: what comes in, what goes out, what breaks.

use engine::{
    Engine, EngineOptions, Event, Failure, Finish, Id, Logprobs, Priority, Refusal, Request,
    Sampling,
};
use kernels::{CpuOptions, DType, Device, KvLayer, QuantizationMode, QuantizedTensor, Tensor, ops};
use models::{Batch, Cache, Decoder, LayerCache, Remember};

const VOCABULARY: usize = 10;

/// Continues a token with the one after it; breaks in two ways on request.
struct Counter {
    device: Device,
}

const NAN: u32 = 8;
const PANIC: u32 = 9;

impl Decoder for Counter {
    fn layers(&self) -> Vec<LayerCache> {
        let kv = KvLayer { kv_heads: 1, key_dim: 2, value_dim: 2 };
        vec![LayerCache { kv, remember: Remember::Full }]
    }

    fn forward(&self, batch: &Batch, _: &mut Cache) -> Tensor {
        assert!(!batch.tokens.contains(&PANIC), "a broken network");
        let rows = batch.tokens.iter().map(|&token| token as f32).collect();
        self.device.tensor(&[batch.tokens.len(), 1], rows)
    }

    fn unembed(&self, hidden: &Tensor) -> Tensor {
        let mut logits = Vec::new();
        for token in hidden.to_vec() {
            let mut row = vec![0.0; VOCABULARY];
            row[(token as usize + 1) % VOCABULARY] = 1.0;
            if token as u32 == NAN {
                row[3] = f32::NAN;
            }
            logits.extend(row);
        }
        self.device.tensor(&[hidden.rows(), VOCABULARY], logits)
    }
}

fn engine() -> Engine {
    let options = CpuOptions { threads: Some(1), ..CpuOptions::default() };
    let device = Device::cpu(options).unwrap();
    let options = EngineOptions {
        step_tokens: 8,
        sequences: 4,
        page_size: 4,
        cache_tokens: 64,
        cache_format: DType::F32.into(),
        ..EngineOptions::default()
    };
    let decoder = Box::new(Counter { device: device.clone() });
    Engine::new(&device, decoder, (64, VOCABULARY), options)
}

fn add(engine: &mut Engine, id: u64, prompt: &[u32], max_tokens: usize, stop: &[u32]) {
    let (prompt, stop) = (prompt.to_vec(), stop.to_vec());
    engine.add(Id(id), Request { prompt, max_tokens, stop, ..Request::default() }).unwrap();
}

fn drain(engine: &mut Engine) -> Vec<Event> {
    let mut events = Vec::new();
    while !engine.is_idle() {
        events.extend(engine.step());
    }
    events
}

fn of(events: &[Event], id: u64) -> (Vec<u32>, Option<&Finish>) {
    let mut out = (Vec::new(), None);
    for event in events {
        match event {
            Event::Token(of, token) if *of == Id(id) => out.0.push(*token),
            Event::Finished(of, finish) if *of == Id(id) => out.1 = Some(finish),
            Event::Begun(..)
            | Event::Likely(..)
            | Event::Token(..)
            | Event::Finished(..)
            | Event::Progress(..) => {}
        }
    }
    out
}

#[test]
fn sequences_are_continued_side_by_side() {
    let mut engine = engine();
    add(&mut engine, 1, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 4, &[]);
    add(&mut engine, 2, &[4], 10, &[6]);
    let events = drain(&mut engine);
    assert_eq!(of(&events, 1), (vec![2, 3, 4, 5], Some(&Finish::Length)));
    assert_eq!(of(&events, 2), (vec![5, 6], Some(&Finish::Stop)));
}

/// Once, before all else.
#[test]
fn what_was_found_in_the_cache_is_told() {
    let mut engine = engine();
    let prompt = [0, 1, 2, 3, 4, 5, 6, 7, 8];
    add(&mut engine, 1, &prompt, 2, &[]);
    let first = drain(&mut engine);
    assert_eq!(first.first(), Some(&Event::Begun(Id(1), 0)), "{first:?}");
    add(&mut engine, 2, &prompt, 2, &[]);
    let events = drain(&mut engine);
    assert_eq!(events.first(), Some(&Event::Begun(Id(2), 8)), "{events:?}");
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Begun(..))).count(), 1);
    assert_eq!(of(&events, 2).0, of(&first, 1).0);
}

/// Of the network's own logits, whatever is chosen, and just before their token.
#[test]
fn logprobs_come_before_their_tokens() {
    let mut engine = engine();
    let sampling =
        Sampling { logprobs: Some(1), logit_bias: vec![(7, 50.0)], ..Sampling::default() };
    let request = |prompt| Request {
        prompt: vec![prompt],
        max_tokens: 2,
        sampling: sampling.clone(),
        ..Request::default()
    };
    engine.add(Id(1), request(2)).unwrap();
    add(&mut engine, 2, &[1], 2, &[]);
    let events = drain(&mut engine);
    // One logit is 1, the nine others are 0.
    let total = (9.0 + 1.0_f32.exp()).ln();
    let near = |likely: &Logprobs, of_chosen: f32, likeliest: u32| {
        let (token, logprob) = likely.likeliest[0];
        (likely.chosen - (of_chosen - total)).abs() < 1e-6
            && token == likeliest
            && (logprob - (1.0 - total)).abs() < 1e-6
    };
    let mine: Vec<_> = events
        .iter()
        .filter(|event| matches!(event, Event::Likely(Id(1), _) | Event::Token(Id(1), _)))
        .collect();
    let [Event::Likely(_, first), Event::Token(_, 7), Event::Likely(_, second), Event::Token(_, 7)] =
        mine[..]
    else {
        panic!("{events:?}")
    };
    assert!(near(first, 0.0, 3) && near(second, 0.0, 8), "{first:?} {second:?}");
    assert!(!events.iter().any(|event| matches!(event, Event::Likely(Id(2), _))));
}

#[test]
fn a_nan_ends_its_own_sequence_and_says_where() {
    let mut engine = engine();
    add(&mut engine, 1, &[6], 5, &[]);
    add(&mut engine, 2, &[1], 3, &[]);
    let events = drain(&mut engine);
    let failure = Failure::NotANumber { position: 2, token: 3 };
    assert_eq!(of(&events, 1), (vec![7, 8], Some(&Finish::Failed(failure))));
    assert_eq!(of(&events, 2), (vec![2, 3, 4], Some(&Finish::Length)));
}

#[test]
fn a_panic_loses_its_step_and_no_more() {
    let mut engine = engine();
    add(&mut engine, 1, &[1, 1, 1, 1, 1, 1, 1, PANIC], 5, &[]);
    // Less urgent, so there is no room for it in the first step.
    let (prompt, priority) = (vec![1], Priority::Batch);
    let request = Request { prompt, max_tokens: 3, priority, ..Request::default() };
    engine.add(Id(2), request).unwrap();
    let events = drain(&mut engine);
    let (tokens, finish) = of(&events, 1);
    let expected = Failure::Panicked { what: "a broken network".to_owned() };
    assert_eq!((tokens, finish), (vec![], Some(&Finish::Failed(expected))));
    assert_eq!(of(&events, 2), (vec![2, 3, 4], Some(&Finish::Length)));
    add(&mut engine, 3, &[1], 2, &[]);
    let events = drain(&mut engine);
    assert_eq!(of(&events, 3), (vec![2, 3], Some(&Finish::Length)));
}

#[test]
fn a_cancelled_sequence_says_so_once() {
    let mut engine = engine();
    add(&mut engine, 1, &[0], 50, &[]);
    engine.step();
    assert_eq!(engine.cancel(Id(1)), Some(Event::Finished(Id(1), Finish::Cancelled)));
    assert_eq!(engine.cancel(Id(1)), None);
    assert!(engine.is_idle() && engine.step().is_empty());
}

/// Continues each token with the one after it, on MLX; a call that MLX refuses breaks its step.
struct Refused(Device);

impl Decoder for Refused {
    fn layers(&self) -> Vec<LayerCache> {
        Counter { device: self.0.clone() }.layers()
    }

    fn forward(&self, batch: &Batch, _: &mut Cache) -> Tensor {
        let rows = batch.tokens.iter().map(|&token| token as f32).collect();
        let hidden = self.0.tensor(&[batch.tokens.len(), 1], rows);
        if !batch.tokens.contains(&PANIC) {
            return hidden;
        }
        // MLX knows no groups of 16 in this mode.
        let part =
            |shape: &[usize], dtype, bytes: usize| self.0.wrap(shape, dtype, vec![0; bytes].into());
        let weight = QuantizedTensor {
            rows: 1,
            columns: 16,
            mode: QuantizationMode::Affine,
            bits: 4,
            group_size: 16,
            weight: part(&[1, 2], DType::U32, 8),
            scales: part(&[1, 1], DType::F32, 4),
            biases: Some(part(&[1, 1], DType::F32, 4)),
            global_scale: None,
        };
        let rows = batch.tokens.len();
        ops::quantized_matmul(&self.0.tensor(&[rows, 16], vec![1.0; rows * 16]), &weight)
    }

    fn unembed(&self, hidden: &Tensor) -> Tensor {
        Counter { device: self.0.clone() }.unembed(hidden)
    }
}

#[test]
fn a_failure_of_mlx_ends_its_step_and_no_other() {
    let device =
        testkit::mlx::opened(|library| Device::mlx(&kernels::MlxOptions::new(library.to_owned())));
    let Some(device) = device else { return };
    let options = EngineOptions {
        step_tokens: 8,
        sequences: 1,
        page_size: 4,
        cache_tokens: 64,
        cache_format: DType::F32.into(),
        ..EngineOptions::default()
    };
    let decoder = Box::new(Refused(device.clone()));
    let engine = Engine::new(&device, decoder, (64, VOCABULARY), options);
    // This network computes with the tokens' numbers.
    let mut engine = engine.overlapping(false);
    add(&mut engine, 1, &[PANIC], 3, &[]);
    add(&mut engine, 2, &[1], 2, &[]);
    let mut events = Vec::new();
    while !engine.is_idle() {
        events.extend(engine.step());
    }
    let failed = |event: &Event| {
        let Event::Finished(Id(1), Finish::Failed(Failure::Device { what })) = event else {
            return false;
        };
        what.contains("group")
    };
    assert!(events.iter().any(failed), "{events:?}");
    assert!(events.contains(&Event::Finished(Id(2), Finish::Length)), "{events:?}");
    assert_eq!(device.take_failure(), None);
}

/// A cache becomes smaller and larger under way, and nobody's answer changes.
#[test]
fn a_cache_can_be_resized() {
    let mut engine = engine();
    assert_eq!(engine.resize(32, 0, 0).0, 32);
    let long = Request { prompt: vec![0; 40], max_tokens: 4, ..Request::default() };
    let refused = Err(Refusal::TooLong { prompt: 40, max_tokens: 4, limit: 32 });
    assert_eq!(engine.add(Id(1), long.clone()), refused);
    assert_eq!(engine.resize(1000, 0, 0).0, 64, "no more than it was opened for");
    assert_eq!(engine.add(Id(1), long), Ok(()));
    let mut events = engine.step();
    assert_eq!(engine.resize(8, 0, 0).0, 44, "what was let in is not let down");
    events.extend(drain(&mut engine));
    assert_eq!(of(&events, 1), (vec![1, 2, 3, 4], Some(&Finish::Length)));
    assert_eq!(engine.status().pages, 11);
    assert!(engine.status().pages_kept > 0);
    // Nobody is there any more: what is kept goes with the pages.
    assert_eq!(engine.resize(8, 0, 0).0, 8);
    assert_eq!((engine.status().pages, engine.status().pages_kept), (2, 0));
    add(&mut engine, 2, &[4], 3, &[]);
    assert_eq!(of(&drain(&mut engine), 2), (vec![5, 6, 7], Some(&Finish::Length)));
}
