//! `POST /v1/messages`.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures_util::{StreamExt as _, stream};
use manager::house::{Answer, Ask, End, News};
use manager::runtime::{FinishReason, GenerateOptions, MustCall, Priority, Prompt, Usage};
use manager::{Message, RenderOptions};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::message::{System, Tool, Turn, conversation, tools};
use crate::fault::Fault;
use crate::gate::Client;
use crate::read::{Never, json};
use crate::state::Server;
use crate::web;
use crate::{number, sse};

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MessageRequest")]
pub(crate) struct Request {
    model: String,
    max_tokens: usize,
    messages: Vec<Turn>,
    system: Option<System>,
    stop_sequences: Option<Vec<String>>,
    #[serde(default)]
    stream: bool,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<usize>,
    tools: Option<Vec<Tool>>,
    tool_choice: Option<Choice>,
    thinking: Option<Thinking>,
    // Said of the request, not of the answer.
    #[serde(rename = "metadata")]
    _metadata: Option<Map<String, Value>>,
    #[serde(rename = "service_tier")]
    _service_tier: Option<String>,
    #[serde(default, rename = "container")]
    _container: Never,
    #[serde(default, rename = "mcp_servers")]
    _mcp_servers: Never,
    #[serde(default, rename = "context_management")]
    _context_management: Never,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "MessageToolChoice")]
pub(super) enum Choice {
    Auto {
        #[serde(default)]
        disable_parallel_tool_use: bool,
    },
    None {},
    Any {
        #[serde(default)]
        disable_parallel_tool_use: bool,
    },
    Tool {
        name: String,
        #[serde(default)]
        disable_parallel_tool_use: bool,
    },
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Thinking {
    /// A model thinks for as long as it does: the budget is the whole of `max_tokens`.
    Enabled {
        #[serde(rename = "budget_tokens")]
        _budget_tokens: Option<usize>,
    },
    Disabled {},
    Adaptive {},
}

impl Thinking {
    pub(super) fn wanted(self) -> bool {
        match self {
            Self::Enabled { .. } | Self::Adaptive {} => true,
            Self::Disabled {} => false,
        }
    }
}

/// The conversation, and how it is put into the model's words.
pub(super) fn rendered(
    system: Option<System>,
    turns: Vec<Turn>,
    offered: Option<Vec<Tool>>,
    enable_thinking: Option<bool>,
) -> Result<(Vec<Message>, RenderOptions), Fault> {
    let messages = conversation(system, turns)?;
    // Who ends with the model's own words wants it to go on with them.
    let own = messages.last().is_some_and(|last| last.role == manager::Role::Assistant);
    let render = RenderOptions {
        tools: tools(offered.unwrap_or_default())?,
        enable_thinking,
        add_generation_prompt: !own,
        continue_final_message: own,
        ..RenderOptions::default()
    };
    Ok((messages, render))
}

/// Answers a conversation.
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    body: Bytes,
) -> Result<Response, Fault> {
    let body = web::fetched(&server, body).await?;
    let request: Request = json(&body)?;
    let refuse = |name: &str, what: &str| Err(Fault::field(name, format!("`{name}`: {what}")));
    let (offered, must_call) = match request.tool_choice {
        None | Some(Choice::Auto { disable_parallel_tool_use: false }) => (request.tools, None),
        Some(Choice::None {}) => (None, None),
        Some(
            Choice::Auto { .. }
            | Choice::Any { disable_parallel_tool_use: true }
            | Choice::Tool { disable_parallel_tool_use: true, .. },
        ) => {
            return refuse(
                "tool_choice.disable_parallel_tool_use",
                "is not supported here: leave it out",
            );
        }
        Some(Choice::Any { .. }) => (request.tools, Some(MustCall::Any)),
        Some(Choice::Tool { name, .. }) => (request.tools, Some(MustCall::Tool(name))),
    };
    let thinks = request.thinking.map(Thinking::wanted);
    let stop = request.stop_sequences.unwrap_or_default();
    let most = server.limits().stops;
    if stop.len() > most || stop.iter().any(String::is_empty) {
        return refuse("stop_sequences", &format!("at most {most} texts, none of them empty"));
    }
    let (messages, render) = rendered(request.system, request.messages, offered, thinks)?;
    let options = GenerateOptions {
        max_tokens: Some(request.max_tokens),
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        stop,
        tell_apart: true,
        must_call,
        priority: if request.stream { Priority::Interactive } else { Priority::Normal },
        client: client.number(),
        ..GenerateOptions::default()
    };
    let prompt = Prompt::Chat(messages, Box::new(render));
    let answer = server
        .house
        .answer(Ask { model: request.model, prompt, options, strict: client.strict })
        .await?;
    let id = number::name("msg_");
    let header = answer.receipt().header();
    let response = if request.stream { streamed(id, answer) } else { whole(id, answer).await? };
    Ok(sse::routed(response, &header))
}

/// Why an answer ended, and before which text.
fn stop_reason(end: &End) -> (&'static str, Option<&str>) {
    match &end.reason {
        FinishReason::Stop if end.calls > 0 => ("tool_use", None),
        FinishReason::Stop | FinishReason::Cancelled => ("end_turn", None),
        FinishReason::StopString(text) => ("stop_sequence", Some(text)),
        FinishReason::Length | FinishReason::Unfinished => ("max_tokens", None),
    }
}

/// The message without what it says.
fn head(id: &str, answer: &Answer) -> Value {
    json!({
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": answer.model(),
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": usage(&answer.usage()),
    })
}

/// What it took so far. Tokens that were read from the cache are counted beside `input_tokens`, not in it: the prompt is
/// their sum. How many they are is known when the first of the others are computed.
fn usage(usage: &Usage) -> Value {
    let mut told = json!({
        "input_tokens": usage.computed_tokens(),
        "output_tokens": usage.completion_tokens,
    });
    if let Some(cached) = usage.cached_tokens {
        told["cache_read_input_tokens"] = cached.into();
    }
    told
}

async fn whole(id: String, mut answer: Answer) -> Result<Response, Fault> {
    let mut message = head(&id, &answer);
    let mut blocks = Blocks::default();
    let mut content: Vec<Value> = Vec::new();
    let mut arguments = String::new();
    while let Some(news) = answer.next().await? {
        if let News::End(end) = &news {
            let (reason, text) = stop_reason(end);
            message["stop_reason"] = reason.into();
            message["stop_sequence"] = text.into();
            message["usage"] = usage(&end.usage);
        }
        for change in blocks.take(news) {
            match change {
                Change::Begin(block) => {
                    arguments.clear();
                    content.push(block);
                }
                Change::More(more) => {
                    let Some(block) = content.last_mut() else { continue };
                    match more {
                        More::Text(text) => append(&mut block["text"], &text),
                        More::Thinking(text) => append(&mut block["thinking"], &text),
                        More::Arguments(text) => arguments.push_str(&text),
                    }
                }
                Change::End => {
                    if let Some(block) =
                        content.last_mut().filter(|block| block["type"] == "tool_use")
                    {
                        // What is no object is given as what the model wrote.
                        let object = serde_json::from_str::<Map<String, Value>>(&arguments);
                        block["input"] =
                            object.map_or_else(|_| json!({"_raw": arguments}), Value::Object);
                    }
                }
            }
        }
    }
    message["content"] = content.into();
    Ok(Json(message).into_response())
}

fn append(value: &mut Value, more: &str) {
    if let Value::String(text) = value {
        text.push_str(more);
    }
}

/// What is said, in blocks of a kind.
#[derive(Default)]
struct Blocks {
    open: Option<Kind>,
    count: usize,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Text,
    Thinking,
    Call,
}

enum Change {
    Begin(Value),
    More(More),
    End,
}

enum More {
    Text(String),
    Thinking(String),
    Arguments(String),
}

impl Blocks {
    fn take(&mut self, news: News) -> Vec<Change> {
        let mut changes = Vec::new();
        match news {
            News::Progress(_) | News::Logprobs(_) => {}
            News::Text(text) => {
                self.open(Kind::Text, || json!({"type": "text", "text": ""}), &mut changes);
                changes.push(Change::More(More::Text(text)));
            }
            News::Reasoning(text) => {
                let block = || json!({"type": "thinking", "thinking": "", "signature": ""});
                self.open(Kind::Thinking, block, &mut changes);
                changes.push(Change::More(More::Thinking(text)));
            }
            News::CallBegin { name, .. } => {
                self.close(&mut changes);
                let id = number::name("toolu_");
                let block = || json!({"type": "tool_use", "id": id, "name": name, "input": {}});
                self.open(Kind::Call, block, &mut changes);
            }
            News::CallArguments { delta, .. } => changes.push(Change::More(More::Arguments(delta))),
            News::CallEnd { .. } | News::End(_) => self.close(&mut changes),
        }
        changes
    }

    fn open(&mut self, kind: Kind, block: impl FnOnce() -> Value, changes: &mut Vec<Change>) {
        if self.open == Some(kind) {
            return;
        }
        self.close(changes);
        (self.open, self.count) = (Some(kind), self.count + 1);
        changes.push(Change::Begin(block()));
    }

    fn close(&mut self, changes: &mut Vec<Change>) {
        changes.extend(self.open.take().map(|_| Change::End));
    }

    /// Which block the last change was of.
    fn index(&self) -> usize {
        self.count.saturating_sub(1)
    }
}

fn streamed(id: String, answer: Answer) -> Response {
    let start = json!({"type": "message_start", "message": head(&id, &answer)});
    let opening = sse::event("message_start", &start);
    let mut blocks = Blocks::default();
    let mut broken = false;
    let parts = sse::merged(vec![answer]).map(move |(_, part)| match part {
        sse::Part::Silence(_) => sse::event("ping", &json!({"type": "ping"})),
        sse::Part::Fault(fault) => {
            broken = true;
            sse::event("error", &fault.anthropic())
        }
        sse::Part::Over if broken => Bytes::new(),
        sse::Part::Over => sse::event("message_stop", &json!({"type": "message_stop"})),
        sse::Part::News(news) => {
            let end = if let News::End(end) = &news { Some(end.clone()) } else { None };
            let mut out = Vec::new();
            let mut index = blocks.index();
            for change in blocks.take(news) {
                let (name, mut value) = match change {
                    Change::Begin(block) => {
                        index = blocks.index();
                        ("content_block_start", json!({"content_block": block}))
                    }
                    Change::More(more) => {
                        let delta = match more {
                            More::Text(text) => json!({"type": "text_delta", "text": text}),
                            More::Thinking(text) => {
                                json!({"type": "thinking_delta", "thinking": text})
                            }
                            More::Arguments(text) => {
                                json!({"type": "input_json_delta", "partial_json": text})
                            }
                        };
                        ("content_block_delta", json!({"delta": delta}))
                    }
                    Change::End => ("content_block_stop", json!({})),
                };
                value["type"] = name.into();
                value["index"] = index.into();
                out.extend_from_slice(&sse::event(name, &value));
            }
            if let Some(end) = end {
                let (reason, text) = stop_reason(&end);
                let delta = json!({"stop_reason": reason, "stop_sequence": text});
                let value =
                    json!({"type": "message_delta", "delta": delta, "usage": usage(&end.usage)});
                out.extend_from_slice(&sse::event("message_delta", &value));
            }
            out.into()
        }
    });
    let parts = parts.filter(|bytes| std::future::ready(!bytes.is_empty()));
    sse::response(stream::once(async { opening }).chain(parts))
}
