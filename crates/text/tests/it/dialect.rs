//! Dialects of whole checkpoints: template, tokenizer and parser together.

use serde_json::json;
use text::{Answer, Dialect, Message, RenderOptions, Said, Special, Template, ToolCall, Tools};

use crate::golden::{file, tokenizer};

const NAMES: [(&str, &str, bool); 6] = [
    ("qwen2.5", "hermes", false),
    ("qwen3", "hermes", true),
    ("chatml", "plain", false),
    ("zephyr", "plain", false),
    ("llama3", "python-tag", false),
    ("qwen2-vl", "plain", false),
];

fn template(name: &str) -> Template {
    let source = file(&format!("text/templates/{name}.jinja")).unwrap();
    Template::from_parts(Some(std::str::from_utf8(&source).unwrap()), None).unwrap().unwrap()
}

#[test]
fn checkpoints_say_what_they_speak() {
    let tokenizer = tokenizer("sentencepiece");
    for (name, calls, thinks) in NAMES {
        let dialect = Dialect::of(Some(template(name).source()), &tokenizer);
        assert_eq!((dialect.name(), dialect.thinks()), (calls, thinks), "{name}");
    }
    let plain = Dialect::of(None, &tokenizer);
    assert_eq!((plain.name(), plain.calls()), ("plain", false));
    assert_eq!(plain.with_calls("hermes").unwrap().name(), "hermes");
    assert!(plain.with_calls("klingon").is_none());
}

/// What a template writes of calls comes back as the same calls.
#[test]
fn what_templates_write_is_read() {
    let tools = json!([{"type": "function", "function": {"name": "get_weather", "parameters": {
        "type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer"}}}}}]);
    let arguments = json!({"place": "Köln \"</tool_call>\"", "days": 2});
    let call = |id: &str| ToolCall {
        id: id.into(),
        name: "get_weather".into(),
        arguments: arguments.clone(),
    };
    let question = [Message::user("Weather?")];
    for (name, calls, thinks) in NAMES {
        if calls != "hermes" {
            continue;
        }
        let template = template(name);
        let options = RenderOptions { tools: Some(tools.clone()), ..RenderOptions::answer() };
        let prompt = template.render(&question, &options).unwrap();
        let mut answer = Message::assistant("I look.");
        answer.reasoning = thinks.then(|| "Rain?".to_owned());
        answer.tool_calls = vec![call("abcdefgh1"), call("abcdefgh2")];
        let options = RenderOptions { tools: Some(tools.clone()), ..RenderOptions::default() };
        let whole = template.render(&[question[0].clone(), answer], &options).unwrap();
        let written = whole.strip_prefix(&prompt).unwrap();
        let written = written.trim_end().strip_suffix("<|im_end|>").unwrap();

        let dialect = Dialect::of(Some(template.source()), &tokenizer("sentencepiece"));
        let mut reader = dialect.reader(&Tools::new(Some(&tools)), &prompt);
        let mut answer: Answer = reader.push(written).into_iter().collect();
        answer.extend(reader.finish());
        assert_eq!(answer.text, "I look.", "{name}");
        assert_eq!(answer.reasoning, if thinks { "Rain?" } else { "" }, "{name}");
        assert_eq!(answer.calls.len(), 2, "{name}: {written}");
        for call in answer.calls {
            assert_eq!((call.name.as_str(), call.offered, call.fault), ("get_weather", true, None));
            assert_eq!(serde_json::Value::from(call.object().unwrap()), arguments, "{name}");
        }
    }
}

/// Marks that are special tokens reach the reader, and no other special token does.
#[test]
fn only_the_marks_are_kept() {
    let json = file("tokenizers/sentencepiece/tokenizer.json").unwrap();
    let mut config = serde_json::Map::new();
    let next = tokenizer("sentencepiece").vocabulary();
    for (at, token) in ["<tool_call>", "</tool_call>", "<|other|>"].into_iter().enumerate() {
        config.insert((next + at).to_string(), json!({"content": token, "special": true}));
    }
    let config = json!({"added_tokens_decoder": config}).to_string();
    let tokenizer = text::Tokenizer::from_json(&json, Some(config.as_bytes())).unwrap();
    let text = "a<|other|><tool_call>{\"name\": \"f\"}</tool_call>";
    let ids = tokenizer.encode(text, Special::Omit).unwrap();
    assert!(ids.iter().filter(|&&id| tokenizer.is_special(id)).count() == 3);
    let dialect = Dialect::of(None, &tokenizer).with_calls("hermes").unwrap();
    let tools = Tools::new(Some(&json!([{"name": "f"}])));
    for (tools, expected) in [
        (tools, "a<tool_call>{\"name\": \"f\"}</tool_call>"),
        (Tools::default(), "a{\"name\": \"f\"}"),
    ] {
        let reader = dialect.reader(&tools, "");
        let mut detokenizer = tokenizer.detokenizer().keep(reader.marks());
        let mut out: String = ids.iter().map(|&id| detokenizer.push(id).unwrap()).collect();
        out += &detokenizer.finish().unwrap();
        // This tokenizer puts spaces behind special tokens.
        assert_eq!(out.replace(' ', ""), expected.replace(' ', ""));
    }
    // In a person's words a mark is letters.
    let literal = tokenizer.encode(text, Special::OmitLiteral).unwrap();
    assert!(!literal.iter().any(|&id| tokenizer.is_special(id)));
    let mut reader = dialect.reader(&Tools::new(Some(&json!([{"name": "f"}]))), "");
    assert!(matches!(&reader.push("<tool_call>{\"name\": \"f\"}")[0], Said::CallBegin { .. }));
}
