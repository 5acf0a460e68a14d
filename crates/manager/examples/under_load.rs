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
/// How long a stream beside a prompt is watched, in seconds.
const WINDOW: f64 = 20.0;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().ok_or("the folder of a model is missing")?;
    let number = |at: usize, or: f64| arguments.get(at).map_or(Ok(or), |text| text.parse::<f64>());
    let (long, share) = (number(1, 16.0 * 1024.0)? as usize, number(2, 0.85)?);
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
        let beside = |engine: &mut Engine| {
            let mut run = Run::default();
            while run.seconds < WINDOW && !run.ended {
                run.step(engine);
            }
            run
        };
        let first = beside(&mut engine);
        // The rest in a quarter of the time, without the stream; then the end of the prompt, whose tokens are dearest.
        engine.cancel(STREAM);
        let mut rest = Run { read: first.read, ..Run::default() };
        while rest.read < long / 4 * 3 && !rest.ended {
            rest.step(&mut engine);
        }
        add(&mut engine, STREAM, 1, 64, 30_000, interactive)?;
        while rest.tokens < 20 && !rest.ended {
            rest.step(&mut engine);
        }
        let (from, last) = (rest.read, beside(&mut engine));
        engine.cancel(id);
        let after = alone(&mut engine);
        engine.cancel(STREAM);
        let solo = f64::midpoint(before, after);
        println!("alone {before:.1} and {after:.1} tokens/s");
        first.report("from its beginning", 0, solo);
        last.report("from where it was read", from, solo);
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
    /// How much of the prompt is computed.
    read: usize,
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
                Event::Progress(id, read) if id != STREAM => self.read = read,
                Event::Finished(id, _) => self.ended |= id != STREAM,
                Event::Begun(..) | Event::Token(..) | Event::Progress(..) | Event::Likely(..) => {}
            }
        }
    }

    fn rate(&self) -> f64 {
        self.tokens as f64 / self.seconds
    }

    fn report(mut self, part: &str, from: usize, solo: f64) {
        self.pauses.sort_by(f64::total_cmp);
        let last = self.pauses.len().saturating_sub(1);
        let pause =
            |percent: usize| 1e3 * self.pauses.get(last * percent / 100).unwrap_or(&f64::NAN);
        println!(
            "  beside a prompt {part} ({from}): {:.1} tokens/s, {:.2} of alone; pauses {:.0} ms, 95 % {:.0}, most {:.0}; the prompt {:.0} tokens/s",
            self.rate(),
            self.rate() / solo,
            pause(50),
            pause(95),
            pause(100),
            self.read.saturating_sub(from) as f64 / self.seconds,
        );
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
