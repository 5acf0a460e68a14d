//! Reads settings out of a tree by name. Whatever is read is remembered with its source, its meaning and its default; what
//! nobody reads is a fault.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::fault::{Fault, Origin};
use super::tree::{Entry, Node, Value};
use super::value;
use crate::catalog::nearest;

/// A setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its key, with those it lies in: `server.port`.
    pub key: String,
    /// Its value, as it could be written.
    pub value: String,
    /// Where that comes from.
    pub origin: Origin,
}

/// A setting that there is.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Its key; a name that the user chooses is in capitals.
    pub key: String,
    /// What it does.
    pub meaning: &'static str,
    /// What it may be.
    pub expected: String,
    /// What it is if nobody sets it.
    pub default: String,
    /// The same as `expected`, for programs.
    pub form: Form,
}

/// What a value may be.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Form {
    /// A whole number within these.
    Whole(i64, u64),
    /// A number within these.
    Number(f64, f64),
    /// On or off.
    Switch,
    /// One of these texts; a number where the text is one.
    OneOf(Vec<&'static str>),
    /// A text that this regular expression finds something in.
    Text(String),
    /// The same, or a number from 0 to below this.
    Measure(String, f64),
    /// A text, or a list of texts.
    Texts,
}

/// Other shapes that what stands under a key may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A list of tables, each of which may be the text of its name alone; or a table like that of this key.
    Items(&'static str),
    /// A text or a list of texts in place of the table.
    Texts,
}

/// Any text that is not blank.
const SOMETHING: &str = r"\S";

/// What was found on the way.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) settings: Vec<Setting>,
    pub(super) keys: Vec<Key>,
    /// Of the keys of each of these, one is needed.
    pub(super) needed: Vec<Vec<String>>,
    pub(super) shapes: Vec<(String, Shape)>,
    pub(super) faults: Vec<Fault>,
}

/// A table that is being read.
#[derive(Debug)]
pub(super) struct Table<'a> {
    log: &'a mut Log,
    /// The key of the table, with a dot at its end.
    prefix: String,
    node: Option<&'a Node>,
    known: Vec<&'static str>,
}

/// A name and what it means.
pub(super) type Named = (&'static str, &'static str);

impl<'a> Table<'a> {
    pub(super) fn root(node: &'a Node, log: &'a mut Log) -> Self {
        let mut table = Self { log, prefix: String::new(), node: Some(node), known: Vec::new() };
        table.expect_table(node, "the file");
        table
    }

    /// Where the table stands.
    pub(super) fn origin(&self) -> Origin {
        self.node.map_or(Origin::Default, |node| node.origin.clone())
    }

    /// The key `name` of this table, in full.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.log.faults.push(fault);
    }

    fn expect_table(&mut self, node: &Node, key: &str) {
        if !matches!(node.value, Value::Table(_) | Value::Null) {
            self.wrong(key, node, "a table");
        }
    }

    /// A value that is not what it is to be.
    pub(super) fn wrong(&mut self, key: &str, node: &Node, expected: &str) {
        let number = node.value.as_float().map(|number| number.to_string());
        let simple = number.or_else(|| node.value.as_bool().map(|on| on.to_string()));
        let found = match (simple, node.value.as_text()) {
            (Some(simple), _) => simple,
            // What stands before the `@` of an address is a secret.
            (None, Some(text)) if text.contains("://") && text.contains('@') => {
                "an address with a name in it".to_owned()
            }
            (None, Some(text)) if text.chars().count() <= 60 => format!("`{text}`"),
            (None, _) => node.value.kind().to_owned(),
        };
        let origin = node.origin.clone();
        let (key, expected) = (key.to_owned(), expected.to_owned());
        self.log.faults.push(Fault::Value { key, origin, found, expected });
    }

    /// The value of `name`, and marks the name as one that there is.
    fn take(&mut self, name: &'static str) -> Option<&'a Node> {
        self.known.push(name);
        let entry = self.node?.entries().iter().find(|entry| entry.key == name)?;
        (entry.node.value != Value::Null).then_some(&entry.node)
    }

    /// A table in this one.
    pub(super) fn table(&mut self, name: &'static str) -> Table<'_> {
        let key = self.key(name);
        let node = self.take(name);
        if let Some(node) = node {
            self.expect_table(node, &key);
        }
        Table { log: self.log, prefix: format!("{key}."), node, known: Vec::new() }
    }

    /// The node of `name`, for values of several shapes.
    pub(super) fn node(&mut self, name: &'static str) -> Option<&'a Node> {
        self.take(name)
    }

    /// A table that lies elsewhere in the tree, under the key `key`.
    pub(super) fn at<'b>(&'b mut self, key: String, node: &'b Node) -> Table<'b> {
        self.expect_table(node, &key);
        Table { log: self.log, prefix: format!("{key}."), node: Some(node), known: Vec::new() }
    }

    /// Lists a setting that is read otherwise than one by one.
    pub(super) fn explain(&mut self, name: &str, meaning: &'static str, expected: &str) {
        let (key, expected) = (self.key(name), expected.to_owned());
        let form = Form::Texts;
        self.log.keys.push(Key { key, meaning, expected, default: "-".to_owned(), form });
    }

    /// Notes what else may stand in place of the table of `key`.
    pub(super) fn also(&mut self, key: &str, shape: Shape) {
        self.log.shapes.push((key.to_owned(), shape));
    }

    /// Notes that one of these has to be set.
    pub(super) fn needs_one(&mut self, names: &[&str]) {
        let keys = names.iter().map(|name| self.key(name)).collect();
        self.log.needed.push(keys);
    }

    /// A fault, if `name` is not set at all and has to be.
    pub(super) fn needs(&mut self, name: &str, there: bool) {
        self.needs_one(&[name]);
        let tried = self.node.map_or(&[][..], Node::entries).iter().any(|entry| {
            // What is empty is as good as absent.
            entry.key == name && entry.node.value != Value::Null
        });
        if !there && !tried {
            let (key, origin) = (self.key(name), self.origin());
            self.fault(Fault::Missing { key, origin });
        }
    }

    /// Says what `value` became in the end.
    pub(super) fn note(&mut self, key: String, value: impl Display, origin: Origin) {
        self.log.settings.push(Setting { key, value: value.to_string(), origin });
    }

    /// A setting that is read by `parse`, which is to be `expected`.
    fn setting<T>(
        &mut self,
        (name, meaning): Named,
        (expected, form): (&str, Form),
        default: Option<(T, String)>,
        parse: impl Fn(&Node) -> Option<(T, String)>,
    ) -> Option<T> {
        let key = self.key(name);
        let shown = default.as_ref().map_or_else(|| "-".to_owned(), |(_, shown)| shown.clone());
        let expected = expected.to_owned();
        let entry =
            Key { key: key.clone(), meaning, expected: expected.clone(), default: shown, form };
        self.log.keys.push(entry);
        let node = self.take(name);
        let parsed = node.map(|node| (parse(node), node));
        match parsed {
            Some((Some((value, shown)), node)) => {
                self.note(key, shown, node.origin.clone());
                Some(value)
            }
            Some((None, node)) => {
                self.wrong(&key, node, &expected);
                None
            }
            None => {
                let (value, shown) = default?;
                self.note(key, shown, Origin::Default);
                Some(value)
            }
        }
    }

    /// A whole number within `range`.
    pub(super) fn number(
        &mut self,
        named: Named,
        range: RangeInclusive<u64>,
        default: Option<u64>,
    ) -> Option<u64> {
        let expected = match (*range.start(), *range.end()) {
            (first, u64::MAX) => format!("a whole number from {first}"),
            (first, last) => format!("a whole number from {first} to {last}"),
        };
        let default = default.map(|number| (number, number.to_string()));
        let least = i64::try_from(*range.start()).unwrap_or(i64::MAX);
        let form = Form::Whole(least, *range.end());
        self.setting(named, (&expected, form), default, |node| {
            let written = || node.written()?.parse().ok();
            let number = match node.value.as_integer() {
                Some(number) => u64::try_from(number).ok()?,
                None => written()?,
            };
            range.contains(&number).then(|| (number, number.to_string()))
        })
    }

    /// A whole number with a sign.
    pub(super) fn signed(&mut self, named: Named, default: i32) -> i32 {
        let fallback = Some((default, default.to_string()));
        let read = self.setting(
            named,
            ("a whole number", Form::Whole(i32::MIN.into(), i32::MAX as u64)),
            fallback,
            |node| {
                let written = || node.written()?.parse().ok();
                let number = match node.value.as_integer() {
                    Some(number) => i32::try_from(number).ok()?,
                    None => written()?,
                };
                Some((number, number.to_string()))
            },
        );
        read.unwrap_or(default)
    }

    /// A number within `range`.
    pub(super) fn float(
        &mut self,
        named: Named,
        range: RangeInclusive<f64>,
        default: Option<f64>,
    ) -> Option<f64> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        let default = default.map(|number| (number, number.to_string()));
        let form = Form::Number(*range.start(), *range.end());
        self.setting(named, (&expected, form), default, |node| {
            let written = || node.written()?.parse().ok();
            let number: f64 = node.value.as_float().or_else(written)?;
            range.contains(&number).then(|| (number, number.to_string()))
        })
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, named: Named, default: bool) -> bool {
        let fallback = Some((default, default.to_string()));
        let read = self.setting(named, ("true or false", Form::Switch), fallback, |node| {
            let written = || match node.written()? {
                "true" | "1" | "yes" | "on" => Some(true),
                "false" | "0" | "no" | "off" => Some(false),
                _ => None,
            };
            let on = node.value.as_bool().or_else(written)?;
            Some((on, on.to_string()))
        });
        read.unwrap_or(default)
    }

    /// One of these texts, and what it stands for.
    pub(super) fn one_of<T: Clone>(
        &mut self,
        named: Named,
        names: &[(&'static str, T)],
        default: Option<&str>,
    ) -> Option<T> {
        let texts: Vec<_> = names.iter().map(|(name, _)| *name).collect();
        let expected = match texts.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        };
        let find = |text: &str| {
            let found = names.iter().find(|(name, _)| *name == text);
            found.map(|(_, value)| value.clone())
        };
        self.parsed(named, (&expected, Form::OneOf(texts)), default, find)
    }

    /// A text that `parse` understands, and that is to be `expected`.
    pub(super) fn parsed<T: Clone>(
        &mut self,
        named: Named,
        expected: (&str, Form),
        default: Option<&str>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let default = default.and_then(|text| Some((parse(text)?, text.to_owned())));
        self.setting(named, expected, default, |node| {
            let number = || node.value.as_float().map(|number| number.to_string());
            let text = node.value.as_text().map(str::to_owned).or_else(number)?;
            Some((parse(text.trim())?, text))
        })
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, named: Named, expected: &str) -> Option<String> {
        let form = Form::Text(SOMETHING.to_owned());
        self.setting(named, (expected, form), None, |node| {
            let text = node.value.as_text().filter(|text| !text.trim().is_empty())?;
            Some((text.to_owned(), text.to_owned()))
        })
    }

    /// A file or folder; `~` is the home folder.
    pub(super) fn path(&mut self, named: Named, expected: &str) -> Option<PathBuf> {
        self.text(named, expected).map(|text| value::expand(&text))
    }

    /// A number of bytes.
    pub(super) fn bytes(&mut self, named: Named, default: Option<&str>) -> Option<u64> {
        let form = Form::Measure(value::bytes_pattern(), value::MOST_BYTES);
        self.parsed(named, ("a number of bytes, such as 16GB or 8GiB", form), default, value::bytes)
    }

    /// A time; `never` is none where it may be.
    pub(super) fn time(&mut self, named: Named, default: &str) -> Duration {
        let form = Form::Measure(value::time_pattern(false), value::MOST_SECONDS);
        let expected = ("a time, such as 30s, 5m or 250ms", form);
        let read = self.parsed(named, expected, Some(default), value::time);
        read.unwrap_or_default()
    }

    /// A time, or `never`.
    pub(super) fn time_or_never(
        &mut self,
        named: Named,
        default: Option<&str>,
    ) -> Option<Option<Duration>> {
        let form = Form::Measure(value::time_pattern(true), value::MOST_SECONDS);
        let expected = ("a time, such as 30s or 5m, or `never`", form);
        self.parsed(named, expected, default, |text| match text {
            "never" => Some(None),
            text => value::time(text).map(Some),
        })
    }

    /// A list of texts; one text is a list of one, and in the environment commas are between them.
    pub(super) fn list(&mut self, named: Named, of: &str) -> Vec<String> {
        let expected = format!("a list of {of}");
        let default = Some((Vec::new(), "[]".to_owned()));
        let read = self.setting(named, (&expected, Form::Texts), default, |node| {
            let found: Vec<String> = if let Some(text) = node.written() {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(str::to_owned).collect()
            } else if let Some(text) = node.value.as_text() {
                vec![Some(text).filter(|text| !text.trim().is_empty())?.to_owned()]
            } else {
                let text = |item: &Node| {
                    let text = item.value.as_text().filter(|text| !text.trim().is_empty());
                    text.map(str::to_owned)
                };
                node.value.as_list()?.iter().map(text).collect::<Option<_>>()?
            };
            let shown = format!("[{}]", found.join(", "));
            Some((found, shown))
        });
        read.unwrap_or_default()
    }

    /// The entries of a table whose keys are names of the user's.
    pub(super) fn named(&mut self, name: &'static str) -> &'a [Entry] {
        let key = self.key(name);
        let Some(node) = self.take(name) else { return &[] };
        self.expect_table(node, &key);
        node.entries()
    }

    /// Whatever was not asked for is a fault.
    pub(super) fn finish(&mut self) {
        for entry in self.node.map_or(&[][..], Node::entries) {
            if !self.known.contains(&entry.key.as_str()) {
                let near = nearest(&entry.key, self.known.iter().copied());
                self.log.faults.push(Fault::UnknownKey {
                    key: format!("{}{}", self.prefix, entry.key),
                    origin: entry.origin.clone(),
                    nearest: near.map(|near| format!("{}{near}", self.prefix)),
                });
            }
        }
    }
}
