//! The shape of files and folders: how a file opens, how long it is, what it is called, and what
//! stands beside it.

use super::Breach;
use super::names::registry;
use super::tree::Tree;

/// The most lines a file may have.
const LINES: usize = 800;
/// The most lines the middle file may have. Asked only of a project with enough files.
const MEDIAN: usize = 250;
/// A file of weights is not committed; the largest real document or golden is smaller.
const BYTES: u64 = 4 << 20;
/// Names that say nothing of what a file is about.
const NAMELESS: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "misc", "types", "shared", "stuff"];
/// A nameless name that is the field's own word where it stands.
const NAMED: &[(&str, &str)] = &[
    // Memory that several threads write at once, in disjoint parts: "shared" is the subject.
    ("crates/kernels/src/cpu/shared.rs", "shared"),
];

pub(super) fn check(tree: &Tree) -> Vec<Breach> {
    let mut out = Vec::new();
    for (path, file) in tree.files() {
        if file.bytes > BYTES {
            let what = format!("the file has {} bytes, the most is {BYTES}", file.bytes);
            out.push(Breach::new(path, 1, what, "make it smaller, or have a script make it"));
        }
        for part in path.trim_end_matches(".rs").trim_end_matches(".py").split('/') {
            if NAMELESS.contains(&part) && !NAMED.contains(&(path, part)) {
                let what = format!("`{part}` says nothing of what the file is about");
                out.push(Breach::new(path, 1, what, "name it after its subject"));
            }
        }
        if file.rust.is_none() {
            continue;
        }
        if !file.text.starts_with("//!") {
            let what = "the file does not open with `//!`";
            out.push(Breach::new(path, 1, what, "say in its first line what it is"));
        }
        let lines = file.text.lines().count();
        if lines > LINES {
            let what = format!("the file has {lines} lines, the most is {LINES}");
            out.push(Breach::new(path, LINES + 1, what, "split it by subject"));
        }
    }
    out.extend(median(tree));
    out.extend(operations(tree));
    out.extend(fixtures(tree));
    out
}

fn median(tree: &Tree) -> Option<Breach> {
    let rust = tree.files().filter(|(_, file)| file.rust.is_some());
    let mut lines: Vec<_> = rust.map(|(_, file)| file.text.lines().count()).collect();
    lines.sort_unstable();
    let middle = lines.get(lines.len() / 2).copied().filter(|&m| lines.len() > 20 && m > MEDIAN)?;
    let what = format!("the middle file has {middle} lines, the most is {MEDIAN}");
    Some(Breach::new("Cargo.toml", 1, what, "split the longest files by subject"))
}

/// Every op's folder holds its contract, its reference and its tests.
fn operations(tree: &Tree) -> Vec<Breach> {
    const OPS: &str = "crates/kernels/src/ops";
    let mut folders: Vec<&str> = tree
        .under(OPS)
        .filter_map(|(path, _)| path[OPS.len() + 1..].split_once('/').map(|(op, _)| op))
        .collect();
    folders.dedup();
    let mut out = Vec::new();
    for op in folders {
        for (file, remedy) in [
            ("mod.rs", "write the contract: equation, shapes, panics"),
            ("reference.rs", "write the plain, slow truth that backends are compared with"),
            ("tests.rs", "compare every backend with the reference there"),
        ] {
            let path = format!("{OPS}/{op}/{file}");
            if tree.get(&path).is_none() {
                let what = format!("the op `{op}` has no {file}");
                out.push(Breach::new(&path, 1, what, remedy));
            }
        }
        // A test file that never mentions the reference compares nothing with it.
        let tests = format!("{OPS}/{op}/tests.rs");
        let compares = |text: &str| text.contains("reference");
        if let Some(file) = tree.get(&tests).filter(|file| !compares(&file.text)) {
            let line = file.text.lines().count().max(1);
            let what = format!("the tests of `{op}` never name its reference");
            out.push(Breach::new(&tests, line, what, "compare each backend with `reference`"));
        }
    }
    out
}

/// Every registry entry has a tiny checkpoint and a golden.
fn fixtures(tree: &Tree) -> Vec<Breach> {
    let mut out = Vec::new();
    for entry in registry(tree) {
        // Networks that see have theirs apart: pictures belong to them.
        let seeing = format!("fixtures/vision/{}", entry.model_type);
        let sees = tree.get(&format!("{seeing}/config.json")).is_some();
        let folder = if sees { seeing } else { format!("fixtures/models/{}", entry.model_type) };
        for (file, what) in [("config.json", "fixture"), ("golden.safetensors", "golden")] {
            let path = format!("{folder}/{file}");
            // What is of use with an adapter only has its golden there, in a folder that continues its name.
            let beside = |other: &str| {
                let rest = other.strip_prefix(&folder).and_then(|rest| rest.strip_prefix('_'));
                rest.is_some_and(|rest| rest.ends_with(&format!("/{file}")))
            };
            let found = tree.get(&path).is_some()
                || file.starts_with("golden") && tree.files().any(|(path, _)| beside(path));
            if !found {
                let what = format!("`{}` has no {what} {path}", entry.model_type);
                let remedy = "add it to fixtures/goldens.py and run `cargo xtask goldens`";
                out.push(Breach::new(super::names::REGISTRY, entry.line, what, remedy));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::{found, none, one};
    use super::*;

    const GOOD: &str = "//! It.\n";

    #[test]
    fn a_file_opens_by_saying_what_it_is() {
        none(check, &[("crates/a/src/b.rs", GOOD)]);
        one(check, &[("crates/a/src/b.rs", "use c;\n")], "crates/a/src/b.rs:1: the file does not");
    }

    #[test]
    fn a_file_has_800_lines_at_most() {
        let at = format!("{GOOD}{}", "//\n".repeat(799));
        none(check, &[("crates/a/src/b.rs", &at)]);
        let over = format!("{at}//\n");
        one(
            check,
            &[("crates/a/src/b.rs", &over)],
            "crates/a/src/b.rs:801: the file has 801 lines",
        );
    }

    #[test]
    fn the_middle_file_is_short() {
        let long = format!("{GOOD}{}", "//\n".repeat(260));
        let paths: Vec<String> = (0..21).map(|i| format!("crates/a/src/f{i}.rs")).collect();
        let files: Vec<_> = paths.iter().map(|path| (path.as_str(), long.as_str())).collect();
        one(check, &files, "Cargo.toml:1: the middle file has 261 lines");
        none(check, &files[..20]);
    }

    #[test]
    fn files_and_folders_have_names() {
        one(check, &[("crates/a/src/utils.rs", GOOD)], "crates/a/src/utils.rs:1: `utils` says");
        one(check, &[("crates/a/src/types/b.rs", GOOD)], "crates/a/src/types/b.rs:1: `types`");
        one(check, &[("crates/common/src/lib.rs", GOOD)], "crates/common/src/lib.rs:1: `common`");
        none(check, &[("crates/a/src/utilisation.rs", GOOD)]);
    }

    #[test]
    fn weights_are_not_committed() {
        let big = "x".repeat((4 << 20) + 1);
        one(check, &[("fixtures/model.safetensors", &big)], "fixtures/model.safetensors:1: the");
    }

    #[test]
    fn an_op_has_a_contract_a_reference_and_tests() {
        let op = |file: &str| format!("crates/kernels/src/ops/add/{file}");
        let (contract, reference, tests) = (op("mod.rs"), op("reference.rs"), op("tests.rs"));
        let compares = "//! It.\nuse super::reference;\n";
        let whole = [(&*contract, GOOD), (&*reference, GOOD), (&*tests, compares)];
        none(check, &whole);
        one(check, &[whole[0], whole[2]], "crates/kernels/src/ops/add/reference.rs:1: the op");
        one(check, &whole[..2], "crates/kernels/src/ops/add/tests.rs:1: the op `add` has no");
        one(check, &whole[1..], "crates/kernels/src/ops/add/mod.rs:1: the op `add` has no mod.rs");
        let idle = [whole[0], whole[1], (&*tests, GOOD)];
        one(check, &idle, "crates/kernels/src/ops/add/tests.rs:1: the tests of `add` never name");
    }

    #[test]
    fn a_registry_entry_has_a_fixture_and_a_golden() {
        let registry = "//! It.\nconst T: &[X] = table! {\n    \"alpha\" => alpha,\n};\n";
        let registry = ("crates/models/src/registry.rs", registry);
        let config = ("fixtures/models/alpha/config.json", "{}");
        let golden = ("fixtures/models/alpha/golden.safetensors", "");
        none(check, &[registry, config, golden]);
        let config_of_seeing = ("fixtures/vision/alpha/config.json", "{}");
        let golden_of_seeing = ("fixtures/vision/alpha/golden.safetensors", "");
        none(check, &[registry, config_of_seeing, golden_of_seeing]);
        one(
            check,
            &[registry, config_of_seeing],
            "crates/models/src/registry.rs:3: `alpha` has no golden",
        );
        let golden_with_adapter = ("fixtures/vision/alpha_adapter/golden.safetensors", "");
        none(check, &[registry, config_of_seeing, golden_with_adapter]);
        one(check, &[registry, config], "crates/models/src/registry.rs:3: `alpha` has no golden");
        assert_eq!(found(check, &[registry]).len(), 2);
    }
}
