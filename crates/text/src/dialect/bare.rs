//! Calls that no mark announces: an answer that begins with the JSON of a call of an offered tool, or with a list of calls as
//! Python writes them. Models are told to write nothing else then, but some put several behind each other.

use serde_json::Value;

use super::envelope::{Envelope, MOST, Taken};
use super::out::Out;
use super::pythonic;
use super::said::Fault;

/// The longest beginning of a list of calls, up to the first parenthesis.
const NAME: usize = 512;

#[derive(Debug)]
enum At {
    /// Nothing but whitespace was read, or it and a separator behind a call.
    Start(String),
    Json(String, Box<Envelope>),
    /// `[`, and perhaps the name of a tool.
    Name(String),
    List(String, Nesting),
    /// In the arguments of a call that is none, whose end nothing tells.
    Arguments(Fault),
    /// There are no more.
    Off,
}

/// Where a text in Python is: within how many brackets, and within which quotes.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    quote: Option<char>,
    escaped: bool,
}

impl Nesting {
    /// Takes the next character; true when the last bracket is closed.
    fn take(&mut self, c: char) -> bool {
        match self.quote {
            Some(_) if self.escaped => self.escaped = false,
            Some(_) if c == '\\' => self.escaped = true,
            Some(quote) if c == quote => self.quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => self.quote = Some(c),
            None if "([{".contains(c) => self.depth += 1,
            None if ")]}".contains(c) => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            None => {}
        }
        false
    }
}

/// Watches the beginning of an answer.
#[derive(Debug)]
pub(super) struct Bare {
    at: At,
    /// A mark said that calls follow.
    marked: bool,
    called: bool,
}

impl Bare {
    pub(super) fn new() -> Self {
        Self { at: At::Start(String::new()), marked: false, called: false }
    }

    /// What follows a mark.
    pub(super) fn marked() -> Self {
        Self { marked: true, ..Self::new() }
    }

    /// Whether a call was read.
    pub(super) fn called(&self) -> bool {
        self.called
    }

    /// Whether a mark stood before it, and no call was read since.
    pub(super) fn owes(&self) -> bool {
        self.marked && !self.called
    }

    /// There are none in this answer any more.
    pub(super) fn off(&self) -> bool {
        matches!(self.at, At::Off)
    }

    /// Takes the next character; returns text that is no call.
    pub(super) fn take(&mut self, c: char, out: &mut Out) -> String {
        match &mut self.at {
            At::Off => c.to_string(),
            At::Start(before) => {
                let before = std::mem::take(before);
                match c {
                    _ if c.is_whitespace() && before.len() < MOST => {
                        self.at = At::Start(before + c.encode_utf8(&mut [0; 4]));
                    }
                    ';' | ',' if self.called && before.trim().is_empty() => {
                        self.at = At::Start(before + c.encode_utf8(&mut [0; 4]));
                    }
                    '{' => {
                        let envelope = if self.marked { Envelope::new() } else { Envelope::bare() };
                        let mut envelope = Box::new(envelope);
                        let _ = envelope.take(c, out);
                        self.at = At::Json(before, envelope);
                    }
                    '[' if !self.called && !self.marked => self.at = At::Name(before + "["),
                    _ => return self.none(before, c),
                }
                String::new()
            }
            At::Json(before, envelope) => match envelope.take(c, out) {
                Taken::More => String::new(),
                Taken::Done => {
                    out.mark();
                    self.called = true;
                    self.at = At::Start(String::new());
                    String::new()
                }
                Taken::Bad(fault) if envelope.begun() => {
                    // Nothing says where the call ends: all that follows is its arguments.
                    if envelope.close(out).is_none() {
                        let rest = envelope.rest();
                        return self.none(rest, c);
                    }
                    out.arguments(c.encode_utf8(&mut [0; 4]));
                    self.at = At::Arguments(fault);
                    self.called = true;
                    String::new()
                }
                Taken::Bad(_) => {
                    let text = std::mem::take(before) + &envelope.raw();
                    self.none(text, c)
                }
            },
            At::Name(text) => {
                let text = std::mem::take(text);
                let name = text.trim_start().trim_start_matches('[').trim_start();
                if c == '(' && out.tools().get(name).is_some() {
                    let mut nesting = Nesting { depth: 1, ..Nesting::default() };
                    nesting.take(c);
                    self.at = At::List(text + "(", nesting);
                    String::new()
                } else if (c.is_alphanumeric()
                    || "_-.".contains(c)
                    || c.is_whitespace() && name.is_empty())
                    && text.len() < NAME
                {
                    self.at = At::Name(text + c.encode_utf8(&mut [0; 4]));
                    String::new()
                } else {
                    self.none(text, c)
                }
            }
            At::Arguments(_) => {
                out.arguments(c.encode_utf8(&mut [0; 4]));
                String::new()
            }
            At::List(text, nesting) => {
                text.push(c);
                if nesting.take(c) {
                    let text = std::mem::take(text);
                    self.at = At::Off;
                    list(text, Fault::NotJson, out);
                }
                String::new()
            }
        }
    }

    fn none(&mut self, text: String, c: char) -> String {
        self.at = At::Off;
        text + c.encode_utf8(&mut [0; 4])
    }

    /// Nothing follows; returns text that is no call.
    pub(super) fn finish(&mut self, out: &mut Out) -> String {
        match std::mem::replace(&mut self.at, At::Off) {
            At::Start(text) | At::Name(text) => text,
            At::Json(before, mut envelope) => {
                let begun = envelope.begun();
                let fault = envelope.close(out);
                self.called |= begun || fault.is_none();
                match fault {
                    None => envelope.rest(),
                    Some(_) if begun => {
                        out.end(fault);
                        String::new()
                    }
                    Some(_) => before + &envelope.raw(),
                }
            }
            At::List(text, _) => {
                out.broken(text, Fault::Unfinished);
                String::new()
            }
            At::Arguments(fault) => {
                out.end(Some(fault));
                String::new()
            }
            At::Off => String::new(),
        }
    }
}

/// Tells a text that should be calls in Python.
pub(super) fn list(text: String, fault: Fault, out: &mut Out) {
    match pythonic::read(&text) {
        Some(calls) => {
            calls
                .into_iter()
                .for_each(|(name, arguments)| out.call(&name, &Value::from(arguments)));
        }
        None => out.broken(text, fault),
    }
}
