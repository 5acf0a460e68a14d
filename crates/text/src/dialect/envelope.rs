//! A call as one JSON object: `{"name": "...", "arguments": {...}}`.

use serde_json::Value;

use super::json::{Scan, Step};
use super::out::Out;
use super::said::Fault;

/// The most text before a call's name is known.
pub(super) const MOST: usize = 64 << 10;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum At {
    Open,
    FirstKey,
    Key,
    InKey,
    Colon,
    Value,
    InValue,
    Next,
}

/// What a member of the object is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Member {
    Name,
    Arguments,
    /// What calls have and nobody needs.
    Known,
    Other,
}

/// What became of a character.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Taken {
    /// It belongs to the call, which goes on.
    More,
    /// The call ended with it.
    Done,
    /// It does not belong here. It was not taken.
    Bad(Fault),
}

/// One such object on its way.
///
/// The tool is in `name`, or `function` where that is a string; the arguments in `arguments` or `parameters`, as an object,
/// or as a string that holds one, or absent. An id and a type are read over, what else there may be is told as
/// [`Fault::Extra`] behind the call. Arguments that come behind the
/// name are told as they come, others when the object ends.
#[derive(Debug)]
pub(super) struct Envelope {
    at: At,
    scan: Scan,
    /// All text of a call that has not begun.
    raw: String,
    /// The text of the member under way, and of those that no call has.
    partial: String,
    extra: String,
    key: String,
    member: Member,
    value: String,
    name: Option<String>,
    /// Arguments that were not told yet.
    kept: Option<String>,
    /// The arguments are told as they come, and these are whole.
    told: bool,
    begun: bool,
    /// Only an offered tool is called, and its members come in no other company: there is no mark that says it is a call.
    bare: bool,
}

impl Envelope {
    pub(super) fn new() -> Self {
        Self {
            at: At::Open,
            scan: Scan::default(),
            raw: String::new(),
            partial: String::new(),
            extra: String::new(),
            key: String::new(),
            member: Member::Other,
            value: String::new(),
            name: None,
            kept: None,
            told: false,
            begun: false,
            bare: false,
        }
    }

    /// One that no mark announced.
    pub(super) fn bare() -> Self {
        Self { bare: true, ..Self::new() }
    }

    /// The text of a call that has not begun.
    pub(super) fn raw(&mut self) -> String {
        std::mem::take(&mut self.raw)
    }

    /// Whether the call was begun in the output.
    pub(super) fn begun(&self) -> bool {
        self.begun
    }

    /// Takes the next character. Before the object, whitespace is taken too.
    pub(super) fn take(&mut self, c: char, out: &mut Out) -> Taken {
        let taken = self.advance(c, out);
        if matches!(taken, Taken::Bad(_)) {
            return taken;
        }
        match self.at {
            At::Next | At::FirstKey => self.partial.clear(),
            At::InValue if self.streams() => self.partial.clear(),
            At::Open | At::Key | At::InKey | At::Colon | At::Value | At::InValue => {
                self.partial.push(c);
            }
        }
        if !self.begun {
            self.raw.push(c);
            if self.raw.len() > MOST {
                return Taken::Bad(Fault::TooLong);
            }
        }
        taken
    }

    /// The call's end stands here, or the answer's: what is wrong with it. A call whose arguments are whole misses no more
    /// than a bracket, and is taken for whole.
    pub(super) fn close(&mut self, out: &mut Out) -> Option<Fault> {
        let whole = self.at == At::Next && (self.told || self.kept.is_some());
        if whole && self.name.is_some() && self.finish(out).is_none() {
            return None;
        }
        Some(Fault::Unfinished)
    }

    fn advance(&mut self, c: char, out: &mut Out) -> Taken {
        let blank = matches!(c, ' ' | '\t' | '\n' | '\r');
        match (self.at, c) {
            (At::InKey, c) => match self.scan.take(c, &mut self.value) {
                Step::More => {}
                Step::Done => {
                    self.key = serde_json::from_str(&self.value).unwrap_or_default();
                    self.at = At::Colon;
                }
                Step::Over | Step::Bad => return Taken::Bad(Fault::NotJson),
            },
            (At::InValue, c) => return self.in_value(c, out),
            _ if blank => {}
            (At::Open, '{') => self.at = At::FirstKey,
            (At::FirstKey | At::Key, '"') => {
                self.value.clear();
                self.scan = Scan::default();
                let _ = self.scan.take(c, &mut self.value);
                self.at = At::InKey;
            }
            (At::Colon, ':') => {
                self.at = At::Value;
                self.member = match self.key.as_str() {
                    "name" | "function" if self.name.is_none() => Member::Name,
                    "arguments" | "parameters" if !self.told && self.kept.is_none() => {
                        Member::Arguments
                    }
                    "id" | "type" | "call_id" => Member::Known,
                    _ if self.bare => return Taken::Bad(Fault::NotJson),
                    _ => Member::Other,
                };
            }
            (At::Value, c) => {
                self.value.clear();
                self.scan = Scan::default();
                self.at = At::InValue;
                if self.member == Member::Arguments && c == '{' && self.name.is_some() {
                    self.begin(out);
                }
                return self.in_value(c, out);
            }
            (At::Next, ',') => self.at = At::Key,
            (At::FirstKey | At::Next, '}') => {
                if let Some(fault) = self.finish(out) {
                    self.at = At::Next;
                    return Taken::Bad(fault);
                }
                return Taken::Done;
            }
            _ => return Taken::Bad(Fault::NotJson),
        }
        Taken::More
    }

    /// Arguments are told as they come.
    fn streams(&self) -> bool {
        self.begun && self.member == Member::Arguments && !self.told
    }

    /// What is left of a call that has begun, when it ends or something follows that is none of it.
    pub(super) fn rest(&mut self) -> String {
        std::mem::take(&mut self.extra) + &std::mem::take(&mut self.partial)
    }

    fn in_value(&mut self, c: char, out: &mut Out) -> Taken {
        let streams = self.streams();
        let before = self.value.len();
        let step = self.scan.take(c, &mut self.value);
        if streams {
            out.arguments(&self.value[before..]);
            self.value.clear();
        }
        match step {
            Step::More => Taken::More,
            Step::Bad => Taken::Bad(Fault::NotJson),
            Step::Done | Step::Over => {
                self.at = At::Next;
                match self.member {
                    Member::Name => match serde_json::from_str(&self.value) {
                        Ok(Value::String(name))
                            if !self.bare || out.tools().get(&name).is_some() =>
                        {
                            self.name = Some(name);
                        }
                        // Some write `"function": {...}` or `"type": "function", "function": null`.
                        _ => return Taken::Bad(Fault::NoName),
                    },
                    Member::Arguments if streams => self.told = true,
                    Member::Arguments => self.kept = Some(std::mem::take(&mut self.value)),
                    Member::Known => {}
                    Member::Other => {
                        self.extra += self.partial.trim_start_matches([',', ' ', '\n']);
                        self.extra.extend((step == Step::Done).then_some(c));
                    }
                }
                if step == Step::Over { self.advance(c, out) } else { Taken::More }
            }
        }
    }

    fn begin(&mut self, out: &mut Out) {
        if let Some(name) = self.name.as_deref().filter(|_| !self.begun) {
            out.begin(name);
            self.begun = true;
        }
    }

    /// The object ends: tells what was not told yet.
    fn finish(&mut self, out: &mut Out) -> Option<Fault> {
        if self.name.is_none() {
            return Some(Fault::NoName);
        }
        self.begin(out);
        if !self.told {
            let kept = self.kept.take().unwrap_or_default();
            out.arguments(&object(kept));
        }
        out.end(None);
        if !self.extra.is_empty() {
            out.broken(std::mem::take(&mut self.extra), Fault::Extra);
            out.mark();
        }
        None
    }
}

/// The arguments as an object's text: out of the string that holds it, and none as an empty one.
fn object(kept: String) -> String {
    match serde_json::from_str(&kept) {
        Ok(Value::String(text)) if text.trim().is_empty() => "{}".to_owned(),
        Ok(Value::String(text)) if matches!(serde_json::from_str(&text), Ok(Value::Object(_))) => {
            text
        }
        Ok(Value::Null) => "{}".to_owned(),
        _ if kept.is_empty() => "{}".to_owned(),
        _ => kept,
    }
}
