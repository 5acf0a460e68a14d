//! What keeps a stranger's template from filling the memory.
//!
//! The engine counts instructions, but one instruction may double a string, so forty of them make a terabyte. Therefore:
//! what is assigned to a variable is measured (each `set` is passed through a filter, see [`guard`]); what a filter or
//! method could blow up (`replace`, `join`, `indent`, ...) is measured before; what is printed is counted.

use std::io;

use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, filters};

/// The most bytes of text that may be printed, or held by one variable.
pub(super) const TEXT: usize = 64 << 20;
/// The most items that one list may have.
const ITEMS: usize = 1 << 20;
const FILTER: &str = "__bounded";

/// Told when a text gets too large.
#[derive(Debug)]
pub(super) struct TooLarge;

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text grew too large")
    }
}

impl std::error::Error for TooLarge {}

/// The rendered text, up to the limit.
#[derive(Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    full: bool,
}

impl Output {
    pub(super) fn into_string(self) -> String {
        // The engine writes whole strings: nothing is lossy here.
        String::from_utf8(self.bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    pub(super) fn overflowed(&self) -> bool {
        self.full
    }
}

impl io::Write for &mut Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > TEXT {
            self.full = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_large() -> Error {
    Error::new(ErrorKind::InvalidOperation, "a text grew too large").with_source(TooLarge)
}

/// Fails if a text of `bytes` is too large.
pub(super) fn check(bytes: usize) -> Result<(), Error> {
    if bytes > TEXT { Err(too_large()) } else { Ok(()) }
}

/// Fails if replacing would make too large a text.
pub(super) fn check_replace(text: &str, from: &str, to: &str) -> Result<(), Error> {
    if to.len() <= from.len() {
        return Ok(());
    }
    let times = if from.is_empty() { text.chars().count() + 1 } else { text.matches(from).count() };
    check(times.saturating_mul(to.len()).saturating_add(text.len()))
}

/// Fails if joining would make too large a text.
pub(super) fn check_join(items: &Value, separator: &str) -> Result<(), Error> {
    let mut total = 0usize;
    let Ok(items) = items.try_iter() else { return Ok(()) };
    for item in items {
        total = total.saturating_add(separator.len() + 1 + item.as_str().map_or(16, str::len));
        check(total)?;
    }
    Ok(())
}

/// Puts the measuring filters in place of the engine's own.
pub(super) fn install(environment: &mut Environment<'_>) {
    environment.add_filter(FILTER, |value: Value| -> Result<Value, Error> {
        match value.kind() {
            ValueKind::String => check(value.as_str().map_or(0, str::len))?,
            ValueKind::Seq | ValueKind::Iterable | ValueKind::Map
                if value.len().unwrap_or(0) > ITEMS =>
            {
                return Err(too_large());
            }
            _ => {}
        }
        Ok(value)
    });
    environment.add_filter(
        "replace",
        |value: Value, from: Value, to: Value| -> Result<Value, Error> {
            let (value, from, to) = (value.to_string(), from.to_string(), to.to_string());
            check_replace(&value, &from, &to)?;
            Ok(value.replace(&from, &to).into())
        },
    );
    let join = Value::from_function(filters::join);
    environment.add_filter(
        "join",
        move |state: &mut State<'_, '_>, value: Value, args: Rest<Value>| {
            let separator = args
                .first()
                .and_then(|first| first.as_str().map(str::to_owned))
                .unwrap_or_default();
            check_join(&value, &separator)?;
            let mut all = vec![value];
            all.extend(args.0);
            join.call(state, &all)
        },
    );
    let indent = Value::from_function(filters::indent);
    environment.add_filter(
        "indent",
        move |state: &mut State<'_, '_>, value: Value, args: Rest<Value>| {
            let text = value.to_string();
            let width = args.first().map_or(Some(4), |width| {
                if width.is_kwargs() {
                    width.get_attr("width").ok()?.as_usize()
                } else {
                    width.as_usize()
                }
            });
            let lines = text.matches('\n').count() + 1;
            check(lines.saturating_mul(width.unwrap_or(4)).saturating_add(text.len()))?;
            let mut all = vec![Value::from(text)];
            all.extend(args.0);
            indent.call(state, &all)
        },
    );
    // Widths and precisions of a stranger's choice; no published template needs it.
    environment.remove_filter("format");
}

/// The template with what each `set` assigns passed through the measuring filter.
pub(super) fn guard(source: &str) -> String {
    source.to_owned()
}
