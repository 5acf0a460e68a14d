//! `POST /v1/completions`: plain text continued.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures_util::StreamExt as _;
use manager::house::{Answer, Ask, News};
use manager::runtime::{GenerateOptions, Prompt, Usage};
use serde::Deserialize;
use serde_json::{Value, json};

use super::chat::whole;
use super::sampling::{choices, choosing, numbered, refuse};
use super::usage::{counts, finish_reason};
use crate::fault::Fault;
use crate::gate::Client;
use crate::read::{Never, json};
use crate::state::Server;
use crate::{number, sse};

/// What is to be continued: texts, or tokens.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum Prompts {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    ManyTokens(Vec<Vec<u32>>),
}

choosing! {
    #[schemars(rename = "CompletionRequest")]
    pub(crate) struct Request {
        prompt: Prompts,
        best_of: Option<usize>,
        /// Whether the answer begins with the prompt.
        #[serde(default)]
        echo: bool,
        /// Goes on where the model would end.
        #[serde(default)]
        ignore_eos: bool,
        #[serde(default, rename = "suffix")]
        _suffix: Never,
        #[serde(default, rename = "logprobs")]
        _logprobs: Never,
    }
}

/// OpenAI's default, which clients of this endpoint count on.
const MAX_TOKENS: usize = 16;

/// Continues texts.
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    body: Bytes,
) -> Result<Response, Fault> {
    let mut request: Request = json(&body)?;
    let options = request.chosen(&client, server.limits())?;
    let n = choices(request.n, server.limits())?;
    if request.best_of.is_some_and(|best| best != n) {
        return refuse("best_of");
    }
    let (stream, with_usage) =
        (request.stream, request.stream_options.unwrap_or_default().include_usage);
    let max_tokens = options.max_tokens.or(Some(MAX_TOKENS));
    let options = GenerateOptions { max_tokens, ignore_eos: request.ignore_eos, ..options };
    let prompts: Vec<Prompt> = match request.prompt {
        Prompts::Text(text) => vec![Prompt::Text(text)],
        Prompts::Texts(texts) => texts.into_iter().map(Prompt::Text).collect(),
        Prompts::Tokens(tokens) => vec![Prompt::Tokens(tokens)],
        Prompts::ManyTokens(many) => many.into_iter().map(Prompt::Tokens).collect(),
    };
    let most = server.limits().choices;
    if prompts.is_empty() || prompts.len().saturating_mul(n) > most {
        let message = format!(
            "`prompt` holds {} texts with `n` {n}, but from 1 to {most} answers are given",
            prompts.len()
        );
        return Err(Fault::field("prompt", message));
    }
    let (mut answers, mut before) = (Vec::new(), Vec::new());
    for prompt in prompts {
        let echoed = match (&prompt, request.echo) {
            (Prompt::Text(text), true) => text.clone(),
            (_, false) => String::new(),
            (Prompt::Tokens(_) | Prompt::Chat(..), true) => return refuse("echo"),
        };
        for index in 0..n {
            let options = numbered(&options, index);
            let ask = Ask {
                model: request.model.clone(),
                prompt: prompt.clone(),
                options,
                strict: client.strict,
            };
            answers.push(server.house.answer(ask).await?);
            before.push(echoed.clone());
        }
    }
    let heading = Heading::new(&answers);
    if stream {
        return Ok(streamed(heading, answers, before, with_usage.then_some(n)));
    }
    let mut choices = Vec::new();
    let mut each = Vec::new();
    for (index, (answer, echoed)) in answers.into_iter().zip(before).enumerate() {
        let whole = whole(answer).await?;
        let reason = finish_reason(&whole.end.reason);
        choices.push(choice(index, &format!("{echoed}{}", whole.text), Some(reason)));
        each.push(whole.end.usage);
    }
    let mut object = heading.object(choices);
    object["usage"] = summed(&each, n);
    Ok(Json(object).into_response())
}

/// Tokens of several prompts, each answered `n` times.
fn summed(each: &[Usage], n: usize) -> Value {
    let prompts = || each.iter().step_by(n);
    let prompt: usize = prompts().map(|usage| usage.prompt_tokens).sum();
    let cached: Option<usize> = prompts().map(|usage| usage.cached_tokens).sum();
    counts(prompt, cached, each)
}

struct Heading {
    id: String,
    created: u64,
    model: String,
}

impl Heading {
    fn new(answers: &[Answer]) -> Self {
        let model = answers.first().map_or_else(String::new, |answer| answer.model().to_owned());
        Self { id: number::name("cmpl-"), created: number::now(), model }
    }

    fn object(&self, choices: Vec<Value>) -> Value {
        json!({
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        })
    }
}

fn choice(index: usize, text: &str, reason: Option<&str>) -> Value {
    json!({"index": index, "text": text, "logprobs": null, "finish_reason": reason})
}

fn streamed(
    heading: Heading,
    answers: Vec<Answer>,
    before: Vec<String>,
    n: Option<usize>,
) -> Response {
    let echoed = before.iter().enumerate().filter(|(_, text)| !text.is_empty());
    let echoed: Vec<_> = echoed
        .map(|(index, text)| sse::data(&heading.object(vec![choice(index, text, None)])))
        .collect();
    let mut ends: Vec<Option<Usage>> = vec![None; answers.len()];
    let parts = sse::merged(answers).map(move |(index, part)| match part {
        sse::Part::Silence(read) => sse::comment(&format!("{read} tokens of the prompt are read")),
        sse::Part::News(
            News::Progress(_)
            | News::Logprobs(_)
            | News::Reasoning(_)
            | News::CallBegin { .. }
            | News::CallArguments { .. }
            | News::CallEnd { .. },
        ) => Bytes::new(),
        sse::Part::News(News::Text(text)) => {
            sse::data(&heading.object(vec![choice(index, &text, None)]))
        }
        sse::Part::News(News::End(end)) => {
            ends[index] = Some(end.usage);
            let reason = finish_reason(&end.reason);
            sse::data(&heading.object(vec![choice(index, "", Some(reason))]))
        }
        sse::Part::Fault(fault) => sse::data(&fault.openai()),
        sse::Part::Over => {
            let mut last = Vec::new();
            let each: Option<Vec<_>> = ends.iter().copied().collect();
            if let (Some(each), Some(n)) = (each, n) {
                let mut object = heading.object(Vec::new());
                object["usage"] = summed(&each, n);
                last.extend_from_slice(&sse::data(&object));
            }
            last.extend_from_slice(&sse::done());
            last.into()
        }
    });
    let parts = parts.filter(|bytes| std::future::ready(!bytes.is_empty()));
    sse::response(futures_util::stream::iter(echoed).chain(parts))
}
