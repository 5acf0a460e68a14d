//! The next token, chosen from logits: a pure function of values.

mod logprobs;
mod penalties;
mod random;
mod typical;

use kernels::ops::{Candidates, Draw};
use penalties::Penalties;
use random::uniform;
use typical::keep_typical;

pub use logprobs::Logprobs;

/// How the next token is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f32,
    /// Keeps the likeliest tokens that together have this probability; 1 keeps all.
    pub top_p: f32,
    /// Keeps so many of the likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps tokens with at least this share of the likeliest token's probability; 0 keeps all.
    pub min_p: f32,
    /// Divides positive logits of tokens that have occurred, and multiplies negative ones; 1 does
    /// nothing. Source: Keskar et al., "CTRL" (2019).
    pub repetition_penalty: f32,
    /// Is taken once from the logit of each token that was added; 0 does nothing.
    pub presence_penalty: f32,
    /// Is taken from the logit of each token as often as it was added; 0 does nothing.
    pub frequency_penalty: f32,
    /// How many of the last tokens count as having occurred; all if absent.
    pub repetition_context: Option<usize>,
    /// Is added to the logits of these tokens. Each is finite.
    pub logit_bias: Vec<(u32, f32)>,
    /// Keeps the tokens about as surprising as is to be expected that together have this probability; 1 keeps all, and
    /// the likeliest token is taken whatever this is.
    pub typical_p: f32,
    /// Tells how likely the network thought each chosen token, and so many of the likeliest.
    pub logprobs: Option<usize>,
    /// Chance: the same seed and logits give the same tokens, whatever else is in the batch.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repetition_context: None,
            logit_bias: Vec::new(),
            typical_p: 1.0,
            logprobs: None,
            seed: 0,
        }
    }
}

/// A logit is no number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotANumber {
    /// The first token whose logit it is.
    pub token: u32,
}

/// The tokens of a sequence.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// All of them.
    pub tokens: &'a [u32],
    /// How many of them are the prompt's.
    pub prompt: usize,
}

/// Chooses tokens, with memory that is used again from token to token.
#[derive(Debug, Default)]
pub struct Sampler {
    candidates: Candidates,
    penalties: Penalties,
}

impl Sampling {
    /// Whether nothing but the logits and the length of the sequence decides, so that a device can
    /// choose.
    pub(crate) fn is_blind(&self) -> bool {
        self.repetition_penalty == 1.0
            && (self.presence_penalty, self.frequency_penalty) == (0.0, 0.0)
            && self.logit_bias.is_empty()
            && self.typical_p >= 1.0
            && self.logprobs.is_none()
    }

    /// How the token after `length` others is chosen.
    pub(crate) fn draw(&self, length: usize) -> Draw {
        let &Self { temperature, top_k, top_p, min_p, seed, .. } = self;
        Draw { temperature, top_k, top_p, min_p, uniform: uniform(seed, length as u64) }
    }
}

impl Sampler {
    /// The next token after those of `past`, given its `logits`, which are changed.
    ///
    /// Bias comes first, then the penalties, then temperature, `typical_p`, `min_p`, `top_k` and `top_p`, in this order.
    ///
    /// # Errors
    ///
    /// If a logit is NaN: no choice among such would mean anything.
    pub fn sample(
        &mut self,
        logits: &mut [f32],
        past: Past<'_>,
        sampling: &Sampling,
    ) -> Result<u32, NotANumber> {
        self.penalties.apply(logits, past, sampling);
        if sampling.typical_p < 1.0 && sampling.temperature > 0.0 {
            // A NaN passes through it, and is found below.
            keep_typical(logits, sampling.temperature, sampling.typical_p);
        }
        let chosen = self.candidates.choose(logits, &sampling.draw(past.tokens.len()));
        chosen.map_err(|token| NotANumber { token })
    }
}

#[cfg(test)]
mod tests;
