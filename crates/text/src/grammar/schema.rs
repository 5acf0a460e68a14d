//! What of JSON Schema is enforced: the rest is refused by name before the library sees it.
//!
//! The words are those of draft 2020-12, with the arrays of `items` and the flags of `exclusiveMinimum` of older drafts.
//! The library passes over words that it does not know, or that the draft named in `$schema` does not; here nothing is
//! passed over but what says nothing of the value.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::limits::{self, at_most};
use crate::error::{Error, Result};

/// Blanks between two parts of a JSON text: bounded, so that a text ends.
const BLANKS: &str = r"\x20{1,2}|\r?\n[\x20\t]{0,20}";

/// Schemas within schemas, with those that references lead to.
const NESTING: usize = 64;
/// Schemas in all, each counted where it stands.
const SCHEMAS: usize = 2000;
/// Values in all lists of `enum`.
const VALUES: usize = 5000;
/// The highest `minItems`, `maxLength` and so on.
const COUNT: u64 = 100_000;
/// Whole numbers beyond are not all told apart.
const EXACT: u64 = 1 << 53;

/// Words that say nothing of the value.
const NOTES: [&str; 15] = [
    "$schema",
    "$id",
    "id",
    "$anchor",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
];

/// Words whose value is one schema, a list of schemas, or a map of schemas.
const ONE: [&str; 3] = ["additionalProperties", "additionalItems", "items"];
const LISTS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
const MAPS: [&str; 2] = ["properties", "patternProperties"];
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];
/// Words whose value is a count.
const COUNTS: [&str; 6] =
    ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];
const NUMBERS: [&str; 5] =
    ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
/// Words that the library understands as they are.
const PLAIN: [&str; 3] = ["type", "required", "pattern"];

/// Formats of strings that are enforced.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"];

/// Formats of numbers, as OpenAPI and others have them, and the values they allow; none for any.
const RANGES: [(&str, Option<(i64, i64)>); 8] = [
    ("int8", Some((i8::MIN as i64, i8::MAX as i64))),
    ("int16", Some((i16::MIN as i64, i16::MAX as i64))),
    ("int32", Some((i32::MIN as i64, i32::MAX as i64))),
    ("uint8", Some((0, u8::MAX as i64))),
    ("uint16", Some((0, u16::MAX as i64))),
    ("uint32", Some((0, u32::MAX as i64))),
    ("float", None),
    ("double", None),
];

/// `schema` as the library is given it.
pub(crate) fn prepared(schema: &Value) -> Result<Value> {
    at_most("bytes of the schema", schema.to_string().len(), limits::SCHEMA)?;
    let mut check = Check { root: schema, seen: BTreeSet::new(), schemas: 0, values: 0 };
    check.schema(schema, &mut Place::new(), 0)?;
    let mut prepared = if schema == &Value::Bool(true) { json!({}) } else { schema.clone() };
    rewrite(&mut prepared, schema);
    if let Value::Object(words) = &mut prepared {
        words.insert("x-guidance".to_owned(), guidance());
    }
    Ok(prepared)
}

/// What the library is told beside the schema.
fn guidance() -> Value {
    json!({ "whitespace_pattern": BLANKS })
}

/// Where a schema stands.
type Place = Vec<String>;

struct Check<'a> {
    root: &'a Value,
    /// References that were followed.
    seen: BTreeSet<&'a str>,
    schemas: usize,
    values: usize,
}

fn wrong(at: &Place, what: impl Into<String>) -> Error {
    Error::Schema { at: path(at), what: what.into() }
}

fn unsupported(at: &Place, what: impl Into<String>) -> Error {
    Error::SchemaUnsupported { at: path(at), what: what.into() }
}

fn path(at: &Place) -> String {
    let path: String = at.iter().map(|step| format!("/{step}")).collect();
    if path.is_empty() { "/".to_owned() } else { path }
}

impl<'a> Check<'a> {
    fn schema(&mut self, schema: &'a Value, at: &mut Place, depth: usize) -> Result<()> {
        self.schemas += 1;
        at_most("schemas in the schema", self.schemas, SCHEMAS)?;
        at_most("schemas within schemas", depth, NESTING)?;
        if schema.is_boolean() {
            return Ok(());
        }
        let Value::Object(words) = schema else {
            return Err(wrong(at, "a schema must be an object, true or false"));
        };
        for (word, value) in words {
            at.push(word.clone());
            self.word(words, (word, value), at, depth)?;
            at.pop();
        }
        Ok(())
    }

    fn word(
        &mut self,
        words: &'a Map<String, Value>,
        (word, value): (&'a str, &'a Value),
        at: &mut Place,
        depth: usize,
    ) -> Result<()> {
        if LISTS.contains(&word) || (word == "items" && value.is_array()) {
            let Value::Array(list) = value else { return Err(wrong(at, "must be a list")) };
            if list.is_empty() && word != "items" && word != "prefixItems" {
                return Err(wrong(at, "must not be empty"));
            }
            for (index, schema) in list.iter().enumerate() {
                at.push(index.to_string());
                self.schema(schema, at, depth + 1)?;
                at.pop();
            }
            return Ok(());
        }
        if MAPS.contains(&word) {
            let Value::Object(map) = value else { return Err(wrong(at, "must be an object")) };
            for (name, schema) in map {
                at.push(name.clone());
                self.schema(schema, at, depth + 1)?;
                at.pop();
            }
            return Ok(());
        }
        if ONE.contains(&word) {
            return self.schema(value, at, depth + 1);
        }
        match word {
            "$ref" => self.reference(value, at, depth),
            "const" => self.value(value, at),
            "enum" => {
                let list = value.as_array().filter(|list| !list.is_empty());
                let list = list.ok_or_else(|| wrong(at, "must be a list that is not empty"))?;
                list.iter().try_for_each(|value| self.value(value, at))
            }
            "format" => {
                let Some(format) = value.as_str() else {
                    return Err(wrong(at, "must be a string"));
                };
                let of_number = RANGES.iter().any(|(name, _)| *name == format);
                let number =
                    matches!(words.get("type").and_then(Value::as_str), Some("integer" | "number"));
                if FORMATS.contains(&format) || (of_number && number) {
                    return Ok(());
                }
                Err(unsupported(at, format!("the format `{format}`")))
            }
            "uniqueItems" if value == &Value::Bool(false) => Ok(()),
            // What it says of `oneOf`, that says itself.
            "discriminator" if words.contains_key("oneOf") || words.contains_key("anyOf") => Ok(()),
            // What was prepared already.
            "x-guidance" if at.len() == 1 && value == &guidance() => Ok(()),
            "x-guidance" => Err(unsupported(at, "`x-guidance`")),
            _ if COUNTS.contains(&word) => {
                let Some(count) = value.as_u64() else {
                    return Err(wrong(at, "must be a whole number that is not negative"));
                };
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                at_most("items, letters or properties to count", count, COUNT as usize)
            }
            _ if NUMBERS.contains(&word) && value.is_number() => self.value(value, at),
            _ if NUMBERS.contains(&word) => {
                let flag = value.is_boolean() && word.starts_with("exclusive");
                if flag { Ok(()) } else { Err(wrong(at, "must be a number")) }
            }
            _ if PLAIN.contains(&word) || NOTES.contains(&word) || word.starts_with("x-") => Ok(()),
            _ => Err(unsupported(at, format!("`{word}`"))),
        }
    }

    /// Whether a value can be asked for exactly.
    fn value(&mut self, value: &Value, at: &Place) -> Result<()> {
        self.values += 1;
        at_most("values to choose from", self.values, VALUES)?;
        match value {
            Value::Array(list) => list.iter().try_for_each(|value| self.value(value, at)),
            Value::Object(map) => map.values().try_for_each(|value| self.value(value, at)),
            Value::Number(number) => {
                let whole = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
                if whole.is_some_and(|whole| whole > EXACT) {
                    return Err(unsupported(at, format!("the number {number}, beyond 2^53")));
                }
                Ok(())
            }
            Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
        }
    }

    fn reference(&mut self, value: &'a Value, at: &mut Place, depth: usize) -> Result<()> {
        let Some(reference) = value.as_str() else { return Err(wrong(at, "must be a string")) };
        if reference != "#" && !reference.starts_with("#/") {
            return Err(unsupported(at, format!("a reference to `{reference}`, outside of it")));
        }
        let Some(found) = resolve(self.root, reference) else {
            return Err(wrong(at, format!("there is no `{reference}`")));
        };
        if self.seen.insert(reference) {
            let mut place = vec![reference.to_owned()];
            self.schema(found, &mut place, depth + 1)?;
        }
        Ok(())
    }
}

/// What `reference` leads to, as the library reads it: names are not unescaped.
fn resolve<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let path = reference.strip_prefix('#')?;
    if path.is_empty() || path == "/" {
        return Some(root);
    }
    path.strip_prefix('/')?.split('/').try_fold(root, |value, step| match value.as_array() {
        Some(list) => list.get(step.parse::<usize>().ok()?),
        None => value.get(step),
    })
}

/// Says in the library's words what it would not understand: alternatives of `oneOf` that exclude each other are
/// those of `anyOf`, and a format of numbers is a range.
fn rewrite(schema: &mut Value, root: &Value) {
    let Value::Object(words) = schema else { return };
    for (word, value) in words.iter_mut() {
        let word = word.as_str();
        if ONE.contains(&word) && !value.is_array() {
            rewrite(value, root);
        } else if let Value::Array(list) = value
            && (LISTS.contains(&word) || word == "items")
        {
            list.iter_mut().for_each(|schema| rewrite(schema, root));
        } else if let Value::Object(map) = value
            && (MAPS.contains(&word) || DEFINITIONS.contains(&word))
        {
            map.values_mut().for_each(|schema| rewrite(schema, root));
        }
    }
    for word in ["$schema", "uniqueItems", "discriminator"] {
        words.shift_remove(word);
    }
    let apart = words.get("oneOf").and_then(Value::as_array).is_some_and(|alternatives| {
        alternatives.iter().enumerate().all(|(at, one)| {
            alternatives[at + 1..].iter().all(|other| excludes(one, other, root, 0))
        })
    });
    if apart
        && !words.contains_key("anyOf")
        && let Some(alternatives) = words.shift_remove("oneOf")
    {
        words.insert("anyOf".to_owned(), alternatives);
    }
    let range = words.get("format").and_then(Value::as_str);
    if let Some((_, range)) =
        range.and_then(|format| RANGES.iter().find(|(name, _)| *name == format))
    {
        words.shift_remove("format");
        if let Some((least, most)) = *range {
            tighten(words, ("minimum", least), |old| old < least as f64);
            tighten(words, ("maximum", most), |old| old > most as f64);
        }
    }
}

/// Sets a bound, unless a narrower one is there.
fn tighten(
    words: &mut Map<String, Value>,
    (word, bound): (&str, i64),
    wider: impl Fn(f64) -> bool,
) {
    if words.get(word).and_then(Value::as_f64).is_none_or(wider) {
        words.insert(word.to_owned(), bound.into());
    }
}

/// Whether no value fits both schemas, as far as types and listed values tell.
fn excludes(one: &Value, other: &Value, root: &Value, depth: usize) -> bool {
    if depth > 8 {
        return false;
    }
    let (one, other) = (followed(one, root), followed(other, root));
    if let (Some(one), Some(other)) = (types(one), types(other))
        && one.iter().all(|kind| !other.contains(kind))
    {
        return true;
    }
    if let (Some(one), Some(other)) = (values(one), values(other)) {
        return !one.iter().any(|value| other.iter().any(|other| same(value, other)));
    }
    let objects = [one, other].iter().all(|schema| types(schema).is_some_and(|t| t == ["object"]));
    let required = |schema: &Value, name: &str| {
        let names = schema.get("required").and_then(Value::as_array);
        names.is_some_and(|names| names.iter().any(|n| n == name))
    };
    let property = |schema: &Value, name: &str| schema.get("properties")?.get(name).cloned();
    let names = one.get("properties").and_then(Value::as_object);
    objects
        && names.is_some_and(|names| {
            names.iter().any(|(name, of_one)| {
                let needed = required(one, name) || required(other, name);
                needed
                    && property(other, name)
                        .is_some_and(|of_other| excludes(of_one, &of_other, root, depth + 1))
            })
        })
}

/// Where a bare reference leads to.
fn followed<'a>(mut schema: &'a Value, root: &'a Value) -> &'a Value {
    for _ in 0..8 {
        let reference = schema.get("$ref").and_then(Value::as_str);
        match reference.and_then(|reference| resolve(root, reference)) {
            Some(found) => schema = found,
            None => break,
        }
    }
    schema
}

/// The types that a schema allows, if it says so. A whole number is a number.
fn types(schema: &Value) -> Option<Vec<&str>> {
    let kind = |name: &'static str, value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => name,
    };
    let named = |name: &'_ Value| {
        let names = ["null", "boolean", "number", "string", "array", "object"];
        let name = name.as_str()?;
        let name = if name == "integer" { "number" } else { name };
        names.into_iter().find(|&known| known == name)
    };
    if let Some(values) = values(schema) {
        return Some(values.into_iter().map(|value| kind("object", value)).collect());
    }
    let kind = schema.get("type")?;
    match kind.as_array() {
        Some(list) => list.iter().map(named).collect(),
        None => Some(vec![named(kind)?]),
    }
}

/// Whether JSON Schema takes two values for the same: 1 is 1.0.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        // Lists and objects may hold such numbers.
        (Value::Array(_), Value::Array(_)) | (Value::Object(_), Value::Object(_)) => true,
        _ => one == other,
    }
}

/// The values that a schema lists.
fn values(schema: &Value) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => Some(vec![value]),
        (None, Some(Value::Array(list))) => Some(list.iter().collect()),
        _ => None,
    }
}
