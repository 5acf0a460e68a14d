//! `config`: what is in force, from where, and what is wrong with it.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use serde_json::Value;

use crate::world::World;

/// The settings of the file that this program was first written for.
const MISSION: &str = include_str!("../../../manager/src/config/mission.yaml");

#[test]
fn settings_are_shown_with_their_sources() {
    let mut world = World::new();
    let file = world.home.path().join("folio.toml");
    fs::write(
        file,
        "[server]\nport = 4000\n\n[memory]\nlimit = \"1MB\"\n\n[routes]\nfast = \"org/none\"\n",
    )
    .unwrap();
    world.set("FOLIO_HOST", "127.0.0.9");
    let ran = world.run(&["config", "check", "--queue", "9"]);
    assert_snapshot!("config_check", ran.transcript());
    let ran = world.run(&["config", "check", "--host", "0.0.0.0"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.out.contains("error server.host: 0.0.0.0 is reached from other machines"),
        "{}",
        ran.out
    );
    let json: Value = serde_json::from_str(&world.run(&["config", "check", "--json"]).out).unwrap();
    let port = json["settings"].as_array().unwrap().iter().find(|s| s["key"] == "server.port");
    assert_eq!(port.unwrap()["from"], "folio.toml:2");
    assert_eq!(json["memory_bytes"], 1_000_000);
}

#[test]
fn shipped_files_are_without_fault() {
    let mut world = World::new();
    world.set("BOX_KEY", "secret");
    fs::write(world.home.path().join("keys.txt"), "ann 0123456789abcdef0123456789abcdef\n")
        .unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/serve");
    let mut seen = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let ran = world.run(&["config", "check", path.to_str().unwrap(), "--keys", "keys.txt"]);
        assert_eq!(ran.code, Some(0), "{}: {}{}", path.display(), ran.out, ran.err);
        assert!(!ran.out.contains("error "), "{}", ran.out);
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
fn what_is_wrong_is_told_all_at_once() {
    let world = World::new();
    fs::write(world.home.path().join("my.yaml"), "server:\n  prot: 1\n  host: here\nmodels: 5\n")
        .unwrap();
    assert_snapshot!("config_wrong", world.run(&["config", "check", "my.yaml"]).transcript());
    fs::write(world.home.path().join("one.toml"), "[sever]\n").unwrap();
    assert_snapshot!("config_one_wrong", world.run(&["config", "check", "one.toml"]).transcript());
    assert_snapshot!("config_no_file", world.run(&["config", "check", "none.toml"]).transcript());
}

#[test]
fn the_missions_file_is_taken_as_it_is() {
    let world = World::new();
    fs::write(world.home.path().join("mlx_config.yaml"), MISSION).unwrap();
    let ran = world.run(&["config", "check"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    for line in [
        "note mlx-embeddings/bge-m3: no hub has a model of this name; `BAAI/bge-m3` is taken (mlx_config.yaml:18)",
        "warning routes.vision: no model named `mlx-community/Qwen2.5-VL-3B-Instruct-4bit` is on this machine",
        "`folio pull mlx-community/Qwen2.5-VL-3B-Instruct-4bit` fetches it from the hub",
        "performance.batch_size",
    ] {
        assert!(ran.out.contains(line), "{line}\n{}", ran.out);
    }
}

#[test]
fn remotes_are_asked_when_that_is_wanted() {
    let mut world = World::new();
    world.set("OLLAMA_HOST", "127.0.0.1:1");
    fs::write(
        world.home.path().join("folio.toml"),
        "[remotes.box]\nkind = 'openai'\nurl = 'http://127.0.0.1:1'\n",
    )
    .unwrap();
    let ran = world.run(&["config", "check", "--online"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.out.contains("warning remotes.box: http://127.0.0.1:1: `box` cannot be reached"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("note remotes.ollama: http://127.0.0.1:1"), "{}", ran.out);
}

#[test]
fn every_key_is_listed() {
    let world = World::new();
    let ran = world.run(&["config", "keys"]);
    assert!(ran.out.contains("server.port") && ran.out.contains("--allow-origin"), "{}", ran.out);
    let json: Value = serde_json::from_str(&world.run(&["config", "keys", "--json"]).out).unwrap();
    let keys = json["keys"].as_array().unwrap();
    let body = keys.iter().find(|key| key["key"] == "server.max_body").unwrap();
    assert_eq!(
        (&body["flag"], &body["variable"], &body["default"]),
        (&"--max-body".into(), &"FOLIO_MAX_BODY".into(), &"64MiB".into())
    );
}
