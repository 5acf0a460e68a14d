//! The connection to one remote.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use super::ask;
use super::breaker::{Breaker, Health};
use super::hear::{Ear, Wrong, bounded, words};
use super::lines::LONGEST;
use super::{Error, Fragment, Question};
use crate::config::{KeySource, Remote, RemoteKind};
use crate::environment::{Environment, Token};
use crate::fetch::http_client;

/// The largest answer that is not streamed: embeddings of many texts.
const LARGEST: usize = 256 << 20;
/// The largest file of a key.
const LARGEST_KEY: u64 = 16 << 10;
/// The first pause before a question is sent again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause that is waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// How long listing models may take.
const LISTING: Duration = Duration::from_secs(10);

/// A remote.
pub struct Backend {
    pub(super) name: String,
    pub(super) remote: Remote,
    http: reqwest::Client,
    key: Option<Token>,
    breaker: Mutex<Breaker>,
    opened: Instant,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, remote, .. } = self;
        f.debug_struct("Backend")
            .field("name", name)
            .field("url", &remote.url)
            .finish_non_exhaustive()
    }
}

impl Backend {
    /// Makes ready to ask; nothing is sent. Reads the key: not for the async executor.
    ///
    /// # Errors
    /// If its key cannot be read, or the client cannot be set up.
    pub fn open(
        name: &str,
        remote: &Remote,
        environment: &Environment,
    ) -> Result<Arc<Self>, Error> {
        let key = match &remote.key {
            Some(source) => Some(
                read_key(source)
                    .map_err(|reason| Error::Key { remote: name.to_owned(), reason })?,
            ),
            None => None,
        };
        let near = is_near(&remote.url);
        let client = http_client(environment, remote.connect_timeout, !near);
        let http = client.map_err(|source| Error::Client {
            remote: name.to_owned(),
            source: Box::new(source),
        })?;
        Ok(Arc::new(Self {
            name: name.to_owned(),
            http,
            key,
            breaker: Mutex::new(Breaker::new(remote.breaker_failures, remote.breaker_pause)),
            opened: Instant::now(),
            remote: remote.clone(),
        }))
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its settings.
    pub fn settings(&self) -> &Remote {
        &self.remote
    }

    /// How it is, as far as is known without asking it.
    pub fn health(&self) -> Health {
        self.breaker().health(self.now())
    }

    /// Why it is not to be asked now, if it is not.
    pub fn down(&self) -> Option<String> {
        match self.health() {
            Health::Up => None,
            Health::Resting { until } => {
                let wait = until.saturating_sub(self.now());
                Some(Error::Resting { remote: self.name.clone(), wait }.to_string())
            }
            Health::Trying => Some(format!("`{}` failed, and is being tried again", self.name)),
        }
    }

    /// Its models.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn models(&self) -> Result<Vec<String>, Error> {
        let (path, list, name) = match self.remote.kind {
            RemoteKind::Ollama => ("api/tags", "models", "name"),
            RemoteKind::OpenAi | RemoteKind::Responses => ("v1/models", "data", "id"),
        };
        let limit = LISTING.min(self.remote.first_byte_timeout);
        let asked = async {
            let response = self.send(Method::GET, path, None, "").await?;
            self.json(response).await
        };
        let answer = match tokio::time::timeout(limit, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Silent { remote: self.name.clone(), waited: limit }),
        };
        let answer = self.heard(answer)?;
        let found = answer[list].as_array().ok_or_else(|| self.garbage("it lists no models"))?;
        Ok(found.iter().filter_map(|model| model[name].as_str()).map(str::to_owned).collect())
    }

    /// What it says at `path` as JSON, to `body` if there is one: for questions that no model answers.
    ///
    /// # Errors
    /// If it does not answer, or refuses to.
    pub async fn ask(&self, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        let bytes = body.map(|body| body.to_string().into_bytes().into());
        let method = if bytes.is_some() { Method::POST } else { Method::GET };
        let waited = self.remote.first_byte_timeout;
        let sent = self.send(method, path, bytes.as_ref(), path);
        let Ok(response) = tokio::time::timeout(waited, sent).await else {
            return Err(Error::Silent { remote: self.name.clone(), waited });
        };
        match response {
            Ok(response) => self.json(response).await,
            // What is not there is no model here.
            Err(Error::NoModel { remote, message, .. }) => {
                Err(Error::Refused { remote, status: 404, message })
            }
            Err(error) => Err(error),
        }
    }

    /// Begins an answer; returns when its first fragment is there. Where nothing came, the question is sent again.
    ///
    /// # Errors
    /// If it does not answer, or has no word for the question.
    pub async fn chat(self: &Arc<Self>, question: &Question) -> Result<Answer, Error> {
        let body = ask::chat(&self.name, &self.remote, question)?;
        let bytes: Arc<[u8]> = body.json.to_string().into_bytes().into();
        self.admit()?;
        let path = match self.remote.kind {
            RemoteKind::Ollama => "api/chat",
            RemoteKind::OpenAi => "v1/chat/completions",
            RemoteKind::Responses => "v1/responses",
        };
        let begun = self.patiently(|| self.begin(path, &bytes, question)).await;
        let (response, ear, fragments) = self.heard_later(begun)?;
        Ok(Answer {
            backend: Arc::clone(self),
            response: Some(response),
            ear,
            fragments,
            dropped: body.dropped,
            open: true,
            fault: None,
        })
    }

    /// One attempt to begin an answer: until its first fragment.
    async fn begin(
        &self,
        path: &str,
        bytes: &Arc<[u8]>,
        question: &Question,
    ) -> Result<(Response, Ear, VecDeque<Fragment>), Error> {
        let waited = self.remote.first_byte_timeout;
        let first = async {
            let mut response = self.send(Method::POST, path, Some(bytes), &question.model).await?;
            let content =
                response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let content = content.unwrap_or_default().to_ascii_lowercase();
            if content.starts_with("text/html") {
                return Err(self.garbage("it is a web page"));
            }
            let mut ear = Ear::new(self.remote.kind, &content);
            let mut found = Vec::new();
            while found.is_empty() {
                match response.chunk().await {
                    Ok(Some(chunk)) => {
                        ear.push(&chunk, &mut found).map_err(|wrong| self.wrong(wrong, None))?;
                    }
                    Ok(None) => {
                        ear.finish(&mut found).map_err(|wrong| self.wrong(wrong, None))?;
                        break;
                    }
                    Err(source) => return Err(self.wrong(Wrong::Cut, Some(source))),
                }
            }
            Ok((response, ear, found.into()))
        };
        match tokio::time::timeout(waited, first).await {
            Ok(begun) => begun,
            Err(_) => Err(Error::Silent { remote: self.name.clone(), waited }),
        }
    }

    /// Tries until it works, it makes no sense to go on, or it was tried often enough.
    pub(super) async fn patiently<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut failures = 0;
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let Some(asked) = error.again() else { return Err(error) };
            if failures >= self.remote.retries {
                return Err(error);
            }
            let doubled = FIRST_PAUSE.saturating_mul(1 << failures.min(8));
            let pause = asked.unwrap_or(doubled);
            if pause > LONGEST_PAUSE {
                return Err(error);
            }
            failures += 1;
            tracing::debug!(remote = %self.name, %error, ?pause, "asking again");
            tokio::time::sleep(pause).await;
        }
    }

    /// One request, and its answer's headers; an error unless they say that it went well.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Arc<[u8]>>,
        model: &str,
    ) -> Result<Response, Error> {
        let url = format!("{}/{path}", self.remote.url);
        let mut request = self.http.request(method, url).header(ACCEPT_ENCODING, "identity");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {}", key.secret()));
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        }
        let remote = || self.name.clone();
        let response = request.send().await.map_err(|source| {
            let source = source.without_url();
            Error::Unreachable { remote: remote(), source }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let wait = retry_after(response.headers());
        let said = self.said(response).await;
        let status_code = status.as_u16();
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Error::Busy { remote: remote(), status: status_code, wait }
            }
            StatusCode::NOT_FOUND => {
                Error::NoModel { remote: remote(), model: model.to_owned(), message: said }
            }
            status if status.is_server_error() => {
                Error::Failed { remote: remote(), status: Some(status_code), message: said }
            }
            _ => Error::Refused { remote: remote(), status: status_code, message: said },
        })
    }

    /// What an answer that says no says, as far as it is shown.
    async fn said(&self, mut response: Response) -> String {
        let status = response.status();
        let mut body = Vec::new();
        let read = async {
            while let Ok(Some(chunk)) = response.chunk().await {
                body.extend_from_slice(&chunk);
                if body.len() > 1 << 16 {
                    break;
                }
            }
        };
        // Whatever came in time is good enough.
        let _ = tokio::time::timeout(self.remote.idle_timeout.min(LISTING), read).await;
        let parsed: Option<Value> = serde_json::from_slice(&body).ok();
        let said = match parsed {
            Some(value) => words(value.get("error").unwrap_or(&value)),
            None => bounded(&String::from_utf8_lossy(&body)),
        };
        if said.is_empty() {
            status.canonical_reason().unwrap_or("no reason").to_owned()
        } else {
            said
        }
    }

    /// The body of an answer that is JSON.
    pub(super) async fn json(&self, mut response: Response) -> Result<Value, Error> {
        let mut body = Vec::new();
        let idle = self.remote.first_byte_timeout.max(self.remote.idle_timeout);
        loop {
            let Ok(chunk) = tokio::time::timeout(idle, response.chunk()).await else {
                return Err(Error::Silent { remote: self.name.clone(), waited: idle });
            };
            match chunk {
                Ok(Some(chunk)) if body.len() + chunk.len() > LARGEST => {
                    return Err(Error::TooLarge { remote: self.name.clone(), limit: LARGEST });
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(source) => return Err(self.wrong(Wrong::Cut, Some(source))),
            }
        }
        serde_json::from_slice(&body)
            .map_err(|_| self.garbage("it is not the JSON that was expected"))
    }

    pub(super) fn garbage(&self, what: &str) -> Error {
        Error::Garbage { remote: self.name.clone(), what: what.to_owned() }
    }

    fn wrong(&self, wrong: Wrong, source: Option<reqwest::Error>) -> Error {
        let remote = self.name.clone();
        match wrong {
            Wrong::Garbage(what) => Error::Garbage { remote, what },
            Wrong::TooLarge => Error::TooLarge { remote, limit: LONGEST },
            Wrong::Failed(message) => Error::Failed { remote, status: None, message },
            Wrong::Cut => Error::Cut { remote, source: source.map(reqwest::Error::without_url) },
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // Whoever panicked held it for no longer than it takes to change a number.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.opened.elapsed()
    }

    pub(super) fn admit(&self) -> Result<(), Error> {
        let now = self.now();
        let admitted = self.breaker().admit(now);
        admitted.map_err(|wait| Error::Resting { remote: self.name.clone(), wait })
    }

    /// Tells the breaker how it went.
    pub(super) fn heard<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_ok() {
            self.breaker().succeeded();
        }
        self.heard_later(result)
    }

    /// Tells the breaker of a failure; whether it went well is not known yet.
    fn heard_later<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result {
            let now = self.now();
            if error.is_the_remotes() {
                self.breaker().failed(now);
            } else {
                // It answered, and so it works.
                self.breaker().succeeded();
            }
        }
        result
    }
}

/// An answer under way. Dropping it ends the connection.
#[derive(Debug)]
pub struct Answer {
    backend: Arc<Backend>,
    response: Option<Response>,
    ear: Ear,
    fragments: VecDeque<Fragment>,
    dropped: Vec<&'static str>,
    open: bool,
    fault: Option<Error>,
}

impl Answer {
    /// Fields of the question that were left out, because the remote's settings allow it.
    pub fn dropped(&self) -> &[&'static str] {
        &self.dropped
    }

    /// The next fragment, or `None` after the end.
    ///
    /// # Errors
    /// If the remote failed, or the answer ended in the middle; nothing follows then.
    pub async fn next(&mut self) -> Result<Option<Fragment>, Error> {
        loop {
            if let Some(fragment) = self.fragments.pop_front() {
                if matches!(fragment, Fragment::End(_)) {
                    self.open = false;
                    self.backend.breaker().succeeded();
                }
                return Ok(Some(fragment));
            }
            if !self.open {
                return Ok(None);
            }
            if let Some(fault) = self.fault.take() {
                self.open = false;
                self.response = None;
                return self.backend.heard_later(Err(fault));
            }
            // What came before a fault is told first.
            self.fault = self.read().await.err();
        }
    }

    async fn read(&mut self) -> Result<(), Error> {
        let backend = &self.backend;
        let idle = backend.remote.idle_timeout;
        let chunk = match &mut self.response {
            None => None,
            Some(response) => match tokio::time::timeout(idle, response.chunk()).await {
                Ok(Ok(chunk)) => chunk,
                Ok(Err(source)) => return Err(backend.wrong(Wrong::Cut, Some(source))),
                Err(_) => return Err(Error::Silent { remote: backend.name.clone(), waited: idle }),
            },
        };
        let mut found = Vec::new();
        let heard = match &chunk {
            Some(chunk) => self.ear.push(chunk, &mut found),
            None => self.ear.finish(&mut found),
        };
        self.fragments.extend(found);
        match heard {
            Ok(()) => Ok(()),
            Err(wrong) => Err(backend.wrong(wrong, None)),
        }
    }
}

/// The key that is at `source`, or why it is none.
pub(crate) fn read_key(source: &KeySource) -> Result<Token, String> {
    use std::io::Read as _;
    let (text, place) = match source {
        KeySource::Variable(name) => {
            let text =
                std::env::var(name).map_err(|_| format!("the variable `{name}` is not set"))?;
            (text, format!("the variable `{name}`"))
        }
        KeySource::File(path) => {
            let fail = |error: std::io::Error| format!("{}: {error}", path.display());
            let mut text = String::new();
            let file = std::fs::File::open(path).map_err(fail)?;
            file.take(LARGEST_KEY).read_to_string(&mut text).map_err(fail)?;
            (text, path.display().to_string())
        }
        KeySource::Given(key) => return Ok(key.clone()),
    };
    Token::new(&text)
        .ok_or_else(|| format!("{place} holds no key: one word of printable characters"))
}

/// Whether an address is on this machine, where no proxy leads.
pub(crate) fn is_near(url: &str) -> bool {
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| {
        let bare = host.trim_matches(['[', ']']);
        host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// The pause that an answer asks for, in seconds; a date is not read.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    text.parse().ok().map(Duration::from_secs)
}
