//! `cargo xtask instructions`: how many instructions the hot operations take, against what they
//! took when somebody last looked.
//!
//! Time on a shared machine says little about a change of a few percent; a count of instructions
//! is the same on every run. It sees work that was added, not a cache that is missed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::bench;
use crate::command::{is_installed, output};

/// Where the accepted counts are.
const BASELINE: &str = "crates/kernels/benches/instructions.json";

/// A count may rise by this part before it is called a regression, and fall by it before somebody
/// is asked to accept the better one.
const TOLERANCE: f64 = 0.02;

/// Counts, and compares with the baseline or writes it anew.
pub(crate) fn run(root: &Path, accept: bool) -> Result<bool> {
    ensure!(is_installed("valgrind", &["--version"]), "valgrind is not installed");
    let machine = bench::machine(root)?;
    let mut counts = BTreeMap::new();
    for case in output(Command::new(&machine).arg("cases"))?.lines() {
        // What the process does besides is the same for any number of calls.
        let (once, isa) = count(&machine, case, 1)?;
        let (thrice, _) = count(&machine, case, 3)?;
        counts.insert(case.to_owned(), (thrice - once) / 2);
        if isa != "AVX2" {
            println!("the baseline is for AVX2, which this machine lacks: not compared");
            return Ok(true);
        }
    }
    let path = root.join(BASELINE);
    if accept {
        let text = serde_json::to_string_pretty(&json!(counts))? + "\n";
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{} counts in {BASELINE}", counts.len());
        return Ok(true);
    }
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {} (make it with --accept)", path.display()))?;
    let baseline: BTreeMap<String, u64> = serde_json::from_str::<BTreeMap<String, Value>>(&text)?
        .into_iter()
        .filter_map(|(name, count)| Some((name, count.as_u64()?)))
        .collect();
    let mut is_good = true;
    for (case, count) in &counts {
        let (verdict, good) = judge(*count, baseline.get(case).copied());
        is_good &= good;
        println!("{case:32} {count:>12}  {verdict}");
    }
    for gone in baseline.keys().filter(|case| !counts.contains_key(*case)) {
        println!("{gone:32} {:>12}  no longer counted: --accept", "-");
        is_good = false;
    }
    Ok(is_good)
}

/// What to say of a count, and whether it is good.
fn judge(count: u64, baseline: Option<u64>) -> (String, bool) {
    let Some(baseline) = baseline else { return ("new: --accept".to_owned(), false) };
    let change = count as f64 / baseline.max(1) as f64 - 1.0;
    let shown = format!("{:+.1}%", change * 100.0);
    if change > TOLERANCE {
        (format!("{shown}, more than {baseline}"), false)
    } else if change < -TOLERANCE {
        (format!("{shown}: better, keep it with --accept"), true)
    } else {
        (shown, true)
    }
}

/// Instructions of a process that calls `case` a number of times, and the instruction set it used.
fn count(machine: &Path, case: &str, times: u32) -> Result<(u64, String)> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(machine);
    valgrind.args(["instructions", case, &times.to_string()]).stdin(Stdio::null());
    let out = valgrind.output().context("cannot start valgrind")?;
    let report = String::from_utf8_lossy(&out.stderr);
    if !out.status.success() {
        bail!("valgrind failed on {case}:\n{report}");
    }
    let isa = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    Ok((collected(&report).with_context(|| format!("valgrind counted nothing:\n{report}"))?, isa))
}

/// The number after `Collected :`.
fn collected(report: &str) -> Option<u64> {
    let (_, rest) = report.lines().find_map(|line| line.split_once("Collected : "))?;
    rest.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_judged() {
        assert_eq!(collected("==7== a\n==7== Collected : 1234\n"), Some(1234));
        assert_eq!(collected("==7== a"), None);
        assert!(judge(1019, Some(1000)).1 && judge(500, Some(1000)).1);
        assert!(!judge(1021, Some(1000)).1 && !judge(1, None).1);
        assert!(judge(500, Some(1000)).0.contains("--accept"));
    }
}
