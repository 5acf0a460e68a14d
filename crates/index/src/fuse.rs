//! One list out of several.

use std::collections::BTreeMap;

use crate::PageId;

/// Fuses ranked lists: a page's score is the sum of `1 / (k + rank)` over the lists that have it, where
/// the first rank is 1. The best comes first; of two alike the one with the lower number.
pub fn reciprocal_rank(lists: &[Vec<PageId>], k: f64) -> Vec<(PageId, f64)> {
    let mut scores = BTreeMap::<PageId, f64>::new();
    for list in lists {
        for (page, rank) in list.iter().zip(1_u32..) {
            *scores.entry(*page).or_default() += 1.0 / (k + f64::from(rank));
        }
    }
    let mut fused: Vec<_> = scores.into_iter().collect();
    fused.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_several_lists_come_first() {
        let lists = [vec![PageId(1), PageId(2), PageId(3)], vec![PageId(3), PageId(4)], vec![]];
        let fused = reciprocal_rank(&lists, 60.0);
        let pages: Vec<i64> = fused.iter().map(|(page, _)| page.0).collect();
        assert_eq!(pages, [3, 1, 2, 4]);
        let expected = [1.0 / 63.0 + 1.0 / 61.0, 1.0 / 61.0, 1.0 / 62.0, 1.0 / 62.0];
        for ((_, score), expected) in fused.iter().zip(expected) {
            assert!((score - expected).abs() < 1e-15);
        }
        assert!(reciprocal_rank(&[], 60.0).is_empty());
    }
}
