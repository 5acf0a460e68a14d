//! Documents that clients leave here, and ask about.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use server::{Gate, Key, Options, Rules, router};

use crate::house::{Reply, get, open_in, post, roomy_folder, send, server};

/// A server that keeps documents in a folder, and what both lie in.
fn keeping() -> (Router, tempfile::TempDir) {
    let folder = roomy_folder(4096);
    let kept = Some(folder.path().join("data"));
    (router(open_in(folder.path(), &[]), Options { kept, ..Options::default() }), folder)
}

fn form(parts: &[(&str, &str)]) -> Request<Body> {
    let mut body = String::new();
    for (head, content) in parts {
        body.push_str(&format!(
            "--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n"
        ));
    }
    let kind = "multipart/form-data; boundary=B";
    Request::post("/v1/files")
        .header("content-type", kind)
        .body(Body::from(body + "--B--"))
        .unwrap()
}

async fn upload(server: &Router, name: &str, text: &str) -> Reply {
    let file = format!("name=\"file\"; filename=\"{name}\"");
    send(server, form(&[(&file, text), ("name=\"purpose\"", "user_data")])).await
}

async fn delete(server: &Router, id: &str) -> Reply {
    send(server, Request::delete(format!("/v1/files/{id}")).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_document_is_kept_told_given_back_and_removed() {
    let (server, folder) = keeping();
    let file = upload(&server, "../notes.txt", "The rent is 400.").await.json();
    assert_eq!(
        (&file["object"], &file["bytes"], &file["filename"]),
        (&json!("file"), &json!(16), &json!("../notes.txt"))
    );
    let id = file["id"].as_str().unwrap();
    let path = format!("/v1/files/{id}");
    // Another server over the same folder has it as well.
    let kept = Some(folder.path().join("data"));
    let again = router(open_in(folder.path(), &[]), Options { kept, ..Options::default() });
    assert_eq!(get(&again, &path).await.json(), file);
    let content = get(&again, &format!("{path}/content")).await;
    assert_eq!(content.body, "The rent is 400.");
    assert_eq!(content.headers["content-disposition"], "attachment");
    let second = upload(&server, "b", "x").await.json();
    let list = |query: &str| format!("/v1/files{query}");
    let all = get(&server, &list("?order=asc")).await.json();
    assert_eq!(all["data"].as_array().unwrap().len(), 2);
    let (first, more) =
        (all["first_id"].as_str().unwrap(), get(&server, &list("?limit=1&order=asc")).await.json());
    assert_eq!((&more["has_more"], &more["data"].as_array().unwrap().len()), (&json!(true), &1));
    let rest = get(&server, &list(&format!("?order=asc&after={first}"))).await.json();
    assert_eq!((&rest["data"][0], &rest["has_more"]), (&all["data"][1], &json!(false)));
    for wrong in ["?limit=0", "?hue=1", "?after=x", "?order=up"] {
        assert_eq!(get(&server, &list(wrong)).await.status.as_u16(), 400, "{wrong}");
    }
    assert_eq!(delete(&server, id).await.json()["deleted"], true);
    assert_eq!(delete(&server, id).await.status.as_u16(), 404);
    assert_eq!(get(&server, &path).await.status.as_u16(), 404);
    assert_eq!(get(&server, "/v1/files").await.json()["data"][0]["id"], second["id"]);
}

#[tokio::test]
async fn what_is_no_document_is_refused_by_name() {
    let (server, _folder) = keeping();
    let (file, purpose) = ("name=\"file\"; filename=\"a\"", "name=\"purpose\"");
    for (parts, param) in [
        (&[(file, "x")][..], "purpose"),
        (&[(file, "x"), (purpose, "fine-tune")], "purpose"),
        (&[(purpose, "user_data")], "file"),
        (&[(file, ""), (purpose, "user_data")], "file"),
        (&[(file, "x"), (file, "y"), (purpose, "user_data")], "file"),
        (&[(file, "x"), (purpose, "user_data"), ("name=\"hue\"", "1")], "hue"),
        (
            &[(file, "x"), (purpose, "user_data"), ("name=\"expires_after[seconds]\"", "5")],
            "expires_after[seconds]",
        ),
    ] {
        let reply = send(&server, form(parts)).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["error"]["param"]),
            (400, &json!(param)),
            "{parts:?}"
        );
    }
    assert_eq!(post(&server, "/v1/files", &json!({})).await.status.as_u16(), 400);
    assert_eq!(upload(&self::server(), "a", "x").await.status.as_u16(), 403);
}

fn asked(reply: &Value) -> u64 {
    reply["usage"]["prompt_tokens"]
        .as_u64()
        .or_else(|| reply["usage"]["input_tokens"].as_u64())
        .unwrap()
}

#[tokio::test]
async fn a_model_reads_what_is_kept_or_sent_along() {
    let (server, _folder) = keeping();
    let file = upload(&server, "notes.txt", "The rent is 400.").await.json();
    let id = &file["id"];
    let chat = |part: Value| {
        json!({"model": "qwen3", "max_tokens": 3, "temperature": 0, "messages": [{"role": "user", "content": [
            part, {"type": "text", "text": "What is the rent?"}]}]})
    };
    let path = "/v1/chat/completions";
    let by_id =
        post(&server, path, &chat(json!({"type": "file", "file": {"file_id": id}}))).await.json();
    let data = "data:text/plain;base64,VGhlIHJlbnQgaXMgNDAwLg==";
    let sent = json!({"type": "file", "file": {"file_data": data, "filename": "notes.txt"}});
    let sent = post(&server, path, &chat(sent)).await.json();
    let words = "[Document: notes.txt]\n\nThe rent is 400.\n\n[End of notes.txt]\n";
    let plain = post(&server, path, &chat(json!({"type": "text", "text": words}))).await.json();
    assert_eq!(asked(&by_id), asked(&plain));
    assert_eq!(asked(&sent), asked(&plain));
    assert_eq!(by_id["choices"][0]["message"], plain["choices"][0]["message"]);
    let response = |part: Value| {
        json!({"model": "qwen3", "max_output_tokens": 3, "input": [{"role": "user", "content": [
            part, {"type": "input_text", "text": "What is the rent?"}]}]})
    };
    let told =
        post(&server, "/v1/responses", &response(json!({"type": "input_file", "file_id": id})))
            .await
            .json();
    assert_eq!(asked(&told), asked(&plain));
    for (part, status, words) in [
        (json!({"type": "input_file", "file_id": "file-x"}), 404, "there is no file"),
        (json!({"type": "input_file"}), 400, "either `file_id` or `file_data`"),
        (
            json!({"type": "input_file", "file_url": "http://127.0.0.1/x"}),
            400,
            "fetches no addresses",
        ),
        (
            json!({"type": "input_file", "file_data": "http://127.0.0.1/x"}),
            400,
            "fetches no addresses",
        ),
        (json!({"type": "input_file", "file_data": "%"}), 400, "not base64"),
        (json!({"type": "input_file", "file_data": "//79/A=="}), 400, "neither a PDF nor text"),
        (json!({"type": "input_text", "text": "a", "file_id": id}), 400, "holds a file"),
        (json!({"type": "input_file", "file_id": id, "text": "a"}), 400, "nothing else"),
        (json!({"type": "input_file", "file_data": "JVBERi0xLjcK"}), 400, "without a worker"),
    ] {
        let reply = post(&server, "/v1/responses", &response(part.clone())).await;
        assert_eq!(reply.status.as_u16(), status, "{part}: {}", reply.body);
        assert!(reply.body.contains(words), "{part}: {}", reply.body);
    }
    // What is too long for the model is refused as any other prompt.
    let long = upload(&server, "long.txt", &"word ".repeat(5000)).await.json();
    let long = json!({"type": "input_file", "file_id": long["id"]});
    let reply = post(&server, "/v1/responses", &response(long)).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["error"]["code"]),
        (400, &json!("context_length_exceeded"))
    );
}

#[tokio::test]
async fn documents_belong_to_a_key() {
    let folder = roomy_folder(64);
    let keys = vec![Key::new("ann", "secret"), Key::new("bob", "other")];
    let options = Options {
        rules: Rules { gate: Gate { keys, ..Gate::default() }, ..Rules::default() },
        kept: Some(folder.path().join("data")),
        ..Options::default()
    };
    let server = router(open_in(folder.path(), &[]), options);
    let mut request = form(&[("name=\"file\"", "x"), ("name=\"purpose\"", "assistants")]);
    request.headers_mut().insert("x-api-key", "secret".parse().unwrap());
    let file = send(&server, request).await.json();
    let path = format!("/v1/files/{}", file["id"].as_str().unwrap());
    for (key, status) in [("secret", 200), ("other", 404), ("none", 401)] {
        let request = Request::get(&path).header("x-api-key", key).body(Body::empty()).unwrap();
        assert_eq!(send(&server, request).await.status.as_u16(), status, "{key}");
    }
}
