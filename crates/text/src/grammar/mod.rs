//! Texts that obey a grammar, token by token.
//!
//! A [`Grammar`] is what somebody asks for: a JSON Schema, a regular expression, a grammar in Lark's syntax.
//! [`Tokenizer::grammar`] checks it and compiles it for the tokenizer's tokens; the [`Compiled`] grammar begins as many
//! [`Matcher`]s as there are answers. Each tells which tokens may come next and is told which one came.
//!
//! A token counts as the bytes that the [`Detokenizer`](crate::Detokenizer) makes of it, also at the beginning of a
//! text, where many tokenizers drop a space. Special tokens never come. The end is not among the tokens: it is the
//! caller's to allow all of the tokens that mean it where [`Matcher::place`] says that the text may end.
//!
//! Strangers write grammars. What is too large, or would cost too much to compile or to follow, is refused; what of a
//! schema cannot be enforced is refused by name. Between two parts of a JSON text there is at most a space or two, or
//! one line break with an indentation, so that no answer is drowned in blanks; there are none before and behind it.

mod lark;
mod limits;
mod matcher;
mod schema;
mod vocabulary;

use std::sync::Mutex;

use llguidance::Matcher as Inner;
use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use serde_json::{Value, json};

pub use matcher::{Matcher, Place};
pub(crate) use schema::prepared;
pub(crate) use vocabulary::Vocabulary;

use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// What a text is to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Grammar {
    /// A JSON text that this JSON Schema allows.
    JsonSchema(Value),
    /// Any JSON object.
    JsonObject,
    /// What this regular expression matches from end to end, in the syntax of Rust's `regex`.
    Regex(String),
    /// What a grammar in Lark's syntax allows, as llguidance reads it: the rule `start`, all of it.
    Lark(String),
    /// One of these texts.
    Choice(Vec<String>),
}

/// The stack on which grammars are compiled: parsers descend as deep as a text is nested.
const STACK: usize = 32 << 20;

impl Grammar {
    /// What it is called in errors.
    fn name(&self) -> &'static str {
        match self {
            Self::JsonSchema(_) | Self::JsonObject => "JSON Schema",
            Self::Regex(_) => "regular expression",
            Self::Lark(_) => "grammar",
            Self::Choice(_) => "choice",
        }
    }

    /// The library's form of it.
    fn rules(&self) -> Result<TopLevelGrammar> {
        Ok(match self {
            Self::JsonSchema(schema) => TopLevelGrammar::from_json_schema(prepared(schema)?),
            Self::JsonObject => {
                TopLevelGrammar::from_json_schema(prepared(&json!({"type": "object"}))?)
            }
            Self::Regex(regex) => {
                limits::regex(regex)?;
                TopLevelGrammar::from_regex(regex)
            }
            Self::Lark(lark) => {
                TopLevelGrammar::from_grammar(GrammarWithLexer::from_lark(lark::prepared(lark)?))
            }
            Self::Choice(texts) => {
                limits::choice(texts)?;
                let texts: Vec<_> = texts.iter().map(|text| regex_syntax::escape(text)).collect();
                TopLevelGrammar::from_regex(&format!("({})", texts.join("|")))
            }
        })
    }
}

/// A grammar for the tokens of one tokenizer. Cheap to begin, dear to make.
pub struct Compiled {
    tokenizer: Tokenizer,
    /// At its beginning; never moved on.
    start: Mutex<Inner>,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled").field("tokenizer", &self.tokenizer).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Compiles `grammar` for the tokens of this tokenizer. That takes milliseconds for most grammars, and tenths of a
    /// second for the largest that are allowed; the first of a tokenizer waits for the tokens to be sorted, too.
    ///
    /// # Errors
    /// If the grammar is wrong, too large, or holds what cannot be enforced; and if this tokenizer's tokens are not
    /// pieces of text.
    pub fn grammar(&self, grammar: &Grammar) -> Result<Compiled> {
        let rules = grammar.rules()?;
        let vocabulary = self.vocabulary_bytes()?;
        let compile = || {
            let parser = vocabulary.factory.create_parser(rules);
            let mut parser = parser.map_err(|error| limits::words(&format!("{error:#}")))?;
            // The library warns of what it passes over.
            match parser.grammar_warnings().as_slice() {
                [] => Ok(parser),
                [warning, ..] => Err(limits::words(warning)),
            }
        };
        let parser = std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().stack_size(STACK);
            let thread = builder.spawn_scoped(scope, compile);
            thread.map(std::thread::ScopedJoinHandle::join)
        });
        let invalid = |what| Error::Grammar { of: grammar.name(), what };
        let parser = match parser {
            Ok(Ok(parser)) => parser.map_err(invalid)?,
            Ok(Err(_)) => return Err(invalid("it breaks the compiler of grammars".to_owned())),
            Err(error) => return Err(invalid(format!("it cannot be compiled now: {error}"))),
        };
        Ok(Compiled { tokenizer: self.clone(), start: Mutex::new(Inner::new(Ok(parser))) })
    }
}

impl Compiled {
    /// A text at its beginning. It shares nothing that changes with others.
    pub fn begin(&self) -> Matcher {
        // Nothing under the lock leaves it half changed.
        let start = self.start.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Matcher::new(self.tokenizer.clone(), start.deep_clone())
    }
}
