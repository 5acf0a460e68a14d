//! Licences and sources of every dependency, from what cargo says: for machines without cargo-deny.
//!
//! The list of licences is the one in `deny.toml`, so that there is one list.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::command::{cargo, output};

/// Where crates may come from, besides this workspace.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks each package that `Cargo.lock` names and prints what is wrong. `true` if nothing is.
pub(crate) fn check(root: &Path) -> Result<bool> {
    let file = root.join("deny.toml");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let allowed = allowed(&text);
    ensure!(!allowed.is_empty(), "{} allows no licence", file.display());
    let mut metadata = cargo(root);
    metadata.args(["metadata", "--format-version=1", "--locked"]);
    let metadata: Value = serde_json::from_str(&output(&mut metadata)?)?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let faults: Vec<_> = packages.iter().filter_map(|package| fault(package, &allowed)).collect();
    for fault in &faults {
        println!("{fault}");
    }
    println!("licences: {} packages, {} wrong", packages.len(), faults.len());
    Ok(faults.is_empty())
}

/// The strings of the list `allow` under `[licenses]` in `deny.toml`.
fn allowed(deny: &str) -> Vec<&str> {
    let section = deny.split("[licenses]").nth(1).unwrap_or_default();
    let list = section.split("allow = [").nth(1).unwrap_or_default();
    let list = list.split(']').next().unwrap_or_default();
    list.lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .collect()
}

/// What is wrong with a package, if anything.
fn fault(package: &Value, allowed: &[&str]) -> Option<String> {
    let name = package["name"].as_str().unwrap_or("?");
    let version = package["version"].as_str().unwrap_or("?");
    if let Some(source) = package["source"].as_str()
        && source != REGISTRY
    {
        return Some(format!("{name} {version}: comes from {source}, not from the registry"));
    }
    let licence = package["license"].as_str().unwrap_or_default();
    match satisfied(licence, allowed) {
        Some(true) => None,
        Some(false) => Some(format!("{name} {version}: licence {licence} is not in deny.toml")),
        None => Some(format!("{name} {version}: licence {licence:?} is no SPDX expression")),
    }
}

/// Whether one may use what carries the SPDX expression `licence` under the licences `allowed`.
/// `None` if it is not an expression.
fn satisfied(licence: &str, allowed: &[&str]) -> Option<bool> {
    // The old way to write OR.
    let spaced = licence.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let value = either(&mut rest, allowed)?;
    rest.is_empty().then_some(value)
}

fn either(words: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut value = both(words, allowed)?;
    while let [word, rest @ ..] = words
        && *word == "OR"
    {
        *words = rest;
        value |= both(words, allowed)?;
    }
    Some(value)
}

fn both(words: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut value = single(words, allowed)?;
    while let [word, rest @ ..] = words
        && *word == "AND"
    {
        *words = rest;
        value &= single(words, allowed)?;
    }
    Some(value)
}

fn single(words: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let (first, rest) = words.split_first()?;
    *words = rest;
    if *first == "(" {
        let value = either(words, allowed)?;
        let (last, rest) = words.split_first()?;
        *words = rest;
        return (*last == ")").then_some(value);
    }
    if matches!(*first, "OR" | "AND" | "WITH" | ")") {
        return None;
    }
    // An exception only gives more rights.
    if let ["WITH", _, rest @ ..] = words {
        *words = rest;
    }
    Some(allowed.contains(first))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expressions_are_understood() {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0"];
        for good in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "GPL-2.0 OR (MIT AND Apache-2.0)",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        ] {
            assert_eq!(satisfied(good, &allowed), Some(true), "{good}");
        }
        for bad in ["GPL-3.0-only", "MIT AND MPL-2.0", "LGPL-3.0 OR (MIT AND GPL-2.0)"] {
            assert_eq!(satisfied(bad, &allowed), Some(false), "{bad}");
        }
        for none in ["", "MIT OR", "(MIT", "MIT Apache-2.0", "AND MIT"] {
            assert_eq!(satisfied(none, &allowed), None, "{none}");
        }
    }

    #[test]
    fn the_list_of_deny_toml_is_read() {
        let deny = "[bans]\nallow = [\"x\"]\n[licenses]\nallow = [\n  \"MIT\", # \"not\"\n  \"Zlib\",\n]\n";
        assert_eq!(allowed(deny), ["MIT", "Zlib"]);
        assert!(allowed(include_str!("../../deny.toml")).contains(&"MIT"));
    }

    #[test]
    fn a_package_is_judged_by_licence_and_source() {
        let package = |licence: Value, source: Value| {
            let package =
                json!({ "name": "a", "version": "1.2.3", "license": licence, "source": source });
            fault(&package, &["MIT"])
        };
        assert_eq!(package(json!("MIT"), json!(REGISTRY)), None);
        assert_eq!(package(json!("MIT"), Value::Null), None);
        assert!(package(json!("GPL-3.0"), json!(REGISTRY)).unwrap().contains("GPL-3.0"));
        assert!(package(Value::Null, json!(REGISTRY)).unwrap().starts_with("a 1.2.3: licence"));
        assert!(package(json!("MIT"), json!("git+https://x/y")).unwrap().contains("git+"));
    }
}
