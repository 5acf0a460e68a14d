//! `index` and `search`: what is found, by words, meaning and looks, and what becomes of an index over time.

use std::fs;
use std::path::Path;

use serde_json::Value;
use testkit::pdf::{Pdf, text};

use crate::world::{Ran, World, fixture};

/// A PDF of pages with these words. They are strips, of which a model with few positions has room for the picture.
pub(crate) fn pdf(path: &Path, pages: &[&str]) {
    let mut pdf = Pdf::new();
    for words in pages {
        pdf.page(600.0, 60.0, &text("F1", 12.0, 20.0, 25.0, words));
    }
    fs::write(path, pdf.finish()).unwrap();
}

/// A world with a lease of two pages and a letter.
pub(crate) fn world() -> World {
    let world = World::new();
    let folder = world.home.path().join("papers");
    fs::create_dir(&folder).unwrap();
    pdf(&folder.join("lease.pdf"), &["The tenant pays rent", "Keys are kept by the landlord"]);
    pdf(&folder.join("letter.pdf"), &["Dear sister, the garden is green"]);
    world
}

/// The pages that a question finds, as `FILE PAGE`.
fn found(world: &World, arguments: &[&str]) -> Vec<String> {
    let ran = world.run(&[&["search", "--json"], arguments].concat());
    let answer: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.err));
    let hits = answer["hits"].as_array().unwrap().iter().map(|hit| {
        let path = hit["path"].as_str().unwrap();
        format!("{} {}", path.rsplit('/').next().unwrap(), hit["page"])
    });
    hits.collect()
}

pub(crate) fn ended(ran: &Ran, code: i32, said: &str) {
    assert_eq!(ran.code, Some(code), "{}", ran.err);
    // Where an error's lines break depends on how long the path is.
    assert!(ran.err.replace("\n  | ", " ").contains(said), "{}", ran.err);
}

#[test]
fn pages_are_found_by_their_words_and_changes_are_followed() {
    let world = world();
    let home = world.home.path();
    ended(&world.run(&["search", "rent"]), 1, "there is no index");
    ended(&world.run(&["index", "papers"]), 0, "2 documents added or replaced, 0 were there");
    ended(&world.run(&["index", "papers"]), 0, "0 documents added or replaced, 2 were there");
    let ran = world.run(&["search", "who has the keys"]);
    ended(&ran, 0, "of 3 pages by words: ");
    assert!(
        ran.out.contains("lease.pdf page 2\n    Keys are kept by the landlord\n"),
        "{}",
        ran.out
    );
    assert_eq!(found(&world, &["the", "--pages", "1"]).len(), 2);
    assert_eq!(found(&world, &["the", "--in", "papers/letter.pdf"]), ["letter.pdf 1"]);
    assert_eq!(found(&world, &["the", "--in", "*/lease*", "--limit", "1"]).len(), 1);
    ended(&world.run(&["search", "xylophone"]), 1, "0 of 3 pages");

    pdf(&home.join("papers/letter.pdf"), &["Dear brother, the pond is frozen"]);
    let ran = world.run(&["index", "papers", "--category", "letters"]);
    ended(&ran, 0, "1 documents added");
    assert!(!ran.err.contains("as they were,"), "{}", ran.err);
    assert_eq!(found(&world, &["pond"]), ["letter.pdf 1"]);
    assert!(found(&world, &["garden"]).is_empty());
    assert_eq!(found(&world, &["the", "--category", "letters"]).len(), 3);
    ended(&world.run(&["index", "rm", "papers/letter.pdf"]), 0, "1 pages removed");
    ended(&world.run(&["index", "rm", "papers/letter.pdf"]), 1, "is not in the index");
    assert!(found(&world, &["pond"]).is_empty());
    ended(&world.run(&["index", "verify"]), 0, "all 2 pages are as they were written");
    let shown = world.run(&["index", "show", "--json"]).out;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["pages"], &shown["documents"][0]["pages"]), (&2.into(), &2.into()));
}

#[test]
fn what_cannot_be_found_is_named() {
    let world = world();
    let home = world.home.path();
    fs::write(home.join("papers/broken.pdf"), "%PDF-1.4 and no more").unwrap();
    fs::copy(fixture("../images/alpha.png"), home.join("papers/photo.png")).unwrap();
    let ran = world.run(&["index", "papers"]);
    ended(&ran, 1, "broken.pdf: is damaged");
    assert!(ran.err.contains("photo.png: page 1: it is an image without text"), "{}", ran.err);
    assert!(ran.err.contains("1 documents could not be opened"), "{}", ran.err);
    // What is whole is found all the same.
    assert_eq!(found(&world, &["rent"]), ["lease.pdf 1"]);
    let shown = world.run(&["index", "show"]).out;
    assert!(shown.contains("photo.png: 1 pages\n  page 1: it is an image"), "{shown}");
}

#[test]
fn pages_are_found_by_their_looks_with_the_model_that_made_the_index() {
    let world = world();
    let looks = fixture("../vision/colqwen2_5").display().to_string();
    let texts = fixture("bert").display().to_string();
    let index = ["index", "papers", "--index", "by-looks"];
    let ran = world.run(&[&index[..], &["--model", &looks, "--batch", "2"]].concat());
    ended(&ran, 0, "3 pages in");
    let ask = ["search", "garden", "--index", "by-looks"];
    let ran = world.run(&ask);
    // All pages are compared, and the words are shown where they stand.
    ended(&ran, 0, "3 of 3 pages by looks of all pages");
    assert_eq!(
        ran.out.lines().filter(|line| line.contains(".pdf page ")).count(),
        3,
        "{}",
        ran.out
    );
    ended(&world.run(&[&ask[..], &["--fused"]].concat()), 0, "1 of 3 pages by words, then looks");
    // Where the one word fits, and the whole question, on each of three pages.
    ended(&world.run(&[&ask[..], &["--show", "found.html"]].concat()), 0, "3 of 3 pages");
    let html = fs::read_to_string(world.home.path().join("found.html")).unwrap();
    assert_eq!(
        (html.matches("class=\"map ").count(), html.matches("src=\"data:image/").count()),
        (6, 3 + 6)
    );
    assert!(html.contains("the <mark>garden</mark> is green"));
    ended(&world.run(&[&ask[..], &["--words"]].concat()), 0, "1 of 3 pages by words");
    // What is in the index can be looked at.
    let shown = ["index", "show", "--index", "by-looks", "--previews", "seen"];
    ended(&world.run(&shown), 0, "3 pages; 0 have no image");
    let seen = world.home.path().join("seen");
    let html = fs::read_to_string(seen.join("index.html")).unwrap();
    let images: Vec<&str> =
        html.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(images.len(), 3);
    for image in images {
        documents::picture::decode(&fs::read(seen.join(image)).unwrap()).unwrap();
    }
    // A page that has not changed keeps its vectors, and so does a file that was moved.
    let home = world.home.path();
    pdf(
        &home.join("papers/lease.pdf"),
        &["The tenant pays no rent", "Keys are kept by the landlord"],
    );
    fs::rename(home.join("papers/letter.pdf"), home.join("papers/moved.pdf")).unwrap();
    let ran = world.run(&index);
    ended(&ran, 0, "2 documents added or replaced, 0 were there");
    assert!(
        ran.err.contains("2 of them are as they were, and were not encoded again"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("1 documents are not there any more, and are still"), "{}", ran.err);
    ended(&world.run(&[&index[..], &["--prune"]].concat()), 0, "any more, and are taken out");
    ended(&world.run(&ask), 0, "3 of 3 pages by looks of all pages");
    // The model need not be named again, and another is refused.
    ended(&world.run(&index), 0, "0 documents added or replaced, 2 were there");
    let ran = world.run(&[&index[..], &["--model", &texts]].concat());
    ended(&ran, 1, "were made with the model");
    // A pooled index is smaller, and another one.
    let pooled = ["index", "papers", "--index", "pooled", "--model", &looks, "--pool", "3"];
    ended(&world.run(&pooled), 0, "3 pages in");
    let bytes = |index: &str| {
        let shown = world.run(&["index", "show", "--json", "--index", index]).out;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        shown["bytes"].as_u64().unwrap()
    };
    assert!(2 * bytes("pooled") < bytes("by-looks"));
    assert_eq!(found(&world, &["garden", "--index", "pooled"]).len(), 3);
}

#[test]
fn pages_are_found_by_their_meaning() {
    let world = world();
    let texts = fixture("bert").display().to_string();
    let ran = world.run(&["index", "papers", "--index", "./near", "--model", &texts]);
    ended(&ran, 0, "3 pages in");
    assert!(world.home.path().join("near/index.sqlite").exists());
    let ran = world.run(&["search", "keys", "--index", "./near"]);
    ended(&ran, 0, "3 of 3 pages by words and meaning: ");
    // The page that has the word as well is the best.
    assert!(ran.out.lines().next().unwrap().ends_with("lease.pdf page 2"), "{}", ran.out);
    let ran = world.run(&["index", "papers", "--index", "./near", "--pool", "3"]);
    ended(&ran, 1, "`--pool`: it is for a model that looks at pages");
}

#[test]
fn the_best_hits_are_looked_at_again() {
    let world = world();
    let home = world.home.path();
    pdf(&home.join("papers/drawn.pdf"), &[""]);
    let looks = fixture("../vision/colqwen2_5").display().to_string();
    let judge = fixture("bert_rerank").display().to_string();
    ended(&world.run(&["index", "papers", "--model", &looks]), 0, "4 pages in");
    let ask = ["search", "who has the keys", "--rerank", &judge];
    let ran = world.run(&[&ask[..], &["--json"]].concat());
    ended(&ran, 0, "4 of 4 pages by looks of all pages, then the words of the best again: ");
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    let hits = answer["hits"].as_array().unwrap();
    let scores: Vec<f64> = hits.iter().filter_map(|hit| hit["relevance"].as_f64()).collect();
    // A page without words is found all the same.
    assert_eq!((hits.len(), scores.len()), (4, 3));
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    // The same that `rerank` says of the same words.
    for hit in hits.iter().filter(|hit| !hit["relevance"].is_null()) {
        let text = hit["snippet"]["text"].as_str().unwrap();
        let ran = world.run(&["rerank", &judge, "who has the keys", "--document", text, "--json"]);
        let judged: Value = serde_json::from_str(&ran.out).unwrap();
        let apart = judged["score"].as_f64().unwrap() - hit["relevance"].as_f64().unwrap();
        assert!(apart.abs() < 1e-5, "{apart}");
    }
    // Of two that are looked at again, one is wanted.
    let few = ["--rerank-pages", "2", "--limit", "1"];
    ended(&world.run(&[&ask[..], &few].concat()), 0, "1 of 4 pages");
    ended(&world.run(&["search", "x", "--rerank", &looks]), 1, "cannot rerank");
    let long = ["search", "--words", &"rent ".repeat(600), "--rerank", &judge];
    ended(&world.run(&long), 1, "ask in fewer words");
}

#[test]
fn bench_index_tells_what_each_stage_takes() {
    let world = world();
    let looks = fixture("../vision/colqwen2_5").display().to_string();
    let bench = ["bench", "index", "papers", "--model", &looks, "--batch", "2"];
    let object = world.run(&[&bench[..], &["--json"]].concat()).json();
    assert_eq!((&object["pages"], &object["failed"]), (&3.into(), &0.into()));
    for pointer in [
        "/pages_per_minute",
        "/stage_seconds/parse",
        "/stage_seconds/draw",
        "/stage_seconds/prepare",
        "/stage_seconds/preview",
        "/stage_seconds/encode",
        "/stage_seconds/write",
        "/vectors_per_page",
        "/question_seconds",
        "/search_seconds",
        "/vector_bytes",
        "/peak_rss_bytes",
    ] {
        assert!(object.pointer(pointer).unwrap().as_f64().unwrap() > 0.0, "{pointer} {object}");
    }
    let ran = world.run(&["bench", "index", "papers"]);
    assert!(
        ran.code == Some(0) && ran.out.contains("3 pages of 2 documents, 0 failed"),
        "{}",
        ran.err
    );
    // It leaves nothing behind.
    ended(&world.run(&["index", "show"]), 1, "there is no index");
    ended(&world.run(&["bench", "index", "nothing.pdf"]), 1, "nothing was given");
}

#[test]
fn eval_vidore_counts_as_a_pencil_does() {
    let world = world();
    let folder = world.home.path().join("bench");
    fs::create_dir_all(folder.join("qrels")).unwrap();
    let pages = [
        ("1", "The tenant pays rent"),
        ("2", "Keys are kept by the landlord"),
        ("3", "A green garden"),
    ];
    let mut corpus = String::new();
    for (name, words) in pages {
        pdf(&folder.join(format!("{name}.pdf")), &[words]);
        corpus += &format!("{{\"corpus-id\": {name}, \"image\": \"{name}.pdf\"}}\n");
    }
    fs::write(folder.join("corpus.jsonl"), corpus).unwrap();
    let queries = [("a", "garden"), ("b", "rent"), ("c", "keys landlord"), ("d", "tenant")];
    let queries =
        queries.map(|(name, text)| format!("{{\"_id\": \"{name}\", \"text\": \"{text}\"}}\n"));
    fs::write(folder.join("queries.jsonl"), queries.concat()).unwrap();
    // The first is found, the second is not; of the third's two one is; the fourth has nothing to find.
    let judged = "query-id\tcorpus-id\tscore\na\t3\t1\nb\t3\t1\nc\t2\t2\nc\t1\t1\nd\t1\t0\n";
    fs::write(folder.join("qrels/test.tsv"), judged).unwrap();
    let eval = ["eval", "vidore", "bench"];
    let found = world.run(&[&eval[..], &["--json", "--run", "run.txt"]].concat()).json();
    let third = 2.0 / (2.0 + 1.0 / 3.0_f64.log2());
    for (name, expected) in [
        ("ndcg_at_1", 2.0 / 3.0),
        ("ndcg_at_5", (1.0 + third) / 3.0),
        ("ndcg_at_10", (1.0 + third) / 3.0),
        ("recall_at_5", 0.5),
    ] {
        let value = found[name].as_f64().unwrap();
        assert!((value - expected).abs() < 1e-9, "{name} {value} {expected}");
    }
    assert_eq!(
        (&found["pages"], &found["queries"], &found["failed"]),
        (&3.into(), &3.into(), &0.into())
    );
    let run = fs::read_to_string(world.home.path().join("run.txt")).unwrap();
    assert_eq!(
        run.lines().collect::<Vec<_>>(),
        ["a Q0 3 1 1 folio", "b Q0 1 1 1 folio", "c Q0 2 1 1 folio", "d Q0 1 1 1 folio"]
    );
    let found = world.run(&[&eval[..], &["--json", "--gain", "exponential"]].concat()).json();
    let third = 3.0 / (3.0 + 1.0 / 3.0_f64.log2());
    assert!((found["ndcg_at_5"].as_f64().unwrap() - (1.0 + third) / 3.0).abs() < 1e-9);
    // With a model that looks, and an index that is kept.
    let looks = fixture("../vision/colqwen2_5").display().to_string();
    let kept = ["--model", &looks, "--index", "kept"];
    let ran = world.run(&[&eval[..], &kept].concat());
    ended(&ran, 0, "");
    assert!(ran.out.contains("3 pages, 3 queries with a relevant page"), "{}", ran.out);
    ended(&world.run(&["search", "x", "--index", "./kept"]), 0, "3 of 3 pages by looks");
    // What is wrong with the data is named with its place.
    fs::write(folder.join("qrels/test.tsv"), "a\t9\t1\n").unwrap();
    ended(&world.run(&eval), 1, "the page `9` of the query `a` is not in the corpus");
    fs::write(folder.join("qrels/test.tsv"), "a\t3\t1\na\t3\n").unwrap();
    ended(&world.run(&eval), 1, "line 2: it has less than three columns");
    fs::write(folder.join("queries.jsonl"), "{\"_id\": \"a\"}\n").unwrap();
    ended(&world.run(&eval), 1, "line 1: it lacks `text`");
    ended(&world.run(&["eval", "vidore", "papers"]), 1, "images");
}

#[test]
fn pages_are_found_by_the_tokens_of_their_words() {
    let world = world();
    let home = world.home.path();
    pdf(&home.join("papers/blank.pdf"), &[""]);
    let tokens = fixture("xlm-roberta").display().to_string();
    let index = ["index", "papers", "--index", "tokens"];
    let ran = world.run(&[&index[..], &["--model", &tokens, "--token-vectors"]].concat());
    ended(&ran, 0, "4 pages in");
    let ask = ["search", "garden", "--index", "tokens"];
    ended(&world.run(&ask), 0, "4 of 4 pages by tokens of all pages: ");
    let fused = world.run(&[&ask[..], &["--fused"]].concat());
    ended(&fused, 0, "pages by words and meaning, then tokens: ");
    // How it was made is known, and what has not changed keeps its vectors.
    pdf(
        &home.join("papers/lease.pdf"),
        &["The tenant pays no rent", "Keys are kept by the landlord"],
    );
    let ran = world.run(&index);
    ended(&ran, 0, "1 documents added or replaced, 2 were there");
    assert!(ran.err.contains("1 of them are as they were"), "{}", ran.err);
    ended(&world.run(&ask), 0, "4 of 4 pages by tokens of all pages: ");
    let bert = fixture("bert").display().to_string();
    let other = ["index", "papers", "--index", "other", "--token-vectors"];
    let ran = world.run(&[&other[..], &["--model", &bert]].concat());
    ended(&ran, 1, "makes no vectors of tokens");
    let looks = fixture("../vision/colqwen2_5").display().to_string();
    let both = ["--model", &looks, "--model", &tokens];
    ended(
        &world.run(&[&other[..], &both].concat()),
        1,
        "make vectors that are compared one by one",
    );
}
