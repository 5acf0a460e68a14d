//! What the house tells of itself: what requests took, and what is booked.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use manager::house::ModelState;
use manager::residency::Outlook;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::read::{OneOrMany, json};
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
        ModelState::Loaded { .. }
        | ModelState::Unloaded
        | ModelState::Loading
        | ModelState::Unloading => None,
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

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PlanRequest")]
pub(crate) struct Wanted {
    models: OneOrMany<String>,
}

/// `POST /v1/plan`: what would become of a request for each of these models if it came now. Nothing is done.
pub(crate) async fn plan(State(server): State<Server>, body: Bytes) -> Result<Json<Value>, Fault> {
    let wanted: Wanted = json(&body)?;
    let models = wanted.models.into_vec();
    if models.is_empty() || models.len() > server.limits().choices {
        let message = format!("`models` must name from 1 to {} models", server.limits().choices);
        return Err(Fault::field("models", message));
    }
    let mut steps = Vec::new();
    for asked in models {
        let (model, outlook) = server.house.outlook(&asked).await?;
        let told = match &outlook {
            Outlook::Ready => json!({"action": "ready"}),
            Outlook::Loading => json!({"action": "loading"}),
            Outlook::Load { grant, evicts, shrinks } => json!({
                "action": "load",
                "evicts": evicts,
                "shrinks": shrinks,
                "bytes": {
                    "weights": grant.weights,
                    "cache": grant.cache,
                    "activations": grant.activations,
                    "vision": grant.vision,
                    "total": grant.total(),
                },
            }),
            Outlook::Wait { on } => json!({"action": "wait", "for": on}),
            Outlook::Refused(why) => {
                json!({"action": "refuse", "why": why.to_string(), "hint": why.hint()})
            }
        };
        let mut step = json!({"asked": asked, "model": model});
        if let (Value::Object(step), Value::Object(told)) = (&mut step, told) {
            step.extend(told);
        }
        steps.push(step);
    }
    let account = server.house.account();
    Ok(Json(json!({"limit": account.limit, "reserved": account.reserved, "plan": steps})))
}
