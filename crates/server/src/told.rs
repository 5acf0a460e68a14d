//! What the house tells of itself: what requests took, and what is booked.

use axum::Json;
use axum::extract::State;
use manager::house::ModelState;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::state::Server;

/// `GET /v1/stats`: what requests took, by task and by who answered, compared where several answer the same task.
pub(crate) async fn stats(State(server): State<Server>) -> Json<Value> {
    let house = &server.house;
    let mut told = house.stats().json();
    told["cancelled"] = house.cancelled().into();
    told["uptime_seconds"] = house.uptime().as_secs_f64().into();
    Json(told)
}

/// `GET /v1/memory`: every byte that is booked, by whom and for what, under the limit.
pub(crate) async fn memory(State(server): State<Server>) -> Result<Json<Value>, Fault> {
    let account = server.house.account();
    let models = server.house.models().await?;
    let idle = models.iter().filter_map(|model| match model.state {
        ModelState::Loaded { idle, users: 0, .. } => Some((model.name.clone(), idle.as_secs_f64())),
        _ => None,
    });
    let idle: serde_json::Map<String, Value> =
        idle.map(|(name, seconds)| (name, seconds.into())).collect();
    Ok(Json(json!({
        "limit": account.limit,
        "reserved": account.reserved,
        "free": account.limit.saturating_sub(account.reserved),
        "peak": account.peak,
        "resident": manager::current_rss(),
        "owners": account.owners,
        "idle_seconds": idle,
    })))
}
