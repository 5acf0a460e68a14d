//! The chores of the project, in Rust: `cargo xtask CHORE`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore reports to a person")]

mod bench;
mod ci;
mod clients;
mod command;
mod goldens;
mod instructions;
mod licences;
mod minilm;
mod mlx;
mod readbench;
mod release;
mod shape;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

const USAGE: &str = "usage: cargo xtask CHORE

  tidy              check the invariants of ARCHITECTURE.md and the rules of STYLE.md
  ci [STAGE...]     fmt, tidy, clippy, doc, dependencies, clients, mlx: everything but the tests without
                    MLX, or these stages
  goldens           install the oracle under target/oracle and run fixtures/goldens.py
  mlx [--user | --to FOLDER | --link-check]
                    build the library over MLX: into target/mlx, the user's data folder, or FOLDER;
                    or check that the one for macOS links
  clients           ask `folio serve` with the published clients of OpenAI, Anthropic and Ollama, installed
                    under target/clients
  minilm [--torch]  compare `folio embed` with the reference embeddings of a real MiniLM package;
                    --torch takes the reference from the package's own call (downloads some GB)
  shape NAME FOLDER [--bits 4] [--group 64] [--mode affine|mxfp4|mxfp8|nvfp4|dense] [--dtype bf16]
                    make a checkpoint of a real shape with random weights, for measuring
  bench [--model FOLDER]... [--peer NAME=COMMAND]... [--quick] [--json FILE]
                    measure the machine, the operations and whole models; docs/dev/benchmarks.md
                    has the other options
  instructions [--accept]
                    count the instructions of the hot operations, and compare or keep the counts
  readbench DATA [--candidate NAME | --workspace FOLDER] [--force] [--skip-baseline] [--failed FILE]
                    score what was read of the pages of olmOCR-bench, by its rules
  release [--target TARGET] [--to FOLDER] [--site URL] [--without-mlx] | --sums FOLDER [--site URL]
                    build and try the archive for this machine, into target/dist or FOLDER, with
                    SHA256SUMS and Homebrew's formula; or only those two, for archives in FOLDER";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one chore. `false` means that it ran and found something wrong, which it has printed.
fn run(arguments: &[&str]) -> Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent")?;
    match arguments {
        ["tidy"] => tidy::run(root),
        ["ci", stages @ ..] => ci::run(root, stages),
        ["goldens", more @ ..] => goldens::run(root, more),
        ["clients"] => clients::run(root),
        ["mlx", more @ ..] => mlx::run(root, more),
        ["minilm"] => minilm::run(root, minilm::Reference::Numpy),
        ["minilm", "--torch"] => minilm::run(root, minilm::Reference::Torch),
        ["bench", more @ ..] => bench::run(root, more),
        ["readbench", more @ ..] => readbench::run(more),
        ["release", more @ ..] => release::run(root, more),
        ["instructions"] => instructions::run(root, false),
        ["instructions", "--accept"] => instructions::run(root, true),
        ["shape", more @ ..] => shape::run(root, more),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(true)
        }
        other => anyhow::bail!("unknown chore `{}`\n\n{USAGE}", other.join(" ")),
    }
}
