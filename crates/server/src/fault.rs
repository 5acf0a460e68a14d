//! What goes wrong, put into the words of each dialect in one place.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use manager::find::LibraryError;
use manager::flight::Flight;
use manager::{Kind, chain, house};
use serde_json::{Value, json};

/// Bytes of a refusal that is not ours.
const MOST_WORDS: usize = 4096;

/// A request that gets no answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Its HTTP status.
    pub status: StatusCode,
    /// What is wrong, and what to do about it.
    pub message: String,
    /// The field that is at fault, as a path.
    pub param: Option<String>,
    /// A word for programs.
    pub code: Option<&'static str>,
    /// When to ask again.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// A fault of the request.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, message)
    }

    /// A fault of the field `param`.
    pub fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::invalid(message) }
    }

    /// A fault with a status of its own.
    pub fn of(status: StatusCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, message, param: None, code: None, retry_after: None }
    }

    /// The same with a word for programs.
    #[must_use]
    pub fn coded(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// The kind of error in OpenAI's words.
    fn openai_type(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            503 => "overloaded_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// The object that OpenAI's clients expect, without the status.
    pub(crate) fn openai(&self) -> Value {
        let Self { message, param, code, .. } = self;
        let kind = self.openai_type();
        json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
    }

    /// The object that Anthropic's clients expect.
    pub(crate) fn anthropic(&self) -> Value {
        let kind = match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 => "overloaded_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        };
        json!({"type": "error", "error": {"type": kind, "message": self.message}})
    }

    /// The object that Ollama's clients expect.
    pub(crate) fn ollama(&self) -> Value {
        json!({"error": self.message})
    }

    /// The object that MCP's clients expect: of no request in particular, as none was looked at.
    pub(crate) fn mcp(&self) -> Value {
        json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": self.message}})
    }

    fn body(&self, path: &str) -> Value {
        if path.starts_with("/api/") {
            self.ollama()
        } else if path.starts_with("/v1/messages") {
            self.anthropic()
        } else if path == "/mcp" {
            self.mcp()
        } else {
            self.openai()
        }
    }
}

impl From<house::Error> for Fault {
    fn from(error: house::Error) -> Self {
        let status = match error.kind() {
            Kind::Invalid | Kind::Unsupported => StatusCode::BAD_REQUEST,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut message = chain(&error);
        if let Some(hint) = error.hint() {
            message.push_str("; ");
            message.push_str(&hint);
        }
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(%message, "a request failed");
        }
        let unknown = error.is_unknown_model();
        let code = match (unknown, error.is_too_long()) {
            (true, _) => Some("model_not_found"),
            (false, true) => Some("context_length_exceeded"),
            (false, false) => None,
        };
        let param = unknown.then(|| "model".to_owned());
        let retry_after =
            (status == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(2));
        Self { status, message, param, code, retry_after }
    }
}

impl Fault {
    /// Why an index is not asked.
    pub(crate) fn worded(error: &LibraryError) -> Self {
        let status = match error.kind() {
            _ if error.of_server().is_some() => of_server(error),
            Kind::Invalid => StatusCode::BAD_REQUEST,
            Kind::NotFound => StatusCode::NOT_FOUND,
            // What is asked is right; what is here is not.
            Kind::Unsupported => StatusCode::CONFLICT,
            Kind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut message = error.to_string();
        if let Some(hint) = error.hint() {
            message.push_str("; ");
            message.push_str(&hint);
        }
        if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
            tracing::error!(%message, "an index was not asked");
        }
        let (code, param) = match error.is_unknown_index() {
            true => (Some("index_not_found"), Some("index".to_owned())),
            false => (None, None),
        };
        let retry_after =
            (status == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(2));
        Self { status, message, param, code, retry_after }
    }
}

/// What it means here that a server behind this one does not do what it should.
fn of_server(error: &LibraryError) -> StatusCode {
    use manager::find::remote::Error;
    match error.of_server() {
        Some(Error::GaveUp { late: true, .. }) => StatusCode::GATEWAY_TIMEOUT,
        Some(Error::Busy { .. }) => StatusCode::SERVICE_UNAVAILABLE,
        Some(Error::Unsupported { .. }) => StatusCode::CONFLICT,
        _ => StatusCode::BAD_GATEWAY,
    }
}

impl From<LibraryError> for Fault {
    fn from(error: LibraryError) -> Self {
        if let LibraryError::House(error) = error {
            return error.into();
        }
        Self::worded(&error)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Puts every failure that comes back from inside into the words of the dialect that was spoken to.
pub(crate) async fn in_words(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let flight = request.extensions().get::<Flight>().cloned();
    let mut response = next.run(request).await;
    let status = response.status();
    let fault = match response.extensions_mut().remove::<Fault>() {
        Some(fault) => fault,
        None if status == StatusCode::NOT_FOUND && is_bare(&response) => Fault::of(
            status,
            format!("there is no {path} here: the address or its spelling is wrong"),
        ),
        None if status == StatusCode::METHOD_NOT_ALLOWED => {
            Fault::of(status, format!("{path} does not answer {method}"))
        }
        None if !(status.is_client_error() || status.is_server_error()) => return response,
        // It speaks JSON-RPC by itself.
        None if path == "/mcp" && is_json(&response) => return response,
        None => {
            // What the router's own readers refuse is told in plain text.
            let body = std::mem::take(response.body_mut());
            let text = axum::body::to_bytes(body, MOST_WORDS).await.unwrap_or_default();
            Fault::of(status, String::from_utf8_lossy(&text).into_owned())
        }
    };
    let allow = response.headers_mut().remove(header::ALLOW);
    let mut body = fault.body(&path);
    if let Some(flight) = flight.filter(|_| path.starts_with("/v1/messages")) {
        body["request_id"] = flight.id().into();
    }
    let body = Body::from(body.to_string());
    let mut worded = (fault.status, body).into_response();
    let headers = worded.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(allow) = allow {
        headers.insert(header::ALLOW, allow);
    }
    if let Some(after) = fault.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    if fault.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    worded
}

fn is_json(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

fn is_bare(response: &Response) -> bool {
    !response.headers().contains_key(header::CONTENT_TYPE)
}

#[cfg(test)]
mod tests {
    use manager::find;

    use super::*;

    #[test]
    fn a_server_behind_is_no_fault_of_whoever_asks() {
        use find::remote::Error;
        let place = || "qdrant://box:6333/pages".to_owned();
        let gave_up = |late| Error::GaveUp {
            place: place(),
            attempts: 2,
            why: "nothing came".to_owned(),
            late,
        };
        let denied =
            Error::Denied { place: place(), status: "401".to_owned(), message: "no".to_owned() };
        let busy = Error::Busy { place: place(), wait: Duration::from_secs(90) };
        for (error, status) in
            [(gave_up(true), 504), (gave_up(false), 502), (denied, 502), (busy, 503)]
        {
            let error = Box::new(find::Error::Remote(error));
            let fault: Fault =
                LibraryError::Index { index: "pages".to_owned(), place: place(), error }.into();
            assert_eq!(fault.status.as_u16(), status, "{fault:?}");
            assert!(fault.message.starts_with("the server of the index `pages`: "), "{fault:?}");
            assert!(!fault.message.contains("box"), "{fault:?}");
        }
    }
}
