//! A small object store on 127.0.0.1 that speaks as much of S3 as folio needs, with the faults that real ones have.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::http::{Incoming, Port};

/// Objects on a page of a list.
const PAGE: usize = 3;

/// An object.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Which write made it: its tag.
    pub version: u64,
    /// When.
    pub modified: SystemTime,
}

/// What happens to the next request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// This status, with this code in the body.
    Status(u16, &'static str),
    /// It is done, and the connection ends before the answer.
    NoAnswer,
    /// The connection ends after so many bytes of the body.
    CutAfter(usize),
    /// Nothing is answered for so long.
    Silence(Duration),
}

/// What the server has and does.
#[derive(Debug, Default)]
pub struct State {
    /// Objects of the one bucket, by key.
    pub objects: BTreeMap<String, Object>,
    /// Faults, used up one by one, each by the next request.
    pub faults: VecDeque<Fault>,
    /// `METHOD /path?query` of all requests, in order.
    pub requests: Vec<String>,
    /// Conditions of writes are refused as something unknown.
    pub unconditional: bool,
    /// Who may ask: the id of a key. Empty: anybody.
    pub key: String,
    writes: u64,
}

/// The server, with the bucket `shelf`. It ends with this.
#[derive(Debug)]
pub struct S3Server {
    /// `http://127.0.0.1:PORT`.
    pub address: String,
    state: Arc<Mutex<State>>,
    _port: Port,
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl S3Server {
    /// The one bucket that there is.
    pub const BUCKET: &'static str = "shelf";

    /// Starts it, without objects.
    pub fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let port = Port::listen(move |stream| serve(stream, &shared));
        Self { address: port.url(), state, _port: port }
    }

    /// Changes or reads its state.
    pub fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// Adds an object.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        self.with(|state| state.put(key, bytes.to_vec()));
    }

    /// The bytes of an object.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.with(|state| state.objects.get(key).map(|object| object.bytes.clone()))
    }

    /// Lets the next requests go wrong.
    pub fn fail(&self, faults: &[Fault]) {
        self.with(|state| state.faults = faults.iter().cloned().collect());
    }

    /// `METHOD /path?query` of all requests since this was asked last.
    pub fn requests(&self) -> Vec<String> {
        self.with(|state| std::mem::take(&mut state.requests))
    }
}

impl State {
    fn put(&mut self, key: &str, bytes: Vec<u8>) -> u64 {
        self.writes += 1;
        let object = Object { bytes, version: self.writes, modified: SystemTime::now() };
        self.objects.insert(key.to_owned(), object);
        self.writes
    }
}

/// A status, header lines and a body.
type Answer = (u16, String, Vec<u8>);

fn error(status: u16, code: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>so it is</Message></Error>"
    );
    (status, "Content-Type: application/xml\r\n".to_owned(), body.into_bytes())
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    while let Some(incoming) = Incoming::read(&mut reader)? {
        let request = understood(incoming);
        let (fault, (status, headers, mut body)) = {
            let mut state = state.lock().unwrap();
            let fault = state.faults.pop_front();
            let answer = match fault {
                Some(Fault::Status(status, code)) => error(status, code),
                _ => answer(&request, &mut state),
            };
            (fault, answer)
        };
        match fault {
            Some(Fault::NoAnswer) => return Ok(()),
            Some(Fault::Silence(time)) => std::thread::sleep(time),
            _ => {}
        }
        let length = body.len();
        let cut = matches!(fault, Some(Fault::CutAfter(_)));
        if let Some(Fault::CutAfter(bytes)) = fault {
            body.truncate(bytes);
        }
        if request.method == "HEAD" {
            body.clear();
        }
        let length = if headers.contains("Content-Length") {
            String::new()
        } else {
            format!("Content-Length: {length}\r\n")
        };
        write!(out, "HTTP/1.1 {status} X\r\n{headers}{length}\r\n")?;
        out.write_all(&body)?;
        if cut {
            return Ok(());
        }
    }
    Ok(())
}

fn understood(incoming: Incoming) -> Request {
    let Incoming { method, target, headers, body } = incoming;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // In a query, a plus is a space.
        (decode(name), decode(&value.replace('+', " ")))
    };
    Request { method, path: decode(path), query: pairs.map(pair).collect(), headers, body }
}

/// Takes the percent signs out of an address.
fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(bytes.next().unwrap_or(b'0')).to_digit(16).unwrap_or(0);
        out.push(if byte == b'%' { u8::try_from(digit() * 16 + digit()).unwrap() } else { byte });
    }
    String::from_utf8(out).unwrap()
}

fn answer(request: &Request, state: &mut State) -> Answer {
    let query: Vec<String> =
        request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    state.requests.push(format!("{} {}?{}", request.method, request.path, query.join("&")));
    let signed = request.headers.get("authorization");
    let known = format!("AWS4-HMAC-SHA256 Credential={}/", state.key);
    if !state.key.is_empty() && !signed.is_some_and(|signed| signed.starts_with(&known)) {
        return error(403, "InvalidAccessKeyId");
    }
    let path = request.path.trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    if bucket != S3Server::BUCKET {
        return error(404, "NoSuchBucket");
    }
    if key.is_empty() {
        return list(request, state);
    }
    match request.method.as_str() {
        "PUT" => write_object(request, key, state),
        "DELETE" => {
            state.objects.remove(key);
            (204, String::new(), Vec::new())
        }
        _ => match state.objects.get(key) {
            Some(object) => read_object(request, object),
            None => error(404, "NoSuchKey"),
        },
    }
}

fn write_object(request: &Request, key: &str, state: &mut State) -> Answer {
    let header = |name: &str| request.headers.get(name).map(String::as_str);
    let there = state.objects.get(key).map(|object| tag(object.version));
    let conditional = header("if-none-match").or_else(|| header("if-match")).is_some();
    if conditional && state.unconditional {
        return error(501, "NotImplemented");
    }
    let failed = match (header("if-none-match"), header("if-match")) {
        (Some("*"), _) => there.is_some(),
        (_, Some(tag)) if there.is_none() => {
            return error(404, if tag.is_empty() { "X" } else { "NoSuchKey" });
        }
        (_, Some(tag)) => there.as_deref() != Some(tag),
        _ => false,
    };
    if failed {
        return error(412, "PreconditionFailed");
    }
    let version = state.put(key, request.body.clone());
    (200, format!("ETag: {}\r\n", tag(version)), Vec::new())
}

fn read_object(request: &Request, object: &Object) -> Answer {
    let mut headers = format!(
        "ETag: {}\r\nLast-Modified: {}\r\nContent-Type: application/octet-stream\r\n",
        tag(object.version),
        http_date(object.modified)
    );
    if request.method == "HEAD" {
        write!(headers, "Content-Length: {}\r\n", object.bytes.len()).unwrap();
        return (200, headers, Vec::new());
    }
    let range = request.headers.get("range").and_then(|range| range.strip_prefix("bytes="));
    let Some((from, to)) = range.and_then(|range| range.split_once('-')) else {
        return (200, headers, object.bytes.clone());
    };
    let from: usize = from.parse().unwrap();
    let to = to.parse().map_or(object.bytes.len(), |to: usize| (to + 1).min(object.bytes.len()));
    write!(headers, "Content-Range: bytes {from}-{}/{}\r\n", to - 1, object.bytes.len()).unwrap();
    (206, headers, object.bytes[from..to].to_vec())
}

fn list(request: &Request, state: &State) -> Answer {
    let query = |name: &str| request.query.get(name).map(String::as_str).unwrap_or_default();
    let (prefix, after) = (query("prefix"), query("continuation-token"));
    let mut matching =
        state.objects.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
    let mut body = "<?xml version=\"1.0\"?><ListBucketResult>".to_owned();
    let page: Vec<_> = matching.by_ref().take(PAGE).collect();
    for (key, object) in &page {
        let key = key.replace('&', "&amp;").replace('<', "&lt;");
        write!(
            body,
            "<Contents><Key>{key}</Key><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
            iso_date(object.modified),
            tag(object.version).replace('"', "&quot;"),
            object.bytes.len()
        )
        .unwrap();
    }
    if let (Some((last, _)), Some(_)) = (page.last(), matching.next()) {
        let last = last.replace('&', "&amp;").replace('<', "&lt;");
        write!(body, "<NextContinuationToken>{last}</NextContinuationToken>").unwrap();
    }
    body += "</ListBucketResult>";
    (200, "Content-Type: application/xml\r\n".to_owned(), body.into_bytes())
}

fn tag(version: u64) -> String {
    format!("\"{version:032x}\"")
}

/// Year, month, day, and the seconds of the day.
fn calendar(moment: SystemTime) -> (u64, usize, u64, u64) {
    let seconds = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let (mut days, mut year) = (seconds / 86_400, 1970);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month, days + 1, seconds % 86_400)
}

fn iso_date(moment: SystemTime) -> String {
    let (year, month, day, second) = calendar(moment);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{:02}.000Z", month + 1, second % 60)
}

fn http_date(moment: SystemTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let (year, month, day, second) = calendar(moment);
    let days = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 86_400;
    let weekday = DAYS[usize::try_from(days % 7).unwrap()];
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{weekday}, {day:02} {} {year} {hour:02}:{minute:02}:{:02} GMT",
        MONTHS[month],
        second % 60
    )
}
