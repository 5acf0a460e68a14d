//! Limits and operations, from the benchmark `machine` of `kernels`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::quiet::{Watch, during};
use crate::command::{cargo, output};

/// Builds it and says where it lies.
pub(crate) fn build(root: &Path) -> Result<PathBuf> {
    let said = output(cargo(root).args([
        "bench",
        "--locked",
        "-p",
        "kernels",
        "--bench",
        "machine",
        "--no-run",
        "--message-format",
        "json",
    ]))?;
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found = messages
        .filter(|message| message["target"]["name"] == "machine")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    found.context("cargo built no benchmark `machine`")
}

/// What the machine can do: a rate for each limit and number of threads.
#[derive(Debug, Default)]
pub(super) struct Limits {
    rates: BTreeMap<(String, usize), (String, f64)>,
    /// Cores that others kept busy meanwhile.
    pub(super) others: f64,
}

impl Limits {
    pub(super) fn measure(machine: &Path, watch: &Watch) -> Result<Self> {
        let run = || output(Command::new(machine).arg("limits"));
        let held = watch.hold()?;
        let (said, others) = during(run)?;
        drop(held);
        let mut out = Self { others, ..Self::default() };
        for line in said.lines() {
            let line: Value = serde_json::from_str(line)?;
            let text = |key: &str| line[key].as_str().map(str::to_owned);
            let entry = || {
                let threads = usize::try_from(line["threads"].as_u64()?).ok()?;
                Some(((text("limit")?, threads), (text("how")?, line["per_second"].as_f64()?)))
            };
            let (key, rate) = entry().with_context(|| format!("no limit: {line}"))?;
            out.rates.insert(key, rate);
        }
        Ok(out)
    }

    /// Takes the better of each: a disturbance only ever lowers one.
    pub(super) fn merge(&mut self, later: Self) {
        for (key, (how, rate)) in later.rates {
            let entry = self.rates.entry(key).or_insert((how, rate));
            entry.1 = entry.1.max(rate);
        }
        self.others = self.others.min(later.others);
    }

    /// Bytes or operations a second, if the machine has what the limit is of.
    pub(super) fn rate(&self, name: &str, threads: usize) -> Option<f64> {
        self.rates.get(&(name.to_owned(), threads)).map(|(_, rate)| *rate)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, usize, &str, f64)> {
        self.rates
            .iter()
            .map(|((name, threads), (how, rate))| (name.as_str(), *threads, how.as_str(), *rate))
    }

    pub(super) fn to_json(&self) -> Value {
        let entry = |(name, threads, how, rate)| json!({"limit": name, "threads": threads, "how": how, "per_second": rate});
        json!({"rates": self.all().map(entry).collect::<Vec<_>>(), "others": self.others})
    }
}

/// The groups of operations.
pub(super) fn groups(machine: &Path) -> Result<Vec<String>> {
    Ok(output(Command::new(machine).arg("groups"))?.lines().map(str::to_owned).collect())
}

/// A line for each operation of `group`, with the cores that others kept busy.
pub(super) fn ops(machine: &Path, group: &str, quick: bool, watch: &Watch) -> Result<Vec<Value>> {
    let mut command = Command::new(machine);
    command.args(["ops", group]).args(quick.then_some("--quick"));
    let held = watch.hold()?;
    let (said, others) = during(|| output(&mut command))?;
    drop(held);
    let line = |line: &str| {
        let mut value: Value = serde_json::from_str(line)?;
        value["others"] = json!(others);
        Ok(value)
    };
    said.lines().map(line).collect()
}
