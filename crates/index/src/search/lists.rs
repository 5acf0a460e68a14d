//! What words, sparse and dense vectors find.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::snapshot::Snapshot;
use crate::{Filter, PageId, Result};

/// The most words of a query that are looked up.
const MOST_WORDS: usize = 64;

/// What a person wrote, as the database's language for words: any of them. Nothing if there are none.
pub(super) fn any_word(text: &str) -> Option<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    // In quotes a word is nothing but a word.
    let quoted: Vec<_> = words.take(MOST_WORDS).map(|word| format!("\"{word}\"")).collect();
    (!quoted.is_empty()).then(|| quoted.join(" OR "))
}

impl Snapshot<'_> {
    /// Pages with any of the words, by BM25, which is the greater the better it fits.
    pub(super) fn words(
        &self,
        text: &str,
        filter: &Filter,
        most: usize,
    ) -> Result<Vec<(PageId, f64)>> {
        let Some(words) = any_word(text) else { return Ok(Vec::new()) };
        let (condition, values) = filter.condition();
        let sql = format!(
            "SELECT words.rowid, -bm25(words) AS score FROM words \
             JOIN pages p ON p.id = words.rowid JOIN documents d ON d.id = p.document_id \
             WHERE words MATCH ? AND d.finished = 1{condition} \
             ORDER BY score DESC, words.rowid LIMIT ?"
        );
        let values = [Value::from(words)].into_iter().chain(values).chain([(most as i64).into()]);
        self.ask("look for words", |connection| {
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map(params_from_iter(values), |row| {
                Ok((PageId(row.get(0)?), row.get(1)?))
            })?;
            rows.collect()
        })
    }

    /// Pages that share tokens, by the sum of the products of their weights.
    pub(super) fn sparse(
        &self,
        weights: &[(u32, f32)],
        allowed: Option<&BTreeSet<i64>>,
        most: usize,
    ) -> Result<Vec<(PageId, f64)>> {
        let mut scores = BTreeMap::<i64, f64>::new();
        self.ask("look for tokens", |connection| {
            let sql = "SELECT page_id, weight FROM sparse WHERE token = ?";
            let mut statement = connection.prepare_cached(sql)?;
            for &(token, weight) in weights {
                let mut rows = statement.query([token])?;
                while let Some(row) = rows.next()? {
                    let (page, stored) = (row.get(0)?, row.get::<_, f64>(1)?);
                    *scores.entry(page).or_default() += f64::from(weight) * stored;
                }
            }
            Ok(())
        })?;
        Ok(self.best(scores, allowed, most))
    }

    /// Pages by the product with the best of their dense vectors.
    pub(super) fn dense(
        &self,
        query: &[f32],
        allowed: Option<&BTreeSet<i64>>,
        most: usize,
    ) -> Result<Vec<(PageId, f64)>> {
        let mut scores: Vec<(i64, f64)> = Vec::with_capacity(self.catalog.len());
        self.ask("compare dense vectors", |connection| {
            let mut statement = connection.prepare_cached("SELECT page_id, vector FROM dense")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let page = row.get(0)?;
                if allowed.is_none_or(|allowed| allowed.contains(&page)) {
                    let product = f64::from(product(query, row.get_ref(1)?.as_blob()?));
                    match scores.last_mut() {
                        // The passages of a page were written one after another.
                        Some((last, score)) if *last == page => *score = score.max(product),
                        Some(_) | None => scores.push((page, product)),
                    }
                }
            }
            Ok(())
        })?;
        // Numbers grow, so they are in order already, unless somebody else wrote them.
        scores.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
        scores.dedup_by_key(|(page, _)| *page);
        Ok(self.best(scores, allowed, most))
    }

    /// The best of the pages that can be found.
    fn best(
        &self,
        scores: impl IntoIterator<Item = (i64, f64)>,
        allowed: Option<&BTreeSet<i64>>,
        most: usize,
    ) -> Vec<(PageId, f64)> {
        let may = |page: &i64| match allowed {
            Some(allowed) => allowed.contains(page),
            // Documents that are not finished have pages too.
            None => self.catalog.find(PageId(*page)).is_some(),
        };
        let found = scores.into_iter().filter(|(page, _)| may(page));
        let mut ranked: Vec<_> = found.map(|(page, score)| (PageId(page), score)).collect();
        let compare =
            |a: &(PageId, f64), b: &(PageId, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if most < ranked.len() {
            ranked.select_nth_unstable_by(most, compare);
            ranked.truncate(most);
        }
        ranked.sort_unstable_by(compare);
        ranked
    }
}

/// The product of a vector with one that is stored.
fn product(query: &[f32], stored: &[u8]) -> f32 {
    // Several sums, which do not wait for each other, over pieces of a length that is known.
    let mut sums = [0.0_f32; 16];
    let (stored, _) = stored.as_chunks::<4>();
    let ((pieces, rest), (stored, end)) = (query.as_chunks::<16>(), stored.as_chunks::<16>());
    for (query, stored) in pieces.iter().zip(stored) {
        for ((sum, x), y) in sums.iter_mut().zip(query).zip(stored) {
            *sum += x * f32::from_le_bytes(*y);
        }
    }
    for ((sum, x), y) in sums.iter_mut().zip(rest).zip(end) {
        *sum += x * f32::from_le_bytes(*y);
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_writes_is_words_and_no_language() {
        assert_eq!(any_word("Fire-exit NEAR \"x\" OR y*"), {
            let words = ["Fire", "exit", "NEAR", "x", "OR", "y"].map(|word| format!("\"{word}\""));
            Some(words.join(" OR "))
        });
        assert_eq!(any_word("  -- \"\" ()"), None);
        let many = any_word(&"word ".repeat(1000)).unwrap();
        assert_eq!(many.matches(" OR ").count(), MOST_WORDS - 1);
    }

    #[test]
    fn a_product_is_of_all_components() {
        let query: Vec<f32> = (0..37).map(|i| i as f32).collect();
        let stored: Vec<u8> = (0..37).flat_map(|i| (i as f32 * 0.5).to_le_bytes()).collect();
        let truth: f32 = (0..37).map(|i| (i * i) as f32 * 0.5).sum();
        assert_eq!(product(&query, &stored), truth);
    }
}
