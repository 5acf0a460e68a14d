//! Chat templates, against Python's `transformers`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use text::{Error, Image, Kind, LocalTime, Message, Part, RenderOptions, Role, Template, ToolCall};

use crate::golden::{file, json};

const TOKENS: &str = r#"{"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "pad_token": "<pad>", "add_bos_token": true}"#;

fn load(name: &str) -> Template {
    let source = file(&format!("text/templates/{name}.jinja")).unwrap();
    Template::from_parts(Some(std::str::from_utf8(&source).unwrap()), Some(TOKENS.as_bytes()))
        .unwrap()
        .unwrap()
}

fn inline(source: &str) -> Template {
    Template::from_parts(Some(source), None).unwrap().unwrap()
}

fn message(value: &Value) -> Message {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let role = match value["role"].as_str().unwrap() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        other => panic!("role {other}"),
    };
    let mut message = Message::new(role, "");
    if let Some(text) = value["content"].as_str() {
        message.content = vec![Part::Text(text.to_owned())];
    } else {
        let parts = value["content"].as_array().unwrap().iter();
        let part = |part: &Value| match part["text"].as_str() {
            Some(text) => Part::Text(text.to_owned()),
            None => Part::Image(Image::new(vec![0])),
        };
        message.content = parts.map(part).collect();
    }
    message.reasoning = text("reasoning_content");
    message.tool_call_id = text("tool_call_id");
    message.name = text("name");
    for call in value.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        message.tool_calls.push(ToolCall {
            id: call["id"].as_str().unwrap().to_owned(),
            name: call["function"]["name"].as_str().unwrap().to_owned(),
            arguments: call["function"]["arguments"].clone(),
        });
    }
    message
}

fn options(value: &Value) -> RenderOptions {
    // 2026-03-09 08:05:07, as the script that made the goldens has it.
    let mut options = RenderOptions {
        now: Some(LocalTime::from_unix(1_773_043_507, 0)),
        ..RenderOptions::default()
    };
    for (name, value) in value.as_object().unwrap() {
        match name.as_str() {
            "add_generation_prompt" => options.add_generation_prompt = value.as_bool().unwrap(),
            "continue_final_message" => options.continue_final_message = value.as_bool().unwrap(),
            "enable_thinking" => options.enable_thinking = value.as_bool(),
            "tools" => options.tools = Some(value.clone()),
            _ => drop(options.variables.insert(name.clone(), value.clone())),
        }
    }
    options
}

#[test]
fn renders_as_the_reference() {
    let cases = json("text/templates.json");
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= 100);
    let mut wrong = Vec::new();
    for case in cases {
        let name = case["template"].as_str().unwrap();
        let messages: Vec<Message> =
            case["messages"].as_array().unwrap().iter().map(message).collect();
        let outcome = load(name).render(&messages, &options(&case["options"]));
        match (outcome, case.get("error").and_then(Value::as_str)) {
            (Ok(text), None) if text == case["rendered"].as_str().unwrap() => {}
            (Err(Error::TemplateRefused { message }), Some(expected)) if message == expected => {}
            (outcome, _) => wrong.push(format!(
                "{name} {}\nours:   {outcome:?}\ntheirs: {case:#}\n",
                case["options"]
            )),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn the_file_wins_over_the_configuration() {
    let config = json!({"chat_template": "config"}).to_string();
    let render = |file: Option<&str>, config: &str, options: &RenderOptions| {
        Template::from_parts(file, Some(config.as_bytes()))
            .unwrap()
            .map(|template| template.render(&[], options).unwrap())
    };
    let plain = RenderOptions::default();
    let tools = RenderOptions { tools: Some(json!([])), ..plain.clone() };
    assert_eq!(render(Some("file"), &config, &plain).as_deref(), Some("file"));
    assert_eq!(render(None, &config, &plain).as_deref(), Some("config"));
    assert_eq!(render(None, "{}", &plain), None);
    assert_eq!(render(None, r#"{"chat_template": null}"#, &plain), None);
    let list = json!({"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]}).to_string();
    assert_eq!(render(None, &list, &plain).as_deref(), Some("d"));
    assert_eq!(render(None, &list, &tools).as_deref(), Some("t"));
    for wrong in [
        json!({"chat_template": 3}),
        json!({"chat_template": []}),
        json!({"chat_template": [{"name": "x"}]}),
    ] {
        let error = Template::from_parts(None, Some(wrong.to_string().as_bytes())).unwrap_err();
        assert!(matches!(error, Error::TemplateShape), "{error}");
    }
    let error = Template::from_parts(Some("a\n{% if %}"), None).unwrap_err();
    assert!(matches!(error, Error::TemplateSyntax { line: 2, .. }), "{error:?}");
}

#[test]
fn pictures_are_for_templates_that_know_them() {
    let mut message = Message::user("What is this?");
    message.content.insert(0, Part::Image(Image::new(vec![1, 2, 3])));
    for name in ["chatml", "qwen2.5", "qwen3", "llama3"] {
        let error = load(name)
            .render(std::slice::from_ref(&message), &RenderOptions::answer())
            .unwrap_err();
        assert!(matches!(error, Error::TemplateWithoutImages { images: 1 }), "{name}: {error}");
        assert_eq!(error.kind(), Kind::Unsupported);
    }
    let text = load("qwen2-vl").render(&[message], &RenderOptions::answer()).unwrap();
    assert!(text.contains("<|vision_start|><|image_pad|><|vision_end|>What is this?"), "{text}");
}

#[test]
fn the_clock_is_the_callers() {
    let template = inline(
        "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% else %}none{% endif %}",
    );
    let now = Some(LocalTime::from_unix(1_721_952_000, 3_600));
    assert_eq!(
        template.render(&[], &RenderOptions { now, ..RenderOptions::default() }).unwrap(),
        "26 Jul 2024"
    );
    assert_eq!(template.render(&[], &RenderOptions::default()).unwrap(), "none");
}

#[test]
fn the_conversation_is_not_a_variable() {
    let variables = BTreeMap::from([("messages".to_owned(), json!([]))]);
    let error = inline("x")
        .render(&[], &RenderOptions { variables, ..RenderOptions::default() })
        .unwrap_err();
    assert!(matches!(&error, Error::ReservedVariable { name } if name == "messages"), "{error}");
}

#[test]
fn only_what_is_printed_as_it_is_can_be_continued() {
    let options = RenderOptions { continue_final_message: true, ..RenderOptions::default() };
    let template = inline("{% for m in messages %}[{{ m.content | trim }}]{% endfor %}");
    let messages = [Message::user("a"), Message::assistant("half a ")];
    assert_eq!(template.render(&messages, &options).unwrap(), "[a][half a");
    for (source, messages) in [
        ("constant", &messages[..]),
        ("{{ messages[-1].content | upper }}", &messages[..]),
        ("x", &[]),
    ] {
        let error = inline(source).render(messages, &options).unwrap_err();
        assert!(matches!(error, Error::NotContinuable), "{source}: {error}");
    }
}

#[test]
fn a_template_that_fails_says_where() {
    let error = inline("one\n{{ messages[0].content + 3 }}")
        .render(&[Message::user("a")], &RenderOptions::default())
        .unwrap_err();
    assert!(matches!(error, Error::TemplateFailed { line: 2, .. }), "{error:?}");
}

#[test]
fn dense_templates_are_refused() {
    for source in [
        "\n{{ (['a'] * 60000) ~ '' }}".to_owned(),
        format!("\n{{{{ 'a'{} }}}}", " ~ 'a'".repeat(300)),
    ] {
        let error = Template::from_parts(Some(&source), None).unwrap_err();
        assert!(matches!(error, Error::TemplateTooDense { line: 2 }), "{error}");
    }
}

#[test]
fn hostile_templates_are_stopped() {
    let messages = [Message::user("a".repeat(1000))];
    for source in [
        // Time.
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for a in [1] recursive %}{{ loop([1]) }}{{ loop([1]) }}{% endfor %}",
        // Output.
        "{% for a in range(99999) %}{{ messages[0].content }}{% endfor %}",
        // Text held in variables.
        "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{%- set ns.x = ns.x + ns.x -%}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = ns.x * 99999 %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = ns.x | replace('a', ns.x) %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = ns.x.replace('a', ns.x) %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for a in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = [ns.x, ns.x] | join %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = ''.join([ns.x, ns.x]) %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = [ns.x, ns.x] | tojson %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}{% endfor %}",
        "{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('ab') }}",
        "{{ 'a\\n' | indent(99999999999) }}",
        "{{ ([messages[0].content * 3000] * 60000) | map('upper') | list | length }}",
        "{{ ([messages[0].content * 3000] * 60000) | sum(start='') | length }}",
        "{% macro f(x, n) %}{% with y = x ~ x %}{{ f(y, n + 1) }}{% endwith %}{% endmacro %}{{ f('ab', 0) }}",
    ] {
        let outcome = inline(source).render(&messages, &RenderOptions::default());
        assert!(outcome.is_err(), "{source} gave {} bytes", outcome.unwrap().len());
    }
}

#[test]
fn long_conversations_are_not_hostile() {
    let mut messages =
        vec![Message::system("Answer."), Message::user("The tenant shall pay. ".repeat(200_000))];
    for turn in 0..2_000 {
        messages.push(Message::assistant(format!("<think>\nturn {turn}\n</think>\n\nYes.")));
        messages.push(Message::user("And then?"));
    }
    for name in [
        "chatml",
        "zephyr",
        "mistral-tools",
        "llama3",
        "qwen2.5",
        "qwen3",
        "qwen2-vl",
        "generation",
    ] {
        let start = std::time::Instant::now();
        let text = load(name).render(&messages, &RenderOptions::answer()).unwrap();
        println!("{name} {:?}", start.elapsed());
        assert!(text.len() > 4_400_000, "{name}");
    }
}
