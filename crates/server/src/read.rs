//! Bodies made into structs: every field is known, or named in the error.

use axum::body::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny};

use crate::fault::Fault;

/// Reads a JSON object. Structs that are read so say `deny_unknown_fields`: a field that nobody looks at would be a wish
/// silently refused.
pub(crate) fn json<T: DeserializeOwned>(body: &Bytes) -> Result<T, Fault> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Fault::invalid("the body is empty: send a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut deserializer);
    let value = read.map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let message = inner.to_string();
        // The place in a text of one line says nothing that the path does not.
        let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
        if inner.is_data() {
            let unknown = message.strip_prefix("unknown field `").and_then(|m| m.split('`').next());
            let param = match (unknown, path.as_str()) {
                (Some(field), ".") => field.to_owned(),
                (Some(field), path) if path.ends_with(field) => path.to_owned(),
                (Some(field), path) => format!("{path}.{field}"),
                (None, path) => path.to_owned(),
            };
            let message = if param == "." { message } else { format!("`{param}`: {message}") };
            Fault { param: (param != ".").then_some(param), ..Fault::invalid(message) }
        } else {
            Fault::invalid(format!("the body is not JSON: {inner}"))
        }
    })?;
    deserializer.end().map_err(|error| Fault::invalid(format!("the body is not JSON: {error}")))?;
    Ok(value)
}

/// A field that others know and folio does not do: absent or `null`, or an error that names it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Never;

impl<'de> Deserialize<'de> for Never {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Option::<IgnoredAny>::deserialize(deserializer)? {
            None => Ok(Self),
            Some(_) => Err(D::Error::custom("this field is not supported here: leave it out")),
        }
    }
}

impl schemars::JsonSchema for Never {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Never".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "null", "description": "Known, and not supported: leave it out."})
    }
}

/// One or several.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    pub(crate) fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Inner {
        depth: u8,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Outer {
        inner: Vec<Inner>,
        #[serde(default)]
        audio: Never,
    }

    fn fault(text: &str) -> Fault {
        json::<Outer>(&Bytes::from(text.to_owned())).unwrap_err()
    }

    #[test]
    fn errors_name_the_field() {
        for (text, param, part) in [
            (r#"{"inner":[],"wide":1}"#, Some("wide"), "unknown field"),
            (r#"{"inner":[{"depth":1},{"deep":1}]}"#, Some("inner[1].deep"), "unknown field"),
            (r#"{"inner":[{"depth":"a"}]}"#, Some("inner[0].depth"), "invalid type"),
            (r#"{"inner":[],"audio":{}}"#, Some("audio"), "not supported"),
            (r#"{"audio":null}"#, None, "missing field `inner`"),
            (r#"{"inner":[]} x"#, None, "not JSON"),
            (r#"{"inner":[]"#, None, "not JSON"),
            ("  ", None, "empty"),
        ] {
            let fault = fault(text);
            assert_eq!(fault.param.as_deref(), param, "{text}: {fault:?}");
            assert!(fault.message.contains(part), "{text}: {fault:?}");
        }
        assert!(json::<Outer>(&Bytes::from_static(b"{\"inner\":[],\"audio\":null}")).is_ok());
    }
}
