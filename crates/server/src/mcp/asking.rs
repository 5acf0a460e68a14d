//! A question to a model within a budget of tokens and time, with its progress told.

use std::sync::Arc;
use std::time::Duration;

use manager::house::{Ask, End, House, News};
use manager::runtime::{FinishReason, GenerateOptions, Priority, Prompt};
use manager::{Grammar, Message, RenderOptions};
use rmcp::model::ProgressNotificationParam;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::schema::{Field, Kind};
use super::{Call, object, prefix};
use crate::fault::Fault;

/// Between two notes of progress.
const PAUSE: Duration = Duration::from_millis(250);
/// Seconds that a call may take at most.
const MOST_SECONDS: u64 = 900;

pub(super) const MODEL: Field = Field::free(
    "model",
    Kind::Text { most: 512 },
    "The model, as `list_mlx_models` names it, or a task that the server has a route for. Default: the route of this tool's \
     task if there is one, else the model used last, else the first that writes.",
);

pub(super) const fn tokens(default: u64) -> Field {
    let kind = Kind::Whole { range: [1, 32_768], default: Some(default) };
    Field::free("max_tokens", kind, "The most tokens that the model may write.")
}

pub(super) const SECONDS: Field = Field::free(
    "max_seconds",
    Kind::Whole { range: [1, MOST_SECONDS], default: Some(180) },
    "The most seconds that it may take, loading the model included. What is written by then is returned, and flagged.",
);

/// What is asked of a model.
pub(super) struct Question {
    pub(super) messages: Vec<Message>,
    /// Who answers where nobody is named: the first of these tasks that the server has a route for.
    pub(super) tasks: &'static [&'static str],
    /// What the answer must be.
    pub(super) form: Option<Value>,
    pub(super) thinking: Option<bool>,
    pub(super) options: GenerateOptions,
}

/// What came.
pub(super) struct Written {
    pub(super) text: String,
    pub(super) reasoning: String,
    /// How it came, as every tool that asks a model says it.
    pub(super) told: Map<String, Value>,
}

/// The properties that [`Written::told`] has, for the schema of what a tool returns, and those of them that may be absent.
pub(super) fn told_schema() -> (Map<String, Value>, &'static [&'static str]) {
    let count = json!({"type": "integer", "minimum": 0});
    let seconds = json!({"type": "number", "minimum": 0});
    let usage = json!({
        "prompt_tokens": count, "completion_tokens": count,
        "seconds": seconds, "tokens_per_second": seconds,
    });
    let properties = json!({
        "model": {"type": "string", "description": "Which model answered."},
        "route": {"type": "object", "description": "Who was asked and passed over, where a route or another model answered."},
        "finish_reason": {"type": "string", "enum": ["stop", "length", "time"]},
        "complete": {"type": "boolean", "description": "Whether the model came to its end."},
        "cut_by": {
            "type": "array",
            "items": {"type": "string", "enum": ["max_tokens", "max_seconds"]},
            "description": "The budgets that cut the answer; empty if it is complete.",
        },
        "usage": object(usage, &["tokens_per_second"]),
    });
    let Value::Object(properties) = properties else { return (Map::new(), &[]) };
    (properties, &["route"])
}

/// Progress, told at most so often, and only to those who asked for it.
struct Progress<'a> {
    call: &'a Call,
    last: Option<Instant>,
    told: f64,
}

impl Progress<'_> {
    async fn tell(&mut self, done: usize, total: usize, message: &str) {
        let Some(token) = self.call.context.meta.get_progress_token() else { return };
        let done = done as f64;
        // The protocol wants it to grow.
        if self.last.is_some_and(|last| last.elapsed() < PAUSE) || done <= self.told {
            return;
        }
        (self.last, self.told) = (Some(Instant::now()), done);
        let told = ProgressNotificationParam::new(token, done)
            .with_total((total as f64).max(done))
            .with_message(message);
        // Whoever has gone has given up the call as well.
        let _ = self.call.context.peer.notify_progress(told).await;
    }
}

/// The model that is asked: the one named, that of a task, or the one at hand.
async fn chosen(call: &Call, tasks: &[&str]) -> Result<String, Fault> {
    let house: &Arc<House> = &call.house;
    if let Some(model) = call.arguments.text("model") {
        return Ok(model.to_owned());
    }
    if let Some(task) = tasks.iter().find(|task| house.has_route(task)) {
        return Ok((*task).to_owned());
    }
    match house.writer().await? {
        Some(model) => Ok(model),
        None => Err(Fault::invalid(
            "no model that writes is on this machine: pull one with `folio pull ORG/NAME`, or start with `--model`",
        )),
    }
}

/// Asks, and reads the answer within the budget.
///
/// # Errors
///
/// If nobody can answer, or not one word comes in time.
pub(super) async fn ask(call: &Call, question: Question) -> Result<Written, Fault> {
    let begun = Instant::now();
    let seconds = call.arguments.whole("max_seconds").unwrap_or(MOST_SECONDS);
    let deadline = begun + Duration::from_secs(seconds);
    let max_tokens = call.arguments.whole("max_tokens").and_then(|n| usize::try_from(n).ok());
    let late = |what: &str| {
        let message =
            format!("{what} within `max_seconds` ({seconds}): give more, or ask a smaller model");
        Fault::field("max_seconds", message)
    };
    let model = chosen(call, question.tasks).await?;
    let thinking = match question.form {
        // What is held to a form from its first token on cannot begin with a thought.
        Some(_) => Some(false),
        None => question.thinking,
    };
    let render = RenderOptions { enable_thinking: thinking, ..RenderOptions::answer() };
    let options = GenerateOptions {
        max_tokens,
        tell_apart: question.form.is_none(),
        constraint: question.form.map(Grammar::JsonSchema),
        client: call.client.number(),
        priority: Priority::Normal,
        ..question.options
    };
    let prompt = Prompt::Chat(question.messages, Box::new(render));
    let asked = Ask { model, prompt, options, strict: call.client.strict };
    let answer = tokio::time::timeout_at(deadline, call.house.answer(asked)).await;
    let mut answer = answer.map_err(|_| late("the model was not ready"))??;

    let (mut text, mut reasoning) = (String::new(), String::new());
    let mut progress = Progress { call, last: None, told: 0.0 };
    let end: Option<End> = loop {
        let Ok(news) = tokio::time::timeout_at(deadline, answer.next()).await else { break None };
        match news? {
            Some(News::Text(more)) => text.push_str(&more),
            Some(News::Reasoning(more)) => reasoning.push_str(&more),
            Some(News::Progress(read)) => {
                let total = answer.usage().prompt_tokens + max_tokens.unwrap_or(0);
                progress.tell(read, total, "reading the prompt").await;
                continue;
            }
            Some(News::End(end)) => break Some(end),
            // No tools are offered, and nobody asks how likely tokens were.
            Some(
                News::CallBegin { .. }
                | News::CallArguments { .. }
                | News::CallEnd { .. }
                | News::Logprobs(_),
            ) => {}
            None => {
                return Err(Fault::of(
                    axum::http::StatusCode::INTERNAL_SERVER_ERROR,
                    "the answer broke off; ask again",
                ));
            }
        }
        let usage = answer.usage();
        let total = usage.prompt_tokens + max_tokens.unwrap_or(0);
        let done = usage.prompt_tokens + usage.completion_tokens;
        progress.tell(done, total, "writing").await;
    };
    if end.is_none() && text.is_empty() && reasoning.is_empty() {
        return Err(late("not one word came"));
    }
    let (reason, cut): (&str, &[&str]) = match end.as_ref().map(|end| &end.reason) {
        None | Some(FinishReason::Cancelled) => ("time", &["max_seconds"]),
        Some(FinishReason::Length | FinishReason::Unfinished) => ("length", &["max_tokens"]),
        Some(FinishReason::Stop | FinishReason::StopString(_)) => ("stop", &[]),
    };
    let usage = answer.usage();
    let mut told = Map::new();
    told.insert("model".to_owned(), answer.model().into());
    let receipt = answer.receipt();
    if receipt.is_fallback() || receipt.task.is_some() {
        told.insert("route".to_owned(), receipt.json());
    }
    told.insert("finish_reason".to_owned(), reason.into());
    told.insert("complete".to_owned(), cut.is_empty().into());
    told.insert("cut_by".to_owned(), cut.into());
    let mut took = json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "seconds": rounded(begun.elapsed().as_secs_f64()),
    });
    let rate = end.as_ref().and_then(|end| end.timings.decode_rate(end.usage));
    if let Some(rate) = rate.filter(|rate| rate.is_finite()) {
        took["tokens_per_second"] = rounded(rate).into();
    }
    told.insert("usage".to_owned(), took);
    Ok(Written { text, reasoning, told })
}

/// Asks for an object of the form `schema`: the answer's own fields, and how it came. What a budget cut is as far as it
/// came, in the same form.
///
/// # Errors
///
/// As [`ask`].
pub(super) async fn ask_for(
    call: &Call,
    messages: Vec<Message>,
    tasks: &'static [&'static str],
    schema: &Value,
) -> Result<Map<String, Value>, Fault> {
    let options = GenerateOptions { temperature: Some(0.0), ..GenerateOptions::default() };
    let form = Some(schema.clone());
    let question = Question { messages, tasks, form, thinking: None, options };
    let Written { text, mut told, .. } = ask(call, question).await?;
    let complete = told.get("complete").and_then(Value::as_bool).unwrap_or(false);
    let answer = prefix::rescued(&text, schema);
    // Others may not hold their models to a form.
    let formed = || serde_json::from_str::<Value>(&text).is_ok_and(|given| given == answer);
    if complete && !formed() {
        let message = "the model's answer is not of the form that was asked for: ask another model";
        return Err(Fault::of(axum::http::StatusCode::INTERNAL_SERVER_ERROR, message));
    }
    let Value::Object(mut answer) = answer else {
        let message = "the model's answer is not an object, as was asked for";
        return Err(Fault::of(axum::http::StatusCode::INTERNAL_SERVER_ERROR, message));
    };
    answer.append(&mut told);
    Ok(answer)
}

/// The schema of what [`ask_for`] gives for `form`; those of its fields that have no empty value may be absent.
pub(super) fn form_schema(form: &Value, free: &[&str], more: Value) -> Value {
    let mut properties = form["properties"].as_object().cloned().unwrap_or_default();
    let (told, told_free) = told_schema();
    properties.extend(told);
    properties.extend(more.as_object().cloned().unwrap_or_default());
    let free: Vec<_> = free.iter().chain(told_free).copied().collect();
    object(Value::Object(properties), &free)
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
