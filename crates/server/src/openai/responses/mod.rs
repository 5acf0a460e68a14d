//! `POST /v1/responses`: OpenAI's newer form, stateless or stored, and the form that MLX-VLM's server speaks.

mod input;
mod store;
mod stream;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use manager::house::{Answer, Ask, End};
use manager::runtime::{FinishReason, GenerateOptions, Prompt};
use manager::{Message, RenderOptions};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::fault::Fault;
use crate::format::Format;
use crate::gate::Client;
use crate::number;
use crate::openai::files::Desk;
use crate::openai::sampling::{continuing, either, not_both, refuse, tool_choice};
use crate::openai::usage::response_usage;
use crate::read::{Never, json};
use crate::sse;
use crate::state::Server;
use crate::web;

pub(crate) use store::Store;

continuing! {
    #[schemars(rename = "ResponseRequest")]
    pub(crate) struct Request {
        /// What is said.
        input: input::Input,
        /// What stands before it, for this answer only.
        instructions: Option<String>,
        /// Tokens to add at most.
        max_output_tokens: Option<usize>,
        /// The same as MLX-VLM's server names it.
        max_tokens: Option<usize>,
        text: Option<Text>,
        /// Functions that the model may ask for.
        tools: Option<Vec<Value>>,
        /// `auto`, `none`, `required`, or a function.
        tool_choice: Option<Value>,
        parallel_tool_calls: Option<bool>,
        reasoning: Option<Reasoning>,
        /// The response to go on from.
        previous_response_id: Option<String>,
        /// Whether the response is kept, to go on from; yes, if absent.
        store: Option<bool>,
        #[serde(default)]
        background: bool,
        truncation: Option<String>,
        include: Option<Vec<String>>,
        metadata: Option<Map<String, Value>>,
        #[serde(rename = "safety_identifier")]
        _safety_identifier: Option<String>,
        #[serde(rename = "prompt_cache_key")]
        _prompt_cache_key: Option<String>,
        #[serde(rename = "service_tier")]
        _service_tier: Option<String>,
        #[serde(default, rename = "prompt")]
        _prompt: Never,
        #[serde(default, rename = "conversation")]
        _conversation: Never,
        #[serde(default, rename = "max_tool_calls")]
        _max_tool_calls: Never,
        #[serde(default, rename = "top_logprobs")]
        _top_logprobs: Never,
    }
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ResponseText")]
struct Text {
    format: Option<Format>,
    #[serde(default, rename = "verbosity")]
    _verbosity: Never,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ResponseReasoning")]
struct Reasoning {
    effort: Option<String>,
    #[serde(default, rename = "summary")]
    _summary: Option<String>,
}

/// Answers.
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    body: Bytes,
) -> Result<Response, Fault> {
    let body = web::fetched(&server, body).await?;
    let request: Request = json(&body)?;
    let options = request.continued(&client)?;
    if request.background {
        return refuse("background");
    }
    if request.parallel_tool_calls == Some(false) && request.tools.is_some() {
        return refuse("parallel_tool_calls");
    }
    if request.truncation.as_deref().is_some_and(|truncation| truncation != "disabled") {
        return refuse("truncation");
    }
    if request.include.is_some_and(|include| !include.is_empty()) {
        return refuse("include");
    }
    let offered = request.tools.unwrap_or_default();
    let (offers, must_call) = tool_choice(request.tool_choice.as_ref())?;
    let tools = if offers { input::tools(&offered)? } else { None };
    let max_tokens = either(
        ("max_output_tokens", request.max_output_tokens),
        ("max_tokens", request.max_tokens),
    )?;
    let format = request.text.and_then(|text| text.format);
    let constraint = format.map(|format| format.constraint("text.format")).transpose()?.flatten();
    not_both(constraint.is_some(), tools.is_some())?;
    let mut render = RenderOptions {
        tools,
        enable_thinking: constraint.is_some().then_some(false),
        ..RenderOptions::answer()
    };
    if let Some(effort) = request.reasoning.and_then(|reasoning| reasoning.effort) {
        render.variables.insert("reasoning_effort".to_owned(), effort.into());
    }
    let store = request.store.unwrap_or(true);
    let owner = client.number();
    let earlier = match &request.previous_response_id {
        None => Vec::new(),
        Some(id) => server.responses.conversation(owner, id)?,
    };
    let model = if request.model == "current" {
        server.house.current().ok_or_else(|| {
            Fault::field("model", "`model` is `current`, but no model was used yet: name one")
        })?
    } else {
        request.model
    };
    // Instructions hold for this answer only; what was said before keeps none.
    let input = request.input;
    let desk = Desk::new(&server, owner);
    let said = desk.apart(move |desk| input::conversation(input, desk)).await?;
    let mut conversation: Vec<Message> = request.instructions.iter().map(Message::system).collect();
    conversation.extend(earlier.iter().cloned());
    conversation.extend(said.iter().cloned());
    let options = GenerateOptions {
        max_tokens,
        tell_apart: constraint.is_none(),
        constraint,
        must_call,
        ..options
    };
    let prompt = Prompt::Chat(conversation, Box::new(render));
    let answer = server.house.answer(Ask { model, prompt, options, strict: client.strict }).await?;
    let heading = Heading {
        id: number::name("resp_"),
        created: number::now(),
        model: answer.model().to_owned(),
        previous: request.previous_response_id,
        instructions: request.instructions,
        metadata: request.metadata.unwrap_or_default(),
        store,
        tools: offered,
        tool_choice: request.tool_choice.unwrap_or_else(|| "auto".into()),
    };
    let mut before = earlier;
    before.extend(said);
    let kept = store.then(|| store::Keep { store: Arc::clone(&server.responses), owner, before });
    let header = answer.receipt().header();
    let response = if request.stream {
        stream::response(heading, answer, kept)
    } else {
        whole(heading, answer, kept).await?
    };
    Ok(sse::routed(response, &header))
}

/// What every state of a response says.
#[derive(Clone, Debug)]
struct Heading {
    id: String,
    created: u64,
    model: String,
    previous: Option<String>,
    instructions: Option<String>,
    metadata: Map<String, Value>,
    store: bool,
    tools: Vec<Value>,
    tool_choice: Value,
}

impl Heading {
    fn response(&self, status: &str, output: &[Value]) -> Value {
        json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": null,
            "incomplete_details": null,
            "instructions": self.instructions,
            "metadata": self.metadata,
            "model": self.model,
            "output": output,
            "parallel_tool_calls": true,
            "previous_response_id": self.previous,
            "store": self.store,
            "tool_choice": self.tool_choice,
            "tools": self.tools,
            "usage": null,
        })
    }

    /// The response at its end.
    fn ended(&self, end: &End, output: &[Value]) -> Value {
        let cut = matches!(end.reason, FinishReason::Length | FinishReason::Unfinished);
        let mut response = self.response(if cut { "incomplete" } else { "completed" }, output);
        if cut {
            response["incomplete_details"] = json!({"reason": "max_output_tokens"});
        }
        response["usage"] = response_usage(&end.usage);
        response
    }
}

async fn whole(
    heading: Heading,
    mut answer: Answer,
    kept: Option<store::Keep>,
) -> Result<Response, Fault> {
    let mut items = stream::Items::default();
    while let Some(news) = answer.next().await? {
        items.take(news);
        if let Some(end) = items.end.take() {
            let response = heading.ended(&end, &items.done);
            if let Some(kept) = kept {
                kept.keep(&heading.id, &response, &items.message());
            }
            return Ok(Json(response).into_response());
        }
    }
    Err(Fault::of(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "the answer broke off"))
}

/// `GET /v1/responses/{id}`.
pub(crate) async fn get(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    Ok(Json(server.responses.response(client.number(), &id)?))
}

/// `DELETE /v1/responses/{id}`.
pub(crate) async fn delete(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    server.responses.remove(client.number(), &id)?;
    Ok(Json(json!({"id": id, "object": "response", "deleted": true})))
}
