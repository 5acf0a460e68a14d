//! Which way a search goes.

/// Which pages the vectors of a query are compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Candidates {
    /// All that the filter leaves. Words, sparse and dense vectors are not asked; words are still shown in
    /// snippets.
    #[default]
    All,
    /// The best of what words, sparse and dense vectors find.
    Fused,
}

/// Numbers that decide how much is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Up to so many pages are compared exactly; of more, signs choose first.
    pub exact_pages: usize,
    /// How many pages signs leave, at least as many as hits are asked for.
    pub kept_by_signs: usize,
    /// How many pages each of words, sparse and dense vectors may name.
    pub list: usize,
    /// What is added to ranks when lists are fused.
    pub k: f64,
    /// The most hits of a search.
    pub hits: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { exact_pages: 20_000, kept_by_signs: 500, list: 200, k: 60.0, hits: 1000 }
    }
}

/// The way that a search went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Words, sparse or dense vectors, fused if there are several.
    Lists,
    /// Lists, then vectors compared exactly with what those found.
    ListsThenExact,
    /// Vectors compared exactly with all pages.
    Exact,
    /// Signs compared with all pages, then vectors exactly with the best.
    SignsThenExact,
    /// Vectors compared with the pages that a server chooses by an approximation: perhaps not the best.
    Approximate,
}

/// Decides on the way. `pages` is how many the filter leaves that have vectors. Nothing if the query is
/// empty.
pub(crate) fn route(
    has_vectors: bool,
    has_lists: bool,
    candidates: Candidates,
    pages: usize,
    limits: &Limits,
) -> Option<Route> {
    match (has_vectors, has_lists, candidates) {
        (false, false, _) => None,
        (false, true, _) => Some(Route::Lists),
        (true, true, Candidates::Fused) => Some(Route::ListsThenExact),
        (true, ..) if pages <= limits.exact_pages => Some(Route::Exact),
        (true, ..) => Some(Route::SignsThenExact),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_choose_only_among_many() {
        let limits = Limits::default();
        let way =
            |vectors, lists, candidates, pages| route(vectors, lists, candidates, pages, &limits);
        let (all, fused) = (Candidates::All, Candidates::Fused);
        assert_eq!(way(true, false, all, 20_000), Some(Route::Exact));
        assert_eq!(way(true, false, all, 20_001), Some(Route::SignsThenExact));
        assert_eq!(way(true, true, all, 0), Some(Route::Exact));
        assert_eq!(way(true, true, fused, 1_000_000), Some(Route::ListsThenExact));
        assert_eq!(way(true, false, fused, 1), Some(Route::Exact));
        assert_eq!(way(false, true, all, 1), Some(Route::Lists));
        assert_eq!(way(false, false, fused, 1), None);
    }
}
