//! `cargo xtask readbench DATA`: scores what was read of the pages of olmOCR-bench, by its own rules.
//!
//! `DATA` has the files in `pdfs/`, the rules in `*.jsonl`, and a folder for each reader. A rule that most readings of its
//! page keep is kept; the overall score is the mean over the files of rules of the part that is kept.

mod candidate;
mod footnote;
mod format;
mod fuzzy;
mod html;
mod math;
mod plain;
mod rule;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use candidate::{Candidate, below, relative};
use rule::Rule;

const USAGE: &str = "usage: cargo xtask readbench DATA [--candidate NAME | --workspace FOLDER]
         [--force] [--skip-baseline] [--bootstrap-samples 1000] [--failed FILE]";

/// The group of the rules that every file has.
const BASELINE: &str = "baseline";

struct Asked {
    data: PathBuf,
    candidate: Option<String>,
    workspace: Option<PathBuf>,
    force: bool,
    skip_baseline: bool,
    samples: usize,
    failed: Option<PathBuf>,
}

impl Asked {
    fn read(arguments: &[&str]) -> Result<Self> {
        let mut asked = Self {
            data: PathBuf::new(),
            candidate: None,
            workspace: None,
            force: false,
            skip_baseline: false,
            samples: 1000,
            failed: None,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} of what?"));
            match *argument {
                "--candidate" => asked.candidate = Some((*value()?).to_owned()),
                "--workspace" => asked.workspace = Some(value()?.into()),
                "--force" => asked.force = true,
                "--skip-baseline" | "--skip_baseline" => asked.skip_baseline = true,
                "--bootstrap-samples" | "--bootstrap_samples" => {
                    asked.samples = value()?.parse()?;
                }
                "--failed" | "--output_failed" => asked.failed = Some(value()?.into()),
                data if !data.starts_with('-') && asked.data.as_os_str().is_empty() => {
                    asked.data = data.into();
                }
                other => bail!("unknown `{other}`\n\n{USAGE}"),
            }
        }
        ensure!(!asked.data.as_os_str().is_empty(), "name the folder of the benchmark\n\n{USAGE}");
        let one = asked.candidate.is_none() || asked.workspace.is_none();
        ensure!(
            one,
            "--candidate is a folder of the benchmark, --workspace one elsewhere: name one"
        );
        Ok(asked)
    }
}

/// The rules, and the group of each.
struct Bench {
    pdfs: Vec<String>,
    rules: Vec<(String, Rule)>,
}

impl Bench {
    fn load(data: &Path, skip_baseline: bool) -> Result<Self> {
        let folder = data.join("pdfs");
        let files = below(&folder, "pdf")?;
        ensure!(!files.is_empty(), "{} has no PDF", folder.display());
        let pdfs: Vec<String> =
            files.iter().map(|file| relative(file, &folder)).collect::<Result<_>>()?;
        let mut rules: Vec<(String, Rule)> = Vec::new();
        let entries =
            fs::read_dir(data).with_context(|| format!("cannot read {}", data.display()))?;
        let mut files: Vec<PathBuf> =
            entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        files.retain(|file| file.extension().is_some_and(|found| found == "jsonl"));
        files.sort();
        for file in files {
            let group = relative(&file, data)?;
            rules.extend(Rule::load(&file)?.into_iter().map(|rule| (group.clone(), rule)));
        }
        ensure!(!rules.is_empty(), "{} has no rules in `*.jsonl`", data.display());
        let mut seen = BTreeMap::new();
        for (group, rule) in &rules {
            if let Some(before) = seen.insert(&rule.id, group) {
                bail!("{group}: the rule {} is in {before} already", rule.id);
            }
            ensure!(pdfs.contains(&rule.pdf), "{group}: {} needs {}", rule.id, rule.pdf);
        }
        let bare = |pdf: &&String| {
            !rules.iter().any(|(_, rule)| rule.pdf == **pdf && rule.kind() == BASELINE)
        };
        let added: Vec<_> = pdfs
            .iter()
            .filter(bare)
            .map(|pdf| (BASELINE.to_owned(), Rule::baseline(pdf)))
            .collect();
        rules.extend(added);
        if skip_baseline {
            rules.retain(|(_, rule)| rule.kind() != BASELINE);
        }
        Ok(Self { pdfs, rules })
    }
}

/// What became of a rule.
struct Verdict<'a> {
    group: &'a str,
    rule: &'a Rule,
    /// The part of the readings that keep it.
    share: f64,
    why: Option<String>,
}

impl Verdict<'_> {
    fn is_kept(&self) -> bool {
        self.share > 0.5
    }
}

/// Scores the readers, and prints what they come to.
pub(crate) fn run(arguments: &[&str]) -> Result<bool> {
    let asked = Asked::read(arguments)?;
    let bench = Bench::load(&asked.data, asked.skip_baseline)?;
    println!("{}: {} files, {} rules", asked.data.display(), bench.pdfs.len(), bench.rules.len());
    let candidates = candidates(&asked, &bench)?;
    let mut whole = true;
    let mut failed = String::new();
    for candidate in &candidates {
        println!("\n{}", candidate.name);
        let missing: Vec<&String> = bench.pdfs.iter().filter(|pdf| !candidate.has(pdf)).collect();
        if let (Some(first), false) = (missing.first(), asked.force) {
            let (count, name) = (missing.len(), first.trim_end_matches(".pdf"));
            println!("  {count} files were not read, such as {name}_pg1_repeat1.md: no score");
            println!("  --force scores it with those rules broken");
            whole = false;
            continue;
        }
        let verdicts = judge(&bench, candidate);
        report(&verdicts, asked.samples);
        for verdict in verdicts.iter().filter(|verdict| !verdict.is_kept()) {
            let (name, why) = (&candidate.name, &verdict.why);
            let line = json!({"candidate": name, "reason": why, "rule": verdict.rule.line});
            failed.push_str(&format!("{line}\n"));
        }
    }
    if let Some(file) = &asked.failed {
        fs::write(file, failed).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(whole)
}

fn candidates(asked: &Asked, bench: &Bench) -> Result<Vec<Candidate>> {
    if let Some(workspace) = &asked.workspace {
        return Ok(vec![Candidate::of_workspace(workspace, &bench.pdfs)?]);
    }
    if let Some(name) = &asked.candidate {
        return Ok(vec![Candidate::of_folder(&asked.data.join(name))?]);
    }
    let mut folders: Vec<PathBuf> =
        fs::read_dir(&asked.data)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    folders.retain(|folder| folder.is_dir() && !folder.ends_with("pdfs"));
    folders.sort();
    ensure!(!folders.is_empty(), "{} has no folder of a reader", asked.data.display());
    folders.iter().map(|folder| Candidate::of_folder(folder)).collect()
}

fn judge<'a>(bench: &'a Bench, candidate: &Candidate) -> Vec<Verdict<'a>> {
    let verdict = |(group, rule): &'a (String, Rule)| {
        let readings = candidate.page(&rule.pdf, rule.page);
        let results: Vec<_> = readings.iter().map(|reading| rule.test(reading)).collect();
        let kept = results.iter().filter(|result| result.is_ok()).count();
        let share = kept as f64 / results.len().max(1) as f64;
        let broken = results.into_iter().find_map(Result::err);
        let unread = readings.is_empty().then(|| "the page was not read".to_owned());
        Verdict { group, rule, share, why: broken.or(unread) }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let size = bench.rules.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = bench
            .rules
            .chunks(size)
            .map(|part| scope.spawn(move || part.iter().map(verdict).collect::<Vec<_>>()))
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn report(verdicts: &[Verdict<'_>], samples: usize) {
    for verdict in verdicts.iter().filter(|verdict| !verdict.is_kept()) {
        let (rule, why) = (verdict.rule, verdict.why.as_deref().unwrap_or_default());
        println!("  broken: {} ({} page {}): {why}", rule.id, rule.pdf, rule.page);
    }
    let mut kinds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut groups: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for verdict in verdicts {
        kinds.entry(verdict.rule.kind()).or_default().push(verdict.share);
        let kept = f64::from(u8::from(verdict.is_kept()));
        groups.entry(verdict.group).or_default().push(kept);
    }
    for (title, parts) in [("by kind", &kinds), ("by file", &groups)] {
        println!("  {title}");
        for (name, shares) in parts {
            let (percent, count) = (100.0 * mean(shares), shares.len());
            println!("    {name:<28}{percent:6.1} % of {count}");
        }
    }
    let groups: Vec<Vec<f64>> = groups.into_values().collect();
    let overall = 100.0 * mean(&groups.iter().map(|group| mean(group)).collect::<Vec<_>>());
    let (low, high) = interval(&groups, samples);
    println!(
        "  overall {overall:.1} %, in 95 of 100 draws {:.1} to {:.1}",
        100.0 * low,
        100.0 * high
    );
    if kinds.contains_key("math") {
        println!("  formulas are compared as text; the benchmark itself draws them");
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Between which scores 95 of 100 fall when the rules of each group are drawn anew, with repetition.
fn interval(groups: &[Vec<f64>], samples: usize) -> (f64, f64) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    // S. Vigna's splitmix64: the same draws in every run.
    let mut random = |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % below.max(1) as u64) as usize
    };
    let mut means: Vec<f64> = (0..samples.max(1))
        .map(|_| {
            let drawn: Vec<f64> = groups
                .iter()
                .map(|group| {
                    mean(&group.iter().map(|_| group[random(group.len())]).collect::<Vec<_>>())
                })
                .collect();
            mean(&drawn)
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |part: f64| means[(part * (means.len() - 1) as f64).round() as usize];
    (at(0.025), at(0.975))
}
