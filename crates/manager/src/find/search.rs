//! Questions to an index.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use index::{
    Answer, Candidates, Filter, Index, Limits, PageId, Places, Profile, Query, Route, Stage,
};

use super::encoders::Made;
use super::{Encoders, Error, Rerank, Store};
use crate::runtime;
use crate::{CpuOptions, Device};

/// A question.
#[derive(Clone, Debug, Default)]
pub struct Asked<'a> {
    /// In words.
    pub question: &'a str,
    /// Which pages are compared by their vectors.
    pub candidates: Candidates,
    /// Which pages are looked at.
    pub filter: Filter,
    /// How many hits are wanted.
    pub limit: usize,
    /// Whether it is asked for where on its page each hit fits.
    pub places: bool,
    /// How hits are looked at again, if they are.
    pub rerank: Option<Rerank<'a>>,
}

/// A part of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Vectors of the question are made.
    Question,
    /// The index is asked.
    Index(Stage),
    /// Hits are looked at again.
    Rerank,
}

/// How long a part of the search took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Took {
    /// The part.
    pub part: Part,
    /// How many pages it left.
    pub pages: usize,
    /// For so long.
    pub time: Duration,
}

impl Part {
    /// What it does, in a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Question => "question",
            Self::Index(Stage::Filter) => "filter",
            Self::Index(Stage::Words) => "words",
            Self::Index(Stage::Sparse) => "weights",
            Self::Index(Stage::Dense) => "meaning",
            Self::Index(Stage::Fuse) => "fuse",
            Self::Index(Stage::Signs) => "signs",
            Self::Index(Stage::Exact) => "looks",
            Self::Index(Stage::Describe) => "describe",
            Self::Rerank => "rerank",
        }
    }
}

/// What was found, and how.
#[derive(Clone, Debug)]
pub struct Found {
    /// The hits and the way.
    pub answer: Answer,
    /// How well the words of each hit answer, where they were looked at again; the hits are in that order then.
    pub relevance: Vec<Option<f32>>,
    /// The parts of the search, in order.
    pub took: Vec<Took>,
    /// Where each hit fits, where that is known.
    pub places: Vec<(PageId, Places)>,
    /// Whether the vectors that were compared one by one are those of tokens of words, and not of looks.
    pub of_tokens: bool,
}

impl Found {
    /// Whether hits were looked at again.
    pub fn is_reranked(&self) -> bool {
        self.took.iter().any(|took| took.part == Part::Rerank)
    }

    /// The way that was gone, in words.
    pub fn route(&self) -> String {
        let means = |took: &Took| matches!(took.part, Part::Index(Stage::Dense | Stage::Sparse));
        let means = self.took.iter().any(means);
        let way = match self.answer.route {
            Route::Lists if means => "words and meaning",
            Route::Lists => "words",
            Route::ListsThenExact if means => "words and meaning, then {}",
            Route::ListsThenExact => "words, then {}",
            Route::Exact => "{} of all pages",
            Route::SignsThenExact => "signs of all pages, then {} of the best",
            Route::Approximate => "{} of the pages that the server chose",
        };
        let way = way.replace("{}", if self.of_tokens { "tokens" } else { "looks" });
        let again = if self.is_reranked() { ", then the words of the best again" } else { "" };
        format!("{way}{again}")
    }
}

/// A page or a range of them, from 1: `3`, `1-5`, `7-`. Nothing if `text` is none.
pub fn page_range(text: &str) -> Option<(u32, u32)> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
    let range = match text.split_once('-') {
        Some((first, "")) => number(first).map(|first| (first, u32::MAX)),
        Some((first, last)) => number(first).zip(number(last)),
        None => number(text).map(|page| (page, page)),
    };
    range.filter(|(first, last)| first <= last)
}

/// Opens the index in the folder `path`, which `profile` made, to be asked with the cores that `options` say.
///
/// # Errors
/// When there is none, something else made it, or the processor cannot be used.
pub fn open(path: &Path, profile: &Profile, options: CpuOptions) -> Result<Index, Error> {
    let device = Device::cpu(options).map_err(runtime::Error::from)?;
    let Some(cpu) = device.as_cpu() else { unreachable!("a device of the CPU is one") };
    Ok(Index::open(path, profile, Arc::clone(cpu), Limits::default())?)
}

/// Tells how long the parts of a search take.
#[derive(Debug)]
pub(super) struct Clock {
    last: Instant,
    took: Vec<Took>,
}

impl Clock {
    /// From now on.
    fn new() -> Self {
        Self { last: Instant::now(), took: Vec::new() }
    }

    /// The same after a question was made into vectors, which took so long.
    pub(super) fn after(time: Duration) -> Self {
        let question = Took { part: Part::Question, pages: 0, time };
        Self { last: Instant::now(), took: vec![question] }
    }

    fn since(&mut self, part: Part, pages: usize) {
        let now = Instant::now();
        self.took.push(Took { part, pages, time: now - self.last });
        self.last = now;
    }
}

/// Asks `store` with what `encoders` make of the question.
///
/// # Errors
/// When the question cannot be encoded, or the store cannot be asked.
pub fn find(store: &dyn Store, encoders: &Encoders, asked: &Asked<'_>) -> Result<Found, Error> {
    let mut clock = Clock::new();
    let made = encoders.question(asked.question)?;
    clock.since(Part::Question, 0);
    compare(store, &made, asked, clock)
}

/// Asks `store` with what was made of the question.
///
/// # Errors
/// When the store cannot be asked.
pub(super) fn compare(
    store: &dyn Store,
    made: &Made,
    asked: &Asked<'_>,
    mut clock: Clock,
) -> Result<Found, Error> {
    let vectors = (!made.vectors.is_empty()).then_some(made.vectors.as_slice());
    let query = Query {
        words: Some(asked.question),
        sparse: (!made.sparse.is_empty()).then_some(made.sparse.as_slice()),
        dense: made.dense.first().map(Vec::as_slice),
        vectors,
        candidates: asked.candidates,
        filter: asked.filter.clone(),
        limit: asked.rerank.map_or(asked.limit, |rerank| rerank.pages.max(asked.limit)),
    };
    let mut answer =
        store.search(&query, &mut |stage, pages| clock.since(Part::Index(stage), pages))?;
    let mut relevance = vec![None; answer.hits.len()];
    if let Some(rerank) = &asked.rerank {
        let hits = std::mem::take(&mut answer.hits);
        (answer.hits, relevance) =
            rerank.order(store, asked.question, hits)?.into_iter().take(asked.limit).unzip();
        clock.since(Part::Rerank, answer.hits.len());
    }
    let mut places = Vec::new();
    if let (Some(vectors), true) = (vectors, asked.places) {
        for hit in &answer.hits {
            if let Some(of) = store.places(hit.page, vectors)? {
                places.push((hit.page, of));
            }
        }
    }
    Ok(Found { answer, relevance, took: clock.took, places, of_tokens: made.of_tokens })
}

#[cfg(test)]
mod tests {
    use super::page_range;

    #[test]
    fn ranges_of_pages_are_read() {
        let all = u32::MAX;
        for (text, range) in [("3", (3, 3)), ("1-5", (1, 5)), ("7-", (7, all)), ("2-2", (2, 2))] {
            assert_eq!(page_range(text), Some(range), "{text}");
        }
        for text in ["", "0", "-3", "5-1", "a", "1-2-3", "0-2", "1,2", "99999999999"] {
            assert_eq!(page_range(text), None, "{text}");
        }
    }
}
