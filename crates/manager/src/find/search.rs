//! Questions to an index.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use index::{Answer, Candidates, Filter, Index, Limits, PageId, Places, Profile, Query, Stage};

use super::{Encoders, Error, Rerank};
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

/// Asks `index` with what `encoders` make of the question.
///
/// # Errors
/// When the question cannot be encoded, or the index cannot be read.
pub fn find(index: &Index, encoders: &Encoders, asked: &Asked<'_>) -> Result<Found, Error> {
    let mut last = Instant::now();
    let mut took = Vec::new();
    let mut since = |part, pages| {
        let now = Instant::now();
        took.push(Took { part, pages, time: now - last });
        last = now;
    };
    let made = encoders.question(asked.question)?;
    since(Part::Question, 0);
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
    let mut answer = index.search(&query, &mut |stage, pages| since(Part::Index(stage), pages))?;
    let mut relevance = vec![None; answer.hits.len()];
    if let Some(rerank) = &asked.rerank {
        let hits = std::mem::take(&mut answer.hits);
        (answer.hits, relevance) =
            rerank.order(index, asked.question, hits)?.into_iter().take(asked.limit).unzip();
        since(Part::Rerank, answer.hits.len());
    }
    let mut places = Vec::new();
    if let (Some(vectors), true) = (vectors, asked.places) {
        for hit in &answer.hits {
            match index.places(hit.page, vectors) {
                Ok(of) => places.push((hit.page, of)),
                // Of vectors that were pooled it is not known where they stood.
                Err(index::Error::Bare { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(Found { answer, relevance, took, places })
}
