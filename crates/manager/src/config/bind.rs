//! From a tree to settings: every key that there is, with its meaning, its range and its default.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr as _;

use super::document::{flags, variable_of};
use super::fault::{Fault, Origin};
use super::names::Meant;
use super::read::{Form, Log, Shape, Table};
use super::tree::{Node, Value};
use super::{
    Candidate, Config, Fallback, KeySource, LOOPBACK, Level, Logging, Memory, Model, Performance,
    Remote, RemoteKind, Route, Sampling, Server, ServerKey, Sources, names, value,
};
use crate::catalog::{ModelName, nearest};
use crate::runtime::Preemption;

/// The remote that is there without being set: Ollama on this machine.
pub(super) const OLLAMA: &str = "ollama";

/// Puts variables and flags over what the file says.
pub(super) fn lay_over(root: &mut Node, sources: &Sources, log: &mut Log) {
    for (key, flag) in flags() {
        let name = variable_of(&flag);
        if let Some(text) = sources.variables.get(&name) {
            put(root, &key, text, Origin::Variable(name), log);
        }
    }
    let given =
        |name: &str| sources.variables.get(name).map(|text| (name.to_owned(), text.clone()));
    if let Some((name, text)) = given("FOLIO_SET") {
        for line in text.split(['\n', ';']).filter(|line| !line.trim().is_empty()) {
            set(root, line, &Origin::Variable(name.clone()), log);
        }
    }
    if let Some((name, text)) = given("FOLIO_MODEL") {
        for model in text.split(',').map(str::trim).filter(|model| !model.is_empty()) {
            add_model(root, model, &Origin::Variable(name.clone()));
        }
    }
    let mut joined: Vec<(&str, String)> = Vec::new();
    for (key, text) in &sources.flags {
        match key.as_str() {
            "model" => add_model(root, text, &Origin::Flag("--model".to_owned())),
            "set" => set(root, text, &Origin::Flag("--set".to_owned()), log),
            key => match joined.iter_mut().find(|(known, _)| *known == key) {
                Some((_, all)) => {
                    all.push(',');
                    all.push_str(text);
                }
                None => joined.push((key, text.clone())),
            },
        }
    }
    let known = flags();
    for (key, text) in joined {
        let flag = known.iter().find(|(known, _)| known == key);
        let flag = flag.map_or_else(|| key.to_owned(), |(_, flag)| format!("--{flag}"));
        put(root, key, &text, Origin::Flag(flag), log);
    }
}

fn put(root: &mut Node, key: &str, text: &str, origin: Origin, log: &mut Log) {
    match value::parts(key) {
        Some(path) => root.put(&path, Node::text(text, origin)),
        None => log.faults.push(Fault::UnknownKey { key: key.to_owned(), origin, nearest: None }),
    }
}

/// `KEY=VALUE`.
fn set(root: &mut Node, text: &str, origin: &Origin, log: &mut Log) {
    match text.split_once('=') {
        Some((key, value)) => put(root, key, value.trim(), origin.clone(), log),
        None => log.faults.push(Fault::Value {
            key: text.to_owned(),
            origin: origin.clone(),
            found: "without `=`".to_owned(),
            expected: "KEY=VALUE".to_owned(),
        }),
    }
}

/// Offers a model beside those of the file.
fn add_model(root: &mut Node, name: &str, origin: &Origin) {
    // A table there holds tasks: they go where tasks belong, so that a list can take their place.
    if let Value::Table(entries) = &mut root.value
        && let Some(at) = entries.iter().position(|entry| entry.key == "models")
        && matches!(entries[at].node.value, Value::Table(_))
    {
        let tasks = entries.remove(at);
        for task in tasks.node.entries() {
            root.put(&["routes".to_owned(), task.key.clone()], task.node.clone());
        }
    }
    let is_new = root.entries().iter().all(|entry| entry.key != "models");
    if is_new {
        let list = Node { value: Value::List(Vec::new()), origin: origin.clone() };
        root.put(&["models".to_owned()], list);
    }
    let path = ["models", name, "name"].map(str::to_owned);
    root.put(&path, Node::text(name, origin.clone()));
}

/// Reads everything.
pub(super) fn config(mut root: Table<'_>) -> Config {
    let root = &mut root;
    let server = server(root.table("server"));
    let memory = memory(root.table("memory"));
    let performance = performance(root.table("performance"));
    let fallback = fallback(root.table("fallback"));
    let logging = logging(root.table("logging"));
    let mut remotes = BTreeMap::new();
    for entry in root.named("remotes") {
        let key = root.key(&format!("remotes.{}", quoted(&entry.key)));
        if let Some(remote) = remote(root.at(key, &entry.node)) {
            remotes.insert(entry.key.clone(), remote);
        }
    }
    let mut names = Names { remotes: remotes.keys().cloned().collect(), renamed: Vec::new() };
    let mut models = Vec::new();
    let mut routes = BTreeMap::new();
    let listed = root.node("models");
    root.also("models", Shape::Items("routes"));
    if let Some(node) = listed {
        if let Some(items) = node.value.as_list() {
            for item in items {
                models.extend(model(root, item, &memory, &mut names));
            }
        } else if let Value::Table(entries) = &node.value {
            // A table has tasks in it.
            for entry in entries {
                let key = format!("models.{}", quoted(&entry.key));
                routes.insert(entry.key.clone(), route(root, key, &entry.node, &mut names));
            }
        } else {
            root.wrong("models", node, "a list of models, or a table of tasks");
        }
    }
    for entry in root.named("routes") {
        if routes.contains_key(&entry.key) {
            let (name, origin) = (entry.key.clone(), entry.origin.clone());
            root.fault(Fault::Twice { name, origin, what: "tasks" });
        }
        let key = format!("routes.{}", quoted(&entry.key));
        routes.insert(entry.key.clone(), route(root, key, &entry.node, &mut names));
    }
    no_name_twice(root, &models, &routes, listed);
    root.finish();
    let renamed = names.renamed;
    Config {
        server,
        memory,
        models,
        routes,
        remotes,
        fallback,
        performance,
        logging,
        file: None,
        passed_over: Vec::new(),
        renamed,
        settings: Vec::new(),
    }
}

fn server(mut table: Table<'_>) -> Server {
    let address = |text: &str| text.parse::<IpAddr>().ok();
    let host = table.parsed(
        ("host", "The address to listen on; another than a loopback address needs a key"),
        ("an address, such as 127.0.0.1 or ::1", Form::Text("^ *[0-9a-fA-F.:]+ *$".to_owned())),
        Some("127.0.0.1"),
        address,
    );
    let port = table.number(
        ("port", "The port to listen on; 0 takes a free one"),
        0..=u64::from(u16::MAX),
        Some(3654),
    );
    let keys_file = table.path(
        ("keys_file", "A file of keys that clients show one of: one on a line, with a name and a space before it if it has one"),
        "a file",
    );
    let entries = table.named("keys");
    let mut keys = BTreeMap::new();
    for entry in entries {
        let key = table.key(&format!("keys.{}", quoted(&entry.key)));
        if let Some(read) = server_key(table.at(key, &entry.node)) {
            keys.insert(entry.key.clone(), read);
        }
    }
    let origins = table.list(
        (
            "origins",
            "Web pages that may speak to the server, such as https://chat.example; `*` lets all",
        ),
        "origins",
    );
    let hosts = table.list(
        ("hosts", "Names that the server is reached under, beside `localhost` and addresses; `*` takes every name"),
        "names",
    );
    let roots = table.list(("roots", "Folders whose files requests may name"), "folders");
    let indexes = table.list(
        ("indexes", "Indexes whose pages clients may find: a name of `folio index --index`, a folder, or a collection on a server (qdrant://, weaviate://); `*` is every one here that has a name"),
        "indexes",
    );
    let urls = table.list(
        ("urls", "Hosts whose files requests may name; `*` is all but private addresses"),
        "hosts",
    );
    let max_body =
        table.bytes(("max_body", "The largest request, images in it included"), Some("64MiB"));
    let many = 1..=1_000_000;
    let connections = table.number(
        ("connections", "Connections that are open at once"),
        many.clone(),
        Some(1024),
    );
    let queue = table.number(
        ("queue", "Requests that wait at once; one more is refused"),
        many,
        Some(1024),
    );
    let timeout = table.time_or_never(
        ("timeout", "How long a request may wait for its model to be in memory"),
        Some("never"),
    );
    let drain = table.time(
        ("drain", "How long answers under way may take when the server is told to end"),
        "30s",
    );
    let manage =
        table.flag(("manage", "Let clients fetch models from the hub, and remove them"), false);
    table.finish();
    let count = |number: Option<u64>| number.map_or(1024, |n| usize::try_from(n).unwrap_or(1024));
    Server {
        host: host.unwrap_or(LOOPBACK),
        port: port.and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
        keys_file,
        keys,
        origins,
        hosts,
        roots: roots.iter().map(|root| value::expand(root)).collect(),
        indexes: indexes.iter().map(|index| value::expand(index).display().to_string()).collect(),
        urls,
        max_body: max_body.unwrap_or_default(),
        connections: count(connections),
        queue: count(queue),
        timeout: timeout.flatten(),
        drain,
        manage,
    }
}

fn server_key(mut table: Table<'_>) -> Option<ServerKey> {
    let digest = |text: &str| {
        let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        let whole = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let bytes: Option<Vec<u8>> = (0..64).step_by(2).map(byte).collect();
        bytes?.try_into().ok().filter(|_| whole)
    };
    let sha256: Option<[u8; 32]> = table.parsed(
        ("sha256", "The key's SHA-256: `printf %s KEY | sha256sum`"),
        ("64 hexadecimal digits", Form::Text("^ *[0-9a-fA-F]{64} *$".to_owned())),
        None,
        digest,
    );
    let some = 1..=u64::MAX;
    let requests_per_minute =
        table.number(("requests_per_minute", "Requests a minute at most"), some.clone(), None);
    let tokens_per_minute = table.number(
        ("tokens_per_minute", "Tokens a minute at most, of prompts and answers"),
        some.clone(),
        None,
    );
    let concurrent = table.number(("concurrent", "Requests at once at most"), some, None);
    table.needs("sha256", sha256.is_some());
    table.finish();
    Some(ServerKey { sha256: sha256?, requests_per_minute, tokens_per_minute, concurrent })
}

fn memory(mut table: Table<'_>) -> Memory {
    let limit = table.bytes(
        ("limit", "The most memory that all models take together [default: four fifths of what this machine, or this process's control group, has; no more than is free]"),
        None,
    );
    let reserve =
        table.bytes(("reserve", "Memory that is left to other programs at least"), Some("0"));
    // The names that other programs' guides use, in units of their own.
    let gigabytes = |table: &mut Table<'_>, named| {
        table.float(named, 0.0..=1e6, None).map(|gigabytes| (gigabytes * 1e9) as u64)
    };
    let most = gigabytes(&mut table, ("max_allocation_gb", "The same as `limit`, in GB"));
    let kept = gigabytes(&mut table, ("reserve_system_gb", "The same as `reserve`, in GB"));
    let cache_share = table.float(
        ("cache_share", "The largest part of the limit that the cache of one model takes"),
        0.01..=1.0,
        Some(0.25),
    );
    let disk_cache = table.bytes(
        ("disk_cache", "The most bytes on the disk for the beginnings of prompts that memory has no room for: what people wrote can be told from them [default: none]"),
        None,
    );
    let disk_cache_folder = table.path(
        ("disk_cache_folder", "Where these are [default: `folio/pages` in the folder for what programs keep for their user]"),
        "a folder",
    );
    let ttl = table
        .time_or_never(("ttl", "How long a model may be idle until it is unloaded"), Some("30m"));
    table.finish();
    Memory {
        limit: limit.or(most),
        reserve: kept.unwrap_or(0).max(reserve.unwrap_or(0)),
        cache_share: cache_share.unwrap_or(0.25),
        disk_cache: disk_cache.filter(|&bytes| bytes > 0),
        disk_cache_folder,
        ttl: ttl.flatten(),
    }
}

fn performance(mut table: Table<'_>) -> Performance {
    let some = 1..=u64::from(u32::MAX);
    let max_parallel_models = table.number(
        ("max_parallel_models", "Models that answer at once [default: all]"),
        some.clone(),
        None,
    );
    let model_cache_size = table.number(
        ("model_cache_size", "Models in memory at once [default: as many as fit]"),
        some.clone(),
        None,
    );
    let batch_size = table.number(
        ("batch_size", "Texts of a request that are embedded at once, and documents that are judged, where its route does not say it [default: all of them]"),
        1..=65_536,
        None,
    );
    let sequences =
        table.number(("sequences", "Answers that one model gives at once"), 1..=4096, Some(64));
    let step_tokens =
        table.number(("step_tokens", "Tokens that one step computes"), 16..=65_536, Some(512));
    let decode_share = table.float(
        (
            "decode_share",
            "The part of their speed that answers under way keep while a prompt is read",
        ),
        0.0..=1.0,
        Some(0.8),
    );
    let preemptions = Preemption::ALL.map(|known| (known.name(), known));
    let preemption = table.one_of(
        ("preemption", "What becomes of the past tokens of an answer that is put aside for others: computed again, copied within the memory of the cache, or what takes less time"),
        &preemptions,
        Some("recompute"),
    );
    let patience = table.time(
        ("patience", "How long a request waits behind busy models until it comes next"),
        "5s",
    );
    table.finish();
    Performance {
        max_parallel_models,
        model_cache_size,
        batch_size,
        sequences: sequences.unwrap_or(64),
        step_tokens: step_tokens.unwrap_or(512),
        decode_share: decode_share.unwrap_or(0.8),
        preemption: preemption.unwrap_or_default(),
        patience,
    }
}

fn fallback(mut table: Table<'_>) -> Fallback {
    let allow = table.flag(
        (
            "allow",
            "Let the next of a route answer where the first cannot, unless a request forbids it",
        ),
        true,
    );
    let find_ollama = table.flag(
        ("find_ollama", "Ask Ollama for a model that is not here, if it runs (OLLAMA_HOST, else port 11434 of this machine) and has it"),
        true,
    );
    table.finish();
    Fallback { allow, find_ollama }
}

fn logging(mut table: Table<'_>) -> Logging {
    let levels = [
        ("off", Level::Off),
        ("error", Level::Error),
        ("warn", Level::Warn),
        ("info", Level::Info),
        ("debug", Level::Debug),
        ("trace", Level::Trace),
    ];
    let level = table.one_of(("level", "How much is written down"), &levels, Some("info"));
    let formats = [("text", false), ("json", true)];
    let json = table.one_of(("format", "How lines are written"), &formats, Some("text"));
    let file = table.path(("file", "Where lines go [default: standard error]"), "a file");
    table.finish();
    Logging { level: level.unwrap_or(Level::Info), json: json.unwrap_or(false), file }
}

fn sampling(table: &mut Table<'_>) -> Sampling {
    Sampling {
        max_tokens: table.number(
            ("max_tokens", "Tokens of an answer at most, where a request does not say it"),
            1..=u64::from(u32::MAX),
            None,
        ),
        temperature: table.float(
            ("temperature", "Divides the logits; 0 takes the likeliest token"),
            0.0..=100.0,
            None,
        ),
        top_p: table.float(
            ("top_p", "Keeps the likeliest tokens that together have this probability"),
            0.0..=1.0,
            None,
        ),
        top_k: table.number(
            ("top_k", "Keeps so many of the likeliest tokens; 0 keeps all"),
            0..=u64::from(u32::MAX),
            None,
        ),
        min_p: table.float(
            ("min_p", "Keeps tokens with at least this share of the likeliest one's probability"),
            0.0..=1.0,
            None,
        ),
        repetition_penalty: table.float(
            ("repetition_penalty", "Makes tokens that have occurred less likely; 1 does nothing"),
            0.01..=100.0,
            None,
        ),
    }
}

/// What is known while names of models are read.
struct Names {
    remotes: BTreeSet<String>,
    renamed: Vec<(String, String, Origin)>,
}

impl Names {
    /// The model that `text` stands for; `None`, and a fault, if it cannot be one.
    fn model(
        &mut self,
        table: &mut Table<'_>,
        key: &str,
        text: &str,
        origin: &Origin,
    ) -> Option<String> {
        let text = text.trim();
        let is_path = text.starts_with(['/', '.', '~']);
        if is_path {
            return Some(value::expand(text).display().to_string());
        }
        if ModelName::from_str(text).is_err() && !PathBuf::from(text).is_dir() {
            table.fault(Fault::Value {
                key: key.to_owned(),
                origin: origin.clone(),
                found: format!("`{text}`"),
                expected: "a folder, ORG/NAME, or NAME".to_owned(),
            });
            return None;
        }
        match names::resolve(text, std::iter::empty()) {
            Meant::Itself => Some(text.to_owned()),
            Meant::Other(other) => {
                self.renamed.push((text.to_owned(), other.to_owned(), origin.clone()));
                Some(other.to_owned())
            }
            Meant::Nothing(nearest) => {
                table.fault(Fault::UnknownName {
                    key: key.to_owned(),
                    origin: origin.clone(),
                    what: "model",
                    name: text.to_owned(),
                    nearest,
                });
                None
            }
        }
    }

    /// `REMOTE:MODEL`, or a model of this machine.
    fn candidate(
        &mut self,
        table: &mut Table<'_>,
        key: &str,
        text: &str,
        origin: &Origin,
    ) -> Option<Candidate> {
        let is_path = text.starts_with(['/', '.', '~']);
        match text.split_once(':').filter(|_| !is_path) {
            Some((remote, model)) if remote == OLLAMA || self.remotes.contains(remote) => {
                let (remote, model) = (remote.to_owned(), model.to_owned());
                Some(Candidate::Remote { remote, model })
            }
            Some((remote, _)) => {
                let known = self.remotes.iter().map(String::as_str).chain([OLLAMA]);
                table.fault(Fault::UnknownName {
                    key: key.to_owned(),
                    origin: origin.clone(),
                    what: "remote",
                    name: remote.to_owned(),
                    nearest: nearest(remote, known).map(str::to_owned),
                });
                None
            }
            None => self.model(table, key, text, origin).map(Candidate::Local),
        }
    }
}

/// An item of the list of models: a name, or a table.
fn model(root: &mut Table<'_>, item: &Node, memory: &Memory, names: &mut Names) -> Option<Model> {
    let name = item.entries().iter().find(|entry| entry.key == "name");
    let named = item.value.as_text().or_else(|| name?.node.value.as_text());
    let Some(written) = named else {
        let origin = item.origin.clone();
        root.fault(Fault::Missing { key: "models.name".to_owned(), origin });
        return None;
    };
    let key = format!("models.{}", quoted(written));
    let name = names.model(root, &key, written, &item.origin)?;
    let mut model = Model::named(&name, memory);
    if let Value::Text(_) = item.value {
        root.note(format!("{key}.name"), &name, item.origin.clone());
        return Some(model);
    }
    let mut table = root.at(key, item);
    let called = table.text(
        ("name", "A folder, ORG/NAME of the hub, or a name that `folio list` shows"),
        "a name",
    );
    table.needs("name", called.is_some());
    model.adapter =
        table.text(("adapter", "An adapter (LoRA) over its weights"), "a folder or a name");
    model.aliases = table.list(("aliases", "Other names that it answers to"), "names");
    model.context = table.number(
        ("context", "Tokens of prompt and answer together that there must be room for [default: 4096, or more where memory allows]"),
        1..=1 << 32,
        None,
    );
    model.kv_bits = table.one_of(
        ("kv_bits", "Keep past tokens as codes of so many bits [default: as 16-bit floats]"),
        &[("8", 8), ("4", 4)],
        None,
    );
    model.kv_group_size = table.one_of(
        ("kv_group_size", "Elements that share a scale in those codes"),
        &[("32", 32), ("64", 64), ("128", 128)],
        None,
    );
    model.priority = table.signed(("priority", "Lower ones are evicted first"), 0);
    model.pinned =
        table.flag(("pinned", "Never evicted, and never unloaded for being idle"), false);
    model.preload = table.flag(("preload", "Loaded when the server starts"), false);
    let ttl = table.time_or_never(
        ("ttl", "How long it may be idle until it is unloaded [default: that of `memory`]"),
        None,
    );
    model.ttl = ttl.unwrap_or(memory.ttl);
    model.batch_invariant = table.flag(
        ("batch_invariant", "Compute all its answers so that none depends on what else is computed, to the last bit; they take longer"),
        false,
    );
    model.sampling = sampling(&mut table);
    table.finish();
    Some(model)
}

/// Who answers a task: a name, a list of names, or a table.
fn route(root: &mut Table<'_>, key: String, node: &Node, names: &mut Names) -> Route {
    let mut route = Route::default();
    let mut written = Vec::new();
    root.also(&key, Shape::Texts);
    if node.value.as_text().is_some() || node.value.as_list().is_some() {
        written = texts(root, &key, node);
    } else {
        let mut table = root.at(key.clone(), node);
        let first = table.node("model").map(|node| (table.key("model"), node));
        let list = table.node("models").map(|node| (table.key("models"), node));
        table.explain(
            "model",
            "The model that answers: one of this machine, or REMOTE:MODEL",
            "a model",
        );
        table.explain(
            "models",
            "The models that answer, the first that can: each one of this machine, or REMOTE:MODEL",
            "a list of models",
        );
        for (key, node) in first.into_iter().chain(list) {
            written.extend(texts(&mut table, &key, node));
        }
        route.sampling = sampling(&mut table);
        route.batch_size = table.number(
            ("batch_size", "Texts of a request that are embedded at once, and documents that are judged, here or by a server elsewhere [default: as `performance` says]"),
            1..=65_536,
            None,
        );
        route.above = table.number(
                ("above", "Inputs of other tasks that have more tokens than this are answered by this route; of `long_context` alone"),
                1..=1 << 32,
                None,
            );
        table.needs_one(&["model", "models"]);
        if written.is_empty() && matches!(node.value, Value::Table(_)) {
            let key = table.key("models");
            let origin = table.origin();
            table.fault(Fault::Missing { key, origin });
        }
        table.finish();
    }
    for (text, origin) in written {
        if let Some(candidate) = names.candidate(root, &key, &text, &origin)
            && !route.candidates.contains(&candidate)
        {
            route.candidates.push(candidate);
        }
    }
    let shown = route.candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    root.note(key, shown, node.origin.clone());
    route
}

/// The texts of a list, or a text alone, each with its place.
fn texts(table: &mut Table<'_>, key: &str, node: &Node) -> Vec<(String, Origin)> {
    let mut found = Vec::new();
    for item in node.value.as_list().unwrap_or(std::slice::from_ref(node)) {
        if let Some(text) = item.written() {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            found.extend(parts.map(|part| (part.to_owned(), item.origin.clone())));
        } else if let Some(text) = item.value.as_text().filter(|text| !text.trim().is_empty()) {
            found.push((text.to_owned(), item.origin.clone()));
        } else {
            table.wrong(key, item, "the name of a model");
        }
    }
    found
}

fn remote(mut table: Table<'_>) -> Option<Remote> {
    let kinds = [RemoteKind::Ollama, RemoteKind::OpenAi, RemoteKind::Responses];
    let kind = table.one_of(
        (
            "kind",
            "What it speaks: Ollama's interface, OpenAI's chat completions, or OpenAI's responses",
        ),
        &kinds.map(|kind| (kind.name(), kind)),
        None,
    );
    let address = |text: &str| {
        let url = reqwest::Url::parse(text).ok()?;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        let http = matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
        (plain && http).then(|| {
            let text = text.trim_end_matches('/');
            text.strip_suffix("/v1").unwrap_or(text).to_owned()
        })
    };
    let url = table.parsed(
        ("url", "Where it is, without `/v1` or `/api`"),
        (
            "an address, such as http://127.0.0.1:8000, without a key in it",
            Form::Text("^ *[hH][tT][tT][pP][sS]?:[^@?]+$".to_owned()),
        ),
        None,
        address,
    );
    let variable = table.text(
        ("key_variable", "The variable of the environment that holds its key"),
        "the name of a variable",
    );
    let file = table.path(("key_file", "The file that holds its key"), "a file");
    let connect_timeout = table.time(("connect_timeout", "How long connecting may take"), "5s");
    let first_byte_timeout = table.time(
        (
            "first_byte_timeout",
            "How long the first byte of an answer may take; a model may be loaded meanwhile",
        ),
        "120s",
    );
    let idle_timeout = table.time(("idle_timeout", "How long an answer may pause"), "60s");
    let retries = table.number(
        ("retries", "How often it is tried again, where nothing came yet"),
        0..=10,
        Some(2),
    );
    let failures = table.number(
        ("breaker_failures", "After so many failures in a row it is left alone for a while"),
        1..=1000,
        Some(3),
    );
    let breaker_pause = table.time(
        (
            "breaker_pause",
            "That while at first; it doubles with each try that fails, up to sixteenfold",
        ),
        "10s",
    );
    let may_drop = table.list(
        ("may_drop", "Fields of requests that are left out where it has no word for them, instead of refusing the request"),
        "fields, such as top_k",
    );
    let understands = table.list(
        ("understands", "Fields that it reads beyond what others of its kind read, under these names: top_k, min_p, typical_p, repetition_penalty, ignore_eos, think"),
        "fields, such as top_k",
    );
    table.needs("kind", kind.is_some());
    table.needs("url", url.is_some());
    let key = match (variable, file) {
        (Some(variable), _) => Some(KeySource::Variable(variable)),
        (None, Some(file)) => Some(KeySource::File(file)),
        (None, None) => None,
    };
    table.finish();
    Some(Remote {
        kind: kind?,
        url: url?,
        key,
        connect_timeout,
        first_byte_timeout,
        idle_timeout,
        retries: retries.unwrap_or(2),
        breaker_failures: failures.unwrap_or(3),
        breaker_pause,
        may_drop,
        understands,
    })
}

/// Names, aliases and tasks are asked for in one field: none may stand for two things.
fn no_name_twice(
    root: &mut Table<'_>,
    models: &[Model],
    routes: &BTreeMap<String, Route>,
    listed: Option<&Node>,
) {
    let origin = listed.map_or(Origin::Default, |node| node.origin.clone());
    let mut seen: BTreeSet<&str> = routes.keys().map(String::as_str).collect();
    let all = models
        .iter()
        .flat_map(|model| std::iter::once(&model.name).chain(&model.aliases).map(String::as_str));
    for name in all {
        if !seen.insert(name) {
            let (name, origin) = (name.to_owned(), origin.clone());
            root.fault(Fault::Twice { name, origin, what: "models or tasks" });
        }
    }
}

/// A part of a key, in quotes where a dot or a slash is in it.
pub(super) fn quoted(part: &str) -> String {
    let plain = !part.is_empty()
        && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if plain { part.to_owned() } else { format!("\"{part}\"") }
}
