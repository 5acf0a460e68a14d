//! Qdrant, over its HTTP interface.
//!
//! A page is a point: vectors for late interaction and those of passages as multivectors, which Qdrant compares by MaxSim; the
//! weights of tokens, and those of words with how rare they are on the server's side, as sparse vectors. The former have no
//! graph (`m` is 0), so all of them are compared, or those that lists have found, in the same request.

use std::collections::BTreeSet;

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::engine::{Fault, Listed, Lists, Ranked};
use super::record::{Compression, Key, Made, Narrow, Record};
use super::wire::{Said, Wire, said};
use super::{Error, There, words};

/// The most numbers of the vectors of a point under one name.
const MOST_NUMBERS: usize = 1_048_576;
/// What a batch may come to at most, since a server takes requests of 32 MB unless it is set up otherwise, and how many pages.
const BATCH: (usize, usize) = (24 << 20, 100);
/// The most bytes of a request.
const MOST_BYTES: usize = 32_000_000;
/// How many pages are kept for each that is wanted, where a first look is at compressed vectors.
const OVERSAMPLING: f64 = 4.0;

/// What the vectors are called there.
const VECTORS: &str = "vectors";
const DENSE: &str = "dense";
const SPARSE: &str = "sparse";
const WORDS: &str = "words";

#[derive(Debug)]
pub(super) struct Qdrant {
    wire: Wire,
    collection: String,
}

impl Qdrant {
    pub(super) fn new(wire: Wire, collection: &str) -> Self {
        Self { wire, collection: collection.to_owned() }
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.wire
    }

    pub(super) fn batch() -> (usize, usize) {
        BATCH
    }

    pub(super) fn most_bytes() -> usize {
        MOST_BYTES
    }

    pub(super) async fn there(&self) -> Result<There, Error> {
        let action = "describe the collection";
        let found = self.wire.ask(action, Method::GET, &self.path(""), None).await?;
        if found.status == 404 {
            return Ok(There::Nothing);
        }
        self.result(action, found)?;
        let keys = [Key::of_profile()];
        let made = self.fetch(&keys, &["made"]).await?.pop();
        let foreign = |why: String| Error::Foreign { place: self.wire.place.clone(), why };
        match made {
            Some((_, values)) => {
                Ok(There::Made(Box::new(Made::read(&values["made"]).map_err(foreign)?)))
            }
            // Whoever made it was ended before it could say so.
            None if self.count_by(None).await? == 0 => Ok(There::Empty),
            None => Err(foreign("it does not say what made it".to_owned())),
        }
    }

    /// Makes the collection, or goes on making it; `false` if somebody else has meanwhile.
    pub(super) async fn create(&self, made: &Made, is_there: bool) -> Result<bool, Error> {
        let action = "make the collection";
        let body = collection(made);
        if is_there {
            self.check_shape(&body).await?;
        } else {
            let body = Bytes::from(body.to_string());
            let done = self.wire.ask(action, Method::PUT, &self.path(""), Some(body)).await?;
            if done.status == 409 {
                return Ok(false);
            }
            self.result(action, done)?;
        }
        let profile = json!({"points": [{
            "id": Key::of_profile().to_string(), "vector": {}, "payload": {"made": made.write()},
        }]});
        self.put_body(Bytes::from(profile.to_string())).await?;
        Ok(true)
    }

    /// Has the server look up values instead of comparing all.
    pub(super) async fn prepare(&self) -> Result<(), Error> {
        for (field, kind) in INDEXED {
            let body = Bytes::from(json!({"field_name": field, "field_schema": kind}).to_string());
            let (action, path) = ("index values", self.path("/index?wait=true"));
            let done = self.wire.ask(action, Method::PUT, &path, Some(body)).await?;
            self.result(action, done)?;
        }
        Ok(())
    }

    /// Refuses an empty collection in which other vectors have their places.
    async fn check_shape(&self, wanted: &Value) -> Result<(), Error> {
        let action = "describe the collection";
        let found = self.wire.ask(action, Method::GET, &self.path(""), None).await?;
        let found = self.result(action, found)?;
        let params = &found["config"]["params"];
        for kind in ["vectors", "sparse_vectors"] {
            let names = |of: &Value| -> BTreeSet<String> {
                of.as_object().into_iter().flat_map(|all| all.keys().cloned()).collect()
            };
            let sizes = |of: &Value| -> Vec<Value> {
                names(of).iter().map(|name| of[name]["size"].clone()).collect()
            };
            let (is, wants) = (&params[kind], &wanted[kind]);
            if names(is) != names(wants) || sizes(is) != sizes(wants) {
                let why = format!("it has other {kind} than a new one would");
                return Err(Error::Foreign { place: self.wire.place.clone(), why });
            }
        }
        Ok(())
    }

    /// Why a page cannot be stored there.
    pub(super) fn refuses(record: &Record) -> Option<String> {
        let dense: usize = record.dense.iter().map(Vec::len).sum();
        let most = record.vectors.len().max(dense);
        if most > MOST_NUMBERS {
            return Some(format!(
                "its vectors have {most} numbers, and Qdrant takes {MOST_NUMBERS} of a page: index it with --pool"
            ));
        }
        let bytes = Self::weigh(record);
        (bytes > MOST_BYTES).then(|| format!("its {bytes} bytes are more than {MOST_BYTES}"))
    }

    /// About how many bytes a page comes to: a number is written with up to ten digits.
    pub(super) fn weigh(record: &Record) -> usize {
        let preview = record.preview.as_ref().map_or(0, |(_, bytes)| bytes.len());
        let dense: usize = record.dense.iter().map(Vec::len).sum();
        let numbers = record.vectors.len() + dense + 2 * record.sparse.len();
        let metadata: usize =
            record.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        // A word of text is a token and a weight too, and letters may be escaped.
        13 * numbers + 6 * record.text.len() + 16 * record.path.len() + metadata + preview + 2048
    }

    /// Puts pages there.
    pub(super) async fn put(&self, records: &[Record], made: &Made) -> Result<Vec<Fault>, Error> {
        let mut body = b"{\"points\":[".to_vec();
        for (at, record) in records.iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            point(record, made, &mut body);
        }
        body.extend(b"]}");
        self.put_body(Bytes::from(body)).await?;
        // What is wrong with one is said of the whole batch, as a status.
        Ok(Vec::new())
    }

    async fn put_body(&self, body: Bytes) -> Result<(), Error> {
        let (action, path) = ("take pages", self.path("/points?wait=true"));
        let done = self.wire.ask(action, Method::PUT, &path, Some(body)).await?;
        let result = self.result(action, done)?;
        match result["status"].as_str() {
            Some("completed" | "acknowledged") => Ok(()),
            other => {
                Err(self.garbage(action, format!("the status `{}`", other.unwrap_or_default())))
            }
        }
    }

    /// A part of all pages from one on, with some of what is known of them.
    pub(super) async fn list(
        &self,
        from: Option<Key>,
        names: &[&str],
        most: usize,
    ) -> Result<Listed, Error> {
        let action = "list pages";
        let mut body = json!({"limit": most, "with_payload": names, "with_vector": false});
        if let Some(from) = from {
            body["offset"] = json!(from.to_string());
        }
        let result = self.ask(action, "/points/scroll", &body).await?;
        let mut pages = self.points(action, &result["points"])?;
        let next = &result["next_page_offset"];
        let key = next.as_str().and_then(Key::read).filter(|key| Some(*key) != from);
        if key.is_none() && !next.is_null() {
            return Err(self.garbage(action, "it does not say how it goes on"));
        }
        let next = key;
        pages.retain(|(key, _)| *key != Key::of_profile());
        Ok(Listed { pages, next })
    }

    /// Some of what is known of these pages.
    pub(super) async fn fetch(
        &self,
        keys: &[Key],
        names: &[&str],
    ) -> Result<Vec<(Key, Value)>, Error> {
        let ids: Vec<String> = keys.iter().map(Key::to_string).collect();
        let body = json!({"ids": ids, "with_payload": names, "with_vector": false});
        let result = self.ask("give pages", "/points", &body).await?;
        self.points("give pages", &result)
    }

    /// A page's vectors for late interaction, and some of what is known of it.
    pub(super) async fn vectors(
        &self,
        key: Key,
        names: &[&str],
    ) -> Result<Option<(Vec<f32>, Value)>, Error> {
        let action = "give vectors";
        let body =
            json!({"ids": [key.to_string()], "with_payload": names, "with_vector": [VECTORS]});
        let result = self.ask(action, "/points", &body).await?;
        let Some(point) = result.get(0) else { return Ok(None) };
        let mut numbers = Vec::new();
        for row in point["vector"][VECTORS].as_array().into_iter().flatten() {
            let row = row.as_array().ok_or_else(|| self.garbage(action, "a vector is none"))?;
            for number in row {
                let number = number.as_f64().ok_or_else(|| self.garbage(action, "no number"))?;
                numbers.push(number as f32);
            }
        }
        Ok(Some((numbers, point["payload"].clone())))
    }

    pub(super) async fn delete(&self, keys: &[Key]) -> Result<(), Error> {
        let ids: Vec<String> = keys.iter().map(Key::to_string).collect();
        self.ask("delete pages", "/points/delete?wait=true", &json!({"points": ids})).await?;
        Ok(())
    }

    pub(super) async fn remove(&self, path: &str) -> Result<usize, Error> {
        let narrow = Narrow { paths: Some(vec![path.to_owned()]), ..Narrow::default() };
        let count = self.count(&narrow).await?;
        if count > 0 {
            let body = json!({"filter": filter(&narrow)});
            self.ask("delete pages", "/points/delete?wait=true", &body).await?;
        }
        Ok(count)
    }

    pub(super) async fn count(&self, narrow: &Narrow) -> Result<usize, Error> {
        // What says what made the collection is no page, and has no number.
        let pages = narrow.pages.or(Some((1, u32::MAX)));
        self.count_by(filter(&Narrow { pages, ..narrow.clone() })).await
    }

    async fn count_by(&self, filter: Option<Value>) -> Result<usize, Error> {
        let mut body = json!({"exact": true});
        if let Some(filter) = filter {
            body["filter"] = filter;
        }
        let result = self.ask("count pages", "/points/count", &body).await?;
        let count = result["count"].as_u64().and_then(|count| usize::try_from(count).ok());
        count.ok_or_else(|| self.garbage("count pages", "it has no count"))
    }

    /// What one list finds, the best first.
    pub(super) async fn find(
        &self,
        list: Lists<'_>,
        narrow: &Narrow,
        (limit, made): (usize, &Made),
    ) -> Result<Ranked, Error> {
        let (query, using) = question(list, made);
        let mut body = json!({
            "query": {"nearest": query}, "using": using, "limit": limit, "with_payload": false,
            "with_vector": false,
        });
        if let Some(filter) = filter(narrow) {
            body["filter"] = filter;
        }
        if matches!(list, Lists::Vectors(_)) && made.compression != Compression::None {
            // Whole vectors decide among the best of a first look.
            body["params"] =
                json!({"quantization": {"rescore": true, "oversampling": OVERSAMPLING}});
        }
        self.ranked(&body).await
    }

    /// The pages whose vectors fit best of those that lists find, in one request.
    pub(super) async fn find_chained(
        &self,
        lists: &[Lists<'_>],
        vectors: &[f32],
        narrow: &Narrow,
        ((list, limit), made): ((usize, usize), &Made),
    ) -> Result<Ranked, Error> {
        let filter = filter(narrow);
        let prefetch = lists.iter().map(|of| {
            let (query, using) = question(*of, made);
            let mut one = json!({"query": query, "using": using, "limit": list});
            if let Some(filter) = &filter {
                one["filter"] = filter.clone();
            }
            one
        });
        let prefetch: Vec<Value> = prefetch.collect();
        let (query, using) = question(Lists::Vectors(vectors), made);
        let body = json!({
            "prefetch": prefetch, "query": {"nearest": query}, "using": using, "limit": limit,
            "with_payload": false, "with_vector": false,
        });
        self.ranked(&body).await
    }

    async fn ranked(&self, body: &Value) -> Result<Ranked, Error> {
        let action = "find pages";
        let result = self.ask(action, "/points/query", body).await?;
        let points = result["points"].as_array();
        let points = points.ok_or_else(|| self.garbage(action, "it has no points"))?;
        let hit =
            |point: &Value| Some((Key::read(point["id"].as_str()?)?, point["score"].as_f64()?));
        let hits: Option<Ranked> = points.iter().map(hit).collect();
        hits.ok_or_else(|| self.garbage(action, "a point has no name or score"))
    }

    async fn ask(&self, action: &'static str, path: &str, body: &Value) -> Result<Value, Error> {
        let body = Bytes::from(body.to_string());
        let said = self.wire.ask(action, Method::POST, &self.path(path), Some(body)).await?;
        self.result(action, said)
    }

    /// What an answer carries, if it is one of success.
    fn result(&self, action: &'static str, mut found: Said) -> Result<Value, Error> {
        let place = self.wire.place.clone();
        match found.status {
            200..=299 if found.body["result"].is_null() => {
                Err(self.garbage(action, "it has no result"))
            }
            200..=299 => Ok(found.body["result"].take()),
            404 => Err(Error::Missing { place }),
            status => {
                let message = said(&found.body).unwrap_or("it says nothing").to_owned();
                Err(Error::Refused { place, action, status: format!("status {status}"), message })
            }
        }
    }

    fn points(&self, action: &'static str, points: &Value) -> Result<Vec<(Key, Value)>, Error> {
        let points = points.as_array().ok_or_else(|| self.garbage(action, "it has no points"))?;
        let read = |point: &Value| {
            let key = point["id"].as_str().and_then(Key::read);
            // Whatever else may be there is not of our making.
            let key = key.ok_or_else(|| self.garbage(action, "a point has no name of ours"))?;
            Ok((key, point["payload"].clone()))
        };
        points.iter().map(read).collect()
    }

    fn path(&self, rest: &str) -> String {
        format!("/collections/{}{rest}", self.collection)
    }

    fn garbage(&self, action: &'static str, what: impl Into<String>) -> Error {
        Error::Garbage { place: self.wire.place.clone(), action, what: what.into() }
    }
}

/// The values by which pages are filtered.
const INDEXED: [(&str, &str); 8] = [
    ("path", "keyword"),
    ("folders", "keyword"),
    ("document", "keyword"),
    ("category", "keyword"),
    ("metadata", "keyword"),
    ("source", "keyword"),
    ("number", "integer"),
    ("day", "integer"),
];

/// What is asked of which vectors.
fn question(list: Lists<'_>, made: &Made) -> (Value, &'static str) {
    let sparse = |weights: &[(u32, f32)]| {
        let (indices, values): (Vec<u32>, Vec<f32>) = weights.iter().copied().unzip();
        json!({"indices": indices, "values": values})
    };
    match list {
        Lists::Words(words) => (sparse(&words::question_weights(words)), WORDS),
        Lists::Sparse(weights) => (sparse(weights), SPARSE),
        // One vector is compared with each of a page's: the best one counts.
        Lists::Dense(vector) => (json!([vector]), DENSE),
        Lists::Vectors(vectors) => {
            let dim = made.profile.vectors.as_ref().map_or(1, |encoder| encoder.dim as usize);
            (json!(vectors.chunks(dim.max(1)).collect::<Vec<_>>()), VECTORS)
        }
    }
}

/// The collection's description.
fn collection(made: &Made) -> Value {
    let several = |dim: u32| {
        json!({
            "size": dim, "distance": "Dot", "on_disk": true,
            "multivector_config": {"comparator": "max_sim"},
        })
    };
    let mut vectors = Map::new();
    if let Some(encoder) = &made.profile.vectors {
        let mut of = several(encoder.dim);
        of["hnsw_config"] = json!({"m": 0});
        match made.compression {
            Compression::None => {}
            Compression::Bytes => {
                of["quantization_config"] = json!({"scalar": {"type": "int8", "always_ram": true}});
            }
            Compression::Bits => {
                of["quantization_config"] = json!({"binary": {"always_ram": true}});
            }
        }
        vectors.insert(VECTORS.to_owned(), of);
    }
    if let Some(encoder) = &made.profile.dense {
        vectors.insert(DENSE.to_owned(), several(encoder.dim));
    }
    let mut sparse = Map::new();
    sparse.insert(WORDS.to_owned(), json!({"modifier": "idf"}));
    if made.profile.sparse.is_some() {
        sparse.insert(SPARSE.to_owned(), json!({}));
    }
    json!({"vectors": vectors, "sparse_vectors": sparse})
}

/// Writes a page as a point.
fn point(record: &Record, made: &Made, to: &mut Vec<u8>) {
    // Writing to memory cannot fail, and numbers of vectors are finite.
    to.extend(format!("{{\"id\":\"{}\",\"vector\":{{", record.key).bytes());
    let mut separate = "";
    let mut begin = |to: &mut Vec<u8>, name: &str| {
        to.extend(format!("{separate}\"{name}\":").bytes());
        separate = ",";
    };
    if let Some(encoder) = &made.profile.vectors
        && !record.vectors.is_empty()
    {
        begin(to, VECTORS);
        let rows: Vec<&[f32]> = record.vectors.chunks(encoder.dim as usize).collect();
        drop(serde_json::to_writer(&mut *to, &rows));
    }
    if made.profile.dense.is_some() && !record.dense.is_empty() {
        begin(to, DENSE);
        drop(serde_json::to_writer(&mut *to, &record.dense));
    }
    let weights = words::page_weights(&record.text, made.words);
    let sparse = record.sparse.as_slice();
    for (name, weights) in [(WORDS, weights.as_slice()), (SPARSE, sparse)] {
        if weights.is_empty() || (name == SPARSE && made.profile.sparse.is_none()) {
            continue;
        }
        begin(to, name);
        let (indices, values): (Vec<u32>, Vec<f32>) = weights.iter().copied().unzip();
        to.extend(b"{\"indices\":");
        drop(serde_json::to_writer(&mut *to, &indices));
        to.extend(b",\"values\":");
        drop(serde_json::to_writer(&mut *to, &values));
        to.push(b'}');
    }
    to.extend(b"},\"payload\":");
    to.extend(Value::Object(record.payload()).to_string().bytes());
    to.push(b'}');
}

/// What a filter says; nothing if it leaves nothing out.
fn filter(narrow: &Narrow) -> Option<Value> {
    let mut must = Vec::new();
    let value = |key: &str, value: &str| json!({"key": key, "match": {"value": value}});
    let any = |key: &str, values: &[String]| json!({"key": key, "match": {"any": values}});
    match narrow.paths.as_deref() {
        Some([path]) => must.push(value("path", path)),
        Some(paths) => must.push(any("path", paths)),
        None => {}
    }
    if let Some(folder) = &narrow.folder {
        must.push(value("folders", folder));
    }
    let mut range = |key: &str, from: Option<u32>, to: Option<u32>| {
        let bounds = [("gte", from), ("lte", to)];
        let bounds =
            bounds.into_iter().filter_map(|(name, of)| Some((name.to_owned(), json!(of?))));
        let bounds: Map<String, Value> = bounds.collect();
        if !bounds.is_empty() {
            must.push(json!({"key": key, "range": bounds}));
        }
    };
    range("day", narrow.from, narrow.to);
    let (first, last) = narrow.pages.unzip();
    range("number", first, last);
    if !narrow.categories.is_empty() {
        must.push(any("category", &narrow.categories));
    }
    must.extend(narrow.metadata.iter().map(|pair| value("metadata", pair)));
    (!must.is_empty()).then(|| json!({"must": must}))
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::*;

    /// The order of conditions says nothing, nor how a whole number is written, nor whether a single question says `nearest`.
    fn plain(mut value: Value) -> Value {
        fn walk(value: &mut Value) {
            match value {
                Value::Number(number) => *value = json!(number.as_f64()),
                Value::Array(all) => all.iter_mut().for_each(walk),
                Value::Object(all) => {
                    all.values_mut().for_each(walk);
                    if let Some(Value::Array(must)) = all.get_mut("must") {
                        must.sort_by_key(Value::to_string);
                    }
                    if let Some(nearest) = all.get("nearest").cloned() {
                        *value = nearest;
                    } else {
                        all.sort_keys();
                    }
                }
                Value::Null | Value::Bool(_) | Value::String(_) => {}
            }
        }
        walk(&mut value);
        value
    }

    fn same(ours: &Value, name: &str) {
        let golden = golden::read("qdrant");
        let theirs = golden::call(&golden, name)["body"].clone();
        assert_eq!(plain(ours.clone()), plain(theirs), "{name}");
    }

    #[test]
    fn a_collection_is_described_as_the_official_client_does() {
        let whole = golden::made();
        same(&collection(&whole), "create");
        let vectors = Profile { dense: None, sparse: None, ..whole.profile.clone() };
        for (compression, name) in
            [(Compression::Bytes, "create-int8"), (Compression::Bits, "create-binary")]
        {
            let made = Made { profile: vectors.clone(), compression, ..whole.clone() };
            same(&collection(&made), name);
        }
        for (field, kind) in INDEXED {
            same(&json!({"field_name": field, "field_schema": kind}), &format!("index-{field}"));
        }
    }

    #[test]
    fn pages_are_put_as_the_official_client_does() {
        let (made, records) = (golden::made(), golden::records("qdrant"));
        let golden = golden::read("qdrant");
        let theirs = golden::call(&golden, "put")["body"]["points"].clone();
        for (at, record) in records.iter().enumerate() {
            let mut body = Vec::new();
            point(record, &made, &mut body);
            let mut ours: Value = serde_json::from_slice(&body).unwrap();
            // Ours to weigh; the official client has no words.
            let words = ours["vector"].as_object_mut().unwrap().remove(WORDS);
            assert_eq!(words.is_some(), !record.text.is_empty());
            let mut theirs = theirs[at].clone();
            // Two records of ours differ from those in their stamps, which are sums.
            theirs["payload"]["stamp"] = json!(record.stamp());
            assert_eq!(plain(ours), plain(theirs));
            assert!(Qdrant::weigh(record) >= body.len());
        }
    }

    #[test]
    fn questions_are_put_as_the_official_client_does() {
        let (made, golden) = (golden::made(), golden::read("qdrant"));
        let narrow = golden::narrow();
        let rows = |name: &str| golden::numbers(&golden[name]);
        let (vectors, dense) = (rows("query"), rows("dense_query"));
        let sparse = [(3, 1.0), (9, 0.5)];
        let ask = |list: Lists<'_>, limit: usize| {
            let (query, using) = question(list, &made);
            json!({
                "query": query, "using": using, "filter": filter(&narrow), "limit": limit,
                "with_vector": false, "with_payload": false,
            })
        };
        same(&ask(Lists::Vectors(&vectors), 10), "find-vectors");
        same(&ask(Lists::Sparse(&sparse), 200), "find-sparse");
        same(&json!({"filter": filter(&narrow), "exact": true}), "count");
        let (dense, using) = question(Lists::Dense(&dense), &made);
        let chain = &golden::call(&golden, "find-among")["body"]["prefetch"][1];
        assert_eq!(plain(json!(dense)), plain(chain["query"].clone()));
        assert_eq!(chain["using"], using);
        let path = Narrow { paths: Some(vec!["/a/c.pdf".to_owned()]), ..Narrow::default() };
        same(&json!({"filter": filter(&path)}), "remove");
    }

    use index::Profile;
}
