//! `serve`, and the commands that ask it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, ChildStdout};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{World, fixture};

/// A server of the tiny models, killed at the end.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    said: BufReader<ChildStderr>,
    /// Kept open: who writes where nobody reads is ended.
    _out: BufReader<ChildStdout>,
}

impl Server {
    pub(crate) fn start(world: &World, arguments: &[&str]) -> Self {
        let all = [&["serve", "--port", "0", "--find-ollama=false"], arguments].concat();
        let mut child = world.command(&all).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { child, url, said, _out: out }
    }

    /// Has it read its settings again; gives what it says to that.
    #[cfg(unix)]
    fn hang_up(&mut self) -> String {
        let id = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
        let mut all = String::new();
        while !all.contains("the settings ") {
            assert!(self.said.read_line(&mut all).unwrap() > 0, "{all}");
        }
        all
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

#[cfg(unix)]
#[test]
fn settings_are_read_again_when_that_is_asked_for() {
    let mut world = World::new();
    world.set("FOLIO_MODELS", fixture("").to_str().unwrap());
    let file = world.home.path().join("folio.toml");
    let begin = "models = [\"qwen3\"]\n";
    fs::write(&file, begin).unwrap();
    let mut server = Server::start(&world, &[]);
    // What it says when it starts.
    let mut line = String::new();
    while !line.contains("offered") {
        assert!(server.said.read_line(&mut line).unwrap() > 0);
    }
    let url = server.url.clone();
    let loaded = |world: &World| {
        let ran = world.run(&["ps", "--json", "--url", &url]);
        let told: Option<Value> = serde_json::from_str(&ran.out).ok();
        let names = told.map(|told| told["models"].as_array().unwrap().len());
        names.ok_or(ran.err)
    };
    let within_a_minute = |world: &World, many: usize| {
        let begun = Instant::now();
        while loaded(world) != Ok(many) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", loaded(world));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    within_a_minute(&world, 1);
    // Now there is a key, another model, and a port that cannot change.
    let key = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let log = world.home.path().join("new.log");
    let other = format!(
        "models = [\"llama\"]\n[server]\ndrain = \"7s\"\n[server.keys.ann]\nsha256 = \"{key}\"\n\
         [logging]\nlevel = \"info\"\nfile = \"{}\"\n",
        log.display()
    );
    fs::write(&file, &other).unwrap();
    let said = server.hang_up();
    assert!(said.contains("`server.drain` holds from the next start on"), "{said}");
    assert!(loaded(&world).unwrap_err().contains("FOLIO_KEY"));
    world.set("FOLIO_KEY", "secret");
    // The model that is not offered any more goes.
    within_a_minute(&world, 0);
    let written = fs::read_to_string(&log).unwrap();
    assert!(written.contains("unloading"), "{written}");
    // What makes no sense changes nothing.
    fs::write(&file, "[sever]\n").unwrap();
    let said = server.hang_up();
    assert!(said.contains("stay as they were") && said.contains("sever"), "{said}");
    assert_eq!(loaded(&world), Ok(0));
    fs::write(&file, begin).unwrap();
    assert!(server.hang_up().contains("read again"));
    assert!(world.run(&["stop", "qwen3", "--url", &url]).err.is_empty());
}
