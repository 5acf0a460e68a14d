//! `run` with a schema or grammar: the answer is what was asked for, or is called unfinished.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::world::{Ran, World, fixture};

fn run(world: &World, flags: &[&str]) -> Ran {
    let model = fixture("qwen3");
    let warm = ["--temperature", "1", "--top-k", "0", "--top-p", "1"];
    world.run(&[&["run", model.to_str().unwrap(), "hello"][..], &warm, flags].concat())
}

#[test]
fn an_answer_is_what_was_asked_for() {
    let world = World::new();
    let file = |name: &str, text: &str| {
        let path = world.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let schema = file(
        "schema.json",
        &json!({"type": "object", "additionalProperties": false, "required": ["a"],
                "properties": {"a": {"enum": ["one", "two"]}}})
        .to_string(),
    );
    let lark = file("sums.lark", "start: NUMBER (\"+\" NUMBER)~1..3\nNUMBER: /[1-9][0-9]?/");
    for seed in ["1", "2", "3"] {
        let answer = |flags: &[&str]| {
            let answer = run(&world, &[flags, &["--seed", seed]].concat());
            assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""), "{flags:?}");
            answer.out.trim_end().to_owned()
        };
        let value: Value = serde_json::from_str(&answer(&["--schema", &schema])).unwrap();
        assert!(["one", "two"].contains(&value["a"].as_str().unwrap()));
        let sum = answer(&["--grammar", &lark]);
        let numbers: Vec<u32> = sum.split('+').map(|number| number.parse().unwrap()).collect();
        assert!((2..=4).contains(&numbers.len()), "{sum}");
        assert!(["yes", "no, never"].contains(&&*answer(&[
            "--choice",
            "yes",
            "--choice",
            "no, never"
        ])));
        let letters = answer(&["--regex", "[xyz]{5}"]);
        assert!(letters.len() == 5 && letters.bytes().all(|b| b"xyz".contains(&b)), "{letters}");
    }
}

#[test]
fn an_answer_that_was_cut_is_called_unfinished() {
    let world = World::new();
    let cut = run(&world, &["--json-object", "--max-tokens", "2", "--json", "--seed", "1"]);
    assert_eq!(cut.code, Some(1));
    assert!(cut.err.contains("after 2 tokens, before it was complete"), "{}", cut.err);
    let told: Value = serde_json::from_str(&cut.out).unwrap();
    assert_eq!(told["finish_reason"], "unfinished");
    assert!(told["text"].as_str().unwrap().starts_with('{'));
}

#[test]
fn what_an_answer_cannot_be_held_to_is_told() {
    let world = World::new();
    let file = |name: &str, text: &str| std::fs::write(world.home.path().join(name), text).unwrap();
    file("not.json", "{\"properties\": {\"a\": {\"not\": {}}}}");
    file("broken.json", "{");
    let told = |flags: &[&str]| run(&world, flags).transcript();
    let home = |name: &str| world.home.path().join(name).to_str().unwrap().to_owned();
    assert_snapshot!("held_unsupported", told(&["--schema", &home("not.json")]));
    assert_snapshot!("held_broken", told(&["--schema", &home("broken.json")]));
    assert_snapshot!("held_missing", told(&["--schema", "none.json"]));
    assert_snapshot!("held_regex", told(&["--regex", "a("]));
    assert_snapshot!("held_twice", told(&["--json-object", "--choice", "a"]));
}
