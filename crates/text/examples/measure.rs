//! How long a tokenizer takes to open, and how much text it encodes and decodes in a second.
//!
//! `cargo run --release -p text --example measure -- tokenizer.json TEXT.txt [library]`: with `library`, opening and
//! encoding are the library's, for comparison. A text need not be given. The best of five rounds is printed; the library
//! begins each round with an empty cache, as ours does.

#![expect(clippy::print_stdout, reason = "what is measured is shown")]

use std::error::Error;
use std::time::Instant;

use text::{Special, Tokenizer};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, rest @ ..] = arguments.as_slice() else {
        return Err("usage: measure tokenizer.json [TEXT.txt] [library]".into());
    };
    let (by_library, rest): (Vec<_>, Vec<_>) = rest.iter().partition(|word| *word == "library");
    let json = std::fs::read(path)?;
    let empty = memory();
    if by_library.is_empty() {
        let tokenizer = best("open", 0, || Tokenizer::from_json(&json, None))?;
        println!("memory {:.1} MiB", (memory() - empty) / 1024.0);
        if let Some(text) = rest.first() {
            let text = std::fs::read_to_string(text)?;
            let ids = best("encode", text.len(), || tokenizer.encode(&text, Special::OmitLiteral))?;
            let back = best("decode", text.len(), || tokenizer.decode(&ids, false))?;
            println!("{} tokens, {} bytes back", ids.len(), back.len());
        }
    } else {
        let tokenizer = best("open", 0, || tokenizers::Tokenizer::from_bytes(&json))
            .map_err(|error| error.to_string())?;
        println!("memory {:.1} MiB", (memory() - empty) / 1024.0);
        if let Some(text) = rest.first() {
            let text = std::fs::read_to_string(text)?;
            let encode = || tokenizer.clone().encode_fast(text.as_str(), false);
            let ids = best("encode", text.len(), encode).map_err(|error| error.to_string())?;
            let decode = || tokenizer.decode(ids.get_ids(), false);
            let back = best("decode", text.len(), decode).map_err(|error| error.to_string())?;
            println!("{} tokens, {} bytes back", ids.len(), back.len());
        }
    }
    Ok(())
}

/// Runs `call` five times, prints the shortest, and returns the last result.
fn best<T, E>(what: &str, bytes: usize, mut call: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let mut shortest = f64::INFINITY;
    let mut last = None;
    for _ in 0..5 {
        drop(last.take());
        let start = Instant::now();
        let result = call()?;
        shortest = shortest.min(start.elapsed().as_secs_f64());
        last = Some(result);
    }
    let speed = bytes as f64 / 1e6 / shortest;
    println!(
        "{what} {:.1} ms{}",
        shortest * 1e3,
        if bytes > 0 { format!(", {speed:.1} MB/s") } else { String::new() }
    );
    match last {
        Some(result) => Ok(result),
        None => call(),
    }
}

/// What this process holds in memory, in KiB; 0 where Linux's file is not there.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0.0)
}
