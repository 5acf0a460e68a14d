//! A small hub on 127.0.0.1, with the faults that real ones have.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::Digest as _;

use crate::http::{Incoming, Port};

/// The commit of its one model.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A file of the repository `org/tiny`.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Its bytes.
    pub content: Vec<u8>,
    /// Large files have a SHA-256, small ones git's SHA-1.
    pub large: bool,
}

impl Remote {
    /// Its hash, as the hub tells it.
    pub fn identity(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
        if self.large {
            return hex(&sha2::Sha256::digest(&self.content));
        }
        let mut digest = sha1::Sha1::new();
        digest.update(format!("blob {}\0", self.content.len()));
        digest.update(&self.content);
        hex(&digest.finalize())
    }
}

/// What goes wrong with the next request for a file's bytes, or for the list.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// This status, with these header lines.
    Status(u16, &'static str),
    /// The connection ends after so many bytes of the body.
    CutAfter(usize),
    /// The range asked for is ignored: status 200 and everything.
    NoRange,
    /// Another range comes than was asked for.
    WrongRange,
    /// Every byte is another.
    Damaged,
    /// A web page.
    Page,
    /// More bytes than there are, in chunks, so that no length gives it away.
    TooLong,
    /// Headers without end.
    HeaderBomb,
    /// Nothing is answered for so long.
    Silence(Duration),
    /// The body comes in pieces of so many bytes with pauses between.
    Drip(usize, Duration),
    /// A list without end.
    EndlessList,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `HEAD`.
    pub method: String,
    /// With the query.
    pub path: String,
    /// The first byte asked for.
    pub range: Option<u64>,
    /// The header that carries a token.
    pub authorization: Option<String>,
}

/// What the server has and does.
#[derive(Debug, Default)]
pub struct State {
    /// The model's files, by name.
    pub files: BTreeMap<String, Remote>,
    /// Faults by file name (the list is `""`), used up one by one.
    pub faults: BTreeMap<String, VecDeque<Fault>>,
    /// All requests that came, in order.
    pub requests: Vec<Request>,
    /// Where large files' bytes are: another server.
    pub storage: Option<String>,
    /// What the list says instead of the truth.
    pub list: Option<String>,
    /// The list tells names only, as some mirrors do.
    pub bare: bool,
    /// The commit it tells, instead of [`COMMIT`].
    pub commit: Option<String>,
}

/// The server. It ends with this.
#[derive(Debug)]
pub struct HubServer {
    /// `http://127.0.0.1:PORT`.
    pub address: String,
    state: Arc<Mutex<State>>,
    _port: Port,
}

impl HubServer {
    /// Starts it, without files.
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

    /// Adds a file.
    pub fn put(&self, name: &str, content: &[u8], large: bool) {
        self.with(|s| s.files.insert(name.into(), Remote { content: content.into(), large }));
    }

    /// Lets the next requests for a file's bytes (the list is `""`) go wrong.
    pub fn fail(&self, name: &str, faults: &[Fault]) {
        self.with(|s| s.faults.insert(name.into(), faults.iter().cloned().collect()));
    }

    /// All requests that came, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.with(|s| s.requests.clone())
    }

    /// The requests for one file's bytes: where each began.
    pub fn ranges(&self, name: &str) -> Vec<u64> {
        let of_file = |r: &Request| r.method == "GET" && r.path.ends_with(&format!("/{name}"));
        self.requests().iter().filter(|r| of_file(r)).map(|r| r.range.unwrap_or(0)).collect()
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    while let Some(incoming) = Incoming::read(&mut reader)? {
        let header = |name: &str| incoming.headers.get(name);
        let range = header("range").map(|range| range.trim_start_matches("bytes="));
        let request = Request {
            range: range.and_then(|range| range.split('-').next()?.parse().ok()),
            authorization: header("authorization").cloned(),
            method: incoming.method,
            path: incoming.target,
        };
        if !answer(&mut out, &request, state)? {
            break;
        }
    }
    Ok(())
}

/// Answers one request; `false` ends the connection.
fn answer(out: &mut TcpStream, request: &Request, state: &Mutex<State>) -> std::io::Result<bool> {
    let mut state = state.lock().unwrap();
    state.requests.push(request.clone());
    let path = request.path.split('?').next().unwrap_or("").to_owned();
    let commit = state.commit.clone().unwrap_or_else(|| COMMIT.to_owned());
    let list = path.starts_with("/api/models/");
    let name = if list {
        String::new()
    } else {
        path.splitn(6, '/').nth(5).unwrap_or("").replace("%20", " ")
    };
    let head = request.method == "HEAD";
    let fault = if head { None } else { state.faults.get_mut(&name).and_then(VecDeque::pop_front) };
    let file = state.files.get(&name).cloned();
    let body = if path.contains("/tree/") {
        // What `huggingface_hub` asks for: this server was tried with it in both directions.
        Some(tree(&state).into_bytes())
    } else if list {
        Some(state.list.clone().unwrap_or_else(|| listing(&state, &commit)).into_bytes())
    } else {
        None
    };
    let storage = state.storage.clone();
    drop(state);

    match fault {
        Some(Fault::Status(status, extra)) => {
            write!(out, "HTTP/1.1 {status} Fault\r\ncontent-length: 0\r\n{extra}\r\n")?;
            return Ok(true);
        }
        Some(Fault::Page) => {
            write!(
                out,
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"
            )?;
            return Ok(true);
        }
        Some(Fault::HeaderBomb) => {
            write!(out, "HTTP/1.1 200 OK\r\n")?;
            for n in 0..200_000 {
                write!(out, "x-{n}: {}\r\n", "y".repeat(100))?;
            }
            return Ok(false);
        }
        Some(Fault::Silence(time)) => {
            std::thread::sleep(time);
            return Ok(false);
        }
        Some(Fault::EndlessList) => {
            write!(out, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[")?;
            loop {
                out.write_all(&[b' '; 65536])?;
            }
        }
        _ => {}
    }
    if let Some(body) = body {
        write!(
            out,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )?;
        if !head {
            out.write_all(&body)?;
        }
        return Ok(true);
    }
    let Some(file) = file else {
        write!(
            out,
            "HTTP/1.1 404 Not Found\r\nx-error-code: EntryNotFound\r\ncontent-length: 0\r\n\r\n"
        )?;
        return Ok(true);
    };
    let identity = file.identity();
    let size = file.content.len();
    let marks = format!("x-repo-commit: {commit}\r\naccept-ranges: bytes\r\n");
    if let (true, Some(storage)) = (file.large, storage) {
        write!(
            out,
            "HTTP/1.1 302 Found\r\n{marks}x-linked-etag: \"{identity}\"\r\nx-linked-size: {size}\r\n\
             etag: \"other\"\r\nlocation: {storage}{path}\r\ncontent-length: 0\r\n\r\n"
        )?;
        return Ok(true);
    }
    let marks =
        format!("{marks}etag: \"{identity}\"\r\ncontent-type: application/octet-stream\r\n");
    if head {
        write!(out, "HTTP/1.1 200 OK\r\n{marks}content-length: {size}\r\n\r\n")?;
        return Ok(true);
    }
    send(out, &file.content, request.range, fault, &marks)
}

fn send(
    out: &mut TcpStream,
    content: &[u8],
    range: Option<u64>,
    fault: Option<Fault>,
    marks: &str,
) -> std::io::Result<bool> {
    let size = content.len();
    let from = match range {
        Some(from) if fault != Some(Fault::NoRange) => usize::try_from(from).unwrap(),
        _ => 0,
    };
    if from > size {
        write!(out, "HTTP/1.1 416 Range\r\ncontent-length: 0\r\n\r\n")?;
        return Ok(true);
    }
    let mut body = content[from..].to_vec();
    match &fault {
        Some(Fault::Damaged) => body.iter_mut().for_each(|byte| *byte ^= 0x55),
        Some(Fault::TooLong) => {
            write!(out, "HTTP/1.1 200 OK\r\n{marks}transfer-encoding: chunked\r\n\r\n")?;
            body.extend_from_slice(b"more");
            write!(out, "{:x}\r\n", body.len())?;
            out.write_all(&body)?;
            write!(out, "\r\n0\r\n\r\n")?;
            return Ok(true);
        }
        _ => {}
    }
    let length = body.len();
    if from > 0 {
        let told = if fault == Some(Fault::WrongRange) { from - 1 } else { from };
        write!(
            out,
            "HTTP/1.1 206 Partial\r\n{marks}content-range: bytes {told}-{}/{size}\r\n",
            size - 1
        )?;
    } else {
        write!(out, "HTTP/1.1 200 OK\r\n{marks}")?;
    }
    write!(out, "content-length: {length}\r\n\r\n")?;
    match fault {
        Some(Fault::CutAfter(bytes)) => {
            out.write_all(&body[..bytes.min(length)])?;
            Ok(false)
        }
        Some(Fault::Drip(bytes, pause)) => {
            for piece in body.chunks(bytes) {
                out.write_all(piece)?;
                std::thread::sleep(pause);
            }
            Ok(true)
        }
        _ => {
            out.write_all(&body)?;
            Ok(true)
        }
    }
}

fn listing(state: &State, commit: &str) -> String {
    let files: Vec<serde_json::Value> = state
        .files
        .iter()
        .map(|(name, file)| {
            let size = file.content.len();
            if state.bare {
                serde_json::json!({ "rfilename": name })
            } else if file.large {
                let lfs = serde_json::json!({ "sha256": file.identity(), "size": size, "pointerSize": 130 });
                serde_json::json!({ "rfilename": name, "size": size, "blobId": "f".repeat(40), "lfs": lfs })
            } else {
                serde_json::json!({ "rfilename": name, "size": size, "blobId": file.identity() })
            }
        })
        .collect();
    serde_json::json!({ "id": "org/tiny", "modelId": "org/tiny", "private": false, "sha": commit, "siblings": files }).to_string()
}

fn tree(state: &State) -> String {
    let file = |(name, file): (&String, &Remote)| {
        let size = file.content.len();
        let mut entry = serde_json::json!({ "type": "file", "path": name, "size": size, "oid": file.identity() });
        if file.large {
            entry["lfs"] =
                serde_json::json!({ "oid": file.identity(), "size": size, "pointerSize": 130 });
        }
        entry
    };
    serde_json::Value::Array(state.files.iter().map(file).collect()).to_string()
}
