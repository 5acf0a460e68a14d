//! Calls as JSON objects behind a mark, and perhaps before another: alone, in a list, or behind the name of their tool.

use super::envelope::{Envelope, MOST, Taken};
use super::json::{Scan, Step};
use super::out::Out;
use super::reader::Form;
use super::said::Fault;
use super::watch::Watch;

/// What such a form looks like.
#[derive(Debug)]
pub(super) struct Spec {
    /// The mark before a call or a list of calls, and the one behind, if there is one.
    pub(super) pairs: &'static [(&'static str, Option<&'static str>)],
    /// Where the name of a tool stands before its arguments: what separates the two. The last is where arguments begin;
    /// what stands between another one and the last is read over.
    pub(super) separators: &'static [&'static str],
    /// Some write the word `function` where the name should be, then the name, and the arguments in a fence.
    pub(super) fenced: bool,
    /// A mark that may stand behind all calls.
    pub(super) last: Option<&'static str>,
}

/// The longest name of a tool.
const NAME: usize = 256;

#[derive(Debug)]
enum At {
    Text,
    /// Behind the mark, before a bracket: what was read since, the mark included.
    Lead(String),
    /// In a call. What stood before it and has to be said if it is none.
    Call {
        before: String,
        envelope: Box<Envelope>,
    },
    /// In the name of a tool: all since the mark, and the name.
    Name(String, String),
    /// Between the name and where the arguments begin.
    Head(String, String),
    /// Before the arguments.
    Open(String, String),
    /// In the name that stands before a fence.
    Fence(String, String),
    /// In the arguments of a named tool.
    Object(Scan),
    /// Behind a call in a list.
    Between(String),
    /// Behind the last call, perhaps before the second mark.
    Tail,
    /// In what cannot be read, up to the second mark.
    Junk(String, Fault),
    /// The same, where it is the arguments of a call that has begun.
    Arguments(Fault),
}

/// One such form.
#[derive(Debug)]
pub(super) struct Marked {
    spec: &'static Spec,
    /// Which mark ends the call.
    close: Option<&'static str>,
    list: bool,
    /// A call was read.
    called: bool,
    watch: Watch,
    at: At,
}

impl Marked {
    pub(super) fn new(spec: &'static Spec) -> Self {
        let pairs = spec.pairs.iter().flat_map(|&(open, close)| [Some(open), close]);
        let mut marks: Vec<_> = pairs.chain([spec.last]).flatten().collect();
        marks.extend(spec.separators);
        marks.sort_unstable();
        marks.dedup();
        let watch = Watch::new(&marks);
        Self { spec, close: None, list: false, called: false, watch, at: At::Text }
    }

    fn opens(&self, mark: &str) -> bool {
        self.spec.pairs.iter().any(|(open, _)| *open == mark)
    }

    fn open(&mut self, mark: &'static str) {
        self.close = self.spec.pairs.iter().find(|(open, _)| *open == mark).and_then(|pair| pair.1);
        self.list = false;
        self.at = At::Lead(mark.to_owned());
    }

    /// It only looked like a call.
    fn release(&mut self, text: &str, out: &mut Out) {
        self.close = None;
        self.at = At::Text;
        out.text(text);
    }

    fn call(&mut self, before: String) {
        self.at = At::Call { before, envelope: Box::new(Envelope::new()) };
    }

    /// A character outside of calls.
    fn plain(&mut self, c: char, out: &mut Out) {
        let mut passed = String::new();
        let mark = self.watch.take(c, &mut passed);
        out.text(&passed);
        match mark {
            Some(mark) if self.opens(mark) => self.open(mark),
            // The end of a call that was read already.
            Some(mark)
                if self.close == Some(mark) || self.called && self.spec.last == Some(mark) =>
            {
                self.close = None;
                out.mark();
            }
            Some(mark) => out.text(mark),
            None => {}
        }
    }

    /// What a call's parser would not take.
    fn refused(
        &mut self,
        c: char,
        fault: Fault,
        before: String,
        mut envelope: Envelope,
        out: &mut Out,
    ) {
        let begun = envelope.begun();
        // Nothing but brackets may be missing.
        if envelope.close(out).is_none() {
            self.at = At::Junk(envelope.rest(), fault);
        } else if begun {
            self.at = At::Arguments(fault);
        } else {
            self.at = At::Junk(before + &envelope.raw(), fault);
        }
        self.junk(c, out);
    }

    fn tail(&mut self, out: &mut Out) {
        out.mark();
        self.called = true;
        self.at = At::Tail;
    }

    /// A character of a tool's name, or between it and the arguments.
    fn head(&mut self, c: char, out: &mut Out) {
        let mut passed = String::new();
        let mark = self.watch.take(c, &mut passed);
        let in_name = matches!(self.at, At::Name(..));
        let (At::Name(all, name) | At::Head(all, name)) = &mut self.at else { return };
        all.push_str(&passed);
        if in_name {
            name.push_str(&passed);
        }
        let (mut all, name) = (std::mem::take(all), std::mem::take(name));
        let last = self.spec.separators.last().copied();
        match mark {
            Some(mark) if Some(mark) == last => {
                all.push_str(mark);
                self.at = At::Open(all, name);
            }
            Some(mark) if self.spec.separators.contains(&mark) => {
                all.push_str(mark);
                self.at = At::Head(all, name);
            }
            Some(mark) => {
                self.release(&all, out);
                if self.opens(mark) {
                    self.open(mark);
                } else {
                    out.text(mark);
                }
            }
            // Some leave the separator out.
            None if in_name && name.ends_with('{') => {
                let name = name.trim_end_matches('{').to_owned();
                all.pop();
                self.at = At::Open(all, name);
                self.before_object('{', out);
            }
            None if name.trim().chars().any(char::is_whitespace)
                || !in_name
                    && passed.contains(|c: char| !c.is_alphanumeric() && c != '-' && c != '_')
                || all.len() > NAME + 64 =>
            {
                let rest = self.watch.rest();
                self.release(&all, out);
                rest.chars().for_each(|c| self.take(c, out));
            }
            None if in_name => self.at = At::Name(all, name),
            None => self.at = At::Head(all, name),
        }
    }

    /// A character before the arguments of a named tool.
    fn before_object(&mut self, c: char, out: &mut Out) {
        let fence = matches!(self.at, At::Fence(..));
        let (At::Open(all, name) | At::Fence(all, name)) = &mut self.at else { return };
        let (mut all, mut name) = (std::mem::take(all), std::mem::take(name));
        if c == '{' {
            // Behind the name in a fence stand the fence and its language.
            let (name, language) =
                name.trim().split_at(name.trim().find('`').unwrap_or(name.trim().len()));
            if name.trim().is_empty() || !["", "```", "```json"].contains(&language) {
                self.at = At::Junk(all, Fault::NoName);
                self.junk(c, out);
                return;
            }
            let name = name.trim();
            out.begin(name);
            self.at = At::Object(Scan::default());
            self.take(c, out);
        } else if c.is_whitespace() && all.len() < NAME + 512
            || fence && all.len() < NAME + 512 && c != '<'
        {
            all.push(c);
            if fence {
                name.push(c);
            }
            self.at = if fence { At::Fence(all, name) } else { At::Open(all, name) };
        } else if self.spec.fenced && !fence && c != '<' && name.trim() == "function" {
            all.push(c);
            self.at = At::Fence(all, c.to_string());
        } else {
            // Arguments of another kind, or none.
            if fence || name.trim().is_empty() {
                self.at = At::Junk(all, Fault::NotAnObject);
            } else {
                out.begin(name.trim());
                self.at = At::Arguments(Fault::NotAnObject);
            }
            self.junk(c, out);
        }
    }

    fn junk(&mut self, c: char, out: &mut Out) {
        let mut passed = String::new();
        let mut mark = self.watch.take(c, &mut passed);
        if let Some(other) = mark
            && !self.opens(other)
            && self.close != Some(other)
            && self.spec.last != Some(other)
        {
            passed.push_str(other);
            mark = None;
        }
        let ends = mark.is_some();
        if let At::Arguments(fault) = self.at {
            out.arguments(&passed);
            if ends {
                out.end(Some(fault));
                self.called = true;
            }
        } else if let At::Junk(text, fault) = &mut self.at {
            text.push_str(&passed);
            let closes = mark.is_some_and(|mark| self.close == Some(mark));
            // A mark at the end of what is shown as text is shown too.
            if closes && !text.trim().is_empty() {
                text.push_str(mark.unwrap_or_default());
            }
            if ends || self.close.is_none() || text.len() > MOST {
                let (text, fault) = (std::mem::take(text), *fault);
                if text.trim().is_empty() {
                    out.mark();
                } else {
                    out.broken(text, fault);
                }
                self.at = At::Text;
            }
        }
        if let Some(mark) = mark {
            if self.opens(mark) {
                self.open(mark);
            } else {
                self.close = None;
                self.at = At::Text;
            }
        }
    }
}

impl Form for Marked {
    fn take(&mut self, c: char, out: &mut Out) {
        match &mut self.at {
            At::Text => self.plain(c, out),
            At::Lead(text) if c.is_whitespace() && text.len() < MOST => text.push(c),
            At::Lead(text) => {
                let before = std::mem::take(text);
                match c {
                    '[' if !self.list => {
                        self.list = true;
                        self.at = At::Lead(before + "[");
                    }
                    '{' => {
                        self.call(before);
                        self.take(c, out);
                    }
                    _ if !self.list && !self.spec.separators.is_empty() => {
                        self.at = At::Name(before, String::new());
                        self.take(c, out);
                    }
                    _ => {
                        self.release(&before, out);
                        self.take(c, out);
                    }
                }
            }
            At::Name(..) | At::Head(..) => self.head(c, out),
            At::Open(..) | At::Fence(..) => self.before_object(c, out),
            At::Object(scan) => {
                let mut text = String::new();
                let step = scan.take(c, &mut text);
                out.arguments(&text);
                match step {
                    Step::More => {}
                    Step::Done | Step::Over => {
                        out.end(None);
                        self.tail(out);
                    }
                    Step::Bad => {
                        self.at = At::Arguments(Fault::NotJson);
                        self.junk(c, out);
                    }
                }
            }
            At::Call { envelope, .. } => match envelope.take(c, out) {
                Taken::More => {}
                Taken::Done => {
                    self.tail(out);
                    if self.list {
                        self.at = At::Between(String::new());
                    }
                }
                Taken::Bad(fault) => {
                    if let At::Call { before, envelope } = std::mem::replace(&mut self.at, At::Text)
                    {
                        self.refused(c, fault, before, *envelope, out);
                    }
                }
            },
            At::Between(text) => match c {
                _ if c.is_whitespace() && text.len() < MOST => text.push(c),
                ',' if !text.contains(',') => text.push(c),
                '{' => {
                    let before = std::mem::take(text);
                    self.call(before);
                    self.take(c, out);
                }
                ']' if !text.contains(',') => self.at = At::Tail,
                _ => {
                    self.at = At::Junk(std::mem::take(text), Fault::NotJson);
                    self.junk(c, out);
                }
            },
            At::Tail if c.is_whitespace() || self.spec.fenced && c == '`' => {}
            At::Tail => {
                if c == '{' && !self.list && self.close.is_some() {
                    self.call(String::new());
                } else {
                    self.at = At::Text;
                }
                self.take(c, out);
            }
            At::Junk(..) | At::Arguments(_) => self.junk(c, out),
        }
    }

    fn finish(&mut self, out: &mut Out) {
        let held = self.watch.rest();
        match std::mem::replace(&mut self.at, At::Text) {
            At::Text => out.text(&held),
            At::Lead(text) | At::Name(text, _) | At::Head(text, _) => out.text(&(text + &held)),
            At::Open(text, _) | At::Fence(text, _) => out.broken(text + &held, Fault::Unfinished),
            At::Object(_) => out.end(Some(Fault::Unfinished)),
            At::Call { before, mut envelope } => {
                let begun = envelope.begun();
                let fault = envelope.close(out);
                match fault {
                    Some(fault) if begun => out.end(Some(fault)),
                    Some(fault) => out.broken(before + &envelope.raw(), fault),
                    None => out.text(&envelope.rest()),
                }
            }
            At::Between(text) if text.contains(',') => out.broken(text, Fault::Unfinished),
            At::Between(_) | At::Tail => {}
            At::Junk(text, fault) => {
                let text = text + &held;
                if !text.trim().is_empty() {
                    out.broken(text, fault);
                }
            }
            At::Arguments(fault) => {
                out.arguments(&held);
                out.end(Some(fault));
            }
        }
    }
}
