//! A file of settings as a tree that knows the line of everything: TOML or YAML, within bounds.

use std::path::Path;
use std::sync::Arc;

use granit_parser::{Event, Options, Parser, ScalarStyle};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Origin};

/// The largest file of settings: nobody writes more by hand.
pub(super) const LARGEST: usize = 1 << 20;
/// How deep settings may lie in each other.
const DEEPEST: usize = 16;
/// The most values in a file.
const MOST: usize = 20_000;

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// What stands there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) origin: Origin,
    pub(super) node: Node,
}

impl Value {
    pub(super) fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(on) = self { Some(*on) } else { None }
    }

    pub(super) fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// A number, whole or not.
    pub(super) fn as_float(&self) -> Option<f64> {
        if let Self::Float(number) = self {
            Some(*number)
        } else {
            self.as_integer().map(|n| n as f64)
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn as_list(&self) -> Option<&[Node]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// What it is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Node {
    /// An empty table of no origin.
    pub(super) fn empty() -> Self {
        Self { value: Value::Table(Vec::new()), origin: Origin::Default }
    }

    /// A text that came from `origin`.
    pub(super) fn text(text: &str, origin: Origin) -> Self {
        Self { value: Value::Text(text.to_owned()), origin }
    }

    /// The text, where values are written as text: `8` is a number there.
    pub(super) fn written(&self) -> Option<&str> {
        self.value.as_text().map(str::trim).filter(|_| self.origin.is_text())
    }

    /// The entries of a table; none of anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        if let Value::Table(entries) = &self.value { entries } else { &[] }
    }

    /// Puts `node` at `path`, over what is there; tables on the way are made. Of a list of tables, the one whose `name` is
    /// the next part of the path is meant.
    pub(super) fn put(&mut self, path: &[String], node: Self) {
        let Some((first, rest)) = path.split_first() else {
            *self = node;
            return;
        };
        if let Value::List(items) = &mut self.value {
            let is_bare = |item: &&mut Self| item.value == Value::Text(first.clone());
            if let Some(item) = items.iter_mut().find(is_bare) {
                let origin = item.origin.clone();
                let name = Self { value: item.value.clone(), origin: origin.clone() };
                let entry = Entry { key: "name".to_owned(), origin, node: name };
                item.value = Value::Table(vec![entry]);
            }
            let is_named = |item: &&mut Self| {
                let named = item.entries().iter().find(|entry| entry.key == "name");
                named.is_some_and(|entry| entry.node.value == Value::Text(first.clone()))
            };
            if let Some(item) = items.iter_mut().find(is_named) {
                item.put(rest, node);
            } else {
                let mut item =
                    Self { value: Value::Table(Vec::new()), origin: node.origin.clone() };
                item.put(&["name".to_owned()], Self::text(first, node.origin.clone()));
                item.put(rest, node);
                items.push(item);
            }
            return;
        }
        if !matches!(self.value, Value::Table(_)) {
            self.value = Value::Table(Vec::new());
            self.origin = node.origin.clone();
        }
        let Value::Table(entries) = &mut self.value else { return };
        if let Some(entry) = entries.iter_mut().find(|entry| entry.key == *first) {
            entry.node.put(rest, node);
            return;
        }
        let origin = node.origin.clone();
        let mut new = Self { value: Value::Table(Vec::new()), origin: origin.clone() };
        new.put(rest, node);
        entries.push(Entry { key: first.clone(), origin, node: new });
    }
}

/// Reads a file's text by its extension: `toml`, `yaml` or `yml`.
pub(super) fn read(path: &Path, text: &str) -> Result<Node, Fault> {
    let path: Arc<Path> = path.into();
    if text.len() > LARGEST {
        return Err(Fault::TooLarge { path: path.to_path_buf(), limit: LARGEST });
    }
    let extension = path.extension().and_then(|extension| extension.to_str());
    match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("toml") => Toml { path: &path, text, left: MOST }.document(),
        Some("yaml" | "yml") => Yaml::new(&path, text).document(),
        _ => Err(Fault::Extension { path: path.to_path_buf() }),
    }
}

struct Toml<'a> {
    path: &'a Arc<Path>,
    text: &'a str,
    left: usize,
}

impl Toml<'_> {
    fn document(mut self) -> Result<Node, Fault> {
        match DeTable::parse(self.text) {
            Ok(table) => self.table(table.get_ref(), Origin::line(self.path, 1), 0),
            Err(error) => Err(Fault::Syntax {
                path: self.path.to_path_buf(),
                line: error.span().map_or(1, |span| line_of(self.text, span.start)),
                reason: error.message().lines().next().unwrap_or_default().to_owned(),
            }),
        }
    }

    fn origin(&self, at: usize) -> Origin {
        Origin::line(self.path, line_of(self.text, at))
    }

    fn table(&mut self, table: &DeTable<'_>, origin: Origin, depth: usize) -> Result<Node, Fault> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut found = Vec::new();
        for (key, value) in entries {
            let node = self.node(value, depth + 1)?;
            let key_origin = self.origin(key.span().start);
            found.push(Entry { key: key.get_ref().to_string(), origin: key_origin, node });
        }
        Ok(Node { value: Value::Table(found), origin })
    }

    fn node(&mut self, value: &Spanned<DeValue<'_>>, depth: usize) -> Result<Node, Fault> {
        let origin = self.origin(value.span().start);
        let bounds = || Fault::Bounds { origin: origin.clone(), values: MOST, deep: DEEPEST };
        self.left = self.left.checked_sub(1).ok_or_else(bounds)?;
        if depth > DEEPEST {
            return Err(bounds());
        }
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Value::Integer(number),
                    Err(_) => Value::Text(number.as_str().to_owned()),
                }
            }
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => Value::Float(number),
                Err(_) => Value::Text(number.as_str().to_owned()),
            },
            DeValue::Datetime(time) => Value::Text(time.to_string()),
            DeValue::Array(items) => {
                let items = items.iter().map(|item| self.node(item, depth + 1));
                Value::List(items.collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => return self.table(table, origin, depth),
        };
        Ok(Node { value, origin })
    }
}

/// The line of a byte, counted from 1.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at.min(text.len())).unwrap_or_default();
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

struct Yaml<'a> {
    path: &'a Arc<Path>,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    left: usize,
}

impl<'a> Yaml<'a> {
    fn new(path: &'a Arc<Path>, text: &'a str) -> Self {
        let mut options = Options::default();
        options.flow_nesting_limit = 2 * DEEPEST;
        options.block_nesting_limit = 2 * DEEPEST;
        Self { path, parser: Parser::new_from_str_with_options(text, options), left: MOST }
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, usize)>, Fault> {
        match self.parser.next() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, span.start.line()))),
            Some(Err(error)) => Err(Fault::Syntax {
                path: self.path.to_path_buf(),
                line: error.marker().line(),
                reason: error.info(),
            }),
        }
    }

    fn syntax(&self, line: usize, reason: &str) -> Fault {
        Fault::Syntax { path: self.path.to_path_buf(), line, reason: reason.to_owned() }
    }

    fn document(mut self) -> Result<Node, Fault> {
        let mut root = None;
        while let Some((event, line)) = self.next()? {
            if !event.is_node() {
                continue;
            }
            if root.is_some() {
                return Err(self.syntax(line, "a second document begins here"));
            }
            root = Some(self.node(event, line, 0)?);
        }
        let root = root.unwrap_or_else(Node::empty);
        if root.value == Value::Null {
            return Ok(Node { value: Value::Table(Vec::new()), ..root });
        }
        Ok(root)
    }

    fn node(&mut self, event: Event<'a>, line: usize, depth: usize) -> Result<Node, Fault> {
        let origin = Origin::line(self.path, line);
        let bounds = || Fault::Bounds { origin: origin.clone(), values: MOST, deep: DEEPEST };
        self.left = self.left.checked_sub(1).ok_or_else(bounds)?;
        if depth > DEEPEST {
            return Err(bounds());
        }
        let ends = "the file ends in the middle of a value";
        #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else there is, is not read")]
        let value = match event {
            Event::Scalar(text, style, 0, None) => match style {
                ScalarStyle::Plain => plain(&text),
                ScalarStyle::SingleQuoted
                | ScalarStyle::DoubleQuoted
                | ScalarStyle::Literal
                | ScalarStyle::Folded => Value::Text(text.into_owned()),
            },
            Event::SequenceStart(_, 0, None) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Some((Event::SequenceEnd, _)) => break,
                        Some((event, line)) => items.push(self.node(event, line, depth + 1)?),
                        None => return Err(self.syntax(line, ends)),
                    }
                }
                Value::List(items)
            }
            Event::MappingStart(_, 0, None) => Value::Table(self.mapping(line, depth)?),
            _ => {
                let what = "anchors (`&`), aliases (`*`) and tags (`!`) are not read here";
                return Err(self.syntax(line, what));
            }
        };
        Ok(Node { value, origin })
    }

    fn mapping(&mut self, line: usize, depth: usize) -> Result<Vec<Entry>, Fault> {
        let ends = "the file ends in the middle of a value";
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (key, line) = match self.next()? {
                Some((Event::MappingEnd, _)) => return Ok(entries),
                Some((Event::Scalar(text, _, 0, None), line)) => (text.into_owned(), line),
                Some((_, line)) => return Err(self.syntax(line, "a key is to be a plain text")),
                None => return Err(self.syntax(line, ends)),
            };
            let origin = Origin::line(self.path, line);
            if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                let first = first.origin.clone();
                return Err(Fault::Repeated { key, origin, first });
            }
            let Some((event, line)) = self.next()? else { return Err(self.syntax(line, ends)) };
            let node = self.node(event, line, depth + 1)?;
            entries.push(Entry { key, origin, node });
        }
    }
}

/// A YAML scalar without quotes, by YAML's core schema.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        if let Ok(number) = text.parse() {
            return Value::Integer(number);
        }
        let number = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
        if let Some(number) = text.parse().ok().filter(|_| number) {
            return Value::Float(number);
        }
    }
    Value::Text(text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn toml(text: &str) -> Result<Node, Fault> {
        read(Path::new("folio.toml"), text)
    }

    fn yaml(text: &str) -> Result<Node, Fault> {
        read(Path::new("folio.yaml"), text)
    }

    /// Without lines.
    fn shape(node: &Node) -> String {
        if let Some(items) = node.value.as_list() {
            format!("[{}]", items.iter().map(shape).collect::<Vec<_>>().join(" "))
        } else if let Value::Table(entries) = &node.value {
            let entries = entries.iter().map(|e| format!("{}={}", e.key, shape(&e.node)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
        } else {
            format!("{:?}", node.value)
        }
    }

    #[test]
    fn both_languages_say_the_same() {
        let one = toml("[server]\nport = 80\nhosts = ['a', \"b\"]\nx = 1.5\non = true\n[[models]]\nname = 'm'\n").unwrap();
        let two = yaml("server:\n  port: 80\n  hosts: [a, \"b\"]\n  x: 1.5\n  on: true\nmodels:\n  - name: m\n").unwrap();
        assert_eq!(shape(&one), shape(&two));
        assert_eq!(
            shape(&two),
            "{server={port=Integer(80) hosts=[Text(\"a\") Text(\"b\")] x=Float(1.5) on=Bool(true)} models=[{name=Text(\"m\")}]}"
        );
        let port = &two.entries()[0].node.entries()[0];
        assert_eq!(port.origin.to_string(), "folio.yaml:2");
        assert_eq!(one.entries()[0].node.entries()[1].origin.to_string(), "folio.toml:3");
        assert_eq!(shape(&yaml("# nothing\n").unwrap()), "{}");
        assert_eq!(
            shape(&yaml("a: '80'\nb: 1e3\nc: ~\nd: 1.2.3\ne: 0x10\n").unwrap()),
            "{a=Text(\"80\") b=Float(1000.0) c=Null d=Text(\"1.2.3\") e=Text(\"0x10\")}"
        );
    }

    #[test]
    fn bombs_and_nonsense_are_refused_where_they_stand() {
        let said = |result: Result<Node, Fault>| result.unwrap_err().to_string();
        assert!(said(yaml("a: &x 1\nb: *x\n")).contains("folio.yaml:1: anchors"));
        assert!(said(yaml("a: !!python/object 1\n")).contains("folio.yaml:1: anchors"));
        assert!(
            said(yaml("a: 1\nb: 2\na: 3\n"))
                .contains("folio.yaml:3: `a` is set twice, first at folio.yaml:1")
        );
        assert!(said(yaml("a: 1\n---\nb: 2\n")).contains("folio.yaml:3: a second document"));
        assert!(said(yaml(&format!("a: {}", "[".repeat(200)))).starts_with("folio.yaml:1: "));
        assert!(said(yaml(&format!("a: [{}]", "1,".repeat(30_000)))).contains("20000 values"));
        assert!(said(toml("a = 1\na = 2\n")).starts_with("folio.toml:2: "));
        assert!(said(toml(&format!("a = {}", "[".repeat(60)))).starts_with("folio.toml:1: "));
        assert!(said(toml("[server\n")).starts_with("folio.toml:1: "));
        let large = "#".repeat(LARGEST + 1);
        assert!(said(toml(&large)).contains("is larger than"));
        assert!(said(read(Path::new("folio.json"), "{}")).contains("folio.json"));
    }

    #[test]
    fn values_are_put_over_others() {
        let mut node = toml("[server]\nport = 80\n[[models]]\nname = 'a.b'\n").unwrap();
        let flag = || Origin::Flag("--port".to_owned());
        let path = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        node.put(&path("server/port"), Node::text("81", flag()));
        node.put(&path("models/a.b/pinned"), Node::text("true", flag()));
        node.put(&path("models/c/ttl"), Node::text("1m", flag()));
        node.put(&path("routes/x/models"), Node::text("c", flag()));
        assert_eq!(
            shape(&node),
            "{server={port=Text(\"81\")} models=[{name=Text(\"a.b\") pinned=Text(\"true\")} {name=Text(\"c\") ttl=Text(\"1m\")}] routes={x={models=Text(\"c\")}}}"
        );
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(?s).{0,200}", dense in "[ \\-:\\[\\]{}&*!|>'\"#\n=a1.]{0,120}") {
            for text in [text, dense] {
                let _ = (toml(&text), yaml(&text));
            }
        }
    }
}
