//! Late interaction over the pages of many segments.

use std::thread;

use kernels::cpu::Cpu;
use kernels::late_interaction::{Query, max_sign_sim, max_sim};

use super::snapshot::Catalog;
use crate::{PageId, Result};

/// How many pages that were never checked are worth other threads.
const MANY: usize = 64;

/// The best `most` of these pages of the catalog, with their exact scores, the best first; of two alike the
/// one with the lower number.
pub(super) fn exact(
    cpu: &Cpu,
    query: &Query,
    catalog: &Catalog,
    candidates: &[usize],
    most: usize,
) -> Result<Vec<(PageId, f64)>> {
    check(cpu, catalog, candidates, false)?;
    let pages = candidates
        .iter()
        .map(|&at| catalog.place(at).and_then(|(segment, slot)| segment.page(slot)))
        .collect::<Result<Vec<_>>>()?;
    let mut scores = vec![0.0; pages.len()];
    max_sim(cpu, query, &pages, &mut scores);
    let ranked = candidates.iter().zip(scores).map(|(&at, score)| (at, score));
    let best = best(ranked.collect(), most, |a, b| b.total_cmp(a));
    Ok(best.into_iter().map(|(at, score)| (catalog.id(at), f64::from(score))).collect())
}

/// Those `most` of these pages whose signs fit best, in the order of their numbers.
pub(super) fn by_signs(
    cpu: &Cpu,
    query: &Query,
    catalog: &Catalog,
    candidates: &[usize],
    most: usize,
) -> Result<Vec<usize>> {
    check(cpu, catalog, candidates, true)?;
    let pages = candidates
        .iter()
        .map(|&at| catalog.place(at).and_then(|(segment, slot)| segment.signs(slot)))
        .collect::<Result<Vec<_>>>()?;
    let mut scores = vec![0; pages.len()];
    max_sign_sim(cpu, query, &pages, &mut scores);
    let ranked = candidates.iter().zip(scores).map(|(&at, score)| (at, score));
    let mut kept: Vec<usize> =
        best(ranked.collect(), most, |a, b| b.cmp(a)).into_iter().map(|(at, _)| at).collect();
    kept.sort_unstable();
    Ok(kept)
}

/// The first `most` in an order, of two alike the one that stands first in the catalog.
fn best<T: Copy>(
    mut ranked: Vec<(usize, T)>,
    most: usize,
    order: impl Fn(&T, &T) -> std::cmp::Ordering,
) -> Vec<(usize, T)> {
    let compare = |a: &(usize, T), b: &(usize, T)| order(&a.1, &b.1).then(a.0.cmp(&b.0));
    if most < ranked.len() {
        ranked.select_nth_unstable_by(most, compare);
        ranked.truncate(most);
    }
    ranked.sort_unstable_by(compare);
    ranked
}

/// Compares checksums of pages that have not been, on several threads if there are many. Of several
/// that are damaged the error names the first.
fn check(cpu: &Cpu, catalog: &Catalog, candidates: &[usize], signs: bool) -> Result<()> {
    let mut unchecked = Vec::new();
    for &at in candidates {
        let (segment, slot) = catalog.place(at)?;
        if !segment.is_checked(slot, signs) {
            unchecked.push((segment, slot));
        }
    }
    let check = |part: &[(&std::sync::Arc<crate::segment::Segment>, usize)]| {
        part.iter().try_for_each(|(segment, slot)| {
            if signs { segment.signs(*slot).map(drop) } else { segment.page(*slot).map(drop) }
        })
    };
    if unchecked.len() < MANY || cpu.threads() == 1 {
        return check(&unchecked);
    }
    let part = unchecked.len().div_ceil(cpu.threads());
    thread::scope(|scope| {
        let others: Vec<_> =
            unchecked.chunks(part).map(|part| scope.spawn(move || check(part))).collect();
        let results = others.into_iter().map(|other| match other.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        // All are waited for, whatever the first says.
        results.collect::<Vec<_>>().into_iter().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_and_the_earlier_of_two_alike() {
        let ranked = vec![(0, 1.0), (1, 3.0), (2, 2.0), (3, 3.0), (4, -1.0)];
        let order = |a: &f32, b: &f32| b.total_cmp(a);
        assert_eq!(best(ranked.clone(), 3, order), [(1, 3.0), (3, 3.0), (2, 2.0)]);
        assert_eq!(best(ranked.clone(), 1, order), [(1, 3.0)]);
        assert_eq!(best(ranked.clone(), 9, order).len(), 5);
        assert_eq!(best(ranked, 0, order), []);
    }
}
