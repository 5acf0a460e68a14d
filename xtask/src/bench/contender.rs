//! Programs that run a model: folio, and peers beside it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Options;
use super::bound::Bound;
use super::figures::Figure;
use super::machine::Limits;
use super::quiet::during;
use crate::command::output;

/// The shape of a model with next to no arithmetic: what a token costs beside its weights.
pub(super) const IDLE: &str = "tiny-decoder";

/// A command of somebody else's.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    name: String,
    /// Run by a shell, with the number of threads for `{threads}`.
    command: String,
    /// Text with `{prefill}` and `{decode}` where its output has these numbers, in tokens a
    /// second; if absent, the output is the JSON of `llama-bench`.
    pub(super) output: Option<String>,
}

impl Peer {
    /// Reads `NAME=COMMAND`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (name, command) = text.split_once('=').context("a peer is NAME=COMMAND")?;
        Ok(Self { name: name.to_owned(), command: command.to_owned(), output: None })
    }
}

/// Whose speed is measured.
#[derive(Clone, Debug)]
pub(super) enum Contender {
    Folio { name: String, program: PathBuf, model: PathBuf, bound: Bound, work: [usize; 3] },
    Peer(Peer),
}

impl Contender {
    pub(super) fn folio(
        name: &str,
        program: &Path,
        model: &Path,
        options: &Options,
    ) -> Result<Self> {
        let bound = Bound::of(model)?;
        // Prompt, answer, sequences. The tiny model has little room.
        let work = if model.ends_with(IDLE) {
            [16, 64, 1]
        } else {
            [options.prompt, options.generate, options.batch]
        };
        let (name, program, model) = (name.to_owned(), program.to_owned(), model.to_owned());
        Ok(Self::Folio { name, program, model, bound, work })
    }
}

/// What was measured of one contender with a number of threads.
#[derive(Debug)]
pub(super) struct Run {
    contender: Contender,
    pub(super) threads: usize,
    /// Tokens a second.
    pub(super) prefill: Figure,
    pub(super) decode: Figure,
    /// Seconds from the start of the process to the end of one with one token.
    pub(super) start: Figure,
    /// Bytes of resident memory at its largest, less those of the files.
    pub(super) memory: Figure,
}

impl Run {
    pub(super) fn new(contender: Contender, threads: usize) -> Self {
        let none = Figure::default;
        Self { contender, threads, prefill: none(), decode: none(), start: none(), memory: none() }
    }

    /// The program and its model.
    pub(super) fn name(&self) -> String {
        match &self.contender {
            Contender::Folio { name, model, .. } => {
                let model = model.file_name().unwrap_or(model.as_os_str());
                format!("{name} {}", model.to_string_lossy())
            }
            Contender::Peer(peer) => peer.name.clone(),
        }
    }

    /// Whether its model is the one with next to no arithmetic, to which no limit applies.
    pub(super) fn is_idle(&self) -> bool {
        matches!(&self.contender, Contender::Folio { model, .. } if model.ends_with(IDLE))
    }

    /// Runs it once.
    pub(super) fn measure(&mut self) -> Result<()> {
        match &self.contender {
            Contender::Peer(peer) => {
                let command = peer.command.replace("{threads}", &self.threads.to_string());
                let mut shell = Command::new("sh");
                shell.args(["-c", &command]);
                let (said, others) = during(|| output(&mut shell))?;
                let (prefill, decode) =
                    rates(peer, &said).with_context(|| format!("what `{}` printed", peer.name))?;
                prefill.into_iter().for_each(|rate| self.prefill.push(rate, others));
                decode.into_iter().for_each(|rate| self.decode.push(rate, others));
            }
            Contender::Folio { program, model, bound, work, .. } => {
                let (program, model, bound, work) = (program.clone(), model.clone(), *bound, *work);
                if bound.is_decoder {
                    self.answer(&program, &model, bound, work)?;
                } else {
                    self.embed(&program, &model, work)?;
                }
            }
        }
        Ok(())
    }

    /// Prompts and answers, and a process of one token.
    fn answer(
        &mut self,
        program: &Path,
        model: &Path,
        bound: Bound,
        work: [usize; 3],
    ) -> Result<()> {
        let threads = self.threads.to_string();
        let [prompt, generate, batch] = work.map(|number| number.to_string());
        let mut bench = Command::new(program);
        bench.arg("bench").arg(model).args(["--threads", &threads]);
        bench.args(["--prompt", &prompt, "--generate", &generate, "--batch", &batch]);
        bench.args(["--repeat", "1", "--json"]);
        let (said, others) = during(|| output(&mut bench))?;
        let said: Value = serde_json::from_str(&said)?;
        let rate = |what: &str| said[what]["tokens_per_second"].as_f64();
        rate("prefill").into_iter().for_each(|rate| self.prefill.push(rate, others));
        rate("decode").into_iter().for_each(|rate| self.decode.push(rate, others));
        if let Some(peak) = said["peak_rss_bytes"].as_f64() {
            self.memory.push(peak - bound.file as f64, others);
        }
        let mut one = Command::new(program);
        one.arg("run").arg(model).args(["hello", "--max-tokens", "1"]);
        one.args(["--threads", &threads]);
        let ((_, seconds), others) = during(|| timed(&mut one))?;
        self.start.push(seconds, others);
        Ok(())
    }

    /// Passages, less what a process with one word takes.
    fn embed(&mut self, program: &Path, model: &Path, work: [usize; 3]) -> Result<()> {
        let [length, _, batch] = work;
        // A letter is a token, and two are added. Each passage is another, in its first letters.
        let passage = |index: usize| {
            let first = (0..4).map(|digit| ["a", "b", "c", "d"][index >> (2 * digit) & 3]);
            let rest = std::iter::repeat_n("e", length.saturating_sub(6));
            first.chain(rest).collect::<Vec<_>>().join(" ")
        };
        let threads = self.threads.to_string();
        let run = |texts: Vec<String>| {
            let mut embed = Command::new(program);
            embed.arg("embed").arg(model).args(["--threads", &threads]).args(texts);
            during(|| timed(&mut embed))
        };
        let ((_, least), others) = run(vec!["a".to_owned()])?;
        self.start.push(least, others);
        let ((said, seconds), others) = run((0..batch).map(passage).collect())?;
        let tokens = |line: &str| {
            let line: Value = serde_json::from_str(line)?;
            line["tokens"].as_f64().context("an embedding says nothing of its tokens")
        };
        let tokens: f64 = said.lines().map(tokens).sum::<Result<_>>()?;
        self.prefill.push(tokens / (seconds - least).max(1e-9), others);
        Ok(())
    }

    /// The least seconds that a token of an answer takes, and one of a prompt: bytes over the
    /// bandwidth, operations over the peak.
    pub(super) fn limits(&self, limits: &Limits) -> Option<(f64, f64)> {
        let Contender::Folio { bound, work: [_, _, batch], .. } = &self.contender else {
            return None;
        };
        if self.is_idle() {
            return None;
        }
        let memory = limits.rate("memory", self.threads)?;
        let peak = limits.rate(bound.peak, self.threads).or(limits.rate("f32", self.threads))?;
        let token =
            (bound.token as f64 / memory / *batch as f64).max(2.0 * bound.multiplied as f64 / peak);
        Some((token, 2.0 * bound.multiplied as f64 / peak))
    }

    /// Shares of the limits: of a prompt, and of an answer.
    pub(super) fn shares(&self, limits: &Limits) -> (Option<f64>, Option<f64>) {
        let Some((token, prompt)) = self.limits(limits) else { return (None, None) };
        let share = |figure: &Figure, seconds: f64| figure.median().map(|rate| rate * seconds);
        (share(&self.prefill, prompt), share(&self.decode, token))
    }

    /// In a line, for whoever waits.
    pub(super) fn last(&self) -> String {
        let show = |figure: &Figure| figure.median().map_or("-".to_owned(), |x| format!("{x:.1}"));
        format!(
            "{} on {}: {} and {} tok/s, others {:.2}",
            self.name(),
            self.threads,
            show(&self.prefill),
            show(&self.decode),
            self.prefill.others(),
        )
    }

    pub(super) fn to_json(&self, limits: &Limits) -> Value {
        let figure = |figure: &Figure| {
            json!({
                "median": figure.median(),
                "spread": figure.spread(),
                "count": figure.count(),
                "others": figure.others(),
                "disturbed": figure.is_disturbed(),
            })
        };
        let (prefill_share, decode_share) = self.shares(limits);
        json!({
            "name": self.name(),
            "threads": self.threads,
            "prefill": figure(&self.prefill),
            "prefill_share": prefill_share,
            "decode": figure(&self.decode),
            "decode_share": decode_share,
            "one_token_seconds": figure(&self.start),
            "memory_beyond_files": figure(&self.memory),
        })
    }
}

/// What `command` prints, and the seconds from its start to its end.
fn timed(command: &mut Command) -> Result<(String, f64)> {
    let begun = Instant::now();
    let out = command.output().context("cannot start folio")?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(out.status.success(), "folio failed: {}", String::from_utf8_lossy(&out.stderr));
    Ok((String::from_utf8(out.stdout)?, seconds))
}

/// Tokens a second of prompts and of answers, from what a peer printed.
fn rates(peer: &Peer, said: &str) -> Result<(Option<f64>, Option<f64>)> {
    if let Some(pattern) = &peer.output {
        return Ok((number(pattern, "{prefill}", said), number(pattern, "{decode}", said)));
    }
    let (mut prefill, mut decode) = (None, None);
    for array in serde_json::Deserializer::from_str(said).into_iter::<Vec<Value>>() {
        for test in array? {
            let rate = test["avg_ts"].as_f64();
            match (test["n_prompt"].as_u64(), test["n_gen"].as_u64()) {
                (Some(1..), Some(0)) => prefill = rate,
                (Some(0), Some(1..)) => decode = rate,
                _ => {}
            }
        }
    }
    Ok((prefill, decode))
}

/// The number that stands in `text` where `pattern` has `name`: after the words before it, on the
/// same line.
fn number(pattern: &str, name: &str, text: &str) -> Option<f64> {
    let (before, _) = pattern.split_once(name)?;
    let words = before.rsplit(['\n', '}']).next()?;
    let (_, rest) = text.split_once(words)?;
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_says_its_rates_in_json_or_in_words() {
        let mut peer = Peer::parse("other=run -t {threads} a=b").unwrap();
        assert_eq!((peer.name.as_str(), peer.command.as_str()), ("other", "run -t {threads} a=b"));
        let said = "[{\"n_prompt\":512,\"n_gen\":0,\"avg_ts\":290.5}]\n\
                    [{\"n_prompt\":0,\"n_gen\":32,\"avg_ts\":68.0}]";
        assert_eq!(rates(&peer, said).unwrap(), (Some(290.5), Some(68.0)));
        assert!(rates(&peer, "oh").is_err());
        peer.output = Some("prompt: {prefill} tok/s, answer: {decode}".to_owned());
        let said = "loading\nprompt: 12.5 tok/s, answer: 3\n";
        assert_eq!(rates(&peer, said).unwrap(), (Some(12.5), Some(3.0)));
        assert_eq!(rates(&peer, "nothing").unwrap(), (None, None));
        assert!(Peer::parse("nameless").is_err());
    }
}
