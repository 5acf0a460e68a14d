//! Conversations and texts, whole and in events.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use server::{Options, router};

use crate::house::{get, post, server, settled, steady};

fn question(more: &Value) -> Value {
    let mut body = json!({
        "model": "qwen3",
        "messages": [{"role": "user", "content": "Say something."}],
        "max_tokens": 12,
        "temperature": 0.0,
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn what_streams_is_what_comes_whole() {
    let server = server();
    let path = "/v1/chat/completions";
    let whole = post(&server, path, &question(&json!({}))).await.json();
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(!text.is_empty());
    assert_eq!(whole["object"], "chat.completion");
    assert_eq!(whole["choices"][0]["finish_reason"], "length");
    assert_eq!(whole["usage"]["completion_tokens"], 12);
    let more = json!({"stream": true, "stream_options": {"include_usage": true}});
    let reply = post(&server, path, &question(&more)).await;
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    let events = reply.events();
    let piece = |event: &Value| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned);
    assert_eq!(events.iter().filter_map(piece).collect::<String>(), text);
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let [.., end, last] = &events[..] else { panic!("{events:?}") };
    assert_eq!(end["choices"][0]["finish_reason"], "length");
    assert_eq!(last["usage"], whole["usage"]);
    assert_eq!(last["choices"], json!([]));
    assert!(events.iter().all(|event| event["id"] == events[0]["id"]));
}

#[tokio::test]
async fn an_invariant_answer_is_the_same_among_others() {
    let path = "/v1/chat/completions";
    // Where weights are laid out anew under way it would not hold: whoever asks for it is told, be it in the settings.
    let set = "[[models]]\nname = 'qwen3'\nbatch_invariant = true\n";
    let refused = |reply: crate::house::Reply| {
        assert_eq!(reply.status.as_u16(), 400, "{}", reply.body);
        assert!(reply.body.contains("`batch_invariant`") && reply.body.contains("--weights"));
    };
    refused(post(&server(), path, &question(&json!({"batch_invariant": true}))).await);
    refused(post(&router(settled(set), Options::default()), path, &question(&json!({}))).await);
    // Logits are told to the last bit, and so tell whether anything differs.
    for server in [steady(set), steady("")].map(|house| router(house, Options::default())) {
        let more = json!({"logprobs": true, "top_logprobs": 5, "batch_invariant": true});
        let ask = question(&more);
        let bits = |reply: &Value| reply["choices"][0]["logprobs"]["content"].clone();
        let alone = bits(&post(&server, path, &ask).await.json());
        assert_eq!(alone.as_array().unwrap().len(), 12);
        let other = |n: u64| {
            let words = "and so on ".repeat(n as usize);
            question(&json!({"messages": [{"role": "user", "content": words}], "seed": n}))
        };
        let others = [other(1), other(2), other(3)];
        let [a, b, c] = &others;
        let (_, _, among, _) = tokio::join!(
            post(&server, path, a),
            post(&server, path, b),
            post(&server, path, &ask),
            post(&server, path, c),
        );
        assert_eq!(bits(&among.json()), alone);
    }
}

#[tokio::test]
async fn several_answers_differ_by_chance_alone() {
    let server = server();
    let ask = |seed: i64, n: usize, stream: bool| {
        question(&json!({"n": n, "seed": seed, "temperature": 1.0, "stream": stream}))
    };
    let path = "/v1/chat/completions";
    let texts = |reply: &Value| {
        let choices = reply["choices"].as_array().unwrap();
        choices.iter().map(|c| c["message"]["content"].to_string()).collect::<Vec<_>>()
    };
    let three = texts(&post(&server, path, &ask(7, 3, false)).await.json());
    for (index, expected) in three.iter().enumerate() {
        let alone = texts(&post(&server, path, &ask(7 + index as i64, 1, false)).await.json());
        assert_eq!(&alone[0], expected);
    }
    let mut streamed = vec![String::new(); 3];
    for event in post(&server, path, &ask(7, 3, true)).await.events() {
        let choice = &event["choices"][0];
        if let Some(text) = choice["delta"]["content"].as_str() {
            streamed[choice["index"].as_u64().unwrap() as usize].push_str(text);
        }
    }
    let streamed: Vec<_> = streamed.into_iter().map(|text| json!(text).to_string()).collect();
    assert_eq!(streamed, three);
}

#[tokio::test]
async fn a_stop_text_ends_the_answer_before_itself() {
    let server = server();
    let path = "/v1/chat/completions";
    let whole = post(&server, path, &question(&json!({}))).await.json();
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    let letters: Vec<char> = text.chars().collect();
    let stop: String = letters[letters.len() / 2..].iter().take(3).collect();
    let reply = post(&server, path, &question(&json!({"stop": [stop]}))).await.json();
    let choice = &reply["choices"][0];
    let before = text.split(&stop).next().unwrap();
    assert_eq!(choice["message"]["content"], before);
    assert_eq!(choice["finish_reason"], "stop");
}

#[tokio::test]
async fn texts_and_tokens_are_continued() {
    let server = server();
    let path = "/v1/completions";
    let ask = |prompt: Value, more: Value| {
        let mut body =
            json!({"model": "llama", "prompt": prompt, "temperature": 0, "max_tokens": 6});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let one = post(&server, path, &ask(json!("One two"), json!({}))).await.json();
    let text = one["choices"][0]["text"].as_str().unwrap().to_owned();
    let two = ask(json!(["One two", "Three"]), json!({"echo": true}));
    let two = post(&server, path, &two).await.json();
    assert_eq!(two["choices"][0]["text"], format!("One two{text}"));
    assert_eq!(two["choices"].as_array().unwrap().len(), 2);
    assert_eq!(two["usage"]["completion_tokens"], 12);
    let tokens = post(&server, path, &ask(json!([1, 2, 3]), json!({}))).await.json();
    assert_eq!(tokens["usage"]["prompt_tokens"], 3);
    let events =
        post(&server, path, &ask(json!("One two"), json!({"stream": true}))).await.events();
    let streamed: String =
        events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    assert_eq!(streamed, text);
}

#[tokio::test]
async fn a_model_says_where_it_is() {
    let server = server();
    let status = || async {
        let list = get(&server, "/v1/models").await.json();
        let models = list["data"].as_array().unwrap().clone();
        models.into_iter().find(|model| model["id"] == "qwen3").unwrap()
    };
    assert_eq!(status().await["status"], "unloaded");
    post(&server, "/v1/chat/completions", &question(&json!({}))).await.json();
    let loaded = status().await;
    assert_eq!((&loaded["status"], &loaded["kind"]), (&json!("loaded"), &json!("language")));
    assert_eq!(loaded["users"], 0);
    assert_eq!(get(&server, "/v1/models/qwen3").await.json()["id"], "qwen3");
    assert_eq!(get(&server, "/ready").await.json()["status"], "ready");
    assert_eq!(get(&server, "/health").await.json()["status"], "ok");
}

#[tokio::test]
async fn tokens_tell_how_likely_they_were() {
    let server = server();
    let path = "/v1/chat/completions";
    let more = json!({"logprobs": true, "top_logprobs": 3});
    let whole = post(&server, path, &question(&more)).await.json();
    let content = whole["choices"][0]["logprobs"]["content"].as_array().unwrap().clone();
    assert_eq!(content.len(), 12);
    for token in &content {
        let likeliest = token["top_logprobs"].as_array().unwrap();
        assert_eq!((likeliest.len(), &likeliest[0]["logprob"]), (3, &token["logprob"]));
        assert!(token["logprob"].as_f64().unwrap() <= 0.0 && token["bytes"].is_array());
    }
    let more = json!({"logprobs": true, "top_logprobs": 3, "stream": true});
    let events = post(&server, path, &question(&more)).await.events();
    let lists = events.iter().filter_map(|e| e["choices"][0]["logprobs"]["content"].as_array());
    assert_eq!(lists.flatten().cloned().collect::<Vec<_>>(), content);
    // What is wished for comes.
    let bias = json!({"logprobs": true, "logit_bias": {"70": 100}});
    let reply = post(&server, path, &question(&bias)).await.json();
    let tokens = reply["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert!(tokens.iter().all(|token| token["token"] == tokens[0]["token"]), "{reply}");
    assert_ne!(reply["choices"][0]["message"], whole["choices"][0]["message"]);
    for (more, param) in [
        (json!({"top_logprobs": 3}), "top_logprobs"),
        (json!({"logit_bias": {"x": 1}}), "logit_bias.x"),
    ] {
        let reply = post(&server, path, &question(&more)).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["error"]["param"]), (400, &json!(param)));
    }
    for more in [
        json!({"logprobs": true, "top_logprobs": 21}),
        json!({"presence_penalty": 2.5}),
        json!({"logit_bias": {"5": 101}}),
    ] {
        assert_eq!(post(&server, path, &question(&more)).await.status.as_u16(), 400, "{more}");
    }
}
