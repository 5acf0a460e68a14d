//! A small stand-in for Qdrant on 127.0.0.1: as much of its HTTP interface as folio needs, over points in memory, which it
//! compares one by one. That it finds what Qdrant's own client finds is tested with that client's answers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::http::{Incoming, Port};

/// The most numbers of the vectors of a point under one name, as of Qdrant.
const MOST_NUMBERS: usize = 1_048_576;

/// What happens to the next request that puts points.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// This status, and for how many seconds it wants to be left alone.
    Status(u16, Option<u64>),
    /// It is done, and the connection ends before the answer.
    NoAnswer,
    /// Nothing is answered for so long.
    Silence(Duration),
    /// This is answered, whatever was asked.
    Says(&'static str),
}

/// What a point has.
#[derive(Clone, Debug, Default)]
pub struct Point {
    /// Vectors by their names: several each.
    pub vectors: BTreeMap<String, Vec<Vec<f32>>>,
    /// Weights of tokens by their names.
    pub sparse: BTreeMap<String, BTreeMap<u32, f32>>,
    /// Everything else.
    pub payload: Value,
}

/// A collection.
#[derive(Clone, Debug, Default)]
pub struct Collection {
    /// As it was asked for.
    pub config: Value,
    /// By their names.
    pub points: BTreeMap<String, Point>,
    /// The values that are looked up.
    pub indexed: BTreeSet<String>,
}

/// What the server has and does.
#[derive(Debug, Default)]
pub struct State {
    /// By their names.
    pub collections: BTreeMap<String, Collection>,
    /// Faults, used up one by one, each by the next request that puts points.
    pub faults: VecDeque<Fault>,
    /// `METHOD /path` of all requests, in order.
    pub requests: Vec<String>,
    /// Who may ask. Empty: anybody.
    pub key: String,
    /// The most bytes of a request, if there is a limit.
    pub most_bytes: Option<usize>,
    /// A point whose text has this is refused, and with it its batch.
    pub poison: Option<String>,
    /// Batches that it has taken.
    pub puts: usize,
    /// How long each batch takes.
    pub slow: Duration,
    /// Points are taken, and forgotten.
    pub forgets: bool,
}

/// The server. It ends with this.
#[derive(Debug)]
pub struct QdrantServer {
    state: Arc<Mutex<State>>,
    port: Port,
}

impl Default for QdrantServer {
    fn default() -> Self {
        Self::start()
    }
}

impl QdrantServer {
    /// Starts it, without collections.
    pub fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let port = Port::listen(move |stream| serve(stream, &shared));
        Self { state, port }
    }

    /// `qdrant://127.0.0.1:PORT/` and the collection.
    pub fn address(&self, collection: &str) -> String {
        format!("{}/{collection}", self.port.url().replace("http://", "qdrant://"))
    }

    /// Changes or reads its state.
    pub fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// Lets the next requests that put points go wrong.
    pub fn fail(&self, faults: &[Fault]) {
        self.with(|state| state.faults = faults.iter().cloned().collect());
    }

    /// How many pages a collection has: points with a number.
    pub fn pages(&self, collection: &str) -> usize {
        self.with(|state| {
            let points = state.collections.get(collection).map(|of| of.points.values());
            points.into_iter().flatten().filter(|point| point.payload["number"].is_number()).count()
        })
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    while let Some(request) = Incoming::read(&mut reader)? {
        let path = request.target.split('?').next().unwrap().to_owned();
        let is_put = request.method == "PUT" && path.ends_with("/points");
        let (fault, slow, answer) = {
            let mut state = state.lock().unwrap();
            state.requests.push(format!("{} {path}", request.method));
            let fault = if is_put { state.faults.pop_front() } else { None };
            let answer = match fault {
                Some(Fault::Status(status, _)) => {
                    (status, json!({"status": {"error": "so it is"}}))
                }
                _ => answer(&request, &path, &mut state),
            };
            (fault, state.slow, answer)
        };
        let (status, body) = answer;
        let mut body = body.to_string();
        let mut headers = String::new();
        if is_put {
            std::thread::sleep(slow);
        }
        match fault {
            Some(Fault::NoAnswer) => return Ok(()),
            Some(Fault::Silence(time)) => std::thread::sleep(time),
            Some(Fault::Says(text)) => body = text.to_owned(),
            Some(Fault::Status(_, Some(wait))) => headers = format!("Retry-After: {wait}\r\n"),
            Some(Fault::Status(_, None)) | None => {}
        }
        let length = body.len();
        // In one piece: the system waits before it sends a second small one.
        let answer =
            format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        out.write_all(answer.as_bytes())?;
    }
    Ok(())
}

fn wrong(status: u16, message: &str) -> (u16, Value) {
    (status, json!({"status": {"error": message}, "time": 0.0}))
}

fn fine(result: Value) -> (u16, Value) {
    (200, json!({"result": result, "status": "ok", "time": 0.0}))
}

fn answer(request: &Incoming, path: &str, state: &mut State) -> (u16, Value) {
    let key = request.headers.get("api-key").map(String::as_str).unwrap_or_default();
    if key != state.key {
        // Some servers say again what they were told.
        return wrong(401, &format!("Must provide an API key, which `{key}` is not"));
    }
    if state.most_bytes.is_some_and(|most| request.body.len() > most) {
        return wrong(413, "Payload reached size limit");
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let mut parts = path.trim_start_matches('/').splitn(3, '/').skip(1);
    let (name, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if (request.method.as_str(), rest) == ("PUT", "") {
        if state.collections.contains_key(name) {
            return wrong(409, "Wrong input: Collection already exists!");
        }
        let made = Collection { config: body, ..Collection::default() };
        state.collections.insert(name.to_owned(), made);
        return fine(json!(true));
    }
    let (poison, forgets) = (state.poison.clone(), state.forgets);
    let Some(collection) = state.collections.get_mut(name) else {
        return wrong(404, &format!("Not found: Collection `{name}` doesn't exist!"));
    };
    match (request.method.as_str(), rest) {
        ("GET", "") => fine(json!({"status": "green", "config": {"params": collection.config}})),
        ("PUT", "index") => {
            collection.indexed.insert(body["field_name"].as_str().unwrap().to_owned());
            fine(json!({"operation_id": 1, "status": "completed"}))
        }
        ("PUT", "points") => match put(collection, &body, poison.as_deref(), forgets) {
            Ok(()) => {
                state.puts += 1;
                fine(json!({"operation_id": 1, "status": "completed"}))
            }
            Err(message) => wrong(400, &message),
        },
        ("POST", "points") => {
            let ids = body["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap());
            let found = ids.filter_map(|id| Some((id, collection.points.get(id)?)));
            fine(found.map(|(id, point)| told(id, point, &body)).collect())
        }
        ("POST", "points/scroll") => {
            let (from, limit) = (body["offset"].as_str().unwrap_or_default(), limit(&body));
            let mut all = collection.points.range(from.to_owned()..);
            let points = all.by_ref().take(limit);
            let points: Vec<Value> = points.map(|(id, point)| told(id, point, &body)).collect();
            fine(json!({"points": points, "next_page_offset": all.next().map(|(id, _)| id)}))
        }
        ("POST", "points/count") => {
            let points = collection.points.values();
            fine(json!({"count": points.filter(|point| fits(point, &body["filter"])).count()}))
        }
        ("POST", "points/delete") => {
            if let Some(ids) = body["points"].as_array() {
                for id in ids {
                    collection.points.remove(id.as_str().unwrap());
                }
            } else {
                collection.points.retain(|_, point| !fits(point, &body["filter"]));
            }
            fine(json!({"operation_id": 1, "status": "completed"}))
        }
        ("POST", "points/query") => match query(collection, &body) {
            Ok(hits) => {
                let hit =
                    |(id, score): (String, f64)| json!({"id": id, "version": 1, "score": score});
                let points: Vec<Value> = hits.into_iter().map(hit).collect();
                fine(json!({"points": points}))
            }
            Err(message) => wrong(400, &message),
        },
        _ => wrong(404, "Not found"),
    }
}

fn limit(body: &Value) -> usize {
    usize::try_from(body["limit"].as_u64().unwrap_or(10)).unwrap()
}

/// A point as far as it was asked for.
fn told(id: &str, point: &Point, body: &Value) -> Value {
    let names = body["with_payload"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let payload: Map<String, Value> = names
        .filter_map(|name| Some((name.to_owned(), point.payload.get(name)?.clone())))
        .collect();
    let mut told = json!({"id": id, "payload": payload});
    if let Some(names) = body["with_vector"].as_array() {
        let names = names.iter().filter_map(Value::as_str);
        let vectors =
            names.filter_map(|name| Some((name.to_owned(), json!(point.vectors.get(name)?))));
        told["vector"] = Value::Object(vectors.collect());
    }
    told
}

fn rows(value: &Value) -> Option<Vec<Vec<f32>>> {
    let row = |row: &Value| -> Option<Vec<f32>> {
        row.as_array()?.iter().map(|x| x.as_f64().map(|x| x as f32)).collect()
    };
    value.as_array()?.iter().map(row).collect()
}

fn weights(value: &Value) -> Option<BTreeMap<u32, f32>> {
    let (tokens, values) = (value["indices"].as_array()?, value["values"].as_array()?);
    let pair = |(token, value): (&Value, &Value)| {
        Some((u32::try_from(token.as_u64()?).ok()?, value.as_f64()? as f32))
    };
    (tokens.len() == values.len()).then_some(())?;
    tokens.iter().zip(values).map(pair).collect()
}

/// Puts all of a batch, or nothing.
fn put(
    collection: &mut Collection,
    body: &Value,
    poison: Option<&str>,
    forgets: bool,
) -> Result<(), String> {
    let mut new = Vec::new();
    for given in body["points"].as_array().ok_or("Format error in JSON body")? {
        let id = given["id"].as_str().filter(|id| id.len() == 36).ok_or("Unable to parse UUID")?;
        let mut point = Point { payload: given["payload"].clone(), ..Point::default() };
        let text = point.payload["text"].as_str().unwrap_or_default();
        if poison.is_some_and(|poison| text.contains(poison)) {
            return Err("Wrong input: that is poison".to_owned());
        }
        for (name, value) in given["vector"].as_object().ok_or("missing field `vector`")? {
            let absent = || format!("Wrong input: Not existing vector name error: {name}");
            if let Some(config) = collection.config["vectors"].get(name) {
                let rows = rows(value).ok_or("Wrong input: no vectors")?;
                let size = config["size"].as_u64().unwrap();
                if let Some(row) = rows.iter().find(|row| row.len() as u64 != size) {
                    let got = row.len();
                    return Err(format!(
                        "Wrong input: Vector dimension error: expected dim: {size}, got {got}"
                    ));
                }
                if rows.iter().map(Vec::len).sum::<usize>() > MOST_NUMBERS {
                    return Err("Validation error: multivector is too large".to_owned());
                }
                point.vectors.insert(name.clone(), rows);
            } else if collection.config["sparse_vectors"].get(name).is_some() {
                let weights = weights(value).ok_or("Wrong input: no sparse vector")?;
                point.sparse.insert(name.clone(), weights);
            } else {
                return Err(absent());
            }
        }
        new.push((id.to_owned(), point));
    }
    if !forgets {
        collection.points.extend(new);
    }
    Ok(())
}

/// Whether a point fits all conditions of a filter.
fn fits(point: &Point, filter: &Value) -> bool {
    filter["must"].as_array().into_iter().flatten().all(|condition| {
        let value = &point.payload[condition["key"].as_str().unwrap()];
        let any = |wanted: &Value| match value.as_array() {
            Some(values) => values.contains(wanted),
            None => value == wanted,
        };
        if let Some(range) = condition["range"].as_object() {
            let Some(number) = value.as_f64() else { return false };
            let bound = |name: &str| range.get(name).and_then(Value::as_f64);
            return bound("gte").is_none_or(|low| number >= low)
                && bound("lte").is_none_or(|high| number <= high);
        }
        match (&condition["match"]["value"], &condition["match"]["any"]) {
            (Value::Null, Value::Array(wanted)) => wanted.iter().any(any),
            (wanted, _) => any(wanted),
        }
    })
}

/// Names and scores, the best first.
pub fn query(collection: &Collection, body: &Value) -> Result<Vec<(String, f64)>, String> {
    let name = body["using"].as_str().ok_or("Wrong input: Not existing vector name error")?;
    let question =
        if body["query"]["nearest"].is_null() { &body["query"] } else { &body["query"]["nearest"] };
    let mut among: Option<BTreeSet<String>> = None;
    for part in body["prefetch"].as_array().into_iter().flatten() {
        let found = query(collection, part)?.into_iter().map(|(id, _)| id);
        among.get_or_insert_default().extend(found);
    }
    let candidates = collection.points.iter().filter(|(id, point)| {
        among.as_ref().is_none_or(|among| among.contains(*id)) && fits(point, &body["filter"])
    });
    let mut scored: Vec<(String, f64)> = if let Some(config) =
        collection.config["sparse_vectors"].get(name)
    {
        let asked = weights(question).ok_or("Wrong input: no sparse vector")?;
        let all = collection.points.values().filter_map(|point| point.sparse.get(name));
        let count = all.clone().count() as f64;
        let rarity = |token: &u32| {
            if config["modifier"] != "idf" {
                return 1.0;
            }
            let with = all.clone().filter(|weights| weights.contains_key(token)).count() as f64;
            ((count - with + 0.5) / (with + 0.5)).ln_1p()
        };
        let rarity: BTreeMap<u32, f64> =
            asked.keys().map(|token| (*token, rarity(token))).collect();
        let score = |weights: &BTreeMap<u32, f32>| {
            let shared =
                asked.iter().filter_map(|(token, a)| Some((token, a, weights.get(token)?)));
            let products: Vec<f64> =
                shared.map(|(token, a, b)| f64::from(*a) * f64::from(*b) * rarity[token]).collect();
            (!products.is_empty()).then(|| products.iter().sum())
        };
        candidates
            .filter_map(|(id, point)| Some((id.clone(), score(point.sparse.get(name)?)?)))
            .collect()
    } else if collection.config["vectors"].get(name).is_some() {
        let asked = rows(question).ok_or("Wrong input: no vectors")?;
        candidates
            .filter_map(|(id, point)| Some((id.clone(), max_sim(&asked, point.vectors.get(name)?))))
            .collect()
    } else {
        return Err(format!("Wrong input: Not existing vector name error: {name}"));
    };
    scored.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    scored.truncate(limit(body));
    Ok(scored)
}

/// The sum, over the vectors of a question, of the greatest product with one of a page's.
pub fn max_sim(question: &[Vec<f32>], page: &[Vec<f32>]) -> f64 {
    let product = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let greatest =
        |a: &Vec<f32>| page.iter().map(|b| product(a, b)).fold(f64::NEG_INFINITY, f64::max);
    question.iter().map(greatest).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Qdrant's own client finds in its local mode is found here too.
    #[test]
    fn it_finds_what_the_official_client_finds() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/stores/qdrant.json");
        let golden: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let oracle = &golden["oracle"];
        let size = json!({"size": 4});
        let config = json!({
            "vectors": {"vectors": size, "dense": size},
            "sparse_vectors": {"sparse": {}, "words": {"modifier": "idf"}},
        });
        let mut collection = Collection { config, ..Collection::default() };
        put(&mut collection, oracle, None, false).unwrap();
        let questions = oracle["questions"].as_array().unwrap();
        assert_eq!((collection.points.len(), questions.len()), (24, 6));
        for question in questions {
            let found = query(&collection, &question["body"]).unwrap();
            let expected = question["hits"].as_array().unwrap();
            assert_eq!(found.len(), expected.len(), "{}", question["name"]);
            for ((id, score), expected) in found.iter().zip(expected) {
                assert_eq!(expected[0], *id, "{}", question["name"]);
                assert!(
                    (expected[1].as_f64().unwrap() - score).abs() < 1e-4,
                    "{}",
                    question["name"]
                );
            }
        }
    }
}
