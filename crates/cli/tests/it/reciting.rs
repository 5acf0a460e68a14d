//! `read` with a model of folio's own that comes to an end, from the file to the text: alone, in a workspace, and through a
//! server.

use std::fs;

use serde_json::Value;
use testkit::pdf::{Pdf, text};
use testkit::reciter;

use crate::serving::Server;
use crate::world::{Ran, World};

/// A page that is all of one colour, as PDFs write it.
fn coloured(rgb: &str) -> String {
    format!("{rgb} rg 0 0 612 792 re f\n")
}

/// A world with the model, a PDF of a white, a red and a black page, and one of a page with text and a scanned one.
pub(crate) fn world() -> World {
    let world = World::new();
    let home = world.home.path();
    reciter::write(&home.join("reciter")).unwrap();
    let mut colours = Pdf::new();
    for rgb in ["1 1 1", "1 0 0", "0 0 0"] {
        colours.page(612.0, 792.0, &coloured(rgb));
    }
    fs::write(home.join("colours.pdf"), colours.finish()).unwrap();
    let mut scan = Pdf::new();
    scan.page(612.0, 792.0, &text("F1", 12.0, 72.0, 700.0, "Words of its own"));
    let kind = "/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceRGB /BitsPerComponent 8";
    let image = scan.stream(kind, &[255, 255, 255]);
    let resources = format!("/XObject << /Im {image} 0 R >>");
    scan.page_with(612.0, 792.0, "q 612 0 0 792 0 0 cm /Im Do Q", "", &resources);
    fs::write(home.join("scan.pdf"), scan.finish()).unwrap();
    world
}

/// Pictures are small, so that each takes milliseconds.
const QUICK: [&str; 4] = ["--target-longest-image-dim", "112", "--no-ocr-engine", "--verbose"];

fn read(world: &World, arguments: &[&str]) -> Ran {
    world.run(&[&["read"], arguments, &QUICK].concat())
}

/// What stands on the three pages, if all could be read.
fn check(text: &str) {
    let begin = format!("{}\n\n{}\n\n# A page\n\n", reciter::WHITE, reciter::RED);
    let word =
        text.strip_prefix(&begin).and_then(|rest| rest.trim_end().strip_suffix(reciter::BLACK));
    assert!(word.is_some_and(|word| word.len() < 20), "{text}");
}

#[test]
fn a_model_of_ones_own_reads_every_page_to_its_end() {
    let world = world();
    let own = ["colours.pdf", "--model", "reciter", "--mode", "ocr", "--max-tokens", "60"];
    let ran = read(&world, &own);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    check(&ran.out);
    // What was cut off was tried again, and nothing else.
    assert!(
        ran.err.contains("page 3, attempt 1 of reciter: the answer was cut off"),
        "{}",
        ran.err
    );
    assert!(!ran.err.contains("page 1") && !ran.err.contains("page 2"), "{}", ran.err);
    // Where it may write long, it is ended when it goes round in a circle.
    let ran = read(&world, &["colours.pdf", "--pages", "3", "--model", "reciter", "--mode", "ocr"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.err.contains("page 3, attempt 1 of reciter: the answer repeated itself"),
        "{}",
        ran.err
    );
    let few = ["--pages", "1", "--max-tokens", "5", "--max-page-retries", "3"];
    let ran = read(&world, &[&own[..5], &few].concat());
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("3 attempts to read it failed"), "{}", ran.err);
}

#[test]
fn of_a_document_a_model_reads_only_what_has_no_text() {
    let world = world();
    let ran = read(&world, &["scan.pdf", "--model", "reciter", "--json"]);
    let document = ran.json();
    let source = |page: usize| document["pages"][page]["text_source"].as_str().unwrap();
    assert_eq!((source(0), source(1)), ("text_layer", "model"), "{document}");
    let page = &document["pages"][1];
    assert_eq!(
        (&page["model_because"], &page["reading"]["attempt"]),
        (&"no_text_layer".into(), &0.into())
    );
    assert_eq!(page["reading"]["text"], reciter::WHITE);
    assert!(page["reading"]["output_tokens"].as_u64().unwrap() >= 8, "{page}");
    let ran = read(&world, &["scan.pdf", "--model", "reciter"]);
    assert_eq!(ran.out, format!("Words of its own\n\n{}\n", reciter::WHITE));
}

#[test]
fn a_workspace_is_read_with_it() {
    let world = world();
    let arguments =
        ["work", "--pdfs", "colours.pdf", "scan.pdf", "--model", "reciter", "--markdown"];
    let ran = read(&world, &[&arguments[..], &["--max-tokens", "60"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("2 written, 0 not"), "{}", ran.err);
    let work = world.home.path().join("work");
    let markdown = |name: &str| fs::read_to_string(work.join("markdown").join(name)).unwrap();
    assert_eq!(markdown("scan.md"), format!("{0}\n{0}", reciter::WHITE));
    let results = fs::read_dir(work.join("results")).unwrap().next().unwrap().unwrap();
    let results = fs::read_to_string(results.path()).unwrap();
    let documents: Vec<Value> =
        results.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(documents.len(), 2);
    for document in documents {
        assert_eq!(document["metadata"]["total-fallback-pages"], 0);
        assert!(document["text"].as_str().unwrap().starts_with(reciter::WHITE), "{document}");
    }
}

#[test]
fn a_server_reads_with_it_held_to_the_form_and_not() {
    let mut world = world();
    world.set("FOLIO_LOG_LEVEL", "off");
    let server = Server::start(&world, &["--model", "./reciter"]);
    let url = format!("{}/v1", server.url);
    let usual = ["colours.pdf", "--server", &url, "--mode", "ocr", "--max-tokens", "60"];
    let ran = read(&world, &[&usual[..], &["--guided-decoding"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    check(&ran.out);
    // Who is not held to it says something polite first, and is not understood.
    let ran = read(&world, &[&usual[..], &["--pages", "1-2", "--max-page-retries", "2"]].concat());
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.starts_with(reciter::WHITE), "{}", ran.out);
    let fault = "page 2, attempt 2 of server:reciter: the answer does not begin with front matter";
    assert!(ran.err.contains(fault), "{}", ran.err);
}
