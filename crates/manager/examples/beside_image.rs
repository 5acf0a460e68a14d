//! How long a watched stream waits for its next token while an image is looked at beside it.
//!
//! `cargo run --release -p manager --example beside_image -- FOLDER [SIDE [DECODE_SHARE]]`, with an image of `SIDE` by `SIDE`
//! pixels. A look in one go would make it wait as long as the image takes alone.
#![expect(clippy::print_stdout, reason = "what it measured is what it is for")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use engine::{Engine, EngineOptions, Event, Id, Priority, PromptImage, Request};
use kernels::{CpuOptions, Device, WeightLayout};
use models::Network;
use models::media::Image;

type Failed = Box<dyn std::error::Error>;

const STREAM: Id = Id(0);

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().ok_or("the folder of a model is missing")?;
    let side: usize = arguments.get(1).map_or(Ok(1024), |text| text.parse())?;
    let share: f64 = arguments.get(2).map_or(Ok(0.85), |text| text.parse())?;
    let device =
        Device::cpu(CpuOptions { weights: WeightLayout::Panels, ..CpuOptions::default() })?;
    let model = models::load(&checkpoint::Folder::open(Path::new(folder))?, &device)?;
    let Network::Decoder(decoder) = model.network else { return Err("no language model".into()) };
    let preprocess = decoder.vision().ok_or("it does not see")?.preprocess();
    let options = EngineOptions {
        cache_format: device.cache_dtype().into(),
        decode_share: share,
        prefix_bytes: Some(0),
        ..EngineOptions::default()
    };
    let mut engine = Engine::new(&device, decoder, (model.context, model.vocabulary), options);
    let image = |shade: u8| {
        let pixels = (0..side * side * 3).map(|i| (i % 251) as u8 ^ shade).collect();
        let picture =
            Arc::new(preprocess.picture(&Image::new(side, side, pixels).ok_or("no image")?)?);
        let tokens = picture.tokens;
        let digest = [shade; 32];
        let images = vec![PromptImage { positions: 1..1 + tokens, picture, digest }];
        let prompt = vec![1; tokens + 2];
        Ok::<_, Failed>(Request { prompt, images, max_tokens: 1, ..Request::default() })
    };
    let stream = Request {
        prompt: vec![2; 64],
        max_tokens: 30_000,
        priority: Priority::Interactive,
        ..Request::default()
    };

    let request = image(1)?;
    println!("an image of {side} by {side} pixels: {} tokens", request.prompt.len() - 2);
    engine.add(Id(1), request)?;
    let mut alone = Run::default();
    alone.until(&mut engine, |run| run.ended);
    println!(
        "alone: looked at in {:.2} s and {} pieces, the longest {:.0} ms; read in {:.2} s",
        alone.looks.iter().sum::<f64>(),
        alone.looks.len(),
        1e3 * alone.looks.iter().copied().fold(0.0, f64::max),
        alone.seconds,
    );

    engine.add(STREAM, stream)?;
    Run::default().until(&mut engine, |run| run.pauses.len() > 20);
    let mut solo = Run::default();
    solo.until(&mut engine, |run| run.seconds > 3.0);
    engine.add(Id(2), image(2)?)?;
    let mut beside = Run::default();
    beside.until(&mut engine, |run| run.ended);
    let (solo, rate) = (solo.rate(), beside.rate());
    let longest = beside.pauses.iter().copied().fold(0.0, f64::max);
    println!(
        "a stream: alone {solo:.1} tokens/s; beside the image {rate:.1}, {:.2} of alone, for {:.1} s; longest pause {:.0} ms",
        rate / solo,
        beside.seconds,
        1e3 * longest,
    );
    Ok(())
}

/// Some steps, and what came of the stream meanwhile.
#[derive(Default)]
struct Run {
    seconds: f64,
    /// Between two tokens of the stream.
    pauses: Vec<f64>,
    since: f64,
    /// How long each piece of a look took.
    looks: Vec<f64>,
    /// Whether something that is not the stream has ended.
    ended: bool,
}

impl Run {
    fn until(&mut self, engine: &mut Engine, done: impl Fn(&Self) -> bool) {
        while !done(self) && !engine.is_idle() {
            let begun = Instant::now();
            let events = engine.step();
            let seconds = begun.elapsed().as_secs_f64();
            engine.took(seconds);
            self.seconds += seconds;
            self.since += seconds;
            // A pass has news of those that are in it.
            self.looks.extend(events.is_empty().then_some(seconds));
            for event in events {
                match event {
                    Event::Token(STREAM, _) => self.pauses.push(std::mem::take(&mut self.since)),
                    Event::Finished(id, _) => self.ended |= id != STREAM,
                    Event::Begun(..)
                    | Event::Likely(..)
                    | Event::Progress(..)
                    | Event::Token(..) => {}
                }
            }
        }
    }

    fn rate(&self) -> f64 {
        self.pauses.len() as f64 / self.seconds
    }
}
