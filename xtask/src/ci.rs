//! `cargo xtask ci`: every check but the tests, in one command, with the time of each.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::command::{cargo, is_installed, succeeds};
use crate::{clients, licences, mlx, tidy};

/// A stage: its name and what runs it.
type Stage = (&'static str, fn(&Path) -> Result<bool>);

/// Quick ones first.
const STAGES: &[Stage] = &[
    ("fmt", |root| succeeds(cargo(root).args(["fmt", "--all", "--check"]))),
    ("tidy", tidy::run),
    ("clippy", |root| {
        let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        succeeds(cargo(root).args(clippy))
    }),
    ("doc", |root| {
        let doc = ["doc", "--workspace", "--no-deps", "--locked"];
        succeeds(cargo(root).args(doc).env("RUSTDOCFLAGS", "-D warnings"))
    }),
    ("dependencies", dependencies),
    ("clients", clients::run),
    ("mlx", on_mlx),
];

/// Runs the stages of these names, or every stage, also after one has failed, and prints a table.
/// `true` if all passed.
pub(crate) fn run(root: &Path, names: &[&str]) -> Result<bool> {
    let mut results = Vec::new();
    for (name, stage) in chosen(names)? {
        println!("== {name}");
        let start = Instant::now();
        let passed = stage(root)?;
        results.push((*name, passed, start.elapsed()));
    }
    print!("{}", table(&results));
    Ok(results.iter().all(|(_, passed, _)| *passed))
}

/// The stages of these names, in the usual order; all of them if there is no name.
fn chosen(names: &[&str]) -> Result<Vec<&'static Stage>> {
    let unknown = names.iter().find(|name| !STAGES.iter().any(|(known, _)| known == *name));
    if let Some(name) = unknown {
        let known: Vec<_> = STAGES.iter().map(|(name, _)| *name).collect();
        bail!("there is no stage `{name}`: the stages are {}", known.join(", "));
    }
    Ok(STAGES.iter().filter(|(name, _)| names.is_empty() || names.contains(name)).collect())
}

fn table(results: &[(&str, bool, Duration)]) -> String {
    let line = |(name, passed, time): &(&str, bool, Duration)| {
        let verdict = if *passed { "ok" } else { "FAILED" };
        format!("{name:<14}{:>7.1} s  {verdict}\n", time.as_secs_f64())
    };
    std::iter::once("== summary\n".to_owned()).chain(results.iter().map(line)).collect()
}

/// The library over MLX, and what compares it with references: operations, networks, the engine.
fn on_mlx(root: &Path) -> Result<bool> {
    let folder = root.join("target/mlx");
    mlx::run(root, &["--to", &folder.display().to_string()])?;
    let mut test = cargo(root);
    // The whole workspace, as it was built for the other tests: nothing is compiled anew.
    test.args(["test", "--workspace", "--locked", "--lib", "--tests", "--", "mlx", "ops::"]);
    succeeds(test.env("FOLIO_MLX", folder))
}

/// cargo-deny where it is installed, with the checks that need no network; else our own reading
/// of licences and sources.
fn dependencies(root: &Path) -> Result<bool> {
    if is_installed("cargo-deny", &["--version"]) {
        let deny = ["deny", "--locked", "check", "bans", "licenses", "sources"];
        return succeeds(cargo(root).args(deny));
    }
    println!("cargo-deny is not installed: licences and sources are checked without it");
    licences::check(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_chosen_by_name() {
        let names = |chosen: Result<Vec<&Stage>>| -> Vec<&str> {
            chosen.unwrap().iter().map(|(name, _)| *name).collect()
        };
        assert_eq!(names(chosen(&[])).len(), STAGES.len());
        assert_eq!(names(chosen(&["doc", "fmt"])), ["fmt", "doc"]);
        assert!(chosen(&["fmt", "nothing"]).is_err());
    }

    #[test]
    fn the_table_tells_what_failed() {
        let results =
            [("fmt", true, Duration::from_millis(1240)), ("doc", false, Duration::from_secs(61))];
        let expected = "== summary\nfmt               1.2 s  ok\ndoc              61.0 s  FAILED\n";
        assert_eq!(table(&results), expected);
    }
}
