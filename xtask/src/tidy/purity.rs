//! What may stand where: `unsafe`, `async`, serde, files, clocks and threads.

use super::Breach;
use super::rust::identifiers;
use super::tree::{Tree, crate_of};

/// Where `unsafe` may stand, and how often at most.
const UNSAFE: &[(&str, usize)] = &[
    // SIMD, the thread pool and memory that several threads fill.
    ("crates/kernels/", usize::MAX),
    // The memory map of a checkpoint's file: the one way to load weights without copying them, and
    // the advice that what a device has copied need not stay in memory.
    ("crates/checkpoint/src/files.rs", 2),
    // The memory map of a segment, which is searched where it lies.
    ("crates/index/src/segment/map.rs", 1),
    // glibc's `malloc_trim`, which has no safe wrapper: a model that went is to give its bytes back.
    ("crates/manager/src/peak.rs", 1),
];

/// Where serde's derived formats may stand: where bytes come and go.
const SERDE: &[&str] = &[
    "crates/checkpoint/src/",
    // The manager's configuration, a folder's small JSON files, and the hub's answers.
    "crates/manager/src/config",
    "crates/manager/src/catalog/",
    "crates/manager/src/fetch/",
    // An architecture's private configuration, and the parts that several of them share.
    "crates/models/src/arch/",
    "crates/models/src/nn/",
    "crates/server/src/",
    "crates/testkit/src/",
    "xtask/",
];

/// Crates above the line where `async` begins.
const ASYNC: &[&str] = &["manager", "server", "cli"];

/// Parts of the standard library that a crate does without.
const OUTSIDE: &[(&str, &[&str], &str)] = &[
    (
        "engine",
        &["env", "fs", "io", "net", "process", "thread", "Instant", "SystemTime"],
        "the caller passes time and data in: the engine is a function of values",
    ),
    (
        "kernels",
        &["fs", "net", "process"],
        "kernels know numbers only: whoever needs the file passes its bytes",
    ),
];

pub(super) fn check(tree: &Tree) -> Vec<Breach> {
    let mut out = unsafe_code(tree);
    out.extend(asynchrony(tree));
    out.extend(formats(tree));
    out.extend(outside(tree));
    out
}

fn unsafe_code(tree: &Tree) -> Vec<Breach> {
    let mut out = Vec::new();
    for (path, source) in tree.rust() {
        let uses: Vec<_> =
            identifiers(&source.code_with_tests).filter(|(_, word)| *word == "unsafe").collect();
        let allowed = UNSAFE.iter().find(|(place, _)| path.starts_with(place));
        let allowed = allowed.map_or(0, |(_, most)| *most);
        for (line, _) in uses.into_iter().skip(allowed) {
            let what = "`unsafe` outside its walls";
            out.push(Breach::new(path, line, what, "use a safe interface, or move it to kernels"));
        }
    }
    out
}

fn asynchrony(tree: &Tree) -> Vec<Breach> {
    let mut out = Vec::new();
    for (path, source) in tree.rust() {
        let Some(name) = crate_of(path).filter(|name| !ASYNC.contains(name)) else { continue };
        for (line, word) in identifiers(&source.code_with_tests) {
            if word == "async" || word == "await" {
                let what = format!("`{word}` in `{name}`, below the manager");
                out.push(Breach::new(path, line, what, "async begins in the manager"));
            }
        }
    }
    out
}

fn formats(tree: &Tree) -> Vec<Breach> {
    let mut out = Vec::new();
    for (path, source) in tree.product() {
        if SERDE.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        for (line, word) in identifiers(&source.code) {
            if matches!(word, "Serialize" | "Deserialize" | "DeserializeOwned") {
                let what = format!("`{word}` where no bytes come or go");
                let remedy = "convert at the border, or read a `serde_json::Value`";
                out.push(Breach::new(path, line, what, remedy));
            }
        }
    }
    out
}

fn outside(tree: &Tree) -> Vec<Breach> {
    let mut out = Vec::new();
    for (path, source) in tree.product() {
        let Some((_, parts, remedy)) =
            OUTSIDE.iter().find(|(name, ..)| crate_of(path) == Some(name))
        else {
            continue;
        };
        for (index, line) in source.code.lines().enumerate() {
            // `std::fs`, `use std::{fs, io}`, `std::time::Instant`.
            let Some((_, rest)) = line.split_once("std::") else { continue };
            let mut said = identifiers(rest);
            if let Some((_, part)) = said.find(|(_, word)| parts.contains(word)) {
                let what = format!("`std` gives `{part}`");
                out.push(Breach::new(path, index + 1, what, remedy));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::{none, one};
    use super::*;

    #[test]
    fn unsafe_stays_within_its_walls() {
        let code = "//! It.\nunsafe { f() }\n";
        none(check, &[("crates/kernels/src/cpu/a.rs", code)]);
        none(check, &[("crates/checkpoint/src/files.rs", code)]);
        none(check, &[("crates/text/src/a.rs", "// unsafe\nf(\"unsafe\"); #![deny(unsafe_code)]")]);
        one(check, &[("crates/text/src/a.rs", code)], "crates/text/src/a.rs:2: `unsafe` outside");
        one(check, &[("crates/text/tests/it/a.rs", code)], "crates/text/tests/it/a.rs:2: `unsafe`");
        let thrice = "unsafe { f() }\nunsafe { g() }\nunsafe { h() }\n";
        let file = "crates/checkpoint/src/files.rs";
        one(check, &[(file, thrice)], "crates/checkpoint/src/files.rs:3: `unsafe` outside");
    }

    #[test]
    fn async_begins_in_the_manager() {
        let code = "async fn f() {}\n";
        for name in ["manager", "server", "cli"] {
            none(check, &[(&format!("crates/{name}/src/a.rs"), code)]);
        }
        for name in ["kernels", "checkpoint", "text", "documents", "models", "engine"] {
            let file = format!("crates/{name}/src/a.rs");
            one(check, &[(&file, code)], &format!("{file}:1: `async` in `{name}`"));
        }
        one(check, &[("crates/text/src/a.rs", "f().await;")], "crates/text/src/a.rs:1: `await`");
    }

    #[test]
    fn formats_stand_at_the_borders() {
        let code = "#[derive(Deserialize)]\nstruct A;\n";
        for file in ["crates/checkpoint/src/a.rs", "crates/models/src/arch/a.rs"] {
            none(check, &[(file, code)]);
        }
        none(check, &[("crates/text/src/a.rs", "use serde_json::Value;")]);
        for file in
            ["crates/text/src/a.rs", "crates/models/src/cache.rs", "crates/manager/src/a.rs"]
        {
            one(check, &[(file, code)], &format!("{file}:1: `Deserialize` where no bytes"));
        }
    }

    #[test]
    fn the_engine_has_no_clock_file_or_thread() {
        let file = "crates/engine/src/a.rs";
        for code in [
            "use std::time::Instant;",
            "use std::{fs, mem};",
            "std::thread::spawn(f);",
            "let now = std::time::SystemTime::now();",
        ] {
            one(check, &[(file, code)], "crates/engine/src/a.rs:1: `std` gives `");
        }
        none(check, &[(file, "use std::collections::BTreeMap;\nuse std::time::Duration;")]);
        none(check, &[(file, "#[cfg(test)]\nmod tests { use std::time::Instant; }")]);
        one(check, &[("crates/kernels/src/a.rs", "std::fs::read(p)")], "crates/kernels/src/a.rs:1");
        none(check, &[("crates/kernels/src/a.rs", "use std::thread;")]);
    }
}
