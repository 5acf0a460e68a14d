//! Vectors of texts, and texts in the order in which they answer.

use insta::assert_snapshot;

use crate::world::{World, fixture};

fn model(name: &str) -> String {
    fixture(name).to_str().unwrap().to_owned()
}

#[test]
fn embed_cuts_vectors_where_that_makes_sense() {
    let world = World::new();
    let bert = model("bert");
    let vector = |flags: &[&str]| -> Vec<f64> {
        let answer = world.run(&[&["embed", &bert, "two words"], flags].concat()).json();
        answer["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let (whole, cut) = (vector(&[]), vector(&["--dimensions", "16"]));
    let length = whole[..16].iter().map(|x| x * x).sum::<f64>().sqrt();
    assert_eq!(cut.len(), 16);
    assert!(cut.iter().zip(&whole).all(|(cut, x)| (cut - x / length).abs() < 1e-6));
    for (n, says) in [("0", "between 1"), ("65", "between 1")] {
        let refused = world.run(&["embed", &bert, "a", "--dimensions", n]);
        assert!(refused.err.contains(says) && refused.code != Some(0), "{}", refused.err);
    }
}

#[test]
fn debug_embed_prints_all_that_a_model_makes() {
    let world = World::new();
    let m3 = model("xlm-roberta");
    let text = "The tenant shall pay the rent and the tenant";
    let flags = ["--kind", "dense,sparse,multi", "--exact"];
    let made = world.run(&[&["debug", "embed", &m3, text], &flags[..]].concat()).json();
    let tokens = made["tokens"].as_u64().unwrap() as usize;
    let vectors = made["multi"].as_array().unwrap();
    assert_eq!((made["dense"].as_array().unwrap().len(), vectors.len()), (64, tokens - 1));
    let sparse = made["sparse"].as_array().unwrap();
    let ids: Vec<_> = sparse.iter().map(|entry| entry["id"].as_u64().unwrap()).collect();
    assert!(!ids.is_empty() && ids.iter().all(|id| *id > 3), "{ids:?}");
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    assert!(sparse.iter().all(|entry| entry["weight"].as_f64().unwrap() > 0.0));
    let refused = world.run(&["debug", "embed", &model("bert"), text, "--kind", "sparse"]);
    assert_snapshot!("debug_embed_sparse", refused.transcript());
}

#[test]
fn rerank_puts_the_best_first() {
    let world = World::new();
    let (bert, m3) = (model("bert_rerank"), model("xlm-roberta_rerank"));
    let texts =
        ["the rent", "thirty days' notice", "the landlord shall keep the house in good repair"];
    for (index, text) in texts.iter().enumerate() {
        std::fs::write(world.home.path().join(format!("{index}.txt")), text).unwrap();
    }
    let ask = |model: &str, flags: &[&str]| {
        let words = [&["rerank", model, "Who pays?", "0.txt", "1.txt", "2.txt"], flags].concat();
        world.run(&words)
    };
    let lines = |ran: crate::world::Ran| -> Vec<serde_json::Value> {
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let score = |line: &serde_json::Value| line["score"].as_f64().unwrap();
    // One model's files put nothing after the logit, the other's say nothing.
    for (model, sigmoid) in [(&bert, false), (&m3, true)] {
        let scores = lines(ask(model, &["--json", "--exact"]));
        let logits = lines(ask(model, &["--json", "--exact", "--logits"]));
        assert_eq!(scores.len(), 3);
        assert!(scores.is_sorted_by(|a, b| score(a) > score(b)), "{scores:?}");
        for (scored, logit) in scores.iter().zip(&logits) {
            assert_eq!(scored["file"], logit["file"]);
            let x = score(logit);
            let expected = if sigmoid { 1.0 / (1.0 + (-x).exp()) } else { x };
            assert!((score(scored) - expected).abs() < 1e-6, "{scored} {logit}");
        }
        let piped = world.run_with(
            &["rerank", model, "Who pays?", "-", "--json", "--exact", "--top", "1"],
            Some(&texts.join("\n")),
        );
        let best = lines(piped).remove(0);
        assert_eq!(best["document"], texts[best["index"].as_u64().unwrap() as usize]);
        assert!((score(&best) - score(&scores[0])).abs() < 1e-6);
    }
    assert_snapshot!("rerank", ask(&m3, &["--exact"]).transcript());
    let long = "word ".repeat(100);
    let too_long = world.run(&["rerank", &bert, "Who pays?", "--document", &long]);
    assert_snapshot!("rerank_too_long", too_long.transcript());
    let cut = ["--document", &long, "--truncate", "--json"];
    let cut = world.run(&[&["rerank", &bert, "Who pays?"], &cut[..]].concat()).json();
    assert_eq!((&cut["truncated"], &cut["tokens"]), (&true.into(), &64.into()));
    let long_question = world.run(&["rerank", &bert, &long, "--document", "a", "--truncate"]);
    assert!(long_question.err.contains("at most 64"), "{}", long_question.err);
    let classes = world.run(&["rerank", &model("bert_classes"), "Who pays?", "0.txt"]);
    assert_snapshot!("rerank_classes", classes.transcript());
    let embedder = world.run(&["rerank", &model("bert"), "Who pays?", "0.txt"]);
    assert_snapshot!("rerank_embedder", embedder.transcript());
    let other = world.run(&["embed", &bert, "a"]);
    assert!(other.err.contains("a classifier of texts"), "{}", other.err);
}
