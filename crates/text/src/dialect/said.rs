//! What a model said, in pieces and as a whole.

use serde_json::{Map, Value};

/// What is wrong with a call.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The answer ended, or went on with something else, before the call was whole.
    Unfinished,
    /// The call or its arguments are not JSON.
    NotJson,
    /// The arguments are JSON, but no object.
    NotAnObject,
    /// The call names no tool.
    NoName,
    /// A parameter is given twice.
    RepeatedParameter,
    /// The call has members that no call has.
    Extra,
    /// So much text that it cannot be the beginning of a call.
    TooLong,
}

impl Fault {
    /// A short name, for logs and clients.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unfinished => "unfinished",
            Self::NotJson => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::NoName => "no_name",
            Self::RepeatedParameter => "repeated_parameter",
            Self::Extra => "extra",
            Self::TooLong => "too_long",
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unfinished => "the call was not finished",
            Self::NotJson => "the call is not JSON",
            Self::NotAnObject => "the call's arguments are not a JSON object",
            Self::NoName => "the call names no tool",
            Self::RepeatedParameter => "the call gives a parameter twice",
            Self::Extra => "the call has members that no call has",
            Self::TooLong => "the call names no tool within its first 64 KiB",
        })
    }
}

/// A piece of what a model said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Said {
    /// More of the answer; never empty.
    Text(String),
    /// More of the thinking before it; never empty.
    Reasoning(String),
    /// A call begins. Calls are numbered from 0 and do not overlap.
    CallBegin {
        /// Which.
        index: usize,
        /// The tool.
        name: String,
        /// Whether the tool is one of those that were offered.
        offered: bool,
    },
    /// More of the text of a call's arguments, which is a JSON object unless the call's end says otherwise; never empty.
    CallArguments {
        /// Whose.
        index: usize,
        /// The piece.
        delta: String,
    },
    /// A call has ended. Every call that begins ends.
    CallEnd {
        /// Which.
        index: usize,
        /// What is wrong with it; then its arguments are whatever the model wrote.
        fault: Option<Fault>,
    },
    /// What began as a call, with the call's own mark, and cannot be read as one: the model's text, marks included. Shown
    /// as text, nothing is lost.
    Broken {
        /// The text.
        text: String,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// A call, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The tool.
    pub name: String,
    /// Whether it was offered.
    pub offered: bool,
    /// The arguments, as text.
    pub arguments: String,
    /// What is wrong with it.
    pub fault: Option<Fault>,
}

impl Call {
    /// The arguments as an object; none if the call has a fault.
    pub fn object(&self) -> Option<Map<String, Value>> {
        serde_json::from_str(&self.arguments).ok()
    }
}

/// An answer, put together from its pieces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The answer's text; what is [`Said::Broken`] stands in it too.
    pub text: String,
    /// The thinking.
    pub reasoning: String,
    /// The calls, in order.
    pub calls: Vec<Call>,
    /// Why parts of the text are not calls, in order.
    pub broken: Vec<Fault>,
}

impl Answer {
    /// Adds a piece. A piece of a call that never began changes nothing.
    pub fn add(&mut self, said: Said) {
        match said {
            Said::Text(text) => self.text.push_str(&text),
            Said::Reasoning(text) => self.reasoning.push_str(&text),
            Said::CallBegin { name, offered, .. } => {
                self.calls.push(Call { name, offered, arguments: String::new(), fault: None });
            }
            Said::CallArguments { index, delta } => {
                if let Some(call) = self.calls.get_mut(index) {
                    call.arguments.push_str(&delta);
                }
            }
            Said::CallEnd { index, fault } => {
                if let Some(call) = self.calls.get_mut(index) {
                    call.fault = fault;
                }
            }
            Said::Broken { text, fault } => {
                self.text.push_str(&text);
                self.broken.push(fault);
            }
        }
    }
}

impl Extend<Said> for Answer {
    fn extend<T: IntoIterator<Item = Said>>(&mut self, said: T) {
        said.into_iter().for_each(|said| self.add(said));
    }
}

impl FromIterator<Said> for Answer {
    fn from_iter<T: IntoIterator<Item = Said>>(said: T) -> Self {
        let mut answer = Self::default();
        answer.extend(said);
        answer
    }
}
