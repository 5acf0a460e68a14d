//! `GET /api/tags`, `GET /api/ps`, `POST /api/show`, `GET /api/version`: what there is.

use std::time::SystemTime;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use manager::house::{ModelState, ModelStatus};
use manager::runtime::ModelKind;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::fault::Fault;
use crate::number::timestamp;
use crate::read::json;
use crate::state::Server;

/// What Ollama's clients look for before anything else.
pub(crate) async fn root() -> &'static str {
    "Ollama is running"
}

/// The version of Ollama's interface that is spoken here: clients compare it.
pub(crate) async fn version() -> Json<Value> {
    Json(json!({"version": "0.12.0"}))
}

/// All models on disk.
pub(crate) async fn tags(State(server): State<Server>) -> Result<Json<Value>, Fault> {
    let models = server.house.models().await?;
    Ok(Json(json!({"models": models.iter().map(tag).collect::<Vec<_>>()})))
}

fn tag(model: &ModelStatus) -> Value {
    let entry = &model.entry;
    let digest = entry.revision.as_ref().map_or("", |revision| revision.commit.as_str());
    json!({
        "name": model.name,
        "model": model.name,
        "modified_at": timestamp(model.since),
        "size": entry.bytes,
        "digest": digest,
        "details": {
            "parent_model": "",
            "format": entry.format.to_string(),
            "family": entry.model_type,
            "families": entry.model_type.iter().collect::<Vec<_>>(),
            "parameter_size": "",
            "quantization_level": "",
        },
    })
}

/// The models in memory.
pub(crate) async fn ps(State(server): State<Server>) -> Result<Json<Value>, Fault> {
    let models = server.house.models().await?;
    let loaded = models.iter().filter(|model| matches!(model.state, ModelState::Loaded { .. }));
    let uptime = server.house.uptime();
    let one = |model: &ModelStatus| {
        let mut one = tag(model);
        let memory = model.memory.as_ref();
        let bytes = memory.map_or(0, |memory| memory.bytes);
        let left = memory.and_then(|memory| memory.expires).map(|at| at.saturating_sub(uptime));
        // A model that stays has no end: far away, as Ollama tells it.
        let end = SystemTime::now() + left.unwrap_or(std::time::Duration::from_secs(3_155_760_000));
        (one["size"], one["size_vram"]) = (bytes.into(), 0.into());
        one["expires_at"] = timestamp(end).into();
        if let Some(facts) = &model.facts {
            one["context_length"] = facts.context.into();
        }
        one
    };
    Ok(Json(json!({"models": loaded.map(one).collect::<Vec<_>>()})))
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OllamaShowRequest")]
pub(crate) struct Show {
    #[serde(alias = "name")]
    model: String,
    #[serde(default, rename = "verbose")]
    _verbose: bool,
}

/// What the files of a model tell.
pub(crate) async fn show(State(server): State<Server>, body: Bytes) -> Result<Json<Value>, Fault> {
    let request: Show = json(&body)?;
    let (name, told) = server.house.describe(&request.model).await?;
    let network = told.network.as_ref();
    let family = told.config.model_type.clone().unwrap_or_default();
    let mut info = Map::new();
    info.insert("general.architecture".to_owned(), family.as_str().into());
    if let Some(weights) = &told.weights {
        info.insert("general.parameter_count".to_owned(), weights.parameters.into());
    }
    for (key, value) in [
        ("context_length", told.config.context),
        ("embedding_length", told.config.hidden),
        ("block_count", told.config.layers),
        ("attention.head_count", told.config.heads),
    ] {
        if let Some(value) = value {
            info.insert(format!("{family}.{key}"), value.into());
        }
    }
    let mut capabilities = Vec::new();
    match network.map(|network| network.kind) {
        Some(ModelKind::Language) => capabilities.push("completion"),
        Some(ModelKind::Embedding) => capabilities.push("embedding"),
        Some(ModelKind::Classifier) | None => {}
    }
    if network.is_some_and(|network| network.sees) {
        capabilities.push("vision");
    }
    let level = told.weights.as_ref().and_then(|weights| weights.formats.first());
    let parameters = told.weights.as_ref().map_or(0, |weights| weights.parameters);
    Ok(Json(json!({
        "modelfile": format!("FROM {name}\n"),
        "template": "",
        "parameters": "",
        "details": {
            "parent_model": "",
            "format": "safetensors",
            "family": family,
            "families": [family],
            "parameter_size": format!("{:.1}B", parameters as f64 / 1e9),
            "quantization_level": level.map_or("", |level| level.format.as_str()),
        },
        "model_info": info,
        "capabilities": capabilities,
        "problems": told.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })))
}
