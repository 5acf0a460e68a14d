//! What is not done is said, by name, and in the words of whoever asked.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use server::{Gate, Key, Options, Rules, router};

use crate::house::{get, narrow, open, post, send, server};

#[tokio::test]
async fn every_refusal_names_what_is_wrong() {
    let server = server();
    let user = json!([{"role": "user", "content": "Hello"}]);
    let with = |name: &str, value: Value| {
        let mut body = json!({"model": "qwen3", "messages": user, "max_tokens": 1});
        body[name] = value;
        body
    };
    let part = |part: Value| json!([{"role": "user", "content": [part]}]);
    for (body, status, param, words) in [
        (with("model", json!("qwen9")), 404, "model", "there are: qwen2, qwen3,"),
        (with("model", json!("/etc/passwd")), 404, "model", "is offered here"),
        (with("model", json!("bert")), 400, "", "embedding model"),
        (with("max_tokens", json!(100_000)), 400, "", "at most"),
        (with("max_tokens", json!(0)), 400, "", "max_tokens is 0"),
        (with("max_tokens", json!(-1)), 400, "max_tokens", "invalid value"),
        (with("max_completion_tokens", json!(2)), 400, "max_tokens", "differ"),
        (with("temperature", json!(-1)), 400, "", "temperature"),
        (with("n", json!(0)), 400, "n", "from 1"),
        (with("n", json!(999)), 400, "n", "from 1"),
        (with("stop", json!("")), 400, "stop", "empty"),
        (with("stop", json!(vec!["a"; 99])), 400, "stop", "99"),
        (with("stream_options", json!({})), 400, "stream_options", "only with"),
        (with("audio", json!({})), 400, "audio", "not supported"),
        (with("colour", json!(1)), 400, "colour", "unknown field"),
        (with("messages", json!([])), 400, "messages", "empty"),
        (
            with("messages", json!([{"role": "king", "content": "x"}])),
            400,
            "messages[0].role",
            "king",
        ),
        (with("messages", json!([{"role": "user"}])), 400, "messages[0].content", "missing"),
        (
            with(
                "messages",
                part(json!({"type": "image_url", "image_url": {"url": "http://x/y.png"}})),
            ),
            400,
            "messages[0].content[0]",
            "fetches no addresses",
        ),
        (
            with(
                "messages",
                part(json!({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}})),
            ),
            400,
            "messages[0].content[0]",
            "fetches no addresses",
        ),
        (
            with(
                "messages",
                part(
                    json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}),
                ),
            ),
            400,
            "",
            "reads text only",
        ),
        (
            with("messages", part(json!({"type": "text", "image_url": "x"}))),
            400,
            "messages[0].content[0]",
            "must hold",
        ),
        (
            with("messages", part(json!({"type": "video"}))),
            400,
            "messages[0].content[0].type",
            "video",
        ),
    ] {
        let reply = post(&server, "/v1/chat/completions", &body).await;
        let error = reply.json()["error"].clone();
        assert_eq!(reply.status.as_u16(), status, "{body}: {error}");
        assert_eq!(error["param"].as_str().unwrap_or(""), param, "{body}: {error}");
        assert!(error["message"].as_str().is_some_and(|m| m.contains(words)), "{body}: {error}");
        assert!(error["type"].is_string(), "{error}");
    }
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_told_with_both_counts() {
    let server = server();
    let body = json!({"model": "llama", "prompt": vec![5; 5000], "max_tokens": 3});
    let reply = post(&server, "/v1/completions", &body).await;
    let error = reply.json()["error"].clone();
    let message = error["message"].as_str().unwrap_or_default();
    assert_eq!((reply.status.as_u16(), &error["code"]), (400, &json!("context_length_exceeded")));
    assert!(message.contains("5000 prompt tokens") && message.contains("at most"), "{message}");
}

#[tokio::test]
async fn each_dialect_has_its_own_words() {
    let server = server();
    let openai = get(&server, "/v1/nothing").await;
    assert_eq!(
        (openai.status.as_u16(), openai.json()["error"]["type"].as_str()),
        (404, Some("not_found_error"))
    );
    let ollama = get(&server, "/api/nothing").await;
    assert!(ollama.json()["error"].is_string(), "{}", ollama.body);
    let anthropic = get(&server, "/v1/messages/nothing").await;
    assert_eq!(anthropic.json()["type"], "error");
    let wrong = get(&server, "/v1/chat/completions").await;
    assert_eq!((wrong.status.as_u16(), wrong.headers["allow"].as_bytes()), (405, &b"POST"[..]));
    let large = post(&narrow(100), "/v1/completions", &json!({"prompt": "x".repeat(200)})).await;
    assert_eq!(large.status.as_u16(), 413, "{}", large.body);
    assert!(large.json()["error"]["message"].is_string());
}

#[tokio::test]
async fn keys_and_origins_are_asked_for() {
    let gate = Gate {
        keys: vec![Key::new("ann", "sesame")],
        origins: BTreeSet::from(["https://app.example".to_owned()]),
        ..Gate::default()
    };
    let server = router(
        open(&[]),
        Options { rules: Rules { gate, ..Rules::default() }, ..Options::default() },
    );
    let ask = |headers: &[(&'static str, &'static str)]| {
        let mut request = Request::get("/v1/models");
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        send(&server, request.body(Body::empty()).expect("a request"))
    };
    let key = ("authorization", "Bearer sesame");
    let refused = ask(&[]).await;
    assert_eq!(
        (refused.status.as_u16(), refused.headers["www-authenticate"].as_bytes()),
        (401, &b"Bearer"[..])
    );
    assert_eq!(refused.json()["error"]["code"], "invalid_api_key");
    assert_eq!(ask(&[key]).await.status.as_u16(), 200);
    assert_eq!(ask(&[key, ("host", "evil.example")]).await.status.as_u16(), 403);
    assert_eq!(ask(&[key, ("origin", "https://evil.example")]).await.status.as_u16(), 403);
    let page = ask(&[key, ("origin", "https://app.example")]).await;
    assert_eq!(page.headers["access-control-allow-origin"], "https://app.example");
    // A browser asks first, without the key.
    let first = Request::options("/v1/models")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST");
    let first = send(&server, first.body(Body::empty()).expect("a request")).await;
    assert_eq!(first.status.as_u16(), 204);
    assert!(first.headers.contains_key("access-control-allow-headers"));
    assert_eq!(get(&server, "/health").await.status.as_u16(), 200);
}

#[tokio::test]
async fn only_what_is_offered_is_served() {
    let server = router(open(&["llama", "qwen3"]), Options::default());
    let list = get(&server, "/v1/models").await.json();
    let names: Vec<_> =
        list["data"].as_array().into_iter().flatten().map(|m| m["id"].clone()).collect();
    assert_eq!(names, ["llama", "qwen3"]);
    let body = json!({"model": "bert", "input": "x"});
    let reply = post(&server, "/v1/embeddings", &body).await;
    assert_eq!(reply.status.as_u16(), 404);
    let message = reply.json()["error"]["message"].to_string();
    assert!(message.contains("llama, qwen3"), "{message}");
}
