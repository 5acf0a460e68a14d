//! Events on the wire, as they come.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _, stream};
use manager::house::{Answer, News};
use manager::route::Receipt;
use serde_json::{Value, json};

use crate::fault::Fault;

/// So long nothing comes before a comment says that the line is not dead.
pub(crate) const SILENCE: Duration = Duration::from_secs(10);

/// One event of data alone.
pub(crate) fn data(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

/// An event with a name.
pub(crate) fn event(name: &str, value: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {value}\n\n"))
}

/// What says that there is still somebody here, and is no event.
pub(crate) fn comment(text: &str) -> Bytes {
    Bytes::from(format!(": {text}\n\n"))
}

/// The end of OpenAI's streams.
pub(crate) fn done() -> Bytes {
    Bytes::from_static(b"data: [DONE]\n\n")
}

/// A response of events.
pub(crate) fn response(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    typed("text/event-stream", events)
}

/// A response of lines of JSON.
pub(crate) fn typed(
    kind: &'static str,
    parts: impl Stream<Item = Bytes> + Send + 'static,
) -> Response {
    let body = Body::from_stream(parts.map(Ok::<_, Infallible>));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Asks proxies not to keep events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// What comes of several answers.
pub(crate) enum Part {
    /// A part of one.
    News(News),
    /// Nothing, for long; so many tokens of its prompt are read.
    Silence(usize),
    /// It broke.
    Fault(Fault),
    /// All are over; comes once, at the end.
    Over,
}

/// The parts of all answers, each with its index, as they come. Whoever drops the stream ends them.
pub(crate) fn merged(answers: Vec<Answer>) -> impl Stream<Item = (usize, Part)> + Send {
    let each = answers.into_iter().enumerate().map(|(index, answer)| {
        let parts = stream::unfold(Some((answer, 0)), |state| async move {
            let (mut answer, mut read) = state?;
            let part = match tokio::time::timeout(SILENCE, answer.next()).await {
                Err(_) => Part::Silence(read),
                Ok(Ok(Some(news))) => {
                    if let News::Progress(so_far) = news {
                        read = so_far;
                    }
                    Part::News(news)
                }
                Ok(Ok(None)) => return None,
                Ok(Err(error)) => return Some((Part::Fault(error.into()), None)),
            };
            Some((part, Some((answer, read))))
        });
        parts.map(move |part| (index, part)).boxed()
    });
    stream::select_all(each).chain(stream::once(async { (0, Part::Over) }))
}

/// Says who answers, in a header of the response.
pub(crate) fn routed(mut response: Response, receipt: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(receipt) {
        response.headers_mut().insert("x-folio-route", value);
    }
    response
}

/// An answer that is whole, with the tokens that it took where they are known, and with who gave it where that is not simply
/// who was asked.
pub(crate) fn told(mut answer: Value, tokens: Option<usize>, receipt: &Receipt) -> Response {
    if let Some(tokens) = tokens {
        answer["usage"] = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    }
    if receipt.is_fallback() || receipt.task.is_some() {
        answer["route"] = receipt.json();
    }
    routed(Json(answer).into_response(), &receipt.header())
}
