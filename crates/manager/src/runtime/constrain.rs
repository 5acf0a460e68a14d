//! Grammars as rules that the engine follows.

use std::sync::{Arc, Mutex, PoisonError};

use engine::{Constraint, Walk};
use text::grammar::{Compiled, Grammar, Matcher, Place};

use super::error::Error;
use super::load::LoadedModel;

/// Compiled grammars that are kept: clients ask for the same ones again and again.
const KEPT: usize = 16;

/// The grammars that a model was last asked for, compiled for its tokens; the last one last.
#[derive(Debug, Default)]
pub(super) struct Grammars(Mutex<Vec<(Grammar, Arc<Rule>)>>);

impl Grammars {
    fn find(&self, grammar: &Grammar) -> Option<Arc<Rule>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| known == grammar)?;
        kept[at..].rotate_left(1);
        kept.last().map(|(_, rule)| Arc::clone(rule))
    }

    fn keep(&self, grammar: &Grammar, rule: &Arc<Rule>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push((grammar.clone(), Arc::clone(rule)));
    }
}

impl LoadedModel {
    /// Checks `grammar` and compiles it for this model's tokens, so that the next answer that it constrains begins
    /// without delay; the last few are kept. Blocks: milliseconds for most grammars, tenths of a second for the largest
    /// that are allowed.
    ///
    /// # Errors
    ///
    /// If the grammar is wrong, too large or cannot be enforced.
    pub fn compile(&self, grammar: &Grammar) -> Result<(), Error> {
        self.constraint(grammar).map(|_| ())
    }

    pub(super) fn constraint(&self, grammar: &Grammar) -> Result<Arc<dyn Constraint>, Error> {
        if let Some(rule) = self.grammars.find(grammar) {
            return Ok(rule);
        }
        // Two who ask at once compile it twice; nobody waits for another's grammar.
        let compiled = self.tokenizer.grammar(grammar).map_err(Error::Grammar)?;
        let rule = Arc::new(Rule(compiled));
        self.grammars.keep(grammar, &rule);
        Ok(rule)
    }
}

#[derive(Debug)]
struct Rule(Compiled);

impl Constraint for Rule {
    fn begin(&self) -> Box<dyn Walk> {
        Box::new(Way(self.0.begin()))
    }
}

struct Way(Matcher);

impl Walk for Way {
    fn mask(&mut self) -> Result<&[u32], String> {
        self.0.mask().map_err(|error| error.to_string())
    }

    fn accept(&mut self, token: u32) -> Result<(), String> {
        self.0.accept(token).map_err(|error| error.to_string())
    }

    fn place(&mut self) -> engine::Place {
        match self.0.place() {
            Place::Within => engine::Place::Within,
            Place::MayEnd => engine::Place::MayEnd,
            Place::End => engine::Place::End,
        }
    }
}
