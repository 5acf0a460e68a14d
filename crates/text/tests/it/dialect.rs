//! Dialects of whole checkpoints: template, tokenizer and parser together.

use serde_json::json;
use text::grammar::Place;
use text::{
    Answer, Dialect, LocalTime, Message, RenderOptions, Said, Special, Template, ToolCall, Tools,
};

use crate::golden::{file, tokenizer};
use crate::grammar::{Dice, walk};

/// Templates, what their models speak, whether they think, and what ends an answer.
const NAMES: [(&str, &str, bool, &str); 15] = [
    ("qwen2.5", "hermes", false, "<|im_end|>\n"),
    ("qwen3", "hermes", true, "<|im_end|>\n"),
    ("qwen3-coder", "elements", false, "<|im_end|>\n"),
    ("llama3", "python-tag", false, "<|eot_id|>"),
    ("mistral-tools", "brackets", false, "</s>"),
    ("mistral-args", "brackets", false, "</s>"),
    ("deepseek-r1", "deepseek", true, "<｜end▁of▁sentence｜>"),
    ("deepseek-v3.1", "deepseek", true, "<｜end▁of▁sentence｜>"),
    ("gpt-oss", "harmony", true, "<|call|>"),
    ("phi4-mini", "functools", false, "<|end|></s>"),
    ("gemma3", "fenced", false, "<end_of_turn>\n"),
    ("chatml", "fenced", false, "<|im_end|>\n"),
    ("zephyr", "fenced", false, "</s>\n"),
    ("mistral-alternating", "fenced", false, "</s>"),
    ("qwen2-vl", "fenced", false, "<|im_end|>\n"),
];
const TOKENS: &[u8] = br#"{"bos_token": "<s>", "eos_token": "</s>"}"#;

fn template(name: &str) -> Template {
    let source = file(&format!("text/templates/{name}.jinja")).unwrap();
    Template::from_parts(Some(std::str::from_utf8(&source).unwrap()), Some(TOKENS))
        .unwrap()
        .unwrap()
}

#[test]
fn checkpoints_say_what_they_speak() {
    let tokenizer = tokenizer("sentencepiece");
    for (name, calls, thinks, _) in NAMES {
        let dialect = Dialect::of(Some(&template(name)), &tokenizer);
        assert_eq!((dialect.name(), dialect.thinks()), (calls, thinks), "{name}");
        assert!(dialect.calls());
    }
    let plain = Dialect::of(None, &tokenizer);
    assert_eq!((plain.name(), plain.calls()), ("plain", false));
    assert_eq!(plain.with_calls("hermes").unwrap().name(), "hermes");
    assert!(plain.with_calls("klingon").is_none());
    // Tools are printed, but nobody knows how calls look; or they look otherwise than their marks say.
    let messages = "{{ tools }}{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}";
    for calls in ["", "{{ '<tool_call>name<arg_key>' }}"] {
        let template = Template::from_parts(Some(&format!("{messages}{calls}")), None).unwrap();
        assert_eq!(Dialect::of(template.as_ref(), &tokenizer).name(), "plain", "{calls}");
    }
}

fn options() -> RenderOptions {
    RenderOptions { now: Some(LocalTime::from_unix(1_773_043_507, 0)), ..RenderOptions::default() }
}

/// What a template writes of calls comes back as the same calls.
#[test]
fn what_templates_write_is_read() {
    let tools = json!([{"type": "function", "function": {"name": "get_weather", "description": "", "parameters": {
        "type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer"},
                                         "at": {"type": "array"}}}}}]);
    let arguments = json!({"place": "Köln \"</tool_call>\" \\\n", "days": 2, "at": [{"h": 1.5}]});
    let call = |id: &str| ToolCall {
        id: id.into(),
        name: "get_weather".into(),
        arguments: arguments.clone(),
    };
    let question = Message::user("Weather?");
    for (name, _, _, end) in NAMES {
        let template = template(name);
        // One call where the template knows no more, or ends the answer behind it.
        let single = ["llama3", "gpt-oss"].contains(&name);
        // Templates that leave out what stands beside a call.
        let silent = ["llama3", "mistral-tools", "deepseek-r1"].contains(&name);
        let with = RenderOptions { tools: Some(tools.clone()), ..options() };
        let asked = [question.clone()];
        let open = RenderOptions { add_generation_prompt: true, ..with.clone() };
        let prompt = template.render(&asked, &open).unwrap();
        assert!(prompt.contains("get_weather") && prompt.contains("days"), "{name}: {prompt}");
        let mut said = Message::assistant(if silent { "" } else { "I look." });
        said.reasoning = (name == "qwen3").then(|| "Rain?".to_owned());
        said.tool_calls = vec![call("abcdefgh1")];
        said.tool_calls.extend((!single).then(|| call("abcdefgh2")));
        let whole = template.render(&[question.clone(), said.clone()], &with).unwrap();
        // What the model wrote: what follows the question. A thought that the template opened is closed first.
        let opened = prompt.trim_end().strip_suffix("<think>").filter(|_| name == "deepseek-r1");
        let mut written = whole.strip_prefix(opened.unwrap_or(&prompt)).unwrap().to_owned();
        if opened.is_some() {
            written.insert_str(0, "Rain?\n</think>\n\n");
        }
        let written = written.strip_suffix(end).unwrap_or_else(|| panic!("{name}: {written}"));
        let dialect = Dialect::of(Some(&template), &tokenizer("sentencepiece"));
        let mut reader = dialect.reader(&Tools::new(Some(&tools)), &prompt);
        let mut answer: Answer = reader.push(written).into_iter().collect();
        answer.extend(reader.finish());
        // Of this family, what stands beside a call is thinking.
        let (text, reasoning) = match name {
            "gpt-oss" => ("", "I look."),
            _ if name == "qwen3" || name == "deepseek-r1" => {
                (if silent { "" } else { "I look." }, "Rain?")
            }
            _ => (if silent { "" } else { "I look." }, ""),
        };
        assert_eq!(
            (answer.text.as_str(), answer.reasoning.as_str()),
            (text, reasoning),
            "{name}: {written}"
        );
        assert_eq!(answer.calls.len(), said.tool_calls.len(), "{name}: {written}");
        for call in answer.calls {
            assert_eq!((call.name.as_str(), call.offered, call.fault), ("get_weather", true, None));
            assert_eq!(serde_json::Value::from(call.object().unwrap()), arguments, "{name}");
        }
        // The tool's answer is told, and the conversation goes on.
        let mut messages = vec![question.clone(), said];
        messages.push(Message::tool("abcdefgh1", "grey"));
        messages.extend((!single).then(|| Message::tool("abcdefgh2", "wet")));
        let prompt = template.render(&messages, &open).unwrap();
        assert!(prompt.contains("grey") && (single || prompt.contains("wet")), "{name}: {prompt}");
    }
}

/// Every dialect reads what it writes.
#[test]
fn calls_in_words_are_read() {
    let tools = json!([{"name": "f", "parameters": {"properties": {"a": {"type": "string"}}}}]);
    let tokenizer = tokenizer("sentencepiece");
    for (name, _) in Dialect::names().filter(|(name, _)| *name != "plain") {
        let dialect = Dialect::of(None, &tokenizer).with_calls(name).unwrap();
        let call =
            ToolCall { id: String::new(), name: "f".into(), arguments: json!({"a": "b\n\""}) };
        let written = dialect.write(&[call.clone(), call]);
        let mut reader = dialect.reader(&Tools::new(Some(&tools)), "");
        let mut answer: Answer = reader.push(&written).into_iter().collect();
        answer.extend(reader.finish());
        assert_eq!(answer.calls.len(), 2, "{name}: {written}");
        assert!(answer.text.is_empty() && answer.broken.is_empty(), "{name}: {}", answer.text);
        for call in answer.calls {
            assert_eq!(
                serde_json::Value::from(call.object().unwrap()),
                json!({"a": "b\n\""}),
                "{name}"
            );
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

/// Whatever is chosen of what a forced answer allows, it is a call of an offered tool that obeys the tool's schema.
#[test]
fn forced_answers_are_calls() {
    let tools = json!([
        {"name": "weather", "parameters": {"type": "object", "properties": {
            "place": {"$ref": "#/$defs/place"}, "days": {"type": "integer"}, "unit": {"enum": ["C", "F"]}},
            "required": ["place", "days"], "additionalProperties": false,
            "$defs": {"place": {"type": "object", "properties": {"x": {"type": "boolean"}},
                                "required": ["x"], "additionalProperties": false}}}},
        {"name": "say", "parameters": {"type": "object", "properties": {"text": {"type": "string"}},
            "required": ["text"], "additionalProperties": false}},
    ]);
    let tools = Tools::new(Some(&tools));
    let tokenizer = tokenizer("byte_level");
    let mut dice = Dice(7);
    for (name, _) in Dialect::names() {
        let dialect = Dialect::of(None, &tokenizer).with_calls(name).unwrap();
        for (prompt, tools, only) in [
            ("", tools.clone(), None),
            ("<think>\n", tools.only("weather"), Some("weather")),
            ("", tools.only("say"), Some("say")),
        ] {
            let Some(forced) = dialect.forced(&tools, prompt).unwrap() else {
                assert_eq!(name, "plain");
                continue;
            };
            let compiled = tokenizer.grammar(&forced.grammar).unwrap();
            let mut ended = 0;
            for _ in 0..12 {
                let (ids, place) = walk(&compiled, &mut dice, 300);
                let text = tokenizer.decode(&ids, false).unwrap();
                let mut reader = dialect.reader(&tools, prompt);
                let mut answer: Answer = reader.push(&forced.prefix).into_iter().collect();
                answer.extend(reader.push(&text));
                answer.extend(reader.finish());
                let written = format!("{name}: {}{text}", forced.prefix);
                assert!(answer.calls.iter().all(|call| call.offered), "{written}");
                assert!(
                    only.is_none_or(|only| answer.calls.iter().all(|call| call.name == only)),
                    "{written}"
                );
                if place == Place::Within {
                    continue;
                }
                ended += 1;
                assert!(answer.text.is_empty() && answer.reasoning.is_empty(), "{written}");
                assert!(!answer.calls.is_empty(), "{written}");
                for call in &answer.calls {
                    assert_eq!(call.fault, None, "{written}");
                    let object = call.object().unwrap();
                    if call.name == "weather" {
                        assert!(
                            object["place"]["x"].is_boolean() && object["days"].is_number(),
                            "{written}"
                        );
                        assert!(
                            object.get("unit").is_none_or(|unit| unit == "C" || unit == "F"),
                            "{written}"
                        );
                    } else {
                        assert!(object["text"].is_string(), "{written}");
                    }
                }
            }
            // Dice find no end of a text that may be any.
            assert!(ended > 0 || only == Some("say"), "{name}: no answer ended");
        }
    }
    // What the model would have written by itself is allowed.
    let elements = Dialect::of(None, &tokenizer).with_calls("elements").unwrap();
    let forced = elements.forced(&tools, "").unwrap().unwrap();
    let arguments = json!({"text": "a\n</function>\n"});
    let written = elements.write(&[ToolCall { id: String::new(), name: "say".into(), arguments }]);
    let rest = written.strip_prefix(&forced.prefix).unwrap();
    let mut matcher = tokenizer.grammar(&forced.grammar).unwrap().begin();
    for id in tokenizer.encode(rest, Special::OmitLiteral).unwrap() {
        matcher.accept(id).unwrap();
    }
    assert_eq!(matcher.place(), Place::End);
}

/// No content is `none` only where the template takes that anywhere in a conversation.
#[test]
fn no_content_is_what_the_template_takes() {
    let source = "{{ tools }}{% for m in messages %}{{ m.role }}{% if not loop.last %}{{ m.content.split('x')[-1] }}\
                  {% else %}{{ m.content }}{% endif %}{{ m.tool_calls | tojson if m.tool_calls }}{% endfor %}";
    let template = Template::from_parts(Some(source), None).unwrap().unwrap();
    let mut said = Message::assistant("");
    said.tool_calls = vec![ToolCall { id: "a".into(), name: "f".into(), arguments: json!({}) }];
    let messages = [Message::user("q"), said, Message::tool("a", "grey")];
    let text = template.render(&messages, &options()).unwrap();
    assert!(text.contains("grey") && !text.contains("none"), "{text}");
}
