//! The schema of the file says what the reading of it does.

use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use crate::config::tests::{FULL, MISSION};
use crate::config::tree::{self, Node, Value as Found};
use crate::config::{Config, Key, Sources, keys, schema};

/// Keys of which no schema can say all: whether an address is one, and what a name stands for.
const LOOSE: [&str; 6] = [
    "server.host",
    "remotes.NAME.url",
    "models.NAME.name",
    "models.NAME.aliases",
    "routes.TASK.model",
    "routes.TASK.models",
];

struct Checked {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Checked {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("settings.json", schema()).unwrap();
        let index = compiler.compile("settings.json", &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn takes(&self, value: &Value) -> Result<(), String> {
        let checked = self.schemas.validate(value, self.index);
        checked.map_err(|error| format!("{error:#}"))
    }
}

/// Whether a file that says `value` is read.
fn reads(folder: &Path, value: &Value) -> Result<(), String> {
    // JSON is YAML.
    let file = folder.join("folio.yaml");
    std::fs::write(&file, value.to_string()).unwrap();
    let sources = Sources { file: Some(file), ..Sources::default() };
    Config::load(&sources).map(|_| ()).map_err(|faults| faults.to_string())
}

/// A whole file in which `key` is `value`, and of other settings what must be there.
fn file_with(key: &Key, value: &Value) -> Value {
    let parts: Vec<&str> = key.key.split('.').collect();
    let (section, last) = (parts[0], parts[parts.len() - 1]);
    let mut table = match (section, parts.len()) {
        ("server", 4) => json!({"sha256": "ab".repeat(32)}),
        ("remotes", _) => json!({"kind": "openai", "url": "http://a:1"}),
        ("models", _) => json!({"name": "org/a"}),
        ("routes", _) => json!({"model": "org/b"}),
        _ => json!({}),
    };
    table[last] = value.clone();
    match (section, parts.len()) {
        ("server", 4) => json!({"server": {"keys": {"ann": table}}}),
        ("models", _) => json!({"models": [table]}),
        ("remotes" | "routes", _) => json!({section: {"some": table}}),
        _ => json!({section: table}),
    }
}

#[test]
fn it_takes_what_is_read_and_nothing_else() {
    let (schema, folder) = (Checked::new(), tempfile::tempdir().unwrap());
    let values = json!([
        null, true, false, 0, 1, -1, 1.5, 8, 16, 32, 200, 70_000, 5_000_000_000_u64, -3_000_000_000_i64,
        "", " ", "x", "8", "30s", "1.5 h", "never", "16GB", "1.5 gib", ".5kb", "7 days", "-1", "info", "json", "swap",
        "openai", "http://a:1", "ftp://a", "127.0.0.1", "ab", "ab".repeat(32), "true", [], ["x"], [""], [1], {}, {"x": 1},
    ]);
    let mut counts = [0; 2];
    for key in keys() {
        for value in values.as_array().unwrap() {
            let whole = file_with(&key, value);
            let (taken, read) = (schema.takes(&whole), reads(folder.path(), &whole));
            counts[usize::from(read.is_ok())] += 1;
            let loose = LOOSE.contains(&key.key.as_str()) && read.is_err();
            assert!(taken.is_ok() == read.is_ok() || loose, "{whole}\n{taken:?}\n{read:?}");
        }
    }
    assert!(counts.iter().all(|&count| count > 500), "{counts:?}");
}

#[test]
fn tables_have_the_shapes_that_are_read() {
    let (schema, folder) = (Checked::new(), tempfile::tempdir().unwrap());
    for (whole, right) in [
        (json!({}), true),
        (json!({"server": null, "models": null}), true),
        (json!({"server": []}), false),
        (json!({"sever": {}}), false),
        (json!({"server": {"prot": 1}}), false),
        (json!({"server": {"keys": {"ann": {}}}}), false),
        (json!({"models": ["org/a", {"name": "org/b", "pinned": true}]}), true),
        (json!({"models": [{"pinned": true}]}), false),
        (json!({"models": [{"name": "org/b", "pined": true}]}), false),
        (json!({"models": "org/a"}), false),
        (json!({"models": {"fast": "org/a", "code": {"model": "org/b", "max_tokens": 9}}}), true),
        (json!({"models": {"code": {"max_tokens": 9}}}), false),
        (json!({"routes": {"fast": ["org/a", "ollama:b"], "code": "org/c"}}), true),
        (json!({"routes": {"fast": 1}}), false),
        (json!({"remotes": {"box": {"kind": "openai"}}}), false),
        (json!({"remotes": {"box": null}}), false),
    ] {
        let (taken, read) = (schema.takes(&whole), reads(folder.path(), &whole));
        assert_eq!((taken.is_ok(), read.is_ok()), (right, right), "{whole}\n{taken:?}\n{read:?}");
    }
}

/// A file as JSON.
fn as_json(node: &Node) -> Value {
    match &node.value {
        Found::Null => Value::Null,
        Found::Bool(on) => (*on).into(),
        Found::Integer(number) => (*number).into(),
        Found::Float(number) => (*number).into(),
        Found::Text(text) => text.as_str().into(),
        Found::List(items) => items.iter().map(as_json).collect(),
        Found::Table(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), as_json(&entry.node))).collect()
        }
    }
}

#[test]
fn it_takes_the_files_that_there_are() {
    let schema = Checked::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/serve");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|kind| kind == "toml" || kind == "yaml"));
    assert!(files.len() > 4, "{files:?}");
    let all = files.iter().map(|file| (file.clone(), std::fs::read_to_string(file).unwrap()));
    let more = [("folio.toml", FULL), ("mlx_config.yaml", MISSION)];
    let more = more.map(|(name, text)| (name.into(), text.to_owned()));
    for (path, text) in all.chain(more) {
        let read = as_json(&tree::read(&path, &text).unwrap());
        assert_eq!(schema.takes(&read), Ok(()), "{}", path.display());
    }
}
