//! Against a server that says exactly what it is told to: split everywhere, broken off, late, and wrong.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use text::grammar::Grammar;
use text::{Image, Message, Part, Role, ToolCall};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::Environment;
use crate::config::{KeySource, Remote, RemoteKind};
use crate::runtime::{EmbedOptions, RerankOptions};

/// One connection's part.
#[derive(Clone, Debug)]
enum Act {
    /// These bytes, a part of them at a time.
    Send(Vec<u8>, usize),
    /// Nothing, for a while.
    Hang,
    /// These bytes, and then nothing.
    SendAndHang(Vec<u8>),
    /// The end, without a word.
    Close,
}

/// A server that does one act for each request, and remembers the requests. The last act is repeated.
struct Stage {
    url: String,
    heard: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Stage {
    async fn of(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (told, mut acts) = (Arc::clone(&heard), VecDeque::from(acts));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let act = if acts.len() > 1 { acts.pop_front() } else { acts.front().cloned() };
                let told = Arc::clone(&told);
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    let request = loop {
                        let mut part = [0; 4096];
                        let count = socket.read(&mut part).await.unwrap_or(0);
                        bytes.extend_from_slice(&part[..count]);
                        let text = String::from_utf8_lossy(&bytes).into_owned();
                        if let Some((head, body)) = text.split_once("\r\n\r\n") {
                            let length = head.to_lowercase().lines().find_map(|line| {
                                line.strip_prefix("content-length: ")?.trim().parse().ok()
                            });
                            if body.len() >= length.unwrap_or(0) {
                                break Some((
                                    head.to_owned(),
                                    serde_json::from_str(body).unwrap_or(Value::Null),
                                ));
                            }
                        }
                        if count == 0 {
                            break None;
                        }
                    };
                    told.lock().unwrap().extend(request);
                    match act {
                        Some(Act::Send(bytes, step)) => {
                            for part in bytes.chunks(step.max(1)) {
                                let _ = socket.write_all(part).await;
                                let _ = socket.flush().await;
                                tokio::task::yield_now().await;
                            }
                        }
                        Some(Act::SendAndHang(bytes)) => {
                            let _ = socket.write_all(&bytes).await;
                            tokio::time::sleep(Duration::from_secs(60)).await;
                        }
                        Some(Act::Hang) => tokio::time::sleep(Duration::from_secs(60)).await,
                        Some(Act::Close) | None => {}
                    }
                });
            }
        });
        Self { url, heard }
    }

    fn requests(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    fn request(&self, at: usize) -> (String, Value) {
        self.heard.lock().unwrap()[at].clone()
    }
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n{body}").into_bytes()
}

fn stream(kind: RemoteKind, body: &str) -> Vec<u8> {
    let kind =
        if kind == RemoteKind::Ollama { "application/x-ndjson" } else { "text/event-stream" };
    answer("200 OK", &format!("content-type: {kind}\r\n"), body)
}

fn remote(kind: RemoteKind, url: &str) -> Remote {
    Remote {
        first_byte_timeout: Duration::from_millis(400),
        idle_timeout: Duration::from_millis(300),
        ..Remote::at(kind, url)
    }
}

fn environment() -> Environment {
    // A proxy that nobody is to be led through: what is near is reached directly.
    let vars = [("http_proxy", "http://127.0.0.1:1"), ("HOME", "/nowhere")];
    Environment::from_vars(vars.map(|(name, value)| (name.into(), value.into())))
}

fn open(settings: &Remote) -> Arc<Backend> {
    Backend::open("there", settings, &environment()).unwrap()
}

fn question() -> Question {
    Question { model: "m".to_owned(), messages: vec![Message::user("hi")], ..Question::default() }
}

async fn all(backend: &Arc<Backend>) -> (Vec<Fragment>, Option<Error>) {
    let mut found = Vec::new();
    let mut answer = match backend.chat(&question()).await {
        Ok(answer) => answer,
        Err(error) => return (found, Some(error)),
    };
    loop {
        match answer.next().await {
            Ok(Some(fragment)) => found.push(fragment),
            Ok(None) => return (found, None),
            Err(error) => return (found, Some(error)),
        }
    }
}

fn text(text: &str) -> Fragment {
    Fragment::Text(text.to_owned())
}

fn usage(prompt_tokens: usize, completion_tokens: usize) -> Fragment {
    Fragment::Usage(Usage { prompt_tokens, completion_tokens, ..Usage::default() })
}

const OPENAI: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
    data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"Hm.\"}}]}\n\n: ping\n\n\
    data: {\"choices\":[{\"delta\":{\"content\":\"Grüß\"}}]}\r\n\r\n\
    data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\"\"}}]}}]}\n\n\
    data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\":1\"}}]}}]}\n\n\
    data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":4},\"completion_tokens_details\":{\"reasoning_tokens\":1}}}\n\ndata: [DONE]\n\n";

const OLLAMA: &str = "{\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"Hm.\"},\"done\":false}\n\
    {\"message\":{\"role\":\"assistant\",\"content\":\"Grüß\"},\"done\":false}\n\n\
    {\"message\":{\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]},\"done\":false}\n\
    {\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":7,\"eval_count\":3}\n";

const RESPONSES: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\"}}\n\n\
    data: {\"type\":\"response.reasoning_text.delta\",\"delta\":\"Hm.\"}\n\n\
    data: {\"type\":\"response.output_text.delta\",\"delta\":\"Grüß\"}\n\n\
    data: {\"type\":\"response.output_item.added\",\"output_index\":2,\"item\":{\"type\":\"function_call\",\"call_id\":\"c1\",\"name\":\"f\",\"arguments\":\"\"}}\n\n\
    data: {\"type\":\"response.function_call_arguments.delta\",\"output_index\":2,\"delta\":\"{\\\"a\\\":1\"}\n\n\
    data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"usage\":{\"input_tokens\":7,\"output_tokens\":3,\"input_tokens_details\":{\"cached_tokens\":4},\"output_tokens_details\":{}}}}\n\n";

fn texts() -> [(RemoteKind, &'static str); 3] {
    [(RemoteKind::OpenAi, OPENAI), (RemoteKind::Ollama, OLLAMA), (RemoteKind::Responses, RESPONSES)]
}

/// Fragments with neighbouring parts of one thing joined, as text.
fn told(fragments: &[Fragment]) -> String {
    let mut out = String::new();
    for fragment in fragments {
        match fragment {
            Fragment::Text(text) => out.push_str(text),
            Fragment::Reasoning(text) => out.push_str(&format!("<{text}>")),
            Fragment::CallBegin { index, id, name } => {
                out.push_str(&format!(" {index}:{}:{name} ", id.as_deref().unwrap_or("-")));
            }
            Fragment::CallArguments { delta, .. } => out.push_str(delta),
            Fragment::Usage(usage) => {
                out.push_str(&format!(" {}+{}", usage.prompt_tokens, usage.completion_tokens));
                out.push_str(
                    &usage.cached_tokens.map_or_else(String::new, |n| format!(" cached {n}")),
                );
                out.push_str(
                    &usage.reasoning_tokens.map_or_else(String::new, |n| format!(" thought {n}")),
                );
            }
            Fragment::End(finish) => out.push_str(&format!(" {finish:?}")),
        }
    }
    out
}

#[test]
fn every_split_of_every_answer_says_the_same() {
    let expected = [
        "<Hm.>Grüß 0:c1:f {\"a\":1 7+3 cached 4 thought 1 Calls",
        "<Hm.>Grüß 0:-:f {\"a\":1} 7+3 Calls",
        "<Hm.>Grüß 0:c1:f {\"a\":1 7+3 cached 4 Calls",
    ];
    for ((kind, body), expected) in texts().into_iter().zip(expected) {
        let listen = |chunks: &[&[u8]]| {
            let mut ear = hear::Ear::new(kind, "text/event-stream");
            let mut found = Vec::new();
            for chunk in chunks {
                ear.push(chunk, &mut found).unwrap();
            }
            ear.finish(&mut found).unwrap();
            told(&found)
        };
        let bytes = body.as_bytes();
        assert_eq!(listen(&[bytes]), expected);
        assert_eq!(listen(&bytes.chunks(1).collect::<Vec<_>>()), expected);
        for cut in 0..bytes.len() {
            assert_eq!(listen(&[&bytes[..cut], &bytes[cut..]]), expected, "{kind:?} cut at {cut}");
        }
        // Wherever it is broken off, that is noticed; at the very end only a mark that it is done may be missing.
        for cut in 0..bytes.len() {
            let mut ear = hear::Ear::new(kind, "text/event-stream");
            let mut found = Vec::new();
            ear.push(&bytes[..cut], &mut found).unwrap();
            if ear.finish(&mut found).is_ok() {
                assert!(
                    matches!(found.last(), Some(Fragment::End(Finish::Calls))),
                    "{kind:?} {cut}"
                );
            }
        }
    }
}

#[test]
fn nothing_that_is_sent_makes_it_panic() {
    use proptest::prelude::*;
    let word = prop_oneof![
        Just("data: ".to_owned()),
        Just("\n\n".to_owned()),
        Just("\n".to_owned()),
        Just("[DONE]".to_owned()),
        Just("{\"choices\":[{\"delta\":{\"tool_calls\":[{}]}}]}".to_owned()),
        Just("{\"message\":5,\"done\":1}".to_owned()),
        Just("{\"type\":\"response.completed\"}".to_owned()),
        Just("{\"output\":[{\"content\":[1]}],\"status\":3}".to_owned()),
        "[ -~]{0,6}",
        "(?s).{0,3}",
    ];
    let script = prop::collection::vec(word, 0..20);
    proptest!(|(words in script, whole: bool)| {
        let body = words.concat();
        for (kind, _) in texts() {
            let mut ear = hear::Ear::new(kind, if whole { "application/json" } else { "" });
            let mut found = Vec::new();
            let heard = ear.push(body.as_bytes(), &mut found).and_then(|()| ear.finish(&mut found));
            let ends = found.iter().filter(|f| matches!(f, Fragment::End(_))).count();
            prop_assert!(ends <= 1 && (heard.is_err() || ends == 1));
        }
    });
}

#[tokio::test]
async fn answers_come_in_whole_from_every_kind() {
    for (kind, body) in texts() {
        let path = match kind {
            RemoteKind::OpenAi => "POST /v1/chat/completions ",
            RemoteKind::Ollama => "POST /api/chat ",
            RemoteKind::Responses => "POST /v1/responses ",
        };
        let stage = Stage::of(vec![Act::Send(stream(kind, body), 7)]).await;
        let (found, error) = all(&open(&remote(kind, &stage.url))).await;
        assert!(error.is_none(), "{error:?}");
        let told = told(&found);
        assert!(told.contains("7+3 ") && told.ends_with(" Calls"), "{found:?}");
        let (head, sent) = stage.request(0);
        assert!(head.starts_with(path), "{head}");
        assert_eq!((&sent["model"], &sent["stream"]), (&json!("m"), &json!(true)));
    }
}

#[tokio::test]
async fn servers_that_do_not_stream_answer_in_one_piece() {
    let vision = json!({"status": "completed", "output": [
        {"type": "message", "content": [{"type": "output_text", "text": "A cat."}]}],
        "usage": {"input_tokens": 5, "output_tokens": 2}});
    let plain = json!({"choices": [{"message": {"content": "A cat."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2}});
    let mut cut_short = vision.clone();
    cut_short["status"] = json!("incomplete");
    let mut full = cut_short.clone();
    full["incomplete_details"] = json!({"reason": "max_output_tokens"});
    let cases = [
        (RemoteKind::Responses, vision.clone(), Finish::Stop),
        (RemoteKind::OpenAi, plain, Finish::Stop),
        (RemoteKind::Responses, cut_short, Finish::Incomplete("incomplete".to_owned())),
        (RemoteKind::Responses, full, Finish::Length),
    ];
    for (kind, body, finish) in cases {
        let bytes = answer("200 OK", "content-type: application/json\r\n", &body.to_string());
        let stage = Stage::of(vec![Act::Send(bytes, 11)]).await;
        let (found, error) = all(&open(&remote(kind, &stage.url))).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(finish.is_whole(), finish == Finish::Stop);
        assert_eq!(found, [text("A cat."), usage(5, 2), Fragment::End(finish)]);
    }
    let mut failed = vision;
    failed["status"] = json!("failed");
    failed["error"] = json!({"message": "out of memory"});
    let bytes = answer("200 OK", "content-type: application/json\r\n", &failed.to_string());
    let stage = Stage::of(vec![Act::Send(bytes, 99)]).await;
    let (_, error) = all(&open(&remote(RemoteKind::Responses, &stage.url))).await;
    assert_eq!(error.unwrap().to_string(), "`there` failed: out of memory");
}

#[tokio::test]
async fn a_busy_remote_is_asked_again_when_it_says_and_a_refusal_is_final() {
    let busy = answer("429 Too Many Requests", "retry-after: 0\r\n", "{}");
    let good = stream(RemoteKind::OpenAi, OPENAI);
    let stage =
        Stage::of(vec![Act::Send(busy.clone(), 99), Act::Close, Act::Send(good.clone(), 99)]).await;
    let (found, error) = all(&open(&remote(RemoteKind::OpenAi, &stage.url))).await;
    assert!(error.is_none() && found.len() > 3, "{error:?}");
    assert_eq!(stage.requests(), 3);

    let late = answer("503 Service Unavailable", "retry-after: 3600\r\n", "");
    let stage = Stage::of(vec![Act::Send(late, 99)]).await;
    let (_, error) = all(&open(&remote(RemoteKind::OpenAi, &stage.url))).await;
    let error = error.unwrap();
    assert!(
        matches!(&error, Error::Busy { status: 503, wait: Some(wait), .. } if wait.as_secs() == 3600)
    );
    assert_eq!((error.kind(), stage.requests()), (crate::Kind::Overloaded, 1));

    let body = "{\"error\":{\"message\":\"max_tokens is too\\nlarge\"}}";
    let stage = Stage::of(vec![Act::Send(answer("400 Bad Request", "", body), 99)]).await;
    let (_, error) = all(&open(&remote(RemoteKind::OpenAi, &stage.url))).await;
    let said = "`there` refuses the request (status 400): max_tokens is too large";
    assert_eq!((error.unwrap().to_string().as_str(), stage.requests()), (said, 1));

    let stage = Stage::of(vec![Act::Send(
        answer("404 Not Found", "", "{\"error\":\"model 'm' not found\"}"),
        99,
    )])
    .await;
    let (_, error) = all(&open(&remote(RemoteKind::Ollama, &stage.url))).await;
    assert!(matches!(error, Some(Error::NoModel { .. })), "{error:?}");
}

#[tokio::test]
async fn failures_are_told_apart_and_counted() {
    let broken = answer("500 Internal Server Error", "", "boom");
    let stage = Stage::of(vec![Act::Send(broken, 99)]).await;
    let settings = Remote {
        retries: 0,
        breaker_failures: 2,
        breaker_pause: Duration::from_secs(60),
        ..remote(RemoteKind::OpenAi, &stage.url)
    };
    let backend = open(&settings);
    for _ in 0..2 {
        let (_, error) = all(&backend).await;
        assert_eq!(error.unwrap().to_string(), "`there` failed: boom");
    }
    // Now it is left alone.
    let (_, error) = all(&backend).await;
    assert!(matches!(error, Some(Error::Resting { .. })), "{error:?}");
    assert_eq!(stage.requests(), 2);
    assert!(backend.down().unwrap().contains("left alone"));

    let quick = |kind, url: &str| Remote { retries: 0, ..remote(kind, url) };
    let stage = Stage::of(vec![Act::Hang]).await;
    let (_, error) = all(&open(&quick(RemoteKind::Ollama, &stage.url))).await;
    assert!(matches!(error, Some(Error::Silent { .. })), "{error:?}");

    // An answer that stops in the middle is not asked for again: a part of it was given.
    let part = stream(RemoteKind::OpenAi, &OPENAI[..OPENAI.len() / 2]);
    let stage = Stage::of(vec![Act::Send(part.clone(), 99)]).await;
    let (found, error) = all(&open(&remote(RemoteKind::OpenAi, &stage.url))).await;
    assert!(matches!(error, Some(Error::Cut { .. })) && !found.is_empty(), "{error:?}");
    assert_eq!(stage.requests(), 1);
    let stage = Stage::of(vec![Act::SendAndHang(part)]).await;
    let (found, error) = all(&open(&remote(RemoteKind::OpenAi, &stage.url))).await;
    assert!(matches!(error, Some(Error::Silent { .. })) && !found.is_empty(), "{error:?}");

    for (kind, body, what) in [
        (RemoteKind::OpenAi, "data: {\"choices\": [}\n\n", "not the JSON"),
        (RemoteKind::OpenAi, "data: 5\n\n", "no"),
        (RemoteKind::OpenAi, "data: [DONE]\n\n", "ended in the middle"),
        (RemoteKind::OpenAi, "data: {\"error\":{\"message\":\"no room\"}}\n\n", "failed: no room"),
        (RemoteKind::Ollama, "{\"message\":{\"content\":\"a\"}}\n", "whether it is done"),
        (RemoteKind::Ollama, "{\"error\":\"no room\"}\n", "failed: no room"),
        (RemoteKind::Ollama, "{\"message\":{\"content\":\"a\"},\"do", "ended in the middle"),
        (RemoteKind::Ollama, "", "ended in the middle"),
    ] {
        let stage = Stage::of(vec![Act::Send(stream(kind, body), 99)]).await;
        let (_, error) = all(&open(&quick(kind, &stage.url))).await;
        let error = error.unwrap().to_string();
        assert!(error.contains(what), "{body}: {error}");
    }
    let page = answer("200 OK", "content-type: text/html\r\n", "<html>");
    let stage = Stage::of(vec![Act::Send(page, 99)]).await;
    let (_, error) = all(&open(&quick(RemoteKind::OpenAi, &stage.url))).await;
    assert!(error.unwrap().to_string().contains("web page"));
    let moved = answer("302 Found", "location: http://127.0.0.1:1/\r\n", "");
    let stage = Stage::of(vec![Act::Send(moved, 99)]).await;
    let (_, error) = all(&open(&quick(RemoteKind::OpenAi, &stage.url))).await;
    assert!(matches!(error, Some(Error::Refused { status: 302, .. })), "{error:?}");
    let (_, error) = all(&open(&quick(RemoteKind::OpenAi, "http://127.0.0.1:1"))).await;
    assert!(matches!(error, Some(Error::Unreachable { .. })), "{error:?}");
}

#[tokio::test]
async fn a_line_without_end_is_refused() {
    let mut endless = stream(RemoteKind::Ollama, "");
    endless.resize(endless.len() + lines::LONGEST + 10, b'x');
    let stage = Stage::of(vec![Act::Send(endless, 1 << 20)]).await;
    let settings = Remote {
        first_byte_timeout: Duration::from_secs(20),
        retries: 0,
        ..remote(RemoteKind::Ollama, &stage.url)
    };
    let (_, error) = all(&open(&settings)).await;
    assert!(matches!(error, Some(Error::TooLarge { .. })), "{error:?}");
}

#[tokio::test]
async fn embeddings_are_checked() {
    let texts = ["a".to_owned(), "b".to_owned()];
    let good = json!({"data": [{"index": 1, "embedding": [3.0, 4.0]}, {"index": 0, "embedding": [1, 2]}], "usage": {"prompt_tokens": 4}});
    let reply = |body: &Value| Act::Send(answer("200 OK", "", &body.to_string()), 5);
    let stage = Stage::of(vec![reply(&good)]).await;
    let backend = open(&remote(RemoteKind::OpenAi, &stage.url));
    let embedded = backend.embed("e", &texts, &EmbedOptions::default()).await.unwrap();
    assert_eq!(
        embedded,
        Embedded { vectors: vec![vec![1.0, 2.0], vec![3.0, 4.0]], tokens: Some(4) }
    );
    let cut = EmbedOptions { dimensions: Some(1), ..EmbedOptions::default() };
    let error = backend.embed("e", &texts, &cut).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { field: "dimensions", .. }), "{error}");
    for (body, what) in [
        (json!({"embeddings": [[1.0]]}), "1 embeddings of 2 texts"),
        (json!({"embeddings": [[1.0], [null]]}), "is none"),
        (json!({"embeddings": [[1.0], [1.0, 2.0]]}), "is none"),
        (json!({"embeddings": [[], []]}), "is none"),
        (json!({}), "no embeddings"),
    ] {
        let stage = Stage::of(vec![reply(&body)]).await;
        let error = open(&remote(RemoteKind::Ollama, &stage.url))
            .embed("e", &texts, &EmbedOptions::default())
            .await
            .unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
    let tags = json!({"models": [{"name": "x:1b"}, {"name": "y:latest"}]});
    let stage = Stage::of(vec![reply(&tags)]).await;
    let backend = open(&remote(RemoteKind::Ollama, &stage.url));
    assert_eq!(backend.models().await.unwrap(), ["x:1b", "y:latest"]);
    assert!(stage.request(0).0.starts_with("GET /api/tags "));
}

#[tokio::test]
async fn judgements_are_checked() {
    let texts = ["a".to_owned(), "b".to_owned()];
    let result = |index: u64, score: f64| json!({"index": index, "relevance_score": score});
    let reply = |body: &Value| Act::Send(answer("200 OK", "", &body.to_string()), 5);
    let good = json!({"results": [result(1, 0.9), result(0, 0.2)], "usage": {"total_tokens": 7}});
    let stage = Stage::of(vec![reply(&good)]).await;
    let backend = open(&remote(RemoteKind::OpenAi, &stage.url));
    let judged = backend.rerank("e", "q", &texts, RerankOptions::default()).await.unwrap();
    assert_eq!(judged, Judged { scores: vec![0.2, 0.9], tokens: Some(7) });
    assert!(stage.request(0).0.starts_with("POST /v1/rerank "));
    let raw = RerankOptions { logits: true, ..RerankOptions::default() };
    let error = backend.rerank("e", "q", &texts, raw).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { field: "raw_scores", .. }), "{error}");
    for (results, what) in [
        (json!([result(0, 0.5)]), "1 results of 2 documents"),
        (json!([result(0, 0.5), result(0, 0.5)]), "is none"),
        (json!([result(0, 0.5), result(2, 0.5)]), "is none"),
        (json!([{"index": 0}]), "is none"),
        (json!(null), "no results"),
    ] {
        let stage = Stage::of(vec![reply(&json!({ "results": results }))]).await;
        let backend = open(&remote(RemoteKind::OpenAi, &stage.url));
        let error = backend.rerank("e", "q", &texts, RerankOptions::default()).await.unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
    let ollama = open(&remote(RemoteKind::Ollama, "http://127.0.0.1:1"));
    let error = ollama.rerank("e", "q", &texts, RerankOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}

#[tokio::test]
async fn the_key_goes_to_the_remote_and_into_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "s3cret-word\n").unwrap();
    let refuse = answer("401 Unauthorized", "", "{\"error\":{\"message\":\"who are you\"}}");
    let stage = Stage::of(vec![Act::Send(refuse, 99)]).await;
    let settings = Remote {
        key: Some(KeySource::File(file.clone())),
        ..remote(RemoteKind::OpenAi, &stage.url)
    };
    let backend = open(&settings);
    let (_, error) = all(&backend).await;
    let error = error.unwrap();
    assert!(stage.request(0).0.to_lowercase().contains("authorization: bearer s3cret-word"));
    let shown = format!("{error} {error:?} {backend:?} {}", error.hint());
    assert!(!shown.contains("s3cret"), "{shown}");
    std::fs::write(&file, "two words\nof a private file").unwrap();
    let error = Backend::open("there", &settings, &environment()).unwrap_err();
    assert!(
        matches!(&error, Error::Key { .. }) && !error.to_string().contains("private"),
        "{error}"
    );
}

fn rich() -> Question {
    let seen = Message {
        content: vec![Part::Text("look".into()), Part::Image(Image::new(&b"\xFF\xD8\xFFjpeg"[..]))],
        ..Message::user("")
    };
    let calls = vec![ToolCall { id: "c1".into(), name: "f".into(), arguments: json!({"a": 1}) }];
    let called =
        Message { content: Vec::new(), tool_calls: calls, ..Message::new(Role::Assistant, "") };
    let told = Message { name: Some("f".into()), ..Message::tool("c1", "42") };
    Question {
        messages: vec![Message::system("be kind"), seen, called, told],
        tools: Some(
            json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]),
        ),
        ..question()
    }
}

#[test]
fn conversations_are_worded_for_each_kind() {
    let body = |kind| ask::chat("there", &remote(kind, "http://h"), &rich()).unwrap().json;
    let openai = body(RemoteKind::OpenAi);
    assert_eq!(
        openai["messages"][1]["content"][1]["image_url"]["url"],
        "data:image/jpeg;base64,/9j/anBlZw=="
    );
    assert_eq!(
        openai["messages"][2],
        json!({"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]})
    );
    assert_eq!(
        openai["messages"][3],
        json!({"role": "tool", "content": "42", "tool_call_id": "c1", "name": "f"})
    );
    let ollama = body(RemoteKind::Ollama);
    assert_eq!(
        ollama["messages"][1],
        json!({"role": "user", "content": "look", "images": ["/9j/anBlZw=="]})
    );
    assert_eq!(ollama["messages"][2]["tool_calls"][0]["function"]["arguments"], json!({"a": 1}));
    assert_eq!(ollama["messages"][3]["tool_name"], "f");
    let responses = body(RemoteKind::Responses);
    let kinds: Vec<_> = responses["input"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["message", "message", "function_call", "function_call_output"]);
    assert_eq!(responses["input"][1]["content"][1]["type"], "input_image");
    assert_eq!(
        responses["tools"][0],
        json!({"name": "f", "parameters": {"type": "object"}, "type": "function"})
    );
}

type Change = fn(&mut Question);

#[test]
fn what_a_remote_has_no_word_for_is_refused_by_name() {
    let asks = |kind, change: fn(&mut Question), settings: fn(&mut Remote)| {
        let (mut question, mut remote) = (question(), remote(kind, "http://h"));
        change(&mut question);
        settings(&mut remote);
        ask::chat("there", &remote, &question)
    };
    let plain: fn(&mut Remote) = |_| {};
    let top_k: fn(&mut Question) = |question| question.options.top_k = Some(5);
    let error = asks(RemoteKind::OpenAi, top_k, plain).unwrap_err();
    assert_eq!(error.to_string(), "`there` speaks openai, which has no `top_k`");
    assert_eq!(error.kind(), crate::Kind::Unsupported);
    let body =
        asks(RemoteKind::OpenAi, top_k, |remote| remote.may_drop = vec!["top_k".into()]).unwrap();
    assert_eq!((body.dropped, body.json.get("top_k")), (vec!["top_k"], None));
    let body = asks(RemoteKind::OpenAi, top_k, |remote| remote.understands = vec!["top_k".into()])
        .unwrap();
    assert_eq!((body.dropped.len(), &body.json["top_k"]), (0, &json!(5)));
    let body = asks(RemoteKind::Ollama, top_k, plain).unwrap();
    assert_eq!(body.json["options"], json!({"top_k": 5}));
    let warm: fn(&mut Question) = |question| {
        question.options.temperature = Some(0.1);
        question.options.max_tokens = Some(9);
        question.options.constraint = Some(Grammar::JsonObject);
    };
    let body = asks(RemoteKind::Responses, warm, plain).unwrap().json;
    assert_eq!((&body["temperature"], &body["max_output_tokens"]), (&json!(0.1), &json!(9)));
    assert_eq!(body["text"]["format"]["type"], "json_object");
    assert_eq!(asks(RemoteKind::Ollama, warm, plain).unwrap().json["format"], "json");
    let fields: [(RemoteKind, Change, &str); 6] = [
        (RemoteKind::Responses, |q| q.options.seed = Some(1), "seed"),
        (RemoteKind::Responses, |q| q.options.stop = vec!["x".into()], "stop"),
        (RemoteKind::Ollama, |q| q.options.logprobs = Some(1), "logprobs"),
        (RemoteKind::Ollama, |q| q.tool_choice = Some(json!("required")), "tool_choice"),
        (RemoteKind::OpenAi, |q| q.options.constraint = Some(Grammar::Regex("a".into())), "regex"),
        (RemoteKind::OpenAi, |q| q.think = Some(false), "think"),
    ];
    for (kind, change, field) in fields {
        let error = asks(kind, change, plain).unwrap_err();
        assert!(
            matches!(&error, Error::Unsupported { field: said, .. } if *said == field),
            "{error}"
        );
    }
}

#[test]
fn ollama_is_where_its_variable_says() {
    for (host, url) in [
        (None, "http://127.0.0.1:11434"),
        (Some(""), "http://127.0.0.1:11434"),
        (Some("0.0.0.0"), "http://127.0.0.1:11434"),
        (Some(":4000"), "http://127.0.0.1:4000"),
        (Some("box"), "http://box:11434"),
        (Some("box:1"), "http://box:1"),
        (Some("https://box/"), "https://box:443"),
        (Some("http://box:8/api-path/"), "http://box:8/api-path"),
        (Some("[::1]:5"), "http://[::1]:5"),
        (Some("[::]"), "http://[::1]:11434"),
    ] {
        assert_eq!(ollama_address(host), url, "{host:?}");
    }
}
