//! `folio plan`: whether a model fits, and how fast it could be at best.

use std::process::ExitCode;

use clap::Args;
use manager::catalog::{Catalog, Entry};
use manager::describe::{Description, NetworkFacts, WeightFacts, describe};
use manager::machine::Machine;
use manager::plan::{Demand, Plan as Figures, Room, Verdict, plan};
use manager::runtime::{Error, LoadOptions, ModelKind};
use manager::{Device, Environment, KvFormat, Precision, WeightLayout, bandwidth};
use serde_json::{Value, json};

use crate::args::{Compute, Kept, parse_bytes};
use crate::output::{self, Facts, bytes};
use crate::report::{Problem, Result};

/// Tell whether a model fits into memory, and how fast it could be at best.
///
/// Continuing a text reads every weight once for each token, so memory bandwidth over bytes read bounds its speed.
/// The bandwidth is measured, which takes about a second. How fast prompts are read depends on arithmetic and is not
/// foretold: `folio bench` measures it.
#[derive(Args, Debug)]
pub(crate) struct Plan {
    /// A folder, or a name that `folio list` shows
    model: String,
    /// Tokens of prompt and answer together [default: the most that one conversation of `folio run` may have]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    context: Option<u64>,
    /// Plan for a machine with so much memory free, such as 16GB or 8GiB
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    memory: Option<u64>,
    /// Plan for a machine that reads so many bytes a second from memory, such as 100GB, instead of measuring
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    bandwidth: Option<u64>,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    kept: Kept,
    #[command(flatten)]
    compute: Compute,
}

/// Everything an answer is made of.
struct Answer {
    name: String,
    weights: WeightFacts,
    network: NetworkFacts,
    demand: Demand,
    room: Room,
    /// All memory of the machine, and the limit on this process, unless another machine is planned for.
    here: Option<(u64, Option<u64>)>,
    /// Threads that the bandwidth was measured with, if it was.
    threads: Option<usize>,
    figures: Figures,
    step: u64,
    /// How the device has weights in memory.
    how: &'static str,
}

impl Plan {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let entry = Catalog::scan(&Environment::from_process()).find(&self.model)?;
        let answer = self.answer(entry.usable()?)?;
        if self.json {
            output::line(&answer.json().to_string())?;
        } else {
            output::write(&answer.text())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn answer(&self, entry: Entry) -> Result<Answer> {
        let Description { weights, network, problems, .. } = describe(&entry.path)?;
        let (Some(weights), Some(network)) = (weights, network) else {
            let first = problems.into_iter().next();
            return Err(first.map_or_else(|| Problem::Undescribed.into(), Into::into));
        };
        let options = LoadOptions::default();
        let step = match network.kind {
            ModelKind::Language => options.step_tokens.min(network.context),
            ModelKind::Embedding | ModelKind::Classifier => manager::runtime::BATCH_TOKENS,
        };
        let device =
            self.compute.backend().open(&Environment::from_process(), self.compute.cpu())?;
        let quantization = match self.kept.codes() {
            Some(_) if network.kind != ModelKind::Language => {
                let reason =
                    "a model that reads whole texts keeps nothing of past tokens".to_owned();
                return Err(Problem::Flag { flag: "--kv-bits", reason }.into());
            }
            Some(codes) => Some(codes.quantization(&network.kept()).map_err(Error::Codes)?),
            None => None,
        };
        let cache = KvFormat { dtype: device.cache_dtype(), quantization };
        let demand = Demand::of(&weights, &network, step as u64, cache);
        let longest = demand.context;
        let context = match self.context {
            Some(_) if network.kind != ModelKind::Language => {
                let reason =
                    "a model that reads whole texts keeps nothing of past tokens".to_owned();
                return Err(Problem::Flag { flag: "--context", reason }.into());
            }
            Some(context) if context > longest => {
                let reason =
                    format!("the model knows {longest} positions, and {context} were asked for");
                return Err(Problem::Flag { flag: "--context", reason }.into());
            }
            Some(context) => context,
            None => demand.tokens_within(options.cache_bytes).max(1),
        };
        let machine = Machine::look();
        let (rate, threads) = match self.bandwidth {
            Some(rate) => (rate as f64, None),
            None => {
                let measured = bandwidth::measure(&machine, self.compute.threads)?;
                (measured.best(), Some(measured.threads))
            }
        };
        let most = machine.memory_limit.unwrap_or(machine.memory_total);
        let (available, most) = match self.memory {
            Some(bytes) => (bytes, bytes),
            None => (machine.memory_available, most),
        };
        let room = Room { available, most, bandwidth: rate };
        let figures = plan(&demand, context, &room);
        let here = self.memory.is_none().then_some((machine.memory_total, machine.memory_limit));
        let name = entry.name;
        Ok(Answer {
            name,
            weights,
            network,
            demand,
            room,
            here,
            threads,
            figures,
            step: step as u64,
            how: how(&device),
        })
    }
}

/// How weights come to lie in the memory of `device`.
fn how(device: &Device) -> &'static str {
    let layout = device.as_cpu().map(|cpu| cpu.weights());
    match layout {
        None => "copied for MLX",
        Some(WeightLayout::Panels) => "laid out from their files",
        Some(WeightLayout::InTime { .. }) if device.precision() == Precision::Fast => {
            "mapped from their files, laid out as they are used"
        }
        Some(WeightLayout::InPlace | WeightLayout::InTime { .. }) => "mapped from their files",
    }
}

impl Answer {
    fn is_language(&self) -> bool {
        self.network.kind == ModelKind::Language
    }

    fn text(&self) -> String {
        let f = &self.figures;
        let mut facts = Facts::default();
        let how = self.how;
        facts.add("weights", format!("{:>8}  {how}", bytes(self.demand.weights)));
        if self.is_language() {
            let each = bytes(self.demand.cache_per_token);
            let of = format!("{each} for each of {} tokens", f.context);
            let kept = self.demand.window.filter(|&window| window < f.context);
            let kept = kept.map_or_else(String::new, |window| format!(", {window} kept"));
            facts.add("cache", format!("{:>8}  {of}{kept}", bytes(f.cache)));
        }
        let step = format!("at most, for steps of {} tokens", self.step);
        facts.add("activations", format!("{:>8}  {step}", bytes(self.demand.working)));
        let rest = "beside the program and its tokenizer";
        facts.add("together", format!("{:>8}  {rest}", bytes(f.needed)));
        facts.add("free", format!("{:>8}{}", bytes(self.room.available), self.of_what()));
        facts.add("verdict", self.verdict());
        for remedy in self.remedies() {
            facts.add("", remedy);
        }
        let kept = LoadOptions::for_memory(self.room.available).cache_bytes;
        if f.cache > kept {
            let most = self.demand.tokens_within(kept);
            let limit = bytes(kept);
            facts.add("", format!("`folio run` takes {most} tokens: it keeps {limit} of cache"));
        }
        facts.gap();
        let threads = self.threads.map_or_else(
            || "as given".to_owned(),
            |threads| format!("measured, {threads} thread{}", if threads == 1 { "" } else { "s" }),
        );
        let rate = bytes(self.room.bandwidth as u64);
        facts.add("bandwidth", format!("{rate}/s  {threads}"));
        if self.is_language() {
            let read = bytes(self.demand.read_per_token);
            let end = bytes(self.demand.read_per_token.saturating_add(f.cache));
            facts.add("read", format!("{read} for a token, {end} for token {}", f.context));
            let (first, last) = (tokens(f.first_rate), tokens(f.last_rate));
            facts.add("answer", format!("{first} tokens/s at best, {last} at token {}", f.context));
            facts
                .add("prompt", format!("not known before `folio bench {}` measures it", self.name));
        } else {
            let read = bytes(self.demand.read_per_token);
            facts.add("read", format!("{read} for a pass over up to {} tokens", self.step));
            facts.add(
                "passes",
                format!("{} a second at best, if memory were the bound", tokens(f.first_rate)),
            );
            facts.add("texts", "not known before they are measured");
        }
        facts.add("limited by", self.limit());
        format!("{}\n{}", self.name, facts.text())
    }

    fn of_what(&self) -> String {
        match self.here {
            None => String::new(),
            Some((total, None)) => format!("  of {}", bytes(total)),
            Some((total, Some(limit))) => {
                format!("  of {} that this process may take, of {}", bytes(limit), bytes(total))
            }
        }
    }

    fn verdict(&self) -> &'static str {
        match self.figures.verdict {
            Verdict::Fits => "it fits",
            Verdict::Crowded => "it fits only if other programs give memory back",
            Verdict::TooLarge if self.demand.weights <= self.room.available => "it does not fit",
            Verdict::TooLarge => {
                "it does not fit: weights would be read from the disk again and again"
            }
        }
    }

    /// The figure that bounds the speed of answers.
    fn limit(&self) -> &'static str {
        match (self.figures.verdict, self.is_language()) {
            (Verdict::TooLarge, _) => "memory size",
            (_, true) => "memory bandwidth, as far as answers go",
            (_, false) => "arithmetic, most likely: a pass uses each weight for many tokens",
        }
    }

    /// What would make it fit.
    fn remedies(&self) -> Vec<String> {
        let f = &self.figures;
        let mut remedies = Vec::new();
        if f.verdict == Verdict::Fits {
            if let Some(longest) = f.longest.filter(|&n| n > f.context && self.is_language()) {
                remedies.push(format!("so would {longest} tokens"));
            }
            return remedies;
        }
        if let Some(longest) = f.longest.filter(|&n| n < f.context) {
            remedies.push(format!("`--context {longest}` would fit"));
        }
        let own = self.weights.bits_per_weight.unwrap_or(0.0);
        match f.most_bits.filter(|&bits| bits < own) {
            Some(bits) if bits >= LEAST_BITS => {
                let version = format!("a version with at most {bits:.1} bits per weight");
                let line = match f.longest {
                    Some(_) => format!("so would {version}"),
                    None => format!("{version} would fit with a short context"),
                };
                remedies.push(format!("{line} (this one has {own:.1})"));
            }
            _ if f.longest.is_some() => {}
            _ => {
                remedies.push("take a model with fewer parameters, or a larger machine".to_owned());
            }
        }
        remedies
    }

    fn json(&self) -> Value {
        let (f, d) = (&self.figures, &self.demand);
        let verdict = match f.verdict {
            Verdict::Fits => "fits",
            Verdict::Crowded => "crowded",
            Verdict::TooLarge => "too large",
        };
        let language = self.is_language();
        json!({
            "name": self.name,
            "architecture": self.network.architecture,
            "context": f.context,
            "memory": {
                "weights_bytes": d.weights,
                "cache_bytes": f.cache,
                "cache_bytes_per_token": d.cache_per_token,
                "activations_bytes": d.working,
                "needed_bytes": f.needed,
                "available_bytes": self.room.available,
                "total_bytes": self.here.map(|(total, _)| total),
                "limit_bytes": self.here.and_then(|(_, limit)| limit),
            },
            "verdict": verdict,
            "longest_context": f.longest,
            "most_bits_per_weight": f.most_bits,
            "bits_per_weight": self.weights.bits_per_weight,
            "bandwidth_bytes_per_second": self.room.bandwidth,
            "bandwidth_threads": self.threads,
            "read_bytes_per_token": language.then_some(d.read_per_token),
            "decode": language.then(|| json!({
                "tokens_per_second_at_start": f.first_rate,
                "tokens_per_second_at_end": f.last_rate,
            })),
            "prefill": null,
            "limited_by": self.limit(),
        })
    }
}

/// MLX's smallest quantization: 2 bits and a scale and a bias of 16 bits for each 128 weights.
const LEAST_BITS: f64 = 2.25;

fn tokens(rate: f64) -> String {
    if rate < 99.95 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}
