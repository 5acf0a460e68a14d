//! OpenAI's newer form: whole, in events, and gone on from.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::house::{get, post, send, server};

const PATH: &str = "/v1/responses";

fn ask(more: Value) -> Value {
    let mut body = json!({"model": "qwen3", "input": "Say something.", "max_output_tokens": 12, "temperature": 0.0});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn said(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"].as_str().unwrap()
}

#[tokio::test]
async fn events_build_what_comes_whole() {
    let server = server();
    let whole = post(&server, PATH, &ask(json!({}))).await.json();
    let chat = json!({"model": "qwen3", "messages": [{"role": "user", "content": "Say something."}],
        "max_tokens": 12, "temperature": 0.0});
    let chat = post(&server, "/v1/chat/completions", &chat).await.json();
    assert_eq!(said(&whole), chat["choices"][0]["message"]["content"]);
    assert_eq!((&whole["status"], &whole["object"]), (&json!("incomplete"), &json!("response")));
    assert_eq!(whole["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(whole["usage"]["output_tokens"], 12);
    let reply = post(&server, PATH, &ask(json!({"stream": true}))).await;
    let data = reply.body.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap()).collect();
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], n);
    }
    let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
    let deltas = of("response.output_text.delta");
    let streamed: String = deltas.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(streamed, said(&whole));
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(said(&last["response"]), streamed);
    assert_eq!(of("response.output_item.done")[0]["item"], last["response"]["output"][0]);
    assert_eq!(events[0]["response"]["id"], last["response"]["id"]);
}

#[tokio::test]
async fn a_conversation_goes_on_from_what_is_kept() {
    let server = server();
    let first = post(&server, PATH, &ask(json!({"instructions": "Be brief."}))).await.json();
    let id = first["id"].as_str().unwrap();
    let more = json!({"previous_response_id": id, "input": [{"role": "user", "content": "More."}]});
    let second = post(&server, PATH, &ask(more)).await.json();
    let stateless = json!({"store": false, "input": [
        {"role": "user", "content": "Say something."},
        {"type": "message", "role": "assistant", "id": "m", "status": "completed", "content": first["output"][0]["content"]},
        {"role": "user", "content": [{"type": "input_text", "text": "More."}]},
    ]});
    let alone = post(&server, PATH, &ask(stateless)).await.json();
    assert_eq!(said(&second), said(&alone));
    assert_eq!(second["usage"]["input_tokens"], alone["usage"]["input_tokens"]);
    let kept = get(&server, &format!("{PATH}/{id}")).await.json();
    assert_eq!(kept, first);
    let unkept = alone["id"].as_str().unwrap();
    assert_eq!(get(&server, &format!("{PATH}/{unkept}")).await.status.as_u16(), 404);
    let delete = Request::delete(format!("{PATH}/{id}")).body(Body::empty()).unwrap();
    assert_eq!(send(&server, delete).await.json()["deleted"], true);
    let gone = post(&server, PATH, &ask(json!({"previous_response_id": id}))).await;
    assert_eq!(
        (gone.status.as_u16(), &gone.json()["error"]["param"]),
        (404, &json!("previous_response_id"))
    );
}

#[tokio::test]
async fn the_model_in_use_is_the_current_one() {
    let server = server();
    let nobody = post(&server, PATH, &ask(json!({"model": "current"}))).await;
    assert_eq!(nobody.status.as_u16(), 400, "{}", nobody.body);
    post(&server, PATH, &ask(json!({}))).await.json();
    let current = ask(json!({"model": "current", "max_tokens": 12}));
    assert_eq!(post(&server, PATH, &current).await.json()["model"], "qwen3");
}

#[tokio::test]
async fn what_is_not_done_is_named() {
    let server = server();
    for (more, param) in [
        (json!({"background": true}), "background"),
        (json!({"truncation": "auto"}), "truncation"),
        (json!({"tool_choice": "maybe"}), "tool_choice"),
        (json!({"tools": [{"type": "web_search"}]}), "tools[0]"),
        (json!({"input": []}), "input"),
        (json!({"input": [{"type": "item_reference", "id": "x"}]}), "input[0].type"),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]}]}),
            "input[0].content[0]",
        ),
        (json!({"max_tokens": 3}), "max_tokens"),
        (json!({"hue": 1}), "hue"),
        (json!({"text": {"format": {"type": "json_schema"}}}), "text.format"),
    ] {
        let reply = post(&server, PATH, &ask(more.clone())).await;
        assert_eq!(reply.status.as_u16(), 400, "{more}: {}", reply.body);
        assert_eq!(reply.json()["error"]["param"], param, "{more}: {}", reply.body);
    }
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["n"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "name": "n", "schema": schema, "strict": true});
    let formed = ask(json!({"text": {"format": format}, "max_output_tokens": 40}));
    let formed = post(&server, PATH, &formed).await.json();
    let value: Value = serde_json::from_str(said(&formed)).unwrap();
    assert!((0..10).contains(&value["n"].as_i64().unwrap()));
    assert_eq!(formed["status"], "completed");
}
