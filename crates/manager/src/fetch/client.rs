//! Requests to the hub: redirects, tokens, statuses and repetition.

use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, LOCATION, RANGE,
    RETRY_AFTER,
};
use reqwest::{Method, NoProxy, Proxy, Response, StatusCode, Url, redirect};

use super::{Observer, Patience, Progress};
use crate::catalog::ModelName;
use crate::environment::{Environment, Token};
use crate::error::{AnswerFault, Error, Result};

/// The largest list of files: the largest repositories of models need about 1 MB.
const LARGEST_LISTING: u64 = 16 << 20;
/// The most redirects followed.
const REDIRECTS: usize = 8;

/// `Proxy::http` or `Proxy::https`.
type ProxyOf = fn(String) -> reqwest::Result<Proxy>;

#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    endpoint: Url,
    token: Option<Token>,
    pub(super) patience: Patience,
}

/// What a `HEAD` request tells of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) size: Option<u64>,
    pub(super) etag: Option<String>,
    pub(super) commit: Option<String>,
}

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Attempt {
    /// It may work the next time.
    Again { url: String, cause: Cause, wait: Option<Duration> },
    /// It will not.
    Never(Error),
}

/// What may be different the next time.
#[derive(Debug)]
pub(super) enum Cause {
    Network(reqwest::Error),
    Stalled(Duration),
    Cut { received: u64, expected: u64 },
    Status(u16),
}

impl Cause {
    fn words(&self) -> String {
        match self {
            Self::Network(error) => innermost(error),
            Self::Stalled(idle) => format!("nothing came for {} seconds", idle.as_secs_f32()),
            Self::Cut { received, expected } => {
                format!("the connection ended after {received} of {expected} bytes")
            }
            Self::Status(status) => format!("status {status}"),
        }
    }

    fn error(self, url: String, attempts: u32) -> Error {
        match self {
            Self::Network(source) => Error::Unreachable { url, attempts, source },
            Self::Stalled(idle) => Error::Stalled { url, idle, attempts },
            Self::Cut { received, expected } => {
                Error::CutShort { url, received, expected, attempts }
            }
            Self::Status(status) => Error::Status { url, status },
        }
    }
}

/// Counts failures and pauses between them.
#[derive(Debug, Default)]
pub(super) struct Retries {
    failures: u32,
}

impl Retries {
    /// Something worked: the count begins anew.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Sleeps before the next attempt.
    ///
    /// # Errors
    /// The failure itself, when there is no point in another attempt.
    pub(super) async fn pause(
        &mut self,
        patience: &Patience,
        attempt: Attempt,
        file: Option<&str>,
        observer: &Observer,
    ) -> Result<()> {
        let (url, cause, asked) = match attempt {
            Attempt::Never(error) => return Err(error),
            Attempt::Again { url, cause, wait } => (url, cause, wait),
        };
        self.failures += 1;
        if self.failures >= patience.attempts {
            return Err(cause.error(url, self.failures));
        }
        if let Some(wait) = asked.filter(|wait| *wait > patience.longest_pause) {
            return Err(Error::RateLimited { url, wait });
        }
        let doubled = patience.first_pause.saturating_mul(1 << (self.failures - 1).min(16));
        let wait = asked.unwrap_or(doubled).min(patience.longest_pause);
        observer(Progress::Retrying {
            file: file.map(ToOwned::to_owned),
            reason: cause.words(),
            wait,
        });
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// A client that follows no redirect, and uses no proxy unless it is told to.
pub(crate) fn plain_client(connect: Duration) -> reqwest::ClientBuilder {
    // The process may have chosen a provider already; either serves.
    #[cfg(not(target_os = "macos"))]
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .user_agent(concat!("folio/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect)
        .redirect(redirect::Policy::none())
        .no_proxy()
}

/// The proxies of the environment.
fn proxies(environment: &Environment) -> Result<Vec<Proxy>> {
    let bad = |address: &str| Error::InvalidAddress { address: address.to_owned(), of: "proxy" };
    let proxies = &environment.proxies;
    let except = proxies.except.as_deref().and_then(NoProxy::from_string);
    let mut found = Vec::new();
    for (address, make) in
        [(&proxies.http, Proxy::http as ProxyOf), (&proxies.https, Proxy::https as ProxyOf)]
    {
        let Some(address) = address else { continue };
        let whole =
            if address.contains("://") { address.clone() } else { format!("http://{address}") };
        let proxy = make(whole).map_err(|_| bad(address))?;
        found.push(proxy.no_proxy(except.clone()));
    }
    Ok(found)
}

/// A client for servers that are no hub: no redirect is followed, and a proxy is used only for those that are `far`.
pub(crate) fn http_client(
    environment: &Environment,
    connect: Duration,
    far: bool,
) -> Result<reqwest::Client> {
    let builder = http_client_builder(environment, connect, far)?;
    builder.build().map_err(|source| Error::Client { source })
}

/// The same, to be told more.
pub(crate) fn http_client_builder(
    environment: &Environment,
    connect: Duration,
    far: bool,
) -> Result<reqwest::ClientBuilder> {
    let mut builder = plain_client(connect);
    for proxy in if far { proxies(environment)? } else { Vec::new() } {
        builder = builder.proxy(proxy);
    }
    Ok(builder)
}

impl Client {
    pub(super) fn new(environment: &Environment, patience: Patience) -> Result<Self> {
        let bad = |address: &str, of| Error::InvalidAddress { address: address.to_owned(), of };
        let endpoint: Url =
            environment.endpoint.parse().map_err(|_| bad(&environment.endpoint, "hub"))?;
        if !matches!(endpoint.scheme(), "http" | "https") || endpoint.host_str().is_none() {
            return Err(bad(&environment.endpoint, "hub"));
        }
        let mut builder = plain_client(patience.connect);
        for proxy in proxies(environment)? {
            builder = builder.proxy(proxy);
        }
        let http = builder.build().map_err(|source| Error::Client { source })?;
        Ok(Self { http, endpoint, token: environment.token(), patience })
    }

    fn url<'a>(&self, parts: impl Iterator<Item = &'a str>) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }

    /// `/api/models/ORG/NAME/revision/REVISION?blobs=true`
    pub(super) fn listing_url(&self, name: &ModelName) -> Url {
        let parts = ["api", "models"].into_iter().chain(name.repository().split('/'));
        let mut url = self.url(parts.chain(["revision", name.revision_or_main()]));
        url.set_query(Some("blobs=true"));
        url
    }

    /// `/ORG/NAME/resolve/COMMIT/FILE`
    pub(super) fn file_url(&self, name: &ModelName, commit: &str, file: &str) -> Url {
        self.url(name.repository().split('/').chain(["resolve", commit]).chain(file.split('/')))
    }

    /// The body of an answer that should be JSON.
    pub(super) async fn json(&self, name: &ModelName, url: &Url) -> Result<Vec<u8>, Attempt> {
        let mut response = self.send(name, Method::GET, url, None).await?;
        if is_web_page(response.headers()) {
            return Err(Attempt::Never(Error::BadAnswer {
                url: url.to_string(),
                fault: AnswerFault::WebPage,
            }));
        }
        // Time for the whole list is bounded, or a slow drip would hold us for ever.
        let idle = self.patience.idle;
        let read = async {
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|e| network(url, e))? {
                body.extend_from_slice(&chunk);
                if body.len() as u64 > LARGEST_LISTING {
                    let fault = AnswerFault::TooLarge { limit: LARGEST_LISTING };
                    return Err(Attempt::Never(Error::BadAnswer { url: url.to_string(), fault }));
                }
            }
            Ok(body)
        };
        match tokio::time::timeout(idle, read).await {
            Ok(body) => body,
            Err(_) => Err(Attempt::Again {
                url: url.to_string(),
                cause: Cause::Stalled(idle),
                wait: None,
            }),
        }
    }

    /// What the hub says of a file, before any redirect to where its bytes are.
    pub(super) async fn head(&self, name: &ModelName, url: &Url) -> Result<Head, Attempt> {
        Ok(head(self.send(name, Method::HEAD, url, None).await?.headers()))
    }

    /// The bytes of a file from `from` on.
    pub(super) async fn get(
        &self,
        name: &ModelName,
        url: &Url,
        from: u64,
    ) -> Result<Response, Attempt> {
        self.send(name, Method::GET, url, (from > 0).then_some(from)).await
    }

    /// One request, with the redirects it meets. The token goes to the hub itself and nowhere else.
    async fn send(
        &self,
        name: &ModelName,
        method: Method,
        first: &Url,
        from: Option<u64>,
    ) -> Result<Response, Attempt> {
        let mut url = first.clone();
        for _ in 0..=REDIRECTS {
            let home = url.origin() == self.endpoint.origin();
            let mut request =
                self.http.request(method.clone(), url.clone()).header(ACCEPT_ENCODING, "identity");
            if let Some(token) = self.token.as_ref().filter(|_| home) {
                request = request.header(AUTHORIZATION, format!("Bearer {}", token.secret()));
            }
            if let Some(from) = from {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            let idle = self.patience.idle;
            let response = match tokio::time::timeout(idle, request.send()).await {
                Ok(answer) => answer.map_err(|error| network(first, error))?,
                Err(_) => {
                    return Err(Attempt::Again {
                        url: first.to_string(),
                        cause: Cause::Stalled(idle),
                        wait: None,
                    });
                }
            };
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            if !status.is_redirection() {
                // A storage host that refuses does not know of licences: its link has expired, and the hub gives another.
                let expired = !home && status != StatusCode::RANGE_NOT_SATISFIABLE;
                return Err(match self.refusal(name, first, status, response.headers()) {
                    Attempt::Never(_) if expired => {
                        let (url, cause) = (first.to_string(), Cause::Status(status.as_u16()));
                        Attempt::Again { url, cause, wait: None }
                    }
                    attempt @ (Attempt::Again { .. } | Attempt::Never(_)) => attempt,
                });
            }
            let lost = || {
                Attempt::Never(Error::BadAnswer {
                    url: first.to_string(),
                    fault: AnswerFault::Redirect,
                })
            };
            let target = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = target.and_then(|target| url.join(target).ok()).ok_or_else(lost)?;
            if method == Method::HEAD && next.origin() != self.endpoint.origin() {
                return Ok(response);
            }
            let downgrade = url.scheme() == "https" && next.scheme() != "https";
            if downgrade || !matches!(next.scheme(), "http" | "https") {
                return Err(lost());
            }
            url = next;
        }
        Err(Attempt::Never(Error::BadAnswer {
            url: first.to_string(),
            fault: AnswerFault::Redirect,
        }))
    }

    fn refusal(
        &self,
        name: &ModelName,
        url: &Url,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Attempt {
        let code = headers.get("x-error-code").and_then(|value| value.to_str().ok()).unwrap_or("");
        let token_sent = self.token.is_some();
        let (url, status) = (url.to_string(), status.as_u16());
        let missing = |missing: &str| Error::RevisionNotFound {
            name: name.repository().to_owned(),
            missing: missing.to_owned(),
        };
        Attempt::Never(match (status, code) {
            (408 | 425 | 429 | 500..=599, _) => {
                return Attempt::Again {
                    url,
                    cause: Cause::Status(status),
                    wait: retry_after(headers),
                };
            }
            (_, "RevisionNotFound") => missing(name.revision_or_main()),
            (_, "EntryNotFound") => missing(&url),
            (_, "RepoNotFound") => Error::RepositoryNotFound { name: name.to_string(), token_sent },
            (403, _) | (401, "GatedRepo") => {
                let page = self.url(name.repository().split('/')).to_string();
                Error::Gated { name: name.to_string(), page, status, token_sent }
            }
            (401 | 404, _) => Error::RepositoryNotFound { name: name.to_string(), token_sent },
            _ => Error::Status { url, status },
        })
    }
}

/// A broken connection. The address inside the error goes: behind a redirect it is a signed one, a secret.
pub(super) fn network(url: &Url, error: reqwest::Error) -> Attempt {
    Attempt::Again { url: url.to_string(), cause: Cause::Network(error.without_url()), wait: None }
}

/// The innermost reason: the outer ones only say that a request failed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

/// A web page where data should be: a captive portal, a proxy's notice.
pub(super) fn is_web_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    kind.trim_start().to_ascii_lowercase().starts_with("text/html")
}

/// The pause asked for, in whole seconds; the form with a date counts as none.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

fn head(headers: &HeaderMap) -> Head {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let linked = text("x-linked-etag");
    // Behind a redirect, `content-length` is that of the redirect's own body.
    let own = || text(CONTENT_LENGTH.as_str()).filter(|_| text("location").is_none());
    Head {
        size: text("x-linked-size").or_else(own).and_then(|value| value.parse().ok()),
        etag: linked.or_else(|| text(ETAG.as_str())).map(ToOwned::to_owned),
        commit: text("x-repo-commit").map(ToOwned::to_owned),
    }
}

/// `bytes START-END/TOTAL`; the total may be `*`.
pub(super) fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get("content-range")?.to_str().ok()?.trim();
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn headers_are_read() {
        let h = headers(&[
            ("etag", "\"x\""),
            ("x-linked-etag", "\"y\""),
            ("x-linked-size", "12"),
            ("content-length", "3"),
        ]);
        assert_eq!(head(&h), Head { size: Some(12), etag: Some("\"y\"".into()), commit: None });
        assert_eq!(head(&headers(&[("content-length", "3"), ("location", "/x")])).size, None);
        assert_eq!(
            content_range(&headers(&[("content-range", "bytes 5-9/10")])),
            Some((5, Some(10)))
        );
        assert_eq!(content_range(&headers(&[("content-range", "bytes 5-9/*")])), Some((5, None)));
        assert_eq!(content_range(&headers(&[("content-range", "items 5-9/10")])), None);
        assert_eq!(retry_after(&headers(&[("retry-after", "7")])), Some(Duration::from_secs(7)));
        assert!(is_web_page(&headers(&[("content-type", "Text/HTML; charset=utf-8")])));
    }

    #[test]
    fn addresses_are_escaped() {
        let vars = [("HF_ENDPOINT".into(), "http://mirror/hf/".into())];
        let client = Client::new(&Environment::from_vars(vars), Patience::default()).unwrap();
        let name: ModelName = "a/b@refs/pr/1".parse().unwrap();
        assert_eq!(
            client.listing_url(&name).as_str(),
            "http://mirror/hf/api/models/a/b/revision/refs%2Fpr%2F1?blobs=true"
        );
        assert_eq!(
            client.file_url(&name, "abc", "x/y z?#.json").as_str(),
            "http://mirror/hf/a/b/resolve/abc/x/y%20z%3F%23.json"
        );
    }
}
