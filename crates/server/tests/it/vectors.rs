//! Embeddings and reranking.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use server::{Options, router};

use crate::house::{open_in, post, server};

#[tokio::test]
async fn vectors_come_as_numbers_and_as_bytes() {
    let server = server();
    let ask = |more: Value| {
        let mut body = json!({"model": "bert", "input": ["one text", "another"]});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let numbers = post(&server, "/v1/embeddings", &ask(json!({}))).await.json();
    assert_eq!(numbers["data"].as_array().unwrap().len(), 2);
    assert!(numbers["usage"]["prompt_tokens"].as_u64().unwrap() > 3);
    let bytes =
        post(&server, "/v1/embeddings", &ask(json!({"encoding_format": "base64"}))).await.json();
    let encoded = bytes["data"][1]["embedding"].as_str().unwrap();
    let decoded = STANDARD.decode(encoded).unwrap();
    let floats: Vec<f32> =
        decoded.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let expected: Vec<f32> = numbers["data"][1]["embedding"]
        .as_array()
        .unwrap()
        .iter()
        .map(|element| element.as_f64().unwrap() as f32)
        .collect();
    assert_eq!(floats, expected);
    let single = json!({"model": "bert", "input": "another"});
    let single = post(&server, "/v1/embeddings", &single).await.json();
    assert_eq!(single["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn other_kinds_of_vectors_come_beside_the_first() {
    let server = server();
    let body = json!({"model": "xlm-roberta", "input": "some words", "kinds": ["dense", "sparse", "multi"]});
    let reply = post(&server, "/v1/embeddings", &body).await.json();
    let item = &reply["data"][0];
    assert!(item["embedding"].is_array() && item["sparse_embedding"].is_object(), "{item}");
    let multi = item["multi_vector"].as_array().unwrap();
    assert!(
        multi
            .iter()
            .all(|vector| vector.as_array().unwrap().len() as u64 == item["dim"].as_u64().unwrap())
    );
    for (body, param) in [
        (json!({"model": "bert", "input": []}), "input"),
        (json!({"model": "bert", "input": [1, 2]}), "input"),
        (json!({"model": "bert", "input": "x", "kinds": []}), "kinds"),
        (json!({"model": "bert", "input": [{"text": "a", "image": "b"}]}), "input[0]"),
    ] {
        let reply = post(&server, "/v1/embeddings", &body).await;
        assert_eq!(reply.status.as_u16(), 400, "{body}");
        assert_eq!(reply.json()["error"]["param"], param, "{body}");
    }
    for body in [
        json!({"model": "bert", "input": "x", "kinds": ["sparse"]}),
        json!({"model": "bert", "input": "x", "dimensions": 100_000}),
        json!({"model": "llama", "input": "x"}),
        json!({"model": "bert", "input": "x ".repeat(5000)}),
    ] {
        assert_eq!(post(&server, "/v1/embeddings", &body).await.status.as_u16(), 400, "{body}");
    }
}

#[tokio::test]
async fn documents_come_in_order_of_their_scores() {
    let server = server();
    let body = json!({
        "model": "bert_rerank", "query": "which one", "documents": ["a b", {"text": "c d e"}, "f"],
        "return_documents": true,
    });
    let reply = post(&server, "/v1/rerank", &body).await.json();
    let results = reply["results"].as_array().unwrap().clone();
    let scores: Vec<f64> = results.iter().map(|r| r["relevance_score"].as_f64().unwrap()).collect();
    assert_eq!(scores.len(), 3);
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    let of = |index: u64| results.iter().find(|r| r["index"] == index).unwrap();
    assert_eq!(of(1)["document"]["text"], "c d e");
    let mut first = body.clone();
    first["top_n"] = json!(1);
    let first = post(&server, "/v1/rerank", &first).await.json();
    assert_eq!(first["results"].as_array().unwrap()[..], results[..1]);
    first["results"].as_array().unwrap();
    let none = json!({"model": "bert_rerank", "query": "q", "documents": []});
    assert_eq!(post(&server, "/v1/rerank", &none).await.status.as_u16(), 400);
}

/// A server that also offers models that see.
fn seeing() -> Router {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let folders = ["models", "vision"].map(|name| fixtures.join(name).canonicalize().unwrap());
    let folders = std::env::join_paths(folders).unwrap();
    router(open_in(Path::new(&folders), &[]), Options::default())
}

fn picture(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/images").join(name);
    format!("data:image/png;base64,{}", STANDARD.encode(std::fs::read(file).unwrap()))
}

/// The vectors of the tokens of each input.
async fn tokens(server: &Router, body: &Value) -> Vec<Vec<Vec<f64>>> {
    let reply = post(server, "/v1/embeddings", body).await;
    assert_eq!(reply.status.as_u16(), 200, "{body}: {}", reply.body);
    let reply = reply.json();
    let number = |value: &Value| value.as_f64().unwrap();
    let vector = |value: &Value| value.as_array().unwrap().iter().map(number).collect::<Vec<_>>();
    let item = |item: &Value| {
        assert!(item.get("embedding").is_none(), "{item}");
        let vectors: Vec<_> = item["multi_vector"].as_array().unwrap().iter().map(vector).collect();
        assert!(vectors.iter().all(|v| v.len() as u64 == item["dim"].as_u64().unwrap()));
        vectors
    };
    reply["data"].as_array().unwrap().iter().map(item).collect()
}

/// What the definition says.
fn max_sim(query: &[Vec<f64>], document: &[Vec<f64>]) -> f64 {
    let product = |a: &Vec<f64>, b: &Vec<f64>| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let best = |q: &Vec<f64>| document.iter().map(|d| product(q, d)).fold(f64::MIN, f64::max);
    query.iter().map(best).sum()
}

#[tokio::test]
async fn queries_and_pages_have_vectors_for_their_tokens() {
    let server = seeing();
    let ask = |input: Value| json!({"model": "colqwen2_5", "input": input});
    // It makes no other vectors, so these need no naming.
    let query = tokens(&server, &ask(json!("garden"))).await;
    let mut named = ask(json!(["garden"]));
    (named["kinds"], named["prompt_name"]) = (json!(["multi"]), json!("query"));
    assert_eq!(tokens(&server, &named).await, query);
    // A text that is to be found has nothing around it.
    named["prompt_name"] = "document".into();
    let text = tokens(&server, &named).await;
    assert!(text[0].len() + 10 <= query[0].len(), "{} of {}", text[0].len(), query[0].len());
    let page = ask(json!([{"image": picture("alpha.png")}]));
    let vectors = tokens(&server, &page).await.remove(0);
    let item = post(&server, "/v1/embeddings", &page).await.json()["data"][0].clone();
    let places = |name: &str| item["places"][name].as_u64().unwrap();
    let area = places("height") * places("width");
    assert!(area > 0 && places("start") + area <= vectors.len() as u64, "{}", item["places"]);
    let mut encoded = page.clone();
    encoded["encoding_format"] = "base64".into();
    let encoded = post(&server, "/v1/embeddings", &encoded).await.json();
    let first = STANDARD.decode(encoded["data"][0]["multi_vector"][0].as_str().unwrap()).unwrap();
    assert_eq!(first.len(), vectors[0].len() * 4);
    for (field, value) in [
        ("kinds", json!(["dense"])),
        ("kinds", json!(["multi", "sparse"])),
        ("dimensions", json!(8)),
        ("prompt_name", json!("document")),
        ("truncate", json!(true)),
    ] {
        let mut body = page.clone();
        body[field] = value;
        let reply = post(&server, "/v1/embeddings", &body).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["error"]["param"]), (400, &json!(field)));
    }
    for (field, value) in [("prompt_name", "passage"), ("prompt_name", "document")] {
        let mut body = ask(json!(if value == "document" { "" } else { "x" }));
        body[field] = value.into();
        assert_eq!(post(&server, "/v1/embeddings", &body).await.status.as_u16(), 400, "{body}");
    }
    let dense = json!({"model": "colqwen2_5", "input": "x", "kinds": ["dense"]});
    assert_eq!(post(&server, "/v1/embeddings", &dense).await.status.as_u16(), 400);
}

#[tokio::test]
async fn documents_are_judged_by_late_interaction() {
    let server = seeing();
    let pages = [json!({"image": picture("alpha.png")}), json!({"image": picture("grey.png")})];
    let query = tokens(&server, &json!({"model": "colqwen2_5", "input": "a garden"})).await;
    let images = tokens(&server, &json!({"model": "colqwen2_5", "input": pages})).await;
    let text = json!({"model": "colqwen2_5", "input": "the garden", "prompt_name": "document"});
    let text = tokens(&server, &text).await;
    let expected = [&images[0], &text[0], &images[1]].map(|document| max_sim(&query[0], document));
    let body = json!({
        "model": "colqwen2_5", "query": "a garden", "return_documents": true,
        "documents": [pages[0], "the garden", pages[1]],
    });
    let reply = post(&server, "/v1/rerank", &body).await;
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.body);
    let reply = reply.json();
    assert_eq!(reply["scoring"], "maxsim-sum");
    let results = reply["results"].as_array().unwrap();
    let scores: Vec<f64> = results.iter().map(|r| r["relevance_score"].as_f64().unwrap()).collect();
    assert!(scores.len() == 3 && scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    for result in results {
        let index = result["index"].as_u64().unwrap() as usize;
        let score = result["relevance_score"].as_f64().unwrap();
        assert!((score - expected[index]).abs() < 1e-4, "{index}: {score}, {expected:?}");
        assert_eq!(
            result["document"],
            if index == 1 { json!({"text": "the garden"}) } else { pages[index / 2].clone() }
        );
    }
    // bge-m3's is the mean, over all tokens but the first.
    let ask = |input: &str| json!({"model": "xlm-roberta", "input": input, "kinds": ["multi"]});
    let (query, text) = (
        tokens(&server, &ask("some words")).await,
        tokens(&server, &ask("other words here")).await,
    );
    let body = json!({"model": "xlm-roberta", "query": "some words", "documents": ["other words here", "x"]});
    let reply = post(&server, "/v1/rerank", &body).await.json();
    assert_eq!(reply["scoring"], "maxsim-mean");
    let first = reply["results"].as_array().unwrap().iter().find(|r| r["index"] == 0).unwrap();
    let mean = max_sim(&query[0], &text[0]) / query[0].len() as f64;
    assert!((first["relevance_score"].as_f64().unwrap() - mean).abs() < 1e-5, "{first}, {mean}");
    let body = json!({"model": "bert_rerank", "query": "q", "documents": ["a b"]});
    assert_eq!(post(&server, "/v1/rerank", &body).await.json()["scoring"], "cross-encoder");
    for (body, part) in [
        (json!({"model": "bert_rerank", "query": "q", "documents": [pages[0]]}), "image"),
        (json!({"model": "xlm-roberta", "query": "q", "documents": [pages[0]]}), "image"),
        (
            json!({"model": "colqwen2_5", "query": "q", "documents": [{"text": "a", "image": "b"}]}),
            "documents[0]",
        ),
        (
            json!({"model": "colqwen2_5", "query": "q", "documents": ["a", {"image": "http://a/b.png"}]}),
            "documents[1].image",
        ),
        (
            json!({"model": "xlm-roberta", "query": "q", "documents": ["a", "long ".repeat(9000)]}),
            "text 1 has",
        ),
        (json!({"model": "bert", "query": "q", "documents": ["a"]}), "rerank"),
    ] {
        let reply = post(&server, "/v1/rerank", &body).await;
        assert_eq!(reply.status.as_u16(), 400, "{}", reply.body);
        assert!(reply.body.contains(part), "{part}: {}", reply.body);
    }
}
