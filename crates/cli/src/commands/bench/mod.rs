//! `folio bench`: how fast a model answers on this machine.

mod index;
mod read;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Subcommand};
use manager::Device;
use manager::runtime::{BenchOptions, Rate};
use serde_json::{Value, json};

use crate::args::{Compute, Kept};
use crate::output::mlx_name;
use crate::report::Result;
use crate::{models, output};
pub(crate) use index::Scratch;

/// Measure how fast a model answers.
///
/// Made-up prompts go through the same road as any request. Rates are medians over `--repeat`
/// rounds, after two rounds that are not counted.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    other: Option<Other>,
    /// A folder, a name that `folio list` shows, or ORG/NAME of the hub, which is pulled first
    #[arg(required = true)]
    model: Option<String>,
    /// Tokens of each prompt (several: 128,512)
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "512")]
    prompt: Vec<usize>,
    /// Tokens of each answer
    #[arg(long, value_name = "N", default_value_t = 32)]
    generate: usize,
    /// Sequences at once (several: 1,8)
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1")]
    batch: Vec<usize>,
    /// Rounds that are counted
    #[arg(long, value_name = "N", default_value_t = 3)]
    repeat: usize,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    kept: Kept,
    #[command(flatten)]
    compute: Compute,
}

/// What else is measured.
#[derive(Debug, Subcommand)]
enum Other {
    Read(Box<read::ReadBench>),
    Index(Box<index::IndexBench>),
}

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.other {
            Some(Other::Read(read)) => return read.run(),
            Some(Other::Index(index)) => return index.run(),
            None => {}
        }
        let begun = Instant::now();
        // It stands there, as nothing else does.
        let name = self.model.as_deref().unwrap_or_default();
        let model = models::load_keeping(name, self.compute, self.kept)?;
        let load = begun.elapsed();
        // One token of a one-token prompt: what a cold start costs before anything is computed.
        let first = BenchOptions { prompt: 1, generate: 1, batch: 1, repeat: 1 };
        model.bench(first)?;
        let ready = begun.elapsed();
        let mut runs = Vec::new();
        for &prompt in &self.prompt {
            for &batch in &self.batch {
                let (generate, repeat) = (self.generate, self.repeat);
                let options = BenchOptions { prompt, generate, batch, repeat };
                runs.push((options, model.bench(options)?));
            }
        }
        let peak = manager::peak_rss();
        let cpu = model.device().as_cpu();
        let mlx = model.device().as_mlx();
        let device = match model.device() {
            Device::Cpu(cpu) => format!("{} threads, {}", cpu.threads(), cpu.isa()),
            Device::Mlx(mlx) => {
                let peak = output::bytes(mlx.memory().peak);
                format!("{} of it by arrays of {}", peak, mlx_name(mlx))
            }
        };
        if self.json {
            let runs: Vec<_> = runs
                .iter()
                .map(|(options, report)| {
                    json!({
                        "prompt": options.prompt,
                        "generate": options.generate,
                        "batch": options.batch,
                        "prefill": rate(report.prefill),
                        "decode": report.decode.map(rate),
                    })
                })
                .collect();
            let mut object = json!({
                "model": model.name(),
                "architecture": model.facts().architecture,
                "backend": if mlx.is_some() { "mlx" } else { "cpu" },
                "threads": cpu.map(|cpu| cpu.threads()),
                "instruction_set": cpu.map(|cpu| cpu.isa().to_string()),
                "mlx_peak_bytes": mlx.map(|mlx| mlx.memory().peak),
                "precision": self.compute.precision().to_string(),
                "kv_bits": self.kept.codes().map(|codes| codes.bits),
                "repeat": self.repeat,
                "load_seconds": load.as_secs_f64(),
                "first_answer_seconds": ready.as_secs_f64(),
                "peak_rss_bytes": peak,
                "runs": runs,
            });
            // The usual question has one run: its figures stand at the top as well.
            if let Some(run) = object["runs"].get(0).cloned() {
                object["prefill"] = run["prefill"].clone();
                object["decode"] = run["decode"].clone();
            }
            output::line(&object.to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        let head = [
            "prompt",
            "generate",
            "batch",
            "prefill tok/s",
            "(least..most)",
            "decode tok/s",
            "(least..most)",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        let figures = |rate: Option<Rate>| match rate {
            Some(rate) => [
                format!("{:.1}", rate.tokens_per_second),
                format!("({:.1}..{:.1})", rate.least, rate.most),
            ],
            None => ["-".to_owned(), String::new()],
        };
        for (options, report) in &runs {
            let BenchOptions { prompt, generate, batch, .. } = options;
            let mut row = [prompt, generate, batch].map(usize::to_string).to_vec();
            row.extend(figures(Some(report.prefill)));
            row.extend(figures(report.decode));
            rows.push(row);
        }
        output::write(&output::table(&rows, &[0, 1, 2, 3, 4, 5, 6]))?;
        let peak = peak.map_or_else(|| "unknown".to_owned(), output::bytes);
        output::line(&format!(
            "\nloaded in {:.0} ms, first answer after {:.0} ms, peak memory {peak}, {device}",
            load.as_secs_f64() * 1e3,
            ready.as_secs_f64() * 1e3,
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn rate(rate: Rate) -> Value {
    json!({
        "tokens_per_second": rate.tokens_per_second,
        "least": rate.least,
        "most": rate.most,
    })
}
