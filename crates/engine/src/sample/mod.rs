//! The next token, chosen from logits: a pure function of values.

mod random;

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
    candidates: Vec<(u32, f32)>,
    penalized: Vec<u32>,
}

impl Sampler {
    /// The next token after `tokens`, given its `logits`, which are changed.
    ///
    /// Temperature is applied before `top_k`, `top_p` and `min_p`, in this order, as Hugging Face
    /// transformers does.
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
        if let Some(token) = logits.iter().position(|logit| logit.is_nan()) {
            return Err(NotANumber { token: token as u32 });
        }
        self.penalize(logits, tokens, sampling);
        let (best, max) = likeliest(logits);
        if sampling.temperature <= 0.0 || sampling.top_k == 1 || max == f32::INFINITY {
            return Ok(best);
        }
        // Only tokens that can pass `min_p` are kept: usually a few of a hundred thousand.
        let floor = max + sampling.temperature * sampling.min_p.max(f32::MIN_POSITIVE).ln();
        let kept = (0..).zip(logits.iter().copied()).filter(|&(_, logit)| logit >= floor);
        self.candidates.clear();
        self.candidates.extend(
            kept.map(|(token, logit)| (token, ((logit - max) / sampling.temperature).exp())),
        );
        self.keep_likeliest(sampling);
        let total = self.candidates.iter().map(|&(_, weight)| f64::from(weight)).sum::<f64>();
        let mut left = uniform(sampling.seed, tokens.len() as u64) * total;
        for &(token, weight) in &self.candidates {
            left -= f64::from(weight);
            if left < 0.0 {
                return Ok(token);
            }
        }
        // Rounding may leave a crumb after the last candidate.
        Ok(self.candidates.last().map_or(best, |&(token, _)| token))
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

    /// Cuts `candidates` down to what `top_k` and `top_p` leave, likeliest first.
    fn keep_likeliest(&mut self, sampling: &Sampling) {
        let Sampling { top_k, top_p, .. } = *sampling;
        let all = &mut self.candidates;
        // Ties are broken by token, so that the outcome is the same everywhere.
        let likelier = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if top_k > 0 && top_k < all.len() {
            all.select_nth_unstable_by(top_k - 1, likelier);
            all.truncate(top_k);
        }
        if top_p >= 1.0 {
            all.sort_unstable_by_key(|&(token, _)| token);
            return;
        }
        let total = all.iter().map(|&(_, weight)| f64::from(weight)).sum::<f64>();
        let enough = f64::from(top_p.max(0.0)) * total;
        // Sorting a hundred thousand candidates costs more than a small network: sort the head
        // first, and more only if the head is not enough.
        let mut head = 256.min(all.len());
        loop {
            if head < all.len() {
                all.select_nth_unstable_by(head, likelier);
            }
            all[..head].sort_unstable_by(likelier);
            let mut sum = 0.0;
            for (n, &(_, weight)) in all[..head].iter().enumerate() {
                sum += f64::from(weight);
                if sum >= enough {
                    all.truncate(n + 1);
                    return;
                }
            }
            if head == all.len() {
                return;
            }
            head = (head * 8).min(all.len());
        }
    }
}

/// The first of the largest logits.
fn likeliest(logits: &[f32]) -> (u32, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, &logit) in (0..).zip(logits) {
        if logit > best.1 {
            best = (token, logit);
        }
    }
    best
}

#[cfg(test)]
mod tests;
