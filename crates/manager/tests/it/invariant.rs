//! An invariant answer is the same to the last bit, whoever is beside it, however it is cut and put aside.

use std::collections::BTreeMap;
use std::path::Path;

use checkpoint::Folder;
use engine::{
    Beginning, Engine, EngineOptions, Event, Id, Logprobs, Preemption, Priority, Request, Sampling,
    Shelf, Status,
};
use kernels::{CpuOptions, Device, KvFormat, KvQuantization, WeightLayout};
use models::{Decoder, Network};

const OURS: Id = Id(1_000);

/// Tokens of the answer, and all the numbers that each was chosen by.
type Answer = Vec<(u32, Logprobs)>;

struct Setting {
    step_tokens: usize,
    cache_tokens: usize,
    strangers: u64,
    /// Whether strangers came first, so that beginnings are found and ours is put aside.
    late: bool,
    /// Whether who is put aside is copied.
    swap: bool,
    /// The width of codes in the cache.
    bits: Option<usize>,
}

const ALONE: Setting = Setting {
    step_tokens: 64,
    cache_tokens: 512,
    strangers: 0,
    late: false,
    swap: false,
    bits: None,
};

fn prompt(seed: u64, n: u64) -> Vec<u32> {
    let token = |n: u64| ((seed * 1_000 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32;
    (0..n).map(|n| token(n) % 500).collect()
}

type Loaded = (Box<dyn Decoder>, (usize, usize), Device);

/// A network, its context and vocabulary, and how its engine is opened.
fn model(fixture: &str, weights: WeightLayout, setting: &Setting) -> (Loaded, EngineOptions) {
    let device =
        Device::cpu(CpuOptions { threads: Some(2), weights, ..CpuOptions::default() }).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").join(fixture);
    let model = models::load(&Folder::open(&folder).unwrap(), &device).unwrap();
    let Network::Decoder(decoder) = model.network else { panic!("no language model") };
    let layers: Vec<_> = decoder.layers().iter().map(|layer| layer.kv).collect();
    let quantization = setting.bits.map(|bits| KvQuantization::for_layers(bits, &layers).unwrap());
    let options = EngineOptions {
        step_tokens: setting.step_tokens,
        sequences: 6,
        page_size: 8,
        cache_tokens: setting.cache_tokens,
        cache_format: KvFormat { dtype: device.cache_dtype(), quantization },
        preemption: if setting.swap { Preemption::Swap } else { Preemption::Recompute },
        swap_bytes: 1 << 30,
        ..EngineOptions::default()
    };
    ((decoder, (model.context, model.vocabulary), device), options)
}

/// What is answered, and what became of the engine.
fn answer(
    fixture: &str,
    weights: WeightLayout,
    setting: &Setting,
    invariant: bool,
) -> (Answer, Status) {
    let ((decoder, size, device), options) = model(fixture, weights, setting);
    let mut engine = Engine::new(&device, decoder, size, options);
    let sampling =
        |seed| Sampling { temperature: 1.0, seed, logprobs: Some(size.1), ..Sampling::default() };
    let strange = |engine: &mut Engine, n: u64| {
        // Some begin as ours does.
        let mut tokens = if n.is_multiple_of(2) { prompt(7, 20) } else { Vec::new() };
        tokens.extend(prompt(n + 50, 3 + 11 * (n % 4)));
        let priority = Priority::ALL[n as usize % 3];
        let sampling = sampling(n);
        let request = Request {
            prompt: tokens,
            max_tokens: 30,
            sampling,
            priority,
            invariant: n.is_multiple_of(4),
            ..Request::default()
        };
        engine.add(Id(n), request).unwrap();
    };
    if setting.late {
        (0..setting.strangers).for_each(|n| strange(&mut engine, n));
        for _ in 0..5 {
            engine.step();
        }
    }
    let request = Request {
        prompt: prompt(7, 45),
        max_tokens: 40,
        sampling: sampling(9),
        invariant,
        ..Request::default()
    };
    engine.add(OURS, request).unwrap();
    if !setting.late {
        (0..setting.strangers).for_each(|n| strange(&mut engine, n));
    }
    let (mut tokens, mut likely) = (Vec::new(), Vec::new());
    while !engine.is_idle() {
        for event in engine.step() {
            match event {
                Event::Token(OURS, token) => tokens.push(token),
                Event::Likely(OURS, numbers) => likely.push(*numbers),
                Event::Token(..)
                | Event::Likely(..)
                | Event::Begun(..)
                | Event::Progress(..)
                | Event::Finished(..) => {}
            }
        }
    }
    assert_eq!((tokens.len(), likely.len()), (40, 40));
    (tokens.into_iter().zip(likely).collect(), engine.status())
}

#[test]
fn an_invariant_answer_does_not_depend_on_its_neighbours() {
    let settings = [
        Setting { step_tokens: 64, cache_tokens: 512, strangers: 8, late: false, ..ALONE },
        Setting { step_tokens: 17, cache_tokens: 512, strangers: 8, late: true, ..ALONE },
        // So few pages that everybody is put aside.
        Setting { step_tokens: 64, cache_tokens: 128, strangers: 12, late: false, ..ALONE },
        Setting { step_tokens: 9, cache_tokens: 128, strangers: 12, late: true, ..ALONE },
    ];
    let mut differs = false;
    for fixture in ["llama_affine_4_g64", "llama_bf16"] {
        for weights in [WeightLayout::Panels, WeightLayout::InPlace] {
            let (alone, _) = answer(fixture, weights, &ALONE, true);
            let (plain, _) = answer(fixture, weights, &ALONE, false);
            for (n, setting) in settings.iter().enumerate() {
                let (ours, Status { preemptions, swaps, .. }) =
                    answer(fixture, weights, setting, true);
                assert_eq!(swaps, 0);
                assert!(n < 2 || preemptions > 3, "{preemptions}");
                assert!(ours == alone, "{fixture}, {weights:?}, setting {n}");
                differs |= answer(fixture, weights, setting, false).0 != plain;
            }
        }
    }
    assert!(differs, "without it, neighbours can be told from the last bits");
}

/// What was copied is put back to the bit, also as codes.
#[test]
fn an_answer_that_was_copied_goes_on_as_if_it_had_not_been() {
    for bits in [None, Some(8), Some(4)] {
        let fixture = "llama_affine_4_g64";
        let (weights, alone) = (WeightLayout::Panels, Setting { bits, ..ALONE });
        let (alone, _) = answer(fixture, weights, &alone, true);
        for (step_tokens, late) in [(64, false), (9, true)] {
            let setting =
                Setting { step_tokens, cache_tokens: 128, strangers: 12, late, swap: true, bits };
            let (ours, status) = answer(fixture, weights, &setting, true);
            assert!(status.swaps > 3 && status.pages_copied == 0, "{status:?}");
            assert!(ours == alone, "{bits:?}, {step_tokens}");
        }
    }
}

/// A shelf in memory.
#[derive(Default)]
struct Pages {
    pages: BTreeMap<(u8, Vec<u32>), Vec<u8>>,
    /// Whether what comes back is less than what was put there.
    cuts: bool,
}

impl Shelf for Pages {
    fn reach(&mut self, way: u8, tokens: &[u32], page_size: usize) -> usize {
        let has = |&n: &usize| self.pages.contains_key(&(way, tokens[..n * page_size].to_vec()));
        (1..=tokens.len() / page_size).take_while(has).count()
    }

    fn has(&mut self, of: &Beginning, _: usize) -> bool {
        self.pages.contains_key(&(of.way, of.tokens.clone()))
    }

    fn put(&mut self, of: &Beginning, page_size: usize, page: Vec<u8>) {
        assert!(of.tokens.len().is_multiple_of(page_size));
        let before = self.pages.insert((of.way, of.tokens.clone()), page);
        assert!(before.is_none(), "a page is put there once");
    }

    fn get(&mut self, of: &Beginning, _: usize) -> Option<Vec<u8>> {
        let page = self.pages.get(&(of.way, of.tokens.clone()))?;
        Some(if self.cuts { page[1..].to_vec() } else { page.clone() })
    }
}

/// The answer to `OURS` is the same from pages that were away, also as codes, and from none if they came back broken.
#[test]
fn pages_that_went_to_a_shelf_come_back_to_the_bit() {
    for (bits, cuts) in [(None, false), (Some(8), false), (Some(4), false), (None, true)] {
        let weights = WeightLayout::Panels;
        let setting = Setting { cache_tokens: 128, bits, ..ALONE };
        let (model, options) = model("llama_affine_4_g64", weights, &setting);
        let (decoder, size, device) = model;
        let shelf = Pages { cuts, ..Pages::default() };
        let mut engine = Engine::new(&device, decoder, size, options).shelving(Box::new(shelf));
        let mut ask = |id: u64, seed: u64| {
            let sampling = Sampling { logprobs: Some(size.1), ..Sampling::default() };
            let prompt = prompt(seed, 60);
            let invariant = id.is_multiple_of(2);
            let request =
                Request { prompt, max_tokens: 9, sampling, invariant, ..Request::default() };
            engine.add(Id(id), request).unwrap();
            let mut said = Vec::new();
            while !engine.is_idle() {
                for event in engine.step() {
                    match event {
                        Event::Token(_, token) => said.push((token, None)),
                        Event::Likely(_, likely) => said.push((0, Some(likely))),
                        Event::Begun(..) | Event::Progress(..) | Event::Finished(..) => {}
                    }
                }
            }
            (said, engine.status().prefix.fetched)
        };
        let (first, fetched) = ask(0, 7);
        assert_eq!((first.len(), fetched), (18, 0));
        for other in 1..6 {
            ask(other, 100 + other);
        }
        let (again, fetched) = ask(6, 7);
        assert!(fetched >= 5, "{fetched} pages came back");
        assert!(again == first, "{bits:?}, {cuts}");
    }
}
