//! `pull` from a small hub of our own, and `run` of what is not here yet.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use testkit::hub::{COMMIT, Fault, HubServer};

use crate::world::{World, fixture};

/// A hub with the model `org/tiny`.
fn hub(world: &mut World) -> HubServer {
    let hub = HubServer::start();
    for file in ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"]
    {
        hub.put(file, &fs::read(fixture("llama2").join(file)).unwrap(), false);
    }
    hub.put(
        "model.safetensors",
        &fs::read(fixture("llama2").join("model.safetensors")).unwrap(),
        true,
    );
    hub.put("README.md", b"# tiny", false);
    world.set("HF_ENDPOINT", &hub.address);
    world.set("HF_HUB_OFFLINE", "");
    hub
}

fn steady(hub: &HubServer, text: &str) -> String {
    let text = text.replace(&hub.address, "[hub]");
    let mut out = Vec::new();
    for line in text.lines() {
        match line.split_once(", verified, in ") {
            Some((before, _)) => out.push(format!("{before}, verified, in [time]")),
            None => out.push(line.to_owned()),
        }
    }
    // Files end in any order.
    let is_file = |line: &String| line.starts_with("  ") && line.ends_with("B");
    let mut files: Vec<_> = out.iter().filter(|line| is_file(line)).cloned().collect();
    files.sort();
    let mut files = files.into_iter();
    let lines =
        out.into_iter().map(|line| if is_file(&line) { files.next().unwrap() } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_model_is_pulled_and_then_is_there() {
    let mut world = World::new();
    let hub = hub(&mut world);
    assert_snapshot!("pull", steady(&hub, &world.run(&["pull", "org/tiny"]).transcript()));
    let again = world.run(&["pull", "org/tiny@main", "--json"]).json();
    assert_eq!(again["commit"], COMMIT);
    assert_eq!(again["files"], 5);
    assert_eq!(hub.ranges("model.safetensors"), [0], "nothing is fetched twice");
    let all = world.run(&["pull", "org/tiny", "--all-files", "--json"]).json();
    assert_eq!(all["files"], 6);
    // Its weights are F16 and need no network any more.
    world.set("HF_HUB_OFFLINE", "1");
    let ran = world.run(&["run", "org/tiny", "hello", "--max-tokens", "3", "--json"]);
    assert_eq!(ran.json()["usage"]["completion_tokens"], 3);
}

#[test]
fn run_pulls_in_sight_of_the_user() {
    let mut world = World::new();
    let hub = hub(&mut world);
    let ran = world.run(&["run", "org/tiny", "hello", "--max-tokens", "3", "--json"]);
    assert_eq!(ran.json()["usage"]["completion_tokens"], 3);
    assert_snapshot!("run_pulls", steady(&hub, &ran.err));
    // A path that does not exist is no name.
    let before = hub.requests().len();
    fs::create_dir(world.home.path().join("models")).unwrap();
    assert_eq!(world.run(&["run", "models/none", "hello"]).code, Some(1));
    assert_eq!(hub.requests().len(), before);
}

#[test]
fn an_adapter_is_pulled_and_put_on_its_base() {
    let mut world = World::new();
    let vision = fixture("").join("../vision");
    let (base, adapter) = (vision.join("colqwen2_5"), vision.join("colqwen2_5_adapter"));
    let hub = HubServer::start();
    let config = fs::read_to_string(adapter.join("adapter_config.json")).unwrap();
    let config = config.replace("vidore/colqwen2.5-base", base.to_str().unwrap());
    hub.put("adapter_config.json", config.as_bytes(), false);
    for (file, large) in [("adapter_model.safetensors", true), ("preprocessor_config.json", false)]
    {
        hub.put(file, &fs::read(adapter.join(file)).unwrap(), large);
    }
    world.set("HF_ENDPOINT", &hub.address);
    world.set("HF_HUB_OFFLINE", "");
    let (base, adapter) = (base.to_str().unwrap(), adapter.to_str().unwrap());
    let query = ["--kind", "multi", "rent", "--exact"];
    let apart = world.run(&[&["debug", "embed", base, "--adapter", adapter][..], &query].concat());
    assert_eq!(apart.code, Some(0), "{}", apart.err);
    for time in ["pulled", "kept"] {
        let pulled = world.run(&[&["debug", "embed", "org/tiny"][..], &query].concat());
        assert_eq!(pulled.out, apart.out, "{time}: {}", pulled.err);
    }
    assert_eq!(hub.ranges("adapter_model.safetensors"), [0], "nothing is fetched twice");
    let twice = ["debug", "embed", "org/tiny", "--adapter", adapter];
    let refused = world.run(&[&twice[..], &query].concat());
    assert!(
        refused.code == Some(1) && refused.err.contains("an adapter already"),
        "{}",
        refused.err
    );
}

#[test]
fn failures_say_what_to_do() {
    let mut world = World::new();
    assert_snapshot!("pull_offline", world.run(&["pull", "org/tiny"]).transcript());
    assert_snapshot!("pull_bad_name", world.run(&["pull", "a/b/c"]).transcript());
    let hub = hub(&mut world);
    let missing = Fault::Status(404, "x-error-code: RepoNotFound\r\n");
    hub.fail("", &[missing.clone(), missing]);
    let ran = world.run(&["pull", "org/tiny"]);
    assert_snapshot!("pull_not_found", steady(&hub, &ran.transcript()));
    let ran = world.run(&["pull", "org/tiny", "org/tiny"]);
    assert_eq!(ran.code, Some(1), "one of two failed");
    assert!(ran.out.contains("snapshots"), "the other came: {}", ran.err);
    world.set("HF_HUB_OFFLINE", "1");
    assert_snapshot!("run_offline", world.run(&["run", "org/none", "hello"]).transcript());
}

#[test]
fn an_interrupted_pull_goes_on_where_it_stopped() {
    let mut world = World::new();
    let hub = hub(&mut world);
    hub.put("model.safetensors", &vec![7; 3_000_000], true);
    hub.fail("model.safetensors", &[Fault::Drip(20_000, Duration::from_millis(20))]);
    let child = world.command(&["pull", "org/tiny"]).spawn().unwrap();
    // Until some of the large file is on disk.
    let blobs = world.cache().join("models--org--tiny/blobs");
    let part = || {
        let files = fs::read_dir(&blobs).into_iter().flatten().flatten();
        let mut parts =
            files.filter(|file| file.file_name().to_string_lossy().ends_with(".incomplete"));
        parts.find_map(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len())
    };
    let begun = Instant::now();
    while part() < 100_000 && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(told.contains("`folio pull org/tiny` goes on from there"), "{told}");
    let kept = part();
    assert!(kept >= 100_000);
    let state = world.run(&["list", "--json"]).json()["models"][0]["state"].clone();
    assert_eq!(state, "incomplete");
    assert_eq!(world.run(&["pull", "org/tiny"]).code, Some(0));
    assert_eq!(hub.ranges("model.safetensors"), [0, kept]);
}
