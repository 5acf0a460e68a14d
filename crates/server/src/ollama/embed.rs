//! `POST /api/embed` and the older `POST /api/embeddings`.

use std::time::Instant;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use manager::config::Candidate;
use manager::house::Embedded;
use manager::runtime::EmbedOptions;
use serde::Deserialize;
use serde_json::{Value, json};

use super::options::KeepAlive;
use crate::fault::Fault;
use crate::gate::Client;
use crate::read::{OneOrMany, json};
use crate::sse;
use crate::state::Server;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OllamaEmbedRequest")]
pub(crate) struct Request {
    model: String,
    input: OneOrMany<String>,
    /// Ollama cuts what is too long unless it is told not to.
    #[serde(default = "super::options::yes")]
    truncate: bool,
    dimensions: Option<usize>,
    keep_alive: Option<Value>,
    /// There is nothing of a machine to choose here, and nothing to sample.
    #[serde(rename = "options")]
    _options: Option<Value>,
}

/// Makes vectors.
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    body: Bytes,
) -> Result<Response, Fault> {
    let begun = Instant::now();
    let request: Request = json(&body)?;
    let keep = KeepAlive::of(request.keep_alive.as_ref())?;
    let texts = request.input.into_vec();
    let most = server.limits().texts;
    if texts.len() > most {
        let message = format!("`input` has {} texts, but may have {most}", texts.len());
        return Err(Fault::field("input", message));
    }
    let options = EmbedOptions {
        truncate: request.truncate,
        dimensions: request.dimensions,
        ..EmbedOptions::default()
    };
    let made = server.house.embed(&request.model, texts, options, client.strict).await?;
    kept(keep, &server, &made).await?;
    let vectors: Vec<_> = made.embeddings.iter().map(|embedding| &embedding.vector).collect();
    let mut answer = json!({
        "model": made.model,
        "embeddings": vectors,
        "total_duration": u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX),
    });
    if let Some(tokens) = made.tokens {
        answer["prompt_eval_count"] = tokens.into();
    }
    Ok(sse::routed(Json(answer).into_response(), &made.receipt.header()))
}

/// How long a model of this machine stays that answered; one elsewhere is kept by its own server.
async fn kept(keep: Option<KeepAlive>, server: &Server, made: &Embedded) -> Result<(), Fault> {
    if let Candidate::Local(model) = &made.receipt.answered {
        KeepAlive::apply(keep, &server.house, model).await?;
    }
    Ok(())
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OllamaEmbeddingsRequest")]
pub(crate) struct Older {
    model: String,
    prompt: String,
    keep_alive: Option<Value>,
    #[serde(rename = "options")]
    _options: Option<Value>,
}

/// Makes one vector.
pub(crate) async fn older(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    body: Bytes,
) -> Result<Response, Fault> {
    let request: Older = json(&body)?;
    let keep = KeepAlive::of(request.keep_alive.as_ref())?;
    let options = EmbedOptions { truncate: true, ..EmbedOptions::default() };
    let texts = vec![request.prompt];
    let made = server.house.embed(&request.model, texts, options, client.strict).await?;
    kept(keep, &server, &made).await?;
    let vector = made.embeddings.into_iter().next().map(|embedding| embedding.vector);
    let answer = Json(json!({"embedding": vector.unwrap_or_default()}));
    Ok(sse::routed(answer.into_response(), &made.receipt.header()))
}
