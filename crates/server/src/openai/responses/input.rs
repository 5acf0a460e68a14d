//! What is said, as the Responses API takes it: a text, or items.

use manager::{Message, Role};
use serde::Deserialize;
use serde_json::{Value, json};
use text::ToolCall;

use crate::fault::Fault;
use crate::openai::content::{Content, WirePart, parts};
use crate::openai::files::Desk;
use crate::read::Never;

/// What is said.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "ResponseInput")]
pub(super) enum Input {
    Text(String),
    Items(Vec<Item>),
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ResponseItem")]
pub(super) struct Item {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    content: Option<Content>,
    // What clients send back of an earlier answer.
    #[serde(default, rename = "id")]
    _id: Option<String>,
    #[serde(default, rename = "status")]
    _status: Option<String>,
    #[serde(default)]
    summary: Option<Vec<WirePart>>,
    #[serde(default, rename = "encrypted_content")]
    _encrypted_content: Never,
    // A call, or what came of it.
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
    #[serde(default)]
    output: Option<Content>,
}

/// The conversation of `input`.
///
/// # Errors
///
/// Naming the field that makes no sense.
pub(super) fn conversation(input: Input, desk: &Desk) -> Result<Vec<Message>, Fault> {
    let items = match input {
        Input::Text(text) => return Ok(vec![Message::user(text)]),
        Input::Items(items) => items,
    };
    if items.is_empty() {
        return Err(Fault::field("input", "`input` is empty: say something to the model"));
    }
    let mut messages: Vec<Message> = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        let path = format!("input[{at}]");
        match item.r#type.as_deref().unwrap_or("message") {
            "message" => messages.push(message(&path, item, desk)?),
            "reasoning" => {
                let parts = item.summary.unwrap_or_default();
                let thought: String = parts.into_iter().filter_map(|part| part.text).collect();
                let mut message = Message { content: Vec::new(), ..Message::assistant("") };
                message.reasoning = Some(thought);
                messages.push(message);
            }
            "function_call" => {
                let call = call(&path, item)?;
                // Calls of one turn belong together.
                match messages.last_mut().filter(|last| last.role == Role::Assistant) {
                    Some(last) => last.tool_calls.push(call),
                    None => {
                        let empty = Message { content: Vec::new(), ..Message::assistant("") };
                        messages.push(Message { tool_calls: vec![call], ..empty });
                    }
                }
            }
            "function_call_output" => {
                let field = format!("{path}.call_id");
                let id = item
                    .call_id
                    .ok_or_else(|| Fault::field(&field, format!("`{field}` is missing")))?;
                let field = format!("{path}.output");
                let output = item
                    .output
                    .ok_or_else(|| Fault::field(&field, format!("`{field}` is missing")))?;
                let content = parts(&field, output, desk)?;
                messages.push(Message { content, ..Message::tool(id, "") });
            }
            other => {
                let field = format!("{path}.type");
                let message = format!(
                    "`{field}` is `{other}`, but only message, reasoning, function_call and function_call_output are supported"
                );
                return Err(Fault::field(field, message));
            }
        }
    }
    Ok(messages)
}

fn message(path: &str, item: Item, desk: &Desk) -> Result<Message, Fault> {
    let role = match item.role.as_deref() {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        other => {
            let field = format!("{path}.role");
            let found = other.unwrap_or("missing");
            let message =
                format!("`{field}` is {found}, but must be system, developer, user or assistant");
            return Err(Fault::field(field, message));
        }
    };
    let field = format!("{path}.content");
    let content =
        item.content.ok_or_else(|| Fault::field(&field, format!("`{field}` is missing")))?;
    Ok(Message { content: parts(&field, content, desk)?, ..Message::new(role, "") })
}

fn call(path: &str, item: Item) -> Result<ToolCall, Fault> {
    let missing = |name: &str| {
        let field = format!("{path}.{name}");
        Fault::field(&field, format!("`{field}` is missing"))
    };
    let arguments = item.arguments.ok_or_else(|| missing("arguments"))?;
    let field = format!("{path}.arguments");
    let arguments: Value = serde_json::from_str(&arguments)
        .map_err(|error| Fault::field(&field, format!("`{field}` is not JSON: {error}")))?;
    if !arguments.is_object() {
        return Err(Fault::field(&field, format!("`{field}` must be an object")));
    }
    let id = item.call_id.ok_or_else(|| missing("call_id"))?;
    Ok(ToolCall { id, name: item.name.ok_or_else(|| missing("name"))?, arguments })
}

/// Tools as chat templates read them: here a function's fields stand beside `type`.
///
/// # Errors
///
/// Naming a tool that only OpenAI's own servers have.
pub(super) fn tools(offered: &[Value]) -> Result<Option<Value>, Fault> {
    let one = |(at, tool): (usize, &Value)| {
        let kind = tool.get("type").and_then(Value::as_str).unwrap_or_default();
        if kind != "function" || !tool.get("name").is_some_and(Value::is_string) {
            let field = format!("tools[{at}]");
            let message = format!(
                "`{field}` must be of type `function`, with a name: others are not supported here"
            );
            return Err(Fault::field(field, message));
        }
        let function = json!({
            "name": tool["name"],
            "description": tool.get("description"),
            "parameters": tool.get("parameters"),
        });
        Ok(json!({"type": "function", "function": function}))
    };
    let tools = offered.iter().enumerate().map(one).collect::<Result<Vec<_>, _>>()?;
    Ok((!tools.is_empty()).then_some(Value::Array(tools)))
}
