//! `folio search`: pages that answer a question.

use std::cell::RefCell;
use std::io::{self, IsTerminal as _};
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use documents::found::{self, FoundPage, Heat};
use manager::find::index::{Candidates, Date, Filter, Hit, Index, Place as Where, Places, Profile};
use manager::find::{Asked, Encoders, Found, Rerank, Store, find, makers, page_range};
use manager::runtime::LoadedModel;
use serde_json::{Value, json};

use super::index::{Place, encoders, opened};
use crate::args::Compute;
use crate::progress::counting;
use crate::report::{Problem, Result};
use crate::{models, output};

/// Find pages of an index that `folio index` made.
///
/// Prints the file, the page, how well it fits and some of its words, the best first. The models that made the index are
/// asked; they may not be others.
#[derive(Args, Debug)]
pub(crate) struct Search {
    /// What is looked for, in words
    query: String,
    /// Pages that are found at most
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    looking: Looking,
    /// Answer with a JSON object
    #[arg(long)]
    json: bool,
    /// Write a page of HTML with the images of the pages, and where on them each word fits
    #[arg(long, value_name = "FILE")]
    show: Option<PathBuf>,
}

/// Which index is asked, for which pages, in which way.
#[derive(Args, Debug)]
pub(crate) struct Looking {
    #[command(flatten)]
    place: Place,
    /// Only documents in this folder, at this path, or that fit this pattern (`*` stands for anything)
    #[arg(long = "in", value_name = "PATH")]
    within: Option<String>,
    /// Only documents of this category (may be given several times)
    #[arg(long, value_name = "NAME")]
    category: Vec<String>,
    /// Only documents from this day on: 2024-05-31
    #[arg(long, value_name = "DAY")]
    from: Option<Date>,
    /// Only documents up to this day
    #[arg(long, value_name = "DAY")]
    to: Option<Date>,
    /// Only pages of these numbers: 3, 1-5 or 7-
    #[arg(long, value_name = "RANGE", value_parser = parse_range)]
    pages: Option<(u32, u32)>,
    /// Compare by looks only what words and meaning have found, instead of all pages
    #[arg(long)]
    fused: bool,
    /// Ask no model: look for the words alone
    #[arg(long, conflicts_with = "fused")]
    words: bool,
    #[command(flatten)]
    again: Again,
    #[command(flatten)]
    pub(crate) compute: Compute,
}

/// Whether hits are looked at again.
#[derive(Args, Debug)]
pub(crate) struct Again {
    /// Look at the best hits again with this model, which reads each page's words together with the question
    #[arg(long, value_name = "MODEL")]
    pub(crate) rerank: Option<String>,
    /// Hits that are looked at again
    #[arg(long, value_name = "N", default_value_t = 20, requires = "rerank", value_parser = clap::value_parser!(u16).range(1..=1000))]
    rerank_pages: u16,
}

impl Again {
    /// The model that looks again.
    pub(crate) fn judge(&self, compute: Compute) -> Result<Option<Arc<LoadedModel>>> {
        self.rerank.as_ref().map(|model| models::load(model, compute)).transpose()
    }

    /// How many of the best it is shown.
    pub(crate) fn pages(&self) -> usize {
        usize::from(self.rerank_pages)
    }
}

fn parse_range(text: &str) -> Result<(u32, u32), String> {
    let range = page_range(text);
    range.ok_or_else(|| "write a page or a range of them, from 1: 3, 1-5 or 7-".to_owned())
}

impl Search {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let places = self.show.is_some();
        let asked = self.looking.find(&self.query, usize::from(self.limit), places)?;
        let Looked { found, .. } = &asked;
        if let Some(file) = &self.show {
            let page = pictured(&self.query, &asked)?;
            std::fs::write(file, page).map_err(|error| Problem::io("write", file, error))?;
        }
        if self.json {
            output::line(&as_json(found).to_string())?;
        } else {
            let marked = io::stdout().is_terminal();
            for (hit, relevance) in found.answer.hits.iter().zip(&found.relevance) {
                output::write(&shown(
                    hit,
                    *relevance,
                    self.looking.again.rerank.is_some(),
                    marked,
                ))?;
            }
        }
        eprintln!("{}", way(found));
        Ok(if found.answer.hits.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// What was found, and what found it.
pub(crate) struct Looked {
    pub(crate) found: Found,
    pub(crate) store: Box<dyn Store>,
    encoders: Encoders,
}

impl Looking {
    /// Asks the index for at most `limit` pages; and if `places`, for where each of them fits.
    pub(crate) fn find(&self, question: &str, limit: usize, places: bool) -> Result<Looked> {
        if question.trim().is_empty() {
            return Err(Problem::Nothing { hint: "write what is looked for" }.into());
        }
        let server = self.place.server()?;
        let made = match &server {
            Some(server) => server.profile().clone(),
            None => Index::profile_of(&self.place.path())?,
        };
        let (encoders, profile) = self.encoders(made)?;
        let store = opened(server, &self.place, (&profile, self.compute))?;
        let judge = self.again.judge(self.compute)?;
        let bar = counting(false, 0, "passages");
        let bar = RefCell::new(bar);
        let told = |more: usize, all: usize| {
            let mut bar = bar.borrow_mut();
            if bar.length() != Some(all as u64) {
                *bar = counting(true, all, "passages");
            }
            bar.inc(more as u64);
        };
        let rerank = judge.as_deref().map(|model| Rerank {
            model,
            pages: self.again.pages(),
            told: &told,
            stop: &|| false,
        });
        let asked = Asked {
            question,
            candidates: if self.fused { Candidates::Fused } else { Candidates::All },
            filter: self.filter(),
            limit,
            places,
            rerank,
        };
        let found = find(&*store, &encoders, &asked);
        bar.borrow().finish_and_clear();
        Ok(Looked { found: found?, store, encoders })
    }

    /// What made the index, and what it is opened with.
    fn encoders(&self, made: Profile) -> Result<(Encoders, Profile)> {
        if self.words {
            return Ok((Encoders::default(), made));
        }
        let (names, options) = makers(&made);
        let encoders = encoders(&names, options, self.compute)?;
        let profile = encoders.profile(made.halves);
        Ok((encoders, profile))
    }

    fn filter(&self) -> Filter {
        let place = self.within.as_ref().map(|within| {
            let pattern = within.contains(['*', '?', '[']);
            let path = manager::find::path(within.as_ref());
            match pattern {
                true => Where::Like(within.clone()),
                false if std::path::Path::new(&path).is_dir() => Where::Below(path),
                false => Where::At(path),
            }
        });
        Filter {
            place,
            from: self.from,
            to: self.to,
            categories: self.category.clone(),
            pages: self.pages,
            metadata: Vec::new(),
        }
    }
}

/// A hit for a person.
fn shown(hit: &Hit, relevance: Option<f32>, reranked: bool, marked: bool) -> String {
    let mut text = String::new();
    let mut from = 0;
    for mark in &hit.snippet.marks {
        let (before, words) =
            (&hit.snippet.text[from..mark.start], &hit.snippet.text[mark.clone()]);
        text += before;
        text += &if marked { format!("\x1b[1m{words}\x1b[0m") } else { words.to_owned() };
        from = mark.end;
    }
    text += &hit.snippet.text[from..];
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = if text.is_empty() { String::new() } else { format!("    {text}\n") };
    let score = match (relevance, reranked) {
        (Some(relevance), _) => format!("{relevance:8.3}"),
        // It has no words that could be judged.
        (None, true) => format!("{:>8}", "-"),
        (None, false) => format!("{:8.3}", hit.score),
    };
    format!("{score}  {} page {}\n{words}", hit.path, hit.number)
}

/// The hits as a page of HTML.
fn pictured(question: &str, looked: &Looked) -> Result<String> {
    let Looked { found, store, encoders } = looked;
    let words = encoders.words(question)?;
    let mut pages = Vec::new();
    for (hit, relevance) in found.answer.hits.iter().zip(&found.relevance) {
        let places = found.places.iter().find(|(page, _)| *page == hit.page).map(|(_, of)| of);
        pages.push(FoundPage {
            path: hit.path.clone(),
            number: hit.number,
            score: relevance.map_or(hit.score, f64::from),
            snippet: (hit.snippet.text.clone(), hit.snippet.marks.clone()),
            preview: store.preview(hit.page)?,
            heat: places.map(|places| heat(places, &words)),
        });
    }
    let words: Vec<String> = words.into_iter().map(|(word, _)| word).collect();
    Ok(found::write(question, &words, &way(found), &pages))
}

/// How well each place of a page fits the question and each of its words: the mean over the vectors of each.
fn heat(places: &Places, words: &[(String, Range<usize>)]) -> Heat {
    let Places { height, width, products } = places;
    let vectors: Vec<&[f32]> = products.chunks_exact((height * width).max(1)).collect();
    let all = 0..vectors.len();
    let maps = std::iter::once(&all).chain(words.iter().map(|(_, range)| range));
    let values = maps.map(|range| {
        let of = vectors.get(range.clone()).unwrap_or_default();
        let mean =
            |place: usize| of.iter().map(|row| row[place]).sum::<f32>() / of.len().max(1) as f32;
        (0..height * width).map(mean).collect()
    });
    Heat { height: *height, width: *width, values: values.collect() }
}

/// Which way the search went, and how long each part took.
pub(crate) fn way(found: &Found) -> String {
    let parts: Vec<String> = found
        .took
        .iter()
        .map(|took| format!("{} {:.1} ms", took.part.name(), took.time.as_secs_f64() * 1e3))
        .collect();
    let (hits, pages) = (found.answer.hits.len(), found.answer.pages);
    format!("{hits} of {pages} pages by {}: {}", found.route(), parts.join(", "))
}

fn as_json(found: &Found) -> Value {
    let again = found.is_reranked();
    let hits: Vec<Value> = found
        .answer
        .hits
        .iter()
        .zip(&found.relevance)
        .map(|(hit, relevance)| {
            let marks: Vec<_> =
                hit.snippet.marks.iter().map(|mark| json!([mark.start, mark.end])).collect();
            let mut hit = json!({
                "path": hit.path, "page": hit.number, "score": hit.score,
                "snippet": {"text": hit.snippet.text, "marks": marks},
            });
            if again {
                hit["relevance"] = json!(relevance);
            }
            hit
        })
        .collect();
    let took: Vec<Value> = found
        .took
        .iter()
        .map(|took| {
            let ms = (took.time.as_secs_f64() * 1e6).round() / 1e3;
            json!({"stage": took.part.name(), "pages": took.pages, "ms": ms})
        })
        .collect();
    json!({"hits": hits, "pages": found.answer.pages, "route": found.route(), "took": took})
}
