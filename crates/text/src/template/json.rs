//! JSON into the template engine, and out of it: `tojson` as Python's `json.dumps(value, ensure_ascii=False)` writes it.

use std::fmt::Write;

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};
use serde_json::Value as Json;

use super::bounds;

/// JSON as a value of the template engine; the order of an object's keys stays.
pub(super) fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => (*flag).into(),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => items.iter().map(value).collect(),
        Json::Object(entries) => {
            Value::from_pairs(entries.iter().map(|(key, item)| (key.as_str(), value(item))))
        }
    }
}

/// How to write.
struct Style {
    ascii: bool,
    indent: Option<String>,
    item: String,
    key: String,
    sort: bool,
}

/// The filter: `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(super) fn tojson(
    value: &Value,
    ascii: Option<Value>,
    indent: Option<Value>,
    separators: Option<Value>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let named = |given: Option<Value>, name: &str| -> Result<Value, Error> {
        match given {
            Some(value) => Ok(value),
            None => Ok(kwargs.get::<Option<Value>>(name)?.unwrap_or(Value::from(()))),
        }
    };
    let ascii = named(ascii, "ensure_ascii")?.is_true();
    let indent = named(indent, "indent")?;
    let separators = named(separators, "separators")?;
    let sort = named(None, "sort_keys")?.is_true();
    kwargs.assert_all_used()?;
    let indent = match (indent.as_str(), indent.as_usize()) {
        _ if indent.is_none() => None,
        (Some(text), _) => Some(text.to_owned()),
        (None, Some(width)) if width <= 256 => Some(" ".repeat(width)),
        _ => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "tojson: indent is a number up to 256 or a string",
            ));
        }
    };
    let (item, key) = if separators.is_none() {
        (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned())
    } else {
        (separators.get_item_by_index(0)?.to_string(), separators.get_item_by_index(1)?.to_string())
    };
    let mut out = String::new();
    write(&mut out, value, &Style { ascii, indent, item, key, sort }, 0)?;
    Ok(out)
}

/// A value as Python's `json.dumps` writes it, letters of all scripts as they are.
pub(crate) fn python(json: &Json) -> String {
    let style = Style {
        ascii: false,
        indent: None,
        item: ", ".to_owned(),
        key: ": ".to_owned(),
        sort: false,
    };
    let mut out = String::new();
    // What is too large or too deep for a template is written without the spaces.
    match write(&mut out, &value(json), &style, 0) {
        Ok(()) => out,
        Err(_) => json.to_string(),
    }
}

fn write(out: &mut String, value: &Value, style: &Style, depth: usize) -> Result<(), Error> {
    if depth > 200 {
        return Err(Error::new(ErrorKind::BadSerialization, "tojson: nested too deeply"));
    }
    bounds::check(out.len())?;
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number if value.is_integer() => {
            let _ = write!(out, "{value}");
        }
        ValueKind::Number => out.push_str(&float(f64::try_from(value.clone())?)),
        ValueKind::String => string(out, value.as_str().unwrap_or(""), style.ascii),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?.map(|item| (None, item));
            container(out, ('[', ']'), items, style, depth)?;
        }
        ValueKind::Map => {
            let mut entries = Vec::new();
            for key in value.try_iter()? {
                let item = value.get_item(&key)?;
                entries.push((Some(key_text(&key)?), item));
            }
            if style.sort {
                entries.sort_by(|a, b| a.0.cmp(&b.0));
            }
            container(out, ('{', '}'), entries.into_iter(), style, depth)?;
        }
        ValueKind::Undefined | ValueKind::Bytes | ValueKind::Plain | ValueKind::Invalid | _ => {
            let detail =
                format!("tojson: a value of type {} is not JSON serializable", value.kind());
            return Err(Error::new(ErrorKind::BadSerialization, detail));
        }
    }
    Ok(())
}

fn container(
    out: &mut String,
    (open, close): (char, char),
    entries: impl Iterator<Item = (Option<String>, Value)>,
    style: &Style,
    depth: usize,
) -> Result<(), Error> {
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = &style.indent {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(indent));
        }
    };
    out.push(open);
    let mut empty = true;
    for (key, item) in entries {
        if !empty {
            out.push_str(&style.item);
        }
        empty = false;
        line(out, depth + 1);
        if let Some(key) = key {
            string(out, &key, style.ascii);
            out.push_str(&style.key);
        }
        write(out, &item, style, depth + 1)?;
    }
    if !empty {
        line(out, depth);
    }
    out.push(close);
    Ok(())
}

/// A key as Python writes it: numbers, booleans and None become strings.
fn key_text(key: &Value) -> Result<String, Error> {
    Ok(match key.kind() {
        ValueKind::String => key.as_str().unwrap_or("").to_owned(),
        ValueKind::None => "null".to_owned(),
        ValueKind::Bool => key.is_true().to_string(),
        ValueKind::Number if key.is_integer() => key.to_string(),
        ValueKind::Number => float(f64::try_from(key.clone())?),
        ValueKind::Undefined
        | ValueKind::Bytes
        | ValueKind::Seq
        | ValueKind::Map
        | ValueKind::Iterable
        | ValueKind::Plain
        | ValueKind::Invalid
        | _ => {
            let detail = format!("tojson: keys must be strings, not {}", key.kind());
            return Err(Error::new(ErrorKind::BadSerialization, detail));
        }
    })
}

fn string(out: &mut String, text: &str, ascii: bool) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            '\u{7f}'.. if ascii => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
}

/// A float as Python's `repr`: the shortest digits that give it back, with an exponent outside of 1e-4 to 1e16.
fn float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let size = number.abs();
    if size == 0.0 || (1e-4..1e16).contains(&size) {
        return format!("{number:?}");
    }
    let text = format!("{number:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_does() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (-2.5e300, "-2.5e+300"),
            (123456.789, "123456.789"),
        ];
        for (number, text) in cases {
            assert_eq!(float(number), text);
        }
    }
}
