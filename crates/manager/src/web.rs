//! Files that requests name by address, fetched for those who ask. A server that fetches what strangers name can be made
//! to speak to its own network, so only listed hosts are spoken to, and what they are is looked at where the connection is
//! made: a name that leads to a private address is refused whoever answers for it.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT_ENCODING, LOCATION};
use reqwest::{Client, Url};

use crate::Kind;
use crate::fetch::plain_client;

/// How long connecting may take.
const CONNECTING: Duration = Duration::from_secs(5);
/// How long a file may take in all.
const WHOLE: Duration = Duration::from_secs(30);
/// Times that a server may point elsewhere.
const MOST_TURNS: usize = 3;
/// Letters of an address.
const MOST_LETTERS: usize = 2048;

/// Whose files may be fetched.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hosts {
    /// Names and addresses, in small letters; those below `.name`, for a name that begins with a dot.
    named: BTreeSet<String>,
    /// All but private addresses.
    all: bool,
}

impl Hosts {
    /// Those of a list: `name`, `.name` for all below it, an address, or `*` for all that are not private.
    pub fn of(list: &[String]) -> Self {
        let all = list.iter().any(|entry| entry == "*");
        let named = list.iter().filter(|entry| *entry != "*");
        let bare = |entry: &String| entry.trim_matches(['[', ']']).to_ascii_lowercase();
        Self { named: named.map(bare).collect(), all }
    }

    /// Whether nobody's may.
    pub fn is_empty(&self) -> bool {
        !self.all && self.named.is_empty()
    }

    /// Whether `host` is in the list itself: then it may be on a private network.
    fn names(&self, host: &str) -> bool {
        let below = |at: usize| self.named.contains(&host[at..]);
        self.named.contains(host) || host.match_indices('.').any(|(at, _)| below(at))
    }

    /// Whether a connection to `address`, which is what `host` stands for, may be made.
    fn let_through(&self, host: &str, address: IpAddr) -> bool {
        if host == address.to_string() && self.names(host) {
            return true;
        }
        match reach(address) {
            Reach::Public => self.all || self.names(host),
            Reach::Private => self.names(host),
            // What only this machine or its cable can reach is never meant by a name.
            Reach::Here => host == "localhost" && self.names(host),
        }
    }
}

/// Who can reach an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reach {
    Public,
    Private,
    Here,
}

/// By the registries of special addresses (RFC 6890 and those that it names).
fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) => reach_of_four(v4),
        IpAddr::V6(v6) => match (v6.to_ipv4_mapped(), v6.segments()) {
            (Some(v4), _) => reach_of_four(v4),
            // Addresses of the older kind in newer ones: NAT64 and 6to4.
            (None, [0x64, 0xff9b, 0, 0, 0, 0, high, low]) | (None, [0x2002, high, low, ..]) => {
                let [a, b] = high.to_be_bytes();
                let [c, d] = low.to_be_bytes();
                reach_of_four(Ipv4Addr::new(a, b, c, d))
            }
            (None, segments) => reach_of_six(v6, segments[0]),
        },
    }
}

fn reach_of_four(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    let here =
        address.is_loopback() || address.is_link_local() || address.is_unspecified() || a == 0;
    let odd = address.is_broadcast()
        || address.is_multicast()
        || address.is_documentation()
        || a >= 240
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && matches!(b, 18 | 19));
    if here {
        Reach::Here
    } else if address.is_private() || (a == 100 && (64..128).contains(&b)) || odd {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn reach_of_six(address: Ipv6Addr, first: u16) -> Reach {
    if address.is_loopback() || address.is_unspecified() || first & 0xffc0 == 0xfe80 {
        Reach::Here
    } else if first & 0xe000 == 0x2000 && !(first == 0x2001 && address.segments()[1] < 0x200) {
        // Only these are given out to the public, and the beginning of 2001 is not (Teredo, documentation).
        match address.segments() {
            [0x2001, 0xdb8, ..] => Reach::Private,
            _ => Reach::Public,
        }
    } else {
        Reach::Private
    }
}

/// A file that is not fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is no address of a file on the web.
    #[error("`{address}` is not an address that could be fetched: {reason}")]
    Invalid {
        /// What was given, cut if it is long.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nobody said that files of this host may be fetched.
    #[error("files of `{host}` are not fetched for requests")]
    NotAllowed {
        /// The host.
        host: String,
    },
    /// The host is on a network that strangers are not to reach.
    #[error("`{host}` leads to {address}, which is not a public address")]
    NotPublic {
        /// The host.
        host: String,
        /// What it stands for.
        address: IpAddr,
    },
    /// It cannot be reached, or broke off.
    #[error("`{host}` cannot be read from")]
    Unreachable {
        /// The host.
        host: String,
        /// What was met.
        source: reqwest::Error,
    },
    /// It answers something else than a file.
    #[error("`{host}` answers with status {status}")]
    Status {
        /// The host.
        host: String,
        /// The HTTP status.
        status: u16,
    },
    /// It points from place to place.
    #[error("`{host}` points elsewhere more than {MOST_TURNS} times")]
    Turns {
        /// The host that was asked first.
        host: String,
    },
    /// It is larger than it may be.
    #[error("the file of `{host}` is larger than {most} bytes")]
    TooLarge {
        /// The host.
        host: String,
        /// The most bytes.
        most: usize,
    },
    /// It does not come in time.
    #[error("the file of `{host}` did not come within {} seconds", WHOLE.as_secs())]
    Late {
        /// The host.
        host: String,
    },
    /// The HTTP client could not be set up.
    #[error("the HTTP client cannot be set up")]
    Client {
        /// What it said.
        source: reqwest::Error,
    },
}

impl Error {
    /// What sort of failure it is; all but our own are the request's, which named the file.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Client { .. } => Kind::Internal,
            Self::Invalid { .. }
            | Self::NotAllowed { .. }
            | Self::NotPublic { .. }
            | Self::Unreachable { .. }
            | Self::Status { .. }
            | Self::Turns { .. }
            | Self::TooLarge { .. }
            | Self::Late { .. } => Kind::Invalid,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotAllowed { .. } | Self::NotPublic { .. } => {
                "send it as data:...;base64,..., or start the server with --allow-url HOST"
            }
            Self::Invalid { .. }
            | Self::Unreachable { .. }
            | Self::Status { .. }
            | Self::Turns { .. }
            | Self::TooLarge { .. }
            | Self::Late { .. }
            | Self::Client { .. } => "send it as data:...;base64,...",
        }
    }
}

/// Fetches files.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client,
    hosts: Arc<Hosts>,
}

/// Looks names up, and hides what may not be spoken to.
#[derive(Debug)]
struct Guarded(Arc<Hosts>);

/// A name leads nowhere that it may lead to.
#[derive(Debug, thiserror::Error)]
#[error("`{host}` leads to {address}")]
struct Hidden {
    host: String,
    address: IpAddr,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (hosts, host) = (Arc::clone(&self.0), name.as_str().to_ascii_lowercase());
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            // One that may not be spoken to spoils all: the next look could find it alone.
            let hidden = found.iter().find(|address| !hosts.let_through(&host, address.ip()));
            match hidden.map(SocketAddr::ip) {
                Some(address) => {
                    Err(Box::new(Hidden { host, address }) as Box<dyn StdError + Send + Sync>)
                }
                None => Ok(Box::new(found.into_iter()) as Addrs),
            }
        })
    }
}

impl Fetcher {
    /// One that fetches files of `hosts`. No proxy is used: it would look the names up unguarded.
    ///
    /// # Errors
    ///
    /// If the HTTP client cannot be set up.
    pub fn new(hosts: Hosts) -> Result<Self, Error> {
        let hosts = Arc::new(hosts);
        let builder = plain_client(CONNECTING).dns_resolver(Arc::new(Guarded(Arc::clone(&hosts))));
        let client = builder.build().map_err(|source| Error::Client { source })?;
        Ok(Self { client, hosts })
    }

    /// The file at `address`, of at most `most` bytes.
    ///
    /// # Errors
    ///
    /// If it may not be fetched, is too large, or does not come in time.
    pub async fn fetch(&self, address: &str, most: usize) -> Result<Vec<u8>, Error> {
        let url = read(address)?;
        let host = host_of(&url);
        tokio::time::timeout(WHOLE, self.follow(url, most))
            .await
            .unwrap_or(Err(Error::Late { host }))
    }

    async fn follow(&self, mut url: Url, most: usize) -> Result<Vec<u8>, Error> {
        let first = host_of(&url);
        for _ in 0..=MOST_TURNS {
            let host = host_of(&url);
            self.check(&host)?;
            let broken = |source: reqwest::Error| broken(&host, source);
            let request = self.client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
            let mut response = request.send().await.map_err(broken)?;
            let status = response.status();
            if status.is_redirection() {
                let next = response.headers().get(LOCATION).and_then(|next| next.to_str().ok());
                let next = next.and_then(|next| url.join(next).ok());
                let status = status.as_u16();
                let next = next.ok_or_else(|| Error::Status { host: host.clone(), status })?;
                url = checked(next)?;
                continue;
            }
            if !status.is_success() {
                return Err(Error::Status { host, status: status.as_u16() });
            }
            let too_large = || Error::TooLarge { host: host.clone(), most };
            if response.content_length().is_some_and(|long| long > most as u64) {
                return Err(too_large());
            }
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(broken)? {
                if bytes.len() + chunk.len() > most {
                    return Err(too_large());
                }
                bytes.extend_from_slice(&chunk);
            }
            return Ok(bytes);
        }
        Err(Error::Turns { host: first })
    }

    /// Whether `host` may be spoken to, as far as its name says: addresses are not looked up, so nobody else checks them.
    fn check(&self, host: &str) -> Result<(), Error> {
        match host.parse::<IpAddr>() {
            Ok(address) if self.hosts.let_through(host, address) => Ok(()),
            Ok(address) if self.hosts.all => {
                Err(Error::NotPublic { host: host.to_owned(), address })
            }
            Err(_) if self.hosts.all || self.hosts.names(host) => Ok(()),
            Ok(_) | Err(_) => Err(Error::NotAllowed { host: host.to_owned() }),
        }
    }
}

fn broken(host: &str, source: reqwest::Error) -> Error {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&source);
    while let Some(error) = cause {
        if let Some(Hidden { address, .. }) = error.downcast_ref() {
            return Error::NotPublic { host: host.to_owned(), address: *address };
        }
        cause = error.source();
    }
    Error::Unreachable { host: host.to_owned(), source: source.without_url() }
}

fn read(address: &str) -> Result<Url, Error> {
    let refuse = |reason| {
        let shown: String = address.chars().take(80).collect();
        Err(Error::Invalid { address: shown, reason })
    };
    if address.len() > MOST_LETTERS {
        return refuse("it is too long");
    }
    match Url::parse(address) {
        Ok(url) => checked(url),
        Err(_) => refuse("it is none"),
    }
}

/// The same, if it is one of the web's without a name or password in it.
fn checked(url: Url) -> Result<Url, Error> {
    let refuse = |reason| {
        let address = format!("{}://{}", url.scheme(), host_of(&url));
        Err(Error::Invalid { address, reason })
    };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return refuse("it begins neither with http:// nor with https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("names and passwords are not sent");
    }
    Ok(url)
}

/// The host of an address, without brackets, in small letters.
fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(list: &[&str]) -> Hosts {
        Hosts::of(&list.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn addresses_are_told_apart() {
        let reach = |text: &str| reach(text.parse().unwrap());
        for public in
            ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
        {
            assert_eq!(reach(public), Reach::Public, "{public}");
        }
        for private in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "fd00::1",
            "2001:db8::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "2001::1",
        ] {
            assert_eq!(reach(private), Reach::Private, "{private}");
        }
        for here in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "::1",
            "::",
            "fe80::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ] {
            assert_eq!(reach(here), Reach::Here, "{here}");
        }
    }

    #[test]
    fn only_listed_hosts_are_spoken_to() {
        let public: IpAddr = "8.8.8.8".parse().unwrap();
        let private: IpAddr = "10.0.0.1".parse().unwrap();
        let here: IpAddr = "169.254.169.254".parse().unwrap();
        let all = hosts(&["*"]);
        assert!(all.let_through("any.example", public));
        assert!(!all.let_through("any.example", private) && !all.let_through("any.example", here));
        let some = hosts(&["files.lan", ".cdn.example", "127.0.0.1", "Localhost"]);
        assert!(some.let_through("files.lan", private) && some.let_through("files.lan", public));
        assert!(!some.let_through("files.lan", here));
        assert!(some.let_through("a.cdn.example", public) && !some.names("cdn.example"));
        assert!(!some.let_through("evilcdn.example", public));
        assert!(!some.let_through("any.example", public));
        let own: IpAddr = "127.0.0.1".parse().unwrap();
        assert!(some.let_through("127.0.0.1", own) && some.let_through("localhost", own));
        assert!(
            !some.let_through("rebound.example", own)
                && !hosts(&["rebound.example"]).let_through("rebound.example", own)
        );
        assert!(hosts(&[]).is_empty() && !all.is_empty());
    }

    #[test]
    fn what_is_no_address_of_a_file_is_refused() {
        for bad in [
            "file:///etc/passwd",
            "ftp://a/b",
            "http://",
            "x",
            "https://ann:secret@a/b",
            "http:///",
        ] {
            let error = read(bad).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        assert_eq!(host_of(&read("https://EXAMPLE.com./a").unwrap()), "example.com");
        // However an address of this machine is written, it is the same.
        for own in [
            "http://127.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            let host = host_of(&read(own).unwrap());
            let address: IpAddr = host.parse().unwrap();
            assert!(!hosts(&["*"]).let_through(&host, address), "{own}");
        }
    }
}
