//! Sequences that obey a rule: alone, among strangers, put aside and begun again.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{
    Constraint, Engine, EngineOptions, Event, Failure, Finish, Id, Place, Request, Sampling, Walk,
};
use kernels::{CpuOptions, DType, Device, KvLayer, Tensor, ops};
use models::{Batch, Cache, Decoder, LayerCache, Remember};

const VOCABULARY: usize = 40;
const OPEN: u32 = 10;
const CLOSE: u32 = 33;
/// Both end a sequence.
const ENDS: [u32; 2] = [12, 39];
/// Where sequences of the rule that is closed for good close.
const LONG: usize = 12;

/// Scores tokens by the one before them and its position.
struct Chain {
    table: Tensor,
    device: Device,
}

fn number(seed: u64) -> f32 {
    let x = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((x ^ x >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32 / (1 << 22) as f32
}

impl Decoder for Chain {
    fn layers(&self) -> Vec<LayerCache> {
        let kv = KvLayer { kv_heads: 1, key_dim: 2, value_dim: 2 };
        vec![LayerCache { kv, remember: Remember::Full }]
    }

    fn forward(&self, batch: &Batch, _: &mut Cache) -> Tensor {
        let place = |&position: &u32| {
            (0..VOCABULARY as u64).map(move |n| number(u64::from(position) * 1000 + n))
        };
        let places = batch.positions.iter().flat_map(place).collect();
        let places = self.device.tensor(&[batch.positions.len(), VOCABULARY], places);
        ops::add(&ops::take(&self.table, &batch.tokens), &places)
    }

    fn unembed(&self, hidden: &Tensor) -> Tensor {
        ops::add(hidden, hidden)
    }
}

fn engine(sequences: usize, overlaps: bool) -> Engine {
    let options = CpuOptions { threads: Some(1), ..CpuOptions::default() };
    let device = Device::cpu(options).unwrap();
    let rows = (0..VOCABULARY * VOCABULARY).map(|n| number(n as u64 + 77)).collect();
    let table = device.tensor(&[VOCABULARY, VOCABULARY], rows);
    let options = EngineOptions {
        step_tokens: 8,
        sequences,
        page_size: 4,
        cache_tokens: 64,
        cache_format: DType::F32.into(),
        ..EngineOptions::default()
    };
    let decoder = Chain { table, device: device.clone() };
    Engine::new(&device, Box::new(decoder), (64, VOCABULARY), options).overlapping(overlaps)
}

/// Brackets with small numbers in them: the first token opens, no more than three are open, and all are
/// closed in the end.
#[derive(Debug)]
struct Brackets {
    breaks: Option<(usize, Breaks)>,
}

#[derive(Clone, Copy, Debug)]
enum Breaks {
    Says,
    Panics,
    Refuses,
    AllowsNothing,
}

struct Inside {
    depth: usize,
    length: usize,
    mask: [u32; 1 + CLOSE as usize / 32],
    breaks: Option<(usize, Breaks)>,
}

impl Constraint for Brackets {
    fn begin(&self) -> Box<dyn Walk> {
        Box::new(Inside { depth: 0, length: 0, mask: [0; 2], breaks: self.breaks })
    }
}

impl Inside {
    fn allows(&self, token: u32) -> bool {
        match token {
            // What ends a sequence is not the rule's affair, and may not come because the rule says so.
            0..10 | 12 => self.depth > 0,
            OPEN => self.depth < 3,
            CLOSE => self.depth > 0,
            _ => false,
        }
    }
}

impl Walk for Inside {
    fn mask(&mut self) -> Result<&[u32], String> {
        self.mask = [0; 2];
        match self.breaks.filter(|&(at, _)| at == self.length) {
            Some((_, Breaks::Says)) => return Err("out of breath".to_owned()),
            Some((_, Breaks::Panics)) => panic!("a broken rule"),
            Some((_, Breaks::AllowsNothing)) => return Ok(&self.mask),
            Some((_, Breaks::Refuses)) | None => {}
        }
        for token in 0..=CLOSE {
            if self.allows(token) {
                self.mask[token as usize / 32] |= 1 << (token % 32);
            }
        }
        Ok(&self.mask)
    }

    fn accept(&mut self, token: u32) -> Result<(), String> {
        if matches!(self.breaks, Some((at, Breaks::Refuses)) if at == self.length) {
            return Err("not that one".to_owned());
        }
        assert!(self.allows(token) && token != 12, "{token} is not allowed");
        self.length += 1;
        match token {
            OPEN => self.depth += 1,
            CLOSE => self.depth -= 1,
            _ => {}
        }
        Ok(())
    }

    fn place(&mut self) -> Place {
        match (self.depth, self.length) {
            (1.., _) | (_, 0) => Place::Within,
            (0, ..LONG) => Place::MayEnd,
            (0, LONG..) => Place::End,
        }
    }
}

/// What of `tokens` the rule takes, said otherwise; and the depth in the end.
fn depth(tokens: &[u32]) -> Option<i32> {
    let mut depth = 0;
    for token in tokens {
        match *token {
            OPEN => depth += 1,
            CLOSE => depth -= 1,
            0..10 if depth > 0 => {}
            _ => return None,
        }
        if !(0..=3).contains(&depth) {
            return None;
        }
    }
    Some(depth)
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

fn request(random: &mut Random) -> Request {
    let warm = Sampling { temperature: 1.5, seed: random.0, ..Sampling::default() };
    let sampling = match random.below(4) {
        0 => Sampling::default(),
        1 => Sampling { top_p: 0.8, top_k: 9, ..warm },
        2 => Sampling { repetition_penalty: 1.3, ..warm },
        _ => warm,
    };
    let constraint: Option<Arc<dyn Constraint>> = match random.below(3) {
        0 => None,
        _ => Some(Arc::new(Brackets { breaks: None })),
    };
    Request {
        prompt: (0..1 + random.below(20) as u32).map(|i| i % 7).collect(),
        max_tokens: 1 + random.below(30),
        stop: ENDS.to_vec(),
        sampling,
        constraint,
        ..Request::default()
    }
}

type Outcome = (Vec<u32>, Option<Finish>);

fn outcomes(events: Vec<Event>) -> BTreeMap<Id, Outcome> {
    let mut out = BTreeMap::<Id, Outcome>::new();
    for event in events {
        match event {
            Event::Token(id, token) => {
                let (tokens, finish) = out.entry(id).or_default();
                assert_eq!(*finish, None, "{id:?}: a token after the end");
                tokens.push(token);
            }
            Event::Finished(id, finish) => {
                let before = out.entry(id).or_default().1.replace(finish);
                assert_eq!(before, None, "{id:?}: ended twice");
            }
            Event::Begun(..) | Event::Likely(..) | Event::Progress(..) => {}
        }
    }
    out
}

fn drain(engine: &mut Engine) -> Vec<Event> {
    let mut events = Vec::new();
    while !engine.is_idle() {
        events.extend(engine.step());
    }
    assert_eq!(engine.status().pages_held, 0);
    events
}

fn alone(request: &Request) -> Outcome {
    let mut engine = engine(1, false);
    engine.add(Id(0), request.clone()).unwrap();
    outcomes(drain(&mut engine)).remove(&Id(0)).unwrap()
}

#[test]
fn constrained_sequences_among_strangers_are_as_alone() {
    let (mut preemptions, mut ends) = (0, [0; 4]);
    for seed in 1..=150 {
        let mut random = Random(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15) | 1);
        let requests: Vec<_> = (0..10).map(|_| request(&mut random)).collect();
        let mut engine = engine(3 + random.below(6), seed % 2 == 0);
        let mut events = Vec::new();
        for (id, request) in (0..).zip(&requests) {
            engine.add(Id(id), request.clone()).unwrap();
            for _ in 0..random.below(3) {
                events.extend(engine.step());
            }
        }
        let cancelled = Id(random.below(10) as u64);
        events.extend(engine.cancel(cancelled));
        events.extend(drain(&mut engine));
        preemptions += engine.status().preemptions;
        let outcomes = outcomes(events);
        for (id, request) in (0..).zip(&requests) {
            let (tokens, finish) = &outcomes[&Id(id)];
            if *finish == Some(Finish::Cancelled) {
                assert_eq!(Id(id), cancelled);
                continue;
            }
            assert_eq!((tokens.clone(), finish.clone()), alone(request), "seed {seed}, {id}");
            if request.constraint.is_none() {
                continue;
            }
            // What came is what the rule asks for, and the reason is the right one.
            let ended = tokens.last().is_some_and(|last| ENDS.contains(last));
            let text = &tokens[..tokens.len() - usize::from(ended)];
            let depth = depth(text).unwrap_or_else(|| panic!("seed {seed}, {id}: {tokens:?}"));
            let full = tokens.len() == request.max_tokens;
            let reason = match finish {
                Some(Finish::Stop) if ended => depth == 0 && !text.is_empty(),
                Some(Finish::Stop) => depth == 0 && text.len() >= LONG,
                Some(Finish::Length) => depth == 0 && full && text.len() < LONG,
                Some(Finish::Unfinished) => depth > 0 && full,
                _ => false,
            };
            assert!(reason, "seed {seed}, {id}: {finish:?} after {tokens:?}");
            let way = match finish {
                Some(Finish::Stop) => usize::from(ended),
                Some(Finish::Length) => 2,
                _ => 3,
            };
            ends[way] += 1;
        }
    }
    // The seeds exercise what they are meant to.
    assert!(preemptions > 50 && ends.iter().all(|&n| n > 20), "{preemptions} {ends:?}");
}

#[test]
fn a_rule_that_fails_ends_its_own_sequence_and_no_other() {
    let mut random = Random(5);
    let sound = Request { max_tokens: 20, ..request(&mut random) };
    for breaks in [Breaks::Says, Breaks::Panics, Breaks::Refuses, Breaks::AllowsNothing] {
        for at in [0, 3] {
            let constraint: Arc<dyn Constraint> = Arc::new(Brackets { breaks: Some((at, breaks)) });
            let broken = Request {
                prompt: vec![1; 5],
                max_tokens: 20,
                constraint: Some(constraint),
                ..Request::default()
            };
            let mut engine = engine(4, false);
            engine.add(Id(1), broken).unwrap();
            engine.add(Id(2), sound.clone()).unwrap();
            let outcomes = outcomes(drain(&mut engine));
            let position = 4 + at;
            let words = |what: &str, position| {
                Finish::Failed(Failure::Constraint { position, what: what.to_owned() })
            };
            let expected = match breaks {
                Breaks::Says => words("out of breath", position),
                Breaks::Panics => words("a broken rule", position),
                // The token is there; what may follow it is not known.
                Breaks::Refuses => words("not that one", position + 1),
                Breaks::AllowsNothing => Finish::Failed(Failure::NothingAllowed { position }),
            };
            let (tokens, finish) = &outcomes[&Id(1)];
            assert_eq!(finish.as_ref(), Some(&expected), "{tokens:?}");
            assert_eq!(tokens.len(), at + usize::from(matches!(breaks, Breaks::Refuses)));
            assert_eq!(outcomes[&Id(2)], alone(&sound));
        }
    }
}

/// What may not come is made impossible; a broken network is still called broken.
#[test]
fn a_nan_is_found_behind_the_mask() {
    struct Broken(Device);

    impl Decoder for Broken {
        fn layers(&self) -> Vec<LayerCache> {
            let kv = KvLayer { kv_heads: 1, key_dim: 2, value_dim: 2 };
            vec![LayerCache { kv, remember: Remember::Full }]
        }

        fn forward(&self, batch: &Batch, _: &mut Cache) -> Tensor {
            self.0.tensor(&[batch.positions.len(), 1], vec![0.0; batch.positions.len()])
        }

        fn unembed(&self, hidden: &Tensor) -> Tensor {
            let mut row = [0.0; VOCABULARY];
            row[35] = f32::NAN;
            self.0.tensor(&[hidden.rows(), VOCABULARY], row.repeat(hidden.rows()))
        }
    }

    let device = Device::cpu(CpuOptions { threads: Some(1), ..CpuOptions::default() }).unwrap();
    let decoder = Box::new(Broken(device.clone()));
    let mut engine = Engine::new(
        &device,
        decoder,
        (64, VOCABULARY),
        EngineOptions { cache_tokens: 64, ..EngineOptions::default() },
    );
    let constraint: Arc<dyn Constraint> = Arc::new(Brackets { breaks: None });
    let request = Request {
        prompt: vec![1],
        max_tokens: 2,
        constraint: Some(constraint),
        ..Request::default()
    };
    engine.add(Id(1), request).unwrap();
    let failure = Failure::NotANumber { position: 0, token: 35 };
    let ended = Event::Finished(Id(1), Finish::Failed(failure));
    assert_eq!(engine.step(), [Event::Begun(Id(1), 0), ended]);
}
