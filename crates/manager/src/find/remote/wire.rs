//! Requests to a server of pages: JSON over HTTP, and gRPC's calls of one question and one answer over HTTP/2, both with the one
//! HTTP client that folio has.
//!
//! All that is asked may be asked twice: pages are put and taken away by names that follow from them. So whatever may be
//! otherwise the next time is asked again, after a pause that doubles, or that the server asks for.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use prost::Message;
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE,
};
use reqwest::{Client, Method, Url};
use serde_json::Value;

use super::{Address, Error, ServerKind};
use crate::Token;
use crate::environment::Environment;
use crate::fetch::http_client_builder;
use crate::remote::{is_near, retry_after};

/// The largest answer: pages' vectors come back one page at a time, and lists a thousand pages at a time.
const LARGEST: usize = 128 << 20;
/// Characters of what a server says that are shown.
const SHOWN: usize = 500;
/// Bytes that are sent in a second at least, by those who have a slow line.
const SLOWEST: u64 = 128 << 10;
/// Bytes before a gRPC message: a flag and the length.
const PREFIX: usize = 5;

/// How long, and how often, a server is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For a whole answer, beside the time in which the question is sent.
    pub answer: Duration,
    /// How often the same is asked.
    pub attempts: u32,
    /// The pause after the first failure; it doubles.
    pub first_pause: Duration,
    /// The longest pause, also of those that a server asks for.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(120),
            attempts: 6,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// Why a request failed.
#[derive(Debug)]
enum Attempt {
    /// It may work the next time.
    Again { why: String, wait: Option<Duration>, late: bool },
    /// It will not.
    Never(Error),
}

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Wire {
    http: Client,
    /// HTTP/2 from the first byte, as gRPC wants it.
    grpc: Client,
    rest_base: Url,
    grpc_base: Url,
    key: Option<(HeaderName, HeaderValue)>,
    /// The same, to be taken out of what the server says.
    token: Option<Token>,
    patience: Patience,
    /// What errors call the collection.
    pub(super) place: String,
}

/// An answer over HTTP.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Wire {
    pub(super) fn new(
        address: &Address,
        key: Option<&Token>,
        environment: &Environment,
        patience: Patience,
    ) -> Result<Self, Error> {
        let place = address.to_string();
        let client = |source| Error::Client { place: place.clone(), source };
        let build = |url: &Url, http2: bool| {
            // Only what is encrypted goes through a proxy unchanged.
            let far = url.scheme() == "https" && !is_near(url.as_str());
            let builder = http_client_builder(environment, patience.connect, far)
                .map_err(|error| client(Box::new(error)))?;
            let builder = if http2 {
                builder.http2_prior_knowledge().http2_adaptive_window(true)
            } else {
                builder.http1_only()
            };
            builder.build().map_err(|error| client(Box::new(error)))
        };
        let header = |key: &Token| {
            let (name, value) = match address.kind {
                ServerKind::Qdrant => (HeaderName::from_static("api-key"), key.secret().to_owned()),
                ServerKind::Weaviate => (AUTHORIZATION, format!("Bearer {}", key.secret())),
            };
            let mut value = HeaderValue::from_str(&value).map_err(|_| Error::Key {
                place: place.clone(),
                reason: "it is not one word of printable characters".to_owned(),
            })?;
            value.set_sensitive(true);
            Ok((name, value))
        };
        Ok(Self {
            http: build(&address.rest, false)?,
            grpc: build(&address.grpc, true)?,
            rest_base: address.rest.clone(),
            grpc_base: address.grpc.clone(),
            key: key.map(header).transpose()?,
            token: key.cloned(),
            patience,
            place,
        })
    }

    /// Asks over HTTP, with a body of JSON or none. Answers what the server says with a status of success, or 404, 409 and
    /// 422, which mean something.
    pub(super) async fn ask(
        &self,
        action: &'static str,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Said, Error> {
        let url = self.rest_base.join(path).map_err(|_| Error::Garbage {
            place: self.place.clone(),
            action,
            what: "the address cannot be made".to_owned(),
        })?;
        let sent = body.as_ref().map_or(0, Bytes::len);
        self.patiently(sent, async || {
            let mut request = self.http.request(method.clone(), url.clone());
            request = request.header(ACCEPT_ENCODING, "identity");
            if let Some((name, value)) = &self.key {
                request = request.header(name, value);
            }
            if let Some(body) = &body {
                request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
            }
            let response = request.send().await.map_err(broken)?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let (bytes, _) = self.read(response).await?;
            self.judge(action, (status, &headers, &bytes), sent)
        })
        .await
    }

    /// Calls a method of a gRPC service.
    pub(super) async fn call<Q: Message, A: Message + Default>(
        &self,
        action: &'static str,
        method: &str,
        question: &Q,
    ) -> Result<A, Error> {
        let url = self.grpc_base.join(method).map_err(|_| Error::Garbage {
            place: self.place.clone(),
            action,
            what: "the address cannot be made".to_owned(),
        })?;
        let size = question.encoded_len();
        let too_large = || Error::TooLarge { place: self.place.clone(), bytes: size };
        let mut body = Vec::with_capacity(PREFIX + size);
        body.push(0);
        body.extend(u32::try_from(size).map_err(|_| too_large())?.to_be_bytes());
        // A vector has room for everything.
        question.encode(&mut body).map_err(|_| too_large())?;
        let body = Bytes::from(body);
        self.patiently(size, async || {
            let mut request = self.grpc.post(url.clone());
            request = request.header(CONTENT_TYPE, "application/grpc").header(TE, "trailers");
            request = request.header("grpc-accept-encoding", "identity");
            if let Some((name, value)) = &self.key {
                request = request.header(name, value);
            }
            let response = request.body(body.clone()).send().await.map_err(broken)?;
            let (status, mut headers) = (response.status().as_u16(), response.headers().clone());
            let (bytes, trailers) = self.read(response).await?;
            if status != 200 {
                // Something that stands before the server, and speaks no gRPC.
                let said = self.judge(action, (status, &headers, &bytes), size)?;
                return Err(self.garbage(action, format!("status {}", said.status)));
            }
            headers.extend(trailers);
            self.status(action, &headers, size)?;
            let message = framed(&bytes).map_err(|what| self.garbage(action, what))?;
            let wrong = |error: prost::DecodeError| self.garbage(action, error.to_string());
            A::decode(message).map_err(wrong)
        })
        .await
    }

    /// What a status over HTTP means.
    fn judge(
        &self,
        action: &'static str,
        (status, headers, bytes): (u16, &HeaderMap, &[u8]),
        sent: usize,
    ) -> Result<Said, Attempt> {
        let place = self.place.clone();
        let message = || self.hushed(message(bytes));
        match status {
            200..=299 | 404 | 409 | 422 => {
                // Some answers have no body.
                let body =
                    if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(bytes) };
                match body {
                    Ok(body) => Ok(Said { status, body }),
                    Err(_) if status >= 400 => Ok(Said { status, body: Value::String(message()) }),
                    Err(error) => Err(self.garbage(action, format!("it is no JSON: {error}"))),
                }
            }
            401 | 403 => {
                let (status, message) = (format!("status {status}"), message());
                Err(Attempt::Never(Error::Denied { place, status, message }))
            }
            413 => Err(Attempt::Never(Error::TooLarge { place, bytes: sent })),
            408 | 429 | 500..=599 => {
                let why = format!("status {status}: {}", message());
                Err(Attempt::Again { why, wait: retry_after(headers), late: status == 504 })
            }
            _ => {
                let (status, message) = (format!("status {status}"), message());
                Err(Attempt::Never(Error::Refused { place, action, status, message }))
            }
        }
    }

    /// What gRPC's status means. It stands behind the answer, or before it if there is none.
    fn status(
        &self,
        action: &'static str,
        headers: &HeaderMap,
        sent: usize,
    ) -> Result<(), Attempt> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(status) = text("grpc-status").and_then(|status| status.trim().parse::<u32>().ok())
        else {
            return Err(self.garbage(action, "it has no gRPC status".to_owned()));
        };
        let message = self.hushed(unescaped(text("grpc-message").unwrap_or_default()));
        let place = self.place.clone();
        let named = format!("gRPC status {status}");
        match status {
            0 => Ok(()),
            // Resources that ran out are a message that was too large, or a moment's trouble.
            8 | 11 if message.contains("larger than max") => {
                Err(Attempt::Never(Error::TooLarge { place, bytes: sent }))
            }
            7 | 16 => Err(Attempt::Never(Error::Denied { place, status: named, message })),
            // Deadline, resources, aborted, unavailable: of these all may pass.
            4 | 8 | 10 | 14 => {
                let pushed = text("grpc-retry-pushback-ms").and_then(|ms| ms.parse().ok());
                let wait = pushed.map(Duration::from_millis).or_else(|| retry_after(headers));
                Err(Attempt::Again { why: format!("{named}: {message}"), wait, late: status == 4 })
            }
            _ => Err(Attempt::Never(Error::Refused { place, action, status: named, message })),
        }
    }

    /// What a server says, without the key, should that stand in it.
    fn hushed(&self, said: String) -> String {
        match &self.token {
            Some(key) if said.contains(key.secret()) => said.replace(key.secret(), "…"),
            Some(_) | None => said,
        }
    }

    fn garbage(&self, action: &'static str, what: String) -> Attempt {
        Attempt::Never(Error::Garbage { place: self.place.clone(), action, what })
    }

    /// Reads an answer's bytes, and the headers behind them.
    async fn read(&self, response: reqwest::Response) -> Result<(Vec<u8>, HeaderMap), Attempt> {
        let mut body = http::Response::<reqwest::Body>::from(response).into_body();
        let (mut bytes, mut trailers) = (Vec::new(), HeaderMap::new());
        while let Some(frame) = body.frame().await {
            match frame.map_err(broken)?.into_data() {
                Ok(data) => bytes.extend_from_slice(&data),
                Err(frame) => {
                    if let Ok(behind) = frame.into_trailers() {
                        trailers = behind;
                    }
                }
            }
            if bytes.len() > LARGEST {
                let (place, limit) = (self.place.clone(), LARGEST);
                return Err(Attempt::Never(Error::TooLong { place, limit }));
            }
        }
        Ok((bytes, trailers))
    }

    /// Asks until there is an answer, or none can be expected.
    async fn patiently<T>(
        &self,
        sent: usize,
        ask: impl AsyncFn() -> Result<T, Attempt>,
    ) -> Result<T, Error> {
        let patience = &self.patience;
        let limit = patience.answer + Duration::from_secs(sent as u64 / SLOWEST);
        let mut failures = 0;
        loop {
            let late = || Attempt::Again {
                why: format!("no answer within {} seconds", limit.as_secs_f32()),
                wait: None,
                late: true,
            };
            let asked = tokio::time::timeout(limit, ask()).await;
            let (why, wait, late) = match asked.unwrap_or_else(|_| Err(late())) {
                Ok(answer) => return Ok(answer),
                Err(Attempt::Never(error)) => return Err(error),
                Err(Attempt::Again { why, wait, late }) => (why, wait, late),
            };
            failures += 1;
            if let Some(wait) = wait.filter(|wait| *wait > patience.longest_pause) {
                return Err(Error::Busy { place: self.place.clone(), wait });
            }
            if failures >= patience.attempts {
                let (place, attempts) = (self.place.clone(), failures);
                return Err(Error::GaveUp { place, attempts, why, late });
            }
            let doubled = patience.first_pause.saturating_mul(1 << (failures - 1).min(16));
            let pause = wait.unwrap_or(doubled).min(patience.longest_pause);
            tracing::debug!(place = self.place, why, ?pause, "asking again");
            tokio::time::sleep(pause).await;
        }
    }
}

/// The one message of a gRPC answer.
fn framed(bytes: &[u8]) -> Result<&[u8], String> {
    let (prefix, message) =
        bytes.split_first_chunk::<PREFIX>().ok_or("it ends before its message")?;
    let [flag, length @ ..] = prefix;
    if *flag != 0 {
        return Err("it is compressed, which was not asked for".to_owned());
    }
    let length = u32::from_be_bytes(*length) as usize;
    if length != message.len() {
        return Err(format!("it has {} bytes where it says {length}", message.len()));
    }
    Ok(message)
}

/// A failure of the connection.
fn broken(error: reqwest::Error) -> Attempt {
    // The innermost cause says most, and the address is said anyway.
    let error = error.without_url();
    let is_late = error.is_timeout();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Attempt::Again { why: cause.to_string(), wait: None, late: is_late }
}

/// What a server says went wrong: in Qdrant's form, in Weaviate's, or as it is.
fn message(bytes: &[u8]) -> String {
    let value: Option<Value> = serde_json::from_slice(bytes).ok();
    let said = value
        .as_ref()
        .and_then(said)
        .map_or_else(|| String::from_utf8_lossy(bytes).trim().to_owned(), str::to_owned);
    let short: String = said.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if short.is_empty() { "it says nothing".to_owned() } else { short }
}

/// The same of an answer that has been read.
pub(super) fn said(body: &Value) -> Option<&str> {
    let found = [&body["status"]["error"], &body["error"][0]["message"], &body["message"], body];
    found.into_iter().find_map(Value::as_str)
}

/// gRPC's messages escape bytes as addresses do.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%').then(|| after.get(..2)).flatten();
        let byte = escaped
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_answer_is_one_whole_message() {
        assert_eq!(framed(&[0, 0, 0, 0, 2, 8, 1]), Ok(&[8, 1][..]));
        assert_eq!(framed(&[0, 0, 0, 0, 0]), Ok(&[][..]));
        for wrong in [
            &[][..],
            &[0, 0, 0, 0],
            &[1, 0, 0, 0, 0],
            &[0, 0, 0, 0, 3, 8, 1],
            &[0, 0, 0, 0, 1, 8, 1],
        ] {
            assert!(framed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_servers_say_is_found() {
        assert_eq!(message(br#"{"status":{"error":"Wrong input"},"time":0}"#), "Wrong input");
        assert_eq!(message(br#"{"error":[{"message":"no class"}]}"#), "no class");
        assert_eq!(message(br#"{"message":"late","code":3}"#), "late");
        assert_eq!(message(b"  <h1>Bad\x1b[31m\n</h1> "), "<h1>Bad[31m</h1>");
        assert_eq!(message(b""), "it says nothing");
        assert_eq!(message(&[b'x'; 9999]).len(), SHOWN);
        assert_eq!(unescaped("a%20b%C3%A9%zz%"), "a bé%zz%");
    }
}
