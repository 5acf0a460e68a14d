//! Conversations as OpenAI's clients send them.

use manager::{Message, Part, Role};
use serde::Deserialize;
use serde_json::Value;
use text::ToolCall;

use super::content::{Content, parts};
use super::files::Desk;
use crate::fault::Fault;
use crate::read::Never;

/// A turn.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ChatMessage")]
pub(crate) struct WireMessage {
    role: String,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<WireCall>>,
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(default, alias = "reasoning")]
    reasoning_content: Option<String>,
    /// What clients send back of an answer, where it says nothing.
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default, rename = "audio")]
    _audio: Never,
    #[serde(default, rename = "function_call")]
    _function_call: Never,
    #[serde(default)]
    annotations: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ChatToolCall")]
struct WireCall {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    r#type: Option<String>,
    function: WireFunction,
    #[serde(default, rename = "index")]
    _index: Option<usize>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ChatFunction")]
struct WireFunction {
    name: String,
    arguments: Value,
}

/// The conversation of `messages`.
///
/// # Errors
///
/// Naming the field that makes no sense.
pub(crate) fn conversation(messages: Vec<WireMessage>, desk: &Desk) -> Result<Vec<Message>, Fault> {
    if messages.is_empty() {
        return Err(Fault::field("messages", "`messages` is empty: say something to the model"));
    }
    messages.into_iter().enumerate().map(|(at, message)| one(at, message, desk)).collect()
}

fn one(at: usize, message: WireMessage, desk: &Desk) -> Result<Message, Fault> {
    let path = |field: &str| format!("messages[{at}].{field}");
    let WireMessage { role, content, name, tool_calls, tool_call_id, reasoning_content, .. } =
        message;
    let role = match role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        other => {
            let message = format!(
                "`{}` is `{other}`, but must be system, developer, user, assistant or tool",
                path("role")
            );
            return Err(Fault::field(path("role"), message));
        }
    };
    if message.annotations.is_some_and(|list| !list.is_empty()) {
        let message = format!("`{}` is not supported here: leave it out", path("annotations"));
        return Err(Fault::field(path("annotations"), message));
    }
    let calls = tool_calls.unwrap_or_default();
    let content = match content {
        Some(content) => parts(&path("content"), content, desk)?,
        None => message.refusal.map(Part::Text).into_iter().collect(),
    };
    if content.is_empty() && calls.is_empty() && role != Role::Assistant {
        return Err(Fault::field(path("content"), format!("`{}` is missing", path("content"))));
    }
    if role != Role::Assistant && !calls.is_empty() {
        let message = format!("`{}`: only an assistant calls tools", path("tool_calls"));
        return Err(Fault::field(path("tool_calls"), message));
    }
    let call = |(n, call)| one_call(&path(&format!("tool_calls[{n}]")), call);
    let tool_calls = calls.into_iter().enumerate().map(call).collect::<Result<_, _>>()?;
    Ok(Message { role, content, reasoning: reasoning_content, tool_calls, tool_call_id, name })
}

fn one_call(path: &str, call: WireCall) -> Result<ToolCall, Fault> {
    let WireCall { id, r#type, function, .. } = call;
    if r#type.as_deref().is_some_and(|kind| kind != "function") {
        let field = format!("{path}.type");
        return Err(Fault::field(&field, format!("`{field}` must be `function`")));
    }
    let field = format!("{path}.function.arguments");
    let arguments = match function.arguments.as_str() {
        Some(text) if text.trim().is_empty() => Value::Object(serde_json::Map::new()),
        Some(text) => serde_json::from_str(text)
            .map_err(|error| Fault::field(&field, format!("`{field}` is not JSON: {error}")))?,
        None => function.arguments,
    };
    if !arguments.is_object() {
        return Err(Fault::field(&field, format!("`{field}` must be an object")));
    }
    Ok(ToolCall { id: id.unwrap_or_default(), name: function.name, arguments })
}
