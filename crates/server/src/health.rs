//! Whether we live, and whether we can be asked.

use axum::Json;
use axum::extract::State;
use manager::house::ModelState;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::state::Server;

/// `GET /health`: the process answers.
pub(crate) async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /ready`: there are models, and none of them is just being loaded.
pub(crate) async fn ready(State(server): State<Server>) -> Result<Json<Value>, Fault> {
    let models = server.house.models().await?;
    let loading = models.iter().filter(|model| matches!(model.state, ModelState::Loading));
    let loading: Vec<_> = loading.map(|model| model.name.as_str()).collect();
    if !loading.is_empty() {
        let message = format!("loading {}", loading.join(", "));
        return Err(Fault::of(axum::http::StatusCode::SERVICE_UNAVAILABLE, message));
    }
    Ok(Json(json!({"status": "ready", "models": models.len()})))
}

/// `GET /version`.
pub(crate) async fn version() -> Json<Value> {
    Json(json!({"version": env!("CARGO_PKG_VERSION")}))
}
