//! `POST /api/chat`.

use std::time::Instant;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manager::house::Ask;
use manager::runtime::Prompt;
use manager::{Image, Message, Part, RenderOptions, Role};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use text::ToolCall;

use super::options::{KeepAlive, asking};
use super::{Lines, Said, answered, head};
use crate::fault::Fault;
use crate::gate::Client;
use crate::read::json;
use crate::sse;
use crate::state::Server;

asking! {
    #[schemars(rename = "OllamaChatRequest")]
    pub(crate) struct Request {
        /// The conversation; without one, the model is loaded or let go.
        #[serde(default)]
        messages: Vec<Turn>,
        /// Functions that the model may ask for.
        tools: Option<Vec<Value>>,
    }
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OllamaMessage")]
struct Turn {
    role: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    images: Option<Vec<String>>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
    #[serde(default)]
    tool_name: Option<String>,
    #[serde(default)]
    tool_call_id: Option<String>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OllamaToolCall")]
struct Call {
    #[serde(default)]
    id: Option<String>,
    #[serde(default, rename = "type")]
    _type: Option<String>,
    function: Function,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OllamaFunction")]
struct Function {
    name: String,
    arguments: Map<String, Value>,
    #[serde(default, rename = "index")]
    _index: Option<usize>,
    #[serde(default, rename = "description")]
    _description: Option<String>,
}

/// Answers a conversation; one without messages loads the model, or lets it go.
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    body: Bytes,
) -> Result<Response, Fault> {
    let begun = Instant::now();
    let mut request: Request = json(&body)?;
    let options = request.continued(&client, server.limits())?;
    let keep = KeepAlive::of(request.keep_alive.as_ref())?;
    if request.messages.is_empty() {
        let mut line = loaded(&server, &request.model, keep).await?;
        line["message"] = json!({"role": "assistant", "content": ""});
        return Ok(sse::typed(
            "application/json",
            futures_util::stream::iter([line.to_string().into()]),
        ));
    }
    let messages = request.messages.into_iter().enumerate().map(turn).collect::<Result<_, _>>()?;
    let tools = request.tools.filter(|tools| !tools.is_empty()).map(Value::Array);
    let render =
        thinking(RenderOptions { tools, ..RenderOptions::answer() }, request.think.as_ref())?;
    let ask = Ask {
        model: request.model,
        prompt: Prompt::Chat(messages, Box::new(render)),
        options,
        strict: client.strict,
    };
    let model = ask.model.clone();
    let answer = server.house.answer(ask).await?;
    KeepAlive::apply(keep, &server.house, &model).await?;
    let header = answer.receipt().header();
    let response = answered(answer, ChatLines, request.stream, begun).await?;
    Ok(sse::routed(response, &header))
}

/// What is said of a model that nothing is asked of.
pub(super) async fn loaded(
    server: &Server,
    model: &str,
    keep: Option<KeepAlive>,
) -> Result<Value, Fault> {
    let reason = if keep == Some(KeepAlive::Not) {
        "unload"
    } else {
        drop(server.house.lease(model).await?);
        "load"
    };
    KeepAlive::apply(keep, &server.house, model).await?;
    let mut line = head(model);
    (line["done"], line["done_reason"]) = (true.into(), reason.into());
    Ok(line)
}

/// `think`: yes, no, or how hard.
pub(super) fn thinking(
    mut render: RenderOptions,
    think: Option<&Value>,
) -> Result<RenderOptions, Fault> {
    match think {
        None | Some(Value::Null) => {}
        Some(Value::Bool(think)) => render.enable_thinking = Some(*think),
        Some(Value::String(effort)) if ["low", "medium", "high"].contains(&effort.as_str()) => {
            render.enable_thinking = Some(true);
            render.variables.insert("reasoning_effort".to_owned(), effort.as_str().into());
        }
        Some(_) => {
            let message = "`think` must be true, false, low, medium or high";
            return Err(Fault::field("think", message));
        }
    }
    Ok(render)
}

/// The pictures of a field.
pub(super) fn images(path: &str, images: Option<Vec<String>>) -> Result<Vec<Part>, Fault> {
    let image = |(n, data): (usize, String)| {
        let field = format!("{path}[{n}]");
        match STANDARD.decode(data.trim()) {
            Ok(bytes) => Ok(Part::Image(Image::new(bytes).named(field))),
            Err(error) => {
                Err(Fault::field(&field, format!("`{field}`: the image is not base64: {error}")))
            }
        }
    };
    images.unwrap_or_default().into_iter().enumerate().map(image).collect()
}

fn turn((at, turn): (usize, Turn)) -> Result<Message, Fault> {
    let role = match turn.role.as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        other => {
            let field = format!("messages[{at}].role");
            let message =
                format!("`{field}` is `{other}`, but must be system, user, assistant or tool");
            return Err(Fault::field(field, message));
        }
    };
    let mut content = images(&format!("messages[{at}].images"), turn.images)?;
    if !turn.content.is_empty() || content.is_empty() {
        content.push(Part::Text(turn.content));
    }
    let call = |call: Call| ToolCall {
        id: call.id.unwrap_or_default(),
        name: call.function.name,
        arguments: call.function.arguments.into(),
    };
    Ok(Message {
        role,
        content,
        reasoning: turn.thinking,
        tool_calls: turn.tool_calls.unwrap_or_default().into_iter().map(call).collect(),
        tool_call_id: turn.tool_call_id,
        name: turn.tool_name,
    })
}

struct ChatLines;

impl Lines for ChatLines {
    fn say(&self, line: &mut Value, said: &Said) {
        let mut message = json!({"role": "assistant", "content": said.text});
        if !said.thinking.is_empty() {
            message["thinking"] = said.thinking.as_str().into();
        }
        if !said.calls.is_empty() {
            message["tool_calls"] = said.tool_calls().into();
        }
        line["message"] = message;
    }
}
