//! Where the parsers write: pieces in order, joined, with the whitespace that belongs to marks left out.

use serde_json::Value;

use super::said::{Fault, Said};
use super::tools::Tools;

/// Text on its way. Whitespace at its end is held back until something follows: before a mark it is the mark's.
#[derive(Debug, Default)]
struct Flow {
    /// A mark stood before: whitespace is the mark's.
    edge: bool,
    space: String,
}

impl Flow {
    fn take(&mut self, c: char, text: &mut String) {
        if !c.is_whitespace() {
            text.push_str(&self.space);
            text.push(c);
            self.space.clear();
            self.edge = false;
        } else if !self.edge {
            self.space.push(c);
        }
    }

    fn mark(&mut self) {
        self.space.clear();
        self.edge = true;
    }
}

/// A call on its way.
#[derive(Debug)]
struct Open {
    arguments: String,
}

/// What was said so far in this push, and what has to be known for the rest.
#[derive(Debug, Default)]
pub(super) struct Out {
    said: Vec<Said>,
    text: Flow,
    reasoning: Flow,
    tools: Tools,
    calls: usize,
    open: Option<Open>,
}

impl Out {
    pub(super) fn new(tools: Tools) -> Self {
        Self { tools, ..Self::default() }
    }

    pub(super) fn tools(&self) -> &Tools {
        &self.tools
    }

    pub(super) fn drain(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.said)
    }

    pub(super) fn text(&mut self, text: &str) {
        if !matches!(self.said.last(), Some(Said::Text(_))) {
            self.said.push(Said::Text(String::new()));
        }
        if let Some(Said::Text(out)) = self.said.last_mut() {
            text.chars().for_each(|c| self.text.take(c, out));
            if out.is_empty() {
                self.said.pop();
            }
        }
    }

    pub(super) fn reasoning(&mut self, text: &str) {
        if !matches!(self.said.last(), Some(Said::Reasoning(_))) {
            self.said.push(Said::Reasoning(String::new()));
        }
        if let Some(Said::Reasoning(out)) = self.said.last_mut() {
            text.chars().for_each(|c| self.reasoning.take(c, out));
            if out.is_empty() {
                self.said.pop();
            }
        }
    }

    /// A mark stands here: whitespace around it is its own.
    pub(super) fn mark(&mut self) {
        self.text.mark();
        self.reasoning.mark();
    }

    /// What is held back was no mark's.
    pub(super) fn flush(&mut self) {
        let space = std::mem::take(&mut self.text.space);
        if !space.is_empty() {
            match self.said.last_mut() {
                Some(Said::Text(text)) => text.push_str(&space),
                _ => self.said.push(Said::Text(space)),
            }
        }
        let space = std::mem::take(&mut self.reasoning.space);
        if !space.is_empty() {
            match self.said.last_mut() {
                Some(Said::Reasoning(text)) => text.push_str(&space),
                _ => self.said.push(Said::Reasoning(space)),
            }
        }
    }

    /// What looked like a call was none.
    pub(super) fn broken(&mut self, text: String, fault: Fault) {
        self.flush();
        self.text.edge = false;
        self.reasoning.edge = false;
        self.said.push(Said::Broken { text, fault });
    }

    pub(super) fn begin(&mut self, name: &str) {
        self.end(Some(Fault::Unfinished));
        self.mark();
        let offered = self.tools.get(name).is_some();
        self.said.push(Said::CallBegin { index: self.calls, name: name.to_owned(), offered });
        self.open = Some(Open { arguments: String::new() });
    }

    pub(super) fn arguments(&mut self, text: &str) {
        let Some(open) = &mut self.open else { return };
        if text.is_empty() {
            return;
        }
        open.arguments.push_str(text);
        match self.said.last_mut() {
            Some(Said::CallArguments { delta, .. }) => delta.push_str(text),
            _ => self.said.push(Said::CallArguments { index: self.calls, delta: text.to_owned() }),
        }
    }

    /// Whether the arguments of the call under way are an object by now.
    pub(super) fn is_object(&self) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| {
            matches!(serde_json::from_str(&open.arguments), Ok(Value::Object(_)))
        })
    }

    /// A call, whole.
    pub(super) fn call(&mut self, name: &str, arguments: &Value) {
        self.begin(name);
        self.arguments(&arguments.to_string());
        self.end(None);
        self.mark();
    }

    /// Ends the call under way, if there is one. Without a fault of the parser's, the arguments themselves are looked at.
    pub(super) fn end(&mut self, fault: Option<Fault>) {
        let Some(open) = self.open.take() else { return };
        let fault = fault.or_else(|| match serde_json::from_str(&open.arguments) {
            Ok(Value::Object(_)) => None,
            Ok(_) => Some(Fault::NotAnObject),
            Err(_) => Some(Fault::NotJson),
        });
        self.said.push(Said::CallEnd { index: self.calls, fault });
        self.calls += 1;
    }
}
