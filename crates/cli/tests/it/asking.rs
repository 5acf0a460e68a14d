//! `ask`: answers from pages that were found, and the pages that they name.

use std::fs;

use serde_json::Value;
use testkit::reciter;
use testkit::seer::{Said, Seer};

use crate::finding::pdf;
use crate::reciting;
use crate::world::World;

/// Three pages with words, in an index of words.
fn world() -> World {
    let world = World::new();
    let folder = world.home.path().join("papers");
    fs::create_dir(&folder).unwrap();
    pdf(
        &folder.join("lease.pdf"),
        &["The tenant pays rent in May", "Keys are kept by the landlord"],
    );
    pdf(&folder.join("letter.pdf"), &["Dear sister, no rent is due here"]);
    assert_eq!(world.run(&["index", "papers"]).code, Some(0));
    world
}

/// The settings that have `answers` say what `script` makes of the prompt.
fn scripted(world: &World, script: impl Fn(&str) -> String + Send + Sync + 'static) -> Seer {
    let seer = Seer::start(move |_, question| {
        let said = question.body["messages"].as_array().unwrap().iter();
        let said: Vec<&str> = said.filter_map(|message| message["content"].as_str()).collect();
        Said::Text(script(&said.join("\n")), "stop")
    });
    let settings = format!(
        "[remotes.box]\nkind = 'openai'\nurl = '{}'\n[routes]\nreasoning = ['box:eyes']\n",
        seer.url()
    );
    fs::write(world.home.path().join("folio.toml"), settings).unwrap();
    seer
}

#[test]
fn an_answer_names_its_pages() {
    let world = world();
    let seer = scripted(&world, |prompt| {
        // It is shown what was found, and nothing else.
        assert!(prompt.contains("page 1\nThe tenant pays rent in May"), "{prompt}");
        assert!(
            prompt.contains("Question: when is rent due") && !prompt.contains("Keys"),
            "{prompt}"
        );
        let of = prompt.split("=== [").find(|part| part.contains("lease.pdf")).unwrap();
        format!("In May [{}]. Elsewhere too [9].", &of[..1])
    });
    let ran = world.run(&["ask", "when is rent due"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.starts_with("In May ["), "{}", ran.out);
    assert!(ran.out.trim_end().ends_with("papers/lease.pdf page 1"), "{}", ran.out);
    assert!(ran.err.contains("the answer names [9], and no such page"), "{}", ran.err);
    let answer: Value =
        serde_json::from_str(&world.run(&["ask", "when is rent due", "--json"]).out).unwrap();
    assert_eq!(answer["unknown_citations"], serde_json::json!([9]));
    let pages = answer["pages"].as_array().unwrap();
    let cited = pages.iter().filter(|page| page["cited"] == true).collect::<Vec<_>>();
    assert_eq!((pages.len(), cited.len()), (2, 1));
    assert!(cited[0]["path"].as_str().unwrap().ends_with("lease.pdf") && cited[0]["page"] == 1);
    assert_eq!(
        (&answer["route"]["task"], &answer["finish_reason"]),
        (&"reasoning".into(), &"stop".into())
    );
    assert_eq!(seer.heard().len(), 2);
    // Nobody is asked about nothing.
    let ran = world.run(&["ask", "xylophone"]);
    assert!(ran.code == Some(1) && ran.err.contains("no page was found, so nobody"), "{}", ran.err);
    assert_eq!(seer.heard().len(), 2);
    let ran = world.run(&["ask", "rent", "--context", "512", "--max-tokens", "400"]);
    assert!(ran.code == Some(1) && ran.err.contains("no page has room"), "{}", ran.err);
}

#[test]
fn whoever_answers_is_named_first() {
    let world = world();
    let ran = world.run(&["ask", "rent"]);
    assert!(ran.code == Some(1) && ran.err.contains("set the route `reasoning`"), "{}", ran.err);
    let ran = world.run(&["ask", "rent", "--model", "nobody"]);
    assert!(ran.code == Some(1) && ran.err.contains("nobody"), "{}", ran.err);
    scripted(&world, |_| "I do not know.".to_owned());
    let ran = world.run(&["ask", "rent"]);
    // Its server is gone.
    assert!(ran.code == Some(1) && ran.err.contains("box"), "{}", ran.err);
}

#[test]
fn pages_without_words_are_read_before_they_are_shown() {
    let world = reciting::world();
    let looks = crate::world::fixture("../vision/colqwen2_5").display().to_string();
    // A strip, of which a model with few positions has room for the picture.
    let home = world.home.path();
    let mut scan = testkit::pdf::Pdf::new();
    let kind = "/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceRGB /BitsPerComponent 8";
    let image = scan.stream(kind, &[255, 255, 255]);
    let resources = format!("/XObject << /Im {image} 0 R >>");
    scan.page_with(600.0, 60.0, "q 600 0 0 60 0 0 cm /Im Do Q", "", &resources);
    fs::write(home.join("strip.pdf"), scan.finish()).unwrap();
    let ran = world.run(&["index", "strip.pdf", "--model", &looks]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let seer = scripted(&world, |prompt| {
        assert!(prompt.contains(reciter::WHITE), "{prompt}");
        "It is white [1].".to_owned()
    });
    let ask = ["ask", "what colour is it", "--vision", "reciter"];
    let ran = world.run(&ask);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.ends_with("strip.pdf page 1\n"), "{}", ran.out);
    // Without anybody who could read it, that is told.
    let ran = world.run(&["ask", "what colour is it", "--no-ocr-engine"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("1 of the pages have no words, and nobody"), "{}", ran.err);
    // What is in the file now is not what was found.
    pdf(&home.join("strip.pdf"), &["Something else"]);
    let ran = world.run(&ask);
    assert!(
        ran.code == Some(1) && ran.err.contains("has changed since it was indexed"),
        "{}",
        ran.err
    );
    assert_eq!(seer.heard().len(), 1);
}

/// The whole way with a model of this machine, which names no page.
#[test]
fn a_model_of_ones_own_answers() {
    let world = world();
    reciter::write(&world.home.path().join("reciter")).unwrap();
    let ran = world.run(&["ask", "rent", "--model", "reciter", "--max-tokens", "100"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("# A page"), "{}", ran.out);
    assert!(ran.err.contains("the answer names no page"), "{}", ran.err);
}
