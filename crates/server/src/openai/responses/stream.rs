//! A response on its way: items that begin, grow and end.

use axum::body::Bytes;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use manager::house::{Answer, End, News};
use manager::{Message, Part};
use serde_json::{Value, json};
use text::ToolCall;

use super::Heading;
use super::store::Keep;
use crate::{number, sse};

/// The items of a response: a thought, words, calls.
#[derive(Debug, Default)]
pub(super) struct Items {
    /// Those that are whole.
    pub(super) done: Vec<Value>,
    open: Option<Open>,
    pub(super) end: Option<End>,
}

#[derive(Debug)]
struct Open {
    kind: Kind,
    id: String,
    /// Its words so far.
    text: String,
    /// A call's own id, and its tool.
    call: (String, String),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Reasoning,
    Message,
    Call,
}

impl Items {
    /// Takes news, and returns the events that tell them: names, and what they say.
    pub(super) fn take(&mut self, news: News) -> Vec<(&'static str, Value)> {
        let mut events = Vec::new();
        match news {
            News::Progress(_) | News::Logprobs(_) => {}
            News::Reasoning(text) => self.more(Kind::Reasoning, text, &mut events),
            News::Text(text) => self.more(Kind::Message, text, &mut events),
            News::CallBegin { name, .. } => {
                self.close(&mut events);
                self.begin(Kind::Call, name, &mut events);
            }
            News::CallArguments { delta, .. } => self.more(Kind::Call, delta, &mut events),
            News::CallEnd { .. } => self.close(&mut events),
            News::End(end) => {
                self.close(&mut events);
                self.end = Some(end);
            }
        }
        events
    }

    fn more(&mut self, kind: Kind, text: String, events: &mut Vec<(&'static str, Value)>) {
        if self.open.as_ref().is_none_or(|open| open.kind != kind) {
            self.close(events);
            self.begin(kind, String::new(), events);
        }
        let index = self.done.len();
        let Some(open) = &mut self.open else { return };
        let (name, part) = match kind {
            Kind::Reasoning => ("response.reasoning_summary_text.delta", "summary_index"),
            Kind::Message => ("response.output_text.delta", "content_index"),
            Kind::Call => ("response.function_call_arguments.delta", ""),
        };
        let mut event = json!({"item_id": open.id, "output_index": index, "delta": text});
        if !part.is_empty() {
            event[part] = 0.into();
        }
        if kind == Kind::Message {
            event["logprobs"] = json!([]);
        }
        open.text.push_str(&text);
        events.push((name, event));
    }

    fn begin(&mut self, kind: Kind, name: String, events: &mut Vec<(&'static str, Value)>) {
        let id = match kind {
            Kind::Reasoning => number::name("rs_"),
            Kind::Message => number::name("msg_"),
            Kind::Call => number::name("fc_"),
        };
        let call = (number::name("call_"), name);
        let open = Open { kind, id, text: String::new(), call };
        let index = self.done.len();
        events.push((
            "response.output_item.added",
            json!({"output_index": index, "item": open.item("in_progress", true)}),
        ));
        match kind {
            Kind::Message => events.push((
                "response.content_part.added",
                json!({"item_id": open.id, "output_index": index, "content_index": 0, "part": words("")}),
            )),
            Kind::Reasoning => events.push((
                "response.reasoning_summary_part.added",
                json!({"item_id": open.id, "output_index": index, "summary_index": 0, "part": summary("")}),
            )),
            Kind::Call => {}
        }
        self.open = Some(open);
    }

    fn close(&mut self, events: &mut Vec<(&'static str, Value)>) {
        let Some(open) = self.open.take() else { return };
        let index = self.done.len();
        let at = json!({"item_id": open.id, "output_index": index});
        let with = |more: &[(&str, Value)]| {
            let mut event = at.clone();
            for (name, value) in more {
                event[*name] = value.clone();
            }
            event
        };
        let text: Value = open.text.as_str().into();
        match open.kind {
            Kind::Message => {
                let done = [("content_index", 0.into()), ("text", text), ("logprobs", json!([]))];
                events.push(("response.output_text.done", with(&done)));
                let part = [("content_index", 0.into()), ("part", words(&open.text))];
                events.push(("response.content_part.done", with(&part)));
            }
            Kind::Reasoning => {
                let done = [("summary_index", 0.into()), ("text", text)];
                events.push(("response.reasoning_summary_text.done", with(&done)));
                let part = [("summary_index", 0.into()), ("part", summary(&open.text))];
                events.push(("response.reasoning_summary_part.done", with(&part)));
            }
            Kind::Call => {
                let done = [("arguments", text), ("name", open.call.1.as_str().into())];
                events.push(("response.function_call_arguments.done", with(&done)));
            }
        }
        let item = open.item("completed", false);
        events.push(("response.output_item.done", json!({"output_index": index, "item": item})));
        self.done.push(item);
    }

    /// The same as a turn of the conversation.
    pub(super) fn message(&self) -> Message {
        let mut message = Message { content: Vec::new(), ..Message::assistant("") };
        for item in &self.done {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            match item["type"].as_str() {
                Some("message") => {
                    message.content.push(Part::Text(text(&item["content"][0]["text"])));
                }
                Some("reasoning") => message.reasoning = Some(text(&item["summary"][0]["text"])),
                _ => message.tool_calls.push(ToolCall {
                    id: text(&item["call_id"]),
                    name: text(&item["name"]),
                    // What is no object cannot be told to a template as one.
                    arguments: serde_json::from_str(&text(&item["arguments"]))
                        .ok()
                        .filter(Value::is_object)
                        .unwrap_or_else(|| json!({})),
                }),
            }
        }
        message
    }
}

impl Open {
    fn item(&self, status: &str, empty: bool) -> Value {
        let (id, text) = (&self.id, &self.text);
        match self.kind {
            Kind::Message => {
                let content = if empty { json!([]) } else { json!([words(text)]) };
                json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
            }
            Kind::Reasoning => {
                let summary = if empty { json!([]) } else { json!([summary(text)]) };
                json!({"id": id, "type": "reasoning", "status": status, "summary": summary})
            }
            Kind::Call => json!({
                "id": id,
                "type": "function_call",
                "status": status,
                "call_id": self.call.0,
                "name": self.call.1,
                "arguments": text,
            }),
        }
    }
}

fn words(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn summary(text: &str) -> Value {
    json!({"type": "summary_text", "text": text})
}

/// The events of a response.
pub(super) fn response(heading: Heading, answer: Answer, kept: Option<Keep>) -> Response {
    let mut sequence = 0;
    let mut event = move |name: &'static str, mut value: Value| {
        value["type"] = name.into();
        value["sequence_number"] = sequence.into();
        sequence += 1;
        sse::event(name, &value)
    };
    let begun = heading.response("in_progress", &[]);
    let opening = [
        event("response.created", json!({"response": begun})),
        event("response.in_progress", json!({"response": begun})),
    ];
    let mut items = Items::default();
    let mut kept = kept;
    let parts = sse::merged(vec![answer]).map(move |(_, part)| match part {
        sse::Part::Silence(read) => sse::comment(&format!("{read} tokens of the prompt are read")),
        sse::Part::Over => Bytes::new(),
        sse::Part::Fault(fault) => {
            let mut failed = heading.response("failed", &items.done);
            failed["error"] = json!({"code": "server_error", "message": fault.message});
            event("response.failed", json!({"response": failed}))
        }
        sse::Part::News(news) => {
            let mut out = Vec::new();
            for (name, value) in items.take(news) {
                out.extend_from_slice(&event(name, value));
            }
            if let Some(end) = items.end.take() {
                let response = heading.ended(&end, &items.done);
                if let Some(kept) = kept.take() {
                    kept.keep(&heading.id, &response, &items.message());
                }
                let name = if response["status"] == "completed" {
                    "response.completed"
                } else {
                    "response.incomplete"
                };
                out.extend_from_slice(&event(name, json!({"response": response})));
            }
            out.into()
        }
    });
    let parts = parts.filter(|bytes| std::future::ready(!bytes.is_empty()));
    sse::response(stream::iter(opening).chain(parts))
}
