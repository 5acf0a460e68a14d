//! `POST /v1/chat/completions`.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures_util::StreamExt as _;
use futures_util::stream;
use manager::RenderOptions;
use manager::house::{Answer, Ask, End, News};
use manager::runtime::{FinishReason, GenerateOptions, Prompt};
use serde_json::{Map, Value, json};

use super::files::Desk;
use super::message::{WireMessage, conversation};
use super::sampling::{choices, choosing, either, not_both, numbered, refuse, told, tool_choice};
use super::usage::{finish_reason, timings, usage};
use crate::fault::Fault;
use crate::gate::Client;
use crate::read::{Never, json};
use crate::state::{Limits, Server};
use crate::web;
use crate::{number, sse};

choosing! {
    /// What is asked for.
    #[schemars(rename = "ChatRequest")]
    pub(crate) struct Request {
        /// The conversation.
        messages: Vec<WireMessage>,
        /// Tokens to add at most, as `max_tokens`.
        max_completion_tokens: Option<usize>,
        /// Functions that the model may ask for.
        tools: Option<Vec<Value>>,
        /// `auto`, `none`, `required`, or a function.
        tool_choice: Option<Value>,
        parallel_tool_calls: Option<bool>,
        /// Whether to tell how likely each token was.
        logprobs: Option<bool>,
        /// How many of the likeliest tokens to tell with it.
        top_logprobs: Option<usize>,
        /// Whether the model is to think first.
        enable_thinking: Option<bool>,
        /// What else the chat template is told.
        #[serde(default)]
        chat_template_kwargs: Map<String, Value>,
        /// How hard to think, for templates that know it.
        reasoning_effort: Option<String>,
        store: Option<bool>,
        modalities: Option<Vec<String>>,
        // Said of the request, not of the answer.
        #[serde(rename = "safety_identifier")]
        _safety_identifier: Option<String>,
        #[serde(rename = "prompt_cache_key")]
        _prompt_cache_key: Option<String>,
        #[serde(rename = "metadata")]
        _metadata: Option<Map<String, Value>>,
        #[serde(rename = "service_tier")]
        _service_tier: Option<String>,
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
}

/// Answers a conversation.
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    body: Bytes,
) -> Result<Response, Fault> {
    let body = web::fetched(&server, body).await?;
    let request: Request = json(&body)?;
    let (stream, stream_options) = (request.stream, request.stream_options);
    let n = choices(request.n, server.limits())?;
    let (limits, desk) = (*server.limits(), Desk::new(&server, client.number()));
    let ask = desk.apart(move |desk| asked(request, &client, &limits, desk)).await?;
    let mut answers = Vec::with_capacity(n);
    for index in 0..n {
        let options = numbered(&ask.options, index);
        answers.push(server.house.answer(Ask { options, ..ask.clone() }).await?);
    }
    let heading = Heading::new("chatcmpl-", &answers);
    let header = answers.first().map_or_else(String::new, |answer| answer.receipt().header());
    if stream {
        let usage = stream_options.unwrap_or_default().include_usage;
        return Ok(sse::routed(streamed(heading, answers, usage), &header));
    }
    let mut all = Vec::with_capacity(n);
    for answer in answers {
        all.push(whole(answer).await?);
    }
    Ok(sse::routed(Json(heading.completion(&all)).into_response(), &header))
}

/// The request in our words.
fn asked(
    mut request: Request,
    client: &Client,
    limits: &Limits,
    desk: &Desk,
) -> Result<Ask, Fault> {
    let options = request.chosen(client, limits)?;
    let logprobs = match (request.logprobs.unwrap_or(false), request.top_logprobs) {
        (true, likeliest) => Some(likeliest.unwrap_or(0)),
        (false, None) => None,
        (false, Some(_)) => {
            let message = "`top_logprobs` has a meaning only with `logprobs`";
            return Err(Fault::field("top_logprobs", message));
        }
    };
    if request.store == Some(true) {
        return refuse("store");
    }
    if request.modalities.is_some_and(|list| list != ["text"]) {
        return refuse("modalities");
    }
    let max_tokens = either(
        ("max_completion_tokens", request.max_completion_tokens),
        ("max_tokens", options.max_tokens),
    )?;
    let tools = request.tools.filter(|tools| !tools.is_empty());
    let (offers, must_call) = tool_choice(request.tool_choice.as_ref())?;
    if request.parallel_tool_calls == Some(false) && tools.is_some() {
        return refuse("parallel_tool_calls");
    }
    let mut variables: std::collections::BTreeMap<_, _> =
        request.chat_template_kwargs.into_iter().collect();
    if let Some(effort) = request.reasoning_effort {
        variables.insert("reasoning_effort".to_owned(), effort.into());
    }
    let formed = options.constraint.is_some();
    not_both(formed, tools.is_some())?;
    let render = RenderOptions {
        tools: tools.filter(|_| offers).map(Value::Array),
        // What is held to a form from its first token on cannot begin with a thought.
        enable_thinking: request.enable_thinking.or(formed.then_some(false)),
        variables,
        ..RenderOptions::answer()
    };
    let options =
        GenerateOptions { max_tokens, logprobs, tell_apart: !formed, must_call, ..options };
    let messages = conversation(request.messages, desk)?;
    Ok(Ask {
        model: request.model,
        prompt: Prompt::Chat(messages, Box::new(render)),
        options,
        strict: client.strict,
    })
}

/// What every part of an answer begins with.
#[derive(Clone, Debug)]
struct Heading {
    id: String,
    created: u64,
    model: String,
    /// Who answers, where it is not simply who was asked.
    route: Option<Value>,
}

impl Heading {
    fn new(prefix: &str, answers: &[Answer]) -> Self {
        let model = answers.first().map_or_else(String::new, |answer| answer.model().to_owned());
        let receipt = answers.first().map(Answer::receipt);
        let told = receipt.filter(|receipt| receipt.is_fallback() || receipt.task.is_some());
        let route = told.map(|receipt| receipt.json());
        Self { id: number::name(prefix), created: number::now(), model, route }
    }

    fn object(&self, object: &str, choices: Vec<Value>) -> Value {
        let mut object = json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": concat!("folio-", env!("CARGO_PKG_VERSION")),
            "choices": choices,
        });
        if let Some(route) = &self.route {
            object["route"] = route.clone();
        }
        object
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
                "message": whole.message(),
                "logprobs": null,
                "finish_reason": ended(&whole.end),
            });
            if !whole.logprobs.is_empty() {
                choice["logprobs"] = json!({"content": whole.logprobs, "refusal": null});
            }
            flag(&mut choice, &whole.end);
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

/// Why an answer ended: who calls tools waits for what they say.
fn ended(end: &End) -> &'static str {
    if end.calls > 0 && matches!(end.reason, FinishReason::Stop) {
        return "tool_calls";
    }
    finish_reason(&end.reason)
}

/// Says so where an answer was cut before what it has to be was whole, and where what looks like a call is none.
fn flag(choice: &mut Value, end: &End) {
    if end.reason == FinishReason::Unfinished {
        choice["unfinished"] = true.into();
    }
    if !end.broken.is_empty() {
        let names: Vec<_> = end.broken.iter().map(|fault| fault.name()).collect();
        choice["broken_tool_calls"] = names.into();
    }
}

/// An answer that is over.
pub(super) struct Whole {
    pub(super) text: String,
    reasoning: String,
    calls: Vec<Value>,
    logprobs: Vec<Value>,
    pub(super) end: End,
}

/// Reads an answer to its end.
pub(super) async fn whole(mut answer: Answer) -> Result<Whole, Fault> {
    let (mut text, mut reasoning, mut calls) = (String::new(), String::new(), Vec::new());
    let mut logprobs = Vec::new();
    while let Some(news) = answer.next().await? {
        match news {
            News::Progress(_) | News::CallEnd { .. } => {}
            News::Text(more) => text.push_str(&more),
            News::Logprobs(more) => logprobs.extend(told(&more)),
            News::Reasoning(more) => reasoning.push_str(&more),
            News::CallBegin { name, .. } => calls.push((name, String::new())),
            News::CallArguments { delta, .. } => {
                if let Some((_, arguments)) = calls.last_mut() {
                    arguments.push_str(&delta);
                }
            }
            News::End(end) => {
                let call = |(name, arguments): (String, String)| {
                    let function = json!({"name": name, "arguments": arguments});
                    json!({"id": number::name("call_"), "type": "function", "function": function})
                };
                let calls = calls.into_iter().map(call).collect();
                return Ok(Whole { text, reasoning, calls, logprobs, end });
            }
        }
    }
    Err(Fault::of(StatusCode::INTERNAL_SERVER_ERROR, "the answer broke off"))
}

impl Whole {
    fn message(&self) -> Value {
        // What only calls says nothing.
        let content = (!self.text.is_empty() || self.calls.is_empty()).then_some(&self.text);
        let mut message = json!({"role": "assistant", "content": content, "refusal": null});
        if !self.reasoning.is_empty() {
            message["reasoning_content"] = self.reasoning.as_str().into();
        }
        if !self.calls.is_empty() {
            message["tool_calls"] = self.calls.clone().into();
        }
        message
    }
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
    let parts = sse::merged(answers).map(move |(index, part)| match part {
        sse::Part::Silence(read) => sse::comment(&format!("{read} tokens of the prompt are read")),
        sse::Part::News(News::Progress(_) | News::CallEnd { .. }) => Bytes::new(),
        sse::Part::News(News::Text(text)) => {
            sse::data(&heading.chunk(index, &json!({"content": text}), None))
        }
        sse::Part::News(News::Logprobs(logprobs)) => {
            let mut chunk = heading.chunk(index, &json!({}), None);
            chunk["choices"][0]["logprobs"] = json!({"content": told(&logprobs), "refusal": null});
            sse::data(&chunk)
        }
        sse::Part::News(News::Reasoning(text)) => {
            sse::data(&heading.chunk(index, &json!({"reasoning_content": text}), None))
        }
        sse::Part::News(News::CallBegin { index: call, name }) => {
            let function = json!({"name": name, "arguments": ""});
            let id = number::name("call_");
            let call = json!({"index": call, "id": id, "type": "function", "function": function});
            sse::data(&heading.chunk(index, &json!({"tool_calls": [call]}), None))
        }
        sse::Part::News(News::CallArguments { index: call, delta }) => {
            let call = json!({"index": call, "function": {"arguments": delta}});
            sse::data(&heading.chunk(index, &json!({"tool_calls": [call]}), None))
        }
        sse::Part::News(News::End(end)) => {
            let reason = ended(&end);
            ends.push(end.usage);
            let mut chunk = heading.chunk(index, &json!({}), Some(reason));
            flag(&mut chunk["choices"][0], &end);
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
