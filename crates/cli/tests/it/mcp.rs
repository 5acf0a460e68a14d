//! `mcp`: tools on standard input and output.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use testkit::qdrant::QdrantServer;
use testkit::reciter;

use crate::world::{World, fixture};

#[test]
fn what_folio_index_made_is_searched_by_a_tool() {
    let world = World::new();
    let lease = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/lease.pdf");
    let lease = lease.to_str().unwrap();
    let model = fixture("bert").display().to_string();
    let ran = world.run(&["index", lease, "--index", "lease", "--model", &model]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let qdrant = QdrantServer::start();
    let pages = qdrant.address("pages");
    let ran = world.run(&["index", "push", "--index", "lease", "--to", &pages]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let mut command =
        world.command(&["mcp", "--index", "lease", "--index", &pages, "--model", &model]);
    let mut folio = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = folio.stdin.take().unwrap();
    let mut output = BufReader::new(folio.stdout.take().unwrap());
    let mut ask = |message: Value| {
        writeln!(input, "{message}").unwrap();
        // To what has no number nobody answers.
        let Some(_) = message.get("id") else { return Value::Null };
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let message: Value = serde_json::from_str(&line).unwrap();
        message["result"].clone()
    };
    let client = json!({"name": "test", "version": "1"});
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
    ask(json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}));
    ask(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    // Here and on a server.
    for index in ["lease", "pages"] {
        let asked = json!({"index": index, "query": "who pays the rent"});
        let params = json!({"name": "search_documents", "arguments": asked});
        let found =
            ask(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}));
        let hits = &found["structuredContent"];
        assert_eq!(
            (&hits["route"], &hits["hits"][0]["name"]),
            (&json!("words and meaning"), &json!("lease.pdf")),
            "{found}"
        );
        let params = json!({"uri": hits["hits"][0]["image"]});
        let image =
            ask(json!({"jsonrpc": "2.0", "id": 3, "method": "resources/read", "params": params}));
        let kind = image["contents"][0]["mimeType"].as_str().unwrap();
        assert!(kind.starts_with("image/"), "{image}");
    }
    drop(input);
    assert!(folio.wait().unwrap().success());
    for (index, said) in [
        ("qdrant://localhost:6333/lease", "both called"),
        ("qdrant://localhost:6333", "it names no collection"),
        ("a/lease", "both called"),
    ] {
        let ran = world.run(&["mcp", "--index", "b/lease", "--index", index]);
        assert!(
            ran.code == Some(1)
                && ran.err.split_whitespace().collect::<Vec<_>>().join(" ").contains(said),
            "{}",
            ran.err
        );
    }
}

#[test]
fn a_pdf_is_read_by_a_tool_and_the_end_of_input_ends_it() {
    let world = World::new();
    let files = world.home.path().join("files");
    fs::create_dir(&files).unwrap();
    let lease = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/lease.pdf");
    fs::copy(lease, files.join("lease.pdf")).unwrap();
    let mut command = world.command(&["mcp", "--allow-root", "files"]);
    let mut folio = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = folio.stdin.take().unwrap();
    let mut output = BufReader::new(folio.stdout.take().unwrap());
    let mut say = |message: Value| writeln!(input, "{message}").unwrap();
    let mut hear = |id: u64| {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        // Nothing but the protocol comes here.
        let message: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(message["id"], id, "{message}");
        message["result"].clone()
    };
    let client = json!({"name": "test", "version": "1"});
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
    say(json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}));
    assert_eq!(hear(1)["serverInfo"]["name"], "folio");
    say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let (mut next, mut calls, mut text) = (json!({}), 0, String::new());
    loop {
        let mut arguments = json!({"path": "lease.pdf", "max_characters": 1500});
        for (from, to) in [("next_page", "first_page"), ("next_offset", "offset")] {
            if let Some(value) = next.get(from) {
                arguments[to] = value.clone();
            }
        }
        let params = json!({"name": "read_document", "arguments": arguments});
        say(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}));
        let result = hear(2);
        assert_eq!(result["isError"], false, "{result}");
        next = result["structuredContent"].clone();
        assert!(next["characters"].as_u64().unwrap() <= 1500);
        text.push_str(next["markdown"].as_str().unwrap());
        calls += 1;
        if next["truncated"] == false {
            break;
        }
    }
    assert!(calls > 1);
    let dense = |text: &str| text.split_whitespace().collect::<String>();
    let ran = world.run(&["read", "files/lease.pdf"]);
    assert_eq!(dense(&text), dense(&ran.out));
    drop(input);
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), folio.wait().unwrap().code()), ("", Some(0)));
}

#[test]
fn scans_are_read_by_a_tool_with_a_model() {
    let world = crate::reciting::world();
    let mut command = world.command(&["mcp", "--model", "./reciter", "--allow-root", "."]);
    let mut folio = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = folio.stdin.take().unwrap();
    let mut output = BufReader::new(folio.stdout.take().unwrap());
    let mut say = |message: Value| writeln!(input, "{message}").unwrap();
    let mut hear = || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    let client = json!({"name": "test", "version": "1"});
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
    say(json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}));
    assert_eq!(hear()["id"], 1);
    say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let mut call = |arguments: Value| {
        let params = json!({"name": "read_document", "arguments": arguments, "_meta": {"progressToken": "p"}});
        say(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}));
        let mut told = Vec::new();
        loop {
            let message = hear();
            if message["method"] != "notifications/progress" {
                return (message["result"].clone(), told);
            }
            told.push(message["params"]["progress"].as_f64().unwrap());
        }
    };
    let mut read = |arguments| {
        let (result, told) = call(arguments);
        assert_eq!(result["isError"], false, "{result}");
        (result["structuredContent"].clone(), told)
    };
    let (page, told) = read(json!({"path": "scan.pdf", "model": "reciter"}));
    assert_eq!(page["markdown"], format!("Words of its own\n\n{}", reciter::WHITE));
    assert_eq!((&page["pages_by_model"], told), (&json!([2]), vec![1.0, 2.0]));
    // Without a model the scan is told as such.
    let (page, _) = read(json!({"path": "scan.pdf"}));
    assert_eq!((&page["pages_without_text"], &page["pages_by_model"]), (&json!([2]), &json!([])));
    // What a model cannot read within its tokens is told with its reason.
    let few = json!({"path": "colours.pdf", "mode": "ocr", "model": "reciter", "first_page": 2, "last_page": 2, "max_tokens": 4});
    let (page, _) = read(few);
    assert_eq!((&page["pages_read"], &page["pages_failed"]), (&json!([2]), &json!([2])));
    assert_eq!(
        (&page["failures"][0]["reason"], &page["failures"][0]["attempts"]),
        (&json!("model"), &json!(8))
    );
    for (arguments, part) in [
        (json!({"path": "scan.pdf", "mode": "ocr"}), "name one in `model`"),
        (json!({"path": "scan.pdf", "model": "nobody"}), "there are: reciter"),
        (json!({"path": "scan.pdf", "model": "reciter", "mode": "text"}), "leave `model` out"),
        (
            json!({"path": "scan.pdf", "model": "reciter", "mode": "all"}),
            "must be one of auto, text, ocr",
        ),
        (json!({"path": "scan.pdf", "model": "reciter", "first_page": 3}), "has 2 pages"),
    ] {
        let (result, _) = call(arguments.clone());
        let said = result["content"][0]["text"].as_str().unwrap();
        assert!(result["isError"] == true && said.contains(part), "{arguments}: {said}");
    }
    drop(input);
    assert_eq!(folio.wait().unwrap().code(), Some(0));
}
