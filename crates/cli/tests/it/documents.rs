//! `/v1/documents/read` of `folio serve`, asked as any program asks it, with a vision model that comes to an end.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::pdf::Pdf;
use testkit::reciter;

use crate::reciting::world;
use crate::serving::Server;
use crate::world::World;

/// A server with the model, which may read what lies at home.
fn serving() -> (World, Server) {
    let mut world = world();
    world.set("FOLIO_LOG_LEVEL", "off");
    let server = Server::start(&world, &["--model", "./reciter", "--allow-root", "."]);
    (world, server)
}

/// A connection on which something was asked.
fn ask(server: &Server, method: &str, path: &str, head: &str, body: &[u8]) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n{head}\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    BufReader::new(stream)
}

/// The status and the body of what comes back.
fn whole(mut from: BufReader<TcpStream>) -> (u16, String) {
    let mut all = String::new();
    from.read_to_string(&mut all).unwrap();
    let (head, body) = all.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn read(server: &Server, body: &Value) -> (u16, Value) {
    let asked = ask(server, "POST", "/v1/documents/read", "", body.to_string().as_bytes());
    let (status, body) = whole(asked);
    (status, serde_json::from_str(&body).unwrap())
}

/// What makes pictures small, and answers short.
fn quick(mut body: Value) -> Value {
    body["target_longest_image_dim"] = 112.into();
    body["max_tokens"] = 60.into();
    body
}

#[test]
fn a_document_is_read_by_path_and_by_upload() {
    let (world, server) = serving();
    let (status, told) = read(&server, &quick(json!({"path": "scan.pdf", "model": "reciter"})));
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["markdown"], format!("Words of its own\n\n{}\n", reciter::WHITE));
    let [own, seen] = &told["pages"].as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!(
        (&own["text_source"], &own["markdown"]),
        (&json!("text_layer"), &json!("Words of its own"))
    );
    assert_eq!(
        (&seen["text_source"], &seen["model_because"]),
        (&json!("model"), &json!("no_text_layer"))
    );
    assert_eq!((&told["failures"], &told["usage"]["completion_tokens"]), (&json!([]), &json!(8)));
    assert_eq!(told["by_source"], json!({"model": 1, "text_layer": 1}));
    // The same as a form, all of it by the model, and as blocks.
    let pdf = fs::read(world.home.path().join("scan.pdf")).unwrap();
    let mut form = Vec::new();
    for (name, value) in [
        ("model", "reciter"),
        ("mode", "ocr"),
        ("format", "json"),
        ("target_longest_image_dim", "112"),
    ] {
        form.extend(
            format!("--B\r\ncontent-disposition: form-data; name={name}\r\n\r\n{value}\r\n")
                .bytes(),
        );
    }
    form.extend(b"--B\r\ncontent-disposition: form-data; name=file; filename=\"a.pdf\"\r\n\r\n");
    form.extend([&pdf[..], b"\r\n--B--"].concat());
    let head = "content-type: multipart/form-data; boundary=B\r\n";
    let (status, told) = whole(ask(&server, "POST", "/v1/documents/read", head, &form));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((status, &told["name"]), (200, &json!("a.pdf")), "{told}");
    let first = &told["pages"][0];
    assert_eq!(first["blocks"][0]["text"], "Words of its own");
    assert_eq!(first["reading"]["text"], reciter::WHITE);
    assert_eq!(first["agreement"]["recall"], 0.0, "{first}");
    let (_, told) =
        read(&server, &quick(json!({"path": "scan.pdf", "model": "reciter", "format": "html"})));
    let html = told["html"].as_str().unwrap();
    assert!(html.contains("Words of its own") && html.contains("The paper is white."), "{html}");
    assert_eq!(told["pages"][0].get("blocks"), None);
    for (body, status, param) in [
        (json!({"path": "scan.pdf", "pages": "3"}), 400, "pages"),
        (json!({"path": "../scan.pdf"}), 403, "path"),
        (json!({"path": "scan.pdf", "mode": "ocr"}), 400, "model"),
        (json!({"path": "scan.pdf", "model": "nobody"}), 404, "model"),
        (json!({"file_data": "aGk="}), 400, "file"),
    ] {
        let (came, told) = read(&server, &body);
        assert_eq!((came, &told["error"]["param"]), (status, &json!(param)), "{body}: {told}");
    }
}

/// Events until the stream ends, or `enough` has come.
fn events(from: &mut BufReader<TcpStream>, enough: Option<&str>) -> Vec<Value> {
    let mut all = Vec::new();
    for line in from.lines() {
        let Ok(line) = line else { break };
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let event: Value = serde_json::from_str(data).unwrap();
        let is_enough = enough.is_some_and(|kind| event["type"] == kind);
        all.push(event);
        if is_enough {
            break;
        }
    }
    all
}

#[test]
fn every_page_is_told_as_it_is_read() {
    let (_world, server) = serving();
    let body = json!({"path": "colours.pdf", "model": "reciter", "mode": "ocr", "stream": true,
        "guided_decoding": false, "max_page_retries": 2});
    let mut stream =
        ask(&server, "POST", "/v1/documents/read", "", quick(body).to_string().as_bytes());
    let events = events(&mut stream, None);
    let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
    let pages = |kind: &str| {
        let mut pages: Vec<_> =
            of(kind).iter().map(|event| event["page"].as_u64().unwrap()).collect();
        pages.sort_unstable();
        pages
    };
    assert_eq!(
        (events[0]["type"].as_str(), &events[0]["pages"]),
        (Some("document.started"), &json!(3))
    );
    assert_eq!(pages("page.started"), [1, 2, 3]);
    assert_eq!(of("page.completed")[0]["markdown"], reciter::WHITE);
    // Not held to the form it speaks before it reads a red page, and at low temperatures it rambles about a black one.
    assert_eq!(pages("page.completed"), [1]);
    assert_eq!(pages("page.attempt_failed"), [2, 2, 3, 3]);
    assert_eq!(pages("page.failed"), [2, 3]);
    let end = events.last().unwrap();
    assert_eq!(end["type"], "document.completed");
    assert_eq!(end["by_source"], json!({"failed": 2, "model": 1}));
    assert_eq!(end["failures"].as_array().unwrap().len(), 2);
}

/// How many use the model.
fn users(server: &Server) -> u64 {
    let (_, models) = whole(ask(server, "GET", "/v1/models", "", b""));
    let models: Value = serde_json::from_str(&models).unwrap();
    models["data"][0]["users"].as_u64().unwrap_or(0)
}

/// Waits until nobody uses the model.
fn idle(server: &Server) {
    let begun = Instant::now();
    while users(server) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "somebody still reads");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_reading_ends_when_it_is_told_to_and_when_nobody_listens() {
    let (world, server) = serving();
    // Far more pages than are read before they are ended, and each is rambled about first.
    let mut long = Pdf::new();
    for _ in 0..400 {
        long.page(612.0, 792.0, "0 0 0 rg 0 0 612 792 re f");
    }
    fs::write(world.home.path().join("long.pdf"), long.finish()).unwrap();
    let body = json!({"path": "long.pdf", "model": "reciter", "mode": "ocr", "stream": true, "target_longest_image_dim": 112});
    let begin = |id: &str| {
        let head = format!("x-request-id: {id}\r\n");
        let mut stream =
            ask(&server, "POST", "/v1/documents/read", &head, body.to_string().as_bytes());
        let begun = events(&mut stream, Some("page.started"));
        assert_eq!(begun[0]["id"], id);
        stream
    };
    let end =
        |id: &str| whole(ask(&server, "DELETE", &format!("/v1/documents/read/{id}"), "", b""));
    let mut stream = begin("first");
    assert_eq!(end("second").0, 404);
    let (status, told) = end("first");
    assert_eq!((status, told.contains("\"cancelled\":true")), (200, true), "{told}");
    assert_eq!(events(&mut stream, None).last().unwrap()["type"], "document.cancelled");
    idle(&server);
    drop(begin("third"));
    idle(&server);
    assert_eq!(end("third").0, 404);
}
