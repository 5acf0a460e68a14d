//! An invariant answer is the same to the last bit, whoever is beside it, however it is cut and put aside.

use std::path::Path;

use checkpoint::Folder;
use engine::{
    Engine, EngineOptions, Event, Id, Logprobs, Preemption, Priority, Request, Sampling, Status,
};
use kernels::{CpuOptions, Device, KvFormat, KvQuantization, WeightLayout};
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

/// What is answered, and what became of the engine.
fn answer(
    fixture: &str,
    weights: WeightLayout,
    setting: &Setting,
    invariant: bool,
) -> (Answer, Status) {
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
