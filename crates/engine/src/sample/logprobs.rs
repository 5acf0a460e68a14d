//! How likely the network itself thought the tokens of a step.

/// Logarithms of probabilities, of the network's own logits: before bias, penalties, constraint and temperature.
#[derive(Clone, Debug, PartialEq)]
pub struct Logprobs {
    /// The chosen token's.
    pub chosen: f32,
    /// The likeliest tokens and theirs, likeliest first; as many as were asked for.
    pub likeliest: Vec<(u32, f32)>,
}

impl Logprobs {
    /// Those of `chosen` and of the `n` likeliest tokens, given the network's logits, of which none is NaN. Of equals
    /// the first token comes first.
    ///
    /// # Panics
    ///
    /// If there is no such token.
    pub fn of(logits: &[f32], chosen: u32, n: usize) -> Self {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // Where one is infinitely likely, the others are not likely at all.
        let shift = if max.is_finite() { max } else { 0.0 };
        let total: f64 = logits.iter().map(|&logit| f64::from(logit - shift).exp()).sum();
        let of = |logit: f32| match logit {
            f32::INFINITY => 0.0,
            logit => (f64::from(logit - shift) - total.ln()) as f32,
        };
        let likelier =
            |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
        let mut likeliest: Vec<u32> = (0..logits.len() as u32).collect();
        if n < likeliest.len() {
            if n > 0 {
                likeliest.select_nth_unstable_by(n - 1, likelier);
            }
            likeliest.truncate(n);
        }
        likeliest.sort_unstable_by(likelier);
        let likeliest = likeliest.into_iter().map(|token| (token, of(logits[token as usize])));
        Self { chosen: of(logits[chosen as usize]), likeliest: likeliest.collect() }
    }
}
