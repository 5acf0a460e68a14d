//! An invariant answer is the same to the last bit, whoever is beside it, however it is cut and put aside.

use std::path::Path;

use checkpoint::Folder;
use engine::{Engine, EngineOptions, Event, Id, Logprobs, Priority, Request, Sampling};
use kernels::{CpuOptions, Device, WeightLayout};
use models::Network;

const OURS: Id = Id(1_000);

/// Tokens of the answer, and all the numbers that each was chosen by.
type Answer = Vec<(u32, Logprobs)>;

struct Setting {
    step_tokens: usize,
    cache_tokens: usize,
    strangers: u64,
    /// Whether strangers came first, so that beginnings are found and ours is put aside.
    late: bool,
}

const ALONE: Setting = Setting { step_tokens: 64, cache_tokens: 512, strangers: 0, late: false };

fn prompt(seed: u64, n: u64) -> Vec<u32> {
    let token = |n: u64| ((seed * 1_000 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32;
    (0..n).map(|n| token(n) % 500).collect()
}

/// What is answered, and how often somebody was put aside.
fn answer(
    fixture: &str,
    weights: WeightLayout,
    setting: &Setting,
    invariant: bool,
) -> (Answer, u64) {
    let device =
        Device::cpu(CpuOptions { threads: Some(2), weights, ..CpuOptions::default() }).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").join(fixture);
    let model = models::load(&Folder::open(&folder).unwrap(), &device).unwrap();
    let Network::Decoder(decoder) = model.network else { panic!("no language model") };
    let options = EngineOptions {
        step_tokens: setting.step_tokens,
        sequences: 6,
        page_size: 8,
        cache_tokens: setting.cache_tokens,
        cache_format: device.cache_dtype().into(),
        ..EngineOptions::default()
    };
    let mut engine = Engine::new(&device, decoder, (model.context, model.vocabulary), options);
    let sampling = |seed| Sampling {
        temperature: 1.0,
        seed,
        logprobs: Some(model.vocabulary),
        ..Sampling::default()
    };
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
    (tokens.into_iter().zip(likely).collect(), engine.status().preemptions)
}

#[test]
fn an_invariant_answer_does_not_depend_on_its_neighbours() {
    let settings = [
        Setting { step_tokens: 64, cache_tokens: 512, strangers: 8, late: false },
        Setting { step_tokens: 17, cache_tokens: 512, strangers: 8, late: true },
        // So few pages that everybody is put aside.
        Setting { step_tokens: 64, cache_tokens: 128, strangers: 12, late: false },
        Setting { step_tokens: 9, cache_tokens: 128, strangers: 12, late: true },
    ];
    let mut differs = false;
    for fixture in ["llama_affine_4_g64", "llama_bf16"] {
        for weights in [WeightLayout::Panels, WeightLayout::InPlace] {
            let (alone, _) = answer(fixture, weights, &ALONE, true);
            let (plain, _) = answer(fixture, weights, &ALONE, false);
            for (n, setting) in settings.iter().enumerate() {
                let (ours, preemptions) = answer(fixture, weights, setting, true);
                assert!(n < 2 || preemptions > 3, "{preemptions}");
                assert!(ours == alone, "{fixture}, {weights:?}, setting {n}");
                differs |= answer(fixture, weights, setting, false).0 != plain;
            }
        }
    }
    assert!(differs, "without it, neighbours can be told from the last bits");
}
