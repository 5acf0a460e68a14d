//! Calls as Python writes them: `f(place="Paris", days=2)`, alone or in a list.

use serde_json::{Map, Number, Value};

/// How deep lists and dictionaries may be nested.
const DEPTH: usize = 64;

/// The calls that a text consists of: separated by commas, semicolons or lines, in brackets or not, each perhaps printed.
/// None if anything else stands in it. Of `name.call(...)` the name is taken, and of other dotted names the last part.
pub(super) fn read(text: &str) -> Option<Vec<(String, Map<String, Value>)>> {
    let text = text.trim();
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let mut text = Text { rest: inner.unwrap_or(text).trim() };
    let mut calls = Vec::new();
    while !text.rest.is_empty() {
        calls.push(text.call(0)?);
        let behind = text.rest;
        text.blank();
        let line = behind[..behind.len() - text.rest.len()].contains('\n');
        if !text.rest.is_empty() && !text.eat(',') && !text.eat(';') && !line {
            return None;
        }
        text.blank();
    }
    (!calls.is_empty()).then_some(calls)
}

struct Text<'a> {
    rest: &'a str,
}

impl<'a> Text<'a> {
    fn blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A name, perhaps with dots.
    fn name(&mut self) -> Option<&'a str> {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && !"_.-".contains(c));
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        let begins = name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
        begins.then_some(name)
    }

    fn call(&mut self, depth: usize) -> Option<(String, Map<String, Value>)> {
        let name = self.name()?;
        if !self.eat('(') {
            return None;
        }
        self.blank();
        if name == "print" && depth == 0 {
            let call = self.call(1)?;
            self.blank();
            return self.eat(')').then_some(call);
        }
        let name = name.strip_suffix(".call").unwrap_or(name);
        let name = name.rsplit('.').next().unwrap_or(name).to_owned();
        let mut arguments = Map::new();
        loop {
            self.blank();
            if self.eat(')') {
                return Some((name, arguments));
            }
            let key = self.name()?.to_owned();
            self.blank();
            if !self.eat('=') {
                return None;
            }
            let value = self.value(0)?;
            if arguments.insert(key, value).is_some() {
                return None;
            }
            self.blank();
            if !self.eat(',') && !self.rest.starts_with(')') {
                return None;
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.blank();
        if depth > DEPTH {
            return None;
        }
        let first = self.rest.chars().next()?;
        match first {
            '"' | '\'' => self.text(first).map(Value::from),
            '[' | '(' => {
                self.rest = &self.rest[1..];
                let close = if first == '[' { ']' } else { ')' };
                let mut items = Vec::new();
                loop {
                    self.blank();
                    if self.eat(close) {
                        return Some(items.into());
                    }
                    items.push(self.value(depth + 1)?);
                    self.blank();
                    if !self.eat(',') && !self.rest.starts_with(close) {
                        return None;
                    }
                }
            }
            '{' => {
                self.rest = &self.rest[1..];
                let mut object = Map::new();
                loop {
                    self.blank();
                    if self.eat('}') {
                        return Some(object.into());
                    }
                    let Value::String(key) = self.value(depth + 1)? else { return None };
                    self.blank();
                    if !self.eat(':') {
                        return None;
                    }
                    let value = self.value(depth + 1)?;
                    object.insert(key, value);
                    self.blank();
                    if !self.eat(',') && !self.rest.starts_with('}') {
                        return None;
                    }
                }
            }
            '-' | '+' | '0'..='9' | '.' => {
                let end =
                    self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-._".contains(c));
                let (number, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                self.rest = rest;
                let number = number.replace('_', "");
                if let Ok(whole) = number.parse::<i64>() {
                    return Some(whole.into());
                }
                number.parse().ok().and_then(Number::from_f64).map(Value::Number)
            }
            _ => match self.name()? {
                "True" | "true" => Some(true.into()),
                "False" | "false" => Some(false.into()),
                "None" | "null" => Some(Value::Null),
                _ => None,
            },
        }
    }

    /// A string in these quotes, once or three times.
    fn text(&mut self, quote: char) -> Option<String> {
        let three = String::from_iter([quote; 3]);
        let close = if self.rest.starts_with(&three) { three } else { quote.to_string() };
        self.rest = &self.rest[close.len()..];
        let mut out = String::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix(close.as_str()) {
                self.rest = rest;
                return Some(out);
            }
            let mut letters = self.rest.chars();
            let c = letters.next()?;
            self.rest = letters.as_str();
            if c != '\\' {
                out.push(c);
                continue;
            }
            let c = letters.next()?;
            self.rest = letters.as_str();
            let digits = match c {
                'n' => '\n'.into(),
                't' => '\t'.into(),
                'r' => '\r'.into(),
                'b' => '\u{8}'.into(),
                'f' => '\u{c}'.into(),
                '0' => '\0'.into(),
                '\\' | '\'' | '"' => c.into(),
                '\n' => String::new(),
                'x' | 'u' | 'U' => {
                    let count = match c {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    let digits = self.rest.get(..count)?;
                    self.rest = &self.rest[count..];
                    char::from_u32(u32::from_str_radix(digits, 16).ok()?)?.into()
                }
                // Python keeps a backslash that escapes nothing.
                _ => format!("\\{c}"),
            };
            out.push_str(&digits);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn reads(text: &str, expected: Value) {
        let calls = read(text).map(|calls| {
            calls.into_iter().map(|(name, arguments)| json!([name, arguments])).collect::<Value>()
        });
        assert_eq!(calls.unwrap_or_default(), expected, "{text}");
    }

    #[test]
    fn calls_are_read_as_python_does() {
        reads("f()", json!([["f", {}]]));
        reads(" [f(a=1), g(b = 'x',)] ", json!([["f", {"a": 1}], ["g", {"b": "x"}]]));
        reads(
            "print(api.f(a=-1.5e3))\ng(a=1_000)",
            json!([["f", {"a": -1500.0}], ["g", {"a": 1000}]]),
        );
        reads(
            "brave.call(query=\"a \\\"b\\\" \\u00e9\\q\")",
            json!([["brave", {"query": "a \"b\" é\\q"}]]),
        );
        reads(
            "f(a=[1, (2, 'x')], b={'k': None, \"l\": True}, c=\"\"\"a\n\"b\"\"\"\")",
            json!(null),
        );
        reads(
            "f(a=[1, (2, 'x')], b={'k': None, \"l\": True}, c=\"\"\"a\n\"b\"\"\")",
            json!([["f", {"a": [1, [2, "x"]], "b": {"k": null, "l": true}, "c": "a\n\"b"}]]),
        );
        for wrong in [
            "",
            "f",
            "f(",
            "f(1)",
            "f(a=x)",
            "f(a=1",
            "f(a='x)",
            "f() g()",
            "x = f()",
            "f(a=1, a=2)",
            "f(a={1: 2})",
            "[f()",
        ] {
            reads(wrong, json!(null));
        }
        let deep = format!("f(a={}{})", "[".repeat(9999), "]".repeat(9999));
        reads(&deep, json!(null));
    }
}
