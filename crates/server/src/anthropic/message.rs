//! Conversations as Anthropic's clients send them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manager::{Image, Message, Part, Role};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use text::ToolCall;

use crate::fault::Fault;
use crate::read::Never;

/// A turn.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MessageTurn")]
pub(crate) struct Turn {
    role: Speaker,
    content: Content,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "MessageRole")]
enum Speaker {
    User,
    Assistant,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "MessageContent")]
enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

/// What may stay in a cache is decided here by what is asked, not by marks.
type CacheControl = Map<String, Value>;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "MessageBlock")]
enum Block {
    Text {
        text: String,
        #[serde(default, rename = "cache_control")]
        _cache_control: Option<CacheControl>,
        #[serde(default, rename = "citations")]
        _citations: Never,
    },
    Image {
        source: Source,
        #[serde(default, rename = "cache_control")]
        _cache_control: Option<CacheControl>,
    },
    ToolUse {
        id: String,
        name: String,
        input: Map<String, Value>,
        #[serde(default, rename = "cache_control")]
        _cache_control: Option<CacheControl>,
    },
    ToolResult {
        tool_use_id: String,
        #[serde(default)]
        content: Option<Content>,
        #[serde(default)]
        is_error: bool,
        #[serde(default, rename = "cache_control")]
        _cache_control: Option<CacheControl>,
    },
    Thinking {
        thinking: String,
        #[serde(default, rename = "signature")]
        _signature: Option<String>,
    },
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "ImageSource")]
enum Source {
    Base64 {
        #[serde(rename = "media_type")]
        _media_type: String,
        data: String,
    },
    Url {
        #[serde(rename = "url")]
        _url: String,
    },
}

/// Standing instructions: a text, or blocks of text.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub(crate) enum System {
    Text(String),
    Blocks(Vec<SystemBlock>),
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SystemBlock {
    r#type: String,
    text: String,
    #[serde(default, rename = "cache_control")]
    _cache_control: Option<CacheControl>,
}

/// A tool that the model may ask for.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MessageTool")]
pub(crate) struct Tool {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    input_schema: Option<Value>,
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default, rename = "cache_control")]
    _cache_control: Option<CacheControl>,
}

/// The tools as chat templates read them.
///
/// # Errors
///
/// Naming a tool that only Anthropic's own servers have.
pub(crate) fn tools(tools: Vec<Tool>) -> Result<Option<Value>, Fault> {
    let one = |(at, tool): (usize, Tool)| {
        let Tool { name, description, input_schema, r#type, .. } = tool;
        if let Some(kind) = r#type.filter(|kind| kind != "custom") {
            let message = format!(
                "`tools[{at}].type` is `{kind}`, but only tools of one's own are supported"
            );
            return Err(Fault::field(format!("tools[{at}].type"), message));
        }
        let Some(schema) = input_schema else {
            let field = format!("tools[{at}].input_schema");
            return Err(Fault::field(&field, format!("`{field}` is missing")));
        };
        let function = json!({"name": name, "description": description, "parameters": schema});
        Ok(json!({"type": "function", "function": function}))
    };
    let tools = tools.into_iter().enumerate().map(one).collect::<Result<Vec<_>, _>>()?;
    Ok((!tools.is_empty()).then_some(Value::Array(tools)))
}

/// The conversation of `turns`.
///
/// # Errors
///
/// Naming the field that makes no sense.
pub(crate) fn conversation(
    system: Option<System>,
    turns: Vec<Turn>,
) -> Result<Vec<Message>, Fault> {
    let mut messages = Vec::new();
    match system {
        None => {}
        Some(System::Text(text)) => messages.push(Message::system(text)),
        Some(System::Blocks(blocks)) => {
            if let Some(at) = blocks.iter().position(|block| block.r#type != "text") {
                let field = format!("system[{at}].type");
                return Err(Fault::field(&field, format!("`{field}` must be `text`")));
            }
            let texts: Vec<_> = blocks.into_iter().map(|block| block.text).collect();
            messages.push(Message::system(texts.join("\n")));
        }
    }
    if turns.is_empty() {
        return Err(Fault::field("messages", "`messages` is empty: say something to the model"));
    }
    for (at, turn) in turns.into_iter().enumerate() {
        let role = match turn.role {
            Speaker::User => Role::User,
            Speaker::Assistant => Role::Assistant,
        };
        let blocks = match turn.content {
            Content::Text(text) => {
                messages.push(Message::new(role, text));
                continue;
            }
            Content::Blocks(blocks) => blocks,
        };
        let mut message = Message { content: Vec::new(), ..Message::new(role, "") };
        let empty = blocks.is_empty();
        for (n, block) in blocks.into_iter().enumerate() {
            let path = format!("messages[{at}].content[{n}]");
            match (block, turn.role) {
                (Block::Text { text, .. }, _) => message.content.push(Part::Text(text)),
                (Block::Image { source, .. }, Speaker::User) => {
                    message.content.push(Part::Image(image(&path, source)?));
                }
                (Block::ToolUse { id, name, input, .. }, Speaker::Assistant) => {
                    message.tool_calls.push(ToolCall { id, name, arguments: input.into() });
                }
                (Block::Thinking { thinking, .. }, Speaker::Assistant) => {
                    message.reasoning.get_or_insert_default().push_str(&thinking);
                }
                (Block::ToolResult { tool_use_id, content, is_error, .. }, Speaker::User) => {
                    // What tools say are turns of their own to a template; they come before the person's words.
                    messages.push(answer(&path, tool_use_id, content, is_error)?);
                }
                (
                    Block::Image { .. }
                    | Block::ToolUse { .. }
                    | Block::ToolResult { .. }
                    | Block::Thinking { .. },
                    _,
                ) => {
                    let message = format!("`{path}` does not belong into a turn of this role");
                    return Err(Fault::field(path, message));
                }
            }
        }
        let said = !message.content.is_empty() || !message.tool_calls.is_empty();
        if said || message.reasoning.is_some() {
            messages.push(message);
        } else if empty {
            let field = format!("messages[{at}].content");
            return Err(Fault::field(&field, format!("`{field}` is empty")));
        }
    }
    Ok(messages)
}

/// What a tool said.
fn answer(
    path: &str,
    id: String,
    content: Option<Content>,
    is_error: bool,
) -> Result<Message, Fault> {
    let parts = match content {
        None => Vec::new(),
        Some(Content::Text(text)) => vec![Part::Text(text)],
        Some(Content::Blocks(blocks)) => {
            let part = |(n, block)| match block {
                Block::Text { text, .. } => Ok(Part::Text(text)),
                Block::Image { source, .. } => {
                    image(&format!("{path}.content[{n}]"), source).map(Part::Image)
                }
                Block::ToolUse { .. } | Block::ToolResult { .. } | Block::Thinking { .. } => {
                    let field = format!("{path}.content[{n}]");
                    Err(Fault::field(&field, format!("`{field}` must be text or an image")))
                }
            };
            blocks.into_iter().enumerate().map(part).collect::<Result<_, _>>()?
        }
    };
    let mark = is_error.then(|| Part::Text("Error: ".to_owned()));
    let content = mark.into_iter().chain(parts).collect();
    Ok(Message { content, ..Message::tool(id, "") })
}

fn image(path: &str, source: Source) -> Result<Image, Fault> {
    match source {
        Source::Base64 { data, .. } => match STANDARD.decode(data.trim()) {
            Ok(bytes) => Ok(Image::new(bytes).named(path)),
            Err(error) => {
                Err(Fault::field(path, format!("`{path}`: the image is not base64: {error}")))
            }
        },
        Source::Url { .. } => {
            let message =
                format!("`{path}`: this server fetches no addresses: send the image as base64");
            Err(Fault::field(path, message))
        }
    }
}
