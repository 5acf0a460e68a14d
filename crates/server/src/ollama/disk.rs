//! `POST /api/pull` and `DELETE /api/delete`, where the server's owner lets clients do that.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use manager::fetch::Progress;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::line;
use crate::fault::Fault;
use crate::read::json;
use crate::sse;
use crate::state::Server;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OllamaPullRequest")]
pub(crate) struct Pull {
    #[serde(alias = "name")]
    model: String,
    #[serde(default = "super::options::yes")]
    stream: bool,
    #[serde(default, rename = "insecure")]
    _insecure: bool,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OllamaDeleteRequest")]
pub(crate) struct Delete {
    #[serde(alias = "name")]
    model: String,
}

fn allowed(server: &Server) -> Result<(), Fault> {
    if server.rules().manage {
        return Ok(());
    }
    let message =
        "clients may not change what is on disk: start the server with `--manage` if they may";
    Err(Fault::of(StatusCode::FORBIDDEN, message))
}

/// Fetches a model of the hub. Who hangs up stops it; what came stays.
pub(crate) async fn pull(State(server): State<Server>, body: Bytes) -> Result<Response, Fault> {
    let request: Pull = json(&body)?;
    allowed(&server)?;
    if !request.stream {
        server.house.pull(&request.model, Arc::new(|_| {})).await?;
        return Ok(Json(json!({"status": "success"})).into_response());
    }
    let (sender, events) = mpsc::unbounded_channel();
    let observer = Arc::new(move |event| drop(sender.send(event)));
    let house = Arc::clone(&server.house);
    let pull = async move {
        match house.pull(&request.model, observer).await {
            Ok(_) => json!({"status": "success"}),
            Err(error) => Fault::from(error).ollama(),
        }
    };
    let under_way = UnderWay { pull: Box::pin(pull), events, last: None, told: Told::default() };
    // The pull goes on while its lines are read, and ends with them.
    Ok(sse::typed(super::LINES, stream::unfold(Some(under_way), UnderWay::next)))
}

/// A pull, and what is told of it.
struct UnderWay<F> {
    pull: Pin<Box<F>>,
    events: mpsc::UnboundedReceiver<Progress>,
    last: Option<Value>,
    told: Told,
}

impl<F: Future<Output = Value>> UnderWay<F> {
    /// The next line; the last comes when all others are told.
    async fn next(this: Option<Self>) -> Option<(Bytes, Option<Self>)> {
        let mut this = this?;
        loop {
            let event = match this.last.take() {
                Some(last) => match this.events.try_recv() {
                    Ok(event) => {
                        this.last = Some(last);
                        event
                    }
                    Err(_) => return Some((line(&last), None)),
                },
                None => tokio::select! {
                    biased;
                    Some(event) = this.events.recv() => event,
                    last = &mut this.pull => {
                        this.last = Some(last);
                        continue;
                    }
                },
            };
            if let Some(line) = this.told.line(&event) {
                return Some((line, Some(this)));
            }
        }
    }
}

/// What was told of each file.
#[derive(Default)]
struct Told {
    percent: BTreeMap<String, u64>,
}

impl Told {
    /// A line for every hundredth of a file.
    #[expect(clippy::wildcard_enum_match_arm, reason = "what Ollama has no words for is not told")]
    fn line(&mut self, event: &Progress) -> Option<Bytes> {
        let value: Value = match event {
            Progress::Moved { file, done, total } => {
                let percent = (done * 100).checked_div(*total).unwrap_or(100);
                if self.percent.insert(file.clone(), percent) == Some(percent) {
                    return None;
                }
                json!({"status": format!("pulling {file}"), "digest": file, "total": total, "completed": done})
            }
            Progress::Retrying { reason, .. } => {
                json!({"status": format!("trying again: {reason}")})
            }
            Progress::Finished { file, .. } => json!({"status": format!("verified {file}")}),
            _ => return None,
        };
        Some(line(&value))
    }
}

/// Removes a model from the disk.
pub(crate) async fn delete(State(server): State<Server>, body: Bytes) -> Result<StatusCode, Fault> {
    let request: Delete = json(&body)?;
    allowed(&server)?;
    server.house.remove(&request.model).await?;
    Ok(StatusCode::OK)
}
