//! Weaviate: its schema over HTTP, everything else over gRPC.
//!
//! A page is an object with named vectors, of which those for late interaction and those of passages are several each. Such
//! vectors lie in a graph of Weaviate's, which chooses pages by an approximation, so more are asked for than are wanted. With
//! the distance `dot` a result is the negative of MaxSim. There is no place for weights of tokens: its own BM25 takes theirs.

mod messages;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::engine::{Fault, Listed, Lists, Ranked};
use super::record::{Key, Made, Narrow, Record};
use super::wire::{Wire, said};
use super::{Error, There};
use messages::{
    AggregateReply, AggregateRequest, BatchDeleteReply, BatchDeleteRequest, BatchObject,
    BatchObjectsReply, BatchObjectsRequest, BatchProperties, Bm25, FilterTarget, FilterValue,
    Filters, IntArrayProperties, ListKind, MetadataRequest, NearVector, Operator,
    PropertiesRequest, Property, PropertyKind, SearchReply, SearchRequest, SearchResult, Struct,
    StructKind, StructValue, Targets, TextArray, TextArrayProperties, VectorType, Vectors,
};

/// The largest message that a server takes unless it says otherwise.
const USUAL_MESSAGE: usize = 104_858_000;
/// What a batch may come to at most, and how many pages.
const BATCH: (usize, usize) = (32 << 20, 100);
/// What is asked for at least, since the graph's approximation looks at twice as many.
const LEAST: usize = 100;
/// What is asked for in place of each that is wanted.
const OVER: usize = 4;
/// The most results that a server gives unless it is set up otherwise.
const MOST_RESULTS: usize = 10_000;
/// How far a search without MUVERA looks for each vector of a question.
const EF: u32 = 512;
/// MUVERA's: `2^4` cells, 16 dimensions of each, 10 times.
const MUVERA: (u32, u32, u32) = (4, 16, 10);

/// What the vectors are called there.
pub(super) const VECTORS: &str = "vectors";
pub(super) const DENSE: &str = "dense";

#[derive(Debug)]
pub(super) struct Weaviate {
    wire: Wire,
    collection: String,
}

impl Weaviate {
    pub(super) fn new(wire: Wire, collection: &str) -> Self {
        Self { wire, collection: collection.to_owned() }
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// What a message may come to, as the server says.
    pub(super) async fn most_bytes(&self) -> Result<usize, Error> {
        let meta = self.wire.ask("say what it is", Method::GET, "/v1/meta", None).await?;
        let said = meta.body["grpcMaxMessageSize"].as_u64();
        Ok(said.map_or(USUAL_MESSAGE, |most| usize::try_from(most).unwrap_or(USUAL_MESSAGE)))
    }

    pub(super) fn batch() -> (usize, usize) {
        BATCH
    }

    pub(super) async fn there(&self) -> Result<There, Error> {
        let path = format!("/v1/schema/{}", self.collection);
        let found = self.wire.ask("describe the collection", Method::GET, &path, None).await?;
        if found.status == 404 {
            return Ok(There::Nothing);
        }
        let foreign = |why: String| Error::Foreign { place: self.wire.place.clone(), why };
        let description = found.body["description"].as_str().unwrap_or_default();
        let description: Value = serde_json::from_str(description)
            .map_err(|_| foreign("its description is somebody else's".to_owned()))?;
        Ok(There::Made(Box::new(Made::read(&description).map_err(foreign)?)))
    }

    /// Makes the collection; `false` if somebody else has meanwhile.
    pub(super) async fn create(&self, made: &Made) -> Result<bool, Error> {
        let action = "make the collection";
        let description = made.write().to_string();
        let body = schema(&self.collection, made, &description);
        let body = Bytes::from(body.to_string());
        let done = self.wire.ask(action, Method::POST, "/v1/schema", Some(body)).await?;
        let message = said(&done.body).unwrap_or_default();
        match done.status {
            200..=299 => Ok(true),
            422 if message.contains("already exists") => Ok(false),
            status => Err(Error::Refused {
                place: self.wire.place.clone(),
                action,
                status: format!("status {status}"),
                message: message.to_owned(),
            }),
        }
    }

    /// Why a page cannot be stored there.
    pub(super) fn refuses(record: &Record, most: usize) -> Option<String> {
        let bytes = Self::weigh(record);
        (bytes > most).then(|| format!("its {bytes} bytes are more than the {most} of a message"))
    }

    /// About how many bytes a page comes to.
    pub(super) fn weigh(record: &Record) -> usize {
        let preview = record.preview.as_ref().map_or(0, |(_, bytes)| bytes.len());
        let dense: usize = record.dense.iter().map(Vec::len).sum();
        let metadata: usize =
            record.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        let words = record.text.len() + metadata + 16 * record.path.len() + preview;
        (record.vectors.len() + dense) * size_of::<f32>() + words + 2048
    }

    /// Puts pages there, and says which are not taken.
    pub(super) async fn put(&self, records: &[Record], made: &Made) -> Result<Vec<Fault>, Error> {
        let objects = records.iter().map(|record| object(&self.collection, record, made));
        let request = BatchObjectsRequest { objects: objects.collect() };
        let action = "take pages";
        let method = "/weaviate.v1.Weaviate/BatchObjects";
        let reply: BatchObjectsReply = self.wire.call(action, method, &request).await?;
        let fault = |error: messages::BatchError| {
            let at = usize::try_from(error.index).ok().filter(|at| *at < records.len());
            let at = at.ok_or_else(|| self.garbage(action, "it names no object of the batch"))?;
            Ok(Fault { at, why: error.error })
        };
        reply.errors.into_iter().map(fault).collect()
    }

    /// A part of all pages after one, with some of what is known of them.
    pub(super) async fn list(
        &self,
        after: Option<Key>,
        names: &[&str],
        most: usize,
    ) -> Result<Listed, Error> {
        let request = SearchRequest {
            after: after.map_or_else(String::new, |key| key.to_string()),
            limit: u32::try_from(most).unwrap_or(u32::MAX),
            ..self.search(names)
        };
        let reply = self.run("list pages", &request).await?;
        let count = reply.results.len();
        let pages = self.read("list pages", reply)?;
        let next = pages.last().map(|(key, ..)| *key).filter(|_| count >= most);
        if next.is_some() && next == after {
            return Err(self.garbage("list pages", "it lists the same again"));
        }
        Ok(Listed { pages, next })
    }

    /// Some of what is known of these pages.
    pub(super) async fn fetch(
        &self,
        keys: &[Key],
        names: &[&str],
    ) -> Result<Vec<(Key, Value)>, Error> {
        let request = SearchRequest {
            limit: u32::try_from(keys.len()).unwrap_or(u32::MAX),
            filters: Some(among(keys)),
            ..self.search(names)
        };
        let reply = self.run("give pages", &request).await?;
        self.read("give pages", reply)
    }

    /// A page's vectors for late interaction, and some of what is known of it.
    pub(super) async fn vectors(
        &self,
        key: Key,
        names: &[&str],
    ) -> Result<Option<(Vec<f32>, Value)>, Error> {
        let action = "give vectors";
        let mut request =
            SearchRequest { limit: 1, filters: Some(among(&[key])), ..self.search(names) };
        if let Some(metadata) = &mut request.metadata {
            metadata.vectors = vec![VECTORS.to_owned()];
        }
        let Some(result) = self.run(action, &request).await?.results.pop() else {
            return Ok(None);
        };
        let all = result.metadata.iter().flat_map(|metadata| &metadata.vectors);
        let mut bytes = all.filter(|vectors| vectors.name == VECTORS).map(|of| of.bytes.as_slice());
        let vectors = match bytes.next() {
            None => Vec::new(),
            Some(bytes) => {
                let (_, numbers) =
                    unpacked(bytes).ok_or_else(|| self.garbage(action, "the vectors are cut"))?;
                numbers
            }
        };
        Ok(Some((vectors, self.values(action, result)?.1)))
    }

    pub(super) async fn delete(&self, keys: &[Key]) -> Result<(), Error> {
        self.delete_by(among(keys)).await.map(drop)
    }

    pub(super) async fn remove(&self, path: &str) -> Result<usize, Error> {
        let mut gone = 0;
        loop {
            let filter = condition("path", Operator::Equal, FilterValue::Text(path.to_owned()));
            let (successful, more) = self.delete_by(filter).await?;
            gone += successful;
            // A call takes away as many as a search would find at most.
            if !more {
                return Ok(gone);
            }
        }
    }

    async fn delete_by(&self, filters: Filters) -> Result<(usize, bool), Error> {
        let action = "delete pages";
        let request =
            BatchDeleteRequest { collection: self.collection.clone(), filters: Some(filters) };
        let method = "/weaviate.v1.Weaviate/BatchDelete";
        let reply: BatchDeleteReply = self.wire.call(action, method, &request).await?;
        if reply.failed > 0 {
            return Err(Error::Refused {
                place: self.wire.place.clone(),
                action,
                status: "in part".to_owned(),
                message: format!("{} of {} pages stayed", reply.failed, reply.matches),
            });
        }
        let gone = usize::try_from(reply.successful).unwrap_or_default();
        Ok((gone, gone >= MOST_RESULTS))
    }

    pub(super) async fn count(&self, narrow: &Narrow) -> Result<usize, Error> {
        let action = "count pages";
        let request = AggregateRequest {
            collection: self.collection.clone(),
            objects_count: true,
            filters: filters(narrow),
        };
        let method = "/weaviate.v1.Weaviate/Aggregate";
        let reply: AggregateReply = self.wire.call(action, method, &request).await?;
        let count = reply.single.and_then(|single| single.objects_count);
        count
            .and_then(|count| usize::try_from(count).ok())
            .ok_or_else(|| self.garbage(action, "it has no count"))
    }

    /// What one list finds, the best first.
    async fn find(
        &self,
        list: Lists<'_>,
        narrow: Option<Filters>,
        (limit, dim): (usize, usize),
    ) -> Result<Ranked, Error> {
        let action = "find pages";
        let limit = limit.min(MOST_RESULTS);
        let mut request = SearchRequest {
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            filters: narrow,
            ..self.search(&[])
        };
        let metadata = request.metadata.get_or_insert_default();
        let by_words = matches!(list, Lists::Words(_));
        (metadata.distance, metadata.score) = (!by_words, by_words);
        match list {
            Lists::Words(words) => {
                let properties = vec!["text".to_owned()];
                request.bm25 = Some(Bm25 { query: words.to_owned(), properties });
            }
            Lists::Dense(vector) => request.near_vector = Some(near(DENSE, vector, vector.len())),
            Lists::Vectors(vectors) => request.near_vector = Some(near(VECTORS, vectors, dim)),
            Lists::Sparse(_) => return Ok(Vec::new()),
        }
        let reply = self.run(action, &request).await?;
        let mut ranked = Vec::with_capacity(reply.results.len());
        for result in reply.results {
            let Some(metadata) = result.metadata else {
                return Err(self.garbage(action, "a result has no name"));
            };
            let (score, present) = match by_words {
                true => (metadata.score, metadata.score_present),
                false => (-metadata.distance, metadata.distance_present),
            };
            let key = Key::read(&metadata.id).filter(|_| present && score.is_finite());
            let key = key.ok_or_else(|| self.garbage(action, "a result has no name or score"))?;
            ranked.push((key, f64::from(score)));
        }
        Ok(ranked)
    }

    /// What one list of words or single vectors finds.
    pub(super) async fn find_in(
        &self,
        list: Lists<'_>,
        narrow: &Narrow,
        limit: usize,
    ) -> Result<Ranked, Error> {
        self.find(list, filters(narrow), (limit, 1)).await
    }

    /// The pages whose vectors fit best, by what the graph leads to.
    pub(super) async fn nearest(
        &self,
        vectors: &[f32],
        narrow: &Narrow,
        (limit, dim): (usize, usize),
    ) -> Result<Ranked, Error> {
        let asked = limit.saturating_mul(OVER).max(LEAST);
        self.find(Lists::Vectors(vectors), filters(narrow), (asked, dim)).await
    }

    /// The same among pages that lists have found.
    pub(super) async fn nearest_among(
        &self,
        vectors: &[f32],
        keys: &[Key],
        dim: usize,
    ) -> Result<Ranked, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        // Of few pages Weaviate compares all; more results are asked for all the same.
        let asked = keys.len().max(LEAST);
        self.find(Lists::Vectors(vectors), Some(among(keys)), (asked, dim)).await
    }

    /// The beginning of a search that gives names and these values.
    fn search(&self, names: &[&str]) -> SearchRequest {
        SearchRequest {
            collection: self.collection.clone(),
            properties: Some(PropertiesRequest {
                names: names.iter().map(|name| (*name).to_owned()).collect(),
            }),
            metadata: Some(MetadataRequest { uuid: true, ..MetadataRequest::default() }),
            uses_123_api: true,
            uses_125_api: true,
            uses_127_api: true,
            ..SearchRequest::default()
        }
    }

    async fn run(
        &self,
        action: &'static str,
        request: &SearchRequest,
    ) -> Result<SearchReply, Error> {
        self.wire.call(action, "/weaviate.v1.Weaviate/Search", request).await
    }

    fn read(&self, action: &'static str, reply: SearchReply) -> Result<Vec<(Key, Value)>, Error> {
        reply.results.into_iter().map(|result| self.values(action, result)).collect()
    }

    /// A result's name and values.
    fn values(&self, action: &'static str, result: SearchResult) -> Result<(Key, Value), Error> {
        let key = result.metadata.and_then(|metadata| Key::read(&metadata.id));
        let key = key.ok_or_else(|| self.garbage(action, "a result has no name"))?;
        let fields = result.properties.and_then(|properties| properties.plain);
        let fields = fields.map(|plain| plain.fields).unwrap_or_default();
        let values: Map<String, Value> =
            fields.into_iter().filter_map(|(name, of)| Some((name, value(of)?))).collect();
        Ok((key, Value::Object(values)))
    }

    fn garbage(&self, action: &'static str, what: &str) -> Error {
        Error::Garbage { place: self.wire.place.clone(), action, what: what.to_owned() }
    }
}

/// A value as it came back; nothing for one that is absent, or of a kind that pages have none of.
fn value(property: Property) -> Option<Value> {
    Some(match property.kind? {
        PropertyKind::Number(number) => json!(number),
        PropertyKind::Bool(is) => json!(is),
        PropertyKind::Int(number) => json!(number),
        PropertyKind::Blob(text) | PropertyKind::Text(text) => json!(text),
        PropertyKind::Null(_) => return None,
        PropertyKind::List(list) => match list.kind? {
            ListKind::Texts(texts) => json!(texts.values),
            ListKind::Ints(ints) => {
                let (numbers, _) = ints.bytes.as_chunks();
                json!(numbers.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect::<Vec<_>>())
            }
        },
    })
}

/// The collection's description for `POST /v1/schema`.
fn schema(collection: &str, made: &Made, description: &str) -> Value {
    let text = |name: &str, filterable: bool| {
        json!({
            "name": name, "dataType": ["text"], "tokenization": "field",
            "indexFilterable": filterable, "indexSearchable": false,
        })
    };
    let texts = |name: &str| {
        json!({
            "name": name, "dataType": ["text[]"], "tokenization": "field",
            "indexFilterable": true, "indexSearchable": false,
        })
    };
    let number = |name: &str| json!({"name": name, "dataType": ["int"], "indexFilterable": true, "indexRangeFilters": true});
    let properties = json!([
        text("path", true),
        texts("folders"),
        text("document", true),
        number("number"),
        number("day"),
        {"name": "pages", "dataType": ["int"], "indexFilterable": false},
        text("category", true),
        texts("metadata"),
        {
            "name": "text", "dataType": ["text"], "tokenization": "word", "indexFilterable": false,
            "indexSearchable": true,
        },
        text("hash", false),
        text("failure", false),
        {"name": "grid", "dataType": ["int[]"], "indexFilterable": false},
        text("previewKind", false),
        {"name": "preview", "dataType": ["blob"]},
        text("source", true),
        text("stamp", false),
    ]);
    let mut vectors = Map::new();
    let mut add = |name: &str, mut config: Value, muvera: bool| {
        if muvera {
            let (ksim, dprojections, repetitions) = MUVERA;
            config["multivector"]["muvera"] = json!({
                "enabled": true, "ksim": ksim, "dprojections": dprojections, "repetitions": repetitions,
            });
        }
        let of = json!({
            "vectorizer": {"none": {}}, "vectorIndexType": "hnsw", "vectorIndexConfig": config,
        });
        vectors.insert(name.to_owned(), of);
    };
    if made.profile.vectors.is_some() {
        let mut config = json!({"distance": "dot", "multivector": {"enabled": true}});
        if !made.muvera {
            config["ef"] = json!(EF);
        }
        add(VECTORS, config, made.muvera);
    }
    if made.profile.dense.is_some() {
        add(DENSE, json!({"distance": "dot", "multivector": {"enabled": true}}), false);
    }
    let mut class =
        json!({"class": collection, "description": description, "properties": properties});
    if vectors.is_empty() {
        // Found by words alone.
        class["vectorizer"] = json!("none");
        class["vectorIndexConfig"] = json!({"skip": true});
    } else {
        class["vectorConfig"] = Value::Object(vectors);
    }
    class
}

/// A page as an object.
fn object(collection: &str, record: &Record, made: &Made) -> BatchObject {
    let mut properties = BatchProperties::default();
    let mut plain = BTreeMap::new();
    for (name, value) in record.payload() {
        let kind = match value {
            Value::String(text) => StructKind::Text(text),
            Value::Number(number) => StructKind::Number(number.as_f64().unwrap_or_default()),
            Value::Array(values) if values.is_empty() => {
                properties.empty_lists.push(name);
                continue;
            }
            Value::Array(values) if values.iter().all(Value::is_string) => {
                let values = values.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                properties.text_arrays.push(TextArrayProperties { values, name });
                continue;
            }
            Value::Array(values) => {
                let values = values.iter().filter_map(Value::as_i64).collect();
                properties.int_arrays.push(IntArrayProperties { values, name });
                continue;
            }
            // A page has no others.
            Value::Null | Value::Bool(_) | Value::Object(_) => continue,
        };
        plain.insert(name, StructValue { kind: Some(kind) });
    }
    properties.plain = Some(Struct { fields: plain });
    let mut vectors = Vec::new();
    if let Some(encoder) = &made.profile.vectors
        && !record.vectors.is_empty()
    {
        vectors.push(several(VECTORS, &record.vectors, encoder.dim as usize));
    }
    if let Some(encoder) = &made.profile.dense
        && !record.dense.is_empty()
    {
        vectors.push(several(DENSE, &record.dense.concat(), encoder.dim as usize));
    }
    BatchObject {
        uuid: record.key.to_string(),
        properties: Some(properties),
        collection: collection.to_owned(),
        vectors,
    }
}

/// Several vectors under one name.
fn several(name: &str, numbers: &[f32], dim: usize) -> Vectors {
    let bytes = packed(numbers, dim);
    Vectors { name: name.to_owned(), bytes, kind: VectorType::MultiFp32.into() }
}

/// Vectors as Weaviate has several of them: the dimension in 16 bits, then numbers of 32.
fn packed(numbers: &[f32], dim: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + size_of_val(numbers));
    bytes.extend(u16::try_from(dim).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    bytes
}

/// The dimension and the numbers; nothing if they do not fit together.
fn unpacked(bytes: &[u8]) -> Option<(usize, Vec<f32>)> {
    let (dim, rest) = bytes.split_first_chunk()?;
    let dim = usize::from(u16::from_le_bytes(*dim));
    let (numbers, cut) = rest.as_chunks();
    let whole = cut.is_empty() && dim > 0 && numbers.len() % dim == 0;
    whole.then(|| (dim, numbers.iter().map(|number| f32::from_le_bytes(*number)).collect()))
}

fn near(name: &str, numbers: &[f32], dim: usize) -> NearVector {
    NearVector {
        targets: Some(Targets { names: vec![name.to_owned()] }),
        vectors: vec![Vectors { name: String::new(), ..several(name, numbers, dim) }],
    }
}

fn condition(property: &str, operator: Operator, value: FilterValue) -> Filters {
    Filters {
        operator: operator.into(),
        filters: Vec::new(),
        target: Some(FilterTarget { property: property.to_owned() }),
        value: Some(value),
    }
}

/// These pages.
fn among(keys: &[Key]) -> Filters {
    let values = keys.iter().map(Key::to_string).collect();
    condition("_id", Operator::ContainsAny, FilterValue::Texts(TextArray { values }))
}

/// What a filter says; nothing if it leaves nothing out.
fn filters(narrow: &Narrow) -> Option<Filters> {
    let mut all = Vec::new();
    let texts = |values: &[String]| FilterValue::Texts(TextArray { values: values.to_vec() });
    let mut and = |property, operator, value| all.push(condition(property, operator, value));
    match narrow.paths.as_deref() {
        Some([path]) => and("path", Operator::Equal, FilterValue::Text(path.clone())),
        Some(paths) => and("path", Operator::ContainsAny, texts(paths)),
        None => {}
    }
    if let Some(folder) = &narrow.folder {
        and("folders", Operator::Equal, FilterValue::Text(folder.clone()));
    }
    if let Some(from) = narrow.from {
        and("day", Operator::GreaterThanEqual, FilterValue::Int(from.into()));
    }
    if let Some(to) = narrow.to {
        and("day", Operator::LessThanEqual, FilterValue::Int(to.into()));
    }
    if !narrow.categories.is_empty() {
        and("category", Operator::ContainsAny, texts(&narrow.categories));
    }
    if let Some((first, last)) = narrow.pages {
        and("number", Operator::GreaterThanEqual, FilterValue::Int(first.into()));
        and("number", Operator::LessThanEqual, FilterValue::Int(last.into()));
    }
    if !narrow.metadata.is_empty() {
        and("metadata", Operator::ContainsAll, texts(&narrow.metadata));
    }
    match all.len() {
        0 | 1 => all.pop(),
        _ => Some(Filters { operator: Operator::And.into(), filters: all, ..Filters::default() }),
    }
}
