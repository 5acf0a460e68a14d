//! What keeps a stranger's template from filling the memory.
//!
//! The engine counts instructions, but one instruction may double a string, so forty of them make a terabyte. Therefore
//! whatever a template can keep or enlarge is weighed: what is assigned, what macros are called with (`rewrite` sends both
//! through a filter), what goes into a filter or method and comes out, what is printed.
//! One text may reach [`Meter::text`] bytes, and all weighing together is limited too. What is left is a single
//! expression, whose operators the rewriting counts.

use std::cell::Cell;
use std::io;

use minijinja::value::{Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, filters};

use super::rewrite::FILTER;

/// The most bytes of one text, before what the conversation's own size adds.
const TEXT: usize = 4 << 20;
/// How much more than the conversation the rendered text may be.
const GROWTH: usize = 8;
/// The most items of one list.
const ITEMS: usize = 1 << 16;
/// How much may be weighed in one rendering: eight for each value, and its bytes in fours.
const WORK: usize = 1 << 28;

/// What the rendering on this thread may still use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter {
    text: usize,
    work: usize,
    printed: usize,
}

thread_local! {
    static METER: Cell<Meter> = const { Cell::new(Meter { text: TEXT, work: WORK, printed: 0 }) };
}

impl Meter {
    /// Begins a rendering of a conversation of so many bytes; returns the limit on one text.
    pub(super) fn begin(conversation: usize) -> usize {
        let text = TEXT.saturating_add(conversation.saturating_mul(GROWTH));
        METER.set(Self {
            text,
            work: WORK.saturating_add(conversation.saturating_mul(256)),
            printed: 0,
        });
        text
    }
}

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
pub(super) struct Output {
    bytes: Vec<u8>,
    limit: usize,
    full: bool,
}

impl Output {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, full: false }
    }

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
        if self.bytes.len() + bytes.len() > self.limit {
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
    if bytes > METER.get().text { Err(too_large()) } else { Ok(()) }
}

/// Weighs a value: its bytes as text, about. Fails if it is too large, or if too much was weighed already.
pub(super) fn weigh(value: &Value) -> Result<usize, Error> {
    let mut meter = METER.get();
    let limit = meter.text;
    let outcome = descend(value, &mut meter, limit, 0);
    METER.set(meter);
    outcome.map(|left| limit - left).ok_or_else(too_large)
}

/// What is left of `left` bytes after this value; none if there is too little.
fn descend(value: &Value, meter: &mut Meter, left: usize, depth: usize) -> Option<usize> {
    let bytes = value.as_str().map_or(1, |text| text.len() + 1);
    meter.work = meter.work.checked_sub(8 + bytes / 4)?;
    let mut left = (left + 1).checked_sub(bytes)?;
    // Iterables without a length may be readable only once.
    let holds = matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable)
        && value.len().is_some();
    if !holds {
        return Some(left);
    }
    if depth > 150 || value.len().is_some_and(|items| items > ITEMS) {
        return None;
    }
    for item in value.try_iter().ok()? {
        left = descend(&item, meter, left, depth + 1)?.checked_sub(2)?;
        if value.kind() == ValueKind::Map {
            left = descend(&value.get_item(&item).ok()?, meter, left, depth + 1)?;
        }
    }
    Some(left)
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
    let count = items.len().unwrap_or(0);
    check(weigh(items)?.saturating_add(count.saturating_mul(separator.len())))
}

/// The engine's filters that make text or many values, which are weighed going in and coming out. Those that only look
/// or choose (`length`, `selectattr`, ...) stay as they are, for they stand in loops over long conversations.
///
/// Not available at all: `format`, whose widths are of the template's choice.
fn making_filters() -> Vec<(&'static str, Value)> {
    macro_rules! list {
        ($($name:ident),*) => { vec![$((stringify!($name), Value::from_function(filters::$name))),*] };
    }
    let mut list = list![
        lower, upper, title, capitalize, reverse, lines, split, sum, list, string, map, zip,
        pprint, escape
    ];
    list.push(("e", Value::from_function(filters::escape)));
    list
}

/// Puts the weighing filters and the weighing printer in place of the engine's own.
pub(super) fn install(environment: &mut Environment<'_>) {
    for (name, filter) in making_filters() {
        add(environment, name, filter, |_| Ok(()));
    }
    add(environment, "replace", Value::from_function(filters::replace), |args| {
        let text = |at: usize| args.get(at).map(Value::to_string).unwrap_or_default();
        check_replace(&text(0), &text(1), &text(2))
    });
    add(environment, "join", Value::from_function(filters::join), |args| {
        let separator = match args.get(1) {
            Some(named) if named.is_kwargs() => {
                named.get_attr("d").map(|d| d.to_string()).unwrap_or_default()
            }
            Some(separator) => separator.to_string(),
            None => String::new(),
        };
        args.first().map_or(Ok(()), |items| check_join(items, &separator))
    });
    add(environment, "indent", Value::from_function(filters::indent), |args| {
        let width = args.iter().skip(1).find_map(|arg| {
            if arg.is_kwargs() { arg.get_attr("width").ok()?.as_usize() } else { arg.as_usize() }
        });
        let lines =
            args.first().and_then(Value::as_str).map_or(0, |text| text.matches('\n').count()) + 1;
        check(lines.saturating_mul(width.unwrap_or(4)))
    });
    environment.remove_filter("format");
    environment.remove_global("debug");
    environment.add_filter(FILTER, |value: Value| weigh(&value).map(|_| value));
    environment.set_formatter(|out, state, value| {
        let weight = weigh(value)?;
        let mut meter = METER.get();
        // Captured text is printed once into its variable and again from there.
        meter.printed = meter.printed.saturating_add(weight);
        METER.set(meter);
        if meter.printed > meter.text.saturating_mul(4) {
            return Err(too_large());
        }
        minijinja::escape_formatter(out, state, value)
    });
}

fn add(
    environment: &mut Environment<'_>,
    name: &'static str,
    filter: Value,
    fits: impl Fn(&[Value]) -> Result<(), Error> + Send + Sync + 'static,
) {
    environment.add_filter(
        name,
        move |state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>| -> Result<Value, Error> {
            let args = args.into_values();
            // These two only copy references, unless they take a string apart.
            let shallow = matches!(name, "list" | "reverse");
            for arg in args.iter().filter(|arg| !shallow || arg.as_str().is_some()) {
                weigh(arg)?;
            }
            fits(&args)?;
            let result = filter.call(state, &args)?;
            if !shallow || result.as_str().is_some() {
                weigh(&result)?;
            }
            Ok(result)
        },
    );
}
