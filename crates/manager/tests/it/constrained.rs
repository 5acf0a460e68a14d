//! Answers that are held to a schema or grammar: random weights write them, so only the rule makes them right.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use manager::runtime::{
    Error, FinishReason, GenerateOptions, Generation, LoadOptions, LoadedModel, Piece, Prompt,
    Runtime,
};
use manager::{CpuOptions, Grammar, Kind, Message, Precision, RenderOptions};
use serde_json::{Value, json};

/// One spells bytes and has two end tokens; the other begins words with a mark that the beginning of a text drops.
const MODELS: [&str; 2] = ["qwen3", "llama2"];

fn load(name: &str) -> Arc<LoadedModel> {
    let options =
        CpuOptions { threads: Some(1), precision: Precision::Exact, ..CpuOptions::default() };
    let runtime = Arc::new(Runtime::start(options).unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").join(name);
    LoadedModel::load(&runtime, &path, LoadOptions::default()).unwrap()
}

fn held(grammar: &Grammar, seed: u64, max_tokens: usize) -> GenerateOptions {
    GenerateOptions {
        max_tokens: Some(max_tokens),
        temperature: Some(1.2),
        top_k: Some(0),
        top_p: Some(1.0),
        seed: Some(seed),
        constraint: Some(grammar.clone()),
        ..GenerateOptions::default()
    }
}

fn begin(model: &Arc<LoadedModel>, options: &GenerateOptions) -> Generation {
    let prompt = (1..4 + options.seed.unwrap_or(0) as u32 % 9).collect();
    model.generate(&Prompt::Tokens(prompt), options).unwrap()
}

/// The text, and why it ended.
fn read(answer: &mut Generation) -> (String, FinishReason) {
    let mut text = String::new();
    loop {
        match answer.next_piece().unwrap().unwrap() {
            Piece::Text(piece) => text.push_str(&piece),
            Piece::End(reason) => return (text, reason),
            Piece::Progress(_) | Piece::Aside(_) => {}
        }
    }
}

type Check = fn(&Value) -> bool;

fn schemas() -> Vec<(Value, Check)> {
    vec![
        (
            json!({"type": "object", "additionalProperties": false, "required": ["kind", "rows"],
                   "properties": {"kind": {"enum": ["lease", "übergabe", "a \"quoted\"\nline"]},
                                  "rows": {"type": "array", "minItems": 1, "maxItems": 2,
                                           "items": {"type": "array", "maxItems": 2, "items": {"type": "boolean"}}}}}),
            |value| {
                let rows = value["rows"].as_array().unwrap();
                let row = |row: &Value| {
                    let row = row.as_array().unwrap();
                    row.len() <= 2 && row.iter().all(Value::is_boolean)
                };
                value.as_object().unwrap().len() == 2
                    && ["lease", "übergabe", "a \"quoted\"\nline"]
                        .contains(&value["kind"].as_str().unwrap())
                    && (1..=2).contains(&rows.len())
                    && rows.iter().all(row)
            },
        ),
        (
            json!({"type": "object", "additionalProperties": false, "required": ["rent"],
                   "properties": {"rent": {"type": "number", "minimum": 10, "exclusiveMaximum": 2000},
                                  "month": {"type": "integer", "minimum": 1, "maximum": 12}}}),
            |value| {
                let rent = value["rent"].as_f64().unwrap();
                let month =
                    value.get("month").is_none_or(|m| (1..=12).contains(&m.as_i64().unwrap()));
                value
                    .as_object()
                    .unwrap()
                    .keys()
                    .all(|key| ["rent", "month"].contains(&key.as_str()))
                    && (10.0..2000.0).contains(&rent)
                    && month
            },
        ),
        (
            // All letters, and escapes of those that need them.
            json!({"type": "array", "minItems": 2, "maxItems": 2,
                   "items": {"type": "string", "minLength": 1, "maxLength": 9}}),
            |value| {
                let texts = value.as_array().unwrap();
                let fits = |text: &Value| (1..=9).contains(&text.as_str().unwrap().chars().count());
                texts.len() == 2 && texts.iter().all(fits)
            },
        ),
        (
            json!({"$defs": {"day": {"type": "string", "format": "date"}},
                   "anyOf": [{"$ref": "#/$defs/day"}, {"type": "null"}, {"type": "string", "pattern": "^[A-F]{2}-\\d{3}$"}]}),
            |value| match value.as_str() {
                None => value.is_null(),
                Some(text) => {
                    let digits = |part: &str, n: usize| {
                        part.len() == n && part.bytes().all(|b| b.is_ascii_digit())
                    };
                    let parts: Vec<_> = text.split('-').collect();
                    match parts[..] {
                        [year, month, day] => digits(year, 4) && digits(month, 2) && digits(day, 2),
                        [letters, number] => {
                            letters.len() == 2
                                && letters.bytes().all(|b| (b'A'..=b'F').contains(&b))
                                && digits(number, 3)
                        }
                        _ => false,
                    }
                }
            },
        ),
    ]
}

/// A hundred seeds for each schema and model, many in a batch, among others that nothing holds.
#[test]
fn random_weights_write_what_the_schema_allows() {
    for name in MODELS {
        let model = load(name);
        for (schema, check) in schemas() {
            let grammar = Grammar::JsonSchema(schema.clone());
            model.compile(&grammar).unwrap();
            let (mut whole, mut texts) = (0, BTreeSet::new());
            for seeds in (0..100).collect::<Vec<u64>>().chunks(20) {
                let mut answers: Vec<_> =
                    seeds.iter().map(|&seed| begin(&model, &held(&grammar, seed, 110))).collect();
                let free = GenerateOptions {
                    max_tokens: Some(60),
                    ignore_eos: true,
                    ..GenerateOptions::default()
                };
                let mut stranger = begin(&model, &free);
                for answer in &mut answers {
                    let (text, reason) = read(answer);
                    assert_eq!(answer.lacks(&reason), reason == FinishReason::Unfinished);
                    if reason == FinishReason::Unfinished {
                        // Digits after the point have no bound.
                        continue;
                    }
                    assert_eq!(reason, FinishReason::Stop, "{name}: {text}");
                    let value: Value = serde_json::from_str(&text)
                        .unwrap_or_else(|error| panic!("{name}, {schema}: {error} in {text:?}"));
                    assert!(check(&value), "{name}, {schema}: {text}");
                    whole += 1;
                    texts.insert(text);
                }
                assert_eq!(read(&mut stranger).1, FinishReason::Length);
            }
            assert!(whole >= 50, "{name}, {schema}: {whole}");
            assert!(texts.len() > 20, "{name}, {schema}: always the same");
        }
    }
}

#[test]
fn among_others_an_answer_is_as_alone() {
    let model = load("qwen3");
    let grammar = Grammar::JsonSchema(schemas().swap_remove(2).0);
    let alone: Vec<_> =
        (0..12).map(|seed| read(&mut begin(&model, &held(&grammar, seed, 80)))).collect();
    let mut answers: Vec<_> =
        (0..12).map(|seed| begin(&model, &held(&grammar, seed, 80))).collect();
    let together: Vec<_> = answers.iter_mut().map(read).collect();
    assert_eq!(alone, together);
}

#[test]
fn every_end_that_the_model_knows_ends_an_answer_where_it_may_end() {
    let model = load("qwen3");
    let mut ends = BTreeSet::new();
    for seed in 0..150 {
        let grammar = Grammar::Regex("[a-c ]{0,3}".to_owned());
        let mut answer = begin(&model, &held(&grammar, seed, 50));
        let (text, reason) = read(&mut answer);
        assert_eq!(reason, FinishReason::Stop);
        assert!(text.len() <= 3 && text.bytes().all(|b| b"abc ".contains(&b)), "{text:?}");
        if text.len() < 3 {
            ends.extend(answer.tokens().last().copied());
        }
    }
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), [500, 502]);
}

#[test]
fn what_was_cut_is_called_unfinished() {
    let model = load("llama2");
    let schema = Grammar::JsonSchema(json!({"type": "string", "minLength": 500}));
    let mut answer = begin(&model, &held(&schema, 1, 20));
    let (text, reason) = read(&mut answer);
    assert_eq!((text.starts_with('"'), &reason), (true, &FinishReason::Unfinished));
    assert!(answer.lacks(&reason));
    // What may end anywhere was cut, and is whole.
    let mut answer = begin(&model, &held(&Grammar::Regex("[a-z]*x?".to_owned()), 1, 1));
    let (_, reason) = read(&mut answer);
    assert!([FinishReason::Length, FinishReason::Stop].contains(&reason) && !answer.lacks(&reason));
    // Before a stop string something is missing.
    let options = GenerateOptions { stop: vec!["\"".to_owned()], ..held(&schema, 1, 20) };
    let mut answer = begin(&model, &options);
    let (_, reason) = read(&mut answer);
    assert!(matches!(reason, FinishReason::StopString(_)) && answer.lacks(&reason));
}

#[test]
fn what_cannot_be_held_to_is_refused() {
    let model = load("qwen3");
    let refused = |options: &GenerateOptions| {
        model.generate(&Prompt::Text("a".to_owned()), options).map(|_| ()).unwrap_err()
    };
    let schema = Grammar::JsonSchema(json!({"not": {}}));
    let error = refused(&held(&schema, 0, 9));
    assert!(matches!(error, Error::Grammar(_)) && error.kind() == Kind::Unsupported, "{error:?}");
    assert!(error.hint().is_some() && model.compile(&schema).is_err());
    let error = refused(&held(&Grammar::Regex("(".to_owned()), 0, 9));
    assert_eq!(error.kind(), Kind::Invalid);
    let endless = GenerateOptions { ignore_eos: true, ..held(&Grammar::JsonObject, 0, 9) };
    assert!(matches!(refused(&endless), Error::Parameter { name: "ignore_eos", .. }));
}

/// More grammars than are kept.
#[test]
fn grammars_come_and_go() {
    let model = load("qwen3");
    for round in 0..2 {
        for n in 0..20 {
            let grammar = Grammar::Choice(vec![format!("n{n}"), format!("m{n}")]);
            let (text, reason) = read(&mut begin(&model, &held(&grammar, round, 20)));
            assert_eq!(reason, FinishReason::Stop);
            assert!([format!("n{n}"), format!("m{n}")].contains(&text), "{text}");
        }
    }
}

/// A thought that the template begins is ended first, and what follows is told as the answer.
#[test]
fn the_answer_is_held_and_not_the_thought() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models/qwen3");
    for file in std::fs::read_dir(fixture).unwrap() {
        let file = file.unwrap();
        let mut bytes = std::fs::read(file.path()).unwrap();
        if file.file_name() == "tokenizer_config.json" {
            let text = String::from_utf8(bytes).unwrap();
            let thinking = text.replace("assistant\\\\n'", "assistant\\\\n<think>\\\\n'");
            assert_ne!(text, thinking);
            bytes = thinking.into_bytes();
        }
        std::fs::write(folder.path().join(file.file_name()), bytes).unwrap();
    }
    let options = CpuOptions { threads: Some(1), ..CpuOptions::default() };
    let runtime = Arc::new(Runtime::start(options).unwrap());
    let model = LoadedModel::load(&runtime, folder.path(), LoadOptions::default()).unwrap();
    let texts = ["{\"name\": \"add\", \"arguments\": {}}", "no"].map(str::to_owned);
    let grammar = Grammar::Choice(texts.to_vec());
    for tell_apart in [true, false] {
        for seed in 0..8 {
            let options = GenerateOptions { tell_apart, ..held(&grammar, seed, 60) };
            let prompt = Prompt::Chat(vec![Message::user("a")], Box::new(RenderOptions::answer()));
            let mut answer = model.generate(&prompt, &options).unwrap();
            let (text, reason) = read(&mut answer);
            assert!(texts.contains(&text), "{text:?}");
            assert_eq!(reason, FinishReason::Stop);
            let without = model.encode_prompt(&prompt).unwrap().len();
            assert!(answer.usage().prompt_tokens > without);
            assert_eq!(answer.usage().reasoning_tokens, Some(0));
        }
    }
    // Who is not held thinks until there is no room left.
    for (tell_apart, thinks) in [(true, 20), (false, 0)] {
        let max_tokens = Some(20);
        let options = GenerateOptions {
            max_tokens,
            tell_apart,
            temperature: Some(0.0),
            ..GenerateOptions::default()
        };
        let prompt = Prompt::Chat(vec![Message::user("a")], Box::new(RenderOptions::answer()));
        let mut answer = model.generate(&prompt, &options).unwrap();
        let (text, reason) = read(&mut answer);
        assert_eq!((text.is_empty(), reason), (tell_apart, FinishReason::Length));
        assert_eq!(answer.usage().reasoning_tokens, Some(thinks));
    }
}
