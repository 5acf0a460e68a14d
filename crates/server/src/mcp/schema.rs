//! What a tool takes: one table that both the schema and the check are made of, so that they cannot differ.

use serde_json::{Map, Value, json};

use crate::fault::Fault;

/// A field of a tool's arguments.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) needed: bool,
    pub(super) kind: Kind,
}

/// What a field holds.
#[derive(Debug)]
pub(super) enum Kind {
    /// So many bytes at most, and not empty.
    Text { most: usize },
    /// A whole number in a range, and what is taken if it is absent.
    Whole { range: [u64; 2], default: Option<u64> },
    /// A number in a range.
    Number { range: [f64; 2] },
    /// Yes or no.
    Truth,
    /// One of these texts; the first is taken if it is absent.
    OneOf(&'static [&'static str]),
    /// So many texts at most.
    Texts { most: usize },
    /// A conversation of so many messages at most.
    Messages { most: usize },
}

/// Bytes of a conversation.
const MOST_WORDS: usize = 1 << 20;
/// Who may have said something.
const ROLES: [&str; 3] = ["system", "user", "assistant"];

impl Field {
    pub(super) const fn needed(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, about, needed: true, kind }
    }

    pub(super) const fn free(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, about, needed: false, kind }
    }

    fn schema(&self) -> Value {
        let mut schema = match self.kind {
            Kind::Text { most } => json!({"type": "string", "minLength": 1, "maxLength": most}),
            Kind::Whole { range: [least, most], default } => {
                let mut schema = json!({"type": "integer", "minimum": least, "maximum": most});
                if let Some(default) = default {
                    schema["default"] = default.into();
                }
                schema
            }
            Kind::Number { range: [least, most] } => {
                json!({"type": "number", "minimum": least, "maximum": most})
            }
            Kind::Truth => json!({"type": "boolean"}),
            Kind::OneOf(texts) => {
                json!({"type": "string", "enum": texts, "default": texts.first()})
            }
            Kind::Texts { most } => json!({
                "type": "array",
                "maxItems": most,
                "items": {"type": "string", "minLength": 1},
            }),
            Kind::Messages { most } => json!({
                "type": "array",
                "minItems": 1,
                "maxItems": most,
                "items": {
                    "type": "object",
                    "properties": {
                        "role": {"type": "string", "enum": ROLES},
                        "content": {"type": "string"},
                    },
                    "required": ["role", "content"],
                    "additionalProperties": false,
                },
            }),
        };
        schema["description"] = self.about.into();
        schema
    }

    /// Whether `value` is one of these; if not, what it should be.
    fn check(&self, value: &Value) -> Result<(), String> {
        match self.kind {
            Kind::Text { most } => match value.as_str() {
                Some("") => Err("must not be empty".to_owned()),
                // Lengths are of characters in schemas; there are never more of these than of bytes.
                Some(text) if text.chars().count() > most => {
                    Err(format!("has more than {most} characters"))
                }
                Some(_) => Ok(()),
                None => Err("must be a text".to_owned()),
            },
            Kind::Whole { range: [least, most], .. } => match whole(value) {
                Some(number) if (least..=most).contains(&number) => Ok(()),
                _ => Err(format!("must be a whole number from {least} to {most}")),
            },
            Kind::Number { range: [least, most] } => match value.as_f64() {
                Some(number) if (least..=most).contains(&number) => Ok(()),
                _ => Err(format!("must be a number from {least} to {most}")),
            },
            Kind::Truth if value.is_boolean() => Ok(()),
            Kind::Truth => Err("must be true or false".to_owned()),
            Kind::OneOf(texts) => match value.as_str() {
                Some(text) if texts.contains(&text) => Ok(()),
                _ => Err(format!("must be one of {}", texts.join(", "))),
            },
            Kind::Texts { most } => match value.as_array() {
                Some(list) if list.len() > most => Err(format!("has more than {most} texts")),
                Some(list)
                    if list.iter().all(|it| it.as_str().is_some_and(|it| !it.is_empty())) =>
                {
                    Ok(())
                }
                _ => Err("must be a list of texts that are not empty".to_owned()),
            },
            Kind::Messages { most } => messages(value, most),
        }
    }
}

/// JSON has one kind of numbers: `3.0` is whole.
fn whole(value: &Value) -> Option<u64> {
    let round = |number: f64| {
        (number.fract() == 0.0 && (0.0..1e15).contains(&number)).then_some(number as u64)
    };
    value.as_u64().or_else(|| value.as_f64().and_then(round))
}

fn messages(value: &Value, most: usize) -> Result<(), String> {
    let Some(list) = value.as_array().filter(|list| !list.is_empty()) else {
        return Err("must be a list of messages, with one at least".to_owned());
    };
    if list.len() > most {
        return Err(format!("has more than {most} messages"));
    }
    let mut words = 0;
    for (at, message) in list.iter().enumerate() {
        let Some(message) = message.as_object() else {
            return Err(format!("[{at}] must be an object with `role` and `content`"));
        };
        if let Some(name) =
            message.keys().find(|name| !["role", "content"].contains(&name.as_str()))
        {
            return Err(format!("[{at}] has the unknown field `{name}`"));
        }
        if !message.get("role").and_then(Value::as_str).is_some_and(|role| ROLES.contains(&role)) {
            return Err(format!("[{at}].role must be one of {}", ROLES.join(", ")));
        }
        match message.get("content").and_then(Value::as_str) {
            Some(text) => words += text.len(),
            None => return Err(format!("[{at}].content must be a text")),
        }
    }
    if words > MOST_WORDS {
        return Err(format!("has {words} bytes of text; at most {MOST_WORDS} are taken"));
    }
    Ok(())
}

/// The JSON Schema of `fields` together.
pub(super) fn schema(fields: &[Field]) -> Map<String, Value> {
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), field.schema())).collect();
    let needed: Vec<_> = fields.iter().filter(|f| f.needed).map(|f| f.name).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    if !needed.is_empty() {
        schema.insert("required".to_owned(), needed.into());
    }
    schema.insert("additionalProperties".to_owned(), false.into());
    schema
}

/// Arguments that are as a table says.
#[derive(Debug)]
pub(super) struct Arguments {
    given: Map<String, Value>,
    fields: &'static [Field],
}

impl Arguments {
    /// Checks what was given.
    ///
    /// # Errors
    ///
    /// Naming the field that is unknown, missing, or not as it should be.
    pub(super) fn read(fields: &'static [Field], given: Map<String, Value>) -> Result<Self, Fault> {
        // A `null` is an absence: some clients send every field that they know of.
        let given: Map<String, Value> =
            given.into_iter().filter(|(_, value)| !value.is_null()).collect();
        for (name, value) in &given {
            let Some(field) = fields.iter().find(|field| field.name == name) else {
                let known: Vec<_> = fields.iter().map(|field| field.name).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let message = format!("unknown argument `{name}`; there are: {known}");
                return Err(Fault::field(name, message));
            };
            if let Err(fault) = field.check(value) {
                return Err(Fault::field(name, format!("`{name}` {fault}")));
            }
        }
        if let Some(field) = fields.iter().find(|f| f.needed && !given.contains_key(f.name)) {
            return Err(Fault::field(field.name, format!("`{}` is needed", field.name)));
        }
        Ok(Self { given, fields })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.given.get(name)?.as_str()
    }

    /// The number that was given, or the table's.
    pub(super) fn whole(&self, name: &str) -> Option<u64> {
        let default = || {
            let field = self.fields.iter().find(|field| field.name == name)?;
            if let Kind::Whole { default, .. } = field.kind { default } else { None }
        };
        self.given.get(name).and_then(whole).or_else(default)
    }

    pub(super) fn number(&self, name: &str) -> Option<f32> {
        self.given.get(name)?.as_f64().map(|number| number as f32)
    }

    pub(super) fn truth(&self, name: &str) -> Option<bool> {
        self.given.get(name)?.as_bool()
    }

    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let list = self.given.get(name).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Roles and words.
    pub(super) fn messages(&self, name: &str) -> Vec<(&str, &str)> {
        let list = self.given.get(name).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|it| Some((it["role"].as_str()?, it["content"].as_str()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[Field] = &[
        Field::needed("text", Kind::Text { most: 3 }, "Words."),
        Field::free("count", Kind::Whole { range: [1, 9], default: Some(4) }, "How many."),
        Field::free("heat", Kind::Number { range: [0.0, 2.0] }, "How hot."),
        Field::free("talk", Kind::Messages { most: 2 }, "What was said."),
    ];

    #[test]
    fn what_the_schema_forbids_is_refused_by_name() {
        let read = |value: Value| Arguments::read(FIELDS, value.as_object().unwrap().clone());
        for (value, param, part) in [
            (json!({}), "text", "needed"),
            (json!({"text": ""}), "text", "empty"),
            (json!({"text": "abcd"}), "text", "more than 3"),
            (json!({"text": 3}), "text", "must be a text"),
            (json!({"text": "a", "hue": 1}), "hue", "there are: text, count, heat, talk"),
            (json!({"text": "a", "count": 0}), "count", "from 1 to 9"),
            (json!({"text": "a", "count": 2.5}), "count", "from 1 to 9"),
            (json!({"text": "a", "heat": 2.1}), "heat", "from 0 to 2"),
            (json!({"text": "a", "talk": []}), "talk", "one at least"),
            (json!({"text": "a", "talk": [{"role": "cat", "content": "x"}]}), "talk", "[0].role"),
            (json!({"text": "a", "talk": [{"role": "user"}]}), "talk", "[0].content"),
        ] {
            let fault = read(value.clone()).unwrap_err();
            assert_eq!(fault.param.as_deref(), Some(param), "{value}");
            assert!(fault.message.contains(part), "{value}: {}", fault.message);
        }
        let read = read(json!({"text": "äöü", "heat": null, "count": 2.0})).unwrap();
        assert_eq!((read.text("text"), read.whole("count")), (Some("äöü"), Some(2)));
        assert_eq!(read.number("heat"), None);
        let schema = Value::Object(schema(FIELDS));
        assert_eq!(schema["required"], json!(["text"]));
        assert_eq!(schema["properties"]["count"]["default"], 4);
    }
}
