//! Who may speak: keys, and which web pages.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use manager::flight::Flight;
use sha2::{Digest as _, Sha256};

use crate::allowance::Allowance;
use crate::fault::Fault;
use crate::state::Server;

/// A key that opens the gate; only its hash is kept.
#[derive(Clone, Eq, PartialEq)]
pub struct Key {
    name: String,
    digest: [u8; 32],
    allowance: Allowance,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Key {
    /// The key `secret`, of whom `name` says.
    pub fn new(name: impl Into<String>, secret: &str) -> Self {
        Self::hashed(name, Sha256::digest(secret.as_bytes()).into())
    }

    /// The key whose SHA-256 this is.
    pub fn hashed(name: impl Into<String>, digest: [u8; 32]) -> Self {
        Self { name: name.into(), digest, allowance: Allowance::default() }
    }

    /// The same, which may ask for so much.
    #[must_use]
    pub fn allowed(self, allowance: Allowance) -> Self {
        Self { allowance, ..self }
    }

    /// Whose it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// In a time that says nothing of where the two differ: hashes of chosen texts cannot be steered.
    fn fits(&self, digest: &[u8; 32]) -> bool {
        self.digest.iter().zip(digest).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }
}

/// Who may speak.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// One of these must be shown, if there are any.
    pub keys: Vec<Key>,
    /// Web pages that may speak to us, as `https://name:port`; `*` lets all.
    pub origins: BTreeSet<String>,
    /// Names in `Host` beside addresses and `localhost`; `*` lets all.
    pub hosts: BTreeSet<String>,
}

/// Who asks.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Client {
    /// Whose key was shown; empty if none is asked for.
    name: Arc<str>,
    /// How much that key may ask for.
    allowance: Allowance,
    /// Nobody but the model that was named may answer.
    pub(crate) strict: bool,
}

/// The header by which a client forbids that another model answers than the first that could.
const STRICT: &str = "x-folio-fallback";

impl Client {
    /// A number that tells clients apart; 0 is nobody in particular.
    pub(crate) fn number(&self) -> u64 {
        if self.name.is_empty() {
            return 0;
        }
        let digest = Sha256::digest(self.name.as_bytes());
        let number = digest.first_chunk().map_or(1, |bytes| u64::from_le_bytes(*bytes));
        number.max(1)
    }
}

impl Gate {
    /// Whether an address may be listened on: another than a loopback address needs a key.
    pub fn allows(&self, address: SocketAddr) -> bool {
        address.ip().is_loopback() || !self.keys.is_empty()
    }

    fn client(&self, headers: &HeaderMap) -> Result<Client, Fault> {
        let strict = match headers.get(STRICT).map(|value| value.as_bytes()) {
            None | Some(b"allow") => false,
            Some(b"forbid") => true,
            Some(_) => {
                let message = format!("`{STRICT}` must be allow or forbid");
                return Err(Fault::field(STRICT, message));
            }
        };
        if self.keys.is_empty() {
            return Ok(Client { strict, ..Client::default() });
        }
        let bearer = || {
            let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
            let (scheme, key) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
        };
        let shown = bearer().or_else(|| headers.get("x-api-key")?.to_str().ok());
        let refuse = |message: &str| {
            let fault = Fault::of(StatusCode::UNAUTHORIZED, message);
            Err(fault.coded("invalid_api_key"))
        };
        let Some(shown) = shown else {
            return refuse("a key is needed: send `Authorization: Bearer KEY` or `x-api-key: KEY`");
        };
        let digest: [u8; 32] = Sha256::digest(shown.as_bytes()).into();
        match self.keys.iter().find(|key| key.fits(&digest)) {
            Some(key) => {
                let name = key.name.as_str().into();
                Ok(Client { name, allowance: key.allowance, strict })
            }
            None => refuse("this key is not known here"),
        }
    }

    /// A web page of a stranger cannot make a browser speak to us: neither as itself, nor under a name of its own that
    /// leads to this machine.
    fn check_page(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Fault> {
        let refuse = |message: String| Err(Fault::of(StatusCode::FORBIDDEN, message));
        let host = match headers.get(HOST).map(|host| host.to_str()) {
            Some(Ok(host)) => host,
            Some(Err(_)) => return refuse("`Host` is not text".to_owned()),
            None => uri.authority().map_or("localhost", |authority| authority.as_str()),
        };
        let name = host_name(host);
        let known = name.eq_ignore_ascii_case("localhost")
            || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
            || ["*", &name.to_ascii_lowercase()].iter().any(|&name| self.hosts.contains(name));
        if !known {
            return refuse(format!(
                "this server is not called `{name}`: start it with `--allow-host {name}` if it is"
            ));
        }
        let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().unwrap_or("");
        let own = origin.split_once("://").is_some_and(|(_, of)| of.eq_ignore_ascii_case(host));
        if own || self.lets(origin) {
            return Ok(());
        }
        refuse(format!(
            "web pages of `{origin}` may not speak to this server: start it with `--allow-origin {origin}` if they may"
        ))
    }

    fn lets(&self, origin: &str) -> bool {
        self.origins.contains("*") || self.origins.contains(&origin.to_ascii_lowercase())
    }
}

/// The name in `NAME:PORT`.
fn host_name(host: &str) -> &str {
    match host.rfind(':') {
        Some(at) if host[at + 1..].bytes().all(|b| b.is_ascii_digit()) => &host[..at],
        _ => host,
    }
}

/// Lets a request through, or not; answers a browser that asks whether it may.
pub(crate) async fn check(
    State(server): State<Server>,
    mut request: Request,
    next: Next,
) -> Response {
    let rules = server.rules();
    let gate = &rules.gate;
    let headers = request.headers();
    if let Err(fault) = gate.check_page(headers, request.uri()) {
        return fault.into_response();
    }
    let origin =
        headers.get(ORIGIN).filter(|origin| gate.lets(origin.to_str().unwrap_or(""))).cloned();
    let asks = request.method() == Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if asks {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let open = crate::openapi::is_open(request.uri().path());
        match gate.client(headers) {
            Err(fault) if !open => fault.into_response(),
            client => {
                let client = client.unwrap_or_default();
                let flight = request.extensions().get::<Flight>().cloned();
                if let Some(flight) = &flight {
                    flight.by(&client.name);
                }
                // Who looks around asks for nothing.
                let looks = matches!(*request.method(), Method::GET | Method::HEAD);
                let Client { name, allowance, .. } = &client;
                let allowance = if looks { Allowance::default() } else { *allowance };
                match server.accounts.begin(name, allowance, flight) {
                    Err(fault) => fault.into_response(),
                    Ok(under) => {
                        request.extensions_mut().insert(client);
                        let mut response = next.run(request).await;
                        // Kept by what records the answer, until that is sent.
                        if let Some(under) = under {
                            response.extensions_mut().insert(under);
                        }
                        response
                    }
                }
            }
        }
    };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, header::HeaderValue::from_static("origin"));
        if asks {
            let fixed = header::HeaderValue::from_static;
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, fixed("GET, POST, DELETE"));
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                fixed("authorization, content-type, x-api-key, x-request-id, anthropic-version, mcp-session-id"),
            );
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, fixed("600"));
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn uri() -> Uri {
        Uri::from_static("/v1/models")
    }

    #[test]
    fn pages_of_strangers_are_refused() {
        let gate = Gate {
            origins: BTreeSet::from(["https://app.example".to_owned()]),
            hosts: BTreeSet::from(["box.lan".to_owned()]),
            ..Gate::default()
        };
        let check = |list: &[(&'static str, &str)]| gate.check_page(&headers(list), &uri()).is_ok();
        assert!(check(&[("host", "localhost:3654")]));
        assert!(check(&[("host", "127.0.0.1:3654")]));
        assert!(check(&[("host", "[::1]:3654")]));
        assert!(check(&[("host", "Box.lan")]));
        assert!(!check(&[("host", "evil.example:3654")]));
        assert!(check(&[("host", "localhost:1"), ("origin", "http://localhost:1")]));
        assert!(!check(&[("host", "localhost:1"), ("origin", "http://localhost:2")]));
        assert!(!check(&[("host", "localhost:1"), ("origin", "null")]));
        assert!(check(&[("host", "localhost"), ("origin", "https://app.example")]));
        assert!(!check(&[("host", "localhost"), ("origin", "https://app.example.evil")]));
    }

    #[test]
    fn a_key_is_asked_for_where_there_is_one() {
        let gate = Gate {
            keys: vec![Key::new("ann", "secret"), Key::new("bob", "other")],
            ..Gate::default()
        };
        let who = |list: &[(&'static str, &str)]| {
            gate.client(&headers(list)).map(|client| client.name.to_string())
        };
        assert_eq!(who(&[("authorization", "Bearer secret")]).unwrap(), "ann");
        assert_eq!(who(&[("x-api-key", "other")]).unwrap(), "bob");
        for wrong in
            [&[][..], &[("authorization", "Bearer Secret")], &[("authorization", "Basic secret")]]
        {
            let fault = who(wrong).unwrap_err();
            assert_eq!((fault.status.as_u16(), fault.code), (401, Some("invalid_api_key")));
        }
        assert!(!format!("{gate:?}").contains("secret"));
        assert!(!Gate::default().allows("0.0.0.0:1".parse().unwrap()));
        assert!(gate.allows("0.0.0.0:1".parse().unwrap()));
        assert!(Gate::default().allows("[::1]:1".parse().unwrap()));
    }
}
