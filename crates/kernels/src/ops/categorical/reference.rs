//! The definition: everything is sorted, and sums are `f64`.
#![cfg(test)]

use super::Draw;

/// For each row the token or the place of the first NaN, and how far `uniform` is from the nearest
/// border of the token's share.
pub(super) fn categorical(row: &[f32], draw: &Draw) -> (Result<u32, u32>, f64) {
    if let Some(nan) = row.iter().position(|x| x.is_nan()) {
        return (Err(nan as u32), 1.0);
    }
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let first = row.iter().position(|&x| x == max).unwrap() as u32;
    if draw.temperature <= 0.0 || draw.top_k == 1 || !max.is_finite() {
        return (Ok(first), 1.0);
    }
    let weight = |x: f32| f64::from(((x - max) / draw.temperature).exp());
    let least = f64::from(draw.min_p);
    let mut kept: Vec<(u32, f64)> = (0..).zip(row.iter().map(|&x| weight(x))).collect();
    kept.retain(|&(_, weight)| weight > 0.0 && weight >= least);
    kept.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if draw.top_k > 0 {
        kept.truncate(draw.top_k);
    }
    let sum = |kept: &[(u32, f64)]| kept.iter().map(|&(_, weight)| weight).sum::<f64>();
    if draw.top_p < 1.0 {
        let enough = sum(&kept) * f64::from(draw.top_p);
        let n = (1..kept.len()).find(|&n| sum(&kept[..n]) >= enough).unwrap_or(kept.len());
        kept.truncate(n);
    } else {
        kept.sort_by_key(|&(token, _)| token);
    }
    let (total, mut before) = (sum(&kept), 0.0);
    for &(token, weight) in &kept {
        let after = before + weight / total;
        if draw.uniform < after {
            return (Ok(token), (draw.uniform - before).min(after - draw.uniform));
        }
        before = after;
    }
    (Ok(kept.last().unwrap().0), 0.0)
}
