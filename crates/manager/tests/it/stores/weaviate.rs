//! A small stand-in for Weaviate on 127.0.0.1: as much of its schema over HTTP and of its gRPC as folio needs, over objects in
//! memory, which it compares one by one. It reads protobuf by the numbers of fields, apart from the messages that it tests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use testkit::qdrant::max_sim;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What happens to the next batch.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    /// This status of gRPC, with this message.
    Status(u32, &'static str),
    /// It is done, and the connection ends before the answer.
    NoAnswer,
    /// Nothing is answered for so long.
    Silence(Duration),
    /// These bytes are answered as a message.
    Says(Vec<u8>),
    /// Something that stands before the server answers.
    Http(u16),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Object {
    pub(super) properties: BTreeMap<String, Value>,
    pub(super) vectors: BTreeMap<String, Vec<Vec<f32>>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Collection {
    pub(super) schema: Value,
    pub(super) objects: BTreeMap<String, Object>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) collections: BTreeMap<String, Collection>,
    /// Used up one by one, each by the next batch.
    pub(super) faults: VecDeque<Fault>,
    pub(super) key: String,
    /// The most bytes of a message.
    pub(super) most_bytes: Option<usize>,
    /// An object whose text has this is refused, and the rest of its batch is not.
    pub(super) poison: Option<String>,
    /// Batches that it has taken.
    pub(super) puts: usize,
    /// What searches asked for at most.
    pub(super) limits: Vec<u64>,
}

/// The server. It ends with this.
pub(super) struct WeaviateServer {
    rest: u16,
    grpc: u16,
    state: Arc<Mutex<State>>,
    /// Ends the server's thread when it is dropped.
    _over: tokio::sync::oneshot::Sender<()>,
}

impl WeaviateServer {
    pub(super) fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let (ports, told) = channel();
        let (over, ended) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let rest = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
                ports.send((port(&rest), port(&grpc))).unwrap();
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    while let Ok((stream, _)) = rest.accept().await {
                        tokio::spawn(serve_rest(stream, Arc::clone(&state)));
                    }
                });
                tokio::spawn(async move {
                    while let Ok((stream, _)) = grpc.accept().await {
                        tokio::spawn(serve_grpc(stream, Arc::clone(&shared)));
                    }
                });
                // The end of the sender is an answer too.
                drop(ended.await);
            });
        });
        let (rest, grpc) = told.recv().unwrap();
        Self { rest, grpc, state, _over: over }
    }

    pub(super) fn address(&self, collection: &str) -> String {
        format!("weaviate://127.0.0.1:{}/{collection}?grpc={}", self.rest, self.grpc)
    }

    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    pub(super) fn fail(&self, faults: &[Fault]) {
        self.with(|state| state.faults = faults.iter().cloned().collect());
    }

    pub(super) fn pages(&self, collection: &str) -> usize {
        self.with(|state| state.collections.get(collection).map_or(0, |of| of.objects.len()))
    }
}

// ------------------------------------------------------------------ HTTP

async fn serve_rest(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut read = Vec::new();
    loop {
        let end = read.windows(4).position(|four| four == b"\r\n\r\n");
        let head = end.map(|end| String::from_utf8(read[..end].to_vec()).unwrap());
        let length = head.as_deref().and_then(|head| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            lengths.next().and_then(|(_, length)| length.parse::<usize>().ok())
        });
        if let (Some(end), Some(head)) = (end, head) {
            let body_end = end + 4 + length.unwrap_or(0);
            if read.len() >= body_end {
                let (status, body) = rest(&head, &read[end + 4..body_end], &state);
                let body = body.to_string();
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
                read.drain(..body_end);
                continue;
            }
        }
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return,
            Ok(count) => read.extend(&more[..count]),
        }
    }
}

fn rest(head: &str, body: &[u8], state: &Mutex<State>) -> (u16, Value) {
    let mut state = state.lock().unwrap();
    let wrong = |status: u16, message: &str| (status, json!({"error": [{"message": message}]}));
    let known = format!("authorization: bearer {}", state.key);
    if !state.key.is_empty() && !head.to_ascii_lowercase().contains(&known) {
        return wrong(401, "anonymous access not enabled");
    }
    let line = head.lines().next().unwrap();
    if line.starts_with("GET /v1/meta ") {
        return (200, json!({"version": "1.34.0", "grpcMaxMessageSize": 104_858_000}));
    }
    if line.starts_with("POST /v1/schema ") {
        let schema: Value = serde_json::from_slice(body).unwrap();
        let name = schema["class"].as_str().unwrap().to_owned();
        if state.collections.contains_key(&name) {
            return wrong(422, &format!("class name {name} already exists"));
        }
        let vectors = schema["vectorConfig"].as_object();
        let is_right = vectors.into_iter().flatten().all(|(_, of)| {
            of["vectorIndexType"] == "hnsw" && of["vectorIndexConfig"]["distance"] == "dot"
        });
        assert!(is_right, "{schema}");
        let collection = Collection { schema: schema.clone(), objects: BTreeMap::new() };
        state.collections.insert(name, collection);
        return (200, schema);
    }
    let name = line.strip_prefix("GET /v1/schema/").and_then(|rest| rest.split(' ').next());
    match name.and_then(|name| state.collections.get(name)) {
        Some(collection) => (200, collection.schema.clone()),
        None => (404, Value::Null),
    }
}

// ------------------------------------------------------------------ gRPC

async fn serve_grpc(stream: TcpStream, state: Arc<Mutex<State>>) {
    stream.set_nodelay(true).unwrap();
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 20);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let state = Arc::clone(&state);
        // What is answered has to be driven by the connection meanwhile.
        tokio::spawn(answer_grpc(request, respond, state));
    }
}

async fn answer_grpc(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    state: Arc<Mutex<State>>,
) -> Option<()> {
    let (parts, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(Ok(chunk)) = body.data().await {
        drop(body.flow_control().release_capacity(chunk.len()));
        bytes.extend(&chunk);
    }
    assert_eq!(parts.headers["content-type"], "application/grpc");
    assert_eq!(parts.headers["te"], "trailers");
    let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
    assert_eq!((bytes[0], length), (0, bytes.len() - 5));
    let method = parts.uri.path().rsplit('/').next().unwrap().to_owned();
    let key = parts.headers.get("authorization").map(|key| key.to_str().unwrap().to_owned());
    let (fault, answer) = {
        let mut state = state.lock().unwrap();
        let fault = if method == "BatchObjects" { state.faults.pop_front() } else { None };
        let answer = match &fault {
            Some(Fault::Status(status, message)) => Err((*status, (*message).to_owned())),
            Some(Fault::Says(bytes)) => Ok(bytes.clone()),
            _ => call(&method, &bytes[5..], (key, &mut state)),
        };
        (fault, answer)
    };
    match fault {
        Some(Fault::NoAnswer) => {
            respond.send_reset(h2::Reason::INTERNAL_ERROR);
            return None;
        }
        Some(Fault::Silence(time)) => tokio::time::sleep(time).await,
        Some(Fault::Http(status)) => {
            let head = http::Response::builder().status(status).body(()).ok()?;
            respond.send_response(head, true).ok()?;
            return None;
        }
        Some(Fault::Status(..) | Fault::Says(_)) | None => {}
    }
    let head = http::Response::builder().header("content-type", "application/grpc");
    match answer {
        Ok(message) => {
            let mut out = respond.send_response(head.body(()).ok()?, false).ok()?;
            let mut bytes = vec![0];
            bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
            bytes.extend(message);
            out.send_data(bytes.into(), false).ok()?;
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().ok()?);
            out.send_trailers(trailers).ok()?;
        }
        Err((status, message)) => {
            // Nothing but headers, as gRPC has it where there is no answer.
            let head = head.header("grpc-status", status).header("grpc-message", message);
            respond.send_response(head.body(()).ok()?, true).ok()?;
        }
    }
    Some(())
}

type Answered = Result<Vec<u8>, (u32, String)>;

fn call(method: &str, bytes: &[u8], (key, state): (Option<String>, &mut State)) -> Answered {
    if !state.key.is_empty() && key != Some(format!("Bearer {}", state.key)) {
        return Err((16, "unauthorized".to_owned()));
    }
    if state.most_bytes.is_some_and(|most| bytes.len() > most) {
        let message = format!("grpc: received message larger than max ({})", bytes.len());
        return Err((8, message));
    }
    let message = Message::read(bytes);
    if method == "BatchObjects" {
        return Ok(batch(&message, state));
    }
    let name = message.text(1);
    let State { collections, limits, .. } = state;
    let Some(collection) = collections.get_mut(&name) else {
        return Err((2, format!("could not find class {name} in schema")));
    };
    let filter = |field: u32| message.messages(field).pop();
    match method {
        "Search" => {
            limits.push(message.number(30));
            search(collection, &message)
        }
        "Aggregate" => {
            let filter = filter(40);
            let count = collection.objects.iter().filter(|(id, of)| fits(id, of, filter.as_ref()));
            let mut single = Vec::new();
            put_number(&mut single, 1, count.count() as u64);
            let mut reply = Vec::new();
            put_bytes(&mut reply, 2, &single);
            Ok(reply)
        }
        "BatchDelete" => {
            let filter = filter(2).expect("a condition");
            let before = collection.objects.len();
            collection.objects.retain(|id, object| !fits(id, object, Some(&filter)));
            let gone = (before - collection.objects.len()) as u64;
            let mut reply = Vec::new();
            put_number(&mut reply, 3, gone);
            put_number(&mut reply, 4, gone);
            Ok(reply)
        }
        other => Err((12, format!("unknown method {other}"))),
    }
}

/// Puts objects one by one; what is wrong with one is said of that one.
fn batch(message: &Message, state: &mut State) -> Vec<u8> {
    let mut reply = Vec::new();
    for (at, given) in message.messages(1).into_iter().enumerate() {
        if let Err(why) = put(&given, state) {
            let mut error = Vec::new();
            put_number(&mut error, 1, at as u64);
            put_bytes(&mut error, 2, why.as_bytes());
            put_bytes(&mut reply, 2, &error);
        }
    }
    state.puts += 1;
    reply
}

fn put(given: &Message, state: &mut State) -> Result<(), String> {
    let name = given.text(4);
    let poison = state.poison.clone();
    let collection = state.collections.get_mut(&name).ok_or("no such class")?;
    let mut object = Object::default();
    let properties = given.messages(3).pop().ok_or("no properties")?;
    for entry in properties.messages(1).iter().flat_map(|plain| plain.messages(1)) {
        let value = entry.messages(2).pop().unwrap();
        let value = match (value.fields(2).next(), value.fields(3).next()) {
            (Some(Field::Fixed64(bits)), _) => json!(f64::from_bits(*bits)),
            (_, Some(Field::Bytes(text))) => json!(String::from_utf8(text.clone()).unwrap()),
            other => panic!("{other:?}"),
        };
        object.properties.insert(entry.text(1), value);
    }
    for list in properties.messages(6) {
        object.properties.insert(list.text(2), json!(list.texts(1)));
    }
    for list in properties.messages(5) {
        let Some(Field::Bytes(packed)) = list.fields(1).next() else { panic!("not packed") };
        object.properties.insert(list.text(2), json!(varints(packed)));
    }
    let known: BTreeSet<&str> = collection.schema["properties"]
        .as_array()
        .unwrap()
        .iter()
        .map(|property| property["name"].as_str().unwrap())
        .collect();
    if let Some(name) = object.properties.keys().find(|name| !known.contains(name.as_str())) {
        return Err(format!("no such prop with name '{name}' found in class"));
    }
    for vectors in given.messages(23) {
        let name = vectors.text(1);
        if collection.schema["vectorConfig"].get(&name).is_none() {
            return Err(format!("vector {name} not found"));
        }
        object.vectors.insert(name, rows(&vectors)?);
    }
    let text = object.properties["text"].as_str().unwrap();
    if poison.is_some_and(|poison| text.contains(&poison)) {
        return Err("that is poison".to_owned());
    }
    collection.objects.insert(given.text(1), object);
    Ok(())
}

/// The rows of several vectors.
fn rows(vectors: &Message) -> Result<Vec<Vec<f32>>, String> {
    assert_eq!(vectors.number(4), 2, "several vectors");
    let Some(Field::Bytes(bytes)) = vectors.fields(3).next() else { return Err("none".into()) };
    let (dim, rest) = bytes.split_first_chunk().ok_or("no dimension")?;
    let dim = usize::from(u16::from_le_bytes(*dim));
    let (numbers, cut) = rest.as_chunks();
    if dim == 0 || !cut.is_empty() || numbers.len() % dim != 0 {
        return Err("vector lengths don't match".to_owned());
    }
    let numbers: Vec<f32> = numbers.iter().map(|of| f32::from_le_bytes(*of)).collect();
    Ok(numbers.chunks(dim).map(<[f32]>::to_vec).collect())
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

fn search(collection: &Collection, message: &Message) -> Answered {
    let filter = message.messages(40).pop();
    let (limit, after) = (message.number(30) as usize, message.text(33));
    let objects = collection.objects.iter().filter(|(id, of)| fits(id, of, filter.as_ref()));
    let objects: Vec<(&String, &Object)> = objects.collect();
    let mut found: Vec<(f64, &String, &Object)> = Vec::new();
    let is_near = message.messages(43).pop();
    if let Some(near) = &is_near {
        let name = near.messages(6).pop().unwrap().texts(1).pop().unwrap();
        let asked = rows(&near.messages(9).pop().unwrap()).map_err(|why| (3, why))?;
        for (id, object) in objects {
            let Some(vectors) = object.vectors.get(&name) else { continue };
            if vectors[0].len() != asked[0].len() {
                return Err((3, "vector lengths don't match".to_owned()));
            }
            // The distance, of which less is better.
            found.push((-max_sim(&asked, vectors), id, object));
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1)));
    } else if let Some(bm25) = message.messages(42).pop() {
        let all: Vec<Vec<String>> = collection
            .objects
            .values()
            .map(|of| words(of.properties["text"].as_str().unwrap()))
            .collect();
        let mean = all.iter().map(Vec::len).sum::<usize>() as f64 / all.len().max(1) as f64;
        let mut asked = words(&bm25.text(1));
        asked.sort();
        asked.dedup();
        for (id, object) in objects {
            let own = words(object.properties["text"].as_str().unwrap());
            let mut score = 0.0;
            for word in &asked {
                let count = own.iter().filter(|of| *of == word).count() as f64;
                let with = all.iter().filter(|of| of.contains(word)).count() as f64;
                let rarity = ((all.len() as f64 - with + 0.5) / (with + 0.5)).ln_1p();
                let around = 1.2 * (0.25 + 0.75 * own.len() as f64 / mean);
                score += rarity * count * 2.2 / (count + around);
            }
            if score > 0.0 {
                found.push((score, id, object));
            }
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    } else {
        let rest = objects.into_iter().filter(|(id, _)| **id > after);
        found.extend(rest.map(|(id, object)| (0.0, id, object)));
    }
    found.truncate(limit);
    let names = message.messages(20).pop().map(|names| names.texts(1)).unwrap_or_default();
    let metadata = message.messages(21).pop().unwrap();
    let mut reply = Vec::new();
    for (score, id, object) in found {
        let mut fields = Vec::new();
        for name in &names {
            let Some(value) = object.properties.get(name) else { continue };
            let mut entry = Vec::new();
            put_bytes(&mut entry, 1, name.as_bytes());
            put_bytes(&mut entry, 2, &written(name, value));
            put_bytes(&mut fields, 1, &entry);
        }
        let (mut properties, mut about) = (Vec::new(), Vec::new());
        put_bytes(&mut properties, 11, &fields);
        put_bytes(&mut about, 1, id.as_bytes());
        for (field, asked) in [(7, metadata.number(5)), (11, metadata.number(7))] {
            if asked == 1 {
                put_float(&mut about, field, score as f32);
                put_number(&mut about, field + 1, 1);
            }
        }
        for name in metadata.texts(10) {
            let Some(rows) = object.vectors.get(&name) else { continue };
            let mut bytes = (rows[0].len() as u16).to_le_bytes().to_vec();
            bytes.extend(rows.iter().flatten().flat_map(|number| number.to_le_bytes()));
            let mut vectors = Vec::new();
            put_bytes(&mut vectors, 1, name.as_bytes());
            put_bytes(&mut vectors, 3, &bytes);
            put_number(&mut vectors, 4, 2);
            put_bytes(&mut about, 23, &vectors);
        }
        let mut result = Vec::new();
        put_bytes(&mut result, 1, &properties);
        put_bytes(&mut result, 2, &about);
        put_bytes(&mut reply, 2, &result);
    }
    Ok(reply)
}

/// A value as answers have it.
fn written(name: &str, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Value::String(text) => {
            let field = if name == "preview" { 10 } else { 13 };
            put_bytes(&mut out, field, text.as_bytes());
        }
        Value::Number(number) => put_number(&mut out, 8, number.as_f64().unwrap() as u64),
        Value::Array(values) => {
            let mut list = Vec::new();
            if values.iter().all(Value::is_number) {
                let ints: Vec<u8> =
                    values.iter().flat_map(|of| of.as_u64().unwrap().to_le_bytes()).collect();
                let mut inner = Vec::new();
                put_bytes(&mut inner, 1, &ints);
                put_bytes(&mut list, 7, &inner);
            } else {
                let mut inner = Vec::new();
                for text in values {
                    put_bytes(&mut inner, 1, text.as_str().unwrap().as_bytes());
                }
                put_bytes(&mut list, 8, &inner);
            }
            put_bytes(&mut out, 5, &list);
        }
        Value::Null | Value::Bool(_) | Value::Object(_) => {}
    }
    out
}

/// Whether an object fits a filter.
fn fits(id: &str, object: &Object, filter: Option<&Message>) -> bool {
    let Some(filter) = filter else { return true };
    let operator = filter.number(1);
    if operator == 7 {
        return filter.messages(3).iter().all(|part| fits(id, object, Some(part)));
    }
    let property = filter.messages(20).pop().unwrap().text(1);
    let own_id = json!(id);
    let value = if property == "_id" { Some(&own_id) } else { object.properties.get(&property) };
    let Some(value) = value else { return false };
    let has = |text: &str| match value.as_array() {
        Some(values) => values.iter().any(|of| of == text),
        None => value == text,
    };
    let texts = || filter.messages(9).pop().unwrap().texts(1);
    let number = || value.as_f64().unwrap() as u64;
    match operator {
        1 => has(&filter.text(4)),
        4 => number() >= filter.number(5),
        6 => number() <= filter.number(5),
        12 => texts().iter().any(|text| has(text)),
        13 => texts().iter().all(|text| has(text)),
        other => panic!("operator {other}"),
    }
}

// ------------------------------------------------------------------ protobuf

#[derive(Debug)]
enum Field {
    Number(u64),
    Fixed64(u64),
    Bytes(Vec<u8>),
    Fixed32,
}

/// A message as numbers of fields and what they hold.
#[derive(Debug)]
struct Message(Vec<(u32, Field)>);

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (&byte, rest) = bytes.split_first().expect("a number");
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return number;
        }
    }
}

fn varints(mut bytes: &[u8]) -> Vec<u64> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        all.push(varint(&mut bytes));
    }
    all
}

impl Message {
    fn read(mut bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let field = match tag & 7 {
                0 => Field::Number(varint(&mut bytes)),
                1 => {
                    let (number, rest) = bytes.split_first_chunk().unwrap();
                    bytes = rest;
                    Field::Fixed64(u64::from_le_bytes(*number))
                }
                2 => {
                    let length = varint(&mut bytes) as usize;
                    let (content, rest) = bytes.split_at(length);
                    bytes = rest;
                    Field::Bytes(content.to_vec())
                }
                5 => {
                    bytes = &bytes[4..];
                    Field::Fixed32
                }
                kind => panic!("kind {kind}"),
            };
            fields.push(((tag >> 3) as u32, field));
        }
        Self(fields)
    }

    fn fields(&self, number: u32) -> impl Iterator<Item = &Field> {
        self.0.iter().filter(move |(of, _)| *of == number).map(|(_, field)| field)
    }

    fn bytes(&self, number: u32) -> impl Iterator<Item = &Vec<u8>> {
        self.fields(number).map(|field| match field {
            Field::Bytes(bytes) => bytes,
            Field::Number(_) | Field::Fixed64(_) | Field::Fixed32 => panic!("{field:?}"),
        })
    }

    fn messages(&self, number: u32) -> Vec<Self> {
        self.bytes(number).map(|bytes| Self::read(bytes)).collect()
    }

    fn texts(&self, number: u32) -> Vec<String> {
        self.bytes(number).map(|bytes| String::from_utf8(bytes.clone()).unwrap()).collect()
    }

    fn text(&self, number: u32) -> String {
        self.texts(number).pop().unwrap_or_default()
    }

    fn number(&self, number: u32) -> u64 {
        match self.fields(number).last() {
            Some(Field::Number(number)) => *number,
            _ => 0,
        }
    }
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_number(out: &mut Vec<u8>, field: u32, number: u64) {
    put_varint(out, u64::from(field) << 3);
    put_varint(out, number);
}

fn put_float(out: &mut Vec<u8>, field: u32, number: f32) {
    put_varint(out, u64::from(field) << 3 | 5);
    out.extend(number.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend(bytes);
}
