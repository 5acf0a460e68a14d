//! How fast a stream comes alone, and while a long prompt is read beside it: both in one run, through the road that
//! requests take.
//!
//! `cargo run --release -p manager --example under_load -- FOLDER [PROMPT_TOKENS [STEP_TOKENS]]`
#![expect(clippy::print_stdout, reason = "what it measured is what it is for")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use manager::CpuOptions;
use manager::runtime::{Error, GenerateOptions, LoadOptions, LoadedModel, Piece, Prompt, Runtime};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("the folder of a model is missing")?;
    let long = arguments.next().map_or(Ok(16 * 1024), |n| n.parse())?;
    let step_tokens = arguments.next().map_or(Ok(512), |n| n.parse())?;
    let runtime = Arc::new(Runtime::start(CpuOptions::default())?);
    let options = LoadOptions { step_tokens, ..LoadOptions::default() };
    let model = Arc::new(LoadedModel::load(&runtime, Path::new(&folder), options)?);
    let options = |max_tokens| GenerateOptions {
        max_tokens: Some(max_tokens),
        temperature: Some(0.0),
        ignore_eos: true,
        ..GenerateOptions::default()
    };
    // Weights are laid out and memory is committed before anything counts.
    let warm = Prompt::Tokens(made_up(1, 2048));
    let mut warm = model.generate(&warm, &options(400))?;
    while let Some(piece) = warm.next_piece()? {
        eprintln!("{piece:?} {:?}", warm.usage());
    }
    let mut stream = model.generate(&Prompt::Tokens(made_up(2, 256)), &options(30_000))?;
    let mut token = || -> Result<Instant, Box<dyn std::error::Error>> {
        let before = stream.tokens().len();
        while stream.tokens().len() == before {
            stream.next_piece()?;
        }
        Ok(Instant::now())
    };
    for _ in 0..20 {
        token()?;
    }
    let alone = |token: &mut dyn FnMut() -> Result<Instant, Box<dyn std::error::Error>>| {
        let begun = Instant::now();
        let mut last = begun;
        let mut n = 0;
        while last - begun < Duration::from_secs(6) {
            last = token()?;
            n += 1;
        }
        Ok::<_, Box<dyn std::error::Error>>(f64::from(n) / (last - begun).as_secs_f64())
    };
    eprintln!("warm");
    let before = alone(&mut token)?;
    eprintln!("alone {before}");
    let reader = Arc::clone(&model);
    let begun = Instant::now();
    let prompt = std::thread::spawn(move || -> Result<Duration, Error> {
        let mut answer = reader.generate(&Prompt::Tokens(made_up(3, long)), &options(1))?;
        while answer.next_piece()?.is_some_and(|piece| !matches!(piece, Piece::End(_))) {}
        Ok(answer.timings().first_token.unwrap_or_default())
    });
    let (mut last, mut n, mut pauses) = (begun, 0, Vec::new());
    while !prompt.is_finished() {
        let now = token()?;
        pauses.push(now - last);
        (last, n) = (now, n + 1);
    }
    eprintln!("read");
    let beside = f64::from(n) / (last - begun).as_secs_f64();
    let took = prompt.join().map_err(|_| "the reader panicked")??;
    let after = alone(&mut token)?;
    pauses.sort_unstable();
    let at = |share: f64| pauses[((pauses.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let solo = f64::midpoint(before, after);
    println!("alone       {before:8.1} and {after:.1} tokens/s, before and after");
    println!("beside      {beside:8.1} tokens/s: {:.2} of alone", beside / solo);
    println!(
        "pauses      {:8.1} ms in the middle, {:.1} of 99 %, {:.1} at most",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    println!(
        "the prompt  {:8.1} tokens/s, {:.1} s",
        long as f64 / took.as_secs_f64(),
        took.as_secs_f64()
    );
    Ok(())
}

/// Tokens that are the same for the same seed.
fn made_up(seed: u64, n: usize) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % 256) as u32
    };
    (0..n.max(1)).map(|_| next()).collect()
}
