//! Tasks, and who answers them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use server::{Options, router};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::house::{get, post, send, settled};

const PATH: &str = "/v1/chat/completions";

fn ask(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Say something."}], "temperature": 0.0})
}

#[tokio::test]
async fn a_task_goes_to_the_first_that_is_here() {
    let house = settled(
        "
        [[models]]
        name = 'qwen3'
        aliases = ['small']
        [routes.fast]
        models = ['org/gone', 'qwen3', 'llama']
        max_tokens = 5
        [fallback]
        find_ollama = false
        ",
    );
    let server = router(house, Options::default());
    let reply = post(&server, PATH, &ask("fast")).await;
    let answer = reply.json();
    assert_eq!(
        (&answer["model"], &answer["usage"]["completion_tokens"]),
        (&json!("qwen3"), &json!(5))
    );
    let route = &answer["route"];
    assert_eq!((&route["task"], &route["model"]), (&json!("fast"), &json!("qwen3")));
    assert_eq!(route["passed"][0]["why"], "not_here", "{route}");
    assert!(reply.headers["x-folio-route"].to_str().unwrap().contains("qwen3"));
    let forbidden = Request::post(PATH).header("x-folio-fallback", "forbid");
    let forbidden = forbidden.body(Body::from(ask("fast").to_string())).unwrap();
    let forbidden = send(&server, forbidden).await;
    assert!(forbidden.status.is_client_error() || forbidden.status.is_server_error());
    assert!(forbidden.body.contains("org/gone"), "{}", forbidden.body);
    let mut small = ask("small");
    small["max_tokens"] = 3.into();
    assert_eq!(post(&server, PATH, &small).await.json()["model"], "qwen3");
    let stats = get(&server, "/v1/stats").await.json();
    assert!(stats.to_string().contains("fast"), "{stats}");
}

/// A server that speaks OpenAI's words, and says one thing.
async fn elsewhere() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = vec![0; 16384];
                let n = stream.read(&mut head).await.unwrap();
                let asked = |what: &str| head[..n].starts_with(what.as_bytes());
                let known = if asked("GET /v1/models") {
                    Some(json!({"data": [{"id": "big"}]}))
                } else if asked("POST /v1/embeddings") {
                    Some(json!({"data": [{"index": 0, "embedding": [0.5, 1.5]}]}))
                } else if asked("POST /v1/rerank") {
                    let result = |index, score| json!({"index": index, "relevance_score": score});
                    let results = [result(0, 0.25), result(1, 0.75)];
                    Some(json!({"results": results, "usage": {"total_tokens": 9}}))
                } else {
                    None
                };
                let (kind, body) = if let Some(body) = known {
                    ("application/json", body.to_string())
                } else {
                    let chunk = |delta: Value, reason: Value| {
                        format!(
                            "data: {}\n\n",
                            json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
                        )
                    };
                    let said = chunk(json!({"content": "from afar"}), Value::Null);
                    (
                        "text/event-stream",
                        format!("{said}{}data: [DONE]\n\n", chunk(json!({}), json!("stop"))),
                    )
                };
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            });
        }
    });
    address
}

#[tokio::test]
async fn a_server_elsewhere_answers_where_nobody_here_can() {
    let address = elsewhere().await;
    let house = settled(&format!(
        "
        [routes]
        code = ['org/gone', 'box:big']
        [remotes.box]
        kind = 'openai'
        url = 'http://{address}'
        [fallback]
        find_ollama = false
        "
    ));
    let server = router(house, Options::default());
    let answer = post(&server, PATH, &ask("code")).await.json();
    assert_eq!(answer["choices"][0]["message"]["content"], "from afar", "{answer}");
    assert_eq!((&answer["model"], &answer["route"]["remote"]), (&json!("box:big"), &json!("box")));
    let mut streamed = ask("box:big");
    streamed["stream"] = true.into();
    let events = post(&server, PATH, &streamed).await.events();
    let text: String =
        events.iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "from afar");
    let unknown = post(&server, PATH, &ask("box:small")).await;
    assert!(
        unknown.status.is_client_error() || unknown.status.is_server_error(),
        "{}",
        unknown.body
    );
}

#[tokio::test]
async fn vectors_and_judgements_go_by_routes_too() {
    let address = elsewhere().await;
    let house = settled(&format!(
        "
        [[models]]
        name = 'bert'
        aliases = ['little']
        [routes]
        embeddings = ['org/gone', 'bert', 'box:big']
        far = ['org/gone', 'box:big']
        near = ['llama', 'bert']
        judges = ['org/gone', 'bert_rerank', 'box:big']
        [routes.few]
        models = ['bert']
        batch_size = 1
        [remotes.box]
        kind = 'openai'
        url = 'http://{address}'
        [fallback]
        find_ollama = false
        "
    ));
    let server = router(house, Options::default());
    let embed = |model: &str| json!({"model": model, "input": ["one text"]});
    let named = post(&server, "/v1/embeddings", &embed("bert")).await.json();
    assert!(named["route"].is_null(), "{named}");
    let alias = post(&server, "/v1/embeddings", &embed("little")).await.json();
    let task = post(&server, "/v1/embeddings", &embed("embeddings")).await;
    assert!(task.headers["x-folio-route"].to_str().unwrap().starts_with("bert; task=embeddings"));
    let task = task.json();
    assert_eq!((&task["model"], &task["data"]), (&json!("bert"), &named["data"]));
    assert_eq!(
        (&alias["data"], &task["route"]["passed"][0]["why"]),
        (&named["data"], &json!("not_here"))
    );
    // One after the other or at once: the same.
    let texts = |model: &str| json!({"model": model, "input": ["one text", "another", "a third"]});
    let few = post(&server, "/v1/embeddings", &texts("few")).await.json();
    let all = post(&server, "/v1/embeddings", &texts("bert")).await.json();
    assert_eq!((&few["data"], &few["usage"]), (&all["data"], &all["usage"]));
    // Elsewhere; what that does not tell is not told.
    let far = post(&server, "/v1/embeddings", &embed("far")).await.json();
    assert_eq!(
        (&far["model"], &far["data"][0]["embedding"]),
        (&json!("box:big"), &json!([0.5, 1.5]))
    );
    assert!(far["usage"].is_null() && far["route"]["remote"] == "box", "{far}");
    let kinds = json!({"model": "far", "input": "x", "kinds": ["sparse"]});
    let kinds = post(&server, "/v1/embeddings", &kinds).await;
    assert!(kinds.status.as_u16() >= 400 && kinds.body.contains("kinds"), "{}", kinds.body);
    // A model that makes no vectors is the request's own mistake.
    assert_eq!(post(&server, "/v1/embeddings", &embed("near")).await.status.as_u16(), 400);
    for (path, body) in [
        ("/v1/embeddings", embed("far")),
        ("/api/embed", embed("far")),
        ("/v1/rerank", json!({"model": "judges", "query": "q", "documents": ["a"]})),
    ] {
        let forbidden = Request::post(path).header("x-folio-fallback", "forbid");
        let forbidden = forbidden.body(Body::from(body.to_string())).unwrap();
        let forbidden = send(&server, forbidden).await;
        assert_eq!(forbidden.status.as_u16(), 404, "{}", forbidden.body);
    }
    let ollama = json!({"model": "far", "input": "x", "keep_alive": "5m"});
    let ollama = post(&server, "/api/embed", &ollama).await;
    assert!(ollama.headers["x-folio-route"].to_str().unwrap().starts_with("box:big"));
    assert_eq!(ollama.json()["embeddings"], json!([[0.5, 1.5]]));
    let judge = |model: &str| json!({"model": model, "query": "q", "documents": ["a", "b"]});
    let here = post(&server, "/v1/rerank", &judge("judges")).await.json();
    assert_eq!((&here["model"], &here["route"]["task"]), (&json!("bert_rerank"), &json!("judges")));
    let there = post(&server, "/v1/rerank", &judge("box:big")).await.json();
    assert_eq!(
        (&there["results"][0]["index"], &there["usage"]["total_tokens"]),
        (&json!(1), &json!(9))
    );
    let stats = get(&server, "/v1/stats").await.body;
    for known in ["embeddings", "far", "judges", "rerank", "box:big"] {
        assert!(stats.contains(known), "{known} is not in {stats}");
    }
}

#[tokio::test]
async fn what_is_booked_and_measured_is_told() {
    let server = router(settled("[fallback]\nfind_ollama = false"), Options::default());
    let plan = |models: Value| {
        let server = server.clone();
        async move { post(&server, "/v1/plan", &json!({"models": models})).await }
    };
    let before = plan(json!(["qwen3"])).await.json();
    assert_eq!(
        (&before["plan"][0]["action"], &before["plan"][0]["evicts"]),
        (&json!("load"), &json!([]))
    );
    let mut short = ask("qwen3");
    short["max_tokens"] = 4.into();
    assert_eq!(post(&server, PATH, &short).await.status.as_u16(), 200);
    assert_eq!(plan(json!("qwen3")).await.json()["plan"][0]["action"], "ready");
    assert_eq!(plan(json!(["nobody"])).await.status.as_u16(), 404);
    assert_eq!(plan(json!([])).await.status.as_u16(), 400);
    let memory = get(&server, "/v1/memory").await.json();
    let booked = before["plan"][0]["bytes"]["total"].as_u64().unwrap();
    let row = memory["owners"]["qwen3"].as_object().unwrap();
    assert_eq!(row.values().filter_map(Value::as_u64).sum::<u64>(), booked, "{memory}");
    assert!(memory["reserved"].as_u64().unwrap() <= memory["limit"].as_u64().unwrap());
    let page = get(&server, "/metrics").await.body;
    for line in [
        "folio:http_requests_total{route=\"/v1/chat/completions\",method=\"POST\",status=\"200\"} 1",
        "folio:http_request_duration_seconds_count{route=\"/v1/chat/completions\"} 1",
        "folio:generation_tokens_total{task=\"chat\",model_name=\"qwen3\"} 4",
        "folio:time_to_first_token_seconds_count{task=\"chat\",model_name=\"qwen3\"} 1",
        "folio:model_users{model_name=\"qwen3\"} 0",
        "folio:num_requests_running{model_name=\"qwen3\"} 0",
        "folio:prefix_cache_hits_total{model_name=\"qwen3\"} 0",
    ] {
        assert!(page.lines().any(|known| known == line), "{line} is not in\n{page}");
    }
    // Every line is a comment, or a name with a number.
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}
