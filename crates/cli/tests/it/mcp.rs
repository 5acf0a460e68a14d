//! `mcp`: tools on standard input and output.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::world::World;

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
