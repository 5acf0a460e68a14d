//! Rules for the tokens of a sequence, by somebody who knows more of them than the engine does: a
//! grammar over their text, say.
//!
//! A [`Constraint`] is the rule, and a [`Walk`] is one sequence's way through it. The way belongs to the
//! sequence and not to a pass: one that is put aside and computed again goes on where it was. The
//! tokens that end a sequence are the engine's affair, all of them: they may come where the rule may
//! end, and nowhere else, whatever the rule says of them.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::sample::NotANumber;
use crate::{Failure, Finish, Request};

/// A rule for the tokens that are added to a prompt.
pub trait Constraint: Debug + Send + Sync {
    /// A way through it, at its beginning. It knows nothing of other ways.
    fn begin(&self) -> Box<dyn Walk>;
}

/// How far a sequence is on its way through a [`Constraint`].
pub trait Walk: Send {
    /// The tokens that may come next, the end aside: bit `token % 32` of word `token / 32`. Tokens
    /// beyond the last word may not come.
    ///
    /// # Errors
    ///
    /// What went wrong, in words, if that cannot be told: the sequence ends with it.
    fn mask(&mut self) -> Result<&[u32], String>;

    /// Goes on by a token, one that [`mask`](Self::mask) has allowed.
    ///
    /// # Errors
    ///
    /// What went wrong, in words: the sequence ends with it.
    fn accept(&mut self, token: u32) -> Result<(), String>;

    /// Whether the sequence may end here.
    fn place(&mut self) -> Place;
}

/// Where a sequence is on its way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// More must come.
    Within,
    /// It may end here, and may go on.
    MayEnd,
    /// Nothing may follow: the sequence ends without a token that says so.
    End,
}

/// Why there is no next token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Flaw {
    /// A logit is no number.
    NotANumber(NotANumber),
    /// The constraint leaves no token that the network thinks possible.
    NothingAllowed,
    /// The constraint cannot tell what may come.
    Constraint {
        /// Its own words.
        what: String,
    },
}

impl From<NotANumber> for Flaw {
    fn from(nan: NotANumber) -> Self {
        Self::NotANumber(nan)
    }
}

impl Flaw {
    /// What that is of the output at `position`.
    pub(crate) fn at(self, position: usize) -> Failure {
        match self {
            Self::NotANumber(NotANumber { token }) => Failure::NotANumber { position, token },
            Self::NothingAllowed => Failure::NothingAllowed { position },
            Self::Constraint { what } => Failure::Constraint { position, what },
        }
    }
}

/// A sequence on its way, and the tokens that end it.
pub(crate) struct Walker {
    walk: Box<dyn Walk>,
    stop: Vec<u32>,
    /// Logits of the tokens that end it.
    ends: Vec<(usize, f32)>,
}

impl Walker {
    /// The beginning of what constrains `request`, if anything does.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let walk = request.constraint.as_ref()?.begin();
        Some(Self { walk, stop: request.stop.clone(), ends: Vec::new() })
    }

    /// Makes what may not come next impossible.
    pub(crate) fn restrict(&mut self, logits: &mut [f32]) -> Result<(), Flaw> {
        // What is made impossible must not hide that the output is broken.
        if let Some(token) = logits.iter().position(|logit| logit.is_nan()) {
            return Err(NotANumber { token: token as u32 }.into());
        }
        let place = guarded(|| Ok(self.walk.place()))?;
        self.ends.clear();
        if place != Place::Within {
            let known = |&token: &u32| Some((token as usize, *logits.get(token as usize)?));
            self.ends.extend(self.stop.iter().filter_map(known));
        }
        let mask = match place {
            Place::End => &[],
            Place::Within | Place::MayEnd => guarded(|| self.walk.mask())?,
        };
        let words = mask.iter().copied().chain(std::iter::repeat(0));
        for (word, logits) in words.zip(logits.chunks_mut(32)) {
            if word != u32::MAX {
                let bits = logits.iter_mut().enumerate();
                let forbidden = bits.filter(|(bit, _)| word >> bit & 1 == 0);
                forbidden.for_each(|(_, logit)| *logit = f32::NEG_INFINITY);
            }
        }
        for &token in &self.stop {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        self.ends.iter().for_each(|&(token, logit)| logits[token] = logit);
        match logits.iter().any(|&logit| logit > f32::NEG_INFINITY) {
            true => Ok(()),
            false => Err(Flaw::NothingAllowed),
        }
    }

    /// Goes on by a token, and says whether nothing may follow it.
    pub(crate) fn accept(&mut self, token: u32) -> Result<bool, Flaw> {
        if self.stop.contains(&token) {
            return Ok(true);
        }
        guarded(|| self.walk.accept(token))?;
        Ok(guarded(|| Ok(self.walk.place()))? == Place::End)
    }

    /// How the sequence ends that would end for its length.
    pub(crate) fn cut(&mut self) -> Finish {
        match guarded(|| Ok(self.walk.place())) {
            Ok(Place::End) => Finish::Stop,
            Ok(Place::MayEnd) => Finish::Length,
            Ok(Place::Within) | Err(_) => Finish::Unfinished,
        }
    }
}

/// Runs a part of a walk, which is the caller's code: its panic ends its own sequence alone.
fn guarded<T>(part: impl FnOnce() -> Result<T, String>) -> Result<T, Flaw> {
    let done = catch_unwind(AssertUnwindSafe(part));
    let done = done.unwrap_or_else(|panic| Err(crate::engine::message(&*panic)));
    done.map_err(|what| Flaw::Constraint { what })
}
