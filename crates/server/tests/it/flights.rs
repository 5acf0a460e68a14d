//! What is recorded of requests.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use server::{Allowance, Gate, Key, Options, Rules, router};
use tower::ServiceExt as _;

use crate::house::{get, post, send, settled};

const PATH: &str = "/v1/chat/completions";

fn chat(model: &str) -> Value {
    json!({
        "model": model,
        "messages": [{"role": "user", "content": "A secret."}],
        "temperature": 0.0,
        "max_tokens": 4,
    })
}

fn named(id: &str, body: &Value) -> Request<Body> {
    let request = Request::post(PATH).header("x-request-id", id);
    request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
}

#[tokio::test]
async fn each_request_leaves_a_record() {
    let house = settled(
        "
        [routes.fast]
        models = ['org/gone', 'qwen3']
        [fallback]
        find_ollama = false
        ",
    );
    let server = router(house, Options::default());
    let mut two = chat("fast");
    two["n"] = 2.into();
    let reply = send(&server, named("mine-1", &two)).await;
    assert_eq!(reply.headers["x-request-id"], "mine-1");
    let record = get(&server, "/v1/requests/mine-1").await.json();
    assert_eq!((&record["status"], &record["sent"]), (&json!(200), &json!(true)), "{record}");
    assert_eq!(record["answers"].as_array().unwrap().len(), 2);
    assert_eq!(record["answers"][0]["model"], "qwen3");
    assert!(record["answers"][0]["load_seconds"].as_f64().unwrap() > 0.0, "{record}");
    let steps = |record: &Value, answer: u64| -> Vec<String> {
        let of = record["steps"].as_array().unwrap().iter();
        let of = of.filter(|step| step["answer"] == answer);
        of.map(|step| step["what"].as_str().unwrap().to_owned()).collect()
    };
    let first = steps(&record, 0);
    assert_eq!(
        first,
        ["asked", "passed", "wants", "loads", "loaded", "has", "begun", "first_token", "ended"]
    );
    assert_eq!(record["steps"][1]["who"], "org/gone");
    let ended = record["steps"].as_array().unwrap().iter().find(|step| step["what"] == "ended");
    assert_eq!(ended.unwrap()["completion_tokens"], 4);
    assert!(!record.to_string().contains("secret"));

    // The next finds it in memory.
    let reply = send(&server, named("mine-2", &chat("fast"))).await;
    assert_eq!(reply.status, 200);
    let again = steps(&get(&server, "/v1/requests/mine-2").await.json(), 0);
    assert_eq!(again, ["asked", "passed", "wants", "has", "begun", "first_token", "ended"]);

    // What a stranger calls itself is not taken over if it could not stand in a log.
    let reply = send(&server, named("a name\twith blanks", &chat("qwen3"))).await;
    assert!(reply.headers["x-request-id"].to_str().unwrap().starts_with("req_"));

    let list = get(&server, "/v1/requests?limit=2").await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    let lines = get(&server, "/v1/requests?format=jsonl").await;
    assert_eq!(lines.body.lines().count(), 3);
    let trace = get(&server, "/v1/requests?format=trace").await.json();
    assert!(trace["traceEvents"].as_array().unwrap().len() > 10);
    assert_eq!(get(&server, "/v1/requests?format=xml").await.status, 400);
    assert_eq!(get(&server, "/v1/requests/none").await.status, 404);
}

#[tokio::test]
async fn failures_and_farewells_are_recorded() {
    let server = router(settled("[fallback]\nfind_ollama = false\n"), Options::default());
    let refused = send(&server, named("bad", &json!({"model": "qwen3", "mesages": []}))).await;
    assert_eq!(refused.status, 400);
    assert_eq!(get(&server, "/v1/requests/bad").await.json()["status"], 400);
    let none = send(&server, named("none", &chat("nobody/nothing"))).await;
    assert_eq!(none.status, 404);
    let record = get(&server, "/v1/requests/none").await.json();
    assert_eq!(record["steps"][1]["what"], "failed", "{record}");

    // Who hangs up in the middle.
    let mut streamed = chat("qwen3");
    streamed["stream"] = true.into();
    let response = server.clone().oneshot(named("gone", &streamed)).await.unwrap();
    drop(response);
    let record = get(&server, "/v1/requests/gone").await.json();
    assert_eq!((&record["over"], &record["sent"]), (&json!(true), &json!(false)), "{record}");
    let steps = record["steps"].as_array().unwrap();
    assert_eq!(steps.last().unwrap()["what"], "given_up");

    let anthropic = post(&server, "/v1/messages", &json!({"model": "qwen3"})).await;
    assert_eq!(anthropic.json()["request_id"], anthropic.headers["request-id"].to_str().unwrap());
}

#[tokio::test]
async fn a_key_is_held_to_its_allowance() {
    let allowance = Allowance { tokens_per_minute: Some(20), ..Allowance::default() };
    let two = Allowance { requests_per_minute: Some(2), ..Allowance::default() };
    let keys = vec![
        Key::new("ann", "a").allowed(allowance),
        Key::new("bob", "b").allowed(two),
        Key::new("cy", "c"),
    ];
    let gate = Gate { keys, ..Gate::default() };
    let server = router(
        crate::house::open(&["qwen3"]),
        Options { rules: Rules { gate, ..Rules::default() }, ..Options::default() },
    );
    let ask = async |key: &str, method: &str, path: &str| {
        let body = if method == "POST" { chat("qwen3").to_string() } else { String::new() };
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {key}"));
        send(&server, request.body(Body::from(body)).unwrap()).await
    };
    // A prompt and four tokens are more than twenty: the next waits.
    assert_eq!(ask("a", "POST", PATH).await.status, 200);
    let refused = ask("a", "POST", PATH).await;
    assert_eq!(refused.status, 429, "{}", refused.body);
    assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("20 tokens a minute"));
    assert_eq!(refused.json()["error"]["code"], "rate_limit_exceeded");
    assert_eq!(ask("a", "GET", "/v1/models").await.status, 200);
    assert_eq!(ask("a", "POST", "/v1/messages").await.json()["type"], "error");
    for expected in [200, 200, 429] {
        assert_eq!(ask("b", "POST", PATH).await.status, expected);
    }
    for _ in 0..4 {
        assert_eq!(ask("c", "POST", PATH).await.status, 200);
    }
}
