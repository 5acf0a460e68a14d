//! Rows one after the other: only what can pass `min_p` is looked at twice.

use super::{Choice, Draw};
use crate::{Device, Tensor};

pub(super) fn categorical(logits: &Tensor, draws: &[Draw]) -> Choice {
    let (n, mut candidates) = (logits.width(), Candidates::default());
    let rows = logits.to_vec();
    let choose = |(row, draw)| candidates.choose(row, draw);
    let chosen: Vec<_> = rows.chunks_exact(n).zip(draws).map(choose).collect();
    let device = Device::Cpu(logits.cpu().clone());
    let tokens: Vec<_> = chosen.iter().map(|token| token.unwrap_or(0)).collect();
    let outcome = |token: &Result<u32, u32>| token.unwrap_or_else(|nan| n as u32 + nan);
    let outcomes: Vec<_> = chosen.iter().map(outcome).collect();
    Choice::new(device.integers(&tokens), device.integers(&outcomes), n)
}

/// The tokens that a row may get and their weights: memory that is used again from row to row.
#[derive(Debug, Default)]
pub struct Candidates(Vec<(u32, f32)>);

impl Candidates {
    /// Chooses a token from one row of logits, as [`categorical`](crate::ops::categorical()) does.
    ///
    /// # Errors
    ///
    /// The place of the first logit that is NaN: no choice among such would mean anything.
    pub fn choose(&mut self, logits: &[f32], draw: &Draw) -> Result<u32, u32> {
        if let Some(token) = logits.iter().position(|logit| logit.is_nan()) {
            return Err(token as u32);
        }
        let (best, max) = likeliest(logits);
        if draw.temperature <= 0.0 || draw.top_k == 1 || !max.is_finite() {
            return Ok(best);
        }
        // Usually a few of a hundred thousand.
        let floor = max + draw.floor();
        let kept = (0..).zip(logits.iter().copied()).filter(|&(_, logit)| logit >= floor);
        self.0.clear();
        self.0.extend(kept.map(|(token, logit)| (token, ((logit - max) / draw.temperature).exp())));
        self.keep_likeliest(draw);
        let total = self.0.iter().map(|&(_, weight)| f64::from(weight)).sum::<f64>();
        let mut left = draw.uniform * total;
        for &(token, weight) in &self.0 {
            left -= f64::from(weight);
            if left < 0.0 {
                return Ok(token);
            }
        }
        // Rounding may leave a crumb after the last candidate.
        Ok(self.0.last().map_or(best, |&(token, _)| token))
    }

    /// Cuts down to what `top_k` and `top_p` leave, likeliest first.
    fn keep_likeliest(&mut self, &Draw { top_k, top_p, .. }: &Draw) {
        let all = &mut self.0;
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
