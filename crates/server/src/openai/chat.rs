//! `POST /v1/chat/completions`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use futures_util::stream;
use manager::RenderOptions;
use manager::house::{Answer, Ask, End, Said};
use manager::runtime::{FinishReason, GenerateOptions, Prompt};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::StreamOptions;
use super::message::{WireMessage, conversation};
use super::sampling::{choices, numbered, stops};
use super::usage::{finish_reason, timings, usage};
use crate::fault::Fault;
use crate::read::{Never, OneOrMany, json};
use crate::state::{Limits, Server};
use crate::{number, sse};

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    model: String,
    messages: Vec<WireMessage>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<usize>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    seed: Option<i64>,
    n: Option<usize>,
    stop: Option<OneOrMany<String>>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    response_format: Option<Value>,
    logprobs: Option<bool>,
    #[serde(default, rename = "top_logprobs")]
    _top_logprobs: Never,
    logit_bias: Option<Map<String, Value>>,
    enable_thinking: Option<bool>,
    #[serde(default)]
    chat_template_kwargs: Map<String, Value>,
    reasoning_effort: Option<String>,
    store: Option<bool>,
    // Said of the request, not of the answer.
    #[serde(rename = "user")]
    _user: Option<String>,
    #[serde(rename = "safety_identifier")]
    _safety_identifier: Option<String>,
    #[serde(rename = "prompt_cache_key")]
    _prompt_cache_key: Option<String>,
    #[serde(rename = "metadata")]
    _metadata: Option<Map<String, Value>>,
    #[serde(rename = "service_tier")]
    _service_tier: Option<String>,
    modalities: Option<Vec<String>>,
    #[serde(default, rename = "audio")]
    _audio: Never,
    #[serde(default, rename = "prediction")]
    _prediction: Never,
    #[serde(default, rename = "web_search_options")]
    _web_search_options: Never,
    #[serde(default, rename = "verbosity")]
    _verbosity: Never,
    #[serde(default, rename = "functions")]
    _functions: Never,
    #[serde(default, rename = "function_call")]
    _function_call: Never,
}

/// Answers a conversation.
pub(crate) async fn create(State(server): State<Server>, body: Bytes) -> Result<Response, Fault> {
    let request: Request = json(&body)?;
    let (stream, stream_options) = (request.stream, request.stream_options);
    if stream_options.is_some() && !stream {
        let message = "`stream_options` has a meaning only with `stream`";
        return Err(Fault::field("stream_options", message));
    }
    let n = choices(request.n, server.limits())?;
    let ask = asked(request, server.limits())?;
    let mut answers = Vec::with_capacity(n);
    for index in 0..n {
        let options = numbered(&ask.options, index);
        answers.push(server.house.answer(Ask { options, ..ask.clone() }).await?);
    }
    let heading = Heading::new("chatcmpl-", &answers);
    if stream {
        let usage = stream_options.unwrap_or_default().include_usage;
        return Ok(streamed(heading, answers, usage));
    }
    let mut all = Vec::with_capacity(n);
    for answer in answers {
        all.push(whole(answer).await?);
    }
    Ok(Json(heading.completion(&all)).into_response())
}

/// The request in our words.
fn asked(request: Request, limits: &Limits) -> Result<Ask, Fault> {
    let neutral = |name: &str, value: Option<f32>| match value {
        None | Some(0.0) => Ok(()),
        Some(_) => Err(Fault::field(name, format!("`{name}` is not supported here: leave it out"))),
    };
    neutral("presence_penalty", request.presence_penalty)?;
    neutral("frequency_penalty", request.frequency_penalty)?;
    let refuse = |name: &str| {
        Err(Fault::field(name, format!("`{name}` is not supported here: leave it out")))
    };
    if request.logprobs == Some(true) {
        return refuse("logprobs");
    }
    if request.logit_bias.is_some_and(|bias| !bias.is_empty()) {
        return refuse("logit_bias");
    }
    if request.store == Some(true) {
        return refuse("store");
    }
    if request.modalities.is_some_and(|list| list != ["text"]) {
        return refuse("modalities");
    }
    if let Some(format) = &request.response_format
        && format.get("type").and_then(Value::as_str) != Some("text")
    {
        return refuse("response_format");
    }
    let max_tokens = match (request.max_tokens, request.max_completion_tokens) {
        (Some(a), Some(b)) if a != b => {
            let message = "`max_tokens` and `max_completion_tokens` differ: give one of them";
            return Err(Fault::field("max_tokens", message));
        }
        (a, b) => a.or(b),
    };
    let tools = request.tools.filter(|tools| !tools.is_empty());
    let forced = match &request.tool_choice {
        None => None,
        Some(Value::String(word)) if word == "auto" => None,
        Some(Value::String(word)) if word == "none" => Some(()),
        Some(_) => return refuse("tool_choice"),
    };
    if request.parallel_tool_calls == Some(false) && tools.is_some() {
        return refuse("parallel_tool_calls");
    }
    let mut variables: std::collections::BTreeMap<_, _> =
        request.chat_template_kwargs.into_iter().collect();
    if let Some(effort) = request.reasoning_effort {
        variables.insert("reasoning_effort".to_owned(), effort.into());
    }
    let render = RenderOptions {
        tools: tools.filter(|_| forced.is_none()).map(Value::Array),
        enable_thinking: request.enable_thinking,
        variables,
        ..RenderOptions::answer()
    };
    let options = GenerateOptions {
        max_tokens,
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        min_p: request.min_p,
        repetition_penalty: request.repetition_penalty,
        seed: request.seed.map(i64::cast_unsigned),
        stop: stops(request.stop, limits)?,
        ignore_eos: false,
    };
    let messages = conversation(request.messages)?;
    Ok(Ask { model: request.model, prompt: Prompt::Chat(messages, Box::new(render)), options })
}

/// What every part of an answer begins with.
#[derive(Clone, Debug)]
struct Heading {
    id: String,
    created: u64,
    model: String,
}

impl Heading {
    fn new(prefix: &str, answers: &[Answer]) -> Self {
        let model = answers.first().map_or_else(String::new, |answer| answer.model().to_owned());
        Self { id: number::name(prefix), created: number::now(), model }
    }

    fn object(&self, object: &str, choices: Vec<Value>) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": concat!("folio-", env!("CARGO_PKG_VERSION")),
            "choices": choices,
        })
    }

    fn chunk(&self, index: usize, delta: &Value, reason: Option<&str>) -> Value {
        let choice =
            json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": reason});
        self.object("chat.completion.chunk", vec![choice])
    }

    fn completion(&self, all: &[Whole]) -> Value {
        let choice = |(index, whole): (usize, &Whole)| {
            let mut choice = json!({
                "index": index,
                "message": {"role": "assistant", "content": whole.text, "refusal": null},
                "logprobs": null,
                "finish_reason": finish_reason(&whole.end.reason),
            });
            flag(&mut choice, &whole.end.reason);
            choice
        };
        let mut object =
            self.object("chat.completion", all.iter().enumerate().map(choice).collect());
        let each: Vec<_> = all.iter().map(|whole| whole.end.usage).collect();
        object["usage"] = usage(&each);
        if let [only] = all {
            object["timings"] = timings(&only.end);
        }
        object
    }
}

/// Says so where an answer was cut before what it has to be was whole.
fn flag(choice: &mut Value, reason: &FinishReason) {
    if *reason == FinishReason::Unfinished {
        choice["unfinished"] = true.into();
    }
}

/// An answer that is over.
pub(super) struct Whole {
    pub(super) text: String,
    pub(super) end: End,
}

/// Reads an answer to its end.
pub(super) async fn whole(mut answer: Answer) -> Result<Whole, Fault> {
    let mut text = String::new();
    while let Some(said) = answer.next().await? {
        match said {
            Said::Progress(_) => {}
            Said::Text(more) => text.push_str(&more),
            Said::End(end) => return Ok(Whole { text, end }),
        }
    }
    Err(Fault::of(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "the answer broke off"))
}

/// The events of all answers, as they come.
fn streamed(heading: Heading, answers: Vec<Answer>, with_usage: bool) -> Response {
    let opening: Vec<_> = (0..answers.len())
        .map(|index| {
            let delta = json!({"role": "assistant", "content": ""});
            sse::data(&heading.chunk(index, &delta, None))
        })
        .collect();
    let mut ends = Vec::new();
    let parts = sse::merged(answers).map(move |(index, said)| match said {
        sse::Part::Silence(read) => sse::comment(&format!("{read} tokens of the prompt are read")),
        sse::Part::Said(Said::Progress(_)) => Bytes::new(),
        sse::Part::Said(Said::Text(text)) => {
            sse::data(&heading.chunk(index, &json!({"content": text}), None))
        }
        sse::Part::Said(Said::End(end)) => {
            let reason = finish_reason(&end.reason);
            ends.push(end.usage);
            let mut chunk = heading.chunk(index, &json!({}), Some(reason));
            flag(&mut chunk["choices"][0], &end.reason);
            chunk["timings"] = timings(&end);
            sse::data(&chunk)
        }
        sse::Part::Fault(fault) => sse::data(&fault.openai()),
        sse::Part::Over => {
            let mut last = Vec::new();
            if with_usage && !ends.is_empty() {
                let mut chunk = heading.object("chat.completion.chunk", Vec::new());
                chunk["usage"] = usage(&ends);
                last.extend_from_slice(&sse::data(&chunk));
            }
            last.extend_from_slice(&sse::done());
            last.into()
        }
    });
    let parts = parts.filter(|bytes| std::future::ready(!bytes.is_empty()));
    sse::response(stream::iter(opening).chain(parts))
}
