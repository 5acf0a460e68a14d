//! The file of settings as a JSON Schema, for editors and for programs that write such files: made of what is noted while a file
//! is read, so that it says what the reading does.

use serde_json::{Map, Value, json};

use super::document::every;
use super::read::{Form, Key, Log, Shape};
use super::value::parts;

#[cfg(test)]
mod tests;

/// The parts of keys that stand for a name of the user's.
const NAMES: [&str; 2] = ["NAME", "TASK"];

/// What may stand in a file of settings, as a JSON Schema (draft 2020-12).
///
/// What it refuses is refused when the file is read. The reverse holds for each value by itself; that a model or a remote exists,
/// and that no name stands for two things, no schema can say.
pub fn schema() -> Value {
    let log = every();
    let keys = log.keys.iter().filter_map(|key| Some((parts(&key.key)?, key)));
    let keys: Vec<(Vec<String>, &Key)> = keys.collect();
    let mut whole = table(&log, &keys, &[]);
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    whole["title"] = "folio".into();
    whole["description"] = "Settings of `folio serve`".into();
    whole
}

/// What may stand at `path`, be it a table or a value.
fn at(log: &Log, keys: &[(Vec<String>, &Key)], path: &[String]) -> Value {
    if let Some((_, key)) = keys.iter().find(|(known, _)| known == path) {
        return leaf(key);
    }
    let key = path.join(".");
    match log.shapes.iter().find(|(known, _)| *known == key) {
        Some((_, Shape::Texts)) => either(vec![texts(), table(log, keys, path)]),
        Some((_, Shape::Items(table_of))) => {
            let item = [path, &[NAMES[0].to_owned()]].concat();
            let items = either(vec![something(), table(log, keys, &item)]);
            let tasks = table(log, keys, &[(*table_of).to_owned()]);
            either(vec![json!({"type": "array", "items": items}), tasks])
        }
        None => table(log, keys, path),
    }
}

/// A table, with what its keys may be. Nothing is as good as an empty one.
fn table(log: &Log, keys: &[(Vec<String>, &Key)], path: &[String]) -> Value {
    let mut properties = Map::new();
    let mut others = json!(false);
    for (known, _) in keys.iter().filter(|(known, _)| known.len() > path.len()) {
        let Some(name) = known.strip_prefix(path).and_then(|rest| rest.first()) else { continue };
        let inner = || at(log, keys, &known[..=path.len()]);
        if NAMES.contains(&name.as_str()) {
            others = inner();
        } else if !properties.contains_key(name) {
            properties.insert(name.clone(), inner());
        }
    }
    let mut out = json!({"type": ["object", "null"], "additionalProperties": others});
    if !properties.is_empty() {
        out["properties"] = properties.into();
    }
    let prefix = format!("{}.", path.join("."));
    let own = |all: &&Vec<String>| {
        let rest = all.first().and_then(|key| key.strip_prefix(&prefix));
        rest.is_some_and(|rest| !rest.contains('.'))
    };
    let needed = log.needed.iter().filter(own).map(|all| {
        let one = |key: &String| {
            let name = key.strip_prefix(&prefix).unwrap_or(key);
            json!({"required": [name], "properties": {name: {"not": {"type": "null"}}}})
        };
        either(all.iter().map(one).collect())
    });
    let mut needed: Vec<_> = needed.collect();
    needed.dedup();
    if !needed.is_empty() {
        out["type"] = "object".into();
        out["allOf"] = needed.into();
    }
    out
}

fn leaf(key: &Key) -> Value {
    let mut out = match &key.form {
        Form::Whole(least, most) => match *most {
            u64::MAX => json!({"type": ["integer", "null"], "minimum": least}),
            most => json!({"type": ["integer", "null"], "minimum": least, "maximum": most}),
        },
        Form::Number(least, most) => {
            json!({"type": ["number", "null"], "minimum": least, "maximum": most})
        }
        Form::Switch => json!({"type": ["boolean", "null"]}),
        Form::OneOf(names) => {
            let numbers = names.iter().filter_map(|name| name.parse::<u64>().ok()).map(Value::from);
            let texts = names.iter().map(|&name| Value::from(name));
            json!({"enum": numbers.chain(texts).chain([Value::Null]).collect::<Vec<_>>()})
        }
        Form::Text(pattern) => json!({"type": ["string", "null"], "pattern": pattern}),
        Form::Measure(pattern, most) => json!({
            "type": ["string", "number", "null"],
            "pattern": pattern,
            "minimum": 0,
            "exclusiveMaximum": most,
        }),
        Form::Texts => texts(),
    };
    out["description"] = key.meaning.into();
    if key.default != "-" {
        out["default"] = match &key.form {
            Form::Whole(..) | Form::Number(..) | Form::Switch => {
                serde_json::from_str(&key.default).unwrap_or(Value::Null)
            }
            Form::Texts => json!([]),
            Form::OneOf(_) | Form::Text(_) | Form::Measure(..) => key.default.clone().into(),
        };
    }
    out
}

fn something() -> Value {
    json!({"type": "string", "pattern": r"\S"})
}

fn texts() -> Value {
    either(vec![
        something(),
        json!({"type": "array", "items": something()}),
        json!({"type": "null"}),
    ])
}

fn either(mut all: Vec<Value>) -> Value {
    if all.len() == 1
        && let Some(one) = all.pop()
    {
        return one;
    }
    json!({ "anyOf": all })
}
