//! `POST /v1/messages/count_tokens`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use manager::runtime::Prompt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::message::{System, Tool, Turn};
use super::messages::{Choice, Thinking, rendered};
use crate::fault::Fault;
use crate::read::json;
use crate::state::Server;
use crate::web;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CountRequest")]
pub(crate) struct Request {
    model: String,
    messages: Vec<Turn>,
    system: Option<System>,
    tools: Option<Vec<Tool>>,
    tool_choice: Option<Choice>,
    thinking: Option<Thinking>,
}

/// Counts the tokens that a conversation would have.
pub(crate) async fn create(
    State(server): State<Server>,
    body: Bytes,
) -> Result<Json<Value>, Fault> {
    let body = web::fetched(&server, body).await?;
    let request: Request = json(&body)?;
    // What a template is told decides how long the prompt is.
    let offered = request.tools.filter(|_| !matches!(request.tool_choice, Some(Choice::None {})));
    let thinks = request.thinking.map(Thinking::wanted);
    let (messages, render) = rendered(request.system, request.messages, offered, thinks)?;
    let prompt = Prompt::Chat(messages, Box::new(render));
    let tokens = server.house.count(&request.model, prompt).await?;
    Ok(Json(json!({"input_tokens": tokens})))
}
