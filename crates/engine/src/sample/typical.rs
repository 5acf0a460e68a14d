//! Locally typical sampling: tokens that are about as surprising as one would expect.
//!
//! Source: Meister et al., "Locally Typical Sampling" (2023).

/// Makes impossible all but the tokens whose information is nearest to the entropy of the distribution
/// at this temperature, as many as together have the probability `mass`. Changes nothing if the largest logit is not
/// finite. No logit is NaN.
pub(super) fn keep_typical(logits: &mut [f32], temperature: f32, mass: f32) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !max.is_finite() {
        return;
    }
    let scaled = |logit: f32| f64::from((logit - max) / temperature);
    let total: f64 = logits.iter().map(|&logit| scaled(logit).exp()).sum();
    let surprise = |logit: f32| total.ln() - scaled(logit);
    let entropy: f64 = logits
        .iter()
        .map(|&logit| surprise(logit))
        .filter(|surprise| surprise.is_finite())
        .map(|surprise| surprise * (-surprise).exp())
        .sum();
    let possible = (0..logits.len()).filter(|&at| logits[at] > f32::NEG_INFINITY);
    let mut order: Vec<_> =
        possible.map(|at| ((surprise(logits[at]) - entropy).abs(), at)).collect();
    // Ties are broken by token, so that the outcome is the same everywhere.
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut kept = 0.0;
    for (_, at) in order {
        if kept >= f64::from(mass) {
            logits[at] = f32::NEG_INFINITY;
        } else {
            kept += (-surprise(logits[at])).exp();
        }
    }
}
