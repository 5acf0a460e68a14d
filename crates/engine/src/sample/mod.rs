//! The next token, chosen from logits: a pure function of values.

mod random;

use kernels::ops::{Candidates, Draw};
use random::uniform;

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
    /// How many of the last tokens count as having occurred; all if absent.
    pub repetition_context: Option<usize>,
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
            repetition_context: None,
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

/// Chooses tokens, with memory that is used again from token to token.
#[derive(Debug, Default)]
pub struct Sampler {
    candidates: Candidates,
    penalized: Vec<u32>,
}

impl Sampling {
    /// Whether nothing but the logits and the length of the sequence decides, so that a device can
    /// choose.
    pub(crate) fn is_blind(&self) -> bool {
        self.repetition_penalty == 1.0
    }

    /// How the token after `length` others is chosen.
    pub(crate) fn draw(&self, length: usize) -> Draw {
        let &Self { temperature, top_k, top_p, min_p, seed, .. } = self;
        Draw { temperature, top_k, top_p, min_p, uniform: uniform(seed, length as u64) }
    }
}

impl Sampler {
    /// The next token after `tokens`, given its `logits`, which are changed.
    ///
    /// Temperature is applied before `min_p`, `top_k` and `top_p`, in this order.
    ///
    /// # Errors
    ///
    /// If a logit is NaN: no choice among such would mean anything.
    pub fn sample(
        &mut self,
        logits: &mut [f32],
        tokens: &[u32],
        sampling: &Sampling,
    ) -> Result<u32, NotANumber> {
        self.penalize(logits, tokens, sampling);
        let chosen = self.candidates.choose(logits, &sampling.draw(tokens.len()));
        chosen.map_err(|token| NotANumber { token })
    }

    fn penalize(&mut self, logits: &mut [f32], tokens: &[u32], sampling: &Sampling) {
        if sampling.repetition_penalty == 1.0 {
            return;
        }
        let reach = sampling.repetition_context.unwrap_or(usize::MAX).min(tokens.len());
        self.penalized.clear();
        self.penalized.extend_from_slice(&tokens[tokens.len() - reach..]);
        self.penalized.sort_unstable();
        self.penalized.dedup();
        for &token in &self.penalized {
            if let Some(logit) = logits.get_mut(token as usize) {
                let penalty = sampling.repetition_penalty;
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }
}

#[cfg(test)]
mod tests;
