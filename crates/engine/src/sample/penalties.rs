//! What makes a token more or less likely beside the network: what has occurred, and what the caller prefers.

use super::{Past, Sampling};

/// Changes logits by bias, then by what has occurred; memory is used again from token to token.
#[derive(Debug, Default)]
pub(super) struct Penalties {
    /// Tokens that have occurred, in order.
    seen: Vec<u32>,
}

impl Penalties {
    pub(super) fn apply(&mut self, logits: &mut [f32], past: Past<'_>, sampling: &Sampling) {
        for &(token, bias) in &sampling.logit_bias {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
        let reach = sampling.repetition_context.unwrap_or(usize::MAX);
        let from = past.tokens.len().saturating_sub(reach);
        let penalty = sampling.repetition_penalty;
        if penalty != 1.0 {
            self.each(&past.tokens[from..], logits, |logit, _| {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            });
        }
        let Sampling { presence_penalty, frequency_penalty, .. } = sampling;
        if (*presence_penalty, *frequency_penalty) != (0.0, 0.0) {
            let added = &past.tokens[from.max(past.prompt)..];
            self.each(added, logits, |logit, times| {
                *logit -= frequency_penalty * times as f32 + presence_penalty;
            });
        }
    }

    /// Calls `change` for each token of `tokens` once, with how often it is there.
    fn each(&mut self, tokens: &[u32], logits: &mut [f32], change: impl Fn(&mut f32, usize)) {
        self.seen.clear();
        self.seen.extend_from_slice(tokens);
        self.seen.sort_unstable();
        for same in self.seen.chunk_by(|a, b| a == b) {
            // Rows of images have numbers beyond the vocabulary.
            if let Some(logit) = logits.get_mut(same[0] as usize) {
                change(logit, same.len());
            }
        }
    }
}
