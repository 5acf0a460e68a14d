//! `read --watch`: a folder in which documents arrive.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use testkit::pdf::{Pdf, text};

use crate::world::World;

fn pdf(words: &str) -> Vec<u8> {
    let mut pdf = Pdf::new();
    pdf.page(612.0, 792.0, &text("F1", 12.0, 72.0, 700.0, words));
    pdf.finish()
}

/// A watch, ended with this.
struct Watch(Child);

impl Watch {
    fn start(world: &World, more: &[&str]) -> Self {
        let arguments = ["read", "--watch", "in", "--out", "texts", "--every", "0.1"];
        Self(world.command(&[&arguments[..], more].concat()).spawn().unwrap())
    }

    /// Ends it as Ctrl-C does; what it said.
    fn end(mut self) -> (Option<i32>, String) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let mut said = String::new();
        let status = self.0.wait().unwrap();
        std::io::Read::read_to_string(self.0.stderr.as_mut().unwrap(), &mut said).unwrap();
        (status.code(), said)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for something that a slow machine may take its time for.
fn until(what: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn holds(path: &Path, words: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.contains(words))
}

/// Whether the state knows that a file was read, or could not be.
fn settled(home: &Path, file: &str, state: &str) -> bool {
    let lines = fs::read_to_string(home.join("texts/.folio-watch.jsonl")).unwrap_or_default();
    let wanted = (format!("\"file\":\"{file}\""), format!("\"state\":\"{state}\""));
    lines.lines().any(|line| line.contains(&wanted.0) && line.contains(&wanted.1))
}

#[test]
fn what_arrives_is_read_once() {
    let world = World::new();
    let home = world.home.path();
    fs::create_dir_all(home.join("in/deep")).unwrap();
    fs::create_dir(home.join("texts")).unwrap();
    fs::write(home.join("texts/taken.md"), "a stranger's").unwrap();
    fs::write(home.join("in/first.pdf"), pdf("Apples and pears")).unwrap();
    fs::write(home.join("in/taken.pdf"), pdf("Quinces and figs")).unwrap();
    fs::write(home.join("in/broken.pdf"), "no document").unwrap();
    fs::write(home.join("in/notes.txt"), "no document either").unwrap();
    let texts = |name: &str| home.join("texts").join(name);

    let watch = Watch::start(&world, &[]);
    until("what lay there is read", || holds(&texts("first.md"), "Apples and pears"));
    fs::write(home.join("in/deep/second.pdf"), pdf("Plums and cherries")).unwrap();
    until("what arrives is read", || holds(&texts("deep/second.md"), "Plums and cherries"));
    until("a stranger's file stays", || holds(&texts("taken.pdf.md"), "Quinces and figs"));
    assert_eq!(fs::read_to_string(texts("taken.md")).unwrap(), "a stranger's");
    fs::write(home.join("in/first.pdf"), pdf("Apples and melons")).unwrap();
    until("what changes is read again", || holds(&texts("first.md"), "Apples and melons"));
    fs::rename(home.join("in/first.pdf"), home.join("in/third.pdf")).unwrap();
    until("another name is found", || holds(&texts("third.md"), "Apples and melons"));
    until("the text goes with it", || !texts("first.md").exists());
    until("what is broken is told", || settled(home, "broken.pdf", "failed"));
    until("all is written down", || {
        settled(home, "third.pdf", "read")
            && settled(home, "taken.pdf", "read")
            && settled(home, "deep/second.pdf", "read")
    });
    let (code, said) = watch.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("first.pdf is called third.pdf now"), "{said}");

    // A text that is changed by hand tells that it is not written again.
    fs::write(texts("third.md"), "by hand").unwrap();
    let watch = Watch::start(&world, &[]);
    fs::write(home.join("in/fourth.pdf"), pdf("Grapes")).unwrap();
    until("it goes on", || settled(home, "fourth.pdf", "read"));
    fs::remove_file(home.join("in/fourth.pdf")).unwrap();
    fs::write(home.join("in/fifth.pdf"), pdf("Lemons")).unwrap();
    until("it goes on after that", || settled(home, "fifth.pdf", "read"));
    let (code, said) = watch.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(fs::read_to_string(texts("third.md")).unwrap(), "by hand");
    assert!(texts("fourth.md").exists(), "what was read stays");
    let failures = fs::read_to_string(texts("failures.jsonl")).unwrap();
    assert_eq!(failures.lines().count(), 1, "told once: {failures}");
    assert!(failures.contains("broken.pdf"), "{failures}");
}

#[test]
fn one_folder_is_watched_by_one() {
    let world = World::new();
    let home = world.home.path();
    fs::create_dir(home.join("in")).unwrap();
    let watch = Watch::start(&world, &["--json"]);
    until("it has begun", || home.join("texts/.folio-watch.jsonl").exists());
    fs::write(home.join("in/a.pdf"), pdf("Apples")).unwrap();
    until("it reads", || holds(&home.join("texts/a.json"), "Apples"));
    let ran = world.run(&["read", "--watch", "in", "--out", "texts"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("another `folio read --watch`"), "{}", ran.err);
    fs::copy(home.join("in/a.pdf"), home.join("in/b.pdf")).unwrap();
    until("a copy is not read again", || {
        holds(&home.join("texts/b.json"), "\"file\":\"in/b.pdf\"")
    });
    assert_eq!(watch.end().0, Some(0));
    for (arguments, said) in [
        (&["read", "--watch", "in"][..], "--out"),
        (&["read", "--watch", "in", "--out", "in"], "another folder"),
        (&["read", "--watch", "none", "--out", "texts"], "is no folder"),
        (&["read", "--watch", "in", "--out", "texts", "--stats"], "a folder is watched, or"),
    ] {
        let ran = world.run(arguments);
        assert!(ran.code != Some(0) && ran.err.contains(said), "{}", ran.err);
    }
}
