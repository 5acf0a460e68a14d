//! `cargo xtask bench`: what the machine can do, and what of it folio uses.
//!
//! Limits are measured in the same run as what is compared with them: a shared machine is not the
//! same machine an hour later. How to read the table is in docs/dev/benchmarks.md.

mod bound;
mod contender;
mod figures;
mod machine;
mod quiet;
mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::command::{cargo, must, output};
use crate::shape;
use contender::Contender;
use machine::Limits;
pub(crate) use machine::build as machine;
use quiet::Watch;

/// What is measured, and how.
#[derive(Debug)]
struct Options {
    models: Vec<PathBuf>,
    threads: Vec<usize>,
    prompt: usize,
    generate: usize,
    /// Sequences at once; encoders are measured with them, decoders if it is above 1.
    batch: usize,
    rounds: usize,
    /// Programs that are measured against each other; the one that is built here if none is given.
    programs: Vec<(String, PathBuf)>,
    peers: Vec<contender::Peer>,
    /// A command that runs while something is measured.
    guard: Option<String>,
    /// Groups of operations; all of them if absent.
    ops: Option<Vec<String>>,
    quick: bool,
    json: Option<PathBuf>,
}

/// Measures what `arguments` say and prints a table.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<bool> {
    let mut options = Options::parse(arguments)?;
    let machine = machine(root)?;
    if options.programs.is_empty() && !options.models.is_empty() {
        must(cargo(root).args(["build", "--release", "--locked", "-p", "cli", "--bin", "folio"]))?;
        options.programs.push(("folio".to_owned(), target(root).join("release/folio")));
    }
    let watch = Watch::new(options.guard.as_deref());
    let mut limits = Limits::measure(&machine, &watch)?;
    table::limits(&limits);
    let groups = match &options.ops {
        Some(groups) => groups.clone(),
        None => machine::groups(&machine)?,
    };
    let mut ops = Vec::new();
    for group in &groups {
        let lines = machine::ops(&machine, group, options.quick, &watch)?;
        table::ops(&limits, &lines, group == &groups[0]);
        ops.extend(lines);
    }
    let runs = if options.models.is_empty() { Vec::new() } else { models(root, &options, &watch)? };
    // Once more: what disturbed the first time may be gone, and models took minutes.
    limits.merge(Limits::measure(&machine, &watch)?);
    table::limits(&limits);
    table::runs(&limits, &runs);
    if let Some(path) = &options.json {
        let all = json!({
            "machine": described(),
            "limits": limits.to_json(),
            "ops": ops,
            "runs": runs.iter().map(|run| run.to_json(&limits)).collect::<Vec<_>>(),
        });
        let text = serde_json::to_string_pretty(&all)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(true)
}

/// All contenders in turn, as often as there are rounds: what changes with time meets all alike.
fn models(root: &Path, options: &Options, watch: &Watch) -> Result<Vec<contender::Run>> {
    let idle = target(root).join("bench").join(contender::IDLE);
    shape::usual(root, contender::IDLE, &idle)?;
    let mut contenders = Vec::new();
    for &threads in &options.threads {
        for (name, program) in &options.programs {
            for model in options.models.iter().chain([&idle]) {
                let work = Contender::folio(name, program, model, options)?;
                contenders.push(contender::Run::new(work, threads));
            }
        }
        for peer in &options.peers {
            contenders.push(contender::Run::new(Contender::Peer(peer.clone()), threads));
        }
    }
    for round in 0..options.rounds {
        for runs in contenders.chunk_by_mut(|a, b| a.threads == b.threads) {
            let held = watch.hold()?;
            for run in runs {
                run.measure()?;
                eprintln!("round {}: {}", round + 1, run.last());
            }
            drop(held);
        }
    }
    Ok(contenders)
}

/// Where cargo puts what it builds.
fn target(root: &Path) -> PathBuf {
    let folder =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    root.join(folder)
}

/// The processor, its cores and the system.
fn described() -> Value {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let mut version = std::process::Command::new("rustc");
    json!({
        "processor": name.map(|(_, name)| name),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "system": std::env::consts::OS,
        "rustc": output(version.arg("--version")).map(|text| text.trim().to_owned()).ok(),
    })
}

impl Options {
    fn parse(arguments: &[&str]) -> Result<Self> {
        let mut out = Self {
            models: Vec::new(),
            threads: Vec::new(),
            prompt: 512,
            generate: 32,
            batch: 1,
            rounds: 5,
            programs: Vec::new(),
            peers: Vec::new(),
            guard: None,
            ops: None,
            quick: false,
            json: None,
        };
        let mut left = arguments.iter().copied();
        while let Some(flag) = left.next() {
            if flag == "--quick" {
                out.quick = true;
                (out.rounds, out.prompt, out.generate) = (2, 128, 8);
                continue;
            }
            let value = left.next().with_context(|| format!("`{flag}` needs a value"))?;
            let number = |text: &str| {
                let number = text.parse::<usize>().ok().filter(|number| *number > 0);
                number.with_context(|| format!("{flag} {text}: no number above 0"))
            };
            match flag {
                "--model" => out.models.push(value.into()),
                "--threads" => {
                    out.threads = value.split(',').map(number).collect::<Result<_>>()?;
                }
                "--prompt" => out.prompt = number(value)?,
                "--generate" => out.generate = number(value)?,
                "--batch" => out.batch = number(value)?,
                "--rounds" => out.rounds = number(value)?,
                "--folio" => {
                    let (name, path) = value.split_once('=').unwrap_or(("folio", value));
                    out.programs.push((name.to_owned(), path.into()));
                }
                "--peer" => out.peers.push(contender::Peer::parse(value)?),
                "--peer-output" => {
                    let peer = out.peers.last_mut().context("--peer-output follows a --peer")?;
                    peer.output = Some(value.to_owned());
                }
                "--guard" => out.guard = Some(value.to_owned()),
                "--ops" if value == "none" => out.ops = Some(Vec::new()),
                "--ops" => out.ops = Some(value.split(',').map(str::to_owned).collect()),
                "--json" => out.json = Some(value.into()),
                _ => bail!("unknown option `{flag}`"),
            }
        }
        if out.threads.is_empty() {
            let most = std::thread::available_parallelism().map_or(1, usize::from);
            out.threads = if most > 1 { vec![1, most] } else { vec![1] };
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
