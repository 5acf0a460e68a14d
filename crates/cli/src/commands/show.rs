//! `folio show`: what a model is.

use std::process::ExitCode;

use clap::Args;
use manager::catalog::{Catalog, Entry};
use manager::describe::{
    Description, FormatFacts, LayerFacts, ModelFile, NetworkFacts, describe, files,
};
use manager::runtime::ModelKind;
use manager::{DType, Environment};
use serde_json::{Value, json};

use super::list::{State, within};
use crate::output::{self, Facts, bytes, count};
use crate::report::Result;

/// Tokens for which the cache's size is told.
const TOKENS: u64 = 1000;

/// Show what a model is: architecture, size, memory, tokens, files.
///
/// Weights are mapped and not read, so this is quick for a model of any size. Of a model that cannot be run it tells
/// what its files tell, and why not.
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// A folder, or a name that `folio list` shows
    model: String,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

/// All that is known of a model.
struct Sheet {
    entry: Entry,
    state: State,
    /// What keeps it from being run, and what to do about it.
    reasons: Vec<(String, Option<String>)>,
    files: Vec<ModelFile>,
    description: Option<Description>,
}

impl Sheet {
    fn of(entry: Entry) -> Self {
        let mut reasons = Vec::new();
        let mut state = State::Ready;
        if let Err(error) = entry.clone().usable() {
            state = if entry.is_complete() { State::Unsupported } else { State::Incomplete };
            reasons.push((error.to_string(), error.hint()));
        }
        let described = entry.format.supported().then(|| describe(&entry.path));
        let description = match described {
            None => None,
            Some(Ok(description)) => {
                // Half a model has more wrong with it than that it is half.
                if state == State::Ready {
                    let kind = description.problems.first().map(|problem| problem.kind());
                    state = kind.map_or(State::Ready, State::of_kind);
                    for problem in &description.problems {
                        reasons.push((within(&problem.to_string(), &entry), problem.hint()));
                    }
                }
                Some(description)
            }
            Some(Err(error)) => {
                if state == State::Ready {
                    state = State::of_kind(error.kind());
                    reasons.push((within(&error.to_string(), &entry), error.hint()));
                }
                None
            }
        };
        let files = files(&entry.path);
        Self { entry, state, reasons, files, description }
    }

    fn licences(&self) -> Vec<&str> {
        let licences = self.files.iter().filter(|file| file.is_licence());
        licences.map(|file| file.name.as_str()).collect()
    }

    fn text(&self) -> String {
        let mut facts = Facts::default();
        facts.add("state", self.state.name());
        for (reason, hint) in &self.reasons {
            facts.add("", reason);
            if let Some(hint) = hint {
                facts.add("", format!("help: {hint}"));
            }
        }
        match &self.description {
            Some(description) => tell(description, &mut facts),
            None => {
                facts.add_some("architecture", self.entry.model_type.as_ref());
            }
        }
        facts.add("format", self.entry.format);
        let licences = self.licences();
        let licence = if licences.is_empty() { "no file".to_owned() } else { licences.join(", ") };
        facts.add("licence", licence);
        facts.add("where", self.entry.source);
        facts.add("", self.entry.path.display());
        if let Some(revision) = &self.entry.revision {
            let names = revision.references.join(", ");
            let names = if names.is_empty() { names } else { format!(" ({names})") };
            facts.add("revision", format!("{}{names}", revision.commit));
        }
        let mut label = "files";
        for file in &self.files {
            facts.add(label, format!("{:>8}  {}", bytes(file.bytes), file.name));
            label = "";
        }
        format!("{}\n{}", self.entry.name, facts.text())
    }

    fn json(&self) -> Value {
        let entry = &self.entry;
        let reasons = self.reasons.iter();
        let revision = entry.revision.as_ref();
        let mut object = json!({
            "name": entry.name,
            "architecture": entry.model_type,
            "state": self.state.name(),
            "reasons": reasons.map(|(what, hint)| json!({ "reason": what, "help": hint }))
                .collect::<Vec<_>>(),
            "format": entry.format.to_string(),
            "source": entry.source.to_string(),
            "path": entry.path,
            "commit": revision.map(|revision| &revision.commit),
            "references": revision.map(|revision| &revision.references),
            "bytes": entry.bytes,
            "licences": self.licences(),
            "files": self.files.iter().map(|file| json!({ "name": file.name, "bytes": file.bytes }))
                .collect::<Vec<_>>(),
        });
        if let Some(description) = &self.description {
            describe_json(description, &mut object);
        }
        object
    }
}

impl Show {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let entry = Catalog::scan(&Environment::from_process()).find(&self.model)?;
        let sheet = Sheet::of(entry);
        if self.json {
            output::line(&sheet.json().to_string())?;
        } else {
            output::write(&sheet.text())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn tell(description: &Description, facts: &mut Facts) {
    let Description { config, weights, network, .. } = description;
    if let Some(name) = &config.model_type {
        let kind = network.as_ref().map_or("", |network| match network.kind {
            ModelKind::Language => ", a language model",
            ModelKind::Embedding => ", an embedding model",
            ModelKind::Classifier => ", a classifier of texts",
        });
        let sees =
            if network.as_ref().is_some_and(|network| network.sees) { ", sees images" } else { "" };
        facts.add("architecture", format!("{name}{kind}{sees}"));
    }
    if let Some(weights) = weights {
        facts.add("parameters", count(weights.parameters));
        let bits = weights.bits_per_weight.map(|bits| format!("{bits:.2}"));
        facts.add_some("bits per weight", bits);
        let formats = weights.formats.iter().filter(|format| format.parameters > 0);
        let many = formats.clone().count() > 1;
        let mut label = "stored as";
        for format in formats {
            let FormatFacts { format, parameters, bytes: size } = format;
            let of = if many {
                format!(": {} in {}", count(*parameters), bytes(*size))
            } else {
                String::new()
            };
            facts.add(label, format!("{format}{of}"));
            label = "";
        }
        facts.add(
            "memory",
            format!("{} for the weights, mapped from their files", bytes(weights.bytes)),
        );
    }
    if let Some(network) = network {
        tell_cache(network, facts);
        facts.add("context", format!("{} tokens", network.context));
        facts.add("vocabulary", format!("{} tokens", network.vocabulary));
    } else {
        let tokens = |n: u64| format!("{n} tokens, says config.json");
        facts.add_some("context", config.context.map(tokens));
        facts.add_some("vocabulary", config.vocabulary.map(tokens));
    }
    let layers = network.as_ref().map(|network| network.layers.len() as u64);
    facts.add_some("layers", layers.filter(|&n| n > 0).or(config.layers));
    facts.add_some("hidden size", network.as_ref().map(|n| n.hidden as u64).or(config.hidden));
    let kv = network.as_ref().and_then(|network| network.layers.first()).map(head);
    let kv = kv.or_else(|| config.kv_heads.map(|n| format!("{n} of keys and values")));
    let heads = config.heads.map(|n| format!("{n} of queries"));
    let heads: Vec<_> = heads.into_iter().chain(kv).collect();
    facts.add_some("heads", Some(heads.join(", ")).filter(|heads| !heads.is_empty()));
    facts.add("chat template", if description.chat_template { "yes" } else { "no" });
    tell_generation(description, facts);
    tell_embedding(description, facts);
}

fn tell_cache(network: &NetworkFacts, facts: &mut Facts) {
    if network.layers.is_empty() {
        return;
    }
    let size = |dtype| bytes(network.cache_bytes_per_token(dtype) * TOKENS);
    let (half, full) = (size(DType::F16), size(DType::F32));
    facts.add("", format!("{half} of cache for each {TOKENS} tokens ({full} with --exact)"));
    let windows = network.layers.iter().filter_map(|layer| layer.window);
    let (sliding, all) = (windows.clone().count(), network.layers.len());
    if let Some(widest) = windows.max() {
        let which = if sliding == all {
            "all layers".to_owned()
        } else {
            format!("{sliding} of {all} layers")
        };
        facts.add("window", format!("{which} look back {widest} tokens at most"));
    }
}

fn tell_generation(description: &Description, facts: &mut Facts) {
    let ends = description.eos.iter().map(|(id, text)| match text {
        Some(text) => format!("{id} {text}"),
        None => id.to_string(),
    });
    let language = description.network.as_ref().is_none_or(|n| n.kind == ModelKind::Language);
    if !language {
        return;
    }
    let ends: Vec<_> = ends.collect();
    let ends =
        if ends.is_empty() { "no token that its files name".to_owned() } else { ends.join(", ") };
    facts.add("ends with", ends);
    let g = &description.generation;
    let number = |name: &str, value: Option<f32>| Some(format!("{name} {}", value?));
    let sampling: Vec<_> = [
        g.do_sample.map(|sample| if sample { "sampled" } else { "greedy" }.to_owned()),
        number("temperature", g.temperature),
        number("top-p", g.top_p),
        g.top_k.map(|k| format!("top-k {k}")),
        number("min-p", g.min_p),
        number("repetition penalty", g.repetition_penalty),
    ]
    .into_iter()
    .flatten()
    .collect();
    let sampling = if sampling.is_empty() { "not said".to_owned() } else { sampling.join(", ") };
    facts.add("sampling", sampling);
}

fn tell_embedding(description: &Description, facts: &mut Facts) {
    let network = description.network.as_ref();
    let width = network.and_then(|network| network.embedding);
    let Some(width) = width else { return };
    let embedding = description.embedding.as_ref();
    let pooling = embedding.map_or("mean".to_owned(), |e| e.pooling.join(" + "));
    let normalized = embedding.is_none_or(|e| e.normalized);
    let length = if normalized { ", of length one" } else { "" };
    facts.add("embedding", format!("{width} numbers: {pooling} of the tokens{length}"));
    let longest = embedding.and_then(|e| e.longest);
    let longest = longest.into_iter().chain(network.map(|n| n.context)).min();
    facts.add_some("longest text", longest.map(|n| format!("{n} tokens")));
    if let Some(e) = embedding {
        facts.add_some("prompts", Some(e.prompts.join(", ")).filter(|names| !names.is_empty()));
        facts.add_some("compared by", e.similarity.as_ref());
    }
}

fn head(layer: &LayerFacts) -> String {
    let LayerFacts { kv_heads, key, value, .. } = layer;
    let width = if key == value { key.to_string() } else { format!("{key} and {value}") };
    format!("{kv_heads} of keys and values, {width} wide")
}

fn describe_json(description: &Description, object: &mut Value) {
    let Description { config, weights, network, .. } = description;
    if let Some(weights) = weights {
        object["parameters"] = json!(weights.parameters);
        object["bits_per_weight"] = json!(weights.bits_per_weight);
        object["weights_bytes"] = json!(weights.bytes);
        let formats = weights
            .formats
            .iter()
            .map(|f| json!({ "format": f.format, "parameters": f.parameters, "bytes": f.bytes }));
        object["formats"] = formats.collect();
    }
    let of = |own: Option<usize>, said: Option<u64>| own.map(|n| n as u64).or(said);
    let network = network.as_ref();
    object["context"] = json!(of(network.map(|n| n.context), config.context));
    object["vocabulary"] = json!(of(network.map(|n| n.vocabulary), config.vocabulary));
    object["hidden_size"] = json!(of(network.map(|n| n.hidden), config.hidden));
    let layers = network.map(|n| n.layers.len()).filter(|&n| n > 0);
    object["layers"] = json!(of(layers, config.layers));
    object["heads"] = json!(config.heads);
    let first = network.and_then(|n| n.layers.first());
    object["kv_heads"] = json!(of(first.map(|layer| layer.kv_heads), config.kv_heads));
    if let Some(network) = network {
        object["kind"] = json!(match network.kind {
            ModelKind::Language => "language",
            ModelKind::Embedding => "embedding",
            ModelKind::Classifier => "classifier",
        });
        object["sees_images"] = json!(network.sees);
        if !network.layers.is_empty() {
            let per_token = |dtype| network.cache_bytes_per_token(dtype);
            object["cache_bytes_per_token"] =
                json!({ "f16": per_token(DType::F16), "f32": per_token(DType::F32) });
            object["window"] = json!(network.window());
        }
        object["embedding_dimension"] = json!(network.embedding);
    }
    object["chat_template"] = json!(description.chat_template);
    let ends = description.eos.iter().map(|(id, text)| json!({ "id": id, "token": text }));
    object["eos"] = ends.collect();
    let g = &description.generation;
    object["sampling"] = json!({
        "do_sample": g.do_sample,
        "temperature": g.temperature,
        "top_p": g.top_p,
        "top_k": g.top_k,
        "min_p": g.min_p,
        "repetition_penalty": g.repetition_penalty,
    });
    if let Some(e) = &description.embedding {
        object["embedding"] = json!({
            "pooling": e.pooling,
            "normalized": e.normalized,
            "max_length": e.longest,
            "prompts": e.prompts,
            "similarity": e.similarity,
        });
    }
}
