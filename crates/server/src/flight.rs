//! Names of requests, and the records of the last ones.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::Json;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use manager::flight::{self, Flight, Head, Record};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::{Instrument as _, Span};

use crate::allowance::Under;
use crate::fault::Fault;
use crate::number;
use crate::state::Server;

/// The header that carries a request's name, as OpenAI's clients read it.
const ID: &str = "x-request-id";
/// The same for Anthropic's.
const ANTHROPIC_ID: &str = "request-id";
/// Letters of a name that a client gives.
const MOST_LETTERS: usize = 128;

/// The name that the client gave, if it is one that can stand in a log.
fn given(headers: &HeaderMap) -> Option<String> {
    let name = headers.get(ID)?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    let fits = (1..=MOST_LETTERS).contains(&name.len()) && name.bytes().all(plain);
    fits.then(|| name.to_owned())
}

/// Gives every request a name, records what becomes of it, and logs how it ended.
pub(crate) async fn record(
    State(server): State<Server>,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let id = given(request.headers()).unwrap_or_else(|| number::name("req_"));
    let method = request.method().to_string();
    let path = request.uri().path().to_owned();
    let span = tracing::info_span!("request", id);
    let head = Head { id: id.clone(), method: method.clone(), path: path.clone() };
    let flight = server.house.flights().begin(head);
    request.extensions_mut().insert(flight.clone());
    let answering = flight::recorded(flight.clone(), next.run(request));
    let mut response = answering.instrument(span.clone()).await;
    flight.status(response.status().as_u16());
    if let Ok(value) = HeaderValue::from_str(&id) {
        let headers = response.headers_mut();
        if path.starts_with("/v1/messages") {
            headers.insert(ANTHROPIC_ID, value.clone());
        }
        headers.insert(ID, value);
    }
    let status = response.status();
    let under = response.extensions_mut().remove::<Arc<Under>>();
    let ended = Ended { span, method, path, status, begun, flight, _under: under };
    response.map(|body| Body::new(Sent { body, ended }))
}

/// Logs the end of a request when it is dropped.
struct Ended {
    span: Span,
    method: String,
    path: String,
    status: StatusCode,
    begun: Instant,
    flight: Flight,
    /// What its key pays for.
    _under: Option<Arc<Under>>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _inside = self.span.enter();
        let Self { method, path, status, begun, flight, .. } = self;
        let (status, took) = (status.as_u16(), begun.elapsed());
        let record = flight.record();
        if record.steps.is_empty() {
            tracing::debug!(method, path, status, ?took, "answered");
            return;
        }
        let model = record.model(0).unwrap_or_default();
        let sent = record.sent;
        tracing::info!(method, path, status, ?took, model, sent, "answered");
    }
}

/// A body that is recorded until it is sent, or nobody wants it any more.
struct Sent {
    // In this order: what the answer took is known when it is gone.
    body: Body,
    ended: Ended,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        let span = self.ended.span.clone();
        let _inside = span.enter();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.ended.flight.sent();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// How records are told.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "RecordForm")]
enum Form {
    /// One object.
    #[default]
    Json,
    /// A line for each.
    Jsonl,
    /// A picture, for Perfetto.
    Trace,
}

/// Which records.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Which {
    /// The last so many.
    limit: Option<usize>,
    #[serde(default)]
    format: Form,
}

/// `GET /v1/requests`: the records of the last requests, the oldest first.
pub(crate) async fn list(
    State(server): State<Server>,
    which: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Fault> {
    let Query(which) = which.map_err(|error| Fault::invalid(error.body_text()))?;
    let mut records = server.house.flights().records();
    let many = which.limit.unwrap_or(usize::MAX);
    records.drain(..records.len().saturating_sub(many));
    Ok(match which.format {
        Form::Json => {
            let all: Vec<_> = records.iter().map(|record| record.json()).collect();
            Json(json!({"object": "list", "data": all})).into_response()
        }
        Form::Jsonl => {
            let line = |record: &Arc<Record>| format!("{}\n", record.json());
            let lines: String = records.iter().map(line).collect();
            ([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response()
        }
        Form::Trace => Json(flight::trace(&records)).into_response(),
    })
}

/// `GET /v1/requests/ID`: the record of one.
pub(crate) async fn one(
    State(server): State<Server>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    let found = server.house.flights().find(&id);
    let record = found.ok_or_else(|| {
        let message =
            format!("there is no record of a request `{id}`: only the last ones are kept");
        Fault::of(StatusCode::NOT_FOUND, message)
    })?;
    Ok(Json(record.json()))
}
