//! The plain, slow truth.

#[cfg(test)]
use super::layout::BLOCK;
use super::layout::{Page, Query};

/// How well each of a page's first `vectors` fits each of the query's: `[query, vectors]`, a row for
/// each of the query's. A number is a product of codes, rounded, times the page's scale, rounded,
/// times the query's, rounded: what [`max_sim`](super::max_sim) takes the greatest of and adds up.
///
/// # Panics
///
/// If the page has fewer vectors, or planes that [`Layout::check`](super::Layout::check) refuses.
#[track_caller]
pub fn similarities(query: &Query, page: &Page<'_>, vectors: usize) -> Vec<f32> {
    let layout = query.layout();
    assert!(layout.check(page).is_some(), "similarities: a page of whole blocks");
    let mut out = Vec::with_capacity(query.len() * vectors);
    for (row, scale) in query.codes.chunks(layout.row()).zip(&query.scales) {
        for vector in 0..vectors {
            out.push(scale * similarity(query, row, page, vector));
        }
    }
    out
}

/// The product of a query's codes with a page's vector.
fn similarity(query: &Query, row: &[i8], page: &Page<'_>, vector: usize) -> f32 {
    let layout = query.layout();
    let product = |component: usize| {
        i32::from(row[component]) * i32::from(page.code(layout, vector, component))
    };
    (0..layout.dim()).map(product).sum::<i32>() as f32 * page.scale(vector)
}

/// The score of a page of `vectors`.
#[cfg(test)]
pub(super) fn max_sim(query: &Query, page: &Page<'_>, vectors: usize) -> f32 {
    let layout = query.layout();
    let rows = query.codes.chunks(layout.row()).zip(&query.scales);
    rows.fold(0.0, |sum, (row, scale)| {
        let products = (0..vectors).map(|vector| similarity(query, row, page, vector));
        sum + scale * products.fold(f32::NEG_INFINITY, f32::max)
    })
}

/// The score of the signs of a page of `vectors`.
#[cfg(test)]
pub(super) fn max_sign_sim(query: &Query, page: &[u8], vectors: usize) -> i32 {
    let layout = query.layout();
    let stored = |vector: usize, component: usize| {
        let block = vector / BLOCK * layout.sign_bytes();
        let word = block + (component / 64 * BLOCK + vector % BLOCK) * 8;
        page[word + component % 64 / 8] >> (component % 8) & 1 == 1
    };
    let mut score = 0;
    for row in query.signs.chunks(layout.words()) {
        let agreeing = |vector: usize| {
            let signs = (0..layout.dim()).map(|component| {
                let asked = row[component / 64] >> (component % 64) & 1 == 1;
                if asked == stored(vector, component) { 1 } else { -1 }
            });
            signs.sum::<i32>()
        };
        score += (0..vectors).map(agreeing).max().unwrap_or_default();
    }
    score
}
