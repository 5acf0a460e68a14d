//! `serve`, and the commands that ask it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{World, fixture};

/// A server of the tiny models, killed at the end.
struct Server {
    child: Child,
    url: String,
    /// Kept open: who writes where nobody reads is ended.
    _out: BufReader<ChildStdout>,
}

impl Server {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let all = [&["serve", "--port", "0", "--find-ollama=false"], arguments].concat();
        let mut child = world.command(&all).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { child, url, _out: out }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_running_server_tells_of_itself() {
    let mut world = World::new();
    world.set("FOLIO_MODELS", fixture("").to_str().unwrap());
    world.set("FOLIO_LOG_LEVEL", "off");
    let server =
        Server::start(&world, &["--model", "qwen3", "--set", "models.\"qwen3\".preload=true"]);
    let ask = |arguments: &[&str]| {
        let ran = world.run(&[arguments, &["--url", &server.url]].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.out
    };
    let loaded = || -> Vec<String> {
        let told: Value = serde_json::from_str(&ask(&["ps", "--json"])).unwrap();
        let models = told["models"].as_array().unwrap().iter();
        let models = models.filter(|model| model["status"] == "loaded");
        models.map(|model| model["id"].as_str().unwrap().to_owned()).collect()
    };
    let within_a_minute = |holds: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    within_a_minute(&|| !loaded().is_empty());
    assert!(ask(&["ps"]).contains("qwen3"), "{}", ask(&["ps"]));
    assert!(ask(&["stats"]).contains("nobody has been answered yet"));
    assert_eq!(ask(&["stats", "--requests"]), "no request is recorded yet\n");
    let trace = world.home.path().join("trace.json");
    assert!(ask(&["stats", "--trace", trace.to_str().unwrap()]).contains("0 events"));
    assert!(ask(&["stop", "qwen3"]).contains("`qwen3` goes"));
    within_a_minute(&|| loaded().is_empty());
    // What it did for us is recorded.
    let told: Value = serde_json::from_str(&ask(&["stats", "--requests", "--json"])).unwrap();
    assert!(told["data"].is_array());
    let unknown = world.run(&["stop", "nobody", "--url", &server.url]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("no model named `nobody`"), "{}", unknown.err);
}

#[test]
fn nobody_at_home_is_told_as_such() {
    let world = World::new();
    let ran = world.run(&["ps", "--url", "http://127.0.0.1:9"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("folio serve") && ran.err.contains("--url"), "{}", ran.err);
    let ran = world.run(&["ps", "--url", "box:9"]);
    assert!(ran.err.contains("http://"), "{}", ran.err);
}
