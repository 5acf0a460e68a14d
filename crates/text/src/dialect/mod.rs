//! Dialects: how a model marks its thinking and its calls of tools among the words of an answer.
//!
//! [`Dialect::of`] finds a checkpoint's dialect from what the checkpoint itself says. [`Dialect::reader`] makes a parser
//! for one answer; it is fed the answer's text as it comes and tells text, thinking and calls apart. Nothing that a model
//! writes makes a reader fail, and nothing is lost: what cannot be read as a call is told as [`Said::Broken`], or as a call
//! with a [`Fault`].

mod bare;
mod brackets;
mod deepseek;
mod elements;
mod envelope;
mod fenced;
mod forced;
mod functools;
mod harmony;
mod hermes;
mod json;
mod marked;
mod out;
mod plain;
mod python_tag;
mod pythonic;
mod reader;
mod said;
mod tools;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;

use crate::error::Result;
use crate::grammar::Grammar;
use crate::message::ToolCall;
use crate::template::json::python;
use crate::{Template, Tokenizer};

pub use forced::Forced;
pub use reader::Reader;
pub use said::{Answer, Call, Fault, Said};
pub use tools::Tools;

use out::Out;
use reader::{Form, Marks};

/// Writes calls.
pub(crate) type Spelling = fn(&[ToolCall]) -> String;

/// A form of calls.
#[derive(Debug)]
struct Known {
    /// By which it can be chosen.
    name: &'static str,
    /// What a call looks like.
    about: &'static str,
    /// One of these in a chat template tells that its model speaks so.
    signs: &'static [&'static str],
    /// Its marks stand around all that is said, so that they are read without tools too.
    frames: bool,
    /// What its parser must be shown.
    marks: &'static [&'static str],
    /// Calls as its models write them.
    spell: Spelling,
    /// What holds an answer to be a call of one of these tools, of which there is at least one; none where nothing can.
    force: fn(&Tools) -> Result<Option<Forced>>,
    /// What an answer that is no call and no thought begins with, behind this prompt.
    answer: fn(&str) -> &'static str,
    /// Its parser, for an answer to this prompt.
    form: fn(&str) -> Box<dyn Form>,
}

/// All of them. The first whose sign a template has is taken; the last has none.
static KNOWN: &[Known] = &[
    harmony::KNOWN,
    elements::KNOWN,
    hermes::KNOWN,
    deepseek::KNOWN,
    brackets::KNOWN,
    python_tag::KNOWN,
    functools::KNOWN,
    fenced::KNOWN,
    plain::KNOWN,
];

/// What is taken where nothing else is.
static PLAIN: Known = plain::KNOWN;
static FENCED: Known = fenced::KNOWN;

/// Marks of forms that are not read, and that stand within marks that are.
const OTHERS: [&str; 2] = ["<arg_key>", "<invoke name="];

/// The marks around thinking that are known.
const THOUGHTS: [Marks; 2] = [("<think>", "</think>"), ("[THINK]", "[/THINK]")];

/// The form of calls that a template's text shows; fenced where the template ignores tools and shows none.
fn known(source: &str, ignorant: bool) -> &'static Known {
    let signs = |known: &&Known| known.signs.iter().any(|sign| source.contains(sign));
    let silent = if ignorant { &FENCED } else { &PLAIN };
    if OTHERS.iter().any(|mark| source.contains(mark)) {
        return silent;
    }
    KNOWN.iter().find(signs).unwrap_or(silent)
}

/// How calls are written in words for the model of a template that does not print them.
pub(crate) fn spelling(source: &str, ignorant: bool) -> Spelling {
    known(source, ignorant).spell
}

/// A call as a JSON object.
fn object(call: &ToolCall, arguments: &str) -> String {
    let (name, value) = (python(&Value::from(call.name.as_str())), python(&call.arguments));
    format!("{{\"name\": {name}, \"{arguments}\": {value}}}")
}

/// Calls as a list of JSON objects.
fn list(calls: &[ToolCall]) -> String {
    let objects: Vec<_> = calls.iter().map(|call| object(call, "arguments")).collect();
    format!("[{}]", objects.join(", "))
}

/// How a checkpoint's model speaks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dialect {
    known: &'static Known,
    thought: Option<Marks>,
    /// The texts of special tokens: none of them stands within a thought.
    special: Arc<[String]>,
}

impl Dialect {
    /// The dialect of a checkpoint, by the marks in its chat template and by its tokens. One without a template is plain, and
    /// so is one whose template prints tools in a form that is not known. Where the template prints no tools, the model is
    /// told in words to write its calls in fences, and that is its dialect.
    pub fn of(template: Option<&Template>, tokenizer: &Tokenizer) -> Self {
        let source = template.map_or("", Template::source);
        let known = template.map_or(&PLAIN, |template| known(source, template.ignores_tools()));
        let thinks = |(open, close): &Marks| {
            source.contains(close)
                || (tokenizer.id(open).is_some() && tokenizer.id(close).is_some())
        };
        Self {
            known,
            thought: THOUGHTS.into_iter().find(thinks),
            special: tokenizer.special_texts().map(str::to_owned).collect(),
        }
    }

    /// The names by which a dialect can be chosen, each with what its calls look like.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        KNOWN.iter().map(|known| (known.name, known.about))
    }

    /// The same, but with calls in the form of this name; none if there is no such name.
    #[must_use]
    pub fn with_calls(&self, name: &str) -> Option<Self> {
        let known = KNOWN.iter().find(|known| known.name == name)?;
        Some(Self { known, ..self.clone() })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.known.name
    }

    /// What its calls look like.
    pub fn about(&self) -> &'static str {
        self.known.about
    }

    /// Calls as the model itself would write them.
    pub fn write(&self, calls: &[ToolCall]) -> String {
        (self.known.spell)(calls)
    }

    /// Whether calls can be told from text.
    pub fn calls(&self) -> bool {
        self.known.name != PLAIN.name
    }

    /// Whether the model may think before it answers.
    pub fn thinks(&self) -> bool {
        self.thought.is_some() || self.known.frames
    }

    /// How to hold the answer to `prompt`, the rendered conversation, to be a call of one of the tools. The model does not
    /// think before it. None for a plain dialect, and without tools.
    ///
    /// # Errors
    /// If a tool's schema holds what cannot be enforced.
    pub fn forced(&self, tools: &Tools, prompt: &str) -> Result<Option<Forced>> {
        if tools.is_empty() {
            return Ok(None);
        }
        let mut forced = (self.known.force)(tools)?;
        if let (Some(forced), Some((open, close))) = (&mut forced, self.thought)
            && self.within((open, close), prompt)
        {
            forced.prefix.insert_str(0, &format!("\n{close}\n\n"));
        }
        Ok(forced)
    }

    /// How to hold the answer to `prompt`, the rendered conversation, to a grammar. The model does not think before it: a
    /// thought that the template began is ended, and where all that is said stands between marks, those of an answer come
    /// first.
    pub fn held(&self, grammar: Grammar, prompt: &str) -> Forced {
        let thought = self.thought.filter(|&marks| self.within(marks, prompt));
        let prefix = match thought {
            Some((_, close)) => format!("\n{close}\n\n"),
            None => (self.known.answer)(prompt).to_owned(),
        };
        Forced { prefix, grammar }
    }

    /// A parser for one answer to `prompt`, the rendered conversation: its end says whether the answer begins within a
    /// thought. Without tools no calls are looked for, and what looks like one is text.
    pub fn reader(&self, tools: &Tools, prompt: &str) -> Reader {
        let known = if tools.is_empty() && !self.known.frames { &PLAIN } else { self.known };
        let out = Out::new(tools.clone());
        let reader = Reader::new((known.form)(prompt), known.marks.to_vec(), out);
        match self.thought {
            Some(marks) => reader.thinking(marks, self.within(marks, prompt)),
            None => reader,
        }
    }

    /// Whether a prompt ends within a thought: behind its mark neither the thought nor the turn ends.
    fn within(&self, (open, close): Marks, prompt: &str) -> bool {
        prompt.rfind(open).is_some_and(|at| {
            let tail = &prompt[at + open.len()..];
            !tail.contains(close) && !self.special.iter().any(|token| tail.contains(token.as_str()))
        })
    }
}
