//! Calls as JSON objects, alone or in a list, behind a mark and perhaps before another.

use super::envelope::{Envelope, MOST, Taken};
use super::out::Out;
use super::reader::Form;
use super::said::Fault;
use super::watch::Watch;

/// The mark before calls, and the one behind them, if there is one.
pub(super) type Pair = (&'static str, Option<&'static str>);

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
    pairs: &'static [Pair],
    /// Which pair is open.
    close: Option<&'static str>,
    list: bool,
    watch: Watch,
    at: At,
}

impl Marked {
    pub(super) fn new(pairs: &'static [Pair]) -> Self {
        let marks: Vec<_> = pairs.iter().flat_map(|&(open, close)| [Some(open), close]).collect();
        let watch = Watch::new(&marks.into_iter().flatten().collect::<Vec<_>>());
        Self { pairs, close: None, list: false, watch, at: At::Text }
    }

    fn open(&mut self, mark: &'static str) {
        self.close = self.pairs.iter().find(|(open, _)| *open == mark).and_then(|pair| pair.1);
        self.list = false;
        self.at = At::Lead(mark.to_owned());
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
            Some(mark) if self.pairs.iter().any(|(open, _)| *open == mark) => self.open(mark),
            // The end of a call that was read already.
            Some(mark) if self.close == Some(mark) => {
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
            self.at = At::Junk(String::new(), fault);
        } else if begun {
            self.at = At::Arguments(fault);
        } else {
            self.at = At::Junk(before + &envelope.raw(), fault);
        }
        self.junk(c, out);
    }

    fn junk(&mut self, c: char, out: &mut Out) {
        let mut passed = String::new();
        let mark = self.watch.take(c, &mut passed);
        let ends = mark.is_some();
        match &mut self.at {
            At::Arguments(fault) => {
                let fault = *fault;
                out.arguments(&passed);
                if ends {
                    out.end(Some(fault));
                }
            }
            At::Junk(text, fault) => {
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
            At::Text | At::Lead(_) | At::Call { .. } | At::Between(_) | At::Tail => {}
        }
        if let Some(mark) = mark {
            if self.pairs.iter().any(|(open, _)| *open == mark) {
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
                    _ => {
                        // It only looked like a call.
                        out.text(&before);
                        self.close = None;
                        self.at = At::Text;
                        self.take(c, out);
                    }
                }
            }
            At::Call { envelope, .. } => match envelope.take(c, out) {
                Taken::More => {}
                Taken::Done => {
                    out.mark();
                    self.at = if self.list { At::Between(String::new()) } else { At::Tail };
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
            At::Tail if c.is_whitespace() => {}
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
            At::Lead(text) => out.text(&(text + &held)),
            At::Call { before, mut envelope } => {
                let begun = envelope.begun();
                let fault = envelope.close(out);
                match fault {
                    Some(fault) if begun => out.end(Some(fault)),
                    Some(fault) => out.broken(before + &envelope.raw(), fault),
                    None => {}
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
