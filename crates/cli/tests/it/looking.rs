//! `read` with a server that looks at pages: what it says, and what becomes of what it does not say.

use std::fs;
use std::time::Duration;

use testkit::pdf::{Pdf, text};
use testkit::seer::{Question, Said, Seer, page, turned};

use crate::world::{Ran, World};

/// What stands on the pages: nothing that repeats, which would be a header.
const OWN: [&str; 2] = ["The first page has 12 words", "Another one follows it"];

/// A world with a PDF of so many pages.
fn world(pages: usize) -> World {
    let world = World::new();
    let mut pdf = Pdf::new();
    for words in OWN.iter().take(pages) {
        pdf.page(612.0, 792.0, &text("F1", 12.0, 72.0, 700.0, words));
    }
    fs::write(world.home.path().join("file.pdf"), pdf.finish()).unwrap();
    world
}

/// Shows every page to `seer`, one at a time.
fn read(world: &World, seer: &Seer, more: &[&str]) -> Ran {
    let url = format!("{}/v1", seer.url());
    let mut arguments = vec!["read", "file.pdf", "--mode", "ocr", "--server", &url, "--verbose"];
    arguments.extend(["--max-concurrent-requests", "1", "--no-ocr-engine"]);
    arguments.extend(more);
    world.run(&arguments)
}

fn stop(text: &str) -> Said {
    Said::Text(page(text), "stop")
}

#[test]
fn pages_are_asked_as_the_models_were_trained() {
    let world = world(1);
    let seer = Seer::start(|_, _| stop("# Seen\n\nwords"));
    let ran = read(&world, &seer, &["--api-key", "sesame"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "# Seen\n\nwords\n"), "{}", ran.err);
    let heard = seer.heard();
    let [Question { path, authorization, body }] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(path, "/v1/chat/completions");
    assert_eq!(authorization.as_deref(), Some("Bearer sesame"));
    assert_eq!(body["model"], "eyes");
    assert_eq!((&body["max_tokens"], &body["temperature"]), (&8000.into(), &0.1.into()));
    assert_eq!(body.get("guided_regex"), None);
    let [message] = &body["messages"].as_array().unwrap()[..] else { panic!("{body}") };
    let [words, picture] = &message["content"].as_array().unwrap()[..] else { panic!("{body}") };
    let words = words["text"].as_str().unwrap();
    assert!(words.starts_with("Attached is one page of a document that you must process."));
    let url = picture["image_url"]["url"].as_str().unwrap();
    assert!(url.starts_with("data:image/png;base64,iVBOR"), "{}", &url[..40]);
}

#[test]
fn the_form_of_answers_is_asked_for_where_a_server_can_hold_it() {
    let world = world(1);
    let seer = Seer::start(|_, _| stop("words"));
    let ran = read(&world, &seer, &["--guided_decoding", "--backend", "vllm"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let body = &seer.heard()[0].body;
    assert!(body["guided_regex"].as_str().unwrap().starts_with("---\nprimary_language:"));
    assert_eq!(body["guided_regex"], body["structured_outputs"]["regex"]);
    let ran = read(&world, &seer, &["--guided-decoding", "--backend", "ollama"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("holds answers to no regular expression"), "{}", ran.err);
}

#[test]
fn responses_and_ollama_are_spoken_too() {
    for (backend, path) in [("mlx-vlm", "/v1/responses"), ("ollama", "/api/chat")] {
        let world = world(2);
        // What is not whole is no success, in either's words for it.
        let seer = Seer::start(|number, _| match number {
            0 => Said::Text(page("half of"), "length"),
            _ => stop("whole"),
        });
        let ran = read(&world, &seer, &["--backend", backend, "--model", "eyes"]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), "whole\n\nwhole\n"), "{}", ran.err);
        let fault = "page 1, attempt 1 of server:eyes: the answer was cut off at the most tokens";
        assert!(ran.err.contains(fault), "{}", ran.err);
        assert!(seer.heard().iter().all(|question| question.path == path));
        assert_eq!(seer.heard().len(), 3);
    }
}

#[test]
fn what_goes_wrong_is_tried_again_as_it_should_be() {
    let world = world(1);
    let script = [
        Said::Text(turned(90, "sideways"), "stop"),
        Said::Text(turned(270, "upside down"), "stop"),
        Said::Text("no front matter".to_owned(), "stop"),
        Said::Tokens(page("too many tokens"), 16_375),
        Said::Status(500, None),
        Said::Cut,
        Said::Status(503, Some(0)),
        stop("at last"),
    ];
    let seer = Seer::start(move |number, _| script[number].clone());
    let ran = read(&world, &seer, &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "at last\n"), "{}", ran.err);
    for part in [
        "attempt 1 of server:eyes: the page is turned, by 90 degrees",
        "attempt 2 of server:eyes: the page is turned, by 270 degrees",
        "attempt 3 of server:eyes: the answer does not begin with front matter",
        "attempt 4 of server:eyes: 16385 tokens are more than 16384",
        "attempt 5 of server:eyes: `server` failed: as the script says",
        "attempt 6 of server:eyes: the answer of `server` ended in the middle",
        "`server` has too much to do (status 503); again in 0 s",
    ] {
        assert!(ran.err.contains(part), "{part} in {}", ran.err);
    }
    let temperatures: Vec<f64> = seer
        .heard()
        .iter()
        .map(|question| question.body["temperature"].as_f64().unwrap())
        .collect();
    // That the server was busy cost no attempt.
    assert_eq!(temperatures, [0.1, 0.1, 0.2, 0.3, 0.5, 0.8, 0.9, 0.9]);
    let pictures: Vec<String> = seer
        .heard()
        .iter()
        .map(|question| question.body["messages"][0]["content"][1].to_string())
        .collect();
    assert_ne!(pictures[0], pictures[1]);
    // 90 and 270 degrees are a whole turn.
    assert_eq!(pictures[0], pictures[2]);
}

#[test]
fn a_server_that_hangs_costs_an_attempt() {
    let world = world(1);
    let seer = Seer::start(|number, _| match number {
        0 => Said::Hang(Duration::from_secs(20)),
        _ => stop("words"),
    });
    let ran = read(&world, &seer, &["--server-timeout", "1"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "words\n"), "{}", ran.err);
    assert!(ran.err.contains("`server` sent nothing for 1 seconds"), "{}", ran.err);
}

#[test]
fn who_is_not_there_is_waited_for_and_then_named() {
    let world = world(1);
    // Nobody listens on the first port.
    let url = "http://127.0.0.1:1";
    let ran = world.run(&[
        "read",
        "file.pdf",
        "--mode",
        "ocr",
        "--server",
        url,
        "--model",
        "eyes",
        "--max-server-wait",
        "1",
    ]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("cannot be reached"), "{}", ran.err);
    assert_eq!(ran.out, "");
}

#[test]
fn a_reading_that_was_ended_goes_on() {
    let world = world(2);
    let seer = Seer::start(|number, _| match number {
        0 => stop("the first"),
        1 => Said::Status(401, None),
        _ => stop("the second"),
    });
    let ran = read(&world, &seer, &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    let ran = read(&world, &seer, &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "the first\n\nthe second\n"), "{}", ran.err);
    assert!(ran.err.contains("file.pdf: 1 pages were read in an earlier run"), "{}", ran.err);
    assert_eq!(seer.heard().len(), 3);
    // What is written is read anew when it is asked for again.
    let ran = read(&world, &seer, &[]);
    assert_eq!((ran.code, seer.heard().len()), (Some(0), 5), "{}", ran.err);
}

#[test]
fn what_nobody_can_read_falls_back_to_the_pages_own_text() {
    let world = world(2);
    let seer = Seer::start(|_, _| Said::Text("round and round".to_owned(), "length"));
    let ran = read(&world, &seer, &["--max_page_retries", "2", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    for (at, page) in document["pages"].as_array().unwrap().iter().enumerate() {
        assert_eq!(page["text_source"], "text_layer");
        let reading = &page["reading"];
        assert_eq!(reading["fallback"], true);
        assert_eq!(reading["text"], OWN[at]);
        assert_eq!(reading["because"], "the answer was cut off at the most tokens");
    }
}

#[test]
fn both_readings_are_compared() {
    let world = world(1);
    let seer = Seer::start(|_, _| stop("The first page has 72 words"));
    let ran = read(&world, &seer, &["--json"]);
    let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let agreement = &document["pages"][0]["agreement"];
    assert_eq!(agreement["only_text_layer"], serde_json::json!(["12"]));
    assert_eq!(agreement["only_model"], serde_json::json!(["72"]));
    assert_eq!(document["pages"][0]["model_because"], "wanted");
}

#[test]
fn without_being_asked_a_model_is_shown_only_what_needs_it() {
    let world = world(2);
    let seer = Seer::start(|_, _| stop("seen"));
    let url = seer.url();
    let ran = world.run(&["read", "file.pdf", "--server", &url]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(ran.out, format!("{}\n\n{}\n", OWN[0], OWN[1]));
    assert!(seer.heard().is_empty());
}

/// Everything in a folder of the workspace, as one text.
fn all(world: &World, folder: &str) -> String {
    let folder = world.home.path().join("work").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn a_workspace_is_read_and_what_failed_is_tried_again() {
    let world = world(2);
    fs::write(world.home.path().join("cut.pdf"), "%PDF-1.7 and nothing").unwrap();
    let seer = Seer::start(|number, _| match number {
        0 => stop("first"),
        _ => Said::Text("round and round".to_owned(), "length"),
    });
    let url = seer.url();
    let arguments = |more: &[&'static str]| -> Vec<String> {
        let usual = ["read", "work", "--server", &url, "--workers", "1", "--markdown"];
        let calm = ["--max-concurrent-requests", "1", "--max_page_retries", "2", "--no-ocr-engine"];
        usual.iter().chain(&calm).chain(more).map(|word| (*word).to_owned()).collect()
    };
    let run = |more: &[&'static str]| {
        let words = arguments(more);
        world.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let ran = run(&["--pdfs", "file.pdf", "cut.pdf"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    // One page of two fell back, which is more than 0.004 of them.
    assert!(ran.err.contains("0 written, 2 not"), "{}", ran.err);
    let failures = fs::read_to_string(world.home.path().join("work/failures.jsonl")).unwrap();
    assert!(failures.contains("over_error_rate") && failures.contains("unreadable"), "{failures}");
    assert_eq!(all(&world, "results"), "");

    let ran = run(&["--retry-failed", "--max_page_error_rate", "0.5"]);
    assert!(ran.err.contains("1 written, 1 not"), "{}", ran.err);
    // The page that was read well is not asked for again.
    assert_eq!(seer.heard().len(), 1 + 2 + 2);
    let results = all(&world, "results");
    let line: serde_json::Value = serde_json::from_str(&results).unwrap();
    assert_eq!(line["text"], format!("first\n{}", OWN[1]));
    assert_eq!(line["metadata"]["total-fallback-pages"], 1);
    let markdown = fs::read_to_string(world.home.path().join("work/markdown/file.md")).unwrap();
    assert_eq!(markdown, format!("first\n{}", OWN[1]));

    let ran = run(&["--stats"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("work items"), "{}", ran.out);
    let ran = world.run(&["read", "file.pdf", "--markdown"]);
    assert!(ran.err.contains("it is for a workspace"), "{}", ran.err);
    let ran = run(&["--pdfs", "file.pdf", "--json"]);
    assert!(ran.err.contains("a workspace holds Dolma's JSON"), "{}", ran.err);
}

#[test]
fn a_filter_drops_what_is_not_wanted_and_says_so() {
    let world = World::new();
    let home = world.home.path();
    let german = "Der Mieter zahlt die Miete am ersten Tag eines jeden Monats und der Vermieter darf nach schriftlicher Ankuendigung die Wohnung betreten, ";
    let line = |words: &str| text("F1", 4.0, 20.0, 700.0, words);
    let mut form = Pdf::new();
    form.page(2000.0, 792.0, &line("Fill this in"));
    form.catalog("/AcroForm << /Fields [<< /FT /Tx /T (name) >>] >>");
    fs::write(home.join("form.pdf"), form.finish()).unwrap();
    let mut foreign = Pdf::new();
    foreign.page(2000.0, 792.0, &line(&german.repeat(2)));
    fs::write(home.join("foreign.pdf"), foreign.finish()).unwrap();
    let mut plain = Pdf::new();
    plain.page(2000.0, 792.0, &line("The tenant pays the rent"));
    fs::write(home.join("plain.pdf"), plain.finish()).unwrap();
    let read = ["read", "work", "--mode", "text", "--pdfs", "form.pdf", "foreign.pdf", "plain.pdf"];
    let ran = world.run(&[&read[..], &["--apply_filter"]].concat());
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("1 written, 2 not"), "{}", ran.err);
    let failures = fs::read_to_string(home.join("work/failures.jsonl")).unwrap();
    assert_eq!(failures.matches("\"filtered\"").count(), 2, "{failures}");
    assert!(
        failures.contains("not in English (most like deu)") && failures.contains("is a form"),
        "{failures}"
    );
    // They are read when that is wanted.
    let ran = world.run(&["read", "work", "--mode", "text", "--retry-failed"]);
    assert!(ran.err.contains("2 written, 0 not"), "{}", ran.err);
    let ran = world.run(&["read", "plain.pdf", "--apply-filter"]);
    assert!(ran.err.contains("it is for a workspace"), "{}", ran.err);
}

#[test]
fn figures_that_a_model_names_become_files_that_the_text_names() {
    let world = world(1);
    let home = world.home.path();
    let seer = Seer::start(|_, _| stop("![Words](page_100_100_400_200.png)"));
    let more =
        ["--target-longest-image-dim", "792", "--figures", "texts/my figures", "--out", "texts"];
    let ran = read(&world, &seer, &more);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let text = fs::read_to_string(home.join("texts/file.md")).unwrap();
    assert_eq!(text, "![Words](my%20figures/file-p1-1.png)\n");
    let figure = home.join("texts/my figures/file-p1-1.png");
    let png = fs::read(&figure).unwrap();
    // Twice as large as it was shown.
    assert_eq!((&png[..4], &png[16..24]), (&b"\x89PNG"[..], &[0, 0, 3, 32, 0, 0, 1, 144][..]));
    let ran = read(&world, &seer, &[&more[..], &["--html"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let html = fs::read_to_string(home.join("texts/file.html")).unwrap();
    assert!(html.contains("<img src=\"my%20figures/file-p1-1.png\" alt=\"Words\""), "{html}");
    fs::write(&figure, "a stranger's").unwrap();
    let ran = read(&world, &seer, &more);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(fs::read(&figure).unwrap(), b"a stranger's");
    assert_eq!(fs::read(home.join("texts/my figures/file-p1-1-2.png")).unwrap(), png);
}

#[test]
fn a_preview_shows_pages_beside_what_was_read() {
    let world = world(2);
    let home = world.home.path();
    let seer = Seer::start(|_, _| stop("The first page has 13 words"));
    let url = format!("{}/v1", seer.url());
    let mut arguments =
        vec!["preview", "file.pdf", "--mode", "ocr", "--server", &url, "--pixels", "200"];
    arguments.extend(["--no-ocr-engine", "--max-concurrent-requests", "1"]);
    let ran = world.run(&arguments);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "file.preview.html\n"), "{}", ran.err);
    let html = fs::read_to_string(home.join("file.preview.html")).unwrap();
    assert!(html.contains("<mark>13</mark>") && html.contains("src=\"data:image/"), "{html}");
    // Ours is written again, a stranger's is not.
    assert_eq!(world.run(&arguments).code, Some(0));
    fs::write(home.join("file.preview.html"), "mine").unwrap();
    let ran = world.run(&arguments);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("is no preview"), "{}", ran.err);
    assert_eq!(fs::read_to_string(home.join("file.preview.html")).unwrap(), "mine");

    let work = ["read", "work", "--pdfs", "file.pdf", "--server", &url, "--no-ocr-engine"];
    let ran = world.run(&work);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let ran = world.run(&["preview", "work", "--pixels", "200"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "work.preview.html\n"), "{}", ran.err);
    let html = fs::read_to_string(home.join("work.preview.html")).unwrap();
    assert!(html.contains("<mark>13</mark>") && html.contains("id=\"page-2\""), "{html}");
    assert_eq!(html.matches("src=\"data:image/").count(), 2);
}

#[test]
fn headers_are_asked_for_and_added_where_a_model_leaves_them_out() {
    let world = World::new();
    let mut pdf = Pdf::new();
    for words in ["Apples and pears", "Plums and cherries", "Grapes and lemons"] {
        let page =
            [text("F1", 9.0, 72.0, 770.0, "Annual Report"), text("F1", 12.0, 72.0, 600.0, words)];
        pdf.page(612.0, 792.0, &page.concat());
    }
    fs::write(world.home.path().join("file.pdf"), pdf.finish()).unwrap();
    let seer = Seer::start(|_, _| stop("Annual Report\n\nwords"));
    let ran = read(&world, &seer, &["--pages", "1"]);
    assert_eq!(ran.out, "words\n", "{}", ran.err);
    let prompt =
        |seer: &Seer| seer.heard()[0].body["messages"][0]["content"][0]["text"].to_string();
    assert!(!prompt(&seer).contains("headers"));
    let ran = read(&world, &seer, &["--pages", "1", "--keep-headers"]);
    assert_eq!(ran.out, "Annual Report\n\nwords\n", "{}", ran.err);
    let silent = Seer::start(|_, _| stop("words"));
    let ran = read(&world, &silent, &["--pages", "1", "--keep-headers"]);
    assert_eq!(ran.out, "Annual Report\n\nwords\n", "{}", ran.err);
    assert!(prompt(&silent).contains("Write the headers"));
}
