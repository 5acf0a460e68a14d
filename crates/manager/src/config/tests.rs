//! Real files, and what is said of wrong ones.

use std::fs;

use super::*;
use crate::catalog::Catalog;

pub(super) const MISSION: &str = include_str!("mission.yaml");

fn with(name: &str, text: &str) -> (tempfile::TempDir, Sources) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    let sources = Sources { folders: vec![folder.path().to_owned()], ..Sources::default() };
    (folder, sources)
}

fn load(name: &str, text: &str) -> Result<Config, String> {
    let (folder, sources) = with(name, text);
    let path = format!("{}/", folder.path().display());
    Config::load(&sources).map_err(|faults| faults.to_string().replace(&path, ""))
}

fn flags(flags: &[(&str, &str)]) -> Sources {
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Sources { flags: flags.collect(), ..Sources::default() }
}

pub(super) const FULL: &str = r#"
[server]
host = "::1"
port = 8080
origins = ["https://a.example"]
max_body = "10MB"
timeout = "2m"

[server.keys.alice]
sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
requests_per_minute = 60

[memory]
limit = "16GB"
ttl = "never"

[[models]]
name = "org/chat-4bit"
aliases = ["chat"]
context = 8192
kv_bits = 8
pinned = true
temperature = 0.5

[[models]]
name = "org/small"
ttl = "90s"
priority = -1

[routes]
fast = "org/small"
code = ["org/chat-4bit", "box:big-coder"]

[routes.long_context]
models = ["org/chat-4bit", "ollama:long:7b"]
above = 16000
max_tokens = 500

[remotes.box]
kind = "openai"
url = "https://box.example:8000/v1/"
key_variable = "BOX_KEY"
may_drop = ["top_k"]

[logging]
level = "debug"
format = "json"
"#;

#[test]
fn a_whole_file_is_read() {
    let config = load("folio.toml", FULL).unwrap();
    assert_eq!((config.server.host.to_string().as_str(), config.server.port), ("::1", 8080));
    assert_eq!(config.server.keys["alice"].sha256[..3], [0x9f, 0x86, 0xd0]);
    assert_eq!(config.server.keys["alice"].requests_per_minute, Some(60));
    assert_eq!(config.server.max_body, 10_000_000);
    assert_eq!(config.server.timeout, Some(Duration::from_secs(120)));
    assert_eq!((config.memory.limit, config.memory.ttl), (Some(16_000_000_000), None));
    let chat = &config.models[0];
    assert_eq!(
        (chat.context, chat.kv_bits, chat.pinned, chat.ttl),
        (Some(8192), Some(8), true, None)
    );
    assert_eq!(chat.sampling.temperature, Some(0.5));
    assert_eq!(config.models[1].ttl, Some(Duration::from_secs(90)));
    assert_eq!(config.models[1].priority, -1);
    let shown: Vec<_> = config.routes["code"].candidates.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["org/chat-4bit", "box:big-coder"]);
    let long = &config.routes["long_context"];
    assert_eq!((long.above, long.sampling.max_tokens), (Some(16_000), Some(500)));
    assert_eq!(long.candidates[1].to_string(), "ollama:long:7b");
    let there = &config.remotes["box"];
    assert_eq!((there.kind, there.url.as_str()), (RemoteKind::OpenAi, "https://box.example:8000"));
    let plain = Remote::at(RemoteKind::OpenAi, &there.url);
    assert_eq!(
        *there,
        Remote { key: there.key.clone(), may_drop: there.may_drop.clone(), ..plain }
    );
    assert_eq!(there.key, Some(KeySource::Variable("BOX_KEY".to_owned())));
    assert_eq!(config.logging, Logging { level: Level::Debug, json: true, file: None });
    let origin = |key: &str| {
        let text = config.origin(key).map(ToString::to_string);
        text.map(|text| text.rsplit('/').next().unwrap_or_default().to_owned())
    };
    assert_eq!(origin("server.port").as_deref(), Some("folio.toml:4"));
    assert_eq!(origin("models.\"org/chat-4bit\".pinned").as_deref(), Some("folio.toml:22"));
    assert_eq!(origin("server.drain").as_deref(), Some("default"));
    assert_eq!(origin("server.nothing"), None);
}

#[test]
fn the_missions_file_means_the_obvious() {
    let config = load("mlx_config.yaml", MISSION).unwrap();
    assert_eq!(config.models, []);
    let route = |task: &str| &config.routes[task];
    let first = |task: &str| route(task).candidates[0].to_string();
    assert_eq!(first("categorization"), "mlx-community/Qwen2.5-7B-Instruct-4bit");
    assert_eq!(route("categorization").sampling.max_tokens, Some(2048));
    assert_eq!(route("categorization").sampling.temperature, Some(0.1));
    assert_eq!(first("vision"), "mlx-community/Qwen2.5-VL-3B-Instruct-4bit");
    assert_eq!(first("embeddings"), "BAAI/bge-m3");
    assert_eq!(route("embeddings").batch_size, Some(32));
    let (said, meant, origin) = &config.renamed[0];
    assert_eq!((said.as_str(), meant.as_str()), ("mlx-embeddings/bge-m3", "BAAI/bge-m3"));
    assert!(origin.to_string().ends_with("mlx_config.yaml:18"), "{origin}");
    assert_eq!(config.performance.max_parallel_models, Some(4));
    assert_eq!(config.performance.model_cache_size, Some(10));
    assert_eq!(config.performance.batch_size, Some(20));
    assert_eq!(
        (config.memory.limit, config.memory.reserve),
        (Some(100_000_000_000), 28_000_000_000)
    );
    let gb = |gb: u64| gb * 1_000_000_000;
    let limit = memory_limit(&config, gb(128), gb(120));
    assert_eq!((limit.bytes, limit.lowered), (gb(100), None));
    let limit = memory_limit(&config, gb(64), gb(60));
    assert_eq!(limit.bytes, gb(36));
    assert!(
        limit
            .lowered
            .unwrap()
            .contains("100.0 GB are set, and this machine has 36.0 GB beside the 28.0 GB")
    );
    let limit = memory_limit(&config, gb(24), gb(20));
    assert_eq!(limit.bytes, gb(24) * 4 / 5);
    assert!(limit.lowered.unwrap().contains("28.0 GB are to be left to others"));
    let found = check(&config, &Catalog::default(), gb(128), gb(120));
    let lines: Vec<_> =
        found.iter().map(|f| format!("{:?} {}: {}", f.severity, f.about, f.what)).collect();
    assert!(
        lines[0].starts_with("Note mlx-embeddings/bge-m3: no hub has a model of this name"),
        "{lines:?}"
    );
    assert!(lines.contains(&"Warning routes.vision: no model named `mlx-community/Qwen2.5-VL-3B-Instruct-4bit` is on this machine".to_owned()), "{lines:?}");
}

#[test]
fn flags_are_stronger_than_variables_and_those_than_the_file() {
    let (_folder, mut sources) =
        with("folio.yaml", "server: {port: 1, host: 127.0.0.2, max_body: 1kB}\nmodels: [a, b]\n");
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    sources.variables = [
        variable("FOLIO_PORT", "2"),
        variable("FOLIO_HOST", "127.0.0.3"),
        variable("FOLIO_ALLOW_ORIGIN", "https://x, https://y"),
        variable("FOLIO_SET", "models.a.ttl=5s;routes.fast.models=a,b"),
    ]
    .into();
    sources.flags = vec![
        variable("server.port", "3"),
        variable("server.hosts", "p"),
        variable("server.hosts", "q"),
        variable("model", "c"),
        variable("set", "models.a.pinned=true"),
    ];
    let config = Config::load(&sources).unwrap();
    let server = &config.server;
    assert_eq!(
        (server.port, server.host.to_string().as_str(), server.max_body),
        (3, "127.0.0.3", 1000)
    );
    assert_eq!(
        (&server.origins[..], &server.hosts[..]),
        (
            &["https://x".to_owned(), "https://y".to_owned()][..],
            &["p".to_owned(), "q".to_owned()][..]
        )
    );
    let names: Vec<_> = config.models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(
        (config.models[0].pinned, config.models[0].ttl),
        (true, Some(Duration::from_secs(5)))
    );
    assert_eq!(config.routes["fast"].candidates.len(), 2);
    let origin = |key: &str| config.origin(key).unwrap().to_string();
    assert_eq!(origin("server.port"), "--port");
    assert_eq!(origin("server.host"), "FOLIO_HOST");
    assert_eq!(origin("models.a.pinned"), "--set");
    // Models beside a table of tasks.
    let (_folder, mut sources) = with("mlx_config.yaml", MISSION);
    sources.flags = vec![variable("model", "org/x")];
    let config = Config::load(&sources).unwrap();
    assert_eq!((config.models.len(), config.routes.len()), (1, 4));
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_what_would_be_right() {
    let said = |text: &str| {
        let (folder, sources) = with("folio.toml", text);
        let path = format!("{}/", folder.path().display());
        let faults = Config::load(&sources).unwrap_err();
        let lines = faults.0.iter().map(|fault| format!("{fault}\n  {}", fault.hint()));
        lines.collect::<Vec<_>>().join("\n").replace(&path, "")
    };
    let errors = [
        "[server]\nprot = 80\n",
        "[sever]\n",
        "zzz = 1\n",
        "[server]\nport = 70000\n",
        "[server]\nport = '80'\n",
        "[server]\nhost = 'everywhere'\ntimeout = 'soon'\n",
        "server = 5\n",
        "[[models]]\npinned = true\n",
        "[[models]]\nname = 'a b'\n",
        "[[models]]\nname = 'mlx-embeddings/bge-m2'\n",
        "[[models]]\nname = 'a'\nkv_bits = 6\ntemprature = 1\n",
        "[routes]\nfast = 'bxo:m'\n[remotes.box]\nkind = 'openai'\nurl = 'http://h'\n",
        "[routes.fast]\ntemperature = 1\n",
        "[remotes.box]\nkind = 'vllm'\n",
        "[remotes.box]\nkind = 'openai'\nurl = 'http://user:secret@h'\n",
        "[[models]]\nname = 'a'\naliases = ['fast']\n[routes]\nfast = 'a'\n",
        "[server.keys.bob]\nrequests_per_minute = 1\n",
    ];
    let all: Vec<String> = errors.iter().map(|text| said(text)).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/faults.txt");
    if std::env::var_os("FOLIO_WRITE_DOCS").is_some() {
        fs::write(path, all.join("\n--\n") + "\n").unwrap();
    }
    assert_eq!(all.join("\n--\n").trim(), fs::read_to_string(path).unwrap().trim());
    let faults = Config::load(&flags(&[("server.port", "many")])).unwrap_err();
    assert_eq!(
        faults.to_string(),
        "--port: `server.port` is `many`, and is to be a whole number from 0 to 65535"
    );
    let faults = Config::load(&flags(&[("set", "server.prot=1")])).unwrap_err();
    assert_eq!(faults.hint().as_deref(), Some("did you mean `server.port`?"));
    assert!(Config::load(&flags(&[("set", "nothing")])).is_err());
    let missing = Sources { file: Some("/no/such/folio.toml".into()), ..Sources::default() };
    let faults = Config::load(&missing).unwrap_err();
    assert_eq!(faults.kind(), crate::Kind::NotFound);
}

#[test]
fn the_first_of_several_files_is_read_and_the_others_are_named() {
    let (folder, sources) = with("folio.yaml", "server: {port: 5}\n");
    fs::write(folder.path().join("mlx_config.yaml"), MISSION).unwrap();
    let config = Config::load(&sources).unwrap();
    assert_eq!((config.server.port, config.routes.len()), (5, 0));
    assert_eq!(config.passed_over, [folder.path().join("mlx_config.yaml")]);
    let found = check(&config, &Catalog::default(), 1 << 34, 1 << 33);
    assert_eq!(found[0].severity, Severity::Note);
    let empty = tempfile::tempdir().unwrap();
    let sources = Sources {
        folders: vec![empty.path().to_owned(), folder.path().to_owned()],
        ..Sources::default()
    };
    assert_eq!(Config::load(&sources).unwrap().server.port, 5);
    assert_eq!(
        Config::load(&Sources::default()).unwrap(),
        Config {
            settings: Config::load(&Sources::default()).unwrap().settings,
            ..Config::default()
        }
    );
}

#[test]
fn an_open_door_needs_a_key() {
    let config = load("folio.toml", "[server]\nhost = '0.0.0.0'\n").unwrap();
    let found = check(&config, &Catalog::default(), 1 << 34, 1 << 33);
    assert!(
        found.iter().any(|f| f.severity == Severity::Error && f.about == "server.host"),
        "{found:?}"
    );
}

#[test]
fn every_setting_has_one_flag_and_stands_in_the_document() {
    let keys = keys();
    let names: std::collections::BTreeSet<_> = keys.iter().map(|key| &key.key).collect();
    assert_eq!(names.len(), keys.len(), "a setting is read twice");
    let flags: Vec<_> = keys.iter().filter_map(Key::flag).collect();
    let apart: std::collections::BTreeSet<_> = flags.iter().collect();
    assert_eq!(apart.len(), flags.len(), "{flags:?}");
    for (key, flag) in [
        ("server.port", "port"),
        ("memory.limit", "memory"),
        ("performance.decode_share", "decode-share"),
    ] {
        let found = keys.iter().find(|known| known.key == key).and_then(Key::flag);
        assert_eq!(found.as_deref(), Some(flag));
    }
    assert_eq!(variable_of("max-body"), "FOLIO_MAX_BODY");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let page = fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once("<!-- settings -->\n").unwrap();
    let (table, after) = rest.split_once("<!-- /settings -->").unwrap();
    if table != document() {
        if std::env::var_os("FOLIO_WRITE_DOCS").is_some() {
            let page =
                format!("{before}<!-- settings -->\n{}<!-- /settings -->{after}", document());
            fs::write(path, page).unwrap();
        } else {
            panic!(
                "docs/configuration.md is stale: run the tests of `manager` with FOLIO_WRITE_DOCS=1"
            );
        }
    }
}
