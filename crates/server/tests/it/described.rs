//! The description of the server: read without a key, and true of a server with and without keys.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use server::{Gate, Key, Options, Rules, router};

use crate::house::{get, open, send, server};

#[tokio::test]
async fn the_description_needs_no_key() {
    let gate = Gate { keys: vec![Key::new("ann", "secret")], ..Gate::default() };
    let locked = router(
        open(&[]),
        Options { rules: Rules { gate, ..Rules::default() }, ..Options::default() },
    );
    assert_eq!(get(&locked, "/version").await.status.as_u16(), 401);
    let document = get(&locked, "/openapi.json").await.json();
    assert_eq!(document["security"], json!([{"bearer": []}, {"key": []}]));
    assert_eq!(document["paths"]["/health"]["get"]["security"], json!([]));
    let page = get(&locked, "/docs").await;
    assert_eq!(page.status.as_u16(), 200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert_eq!(get(&server(), "/openapi.json").await.json()["security"], json!([]));
    // Pages of strangers do not read it either.
    let stranger = Request::get("/openapi.json").header("origin", "https://evil.example");
    let reply = send(&locked, stranger.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status.as_u16(), 403);
}
