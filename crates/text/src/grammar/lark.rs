//! Grammars in Lark's syntax before the library sees them: how deep brackets are nested, and schemas within them.

use serde_json::{Deserializer, Value};

use super::limits::{SCHEMA, at_most};
use super::schema;
use crate::error::{Error, Result};

/// Bytes of a grammar, without the schemas in it.
const LARK: usize = 16 << 10;
/// Brackets within brackets.
const NESTING: usize = 100;

/// `%json` begins a JSON Schema.
const JSON: &str = "%json";

/// `grammar` with its schemas as [`schema::prepared`] has them: they are checked like any other.
pub(super) fn prepared(grammar: &str) -> Result<String> {
    at_most("bytes of the grammar", grammar.len(), SCHEMA)?;
    let (mut depth, mut at, mut done, mut schemas) = (0_usize, 0, 0, 0);
    let mut prepared = String::with_capacity(grammar.len());
    let bytes = grammar.as_bytes();
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = behind(bytes, at, b'"'),
            b'/' if bytes.get(at) == Some(&b'/') => at = line(bytes, at),
            b'#' => at = line(bytes, at),
            b'/' => at = behind(bytes, at, b'/'),
            b'<' => at = token(bytes, at),
            b'(' | b'[' | b'{' => {
                depth += 1;
                at_most("brackets within brackets", depth, NESTING)?;
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'%' if grammar[at - 1..].starts_with(JSON) => {
                let from = at - 1 + JSON.len();
                let mut values = Deserializer::from_str(&grammar[from..]).into_iter::<Value>();
                let wrong = |error: &dyn std::fmt::Display| Error::Grammar {
                    of: "grammar",
                    what: format!("behind `%json` no JSON Schema follows: {error}"),
                };
                let value = match values.next() {
                    Some(Ok(value)) => value,
                    Some(Err(error)) => return Err(wrong(&error)),
                    None => return Err(wrong(&"it ends")),
                };
                prepared.push_str(&grammar[done..from]);
                prepared.push_str(&format!(" {}", schema::prepared(&value)?));
                schemas += values.byte_offset();
                (at, done) = (from + values.byte_offset(), from + values.byte_offset());
            }
            _ => {}
        }
    }
    at_most("bytes of the grammar beside its schemas", grammar.len() - schemas, LARK)?;
    prepared.push_str(&grammar[done..]);
    Ok(prepared)
}

/// The place behind the next `end` that has no backslash before it.
fn behind(bytes: &[u8], mut at: usize, end: u8) -> usize {
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte == b'\\' {
            at += 1;
        } else if byte == end {
            break;
        }
    }
    at
}

/// The place behind a special token's name, if that is what begins.
fn token(bytes: &[u8], at: usize) -> usize {
    let ends = |&byte: &u8| byte == b'<' || byte == b'>' || byte.is_ascii_whitespace();
    match bytes[at..].iter().position(ends) {
        Some(end) if bytes[at + end] == b'>' => at + end + 1,
        Some(_) | None => at,
    }
}

/// The place behind the line.
fn line(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |end| at + end + 1)
}
