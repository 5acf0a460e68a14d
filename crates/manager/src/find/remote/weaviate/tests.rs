//! Our messages against the bytes of the official client, both ways.

use prost::Message;
use serde_json::json;

use super::super::golden;
use super::*;
use index::Profile;

/// The official client's message, of which nothing is passed over.
fn theirs<M: Message + Default>(name: &str) -> M {
    let bytes = golden::bytes(&golden::call(&golden::read("weaviate"), name)["hex"]);
    let message = M::decode(bytes.as_slice()).unwrap();
    assert_eq!(message.encoded_len(), bytes.len(), "{name} says more than is read");
    message
}

fn reply<M: Message + Default>(name: &str) -> M {
    let bytes = golden::bytes(&golden::read("weaviate")["replies"][name]);
    M::decode(bytes.as_slice()).unwrap()
}

fn server() -> Weaviate {
    let address = super::super::Address::read("weaviate://127.0.0.1:1/Pages").unwrap();
    let environment = crate::Environment::from_vars([]);
    let patience = super::super::Patience::default();
    Weaviate::new(Wire::new(&address, None, &environment, patience).unwrap(), "Pages")
}

#[test]
fn a_collection_is_described_as_the_official_client_does() {
    let golden = golden::read("weaviate");
    let whole = golden::made();
    let vectors = Profile { dense: None, sparse: None, ..whole.profile.clone() };
    let plain = Made { profile: vectors, muvera: false, ..whole.clone() };
    for (made, name) in [(&whole, "create"), (&plain, "create-without-muvera")] {
        let mut theirs = golden::call(&golden, name)["body"].clone();
        for property in theirs["properties"].as_array_mut().unwrap() {
            let property = property.as_object_mut().unwrap();
            // What the client says for modules that make vectors, of which there are none.
            property.remove("skip_vectorization");
            property.remove("vectorize_property_name");
        }
        assert_eq!(schema("Pages", made, "made by hand"), theirs, "{name}");
    }
    // Without vectors no index of them is kept.
    let words = Made { profile: Profile::default(), ..whole };
    let words = schema("Pages", &words, "");
    assert_eq!(words["vectorIndexConfig"], json!({"skip": true}));
    assert!(words["vectorConfig"].is_null());
}

#[test]
fn pages_are_put_as_the_official_client_does() {
    let made = golden::made();
    let mut request: BatchObjectsRequest = theirs("put");
    let mut objects: Vec<BatchObject> =
        golden::records("weaviate").iter().map(|record| object("Pages", record, &made)).collect();
    for object in request.objects.iter_mut().chain(&mut objects) {
        let properties = object.properties.as_mut().unwrap();
        // Stamps are sums of ours, and lists have no order among each other.
        properties.plain.as_mut().unwrap().fields.remove("stamp").unwrap();
        properties.text_arrays.sort_by(|a, b| a.name.cmp(&b.name));
        object.vectors.sort_by(|a, b| a.name.cmp(&b.name));
    }
    assert_eq!(objects, request.objects);
    let bytes = objects[0].encoded_len();
    assert!(Weaviate::weigh(&golden::records("weaviate")[0]) >= bytes);
}

#[tokio::test]
async fn questions_are_put_as_the_official_client_does() {
    let golden = golden::read("weaviate");
    let query = golden::numbers(&golden["query"]);
    let (server, narrow) = (server(), golden::narrow());
    let sorted = |mut request: SearchRequest| {
        request.properties.as_mut().unwrap().names.sort();
        request
    };
    let metadata = |distance, score| {
        Some(MetadataRequest { uuid: true, distance, score, ..MetadataRequest::default() })
    };
    let near = SearchRequest {
        limit: 100,
        filters: filters(&narrow),
        near_vector: Some(near(VECTORS, &query, 4)),
        metadata: metadata(true, false),
        ..server.search(&[])
    };
    assert_eq!(near, theirs("find-vectors"));
    let within = SearchRequest { filters: Some(among(&golden::keys())), ..near };
    assert_eq!(within, theirs("find-among"));
    let words = SearchRequest {
        limit: 200,
        filters: filters(&narrow),
        bm25: Some(Bm25 { query: "the rent".to_owned(), properties: vec!["text".to_owned()] }),
        metadata: metadata(false, true),
        ..server.search(&[])
    };
    assert_eq!(words, theirs("find-words"));
    let list = SearchRequest {
        limit: 1000,
        after: golden::keys()[0].to_string(),
        ..server.search(&["source", "stamp"])
    };
    assert_eq!(sorted(list), sorted(theirs("list")));
    let fetch = SearchRequest {
        limit: 2,
        filters: Some(among(&golden::keys())),
        ..server.search(&["path", "number", "text"])
    };
    assert_eq!(sorted(fetch), sorted(theirs("fetch")));
    let mut fetch = SearchRequest {
        limit: 1,
        filters: Some(among(&golden::keys()[..1])),
        ..server.search(&["grid"])
    };
    fetch.metadata.as_mut().unwrap().vectors = vec![VECTORS.to_owned()];
    assert_eq!(fetch, theirs("fetch-vectors"));
    let delete = |filters| BatchDeleteRequest { collection: "Pages".to_owned(), filters };
    assert_eq!(delete(Some(among(&golden::keys()))), theirs("delete"));
    let path = Narrow { paths: Some(vec!["/a/c.pdf".to_owned()]), ..Narrow::default() };
    assert_eq!(delete(filters(&path)), theirs("remove"));
    let count =
        |filters| AggregateRequest { collection: "Pages".to_owned(), objects_count: true, filters };
    assert_eq!(count(filters(&narrow)), theirs("count"));
    assert_eq!(count(filters(&Narrow::default())), theirs("count-all"));
}

#[tokio::test]
async fn answers_are_read_as_the_official_client_writes_them() {
    let golden = golden::read("weaviate");
    let found: SearchReply = reply("found");
    let vectors = &found.results[0].metadata.as_ref().unwrap().vectors[0];
    assert_eq!(unpacked(&vectors.bytes), Some((4, golden::numbers(&golden["vectors"]))));
    let metadata = found.results[0].metadata.as_ref().unwrap();
    assert_eq!((metadata.distance, metadata.score), (-12.5, 1.25));
    let values = server().read("give pages", found).unwrap();
    assert_eq!(values.iter().map(|(key, _)| *key).collect::<Vec<_>>(), golden::keys());
    let whole = json!({
        "folders": ["/a", "/a/b"], "grid": [1, 1, 2], "number": 2, "path": "/a/b/lease.pdf", "preview": "AAEC",
    });
    assert_eq!((&values[0].1, &values[1].1), (&whole, &json!({})));
    let batch: BatchObjectsReply = reply("batch");
    assert_eq!(
        (batch.errors[0].index, batch.errors[0].error.as_str()),
        (1, "vector lengths don't match")
    );
    let deleted: BatchDeleteReply = reply("deleted");
    assert_eq!((deleted.failed, deleted.matches, deleted.successful), (1, 3, 2));
    let counted: AggregateReply = reply("counted");
    assert_eq!(counted.single.unwrap().objects_count, Some(300));
}

#[test]
fn several_vectors_are_a_dimension_and_numbers() {
    let numbers = [1.0, -2.0, 0.5, 4.0];
    let bytes = packed(&numbers, 2);
    assert_eq!(bytes[..6], [2, 0, 0, 0, 0x80, 0x3f]);
    assert_eq!(unpacked(&bytes), Some((2, numbers.to_vec())));
    for wrong in [&bytes[..1], &bytes[..17], &bytes[..14], &[0, 0], &[0, 0, 1, 2, 3, 4]] {
        assert_eq!(unpacked(wrong), None);
    }
}
