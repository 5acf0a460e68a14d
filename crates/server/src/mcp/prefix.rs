//! JSON that was cut short, as far as it goes: what a budget leaves of an answer is still an answer of its form.

use serde_json::{Map, Value};

/// Nothing of ours is nested deeper.
const MOST_DEPTH: usize = 32;

/// What the beginning `text` of a JSON text says, in the form of `schema`: a text that is cut stays cut, an element of a
/// list that lacks something is left out, and a list or a text that never came is empty. What has no empty value, such as a
/// number, is absent.
pub(super) fn rescued(text: &str, schema: &Value) -> Value {
    let mut reader = Reader { rest: text };
    let read = reader.value(MOST_DEPTH);
    filled(read, schema, true).unwrap_or_default()
}

/// A value, and whether its end was seen.
type Read = (Value, bool);

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, mark: char) -> bool {
        if self.skip() != Some(mark) {
            return false;
        }
        self.rest = &self.rest[mark.len_utf8()..];
        true
    }

    fn value(&mut self, depth: usize) -> Option<Read> {
        let depth = depth.checked_sub(1)?;
        match self.skip()? {
            '{' => Some(self.object(depth)),
            '[' => Some(self.array(depth)),
            '"' => self.text().map(|(text, whole)| (text.into(), whole)),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Read {
        let mut object = Map::new();
        self.take('{');
        loop {
            if self.take('}') {
                return (object.into(), true);
            }
            self.take(',');
            let Some((name, true)) = self.text() else { return (object.into(), false) };
            if !self.take(':') {
                return (object.into(), false);
            }
            let Some((value, whole)) = self.value(depth) else { return (object.into(), false) };
            object.insert(name, value);
            if !whole {
                return (object.into(), false);
            }
        }
    }

    fn array(&mut self, depth: usize) -> Read {
        let mut array = Vec::new();
        self.take('[');
        loop {
            if self.take(']') {
                return (array.into(), true);
            }
            self.take(',');
            let Some((value, whole)) = self.value(depth) else { return (array.into(), false) };
            array.push(value);
            if !whole {
                return (array.into(), false);
            }
        }
    }

    /// A text, decoded as far as it goes.
    fn text(&mut self) -> Option<(String, bool)> {
        if self.skip() != Some('"') {
            return None;
        }
        let mut escaped = false;
        let mut end = None;
        // Where the last whole character ends, that of an escape included.
        for (at, c) in self.rest.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        let (inner, whole) = match end {
            Some(at) => (&self.rest[1..at], true),
            None => (&self.rest[1..], false),
        };
        let decoded = |inner: &str| serde_json::from_str(&format!("\"{inner}\"")).ok();
        let text = decoded(inner).or_else(|| {
            // An escape that was cut goes: two surrogates are twelve characters.
            let cuts = inner.char_indices().rev().map(|(at, _)| at).take(12);
            cuts.into_iter().find_map(|at| decoded(&inner[..at]))
        })?;
        self.rest = &self.rest[end.map_or(self.rest.len(), |at| at + 1)..];
        Some((text, whole))
    }

    /// A number, `true`, `false` or `null`, if its end is seen: the beginning of a number is another number.
    fn word(&mut self) -> Option<Read> {
        let end = self.rest.find([',', '}', ']', ' ', '\n', '\r', '\t'])?;
        let value = serde_json::from_str(&self.rest[..end]).ok()?;
        self.rest = &self.rest[end..];
        Some((value, true))
    }
}

/// `read` in the form of `schema`. With `lenient`, what is missing is put in where it has an empty value.
fn filled(read: Option<Read>, schema: &Value, lenient: bool) -> Option<Value> {
    match schema["type"].as_str() {
        Some("object") => {
            let (mut given, whole) = match read {
                Some((Value::Object(object), whole)) => (object, whole),
                _ if lenient => (Map::new(), false),
                _ => return None,
            };
            let mut object = Map::new();
            let properties = schema["properties"].as_object()?;
            let last = given.keys().next_back().cloned();
            for (name, schema) in properties {
                let whole = whole || last.as_ref() != Some(name);
                let value = given.shift_remove(name).map(|value| (value, whole));
                match filled(value, schema, lenient) {
                    Some(value) => {
                        object.insert(name.clone(), value);
                    }
                    None if lenient => {}
                    None => return None,
                }
            }
            Some(object.into())
        }
        Some("array") => {
            let (list, whole) = match read {
                Some((Value::Array(list), whole)) => (list, whole),
                _ if lenient => (Vec::new(), true),
                _ => return None,
            };
            let count = list.len();
            let items = list.into_iter().enumerate().filter_map(|(at, item)| {
                filled(Some((item, whole || at + 1 < count)), &schema["items"], false)
            });
            Some(items.collect())
        }
        Some("string") => match read {
            Some((Value::String(text), whole)) => match schema["enum"].as_array() {
                Some(all) => (whole && all.contains(&text.as_str().into())).then(|| text.into()),
                None => (whole || !text.is_empty() || lenient).then(|| text.into()),
            },
            _ => (lenient && schema["enum"].is_null()).then(|| "".into()),
        },
        _ => read.map(|(value, _)| value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({"type": "object", "properties": {
            "summary": {"type": "string"},
            "score": {"type": "integer"},
            "issues": {"type": "array", "items": {"type": "object", "properties": {
                "severity": {"type": "string", "enum": ["low", "lower"]},
                "line": {"type": "integer"},
                "message": {"type": "string"},
            }}},
            "good": {"type": "array", "items": {"type": "string"}},
        }})
    }

    #[test]
    fn every_beginning_has_its_form() {
        let whole = json!({
            "summary": "a \"b\" \\ \u{e4}\u{1f600}\n",
            "score": 12,
            "issues": [
                {"severity": "low", "line": 34, "message": "x, ] }"},
                {"severity": "lower", "line": 5, "message": "y"},
            ],
            "good": ["one", "two"],
        });
        let plain = whole.to_string();
        let escaped = plain.replace('\u{e4}', "\\u00e4").replace('\u{1f600}', "\\ud83d\\ude00");
        for text in [plain, escaped, serde_json::to_string_pretty(&whole).unwrap()] {
            assert_eq!(rescued(&text, &schema()), whole);
            for (at, _) in text.char_indices() {
                let got = rescued(&text[..at], &schema());
                let summary = got["summary"].as_str().unwrap();
                assert!(whole["summary"].as_str().unwrap().starts_with(summary), "{at}: {got}");
                assert!(got.get("score").is_none_or(|score| *score == 12), "{at}: {got}");
                for (issue, full) in got["issues"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .zip(whole["issues"].as_array().unwrap())
                {
                    assert_eq!(
                        (&issue["severity"], &issue["line"]),
                        (&full["severity"], &full["line"])
                    );
                    let message = issue["message"].as_str().unwrap();
                    assert!(full["message"].as_str().unwrap().starts_with(message));
                }
                assert!(
                    got["good"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .all(|it| !it.as_str().unwrap().is_empty())
                );
            }
        }
        // The work is not thrown away: the last character but one has nearly everything.
        let text = whole.to_string();
        assert_eq!(rescued(&text[..text.len() - 1], &schema()), whole);
    }

    #[test]
    fn what_is_no_json_is_empty() {
        for text in ["", "x", "{\"a\"}", "[[[", "\"\\u12", "{\"summary\":1,"] {
            let got = rescued(text, &schema());
            assert_eq!((&got["issues"], &got["good"]), (&json!([]), &json!([])), "{text}");
        }
        assert_eq!(rescued(&"[".repeat(100_000), &schema())["summary"], "");
    }
}
