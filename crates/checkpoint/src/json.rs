//! JSON that strangers wrote: limited in size and depth, and no key twice.

use std::fmt;
use std::path::Path;

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::{Error, Result};

/// The most bytes that a JSON side file may have. The largest honest ones list some 20,000 labels.
pub(crate) const LIMIT: u64 = 16 << 20;

/// Reads `bytes` as one JSON value. Depth is limited to 128 by the parser; a repeated key is an error.
pub(crate) fn parse(file: &Path, bytes: &[u8]) -> Result<Value> {
    let strict: Strict = serde_json::from_slice(bytes)
        .map_err(|source| Error::Json { path: file.into(), source })?;
    Ok(strict.0)
}

/// Reads `value` as a `T`; on failure gives the way to the field and the parser's words.
pub(crate) fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, (String, serde_json::Error)> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| (error.path().to_string(), error.into_inner()))
}

/// Reads the side file `file` with content `value` as a `T`.
pub(crate) fn side_file<T: DeserializeOwned>(file: &Path, value: &Value) -> Result<T> {
    typed(value).map_err(|(field, source)| Error::Field { path: file.into(), field, source })
}

/// A JSON value none of whose objects has a key twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let Strict(value) = map.next_value()?;
            if object.contains_key(&key) {
                return Err(de::Error::custom(format_args!("key {key:?} occurs twice")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::parse;

    fn error(text: &str) -> String {
        let error = parse(Path::new("config.json"), text.as_bytes()).expect_err("must fail");
        std::error::Error::source(&error).expect("a source").to_string()
    }

    #[test]
    fn a_value_is_what_serde_json_says() {
        let text =
            r#"{"a": [1, -2, 3.5, true, null, "x\u0041"], "b": {"c": 18446744073709551615}}"#;
        let ours = parse(Path::new("x"), text.as_bytes()).unwrap();
        assert_eq!(ours, serde_json::from_str::<serde_json::Value>(text).unwrap());
    }

    #[test]
    fn lies_are_refused() {
        assert!(error(r#"{"a": 1, "a": 2}"#).contains(r#"key "a" occurs twice"#));
        assert!(error(r#"{"x": {"a": 1, "b": 0, "a": 2}}"#).contains("twice"));
        assert!(error(&"[".repeat(100_000)).contains("recursion limit"));
        assert!(error(r#"{"a": 1e999}"#).contains("number out of range"));
        for text in [r#"{"a": NaN}"#, r#"{"a": -Infinity}"#, "", "{}{}", "{\"a\": \"\u{1}\"}"] {
            error(text);
        }
        assert!(parse(Path::new("x"), b"{\"a\": \"\xff\"}").is_err());
    }
}
