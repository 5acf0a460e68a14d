//! One text on its way through a grammar.

use llguidance::Matcher as Inner;
use llguidance::api::StopReason;

use super::limits;
use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// Where a text is on its way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// More must come.
    Within,
    /// It may end here, and may go on.
    MayEnd,
    /// Nothing may follow.
    End,
}

/// One text on its way through a [`Compiled`](super::Compiled) grammar.
pub struct Matcher {
    tokenizer: Tokenizer,
    inner: Inner,
    /// Tokens that may come next, if that is known already.
    mask: Option<Vec<u32>>,
    begun: bool,
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matcher").field("begun", &self.begun).finish_non_exhaustive()
    }
}

impl Matcher {
    pub(super) fn new(tokenizer: Tokenizer, inner: Inner) -> Self {
        Self { tokenizer, inner, mask: None, begun: false }
    }

    /// The tokens that may come next, bit `token % 32` of word `token / 32`. No bit is set if no token of the
    /// vocabulary spells what the grammar asks for.
    ///
    /// # Errors
    /// If the grammar is too costly to follow from here on.
    pub fn mask(&mut self) -> Result<&[u32]> {
        if self.mask.is_none() {
            self.mask = Some(self.compute()?);
        }
        Ok(self.mask.as_deref().unwrap_or(&[]))
    }

    fn compute(&mut self) -> Result<Vec<u32>> {
        let vocabulary = self.tokenizer.vocabulary_bytes()?;
        let allowed = match self.inner.compute_mask() {
            Ok(allowed) => allowed,
            // That there is nothing is an answer, too.
            Err(_) if self.inner.stop_reason() == StopReason::NoExtensionBias => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(failed(&error.to_string())),
        };
        let words = vocabulary.words.iter().zip(allowed.as_slice());
        let mut mask: Vec<u32> = words.map(|(words, allowed)| words & allowed).collect();
        if !self.begun {
            for &(token, first) in &vocabulary.firsts {
                let bit = 1 << (token % 32);
                let word = &mut mask[token as usize / 32];
                // A space that is dropped is no text yet; it can only be the first token, so it may come.
                let comes = first.is_none_or(|first| allowed.is_allowed(first));
                *word = if comes { *word | bit } else { *word & !bit };
            }
        }
        Ok(mask)
    }

    /// Goes on by a token.
    ///
    /// # Errors
    /// If it is none of those that may come, or the grammar is too costly to follow.
    pub fn accept(&mut self, token: u32) -> Result<()> {
        let vocabulary = self.tokenizer.vocabulary_bytes()?;
        self.mask = None;
        let firsts = &vocabulary.firsts;
        let known = vocabulary.words.get(token as usize / 32);
        if known.is_none_or(|word| word >> (token % 32) & 1 == 0) {
            return Err(failed(&format!("token {token} is no text")));
        }
        let spelled = match firsts.binary_search_by_key(&token, |&(token, _)| token) {
            Ok(at) if !self.begun => firsts[at].1,
            _ => Some(token),
        };
        self.begun = true;
        let Some(spelled) = spelled else { return Ok(()) };
        self.inner.consume_token(spelled).map_err(|error| failed(&error.to_string()))
    }

    /// Whether the text may end here. One that went wrong may not.
    pub fn place(&mut self) -> Place {
        if self.inner.is_stopped() {
            let whole = matches!(
                self.inner.stop_reason(),
                StopReason::NoExtension | StopReason::EndOfSentence
            );
            return if whole { Place::End } else { Place::Within };
        }
        match self.inner.is_accepting() {
            Ok(true) => Place::MayEnd,
            Ok(false) | Err(_) => Place::Within,
        }
    }
}

fn failed(what: &str) -> Error {
    Error::GrammarFailed { what: limits::words(what) }
}
