//! The walls between crates: which may depend on which, whose guests other people's crates are,
//! and what every manifest and `clippy.toml` repeats.

use serde_json::Value;

use super::Breach;
use super::tree::Tree;

/// Every edge that may exist between crates of this workspace, tests aside. A new edge is a
/// design decision: it is made here and in ARCHITECTURE.md, not in a manifest alone.
const EDGES: &[(&str, &[&str])] = &[
    ("kernels", &[]),
    ("checkpoint", &[]),
    ("text", &[]),
    ("documents", &[]),
    ("index", &["kernels"]),
    ("models", &["kernels", "checkpoint"]),
    ("forge", &["kernels", "checkpoint", "models"]),
    ("engine", &["models", "kernels"]),
    ("manager", &["engine", "models", "kernels", "checkpoint", "text", "documents", "index"]),
    ("server", &["manager", "text", "documents"]),
    ("cli", &["server", "manager", "forge", "documents"]),
    ("testkit", &["kernels", "checkpoint", "text", "documents", "models"]),
    ("xtask", &["checkpoint", "kernels", "models"]),
];

/// Crates that are dependencies of tests only.
const FOR_TESTS: &[&str] = &["testkit", "xtask"];

/// Who may use which crate of other people's, tests aside. What is not listed is not guarded.
const GUESTS: &[(&str, &[&str])] = &[
    // Async, and what speaks to the network.
    ("tokio", &["manager", "server", "cli"]),
    ("reqwest", &["manager", "server", "cli"]),
    ("ureq", &["manager", "server", "cli"]),
    ("hf-hub", &["manager"]),
    ("object_store", &["manager"]),
    ("prost", &["manager"]),
    ("h2", &[]),
    ("http", &["manager"]),
    ("http-body-util", &["manager"]),
    ("axum", &["server"]),
    ("rmcp", &["server"]),
    ("schemars", &["server"]),
    // What speaks to a person at a terminal.
    ("clap", &["cli"]),
    ("miette", &["cli"]),
    ("indicatif", &["cli"]),
    ("rustyline", &["cli"]),
    // Formats, where bytes come and go. `serde_json::Value` is a value and no guest.
    ("serde", &["checkpoint", "models", "manager", "server", "testkit", "xtask"]),
    // In `kernels` for memory in large pages: of no file.
    ("memmap2", &["checkpoint", "index", "kernels"]),
    ("rusqlite", &["index"]),
    ("llguidance", &["text"]),
    ("tokenizers", &["text"]),
    ("minijinja", &["text"]),
    ("minijinja-contrib", &["text"]),
    ("hayro", &["documents"]),
    ("hayro-syntax", &["documents"]),
    ("hayro-interpret", &["documents"]),
    ("image", &["documents"]),
    ("whichlang", &["documents"]),
    // Libraries have errors of their own.
    ("anyhow", &["xtask"]),
];

/// What the engine's `clippy.toml` forbids at least (invariant 4).
const ENGINE_DISALLOWS: &[&str] = &[
    "std::fs::File::open",
    "std::fs::read",
    "std::fs::read_to_string",
    "std::fs::write",
    "std::thread::spawn",
    "std::time::Instant::now",
    "std::time::SystemTime::now",
];

/// Checks what `cargo metadata --no-deps` says of every package.
pub(super) fn check_metadata(tree: &Tree, metadata: &Value) -> Vec<Breach> {
    let root = metadata["workspace_root"].as_str().unwrap_or_default();
    let mut out = Vec::new();
    for package in list(&metadata["packages"]) {
        let name = text(&package["name"]);
        let path = text(&package["manifest_path"]).replace('\\', "/");
        let path = path.strip_prefix(&root.replace('\\', "/")).unwrap_or(&path);
        let manifest = path.trim_start_matches('/');
        let mut breach = |needle: &str, what: String, remedy| {
            out.push(Breach::new(manifest, line_of(tree, manifest, needle), what, remedy));
        };
        let folder = manifest.trim_end_matches("/Cargo.toml").rsplit('/').next();
        if folder != Some(name) {
            let what = format!("the crate `{name}` lives in another folder");
            breach("name", what, "a folder is named after its crate");
        }
        if !package["publish"].as_array().is_some_and(Vec::is_empty) {
            let what = format!("`{name}` may be published");
            breach("publish", what, "write `publish.workspace = true`: crates are internal");
        }
        let tests = list(&package["targets"]).filter(|t| list(&t["kind"]).any(|k| k == "test"));
        for target in tests.map(|target| text(&target["name"])).filter(|name| *name != "it") {
            let what = format!("`{name}` has the integration tests `{target}`");
            breach(target, what, "one binary per crate: move them into tests/it/");
        }
        let Some((_, doors)) = EDGES.iter().find(|(from, _)| *from == name) else {
            let what = format!("`{name}` is not in the table of edges");
            breach("name", what, "decide its edges in xtask/src/tidy/manifests.rs");
            continue;
        };
        for dependency in list(&package["dependencies"]) {
            let to = text(&dependency["name"]);
            let for_tests = dependency["kind"] == "dev";
            if EDGES.iter().any(|(ours, _)| *ours == to) {
                let open = doors.contains(&to) || (for_tests && FOR_TESTS.contains(&to));
                if !open {
                    let remedy = "move the code to where it belongs, or argue for the door in \
                                  ARCHITECTURE.md and xtask/src/tidy/manifests.rs";
                    breach(to, format!("{name} -> {to}: this wall has no door"), remedy);
                }
            }
            let hosts = GUESTS.iter().find(|(guest, _)| *guest == to).map(|(_, hosts)| *hosts);
            if !for_tests && hosts.is_some_and(|hosts| !hosts.contains(&name)) {
                let what = format!("{name} -> {to}: not a guest of this crate");
                breach(to, what, "use it in a crate that xtask/src/tidy/manifests.rs names");
            }
        }
    }
    out
}

/// Checks the text of manifests and of `clippy.toml`s.
pub(super) fn check_files(tree: &Tree) -> Vec<Breach> {
    let mut out = Vec::new();
    for (path, file) in tree.files() {
        let is_member = path.starts_with("crates/") || path.starts_with("xtask/");
        if is_member && path.ends_with("/Cargo.toml") {
            if entry(&file.text, "[lints]", "workspace") != Some("true") {
                let what = "the workspace's lints are not in force";
                out.push(Breach::new(path, 1, what, "add `[lints]` with `workspace = true`"));
            }
            let path_edge = file.text.lines().position(|line| line.contains("path = \"../"));
            if let Some(index) = path_edge {
                let what = "a crate is reached by its path";
                let remedy = "write `NAME.workspace = true`";
                out.push(Breach::new(path, index + 1, what, remedy));
            }
        }
        if is_member && path.ends_with("/clippy.toml") {
            out.extend(thresholds(tree, path, &file.text));
        }
    }
    out.extend(unexplained(tree));
    let engine = "crates/engine/clippy.toml";
    if tree.exists("crates/engine") {
        let text = tree.get(engine).map_or("", |file| file.text.as_str());
        for method in ENGINE_DISALLOWS {
            if !text.contains(&format!("\"{method}\"")) {
                let what = format!("`{method}` is not among the disallowed methods");
                out.push(Breach::new(engine, 1, what, "the engine has no clock, file or thread"));
            }
        }
    }
    out
}

/// Every dependency of the workspace is in the table of CONTRIBUTING.md, with what it is for.
fn unexplained(tree: &Tree) -> Vec<Breach> {
    let (root, table) = ("Cargo.toml", "CONTRIBUTING.md");
    let text = |path| tree.get(path).map_or("", |file| file.text.as_str());
    let rows: Vec<_> = text(table).lines().filter(|line| line.starts_with('|')).collect();
    let mut inside = false;
    let mut out = Vec::new();
    for (index, line) in text(root).lines().enumerate() {
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
        } else if let Some((name, value)) = line.split_once('=')
            && inside
            && !value.contains("path =")
            && !rows.iter().any(|row| row.contains(&format!("`{}`", name.trim())))
        {
            let what = format!("`{}` is not in the table of {table}", name.trim());
            out.push(Breach::new(root, index + 1, what, "say there what it was chosen for"));
        }
    }
    out
}

/// A crate's own `clippy.toml` replaces the root's: it must repeat what that says.
fn thresholds(tree: &Tree, path: &str, own: &str) -> Vec<Breach> {
    let root = tree.get("clippy.toml").map_or("", |file| file.text.as_str());
    let mut out = Vec::new();
    for (key, value) in root.lines().filter_map(|line| line.split_once('=')) {
        let (key, value) = (key.trim(), value.trim());
        if key.starts_with('#') {
            continue;
        }
        if entry(own, "", key) != Some(value) {
            let what = format!("`{key} = {value}` of the root is not repeated");
            let remedy = "repeat it: a crate's clippy.toml replaces the root's";
            out.push(Breach::new(path, 1, what, remedy));
        }
    }
    out
}

/// The value of `key` under the heading `section` of a TOML text (empty: before any heading), as
/// written. For our own plain files; no general reader.
fn entry<'a>(toml: &'a str, section: &str, key: &str) -> Option<&'a str> {
    let mut inside = section.is_empty();
    for line in toml.lines().map(str::trim) {
        if line.starts_with('[') && !line.contains('=') {
            inside = line == section;
        } else if let Some((left, right)) = line.split_once('=')
            && inside
            && left.trim() == key
        {
            return Some(right.trim());
        }
    }
    None
}

/// The line of a manifest on which the key `needle` stands, or a test of that name; else 1.
fn line_of(tree: &Tree, manifest: &str, needle: &str) -> usize {
    let text = tree.get(manifest).map_or("", |file| file.text.as_str());
    let stands = |line: &str| {
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        line.split(|c| !word(c)).any(|part| part == needle)
    };
    text.lines().position(stands).map_or(1, |index| index + 1)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{found, none, one};
    use super::*;

    /// A package as cargo describes it, with dependencies `(name, kind)`.
    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
        let dependencies: Vec<_> =
            dependencies.iter().map(|(to, kind)| json!({ "name": to, "kind": kind })).collect();
        json!({
            "name": name,
            "manifest_path": format!("/root/crates/{name}/Cargo.toml"),
            "publish": [],
            "targets": [{ "kind": ["lib"], "name": name }, { "kind": ["test"], "name": "it" }],
            "dependencies": dependencies,
        })
    }

    fn of(package: Value) -> Vec<String> {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\ntokio = \"1\"\nmodels = \"1\"\n";
        let tree = Tree::of(&[("crates/kernels/Cargo.toml", manifest)]);
        let metadata = json!({ "workspace_root": "/root", "packages": [package] });
        check_metadata(&tree, &metadata).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_wall_has_only_its_doors() {
        assert!(of(package("models", &[("kernels", None), ("checkpoint", None)])).is_empty());
        let found = of(package("kernels", &[("models", None)]));
        assert_eq!(found.len(), 1, "{found:?}");
        let start = "crates/kernels/Cargo.toml:5: kernels -> models: this wall has no door;";
        assert!(found[0].starts_with(start), "{found:?}");
        assert_eq!(of(package("engine", &[("text", None)])).len(), 1);
        assert_eq!(of(package("engine", &[("text", Some("dev"))])).len(), 1);
        assert_eq!(of(package("engine", &[("models", Some("build"))])).len(), 0);
    }

    #[test]
    fn the_kit_is_for_tests() {
        assert!(of(package("engine", &[("testkit", Some("dev"))])).is_empty());
        assert_eq!(of(package("engine", &[("testkit", None)])).len(), 1);
    }

    #[test]
    fn a_new_crate_must_be_placed() {
        let found = of(package("core", &[]));
        assert!(found.len() == 1 && found[0].contains("`core` is not in the table"), "{found:?}");
    }

    #[test]
    fn guests_stay_with_their_hosts() {
        assert!(of(package("manager", &[("tokio", None)])).is_empty());
        assert!(of(package("kernels", &[("tokio", Some("dev"))])).is_empty());
        for (name, guest) in [
            ("kernels", "tokio"),
            ("manager", "axum"),
            ("server", "clap"),
            ("manager", "miette"),
            ("text", "serde"),
            ("documents", "reqwest"),
            ("models", "anyhow"),
        ] {
            let found = of(package(name, &[(guest, None)]));
            assert!(found.len() == 1 && found[0].contains("not a guest"), "{guest}: {found:?}");
        }
    }

    #[test]
    fn folder_publication_and_tests_are_as_agreed() {
        let change = |key: &str, value: Value| {
            let mut package = package("text", &[]);
            package[key] = value;
            of(package)
        };
        let moved = change("manifest_path", json!("/root/crates/words/Cargo.toml"));
        assert!(moved.len() == 1 && moved[0].contains("lives in another folder"), "{moved:?}");
        let public = change("publish", Value::Null);
        assert!(public.len() == 1 && public[0].contains("may be published"), "{public:?}");
        let second = change("targets", json!([{ "kind": ["test"], "name": "more" }]));
        assert!(second.len() == 1 && second[0].contains("`more`"), "{second:?}");
    }

    #[test]
    fn lints_are_in_force() {
        let good = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";
        none(check_files, &[("crates/a/Cargo.toml", good)]);
        let other = "[package]\nworkspace = true\n[lints.clippy]\ntodo = \"allow\"\n";
        one(
            check_files,
            &[("crates/a/Cargo.toml", other)],
            "crates/a/Cargo.toml:1: the workspace's",
        );
        let path = format!("{good}[dependencies]\nb = {{ path = \"../b\" }}\n");
        one(check_files, &[("crates/a/Cargo.toml", &path)], "crates/a/Cargo.toml:7: a crate is");
    }

    #[test]
    fn every_dependency_is_explained() {
        let root =
            "[workspace.dependencies]\na = { path = \"crates/a\" }\n\nb-c = \"1\"\n[x]\nd = 1\n";
        let table = ("CONTRIBUTING.md", "| dependency |\n| `b-c` | for b |\n");
        none(check_files, &[("Cargo.toml", root), table]);
        let prose = ("CONTRIBUTING.md", "We like `b-c`.\n");
        one(check_files, &[("Cargo.toml", root), prose], "Cargo.toml:4: `b-c` is not in the table");
    }

    #[test]
    fn thresholds_are_repeated() {
        let root = ("clippy.toml", "# why\ntoo-many-arguments-threshold = 6\nallow-x = true\n");
        none(check_files, &[root, ("crates/a/clippy.toml", root.1)]);
        let own = "too-many-arguments-threshold = 9\nallow-x = true\n";
        let start = "crates/a/clippy.toml:1: `too-many-arguments-threshold = 6` of the root";
        one(check_files, &[root, ("crates/a/clippy.toml", own)], start);
    }

    #[test]
    fn the_engine_disallows_clock_file_and_thread() {
        let lib = ("crates/engine/src/lib.rs", "//! It.");
        assert_eq!(found(check_files, &[lib]).len(), ENGINE_DISALLOWS.len());
        let all: String =
            ENGINE_DISALLOWS.iter().map(|m| format!("{{ path = \"{m}\" }},\n")).collect();
        none(check_files, &[lib, ("crates/engine/clippy.toml", &all)]);
        let less = all.replace("\"std::thread::spawn\"", "\"\"");
        let start = "crates/engine/clippy.toml:1: `std::thread::spawn` is not";
        one(check_files, &[lib, ("crates/engine/clippy.toml", &less)], start);
    }
}
