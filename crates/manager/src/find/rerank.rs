//! Hits that are looked at again, by a model that reads each page together with the question.
//!
//! Such a model takes some hundreds of tokens. A longer page is parted, and counts as much as its best passage.

use documents::chunks::passages;
use index::Hit;
use text::Special;

use super::{Error, Store};
use crate::runtime::{LoadedModel, RerankOptions};

/// Marks that stand around a question and a passage, at most.
const AROUND: usize = 8;
/// Fewer tokens than these say nothing.
const LEAST: usize = 16;
/// Passages that are judged between two looks of whoever waits.
const AT_ONCE: usize = 8;

/// How hits are looked at again.
#[derive(Clone, Copy)]
pub struct Rerank<'a> {
    /// A model that judges a text and a question together.
    pub model: &'a LoadedModel,
    /// How many of the best hits are looked at; at least as many as are wanted.
    pub pages: usize,
    /// Is told how many more passages were read, of how many in all.
    pub told: &'a dyn Fn(usize, usize),
    /// Whether nobody waits any more.
    pub stop: &'a dyn Fn() -> bool,
}

impl std::fmt::Debug for Rerank<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rerank").field("pages", &self.pages).finish_non_exhaustive()
    }
}

impl Rerank<'_> {
    /// Puts `hits` in the order in which their words answer `question`, and tells how well each does. A page without words cannot
    /// be judged: it keeps its place.
    pub(super) fn order(
        &self,
        store: &dyn Store,
        question: &str,
        hits: Vec<Hit>,
    ) -> Result<Vec<(Hit, Option<f32>)>, Error> {
        let tokenizer = self.model.tokenizer();
        // What cannot be counted is taken for long.
        let count = |text: &str| {
            tokenizer.encode(text, Special::OmitLiteral).map_or(text.len(), |tokens| tokens.len())
        };
        let room = self.model.longest_pair().saturating_sub(count(question) + AROUND);
        if room < LEAST {
            let model = self.model.name().to_owned();
            return Err(Error::LongQuestion { model, most: self.model.longest_pair() });
        }
        let (mut texts, mut of) = (Vec::new(), Vec::new());
        for (at, hit) in hits.iter().enumerate() {
            let text = match store.text(hit.page) {
                // Gone since it was found.
                Err(Error::Index(index::Error::NoPage { .. })) => String::new(),
                text => text?,
            };
            for passage in passages(&text, room, &count) {
                texts.push(passage.to_owned());
                of.push(at);
            }
        }
        let mut best: Vec<Option<f32>> = vec![None; hits.len()];
        for (texts_now, of) in texts.chunks(AT_ONCE).zip(of.chunks(AT_ONCE)) {
            if (self.stop)() {
                return Err(Error::GivenUp);
            }
            // Two tokens may become three where texts meet.
            let options = RerankOptions { truncate: true, ..RerankOptions::default() };
            let judged = self.model.rerank(question, texts_now, options)?;
            for (relevance, at) in judged.iter().zip(of) {
                let best = &mut best[*at];
                *best = Some(best.map_or(relevance.score, |score| score.max(relevance.score)));
            }
            (self.told)(of.len(), texts.len());
        }
        Ok(ordered(hits, &best))
    }
}

/// Those that have a score, the best first, in the places of those that have one.
fn ordered<T>(items: Vec<T>, scores: &[Option<f32>]) -> Vec<(T, Option<f32>)> {
    let places: Vec<usize> = (0..items.len()).filter(|at| scores[*at].is_some()).collect();
    let mut best = places.clone();
    // Equal scores stay in the order in which they came.
    best.sort_by(|a, b| scores[*b].unwrap_or(f32::MIN).total_cmp(&scores[*a].unwrap_or(f32::MIN)));
    let mut from: Vec<usize> = (0..items.len()).collect();
    for (place, better) in places.into_iter().zip(best) {
        from[place] = better;
    }
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    from.into_iter().filter_map(|at| Some((items[at].take()?, scores[at]))).collect()
}

#[cfg(test)]
mod tests {
    use super::ordered;

    #[test]
    fn what_has_no_score_keeps_its_place() {
        let scores = [Some(0.1), None, Some(0.9), Some(0.1), None];
        let order: String = ordered("abcde".chars().collect(), &scores)
            .iter()
            .map(|(item, score)| {
                assert_eq!(score.is_none(), matches!(item, 'b' | 'e'));
                *item
            })
            .collect();
        assert_eq!(order, "cbade");
        assert!(ordered(Vec::<u8>::new(), &[]).is_empty());
    }
}
