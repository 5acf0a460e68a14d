//! `index push`, and an index on a server that is searched, shown and changed. The server is a stand-in for Qdrant.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::qdrant::QdrantServer;

use crate::finding::{ended, pdf, world};
use crate::serving::Server;
use crate::world::{World, fixture};

/// The pages that a question finds, as `FILE PAGE`, and their scores.
fn found(world: &World, arguments: &[&str]) -> Vec<(String, f64)> {
    let ran = world.run(&[&["search", "--json"], arguments].concat());
    let answer: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.err));
    let hits = answer["hits"].as_array().unwrap().iter().map(|hit| {
        let path = hit["path"].as_str().unwrap().rsplit('/').next().unwrap();
        (format!("{path} {}", hit["page"]), hit["score"].as_f64().unwrap())
    });
    hits.collect()
}

#[test]
fn an_index_by_looks_is_moved_searched_and_changed() {
    let (world, server) = (world(), QdrantServer::start());
    let address = server.address("pages");
    let model = fixture("../vision/colqwen2_5").display().to_string();
    let index = ["index", "papers", "--model", &model, "--halves"];
    ended(&world.run(&index), 0, "3 pages in");
    ended(&world.run(&["search", "garden", "--index", &address]), 1, "there is no such collection");
    ended(&world.run(&["index", "push", "--to", &address]), 0, "3 pages sent, 0 were there");
    ended(&world.run(&["index", "push", "--to", &address]), 0, "0 pages sent, 3 were there");
    assert_eq!(server.pages("pages"), 3);

    // The same pages, and nearly the same scores: 8 bits here, 16 there.
    let (here, there) =
        (found(&world, &["garden"]), found(&world, &["garden", "--index", &address]));
    assert_eq!((here.len(), there.len()), (3, 3));
    for (page, score) in &here {
        let (_, same) = there.iter().find(|(of, _)| of == page).unwrap();
        assert!((score - same).abs() < 0.02 * score.abs(), "{page}: {score} {same}");
    }
    let ask = ["search", "garden", "--index", &address];
    ended(&world.run(&ask), 0, "3 of 3 pages by looks of all pages");
    let ran = world.run(&[&ask[..], &["--words"]].concat());
    ended(&ran, 0, "1 of 3 pages by words: ");
    assert!(ran.out.contains("letter.pdf page 1\n    Dear sister, the garden is green\n"));
    ended(&world.run(&[&ask[..], &["--fused"]].concat()), 0, "1 of 3 pages by words, then looks");
    let ran = world.run(&[&ask[..], &["--in", "papers/lease.pdf"]].concat());
    ended(&ran, 0, "2 of 2 pages by looks");
    ended(&world.run(&[&ask[..], &["--show", "found.html"]].concat()), 0, "3 of 3 pages");
    let html = fs::read_to_string(world.home.path().join("found.html")).unwrap();
    assert_eq!(
        (html.matches("class=\"map ").count(), html.matches("src=\"data:image/").count()),
        (6, 9)
    );

    let shown = world.run(&["index", "show", "--index", &address]);
    assert!(shown.out.contains("2 documents, 3 pages\n  by looks: "), "{}", shown.out);
    let shown = world.run(&["index", "show", "--json", "--index", &address]).out;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["pages"], &shown["documents"][0]["pages"]), (&3.into(), &2.into()));

    // A file that has changed, and one that is taken out.
    pdf(&world.home.path().join("papers/letter.pdf"), &["Dear brother", "the pond is frozen"]);
    ended(&world.run(&index[..2]), 0, "1 documents added");
    let ran = world.run(&["index", "push", "--to", &address]);
    ended(&ran, 0, "2 pages sent, 2 were there as they are");
    assert!(
        ran.err.contains("1 pages that the index has no longer were taken away"),
        "{}",
        ran.err
    );
    let rm = ["index", "rm", "papers/lease.pdf", "--index", &address];
    ended(&world.run(&rm), 0, "2 pages removed");
    ended(&world.run(&rm), 1, "is not in the index");
    assert_eq!(found(&world, &["pond", "--index", &address]).len(), 2);

    // What lies on a server is not indexed there, and is of one model.
    ended(
        &world.run(&["index", "papers", "--index", &address]),
        1,
        "`--index`: an index on a server",
    );
    ended(&world.run(&["index", "papers", "--index", "./plain"]), 0, "4 pages in");
    let push = ["index", "push", "--index", "./plain", "--to", &address];
    ended(&world.run(&push), 1, "the vectors were made with the model");
}

#[test]
fn what_was_killed_goes_on_and_keys_are_hidden() {
    let mut world = world();
    let server = QdrantServer::start();
    let address = server.address("pages");
    let words: Vec<String> = (0..150).map(|page| format!("word{page} and more")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    pdf(&world.home.path().join("papers/long.pdf"), &words);
    ended(&world.run(&["index", "papers", "--no-previews"]), 0, "153 pages in");
    server.with(|state| {
        state.key = "very-secret".to_owned();
        state.slow = Duration::from_millis(400);
    });
    let push = ["index", "push", "--to", &address];
    let ran = world.run(&push);
    ended(&ran, 1, "the key is missing or may not do this");
    assert!(ran.err.contains("QDRANT_API_KEY"), "{}", ran.err);
    world.set("QDRANT_API_KEY", "very-secret");
    let mut child = world.command(&push).spawn().unwrap();
    let begun = Instant::now();
    // What says what made the collection, and a batch.
    while server.with(|state| state.puts) < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let there = server.pages("pages");
    assert!((1..153).contains(&there), "{there}");
    let ran = world.run(&push);
    ended(&ran, 0, &format!("{} pages sent, {there} were there as they are", 153 - there));
    assert_eq!(server.pages("pages"), 153);
    assert!(!ran.err.contains("secret"));
    assert_eq!(found(&world, &["word77", "--index", &address])[0].0, "long.pdf 78");

    // A file does for the variable, and an address holds no key.
    world.set("QDRANT_API_KEY", "");
    fs::write(world.home.path().join("key"), "very-secret\n").unwrap();
    let ask = ["search", "word9", "--index", &address, "--key-file", "key"];
    ended(&world.run(&ask), 0, "1 of 153 pages by words");
    let with_key = address.replace("://", "://user:very-secret@");
    let ran = world.run(&["search", "word9", "--index", &with_key]);
    ended(&ran, 1, "a key does not belong into it");
    assert!(!ran.err.contains("secret"), "{}", ran.err);
    ended(&world.run(&["index", "show", "--key-file", "key"]), 1, "`--key-file`");
}

/// What a server answers: the status and the body.
fn asked(server: &Server, request: &str, body: &str) -> (u16, Vec<u8>) {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("host: {address}\r\nconnection: close\r\ncontent-length: {}", body.len());
    write!(stream, "{request} HTTP/1.1\r\n{head}\r\n\r\n{body}").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let status = String::from_utf8_lossy(&answer[..end]).split(' ').nth(1).unwrap().parse();
    (status.unwrap(), answer[end + 4..].to_vec())
}

fn told(server: &Server, request: &str, body: &str) -> (u16, Value) {
    let (status, body) = asked(server, request, body);
    (status, serde_json::from_slice(&body).unwrap())
}

#[test]
fn an_index_on_a_server_is_offered_to_others() {
    let mut world = world();
    let qdrant = QdrantServer::start();
    let address = qdrant.address("pages");
    qdrant.with(|state| state.key = "very-secret".to_owned());
    world.set("QDRANT_API_KEY", "very-secret");
    let model = fixture("bert").display().to_string();
    ended(&world.run(&["index", "papers", "--model", &model]), 0, "3 pages in");
    ended(&world.run(&["index", "push", "--to", &address]), 0, "3 pages sent");
    let server = Server::start(&world, &["--index", &address, "--model", &model]);
    let search = "POST /v1/search";
    let (status, hits) = told(&server, search, r#"{"query": "who has the keys", "texts": true}"#);
    assert_eq!((status, &hits["index"]), (200, &"pages".into()), "{hits}");
    assert_eq!((&hits["route"], &hits["pages"]), (&"words and meaning".into(), &3.into()));
    let all = hits["hits"].as_array().unwrap();
    let pages: Vec<String> = all
        .iter()
        .map(|hit| format!("{} {}", hit["name"].as_str().unwrap(), hit["page"]))
        .collect();
    let here: Vec<String> = found(&world, &["who has the keys", "--index", &address])
        .into_iter()
        .map(|(page, _)| page)
        .collect();
    assert_eq!((&pages, pages[0].as_str()), (&here, "lease.pdf 2"));
    assert_eq!(all[0]["text"], "Keys are kept by the landlord");
    // Its page, its image and its document are there under the numbers that were told.
    let preview = all[0]["preview"].as_str().unwrap();
    let (status, image) = asked(&server, &format!("GET {preview}"), "");
    assert_eq!((status, documents::picture::decode(&image).is_ok()), (200, true));
    let page = preview.strip_suffix("/preview").unwrap();
    let (_, page) = told(&server, &format!("GET {page}"), "");
    assert_eq!((&page["text"], &page["document"]["pages"]), (&all[0]["text"], &2.into()));
    let (_, documents) = told(&server, "GET /v1/indexes/pages/documents?limit=1", "");
    assert_eq!(documents["has_more"], true);
    let first = documents["data"][0]["document"].as_u64().unwrap();
    assert!(first < 1 << 53);
    // Those that nobody has found yet are looked for, and no other.
    drop(server);
    let server = Server::start(&world, &["--index", &address, "--model", &model]);
    let place = format!("GET /v1/indexes/pages/documents/{first}/pages");
    assert_eq!(told(&server, &format!("{place}/1"), "").0, 200);
    assert_eq!(told(&server, &format!("{place}/9"), "").0, 404);
    let (_, all) = told(&server, "GET /v1/indexes", "");
    let index = &all["data"][0];
    assert_eq!((&index["server"], &index["pages"]), (&"Qdrant".into(), &3.into()), "{all}");
    assert_eq!((&index["ready"], &index["documents"]), (&true.into(), &Value::Null));
    // Where it lies, and its key, are nobody's business.
    let port = address.rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
    qdrant.with(|state| state.key = "another".to_owned());
    let (status, denied) = told(&server, search, r#"{"query": "rent"}"#);
    let absent = Server::start(&world, &["--index", "qdrant://127.0.0.1:1/pages"]);
    let (gone, unreachable) = told(&absent, search, r#"{"query": "rent", "words": true}"#);
    assert_eq!((status, gone), (502, 502), "{denied} {unreachable}");
    for answer in [all, denied.clone(), unreachable.clone()] {
        let answer = answer.to_string();
        assert!(!answer.contains("secret") && !answer.contains(&port), "{answer}");
    }
    for answer in [denied, unreachable] {
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("the server of the index `pages`: "), "{message}");
    }
}
