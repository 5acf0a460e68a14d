//! Ollama's endpoints, so that its clients work when the server listens where they look.

pub(crate) mod chat;
pub(crate) mod disk;
pub(crate) mod embed;
pub(crate) mod generate;
pub(crate) mod models;
pub(crate) mod options;

use std::time::{Instant, SystemTime};

use axum::body::Bytes;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use manager::house::{Answer, End, News};
use manager::runtime::FinishReason;
use serde_json::{Map, Value, json};

use crate::fault::Fault;
use crate::{number, sse};

/// Lines of JSON.
const LINES: &str = "application/x-ndjson";

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

/// What is told at the end of an answer: times in nanoseconds.
fn last(end: &End, begun: Instant, loading: u64) -> Map<String, Value> {
    let End { reason, usage, timings, .. } = end;
    let nanoseconds = |d: std::time::Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    let reason = match reason {
        FinishReason::Length | FinishReason::Unfinished => "length",
        FinishReason::Stop | FinishReason::StopString(_) | FinishReason::Cancelled => "stop",
    };
    let told = json!({
        "done": true,
        "done_reason": reason,
        "total_duration": nanoseconds(begun.elapsed()),
        "load_duration": loading,
        "prompt_eval_count": usage.prompt_tokens,
        "prompt_eval_duration": nanoseconds(timings.first_token.unwrap_or_default()),
        "eval_count": usage.completion_tokens,
        "eval_duration": nanoseconds(timings.decode),
    });
    if let Value::Object(told) = told { told } else { Map::new() }
}

/// What every line begins with.
fn head(model: &str) -> Value {
    json!({"model": model, "created_at": number::timestamp(SystemTime::now())})
}

/// What is said between the head and the end of a line, in the words of one endpoint.
trait Lines: Send + 'static {
    /// The part of a line that says `said`.
    fn say(&self, line: &mut Value, said: &Said);
}

/// What a line says; a whole answer is one line that says all.
#[derive(Default)]
struct Said {
    text: String,
    thinking: String,
    calls: Vec<(String, String)>,
}

impl Said {
    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.thinking.is_empty() && self.calls.is_empty()
    }

    /// Takes news; calls are told when they are whole.
    fn take(&mut self, news: News, call: &mut Option<(String, String)>) -> Option<End> {
        match news {
            News::Progress(_) | News::Logprobs(_) => {}
            News::Text(text) => self.text.push_str(&text),
            News::Reasoning(text) => self.thinking.push_str(&text),
            News::CallBegin { name, .. } => *call = Some((name, String::new())),
            News::CallArguments { delta, .. } => {
                if let Some((_, arguments)) = call {
                    arguments.push_str(&delta);
                }
            }
            News::CallEnd { .. } => self.calls.extend(call.take()),
            News::End(end) => return Some(end),
        }
        None
    }

    /// The calls, with their arguments as objects; what is none is given as what the model wrote.
    fn tool_calls(&self) -> Vec<Value> {
        let call = |(name, arguments): &(String, String)| {
            let object = serde_json::from_str::<Map<String, Value>>(arguments);
            let object = object.map_or_else(|_| json!({"_raw": arguments}), Value::Object);
            json!({"function": {"name": name, "arguments": object}})
        };
        self.calls.iter().map(call).collect()
    }
}

/// Writes an answer in lines, or in one.
async fn answered(
    mut answer: Answer,
    lines: impl Lines,
    stream: bool,
    begun: Instant,
) -> Result<Response, Fault> {
    let loading = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let model = answer.model().to_owned();
    if !stream {
        let (mut said, mut call) = (Said::default(), None);
        while let Some(news) = answer.next().await? {
            if let Some(end) = said.take(news, &mut call) {
                let mut whole = head(&model);
                lines.say(&mut whole, &said);
                if let Value::Object(whole) = &mut whole {
                    whole.extend(last(&end, begun, loading));
                }
                return Ok(sse::typed(
                    "application/json",
                    stream::iter([whole.to_string().into()]),
                ));
            }
        }
        return Err(Fault::of(
            axum::http::StatusCode::INTERNAL_SERVER_ERROR,
            "the answer broke off",
        ));
    }
    let mut call = None;
    let parts = sse::merged(vec![answer]).map(move |(_, part)| match part {
        // Nothing may stand between lines: whoever waits is told by the line itself.
        sse::Part::Silence(_) | sse::Part::Over => Bytes::new(),
        sse::Part::Fault(fault) => line(&fault.ollama()),
        sse::Part::News(news) => {
            let mut said = Said::default();
            let end = said.take(news, &mut call);
            if end.is_none() && said.is_empty() {
                return Bytes::new();
            }
            let mut value = head(&model);
            lines.say(&mut value, &said);
            value["done"] = end.is_some().into();
            if let (Value::Object(value), Some(end)) = (&mut value, &end) {
                value.extend(last(end, begun, loading));
            }
            line(&value)
        }
    });
    let parts = parts.filter(|bytes| std::future::ready(!bytes.is_empty()));
    Ok(sse::typed(LINES, parts))
}
