//! Images that are named by address.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::Router;
use manager::web::{Fetcher, Hosts};
use serde_json::{Value, json};
use server::{Options, Rules, router};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::house::{open, post};

/// A server of one file at `/image`; gives its address.
async fn elsewhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let n = stream.read(&mut head).await.unwrap();
            let there = head[..n].starts_with(b"GET /image ");
            let status = if there { "200 OK" } else { "404 Not Found" };
            let reply = format!(
                "HTTP/1.1 {status}\r\nContent-Length: 7\r\nConnection: close\r\n\r\nnothing"
            );
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    address
}

fn chat(url: &str) -> Value {
    let image = json!({"type": "image_url", "image_url": {"url": url}});
    json!({"model": "qwen3", "messages": [{"role": "user", "content": [image]}]})
}

fn message(url: &str) -> Value {
    let image = json!({"type": "image", "source": {"type": "url", "url": url}});
    json!({
        "model": "qwen3", "max_tokens": 1,
        "messages": [{"role": "user", "content": [image]}],
    })
}

async fn refused(server: &Router, path: &str, body: Value) -> String {
    let reply = post(server, path, &body).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    reply.json()["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn images_are_fetched_where_that_is_allowed() {
    let address = elsewhere().await;
    let (there, gone) = (format!("{address}/image"), format!("{address}/gone"));
    let fetching = |hosts: &[&str]| {
        let hosts: Vec<_> = hosts.iter().map(|&host| host.to_owned()).collect();
        let fetcher = Some(Fetcher::new(Hosts::of(&hosts)).unwrap());
        router(
            open(&["qwen3"]),
            Options { rules: Rules { fetcher, ..Rules::default() }, ..Options::default() },
        )
    };
    let server = fetching(&["127.0.0.1"]);
    for (path, body) in [("/v1/chat/completions", chat(&there)), ("/v1/messages", message(&there))]
    {
        // It came, and the model is asked whether it sees.
        let said = refused(&server, path, body).await;
        assert!(said.contains("the prompt holds 1 images"), "{said}");
    }
    let said = refused(&server, "/v1/chat/completions", chat(&gone)).await;
    assert!(
        said.contains("messages[0].content[0].image_url.url") && said.contains("404"),
        "{said}"
    );
    let said = refused(&fetching(&["*"]), "/v1/chat/completions", chat(&there)).await;
    assert!(said.contains("not a public address"), "{said}");
    let said = refused(&fetching(&["x.example"]), "/v1/messages", message(&there)).await;
    assert!(said.contains("--allow-url"), "{said}");
    let closed = router(open(&["qwen3"]), Options::default());
    let said = refused(&closed, "/v1/chat/completions", chat(&there)).await;
    assert!(said.contains("fetches no addresses"), "{said}");
}
