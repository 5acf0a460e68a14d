//! The same answers in the words of other people's clients, and answers of a given form.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use crate::house::{Reply, get, post, roomy, server};

fn texts(messages: &Value) -> Value {
    json!({"model": "qwen3", "messages": messages, "max_tokens": 12, "temperature": 0.0})
}

/// What each event of a stream with names says.
fn events(reply: &Reply) -> Vec<(String, Value)> {
    let blocks = reply.body.split("\n\n").filter(|block| !block.is_empty());
    let parse = |block: &str| {
        let (name, data) = block.split_once('\n').unwrap();
        let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        (name.strip_prefix("event: ").unwrap().to_owned(), data)
    };
    blocks.map(parse).collect()
}

#[tokio::test]
async fn anthropic_and_openai_are_told_the_same() {
    let server = server();
    let user = json!([{"role": "user", "content": "Say something."}]);
    let openai = post(&server, "/v1/chat/completions", &texts(&user)).await.json();
    let text = openai["choices"][0]["message"]["content"].as_str().unwrap();
    let blocks = json!([{"role": "user", "content": [{"type": "text", "text": "Say something."}]}]);
    let whole = post(&server, "/v1/messages", &texts(&blocks)).await.json();
    assert_eq!(whole["content"], json!([{"type": "text", "text": text}]));
    assert_eq!(
        (&whole["stop_reason"], &whole["role"]),
        (&json!("max_tokens"), &json!("assistant"))
    );
    assert_eq!(whole["usage"]["output_tokens"], 12);
    let mut ask = texts(&user);
    ask["stream"] = true.into();
    let events = events(&post(&server, "/v1/messages", &ask).await);
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["message_start", "content_block_start"]);
    assert_eq!(names[names.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);
    assert!(events.iter().all(|(name, data)| data["type"] == *name));
    let streamed: String =
        events.iter().filter_map(|(_, data)| data["delta"]["text"].as_str()).collect();
    assert_eq!(streamed, text);
    let mut count = texts(&user);
    for name in ["max_tokens", "temperature"] {
        count.as_object_mut().unwrap().remove(name);
    }
    let count = post(&server, "/v1/messages/count_tokens", &count).await.json();
    assert_eq!(count["input_tokens"], whole["usage"]["input_tokens"]);
    assert_eq!(count["input_tokens"], openai["usage"]["prompt_tokens"]);
}

/// What was computed before for another is counted, in everybody's words, and never twice.
#[tokio::test]
async fn what_the_cache_held_is_counted() {
    let (server, _folder) = roomy();
    let user = json!([{"role": "user", "content": "Say it again. ".repeat(20)}]);
    let ask = texts(&user);
    let path = "/v1/chat/completions";
    let first = post(&server, path, &ask).await.json();
    let cached = |reply: &Value| reply["usage"]["prompt_tokens_details"]["cached_tokens"].clone();
    assert_eq!(cached(&first), 0);
    let again = post(&server, path, &ask).await.json();
    let (prompt, found) = (&again["usage"]["prompt_tokens"], cached(&again).as_u64().unwrap());
    assert_eq!(&first["usage"]["prompt_tokens"], prompt);
    // All of the prompt that fills pages of 32 tokens, the last token left out.
    assert_eq!(found, (prompt.as_u64().unwrap() - 1) / 32 * 32);
    assert!(found > 0 && again["choices"][0]["message"] == first["choices"][0]["message"]);
    assert_eq!(again["usage"]["completion_tokens_details"]["reasoning_tokens"], 0);
    let timings = &again["timings"];
    assert_eq!(
        (&timings["cache_n"], &timings["prompt_n"]),
        (&json!(found), &json!(prompt.as_u64().unwrap() - found))
    );
    let mut stream = ask.clone();
    stream["stream"] = true.into();
    stream["stream_options"] = json!({"include_usage": true});
    let streamed = post(&server, path, &stream).await.events();
    assert_eq!(streamed.last().unwrap()["usage"], again["usage"]);
    let response = json!({"model": "qwen3", "input": user, "max_output_tokens": 12});
    let response = post(&server, "/v1/responses", &response).await.json();
    assert_eq!(response["usage"]["input_tokens_details"]["cached_tokens"], found);
    assert_eq!(&response["usage"]["input_tokens"], prompt);
    let message = post(&server, "/v1/messages", &ask).await.json();
    let usage = &message["usage"];
    assert_eq!(usage["cache_read_input_tokens"], found);
    assert_eq!(usage["input_tokens"].as_u64().unwrap() + found, prompt.as_u64().unwrap());
    let mut stream = ask.clone();
    stream["stream"] = true.into();
    let told = events(&post(&server, "/v1/messages", &stream).await);
    let delta = told.iter().find(|(name, _)| name == "message_delta").unwrap();
    assert_eq!(delta.1["usage"], *usage);
    // Two prompts, each answered twice: a prompt counts once.
    let many = json!({"model": "qwen3", "prompt": ["One two ".repeat(30), "Three ".repeat(30)], "n": 2, "max_tokens": 2});
    let whole = post(&server, "/v1/completions", &many).await.json();
    let mut stream = many.clone();
    stream["stream"] = true.into();
    stream["stream_options"] = json!({"include_usage": true});
    let streamed = post(&server, "/v1/completions", &stream).await.events();
    let last = &streamed.last().unwrap()["usage"];
    assert_eq!(last["prompt_tokens"], whole["usage"]["prompt_tokens"]);
    assert!(cached(streamed.last().unwrap()).as_u64().unwrap() > found.min(1));
    // Ollama's clients are told of the whole prompt.
    let chat =
        json!({"model": "qwen3", "messages": user, "stream": false, "options": {"num_predict": 3}});
    assert_eq!(&post(&server, "/api/chat", &chat).await.json()["prompt_eval_count"], prompt);
}

#[tokio::test]
async fn anthropic_errors_are_its_own() {
    let server = server();
    let user = json!([{"role": "user", "content": "x"}]);
    for (body, status, kind, words) in [
        (json!({"model": "qwen3", "messages": user}), 400, "invalid_request_error", "max_tokens"),
        (
            json!({"model": "nobody", "messages": user, "max_tokens": 1}),
            404,
            "not_found_error",
            "nobody",
        ),
        (
            json!({"model": "qwen3", "messages": user, "max_tokens": 1, "hue": 1}),
            400,
            "invalid_request_error",
            "hue",
        ),
        (
            json!({"model": "qwen3", "max_tokens": 1, "messages": [{"role": "user", "content": [
                {"type": "image", "source": {"type": "url", "url": "http://127.0.0.1/x.png"}}]}]}),
            400,
            "invalid_request_error",
            "fetches no addresses",
        ),
        (
            json!({"model": "qwen3", "max_tokens": 1, "messages": [{"role": "user", "content": [
                {"type": "tool_use", "id": "a", "name": "b", "input": {}}]}]}),
            400,
            "invalid_request_error",
            "does not belong",
        ),
    ] {
        let reply = post(&server, "/v1/messages", &body).await;
        let error = reply.json();
        assert_eq!(reply.status.as_u16(), status, "{error}");
        assert_eq!((&error["type"], &error["error"]["type"]), (&json!("error"), &json!(kind)));
        assert!(error["error"]["message"].as_str().unwrap().contains(words), "{error}");
    }
}

#[tokio::test]
async fn ollama_and_openai_are_told_the_same() {
    let server = server();
    let user = json!([{"role": "user", "content": "Say something."}]);
    let openai = post(&server, "/v1/chat/completions", &texts(&user)).await.json();
    let text = openai["choices"][0]["message"]["content"].as_str().unwrap();
    let options = json!({"num_predict": 12, "temperature": 0.0, "num_ctx": 4096});
    let ask = json!({"model": "qwen3", "messages": user, "options": options});
    let reply = post(&server, "/api/chat", &ask).await;
    let lines: Vec<Value> =
        reply.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: String =
        lines.iter().filter_map(|line| line["message"]["content"].as_str()).collect();
    assert_eq!(said, text);
    let (last, before) = lines.split_last().unwrap();
    assert!(before.iter().all(|line| line["done"] == false));
    assert_eq!((&last["done"], &last["done_reason"]), (&json!(true), &json!("length")));
    assert_eq!(last["eval_count"], 12);
    let ask =
        json!({"model": "qwen3", "prompt": "Say something.", "stream": false, "options": options});
    let whole = post(&server, "/api/generate", &ask).await.json();
    assert_eq!(whole["response"], text);
    let stays = get(&server, "/api/ps").await.json();
    assert_eq!(stays["models"][0]["name"], "qwen3");
    let gone = json!({"model": "qwen3", "keep_alive": 0});
    assert_eq!(post(&server, "/api/generate", &gone).await.json()["done_reason"], "unload");
    while get(&server, "/api/ps").await.json()["models"] != json!([]) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn ollama_is_told_what_there_is() {
    let server = server();
    assert_eq!(get(&server, "/").await.body, "Ollama is running");
    let tags = get(&server, "/api/tags").await.json();
    let names: Vec<_> = tags["models"].as_array().unwrap().iter().map(|m| &m["name"]).collect();
    assert!(names.contains(&&json!("bert")), "{tags}");
    let show = post(&server, "/api/show", &json!({"model": "qwen3"})).await.json();
    assert_eq!(show["capabilities"], json!(["completion"]));
    assert_eq!(show["model_info"]["general.architecture"], "qwen3");
    let openai = json!({"model": "bert", "input": ["a text", "b"]});
    let openai = post(&server, "/v1/embeddings", &openai).await.json();
    let embed = post(&server, "/api/embed", &json!({"model": "bert", "input": ["a text", "b"]}))
        .await
        .json();
    assert_eq!(embed["embeddings"][1], openai["data"][1]["embedding"]);
    let older =
        post(&server, "/api/embeddings", &json!({"model": "bert", "prompt": "b"})).await.json();
    assert_eq!(older["embedding"], embed["embeddings"][1]);
    for (path, body, status, words) in [
        (
            "/api/chat",
            json!({"model": "nobody", "messages": [{"role": "user", "content": "x"}]}),
            404,
            "nobody",
        ),
        (
            "/api/chat",
            json!({"model": "qwen3", "messages": [{"role": "user", "content": "x"}], "options": {"mirostat": 2}}),
            400,
            "options.mirostat",
        ),
        (
            "/api/generate",
            json!({"model": "qwen3", "prompt": "x", "options": {"num_predict": -3}}),
            400,
            "at least -2",
        ),
        (
            "/api/generate",
            json!({"model": "qwen3", "prompt": "x", "template": "y"}),
            400,
            "template",
        ),
        ("/api/pull", json!({"model": "a/b"}), 403, "--manage"),
    ] {
        let reply = post(&server, path, &body).await;
        assert_eq!(reply.status.as_u16(), status, "{path} {body}: {}", reply.body);
        assert!(reply.json()["error"].as_str().unwrap().contains(words), "{}", reply.body);
    }
}

#[tokio::test]
async fn an_answer_has_the_form_that_was_asked_for() {
    let server = server();
    let schema = json!({
        "type": "object",
        "properties": {"kind": {"enum": ["lease", "will"]}, "pages": {"type": "integer", "minimum": 1, "maximum": 99}},
        "required": ["kind", "pages"],
        "additionalProperties": false,
    });
    let format = json!({"type": "json_schema", "json_schema": {"name": "file", "strict": true, "schema": schema}});
    let check = |text: &str| {
        let value: Value =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(value["kind"] == "lease" || value["kind"] == "will", "{text}");
        assert!((1..100).contains(&value["pages"].as_i64().unwrap()), "{text}");
    };
    let user = json!([{"role": "user", "content": "What is it?"}]);
    let ask = |format: &Value, stream: bool| {
        json!({"model": "qwen3", "messages": user, "max_tokens": 100, "temperature": 1.0, "seed": 3,
            "response_format": format, "stream": stream})
    };
    let path = "/v1/chat/completions";
    let whole = post(&server, path, &ask(&format, false)).await.json();
    check(whole["choices"][0]["message"]["content"].as_str().unwrap());
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    let streamed: String = post(&server, path, &ask(&format, true))
        .await
        .events()
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect();
    check(&streamed);
    let ollama = json!({"model": "qwen3", "messages": user, "stream": false, "format": schema,
        "options": {"num_predict": 100, "temperature": 1.0, "seed": 5}});
    check(post(&server, "/api/chat", &ollama).await.json()["message"]["content"].as_str().unwrap());
    let mut cut = ask(&format, false);
    cut["max_tokens"] = 3.into();
    let cut = post(&server, path, &cut).await.json();
    assert_eq!(
        (&cut["choices"][0]["finish_reason"], &cut["choices"][0]["unfinished"]),
        (&json!("length"), &json!(true))
    );
    let guided = json!({"model": "qwen3", "messages": user, "max_tokens": 20, "guided_regex": "(yes|no), [0-9]{3}"});
    let guided = post(&server, path, &guided).await.json();
    let text = guided["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.starts_with("yes, ") || text.starts_with("no, "), "{text}");
    let both = json!({"model": "qwen3", "messages": user, "max_tokens": 20, "guided_regex": "no+", "structured_outputs": {"regex": "no+"}});
    let both = post(&server, path, &both).await.json();
    assert!(both["choices"][0]["message"]["content"].as_str().unwrap().starts_with("no"), "{both}");
    let wrong =
        json!({"model": "qwen3", "prompt": "a", "structured_outputs": {"structural_tag": {}}});
    let wrong = post(&server, "/v1/completions", &wrong).await.json();
    assert_eq!(wrong["error"]["param"], "structured_outputs.structural_tag", "{wrong}");
    for (format, words) in [
        (json!({"type": "json_schema"}), "no schema"),
        (json!({"type": "xml"}), "xml"),
        (json!({"type": "grammar", "grammar": "start: (", "syntax": "lark"}), "grammar"),
        (json!({"type": "json_schema", "json_schema": {"schema": {"type": "what"}}}), "schema"),
    ] {
        let reply = post(&server, path, &ask(&format, false)).await;
        assert_eq!(reply.status.as_u16(), 400, "{format}: {}", reply.body);
        assert!(reply.body.to_lowercase().contains(words), "{format}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_tool_is_called_where_one_must_be() {
    let (server, _folder) = roomy();
    let schema = json!({
        "type": "object",
        "properties": {"place": {"enum": ["Ulm", "Bonn"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["place", "days"],
        "additionalProperties": false,
    });
    let check = |arguments: &Value| {
        assert!(arguments["place"] == "Ulm" || arguments["place"] == "Bonn", "{arguments}");
        assert!((1..10).contains(&arguments["days"].as_i64().unwrap()), "{arguments}");
    };
    let user = json!([{"role": "user", "content": "Rain?"}]);
    let function = json!({"name": "weather", "description": "Tells it.", "parameters": schema});
    let tools = json!([{"type": "function", "function": function}]);
    let path = "/v1/chat/completions";
    for (choice, stream) in [
        (json!("required"), false),
        (json!({"type": "function", "function": {"name": "weather"}}), false),
        (json!("required"), true),
    ] {
        let ask = json!({"model": "qwen3", "messages": user, "tools": tools, "tool_choice": choice,
            "max_tokens": 200, "temperature": 1.0, "seed": 4, "stream": stream});
        let reply = post(&server, path, &ask).await;
        if stream {
            let events = reply.events();
            let calls =
                events.iter().filter_map(|e| e["choices"][0]["delta"]["tool_calls"].as_array());
            let calls: Vec<_> = calls.flatten().collect();
            assert_eq!(calls[0]["function"]["name"], "weather");
            let pieces = calls.iter().filter_map(|call| call["function"]["arguments"].as_str());
            check(&serde_json::from_str(&pieces.collect::<String>()).unwrap());
            assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
            continue;
        }
        let choice = &reply.json()["choices"][0];
        let call = &choice["message"]["tool_calls"][0];
        assert_eq!(
            (&choice["finish_reason"], &choice["message"]["content"]),
            (&json!("tool_calls"), &Value::Null)
        );
        assert_eq!(
            (&call["type"], &call["function"]["name"]),
            (&json!("function"), &json!("weather"))
        );
        check(&serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap());
    }
    let anthropic = json!({"model": "qwen3", "messages": user, "max_tokens": 200, "tool_choice": {"type": "any"},
        "tools": [{"name": "weather", "description": "Tells it.", "input_schema": schema}]});
    let message = post(&server, "/v1/messages", &anthropic).await.json();
    assert_eq!(
        (&message["stop_reason"], &message["content"][0]["type"]),
        (&json!("tool_use"), &json!("tool_use"))
    );
    check(&message["content"][0]["input"]);
    let flat = json!([{"type": "function", "name": "weather", "parameters": schema}]);
    let response = json!({"model": "qwen3", "input": "Rain?", "tools": flat, "tool_choice": "required",
        "max_output_tokens": 200});
    let response = post(&server, "/v1/responses", &response).await.json();
    assert_eq!(response["output"][0]["type"], "function_call", "{response}");
    check(&serde_json::from_str(response["output"][0]["arguments"].as_str().unwrap()).unwrap());
    let nobody = json!({"model": "qwen3", "messages": user, "tools": tools,
        "tool_choice": {"type": "function", "function": {"name": "nobody"}}});
    let nobody = post(&server, path, &nobody).await;
    assert_eq!(nobody.status.as_u16(), 400);
    assert!(nobody.body.contains("nobody"), "{}", nobody.body);
}
