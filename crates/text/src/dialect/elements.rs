//! `<function=name>` with a `<parameter=key>` for each argument, as text: made into JSON by the schema of the tool.

use serde_json::Value;

use super::Tools;
use super::forced::{Forced, quoted};
use super::out::Out;
use super::reader::Form;
use super::said::Fault;
use super::watch::Watch;
use super::{Known, python};
use crate::error::Result;
use crate::grammar::{Grammar, prepared};
use crate::message::ToolCall;

pub(super) const KNOWN: Known = Known {
    name: "elements",
    about: "<tool_call><function=name><parameter=key>value</parameter></function></tool_call>",
    signs: &["<function="],
    frames: false,
    marks: &[
        "<tool_call>",
        "</tool_call>",
        "<function=",
        "</function>",
        "<parameter=",
        "</parameter>",
    ],
    spell: |calls| calls.iter().map(spell).collect::<Vec<_>>().join("\n"),
    force: |tools| force(tools).map(Some),
    answer: |_| "",
    form: |_| Box::new(Elements::new()),
};

fn spell(call: &ToolCall) -> String {
    let mut text = format!("{BEGIN}\n{FUNCTION}{}>\n", call.name);
    for (key, value) in call.arguments.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| python(value), str::to_owned);
        text += &format!("{PARAMETER}{key}>\n{value}\n{PARAMETER_END}\n");
    }
    text + FUNCTION_END + "\n" + END
}

const BEGIN: &str = "<tool_call>";
const END: &str = "</tool_call>";
const FUNCTION: &str = "<function=";
const FUNCTION_END: &str = "</function>";
const PARAMETER: &str = "<parameter=";
const PARAMETER_END: &str = "</parameter>";

/// Parameters in the order of the schema, each as its type is read; the optional ones may be left out.
fn force(tools: &Tools) -> Result<Forced> {
    let (mut calls, mut rules) = (Vec::new(), String::new());
    for (tool, (name, schema)) in tools.iter().enumerate() {
        let mut call = quoted(&format!("{name}>\n"));
        let properties = schema.get("properties").and_then(Value::as_object);
        let required = schema.get("required").and_then(Value::as_array);
        for (number, key) in properties.into_iter().flatten().map(|(key, _)| key).enumerate() {
            let field = property(schema, key).unwrap_or(&Value::Null);
            let needed = required.is_some_and(|names| names.iter().any(|name| name == key));
            let rule = format!("p{tool}_{number}");
            let begin = quoted(&format!("{PARAMETER}{key}>\n"));
            let end = format!("\n{PARAMETER_END}\n");
            let texts = field.get("enum").and_then(Value::as_array);
            let texts = texts.map(|all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>());
            if let Some(texts) = texts.filter(|texts| !texts.is_empty()) {
                let texts: Vec<_> =
                    texts.iter().map(|text| quoted(&format!("{text}{end}"))).collect();
                rules += &format!("{rule}: {begin} ({})\n", texts.join(" | "));
            } else if kinds(field).iter().all(|kind| *kind == "string") {
                // A text, up to the mark behind it.
                rules += &format!("{rule}: {begin} {rule}_text\n");
                rules += &format!("{rule}_text[suffix={}]: /(?s:.*)/\n", quoted(&end));
            } else {
                let mut value = field.clone();
                for part in ["$defs", "definitions"] {
                    if let (Some(words), Some(parts)) = (value.as_object_mut(), schema.get(part)) {
                        words.entry(part).or_insert_with(|| parts.clone());
                    }
                }
                rules += &format!("{rule}: {begin} %json {} {}\n", prepared(&value)?, quoted(&end));
            }
            call += &format!(" {rule}{}", if needed { "" } else { "?" });
        }
        calls.push(format!("{call} {}", quoted(&format!("{FUNCTION_END}\n{END}"))));
    }
    let lark = format!("start: {}\n{rules}", calls.join("\n     | "));
    Ok(Forced::new(format!("{BEGIN}\n{FUNCTION}"), Grammar::Lark(lark)))
}

/// The longest name.
const NAME: usize = 256;

#[derive(Debug)]
enum At {
    Text,
    /// Behind the outer mark: what was read since, the mark included.
    Lead(String),
    /// In a tool's name: all, and where the name begins.
    Name(String, usize),
    /// Within a call, outside of parameters.
    Function,
    /// In a parameter's name.
    Key(String),
    /// In a parameter's value.
    Value(Kept),
    /// Behind a call, perhaps before the outer mark's end.
    Tail,
}

/// A value on its way.
#[derive(Debug)]
struct Kept {
    schema: Value,
    /// Told as it comes, since it can only be a string.
    streams: bool,
    /// What is not told yet.
    text: String,
    begun: bool,
}

#[derive(Debug)]
struct Elements {
    at: At,
    watch: Watch,
    /// The call under way.
    tool: String,
    keys: Vec<String>,
    fault: Option<Fault>,
    closes: bool,
}

impl Elements {
    fn new() -> Self {
        Self {
            at: At::Text,
            watch: Watch::new(KNOWN.marks),
            tool: String::new(),
            keys: Vec::new(),
            fault: None,
            closes: false,
        }
    }

    fn plain(&mut self, c: char, out: &mut Out) {
        let mut passed = String::new();
        let mark = self.watch.take(c, &mut passed);
        out.text(&passed);
        match mark {
            Some(BEGIN) => self.at = At::Lead(BEGIN.to_owned()),
            Some(FUNCTION) => self.at = At::Name(FUNCTION.to_owned(), FUNCTION.len()),
            Some(END) if self.closes => {
                self.closes = false;
                out.mark();
            }
            Some(mark) => out.text(mark),
            None => {}
        }
    }

    /// Between the outer mark and a function.
    fn lead(&mut self, c: char, out: &mut Out) {
        let At::Lead(text) = &mut self.at else { return };
        let mark = self.watch.take(c, text);
        let mut text = std::mem::take(text);
        let blank = text[BEGIN.len()..].chars().all(char::is_whitespace) && text.len() < NAME;
        match mark {
            Some(FUNCTION) if blank => {
                text.push_str(FUNCTION);
                let from = text.len();
                self.at = At::Name(text, from);
            }
            None if blank => self.at = At::Lead(text),
            mark => {
                self.at = At::Text;
                out.text(&text);
                let rest = self.watch.rest() + mark.unwrap_or_default();
                rest.chars().for_each(|c| self.take(c, out));
            }
        }
    }

    /// A tool's name; it ends with `>`.
    fn name(&mut self, c: char, out: &mut Out) {
        let At::Name(text, from) = &mut self.at else { return };
        if c == '>' && !text[*from..].trim().is_empty() {
            self.tool = text[*from..].trim().to_owned();
            self.keys.clear();
            self.fault = None;
            self.closes = text.starts_with(BEGIN);
            out.begin(&self.tool);
            out.arguments("{");
            self.at = At::Function;
        } else if c == '\n'
            || c == '<'
            || c == '>'
            || text.len() > NAME + FUNCTION.len() + BEGIN.len()
        {
            let text = std::mem::take(text);
            self.at = At::Text;
            out.text(&text);
            self.take(c, out);
        } else {
            text.push(c);
        }
    }

    fn function(&mut self, c: char, out: &mut Out) {
        let mut passed = String::new();
        let mark = self.watch.take(c, &mut passed);
        if !passed.trim().is_empty() {
            // Not a parameter: the call is what it says, and this is text.
            self.fault.get_or_insert(Fault::Unfinished);
            self.end(out);
            self.at = At::Text;
            out.text(&passed);
            if let Some(mark) = mark {
                mark.chars().for_each(|c| self.take(c, out));
            }
            return;
        }
        match mark {
            Some(PARAMETER) => self.at = At::Key(String::new()),
            Some(FUNCTION_END) => {
                self.end(out);
                self.at = At::Tail;
            }
            Some(END) => {
                self.end(out);
                self.closes = false;
                self.at = At::Text;
            }
            Some(mark @ (BEGIN | FUNCTION)) => {
                self.fault.get_or_insert(Fault::Unfinished);
                self.end(out);
                self.at = At::Text;
                mark.chars().for_each(|c| self.take(c, out));
            }
            // The end of a value that had ended.
            Some(_) | None => {}
        }
    }

    fn key(&mut self, c: char, out: &mut Out) {
        let At::Key(key) = &mut self.at else { return };
        if c != '>' {
            key.push(c);
            return;
        }
        let key = std::mem::take(key).trim().to_owned();
        let schema = out.tools().get(&self.tool).and_then(|tool| property(tool, &key));
        let schema = schema.cloned().unwrap_or_default();
        if self.keys.contains(&key) {
            self.fault.get_or_insert(Fault::RepeatedParameter);
        }
        out.arguments(if self.keys.is_empty() { "" } else { ", " });
        out.arguments(&Value::from(key.as_str()).to_string());
        out.arguments(": ");
        self.keys.push(key);
        let streams = kinds(&schema) == ["string"];
        if streams {
            out.arguments("\"");
        }
        self.at = At::Value(Kept { schema, streams, text: String::new(), begun: false });
    }

    fn value(&mut self, c: char, out: &mut Out) {
        let At::Value(kept) = &mut self.at else { return };
        let mut passed = String::new();
        let mut mark = self.watch.take(c, &mut passed);
        // Other marks may stand in a text.
        if let Some(other) = mark.filter(|mark| *mark != PARAMETER_END && *mark != FUNCTION_END) {
            passed.push_str(other);
            mark = None;
        }
        kept.take(&passed, out);
        if mark.is_some() {
            kept.end(out);
            self.at = At::Function;
        }
        if mark == Some(FUNCTION_END) {
            self.end(out);
            self.at = At::Tail;
        }
    }

    fn end(&mut self, out: &mut Out) {
        out.arguments("}");
        out.end(self.fault.take());
    }
}

impl Kept {
    /// More text. The line end at the beginning is the mark's.
    fn take(&mut self, text: &str, out: &mut Out) {
        for c in text.chars() {
            if !self.begun {
                self.begun = true;
                if c == '\n' {
                    continue;
                }
            }
            self.text.push(c);
        }
        if self.streams {
            // The line end at the end will be the mark's.
            let held = usize::from(self.text.ends_with('\n'));
            let told: String = self.text.drain(..self.text.len() - held).collect();
            out.arguments(&escaped(&told));
        }
    }

    fn end(&mut self, out: &mut Out) {
        let text = std::mem::take(&mut self.text);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        if self.streams {
            out.arguments(&escaped(text));
            out.arguments("\"");
        } else {
            out.arguments(&typed(text, &self.schema));
        }
    }
}

/// A text within a JSON string.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// The schema of a tool's parameter.
fn property<'a>(tool: &'a Value, key: &str) -> Option<&'a Value> {
    let schema = tool.get("properties")?.get(key)?;
    let refers = schema.get("$ref").and_then(Value::as_str);
    refers.and_then(|path| tool.pointer(path.strip_prefix('#')?)).or(Some(schema))
}

/// The types that a schema allows, where it says so.
fn kinds(schema: &Value) -> Vec<&str> {
    let mut kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    for choice in ["anyOf", "oneOf", "allOf"] {
        let choices = schema.get(choice).and_then(Value::as_array);
        kinds.extend(choices.into_iter().flatten().flat_map(self::kinds));
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array)
        && kinds.is_empty()
    {
        values.iter().for_each(|value| kinds.push(kind(value)));
    }
    kinds
}

/// The type of a value.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A value's text as JSON: of a type that the schema allows if it can be read so, else a string.
fn typed(text: &str, schema: &Value) -> String {
    let kinds = kinds(schema);
    let trimmed = text.trim();
    // Some write these as Python does.
    let spelled = match trimmed {
        "True" => "true",
        "False" => "false",
        "None" => "null",
        other => other,
    };
    let read = serde_json::from_str::<Value>(spelled).ok().filter(|value| {
        let kind = kind(value);
        let number = kind == "integer" && kinds.contains(&"number");
        let whole = kinds.contains(&"integer") && value.as_f64().is_some_and(|n| n.fract() == 0.0);
        kinds.contains(&kind) && kind != "string" || number || whole
    });
    match read {
        // As it was spelled: digits are not lost.
        Some(_) => spelled.to_owned(),
        None => Value::from(text).to_string(),
    }
}

impl Form for Elements {
    fn take(&mut self, c: char, out: &mut Out) {
        match &self.at {
            At::Text => self.plain(c, out),
            At::Lead(_) => self.lead(c, out),
            At::Name(..) => self.name(c, out),
            At::Function => self.function(c, out),
            At::Key(_) => self.key(c, out),
            At::Value(_) => self.value(c, out),
            At::Tail if c.is_whitespace() => {}
            At::Tail => {
                self.at = At::Text;
                self.plain(c, out);
            }
        }
    }

    fn finish(&mut self, out: &mut Out) {
        let held = self.watch.rest();
        match std::mem::replace(&mut self.at, At::Text) {
            At::Text => out.text(&held),
            At::Lead(text) => out.text(&(text + &held)),
            At::Name(text, _) => out.broken(text + &held, Fault::Unfinished),
            At::Function => {
                out.arguments(&held);
                out.end(Some(Fault::Unfinished));
            }
            At::Key(key) => {
                out.arguments(&(PARAMETER.to_owned() + &key + &held));
                out.end(Some(Fault::Unfinished));
            }
            At::Value(mut kept) => {
                kept.take(&held, out);
                out.arguments(&if kept.streams { escaped(&kept.text) } else { kept.text });
                out.end(Some(Fault::Unfinished));
            }
            At::Tail => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_parameters_schema_may_stand_elsewhere() {
        let tool = json!({"properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "B"}}, "$defs": {"A": {"type": "array"}}});
        assert_eq!(property(&tool, "a").unwrap(), &json!({"type": "array"}));
        assert_eq!(property(&tool, "b").unwrap(), &json!({"$ref": "B"}));
        assert_eq!(property(&tool, "c"), None);
    }

    #[test]
    fn values_have_the_types_of_the_schema() {
        for (text, schema, expected) in [
            ("3", json!({"type": "integer"}), "3"),
            ("3", json!({"type": "number"}), "3"),
            ("3.0", json!({"type": "integer"}), "3.0"),
            ("3.5", json!({"type": "integer"}), "\"3.5\""),
            ("12345678901234567890.10", json!({"type": "number"}), "12345678901234567890.10"),
            ("3", json!({}), "\"3\""),
            ("3", json!(null), "\"3\""),
            ("3", json!({"type": ["string", "integer"]}), "3"),
            ("\"3\"", json!({"type": ["string", "integer"]}), "\"\\\"3\\\"\""),
            ("True", json!({"type": "boolean"}), "true"),
            ("no", json!({"type": "boolean"}), "\"no\""),
            ("None", json!({"anyOf": [{"type": "string"}, {"type": "null"}]}), "null"),
            ("{\"a\": [1]}", json!({"type": "object"}), "{\"a\": [1]}"),
            ("{a}", json!({"type": "object"}), "\"{a}\""),
            (" [1]\n", json!({"type": "array"}), "[1]"),
            ("2", json!({"enum": [1, 2]}), "2"),
            ("2", json!({"enum": ["1", "2"]}), "\"2\""),
        ] {
            assert_eq!(typed(text, &schema), expected, "{text} by {schema}");
        }
    }
}
