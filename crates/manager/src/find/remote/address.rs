//! Where pages lie that are not on this machine: `qdrant://HOST:PORT/COLLECTION`, `weaviate://HOST:PORT/COLLECTION`.

use std::fmt;
use std::path::Path;

use reqwest::Url;

use super::Error;

/// Which server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// Qdrant, over its HTTP interface.
    Qdrant,
    /// Weaviate, over its HTTP interface and gRPC.
    Weaviate,
}

impl ServerKind {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qdrant => "Qdrant",
            Self::Weaviate => "Weaviate",
        }
    }

    /// The variable of the environment that holds its key, as its own tools call it.
    pub fn key_variable(self) -> &'static str {
        match self {
            Self::Qdrant => "QDRANT_API_KEY",
            Self::Weaviate => "WEAVIATE_API_KEY",
        }
    }
}

/// A collection of pages on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub(super) kind: ServerKind,
    /// `http://HOST:PORT`, or `https`.
    pub(super) rest: Url,
    /// The same for gRPC; of Qdrant nobody asks for it.
    pub(super) grpc: Url,
    pub(super) collection: String,
}

/// The most characters of a collection's name.
const MOST_NAME: usize = 200;

impl Address {
    /// Whether `text` is meant for one: anything that begins as they do.
    pub fn is_meant(text: &Path) -> bool {
        let text = text.to_str().unwrap_or_default();
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
        matches!(scheme, "qdrant" | "qdrant+tls" | "weaviate" | "weaviate+tls")
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is none, or a key stands in it.
    pub fn read(text: &str) -> Result<Self, Error> {
        let bad = |reason| Error::Address { address: without_secrets(text), reason };
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| bad("it begins with no kind of server"))?;
        let (kind, tls) = match scheme {
            "qdrant" => (ServerKind::Qdrant, false),
            "qdrant+tls" => (ServerKind::Qdrant, true),
            "weaviate" => (ServerKind::Weaviate, false),
            "weaviate+tls" => (ServerKind::Weaviate, true),
            _ => {
                return Err(bad(
                    "it begins with none of qdrant://, qdrant+tls://, weaviate:// and \
                                weaviate+tls://",
                ));
            }
        };
        let http = if tls { "https" } else { "http" };
        let url = Url::parse(&format!("{http}://{rest}")).map_err(|_| bad("it is none"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("a key does not belong into it"));
        }
        let host = url.host_str().ok_or_else(|| bad("it names no host"))?.to_owned();
        let name = url.path().trim_start_matches('/').trim_end_matches('/').to_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let begins = name.chars().next();
        match kind {
            _ if name.is_empty() => return Err(bad("it names no collection")),
            _ if name.len() > MOST_NAME || !name.chars().all(plain) => {
                return Err(bad("a collection's name is letters, digits, `_` and `-`"));
            }
            ServerKind::Weaviate
                if name.contains('-') || !begins.is_some_and(|c| c.is_ascii_uppercase()) =>
            {
                return Err(bad("Weaviate's collections begin with a capital and have no `-`"));
            }
            ServerKind::Qdrant | ServerKind::Weaviate => {}
        }
        let usual = match (kind, tls) {
            (ServerKind::Qdrant, _) => (6333, 6334),
            (ServerKind::Weaviate, false) => (8080, 50051),
            (ServerKind::Weaviate, true) => (443, 443),
        };
        // A URL forgets the port that is usual for its own scheme.
        let said = said_port(rest).or(url.port());
        let at = |host: &str, port: u16| Url::parse(&format!("{http}://{host}:{port}"));
        let rest = at(&host, said.unwrap_or(usual.0)).map_err(|_| bad("it is none"))?;
        let mut grpc = at(&host, usual.1).map_err(|_| bad("it is none"))?;
        for (name, value) in url.query_pairs() {
            match (kind, &*name) {
                (ServerKind::Weaviate, "grpc") => {
                    let place = match value.parse::<u16>() {
                        Ok(port) => format!("{http}://{host}:{port}"),
                        Err(_) => format!("{http}://{value}"),
                    };
                    grpc = Url::parse(&place)
                        .ok()
                        .filter(|url| url.host_str().is_some() && url.path() == "/")
                        .ok_or_else(|| bad("`grpc` is a port, or a host and a port"))?;
                }
                (ServerKind::Weaviate | ServerKind::Qdrant, _) => {
                    return Err(bad("after `?` there may be `grpc=PORT` or `grpc=HOST:PORT`, of \
                                    Weaviate alone"));
                }
            }
        }
        if url.fragment().is_some() {
            return Err(bad("it has a part after `#`"));
        }
        Ok(Self { kind, rest, grpc, collection: name })
    }

    /// Which server it is.
    pub fn kind(&self) -> ServerKind {
        self.kind
    }

    /// The collection's name.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// Whether what is sent there can be read on the way.
    pub fn is_open(&self) -> bool {
        self.rest.scheme() == "http" && !crate::remote::is_near(self.rest.as_str())
    }
}

/// The port that is written behind a host.
fn said_port(rest: &str) -> Option<u16> {
    let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (before, port) = place.rsplit_once(':')?;
    // A colon within brackets is a part of the address.
    if before.contains('[') && !before.contains(']') { None } else { port.parse().ok() }
}

/// An address as it may be shown: what stands before `@` may be a key.
fn without_secrets(text: &str) -> String {
    let shown: String = text.chars().take(200).collect();
    match (shown.split_once("://"), shown.rfind('@')) {
        (Some((scheme, _)), Some(at)) => format!("{scheme}://…{}", &shown[at..]),
        _ => shown,
    }
}

impl fmt::Display for Address {
    /// As it is read, with all ports.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.rest.scheme() == "https" { "+tls" } else { "" };
        let place = |url: &Url| {
            let host = url.host_str().unwrap_or_default();
            format!("{host}:{}", url.port_or_known_default().unwrap_or_default())
        };
        match self.kind {
            ServerKind::Qdrant => {
                write!(f, "qdrant{tls}://{}/{}", place(&self.rest), self.collection)
            }
            ServerKind::Weaviate => {
                write!(f, "weaviate{tls}://{}/{}", place(&self.rest), self.collection)?;
                let (rest, grpc) = (self.rest.host_str(), self.grpc.host_str());
                let port = self.grpc.port_or_known_default().unwrap_or_default();
                match (rest == grpc, tls, port) {
                    (true, "", 50051) | (true, "+tls", 443) => Ok(()),
                    (true, ..) => write!(f, "?grpc={port}"),
                    (false, ..) => write!(f, "?grpc={}", place(&self.grpc)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, shown, rest, grpc) in [
            ("qdrant://box/pages", "qdrant://box:6333/pages", "http://box:6333/", ""),
            ("qdrant+tls://box:443/p-1", "qdrant+tls://box:443/p-1", "https://box/", ""),
            ("qdrant://[::1]:7000/a", "qdrant://[::1]:7000/a", "http://[::1]:7000/", ""),
            ("qdrant://[::1]/a", "qdrant://[::1]:6333/a", "http://[::1]:6333/", ""),
            ("qdrant://box:80/a", "qdrant://box:80/a", "http://box/", ""),
            (
                "weaviate://box:8080/Pages",
                "weaviate://box:8080/Pages",
                "http://box:8080/",
                "http://box:50051/",
            ),
            (
                "weaviate://box/Pages?grpc=7",
                "weaviate://box:8080/Pages?grpc=7",
                "http://box:8080/",
                "http://box:7/",
            ),
            (
                "weaviate+tls://a.cloud/Pages?grpc=grpc-a.cloud:443",
                "weaviate+tls://a.cloud:443/Pages?grpc=grpc-a.cloud:443",
                "https://a.cloud/",
                "https://grpc-a.cloud/",
            ),
        ] {
            let address = Address::read(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.rest.as_str(), rest);
            if !grpc.is_empty() {
                assert_eq!(address.grpc.as_str(), grpc);
            }
            assert_eq!(Address::read(shown).unwrap(), address);
            assert!(Address::is_meant(text.as_ref()));
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, why) in [
            ("qdrant", "no kind of server"),
            ("http://box/pages", "none of qdrant://"),
            ("qdrant://", "it is none"),
            ("qdrant://box", "no collection"),
            ("qdrant://box/", "no collection"),
            ("qdrant://box/a/b", "letters, digits"),
            ("qdrant://box/a?grpc=1", "of Weaviate alone"),
            ("weaviate://box/pages", "a capital"),
            ("weaviate://box/My-Pages", "a capital"),
            ("weaviate://box/Pages?grpc=a/b", "`grpc` is a port"),
            ("weaviate://box/Pages?key=secret", "after `?`"),
            ("qdrant://box/a#b", "after `#`"),
        ] {
            let error = Address::read(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let error = Address::read("qdrant://me:secret@box/a").unwrap_err().to_string();
        assert!(error.contains("a key does not belong") && !error.contains("secret"), "{error}");
        assert!(!Address::is_meant("papers".as_ref()) && !Address::is_meant("./a://b".as_ref()));
    }

    #[test]
    fn it_is_known_what_can_be_read_on_the_way() {
        let open = |text| Address::read(text).unwrap().is_open();
        assert!(open("qdrant://box/a") && !open("qdrant+tls://box/a"));
        assert!(!open("qdrant://127.0.0.1/a") && !open("weaviate://localhost/A"));
    }
}
