//! `index --read`: pages whose own words are missing are read first, and are found by what was read.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::pdf::{Pdf, text};
use testkit::reciter;
use testkit::seer::{Said, Seer, page};

use crate::finding::{ended, pdf};
use crate::world::{World, fixture};

/// A PDF of a page with words and so many scans after it. They are strips, of which a model with few positions has room for the
/// picture.
fn scan(path: &Path, scans: usize) {
    let mut pdf = Pdf::new();
    pdf.page(600.0, 60.0, &text("F1", 12.0, 20.0, 25.0, "Words of its own"));
    let kind = "/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceRGB /BitsPerComponent 8";
    for at in 0..scans {
        let shade = 255 - 40 * u8::try_from(at).unwrap();
        let image = pdf.stream(kind, &[shade; 3]);
        let resources = format!("/XObject << /Im {image} 0 R >>");
        pdf.page_with(600.0, 60.0, "q 600 0 0 60 0 0 cm /Im Do Q", "", &resources);
    }
    fs::write(path, pdf.finish()).unwrap();
}

/// A world with a letter and a file with one scan, and settings in which `box` is `seer`.
fn world(seer: &Seer) -> World {
    let world = World::new();
    let home = world.home.path();
    fs::create_dir(home.join("papers")).unwrap();
    pdf(&home.join("papers/letter.pdf"), &["Dear sister, the pond is frozen"]);
    scan(&home.join("papers/scan.pdf"), 1);
    let settings = format!("[remotes.box]\nkind = 'openai'\nurl = '{}'\n", seer.url());
    fs::write(home.join("folio.toml"), settings).unwrap();
    world
}

fn said(text: &str) -> Said {
    Said::Text(page(text), "stop")
}

/// What says who reads.
const EYES: [&str; 4] = ["--read", "--vision", "box:eyes", "--no-ocr-engine"];

fn shown(world: &World) -> Value {
    world.run(&["index", "show", "--json"]).json()
}

#[test]
fn scans_are_found_by_what_was_read_on_them() {
    let seer = Seer::of(&["eyes", "others"], |_, _| said("# Deed\n\nThe garden is sold."));
    let world = world(&seer);
    let index = ["index", "papers"];
    let with = |more: &[&'static str]| world.run(&[&index[..], more].concat());
    ended(&with(&[]), 1, "scan.pdf: page 2: it is an image without text: have it read (`--read`)");
    assert!(seer.heard().is_empty());
    // Although no file has changed, what is to be read is taken anew, and nothing else.
    let ran = with(&EYES);
    ended(&ran, 0, "2 documents added or replaced, 0 were there");
    assert!(
        ran.err.contains("1 of them have no good words of their own, and were read"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("2 of them are as they were, and were not encoded"), "{}", ran.err);
    let ran = world.run(&["search", "who sold the garden"]);
    ended(&ran, 0, "of 3 pages by words");
    assert!(ran.out.contains("scan.pdf page 2\n    # Deed"), "{}", ran.out);
    // It stays so, whoever asks, and nobody looks at it again.
    ended(&with(&EYES), 0, "0 documents added or replaced, 2 were there");
    ended(&with(&[]), 0, "0 documents added or replaced, 2 were there");
    assert_eq!(seer.heard().len(), 1);
    let by = json!([{"kind": "model", "name": "box:eyes", "pages": 1}]);
    let told = shown(&world);
    assert_eq!(told["read_by"], by);
    let documents = told["documents"].as_array().unwrap();
    let of = |name: &str| {
        let is_it = |it: &&Value| it["path"].as_str().unwrap().ends_with(name);
        documents.iter().find(is_it).unwrap()
    };
    assert_eq!((&of("scan.pdf")["read_by"], &of("letter.pdf")["read_by"]), (&by, &json!([])));
    assert_eq!(of("letter.pdf")["reading"], json!({"mode": "auto", "reader": "model box:eyes"}));
    let ran = world.run(&["index", "show"]);
    assert!(ran.out.contains("scan.pdf: 2 pages\n  1 page read by box:eyes\n"), "{}", ran.out);
    // A copy has been read.
    let papers = world.home.path().join("papers");
    fs::copy(papers.join("scan.pdf"), papers.join("copy.pdf")).unwrap();
    let ran = with(&EYES);
    ended(&ran, 0, "1 documents added or replaced, 2 were there");
    assert!(ran.err.contains("copy.pdf: 1 pages were read before"), "{}", ran.err);
    assert!(ran.err.contains("2 of them are as they were"), "{}", ran.err);
    assert_eq!(seer.heard().len(), 1);
    // Another reader looks at what was in doubt, and at no other document.
    let other = ["--read", "--vision", "box:others", "--no-ocr-engine"];
    ended(&with(&other), 0, "2 documents added or replaced, 1 were there");
    // Whichever is done first may have read for the other.
    assert!((2..=3).contains(&seer.heard().len()));
    // Nothing is kept of what is in the index.
    assert!(checkpoints(&world).is_empty());
}

/// The files of pages that were read, and are not in an index yet.
fn checkpoints(world: &World) -> Vec<std::path::PathBuf> {
    fn walk(folder: &Path, all: &mut Vec<std::path::PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, all);
            } else if path.extension().is_some_and(|end| end == "pages") {
                all.push(path);
            }
        }
    }
    let mut all = Vec::new();
    walk(world.home.path(), &mut all);
    all
}

#[test]
fn what_was_read_outlives_a_kill() {
    let seer = Seer::start(|number, _| match number {
        0 => said("The first scan is read"),
        1 => Said::Hang(Duration::from_secs(60)),
        _ => said("The second scan is read"),
    });
    let world = world(&seer);
    scan(&world.home.path().join("papers/scan.pdf"), 2);
    let arguments = [&["index", "papers"][..], &EYES].concat();
    let mut child = world.command(&arguments).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    let is_kept = || checkpoints(&world).iter().any(|file| fs::metadata(file).unwrap().len() > 0);
    while !(seer.heard().len() == 2 && is_kept()) {
        assert!(Instant::now() < end, "nothing was read");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let ran = world.run(&arguments);
    // The letter may have been written before or not.
    ended(&ran, 0, "documents added or replaced");
    assert!(ran.err.contains("scan.pdf: 1 pages were read before"), "{}", ran.err);
    assert_eq!(seer.heard().len(), 3);
    for (question, number) in [("first", 1), ("second", 1)] {
        let ran = world.run(&["search", question]);
        assert_eq!(ran.out.matches("scan.pdf page").count(), number, "{}", ran.out);
    }
    assert!(checkpoints(&world).is_empty());
}

#[test]
fn a_page_that_nobody_can_read_is_found_by_its_looks_and_named() {
    let seer = Seer::of(&["eyes", "others"], |_, question| match question.body["model"].as_str() {
        Some("eyes") => Said::Text("round and round".to_owned(), "length"),
        _ => said("The strip is white"),
    });
    let world = world(&seer);
    let looks = fixture("../vision/colqwen2_5").display().to_string();
    let index = ["index", "papers/scan.pdf"];
    let ran = world.run(&[&index[..], &["--model", &looks]].concat());
    ended(&ran, 0, "2 pages in");
    let ran = world.run(&[&index[..], &EYES].concat());
    ended(&ran, 1, "scan.pdf: page 2: has no words: 8 attempts to read it failed");
    assert!(
        ran.err.contains("1 of them have no words, since nobody could read them"),
        "{}",
        ran.err
    );
    // How it looks is known.
    assert!(ran.err.contains("2 of them are as they were"), "{}", ran.err);
    ended(&world.run(&["search", "what is white"]), 0, "2 of 2 pages by looks of all pages");
    let told = shown(&world);
    let unread = &told["documents"][0]["unread"];
    assert_eq!((&unread[0]["page"], &told["documents"][0]["failures"]), (&json!(2), &json!([])));
    let ran = world.run(&["index", "show"]);
    assert!(ran.out.contains("  page 2: has no words: 8 attempts"), "{}", ran.out);
    let others = ["--read", "--vision", "box:others", "--no-ocr-engine"];
    let ran = world.run(&[&index[..], &others].concat());
    ended(&ran, 0, "1 of them have no good words of their own, and were read");
    assert!(ran.err.contains("2 of them are as they were"), "{}", ran.err);
    let ran = world.run(&["search", "what is white"]);
    assert!(ran.out.contains("scan.pdf page 2\n    The strip is white"), "{}", ran.out);
}

/// The whole way with a model of this machine, in one house with the one that encodes.
#[test]
fn a_model_of_ones_own_reads_beside_one_that_encodes() {
    let seer = Seer::start(|_, _| said("unused"));
    let world = world(&seer);
    reciter::write(&world.home.path().join("reciter")).unwrap();
    let texts = fixture("bert").display().to_string();
    let index = ["index", "papers", "--model", &texts, "--read", "--vision", "reciter"];
    let ran = world.run(&[&index[..], &["--no-ocr-engine"]].concat());
    ended(&ran, 0, "3 pages in");
    let ran = world.run(&["search", "paper white"]);
    ended(&ran, 0, "of 3 pages by words and meaning");
    assert!(ran.out.lines().next().unwrap().ends_with("scan.pdf page 2"), "{}", ran.out);
    assert!(shown(&world)["read_by"][0]["pages"] == 1 && seer.heard().is_empty());
}

#[test]
fn who_reads_must_be_there_and_must_be_asked() {
    let seer = Seer::start(|_, _| Said::Status(401, None));
    let world = world(&seer);
    let index = ["index", "papers"];
    let with = |more: &[&'static str]| world.run(&[&index[..], more].concat());
    ended(&with(&["--vision", "box:eyes"]), 1, "`--vision`: it says who reads pages");
    ended(&with(&["--read", "--no-ocr-engine"]), 1, "nobody is here who could read");
    assert_eq!(with(&["--read=text"]).code, Some(2));
    ended(&world.run(&["index", "show"]), 1, "there is no index");
    // One who cannot read any page ends it, and what needs nobody is there.
    let ran = with(&EYES);
    ended(&ran, 1, "nobody can read its pages");
    ended(&with(&[]), 1, "page 2: it is an image without text");
    assert_eq!(world.run(&["search", "pond"]).code, Some(0));
}
