//! Tools over MCP: told, called, refused, given up, and cut by their budgets.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use server::mcp::Files;
use server::{Options, Rules, router};

use crate::finding::{PAPERS, World};
use crate::house::{Reply, get, open_in, roomy_folder, send};

/// A client with a session, over the router.
struct Client {
    router: Router,
    session: Option<String>,
}

impl Client {
    async fn begin(router: Router) -> Self {
        let mut client = Self { router, session: None };
        let hello = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        });
        let reply = client
            .post(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}))
            .await;
        client.session =
            reply.headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        let told = messages(&reply);
        let result = &told.last().unwrap()["result"];
        assert_eq!(result["serverInfo"]["name"], "folio", "{told:?}");
        assert_eq!(result["protocolVersion"], "2025-06-18");
        let capabilities = &result["capabilities"];
        assert!(capabilities["tools"].is_object() && capabilities["resources"].is_object());
        client.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        client
    }

    async fn post(&self, body: &Value) -> Reply {
        let mut request = Request::post("/mcp")
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if let Some(session) = &self.session {
            request = request
                .header("mcp-session-id", session)
                .header("mcp-protocol-version", "2025-06-18");
        }
        send(&self.router, request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// All messages that come to a request, its answer last.
    async fn ask(&self, id: u64, method: &str, params: Value) -> Vec<Value> {
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        messages(&self.post(&body).await)
    }

    async fn call(&self, tool: &str, arguments: Value) -> Value {
        let told = self.ask(9, "tools/call", json!({"name": tool, "arguments": arguments})).await;
        told.last().unwrap()["result"].clone()
    }

    /// The structured answer, which is as the tool's schema says.
    async fn answer(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await;
        assert_eq!(result["isError"], false, "{tool}: {result}");
        let content = result["structuredContent"].clone();
        let text = result["content"][0]["text"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), content);
        let tools = self.ask(8, "tools/list", json!({})).await.pop().unwrap();
        let tools = tools["result"]["tools"].as_array().unwrap().clone();
        let schema = &tools.iter().find(|it| it["name"] == tool).unwrap()["outputSchema"];
        conforms(&content, schema, tool);
        content
    }

    /// What is said of a call that is refused.
    async fn refusal(&self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments).await;
        assert_eq!(result["isError"], true, "{tool}: {result}");
        assert!(result["structuredContent"].is_null());
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }
}

/// What a reply says, as one body or as events.
fn messages(reply: &Reply) -> Vec<Value> {
    if reply.body.trim_start().starts_with('{') {
        return vec![reply.json()];
    }
    let data = reply.body.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str(data.trim()).ok()).collect()
}

/// The part of JSON Schema that our tools use.
fn conforms(value: &Value, schema: &Value, place: &str) {
    let number = |name: &str| schema[name].as_f64();
    match schema["type"].as_str().unwrap() {
        "object" => {
            let object = value.as_object().unwrap_or_else(|| panic!("{place}: {value}"));
            for needed in schema["required"].as_array().into_iter().flatten() {
                assert!(object.contains_key(needed.as_str().unwrap()), "{place} lacks {needed}");
            }
            for (name, value) in object {
                match schema["properties"].get(name) {
                    None => {
                        assert!(
                            schema["additionalProperties"] != false,
                            "{place}.{name} is unknown"
                        );
                    }
                    Some(schema) => conforms(value, schema, &format!("{place}.{name}")),
                }
            }
        }
        "array" => {
            let list = value.as_array().unwrap_or_else(|| panic!("{place}: {value}"));
            assert!(number("maxItems").is_none_or(|most| list.len() as f64 <= most), "{place}");
            for value in list {
                conforms(value, &schema["items"], place);
            }
        }
        "string" => {
            let count =
                value.as_str().unwrap_or_else(|| panic!("{place}: {value}")).chars().count() as f64;
            assert!(number("maxLength").is_none_or(|most| count <= most), "{place}");
            let all = schema["enum"].as_array();
            assert!(all.is_none_or(|all| all.contains(value)), "{place}: {value}");
        }
        "integer" | "number" => {
            let got = value.as_f64().unwrap_or_else(|| panic!("{place}: {value}"));
            assert!(number("minimum").is_none_or(|least| got >= least), "{place}");
            assert!(number("maximum").is_none_or(|most| got <= most), "{place}");
        }
        "boolean" => assert!(value.is_boolean(), "{place}: {value}"),
        other => panic!("{place}: {other}"),
    }
}

/// A server over one tiny model with room for our prompts, which may read what lies in `folder/files`.
fn reading() -> (Router, tempfile::TempDir, PathBuf) {
    let folder = roomy_folder(16_384);
    let files = folder.path().join("files");
    std::fs::create_dir(&files).unwrap();
    let house = open_in(folder.path(), &[]);
    let allowed = Files { roots: vec![files.clone()], worker: Vec::new() };
    (
        router(
            house,
            Options { rules: Rules { files: allowed, ..Rules::default() }, ..Options::default() },
        ),
        folder,
        files,
    )
}

#[tokio::test]
async fn tools_are_told_with_their_schemas() {
    let (router, _folder, _) = reading();
    let client = Client::begin(router).await;
    let told = client.ask(1, "tools/list", json!({})).await.pop().unwrap();
    let tools = told["result"]["tools"].as_array().unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "check_mlx_status",
            "list_mlx_models",
            "generate_with_mlx",
            "get_mlx_hardware_info",
            "generate_code_documentation",
            "analyze_code_quality",
            "enhance_context_summary",
            "read_document",
            "search_documents",
        ]
    );
    for tool in tools {
        let hints = json!({
            "title": tool["title"], "readOnlyHint": true, "destructiveHint": false, "openWorldHint": false,
        });
        assert_eq!(tool["annotations"], hints);
        for schema in ["inputSchema", "outputSchema"] {
            assert_eq!(tool[schema]["type"], "object", "{tool}");
            assert_eq!(tool[schema]["additionalProperties"], false);
        }
        let fields = tool["inputSchema"]["properties"].as_object().unwrap();
        assert!(fields.values().all(|field| field["description"].is_string()), "{tool}");
        // Whatever asks a model has a budget, and says what it cut.
        let asks = fields.contains_key("model");
        assert_eq!(fields.contains_key("max_tokens"), asks);
        assert!(!asks || fields["max_seconds"]["maximum"].is_u64());
        assert_eq!(
            !tool["outputSchema"]["properties"]["cut_by"].is_null(),
            asks || tool["name"] == "read_document"
        );
    }
}

#[tokio::test]
async fn the_machine_is_described() {
    let (router, _folder, _) = reading();
    let client = Client::begin(router).await;
    let status = client.answer("check_mlx_status", json!({})).await;
    assert_eq!(status["device"]["backend"], "cpu");
    assert!(status["memory"]["limit"].as_u64().unwrap() > 0 && !status["reason"].is_null());
    let models = client.answer("list_mlx_models", json!({})).await;
    assert_eq!((&models["count"], &models["default"]), (&json!(1), &json!("qwen3")));
    let hardware = client.answer("get_mlx_hardware_info", json!({})).await;
    assert!(hardware["cores_usable"].as_u64().unwrap() > 0);
    assert!(hardware["memory_total"].as_u64().unwrap() > 0);
    assert!(client.refusal("check_mlx_status", json!({"x": 1})).await.contains("`x`"));
}

#[tokio::test]
async fn text_is_generated_within_its_budget() {
    let (router, _folder, _) = reading();
    let client = Client::begin(router).await;
    let tool = "generate_with_mlx";
    let ask = json!({"prompt": "Say something.", "max_tokens": 8, "temperature": 0});
    let answer = client.answer(tool, ask.clone()).await;
    assert_eq!((&answer["model"], &answer["cut_by"]), (&json!("qwen3"), &json!(["max_tokens"])));
    assert_eq!(
        (&answer["complete"], &answer["usage"]["completion_tokens"]),
        (&json!(false), &json!(8))
    );
    let talk = json!({"messages": [{"role": "user", "content": "Say something."}], "max_tokens": 8, "temperature": 0});
    assert_eq!(client.answer(tool, talk).await["text"], answer["text"]);
    let late = json!({"prompt": "Say something.", "max_tokens": 15_000, "max_seconds": 1, "temperature": 0});
    let late = client.answer(tool, late).await;
    assert_eq!(
        (&late["finish_reason"], &late["cut_by"]),
        (&json!("time"), &json!(["max_seconds"]))
    );
    assert!(late["text"].as_str().unwrap().starts_with(answer["text"].as_str().unwrap()));
    for (bad, part) in [
        (json!({}), "give a `prompt`"),
        (
            json!({"prompt": "a", "max_tokens": 0}),
            "`max_tokens` must be a whole number from 1 to 32768",
        ),
        (json!({"prompt": "a", "heat": 1}), "unknown argument `heat`"),
        (
            json!({"prompt": "a", "messages": [{"role": "user", "content": "a"}]}),
            "exclude each other",
        ),
        (json!({"prompt": "a", "model": "nobody"}), "nobody"),
        (json!({"prompt": "word ".repeat(20_000), "model": "qwen3"}), "tokens"),
    ] {
        let said = client.refusal(tool, bad.clone()).await;
        assert!(said.contains(part), "{bad}: {said}");
    }
    let told =
        client.ask(1, "tools/call", json!({"name": "none", "arguments": {}})).await.pop().unwrap();
    assert_eq!(told["error"]["code"], -32602);
}

#[tokio::test]
async fn progress_grows_to_the_end() {
    let (router, _folder, _) = reading();
    let client = Client::begin(router).await;
    let params = json!({
        "name": "generate_with_mlx",
        "arguments": {"prompt": "word ".repeat(200), "max_tokens": 1500},
        "_meta": {"progressToken": "p"},
    });
    let told = client.ask(4, "tools/call", params).await;
    let (answer, notes) = told.split_last().unwrap();
    assert_eq!(answer["id"], 4);
    let progress: Vec<f64> = notes
        .iter()
        .filter(|note| note["method"] == "notifications/progress")
        .map(|note| {
            assert_eq!(note["params"]["progressToken"], "p");
            assert!(note["params"]["progress"].as_f64() <= note["params"]["total"].as_f64());
            note["params"]["progress"].as_f64().unwrap()
        })
        .collect();
    assert!(!progress.is_empty() && progress.is_sorted_by(|a, b| a < b), "{progress:?}");
}

const CODE: &str = "def half(x):\n    # ``` not the end\n    return x / 2\n";

#[tokio::test]
async fn a_random_model_still_answers_in_form() {
    let (router, _folder, files) = reading();
    std::fs::write(files.join("half.py"), CODE).unwrap();
    let client = Client::begin(router).await;
    for tool in ["generate_code_documentation", "analyze_code_quality"] {
        for ask in [json!({"code": CODE, "language": "python"}), json!({"path": "half.py"})] {
            for tokens in [1, 40, 400] {
                let mut ask = ask.clone();
                ask["max_tokens"] = tokens.into();
                let answer = client.answer(tool, ask).await;
                assert_eq!((&answer["language"], &answer["lines"]), (&json!("python"), &json!(3)));
                assert_eq!(answer["complete"], answer["cut_by"] == json!([]));
            }
        }
        for (bad, part) in [
            (json!({}), "give `code`"),
            (json!({"code": "a", "path": "b"}), "exclude each other"),
            (json!({"path": "../qwen3/config.json"}), "--allow-root"),
            (json!({"path": "/etc/passwd"}), "--allow-root"),
        ] {
            let said = client.refusal(tool, bad.clone()).await;
            assert!(said.contains(part), "{bad}: {said}");
        }
    }
    let tool = "enhance_context_summary";
    let answer = client
        .answer(tool, json!({"text": "We chose Rust.", "focus": "choices", "max_tokens": 60}))
        .await;
    assert!(answer["key_points"].is_array());
    assert!(client.refusal(tool, json!({})).await.contains("`text` is needed"));
}

#[tokio::test]
async fn documents_are_read_a_part_at_a_time() {
    let (router, folder, files) = reading();
    let text: String = (0..100).map(|n| format!("line {n} \u{e4}\n")).collect();
    std::fs::write(files.join("notes.txt"), &text).unwrap();
    std::fs::write(files.join("binary"), [0, 255, 0]).unwrap();
    let secret = folder.path().join("secret.txt");
    std::fs::write(&secret, "secret").unwrap();
    let client = Client::begin(router.clone()).await;
    let tool = "read_document";
    let (mut all, mut offset, mut calls) = (String::new(), 0, 0);
    loop {
        let part = client
            .answer(tool, json!({"path": "notes.txt", "offset": offset, "max_characters": 300}))
            .await;
        all.push_str(part["markdown"].as_str().unwrap());
        calls += 1;
        assert_eq!(part["truncated"], part["cut_by"] == json!(["max_characters"]));
        match part["next_offset"].as_u64() {
            Some(next) => offset = next,
            None => break,
        }
    }
    assert_eq!((all, calls), (text.clone(), text.chars().count().div_ceil(300)));
    let mut bad = vec![
        (json!({"path": secret}), "--allow-root"),
        (json!({"path": "../secret.txt"}), "--allow-root"),
        (json!({"path": "binary"}), "not text"),
        (json!({"path": "notes.txt", "first_page": 2}), "no pages"),
        (json!({"path": "notes.txt", "offset": 99_999}), "characters"),
    ];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&secret, files.join("link")).unwrap();
        bad.push((json!({"path": "link"}), "--allow-root"));
    }
    for (bad, part) in bad {
        let said = client.refusal(tool, bad.clone()).await;
        assert!(said.contains(part) && !said.contains("secret\""), "{bad}: {said}");
    }
    // Without a folder that is allowed nothing is read.
    let closed =
        Client::begin(self::router(open_in(Path::new("/nowhere"), &[]), Options::default())).await;
    assert!(closed.refusal(tool, json!({"path": "notes.txt"})).await.contains("--allow-root"));
}

#[tokio::test]
async fn indexes_are_searched_and_their_pages_are_resources() {
    let world = World::new();
    drop(world.words("papers", PAPERS));
    drop(world.words("my letters", PAPERS));
    let house = open_in(&world.at("models"), &[]);
    let client = Client::begin(world.server(&house, &["papers"], &[])).await;
    let tool = "search_documents";
    let ask = json!({"query": "rent"});
    let result = client.call(tool, ask).await;
    let content = &result["structuredContent"];
    let tools = client.ask(8, "tools/list", json!({})).await.pop().unwrap();
    let tools = tools["result"]["tools"].as_array().unwrap().clone();
    let schema = &tools.iter().find(|it| it["name"] == tool).unwrap()["outputSchema"];
    conforms(content, schema, tool);
    let hit = &content["hits"][0];
    assert_eq!(
        (&hit["name"], &hit["page"], &content["route"]),
        (&json!("lease.pdf"), &json!(1), &json!("words"))
    );
    assert!(hit.get("path").is_none() && hit.get("text").is_none());
    // The same as text, and where the image of the page is.
    let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(&text, content);
    let link = &result["content"][1];
    assert_eq!(
        (&link["type"], &link["uri"], &link["name"]),
        (&json!("resource_link"), &hit["image"], &json!("lease.pdf page 1"))
    );
    let read = |uri: Value| {
        let client = &client;
        async move { client.ask(5, "resources/read", json!({"uri": uri})).await.pop().unwrap() }
    };
    let image = read(hit["image"].clone()).await["result"]["contents"][0].clone();
    assert_eq!((&image["mimeType"], &image["uri"]), (&json!("image/jpeg"), &hit["image"]));
    assert!(image["blob"].as_str().unwrap().len() > 4, "{image}");
    let text = hit["image"].as_str().unwrap().replace("/image", "/text");
    let text = read(text.into()).await["result"]["contents"][0].clone();
    assert_eq!(text["text"], "The tenant pays rent");
    // As images, for those who see.
    let shown =
        client.call(tool, json!({"query": "the", "images": 1, "limit": 2, "texts": true})).await;
    let kinds: Vec<_> = shown["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["text", "text", "image", "resource_link"]);
    assert!(shown["structuredContent"]["hits"][0]["text"].is_string());
    let listed = client.ask(6, "resources/list", json!({})).await.pop().unwrap();
    let listed = listed["result"]["resources"].as_array().unwrap().clone();
    assert_eq!((listed.len(), &listed[0]["uri"]), (1, &json!("folio://indexes/papers")));
    let index = read(listed[0]["uri"].clone()).await["result"]["contents"][0].clone();
    let index: Value = serde_json::from_str(index["text"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&index["pages"], index["listed_documents"].as_array().unwrap().len()),
        (&json!(4), 2)
    );
    let templates = client.ask(7, "resources/templates/list", json!({})).await.pop().unwrap();
    assert_eq!(templates["result"]["resourceTemplates"].as_array().unwrap().len(), 2);
    for uri in [
        "folio://indexes/my%20letters",
        "folio://indexes/papers/documents/1/pages/9/text",
        "folio://indexes/papers/documents/2/pages/2/image",
        "file:///etc/passwd",
        "",
    ] {
        let told = read(uri.into()).await;
        assert!(told["error"]["message"].is_string(), "{uri}: {told}");
    }
    for (bad, part) in [
        (json!({}), "`query` is needed"),
        (json!({"query": " "}), "`query` is empty"),
        (json!({"query": "a", "index": "my letters"}), "no index named `my letters`"),
        (json!({"query": "a", "limit": 51}), "from 1 to 50"),
        (json!({"query": "a", "from": "soon"}), "must be a day"),
        (json!({"query": "a", "first_page": 3, "last_page": 2}), "comes before"),
        (json!({"query": "a", "path": "/etc/*"}), "--allow-root"),
        (json!({"query": "a", "words": true, "fused": true}), "leave one of them out"),
    ] {
        let said = client.refusal(tool, bad.clone()).await;
        assert!(said.contains(part), "{bad}: {said}");
    }
    // Of several, one must be named.
    let client = Client::begin(world.server(&house, &["*"], &["papers"])).await;
    let said = client.refusal(tool, json!({"query": "rent"})).await;
    assert!(said.contains("my letters, papers"), "{said}");
    let narrow =
        json!({"query": "the rent", "index": "my letters", "path": "lease.pdf", "last_page": 1});
    let hits = client.call(tool, narrow).await["structuredContent"].clone();
    assert_eq!(hits["hits"].as_array().unwrap().len(), 1, "{hits}");
    assert_eq!(hits["hits"][0]["path"], world.at("papers/lease.pdf").to_str().unwrap());
    let closed = Client::begin(world.server(&house, &[], &[])).await;
    assert!(closed.refusal(tool, json!({"query": "rent"})).await.contains("--index"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_up_frees_the_model() {
    let (router, _folder, _) = reading();
    let client = std::sync::Arc::new(Client::begin(router).await);
    client.answer("generate_with_mlx", json!({"prompt": "a", "max_tokens": 1})).await;
    let begun = Instant::now();
    let users = || async {
        get(&client.router, "/v1/models").await.json()["data"][0]["users"].as_u64().unwrap()
    };
    // The first call is answered a moment before it gives its model back.
    while users().await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the first call goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let calling = tokio::spawn({
        let client = std::sync::Arc::clone(&client);
        async move {
            let arguments = json!({"prompt": "a", "max_tokens": 16_000, "max_seconds": 300});
            client
                .ask(77, "tools/call", json!({"name": "generate_with_mlx", "arguments": arguments}))
                .await
        }
    });
    while users().await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60) && !calling.is_finished());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 77}});
    client.post(&cancel).await;
    while users().await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    calling.abort();
    assert_eq!(get(&client.router, "/v1/stats").await.json()["cancelled"], 1);
}

#[tokio::test]
async fn strangers_are_turned_away_in_its_words() {
    let (router, _folder, _) = reading();
    let post = |name: &str, value: &str| {
        Request::post("/mcp")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header(name, value)
            .body(Body::from("{}"))
            .unwrap()
    };
    for (name, value) in [("host", "evil.example"), ("origin", "https://evil.example")] {
        let reply = send(&router, post(name, value)).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["jsonrpc"]),
            (403, &json!("2.0")),
            "{name}"
        );
    }
    let reply = send(&router, post("mcp-session-id", "none")).await;
    assert!(reply.status.is_client_error() && reply.json()["error"]["message"].is_string());
}
