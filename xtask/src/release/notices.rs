//! The licences of everything that is linked into the program, with their texts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::command::{cargo, output};

/// How the names of files begin that hold a licence or a notice that goes with it.
const NAMES: [&str; 5] = ["licen", "copying", "unlicense", "notice", "copyright"];

/// A crate that goes into the program.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Linked {
    name: String,
    version: String,
    licence: String,
    repository: String,
    folder: String,
}

/// One text: every crate that `cli` links on `target`, and each licence's text once, with the crates that carry it.
pub(super) fn notices(root: &Path, target: &str) -> Result<String> {
    let mut metadata = cargo(root);
    metadata.args(["metadata", "--format-version=1", "--locked", "--filter-platform", target]);
    let linked = linked(&serde_json::from_str(&output(&mut metadata)?)?)?;
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for linked_crate in &linked {
        let mut own = texts_in(Path::new(&linked_crate.folder))?;
        // One repository's crates are under one licence, and some leave its text to another of them.
        let related = linked.iter().filter(|other| {
            !other.repository.is_empty()
                && other.repository == linked_crate.repository
                && other.licence == linked_crate.licence
        });
        for other in related {
            if own.is_empty() {
                own = texts_in(Path::new(&other.folder))?;
            }
        }
        let name = format!("{} {}", linked_crate.name, linked_crate.version);
        if own.is_empty() {
            bail!("{name} has no text of its licence, nor has another crate of its repository");
        }
        for text in own {
            texts.entry(text).or_default().insert(name.clone());
        }
    }
    Ok(written(&linked, &texts))
}

/// Everybody's crates among what `cli` needs, tests and build scripts aside.
fn linked(metadata: &Value) -> Result<BTreeSet<Linked>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> =
        list(&metadata["packages"]).into_iter().map(|it| (text(&it["id"]), it)).collect();
    let nodes: BTreeMap<String, Value> =
        list(&metadata["resolve"]["nodes"]).into_iter().map(|it| (text(&it["id"]), it)).collect();
    let program = packages.iter().find(|(_, package)| package["name"] == "cli");
    let mut waiting = vec![program.context("there is no crate `cli`")?.0.clone()];
    let (mut seen, mut out) = (BTreeSet::new(), BTreeSet::new());
    while let Some(id) = waiting.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let (Some(package), Some(node)) = (packages.get(&id), nodes.get(&id)) else {
            bail!("cargo metadata does not describe {id}");
        };
        let is_linked =
            |edge: &Value| list(&edge["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
        waiting.extend(
            list(&node["deps"]).iter().filter(|edge| is_linked(edge)).map(|it| text(&it["pkg"])),
        );
        if !package["source"].is_null() {
            let manifest = text(&package["manifest_path"]);
            let folder = Path::new(&manifest).parent().context("a manifest lies in a folder")?;
            out.insert(Linked {
                name: text(&package["name"]),
                version: text(&package["version"]),
                licence: text(&package["license"]),
                repository: text(&package["repository"]),
                folder: folder.display().to_string(),
            });
        }
    }
    Ok(out)
}

/// The texts of licences in a crate's folder, with line ends as here.
fn texts_in(folder: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let is_code = name.ends_with(".rs") || name.ends_with(".html") || name.ends_with(".toml");
        if path.is_file() && !is_code && NAMES.iter().any(|begin| name.starts_with(begin)) {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = String::from_utf8_lossy(&text).replace("\r\n", "\n");
        Ok(text.trim_matches('\n').trim_end().to_owned())
    };
    paths.iter().map(read).collect()
}

fn written(linked: &BTreeSet<Linked>, texts: &BTreeMap<String, BTreeSet<String>>) -> String {
    let mut out =
        "What folio is built from, and under which licences. The library over MLX has its own,\n\
                   beside it in mlx/licenses.\n\n"
            .to_owned();
    for Linked { name, version, licence, repository, .. } in linked {
        out += &format!("{name} {version}: {licence} ({repository})\n");
    }
    for (text, crates) in texts {
        let crates: Vec<&str> = crates.iter().map(String::as_str).collect();
        out += &format!("\n{}\n{}\n\n{text}\n", "=".repeat(80), crates.join(", "));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_linked_is_listed() {
        let package = |name: &str, source: Value| {
            serde_json::json!({"id": name, "name": name, "version": "1", "license": "MIT", "source": source,
                               "repository": "r", "manifest_path": format!("/x/{name}/Cargo.toml")})
        };
        let edge =
            |to: &str, kind: Value| serde_json::json!({"pkg": to, "dep_kinds": [{"kind": kind}]});
        let metadata = serde_json::json!({
            "packages": [package("cli", Value::Null), package("a", "s".into()), package("b", "s".into()),
                         package("c", "s".into()), package("d", "s".into())],
            "resolve": {"nodes": [
                {"id": "cli", "deps": [edge("a", Value::Null), edge("b", "dev".into())]},
                {"id": "a", "deps": [edge("c", "build".into()), edge("d", Value::Null)]},
                {"id": "b", "deps": []}, {"id": "c", "deps": []}, {"id": "d", "deps": [edge("a", Value::Null)]},
            ]},
        });
        let names: Vec<_> = linked(&metadata).unwrap().into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["a", "d"]);
    }

    #[test]
    fn every_crate_of_the_program_has_a_text() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let text = notices(root, "x86_64-unknown-linux-gnu").unwrap();
        for part in ["tokenizers 0.", "\nclap 4.", "Permission is hereby granted", "Apache License"]
        {
            assert!(text.contains(part), "{part}");
        }
        assert!(!text.contains("proptest"));
    }
}
