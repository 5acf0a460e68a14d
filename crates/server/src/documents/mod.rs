//! `/v1/documents/read`: documents made into text, with a vision model for the pages that need one.

mod readings;
mod request;
mod told;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Path, Request as Sent, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures_util::stream;
use manager::flight;
use manager::runtime::Priority;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::fault::Fault;
use crate::gate::Client;
use crate::number;
use crate::sse;
use crate::state::Server;

use readings::Named;
pub(crate) use readings::{Readings, Told, Work, usual};
pub(crate) use request::Request;
use told::Shape;
pub(crate) use told::failure;

/// The task whose route reads pages where no model is named.
pub(crate) const TASK: &str = "vision";

/// A reading, and what it holds as long as somebody wants it.
struct Reading {
    id: String,
    name: String,
    shape: Shape,
    told: UnboundedReceiver<Told>,
    named: Named,
    _place: OwnedSemaphorePermit,
}

/// `POST /v1/documents/read`: reads a document.
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    request: Sent,
) -> Result<Response, Fault> {
    // There is a place for a document before it comes.
    let place = server.readings.hold()?;
    let headers = request.headers().clone();
    let body = Bytes::from_request(request, &server).await;
    let body = body.map_err(|error| Fault::of(error.status(), error.body_text()))?;
    let (mut wish, file) = Request::read(&headers, &body)?;
    drop(body);
    let (options, shape, mut models) = (wish.options()?, wish.shape()?, wish.models()?);
    let stream = wish.stream();
    if models.is_empty() && server.house.has_route(TASK) {
        models.push(TASK.to_owned());
    }
    for model in &models {
        server.house.expect_sight(model).await?;
    }
    let (shelf, files, owner) =
        (Arc::clone(&server.shelf), server.rules().files.clone(), client.number());
    let (source, files) = tokio::task::spawn_blocking(move || {
        wish.source(file, (&shelf, owner), &files).map(|source| (source, files))
    })
    .await
    .map_err(|_| Fault::of(StatusCode::INTERNAL_SERVER_ERROR, "the document was not read"))??;
    let id = flight::current().map_or_else(|| number::name("read_"), |flight| flight.id());
    let named = server.readings.name(id.clone(), owner);
    let name = source.name.clone();
    let work = Work {
        source,
        options,
        models,
        pages: None,
        deadline: None,
        priority: Priority::Batch,
        client: owner,
    };
    let told = server.readings.start(&server.house, &files, work, named.stop.clone());
    let reading = Reading { id, name, shape, told, named, _place: place };
    if stream { streamed(reading).await } else { whole(reading).await }
}

/// `DELETE /v1/documents/read/{id}`: ends a reading; pages under way are given up.
pub(crate) async fn cancel(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    if server.readings.end(&id, client.number()) {
        return Ok(Json(json!({"id": id, "object": "document.reading", "cancelled": true})));
    }
    let message = format!(
        "no reading `{id}` is under way: its name is the `x-request-id` of the request that began it"
    );
    Err(Fault { param: Some("id".to_owned()), ..Fault::of(StatusCode::NOT_FOUND, message) })
}

fn lost() -> Fault {
    Fault::of(StatusCode::INTERNAL_SERVER_ERROR, "the document was not read to its end")
}

/// All of it, once it is read.
async fn whole(mut reading: Reading) -> Result<Response, Fault> {
    while let Some(told) = reading.told.recv().await {
        if let Told::End(end) = told {
            let document = end?;
            return Ok(Json(reading.shape.whole(&reading.id, &document)).into_response());
        }
    }
    Err(lost())
}

/// Events as they come. What is wrong before the first is an error of the request.
async fn streamed(mut reading: Reading) -> Result<Response, Fault> {
    let first = match reading.told.recv().await {
        Some(Told::End(Err(fault))) => return Err(fault),
        None => return Err(lost()),
        Some(first) => first,
    };
    let begun = Some((reading, Some(first)));
    Ok(sse::response(stream::unfold(begun, |state| async move {
        let (mut reading, first) = state?;
        let told = match first {
            Some(first) => Some(first),
            None => match tokio::time::timeout(sse::SILENCE, reading.told.recv()).await {
                Ok(told) => told,
                Err(_) => return Some((sse::comment("reading"), Some((reading, None)))),
            },
        };
        let (event, goes_on) = worded(&reading, told);
        Some((event, goes_on.then_some((reading, None))))
    })))
}

/// An event, and whether others may follow.
fn worded(reading: &Reading, told: Option<Told>) -> (Bytes, bool) {
    let (name, mut event) = match told {
        Some(Told::Begun { pages, to_read, page_count, title }) => {
            let event = json!({
                "name": reading.name, "title": title, "page_count": page_count,
                "pages": pages, "pages_to_look_at": to_read,
            });
            ("document.started", event)
        }
        Some(Told::Asked { page, attempt: 0, reader }) => {
            ("page.started", json!({"page": page, "reader": reader}))
        }
        Some(Told::Asked { page, attempt, reader }) => {
            ("page.attempt", json!({"page": page, "attempt": attempt, "reader": reader}))
        }
        Some(Told::Attempt { page, attempt, reader, fault }) => {
            let event =
                json!({"page": page, "attempt": attempt, "reader": reader, "message": fault});
            ("page.attempt_failed", event)
        }
        Some(Told::Paused { message, seconds }) => {
            ("document.paused", json!({"message": message, "seconds": seconds}))
        }
        Some(Told::Page(page)) => match failure(&page).filter(|it| it.get("taken").is_none()) {
            None => ("page.completed", reading.shape.page(&page)),
            Some(failure) => ("page.failed", failure),
        },
        Some(Told::End(Ok(document))) => {
            let event = reading.shape.end(&reading.id, &document);
            return (sse::event("document.completed", &typed("document.completed", event)), false);
        }
        Some(Told::End(Err(_))) if reading.named.stop.is_cancelled() => {
            let event = json!({"id": reading.id});
            return (sse::event("document.cancelled", &typed("document.cancelled", event)), false);
        }
        Some(Told::End(Err(fault))) => return (sse::event("error", &fault.openai()), false),
        None => return (sse::event("error", &lost().openai()), false),
    };
    if name == "document.started" {
        event["id"] = reading.id.as_str().into();
    }
    (sse::event(name, &typed(name, event)), true)
}

/// The same with its name inside, as events of responses have it.
fn typed(name: &str, mut event: Value) -> Value {
    event["type"] = name.into();
    event
}
