//! Embeddings and reranking.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::house::{post, server};

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
