//! Answers that must be calls: what to put behind the prompt, and what the answer must obey from there.

use serde_json::{Map, Value, json};

use super::Tools;
use crate::error::Result;
use crate::grammar::{Grammar, prepared};

/// How to hold an answer to be a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Forced {
    /// What the answer begins with: to be encoded behind the rendered prompt, as part of it, and pushed into the answer's
    /// [`Reader`](super::Reader) before anything else. It ends a thought that the template began.
    pub prefix: String,
    /// What the answer obeys behind it. Where a mark in it is a special token it is spelled in letters, which the reader
    /// reads alike.
    pub grammar: Grammar,
}

impl Forced {
    pub(super) fn new(prefix: impl Into<String>, grammar: Grammar) -> Self {
        Self { prefix: prefix.into(), grammar }
    }
}

/// The schema of a tool's arguments: always an object.
pub(super) fn object(schema: &Value) -> Value {
    let mut words = schema.as_object().cloned().unwrap_or_default();
    words.insert("type".to_owned(), "object".into());
    words.into()
}

/// One call of one of the tools as a JSON object, with its arguments under this name.
pub(super) fn envelope(tools: &Tools, arguments: &str, at: &str) -> Value {
    let one = |(name, schema): (&str, &Value), at: &str| {
        let schema = moved(object(schema), &format!("{at}/properties/{arguments}"));
        json!({
            "type": "object",
            "properties": {"name": {"const": name}, arguments: schema},
            "required": ["name", arguments],
            "additionalProperties": false,
        })
    };
    let mut all = tools.iter();
    match (all.next(), all.next()) {
        (Some(tool), None) => one(tool, at),
        _ => {
            let choices = tools.iter().enumerate();
            let choices = choices.map(|(index, tool)| one(tool, &format!("{at}/anyOf/{index}")));
            json!({"anyOf": choices.collect::<Vec<_>>()})
        }
    }
}

/// A list of at least one such call.
pub(super) fn list(tools: &Tools) -> Grammar {
    let items = envelope(tools, "arguments", "#/items");
    Grammar::JsonSchema(json!({"type": "array", "items": items, "minItems": 1}))
}

/// A schema that stands elsewhere now: references to its own parts lead there.
fn moved(schema: Value, to: &str) -> Value {
    match schema {
        Value::Object(words) => {
            let word = |(word, value): (String, Value)| match (word.as_str(), value) {
                ("$ref", Value::String(path)) if path.starts_with('#') => {
                    (word, Value::String(to.to_owned() + &path[1..]))
                }
                // Values, not schemas.
                ("const" | "enum" | "default" | "examples", value) => (word, value),
                (_, value) => (word, moved(value, to)),
            };
            Value::Object(words.into_iter().map(word).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(|item| moved(item, to)).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

/// The name of a tool, what stands between it and its arguments, and these: one tool's name may go before.
pub(super) fn named(prefix: &str, tools: &Tools, between: &str) -> Result<Forced> {
    let mut all = tools.iter();
    if let (Some((name, schema)), None) = (all.next(), all.next()) {
        let prefix = format!("{prefix}{name}{between}");
        return Ok(Forced::new(prefix, Grammar::JsonSchema(object(schema))));
    }
    let mut choices = Vec::new();
    for (name, schema) in tools.iter() {
        choices.push(format!(
            "{} %json {}",
            quoted(&format!("{name}{between}")),
            prepared(&object(schema))?
        ));
    }
    let lark = format!("start: {}\n", choices.join("\n     | "));
    Ok(Forced::new(prefix, Grammar::Lark(lark)))
}

/// A text in Lark's syntax.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
