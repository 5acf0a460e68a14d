//! `list`, `show` and `rm` over a made hub cache.

use insta::assert_snapshot;

use crate::world::{COMMIT, World, fixture};

/// A cache with a whole model, one of a strange architecture, an incomplete one, another format, and a broken one.
fn world() -> World {
    let world = World::new();
    world.cached_fixture("org/tiny-llama", "llama_affine_4_g64");
    world.cached_fixture("org/tiny-bert", "bert");
    let config =
        br#"{"model_type":"strange","hidden_size":8,"num_hidden_layers":3,"vocab_size":11}"#;
    let weights = std::fs::read(fixture("llama").join("model.safetensors")).unwrap();
    world.cached("org/strange", &[("config.json", config), ("model.safetensors", &weights)]);
    world.cached(
        "org/half",
        &[
            ("config.json", br#"{"model_type":"llama"}"#),
            ("model-00001-of-00003.safetensors", b"x"),
        ],
    );
    world.cached("org/other-GGUF", &[("model.Q4_K_M.gguf", b"GGUF")]);
    let cut = &weights[..1000];
    world.cached("org/cut", &[("config.json", config), ("model.safetensors", cut)]);
    world
}

#[test]
fn list_shows_everything_and_why_it_cannot_be_run() {
    let world = world();
    assert_snapshot!(world.run(&["list"]).transcript());
    let object = world.run(&["ls", "--json"]).json();
    let states: Vec<_> = object["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| (model["name"].as_str().unwrap(), model["state"].as_str().unwrap()))
        .collect();
    assert_eq!(
        states,
        [
            ("org/cut", "damaged"),
            ("org/half", "incomplete"),
            ("org/other-GGUF", "not supported"),
            ("org/strange", "not supported"),
            ("org/tiny-bert", "ready"),
            ("org/tiny-llama", "ready"),
        ]
    );
    assert_eq!(object["models"][5]["commit"], COMMIT);
}

#[test]
fn an_empty_machine_is_told_where_models_would_be() {
    assert_snapshot!(World::new().run(&["list"]).transcript());
}

#[test]
fn show_tells_what_a_model_is() {
    let world = world();
    assert_snapshot!("show_llama", world.run(&["show", "tiny-llama"]).transcript());
    assert_snapshot!("show_bert", world.run(&["show", "org/tiny-bert"]).transcript());
    let object = world.run(&["show", "tiny-llama", "--json"]).json();
    assert_eq!(object["cache_bytes_per_token"]["f16"], 256);
    assert_eq!(object["eos"][0]["id"], 502);
    assert_snapshot!(
        "show_llama_json",
        serde_json::to_string_pretty(&object)
            .unwrap()
            .replace(world.home.path().to_str().unwrap(), "[home]")
    );
}

#[test]
fn show_tells_what_it_can_of_a_model_that_cannot_be_run() {
    let world = world();
    for name in ["strange", "half", "other-GGUF", "cut"] {
        assert_snapshot!(format!("show_{name}"), world.run(&["show", name]).transcript());
    }
}

#[test]
fn a_name_that_is_nothing_gets_a_suggestion() {
    let world = world();
    assert_snapshot!("missing_typo", world.run(&["show", "tiny-lama"]).transcript());
    assert_snapshot!("missing_path", world.run(&["show", "./models/x"]).transcript());
    assert_snapshot!("missing_ambiguous", {
        world.cached_fixture("else/tiny-llama", "llama");
        world.run(&["show", "tiny-llama"]).transcript()
    });
}

#[test]
fn rm_asks_before_it_removes() {
    let world = world();
    let model = world.cache().join("models--org--tiny-bert");
    assert_snapshot!("rm_unconfirmed", world.run(&["rm", "tiny-bert"]).transcript());
    assert_snapshot!("rm_dry_run", world.run(&["rm", "tiny-bert", "--dry-run"]).transcript());
    assert!(model.exists());
    let gone = world.run(&["rm", "tiny-bert", "--yes", "--json"]).json();
    assert_eq!(gone["removed"], true);
    assert!(gone["bytes"].as_u64().unwrap() > 300_000);
    assert!(!model.exists() && world.cache().join("models--org--tiny-llama").exists());
}

#[test]
fn rm_leaves_what_others_put_there() {
    let mut world = World::new();
    let own = world.home.path().join("own/mine");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("config.json"), "{}").unwrap();
    world.set("FOLIO_MODELS", "own");
    assert_snapshot!("rm_not_ours", world.run(&["rm", "mine", "--yes"]).transcript());
    assert!(own.exists());
    assert_eq!(world.run(&["rm", "mine", "--yes", "--force"]).code, Some(0));
    assert!(!own.exists());
}
