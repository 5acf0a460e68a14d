//! `GET /v1/models`, with where each model is.

use std::time::UNIX_EPOCH;

use axum::Json;
use axum::extract::{Path, State};
use manager::house::{ModelState, ModelStatus};
use manager::runtime::ModelKind;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::state::Server;

/// All models.
pub(crate) async fn list(State(server): State<Server>) -> Result<Json<Value>, Fault> {
    let models = server.house.models().await?;
    let data: Vec<_> = models.iter().map(object).collect();
    Ok(Json(json!({"object": "list", "data": data})))
}

/// One of them.
pub(crate) async fn one(
    State(server): State<Server>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Fault> {
    let models = server.house.models().await?;
    match models.iter().find(|model| model.name == name) {
        Some(model) => Ok(Json(object(model))),
        None => {
            let offered = models.into_iter().map(|model| model.name).collect();
            Err(manager::house::Error::NotOffered { name, offered }.into())
        }
    }
}

fn object(model: &ModelStatus) -> Value {
    let state = match model.state {
        ModelState::Unloaded => "unloaded",
        ModelState::Loading => "loading",
        ModelState::Unloading => "unloading",
        ModelState::Loaded { .. } => "loaded",
    };
    let kind = model.kind().map(|kind| match kind {
        ModelKind::Language => "language",
        ModelKind::Embedding => "embedding",
        ModelKind::Classifier => "classifier",
    });
    let mut object = json!({
        "id": model.name,
        "object": "model",
        "created": model.since.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        "owned_by": model.entry.source.to_string(),
        "status": state,
        "bytes": model.entry.bytes,
        "format": model.entry.format.to_string(),
        "architecture": model.entry.model_type,
        "kind": kind,
    });
    if let Some(memory) = &model.memory {
        object["memory"] = json!({"reserved": memory.bytes, "needed": memory.terms.need.least()});
    }
    if let Some(facts) = &model.facts {
        object["context_length"] = facts.context.into();
    }
    if let ModelState::Loaded { users, idle, .. } = model.state {
        object["users"] = users.into();
        object["idle_seconds"] = idle.as_secs().into();
    }
    object
}
