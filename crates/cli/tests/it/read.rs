//! `read`: documents on standard output and in folders, and files that cannot be read.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;

use crate::world::World;

/// A world with the repository's example in it.
fn world() -> World {
    let world = World::new();
    let lease = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/lease.pdf");
    fs::copy(lease, world.home.path().join("lease.pdf")).unwrap();
    world
}

#[test]
fn a_document_becomes_markdown() {
    let ran = world().run(&["read", "lease.pdf", "--pages", "2", "--page-markers"]);
    assert_eq!(ran.code, Some(0));
    assert_snapshot!("read_page", ran.out);
}

#[test]
fn json_has_a_line_for_each_file() {
    let world = world();
    fs::copy(world.home.path().join("lease.pdf"), world.home.path().join("copy.pdf")).unwrap();
    let ran = world.run(&["read", "--json", "lease.pdf", "copy.pdf"]);
    let files: Vec<serde_json::Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = files.iter().map(|file| file["file"].as_str().unwrap()).collect();
    assert_eq!(names, ["lease.pdf", "copy.pdf"], "in the order in which they were given");
    let blocks = files[0]["pages"][0]["blocks"].as_array().unwrap();
    let block = blocks.iter().find(|block| block["text"] == "LEASE AGREEMENT").unwrap();
    assert_eq!(block["kind"], "heading");
    assert_eq!(block["bbox"].as_array().unwrap().len(), 4);
    assert_eq!(files[0]["pages"], files[1]["pages"]);
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_goes_on() {
    let world = world();
    let home = world.home.path();
    let lease = fs::read(home.join("lease.pdf")).unwrap();
    fs::write(home.join("cut.pdf"), &lease[..lease.len() / 2]).unwrap();
    fs::write(home.join("empty.pdf"), "").unwrap();
    fs::write(home.join("picture.pdf"), b"\x89PNG\r\n\x1a\n").unwrap();
    fs::create_dir(home.join("folder.pdf")).unwrap();
    let files = ["none.pdf", "folder.pdf", "empty.pdf", "picture.pdf", "cut.pdf", "lease.pdf"];
    let arguments: Vec<_> = ["read", "--out", "texts"].into_iter().chain(files).collect();
    let ran = world.run(&arguments);
    assert_snapshot!("read_failures", ran.transcript());
    let written: Vec<_> =
        fs::read_dir(home.join("texts")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(written, ["lease.md"]);
}

#[test]
fn two_files_never_become_one() {
    let world = world();
    fs::create_dir(world.home.path().join("other")).unwrap();
    fs::copy(world.home.path().join("lease.pdf"), world.home.path().join("other/lease.pdf"))
        .unwrap();
    let ran = world.run(&["read", "--out", "texts", "lease.pdf", "other/lease.pdf"]);
    assert_snapshot!("read_collision", ran.transcript());
}

#[test]
fn pages_that_do_not_exist_are_named() {
    let world = world();
    assert_snapshot!(
        "read_no_page",
        world.run(&["read", "lease.pdf", "--pages", "2-9"]).transcript()
    );
    assert_snapshot!(
        "read_bad_pages",
        world.run(&["read", "lease.pdf", "--pages", "two"]).transcript()
    );
}

#[test]
fn a_document_becomes_a_page_of_html() {
    let world = world();
    let ran = world.run(&["read", "lease.pdf", "--html", "--pages", "2"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.starts_with("<!DOCTYPE html>\n<html>") && ran.out.ends_with("</html>\n"));
    assert!(ran.out.contains("<section id=\"page-2\"") && ran.out.contains("<th dir=\"auto\""));
    let ran = world.run(&["read", "lease.pdf", "--html", "--output", "texts"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{}", ran.err);
    assert!(world.home.path().join("texts/lease.html").is_file());
    let ran = world.run(&["read", "lease.pdf", "./lease.pdf", "--html"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("name a folder for them"), "{}", ran.err);
}

#[test]
fn a_document_becomes_chunks() {
    let world = world();
    let arguments = ["read", "lease.pdf", "--chunks", "--chunk-tokens", "100"];
    let ran = world.run(&arguments);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let chunks: Vec<serde_json::Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(chunks.len() > 12, "{}", chunks.len());
    for (number, chunk) in chunks.iter().enumerate() {
        assert_eq!((&chunk["chunk"], &chunk["tokens_by"]), (&number.into(), &"estimate".into()));
        assert!(chunk["tokens"].as_u64().unwrap() <= 100);
        assert_eq!(chunk["boxes"][0]["bbox"].as_array().unwrap().len(), 4);
    }
    assert_eq!(ran.out, world.run(&arguments).out);
    let ran = world.run(&["read", "lease.pdf", "--chunk-tokens", "100"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    let ran = world.run(&["read", "lease.pdf", "--chunks", "--chunk-overlap", "300"]);
    assert!(ran.code == Some(1) && ran.err.contains("no overlap"), "{}", ran.err);
}
