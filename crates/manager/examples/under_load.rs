//! How fast a watched stream comes alone, and while a long prompt is read beside it: both in one run, in turn.
//!
//! `cargo run --release -p manager --example under_load -- FOLDER [PROMPT_TOKENS [DECODE_SHARE [ROUNDS [PIECE]]]]`
#![expect(clippy::print_stdout, reason = "what it measured is what it is for")]

use std::path::Path;
use std::time::Instant;

use engine::{Engine, EngineOptions, Event, Id, Priority, Request};
use kernels::{CpuOptions, Device, WeightLayout};
use models::Network;

type Failed = Box<dyn std::error::Error>;

const STREAM: Id = Id(0);

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().ok_or("the folder of a model is missing")?;
    let number = |at: usize, or: f64| arguments.get(at).map_or(Ok(or), |text| text.parse::<f64>());
    let (long, share) = (number(1, 16.0 * 1024.0)? as usize, number(2, 0.8)?);
    let (rounds, piece) = (number(3, 3.0)? as usize, number(4, 16.0)? as usize);
    // Laid out from the start, so that nothing changes under way.
    let device =
        Device::cpu(CpuOptions { weights: WeightLayout::Panels, ..CpuOptions::default() })?;
    let model = models::load(&checkpoint::Folder::open(Path::new(folder))?, &device)?;
    let Network::Decoder(decoder) = model.network else { return Err("no language model".into()) };
    let options = EngineOptions {
        cache_format: device.cache_dtype().into(),
        decode_share: share,
        piece,
        prefix_bytes: Some(0),
        ..EngineOptions::default()
    };
    let mut engine = Engine::new(&device, decoder, (model.context, model.vocabulary), options);
    let add = |engine: &mut Engine, id, seed, tokens, max_tokens, priority| {
        let prompt = made_up(seed, tokens, model.vocabulary);
        engine.add(id, Request { prompt, max_tokens, priority, ..Request::default() })
    };
    let (interactive, normal) = (Priority::Interactive, Priority::Normal);
    for round in 0..rounds as u64 {
        // The same stream each time: it is the past of a stream that decides what its tokens take.
        add(&mut engine, STREAM, 1, 64, 30_000, interactive)?;
        let mut run = Run::default();
        while run.tokens < 20 {
            run.step(&mut engine);
        }
        let alone = |engine: &mut Engine| {
            let mut run = Run::default();
            while run.seconds < 3.0 {
                run.step(engine);
            }
            run.rate()
        };
        let before = alone(&mut engine);
        let id = Id(1 + round);
        add(&mut engine, id, 2 + round, long, 1, normal)?;
        let mut beside = Run::default();
        while !beside.ended {
            beside.step(&mut engine);
        }
        let after = alone(&mut engine);
        engine.cancel(STREAM);
        beside.pauses.sort_by(f64::total_cmp);
        let pause = |share: f64| {
            1e3 * beside.pauses[(beside.pauses.len() - 1) * (share * 100.0) as usize / 100]
        };
        println!(
            "alone {before:.1} and {after:.1} tokens/s, beside {:.1}: {:.2}; pauses of {:.0} ms in the middle, \
             {:.0} of 95 %, {:.0} at most; the prompt {:.0} tokens/s",
            beside.rate(),
            beside.rate() / f64::midpoint(before, after),
            pause(0.5),
            pause(0.95),
            pause(1.0),
            long as f64 / beside.seconds,
        );
    }
    Ok(())
}

/// Some steps, and what came of the stream meanwhile.
#[derive(Default)]
struct Run {
    seconds: f64,
    tokens: usize,
    /// Between two tokens of the stream.
    pauses: Vec<f64>,
    since: f64,
    /// Whether something that is not the stream has ended.
    ended: bool,
}

impl Run {
    fn step(&mut self, engine: &mut Engine) {
        let begun = Instant::now();
        let events = engine.step();
        let seconds = begun.elapsed().as_secs_f64();
        engine.took(seconds);
        self.seconds += seconds;
        self.since += seconds;
        for event in events {
            match event {
                Event::Token(STREAM, _) => {
                    self.tokens += 1;
                    self.pauses.push(std::mem::take(&mut self.since));
                }
                Event::Finished(id, _) => self.ended |= id != STREAM,
                Event::Token(..) | Event::Progress(..) | Event::Likely(..) => {}
            }
        }
    }

    fn rate(&self) -> f64 {
        self.tokens as f64 / self.seconds
    }
}

/// Tokens that are the same for the same seed.
fn made_up(seed: u64, n: usize, vocabulary: usize) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % vocabulary as u64) as u32
    };
    (0..n.max(1)).map(|_| next()).collect()
}
