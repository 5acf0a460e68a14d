//! `/v1/search` and `/v1/indexes`: pages of the indexes that the server's owner offers.

mod indexes;
pub(crate) mod place;
pub(crate) mod told;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::{Json, http::StatusCode};
use manager::find::index::{Candidates, Filter};
use manager::find::{Library, LibraryError, Offer, Question, page_range};
use serde::Deserialize;
use serde_json::Value;

use crate::fault::Fault;
use crate::mcp::Files;
use crate::read::{OneOrMany, json};
use crate::state::Server;

pub(crate) use indexes::{Which, documents, list, one, page, preview};
use place::Spoken;

/// Bytes of a question.
const MOST_QUERY: usize = 16 << 10;
/// Hits of one answer.
pub(crate) const MOST_HITS: usize = 1000;
/// Hits with images in the answer, or with all their words.
const MOST_WHOLE: usize = 100;

/// Hits that are looked at again, at most and where nothing is said.
pub(crate) const MOST_AGAIN: usize = 100;
pub(crate) const USUALLY_AGAIN: usize = 20;

/// How the small images of pages come.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "SearchPreviews")]
pub(crate) enum Previews {
    /// As an address of this server.
    #[default]
    Address,
    /// In the answer, as `data:` addresses.
    Data,
    /// Not at all.
    None,
}

/// A search.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SearchRequest")]
pub(crate) struct Request {
    /// The index; may be left out where only one is offered.
    index: Option<String>,
    /// What is looked for, in words.
    query: String,
    /// Pages that are found at most, from 1 to 1000. Default: 10.
    limit: Option<usize>,
    /// Only documents of this name, with `*`, `?` and `[a-z]` as a pattern; or under a folder that the server's owner has
    /// allowed, with its path.
    path: Option<String>,
    /// Only documents of this category, or of one of these.
    category: Option<OneOrMany<String>>,
    /// Only documents from this day on: `2024-05-31`.
    from: Option<String>,
    /// Only documents up to this day.
    to: Option<String>,
    /// Only pages of these numbers: `3`, `1-5` or `7-`.
    pages: Option<String>,
    /// Compares by looks only what words and meaning have found, instead of all pages.
    #[serde(default)]
    fused: bool,
    /// Asks no model: looks for the words alone.
    #[serde(default)]
    words: bool,
    /// Looks at the best hits again with this model, which reads the words of each page together with the question.
    rerank: Option<String>,
    /// Hits that are looked at again, from 1 to 100. Default: 20.
    rerank_pages: Option<usize>,
    /// How the small images of pages come: as addresses of this server, in the answer (of at most 100 hits), or not at all.
    #[serde(default)]
    previews: Previews,
    /// All words of each page, of at most 100 hits.
    #[serde(default)]
    texts: bool,
}

/// What a search is narrowed by, as it is written.
#[derive(Debug, Default)]
pub(crate) struct Narrow {
    pub(crate) path: Option<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) pages: Option<(u32, u32)>,
}

impl Narrow {
    /// The same as a filter. Looks at the disk.
    ///
    /// # Errors
    ///
    /// Naming the field that makes no sense.
    pub(crate) fn filter(self, spoken: &Spoken) -> Result<Filter, Fault> {
        let day = |field: &'static str, text: Option<String>| match text {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                let message = format!("`{field}` is `{text}`, but must be a day: 2024-05-31");
                Fault::field(field, message)
            }),
        };
        Ok(Filter {
            place: self.path.map(|path| spoken.place("path", &path)).transpose()?,
            from: day("from", self.from)?,
            to: day("to", self.to)?,
            categories: self.categories,
            pages: self.pages,
            metadata: Vec::new(),
        })
    }
}

/// The index that is meant: the one that is named, or the only one.
///
/// # Errors
///
/// If it must be named.
pub(crate) async fn meant(
    library: &Arc<Library>,
    offer: &Offer,
    named: Option<String>,
) -> Result<String, Fault> {
    if let Some(name) = named {
        return Ok(name);
    }
    if offer.is_empty() {
        return Err(LibraryError::NoneOffered.into());
    }
    let mut names = library.names(offer).await?;
    match (names.pop(), names.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(LibraryError::NoneOffered.into()),
        (Some(last), false) => {
            names.push(last);
            let message = format!("`index` is needed: there are {}", names.join(", "));
            Err(Fault::field("index", message))
        }
    }
}

/// The folders of which may be spoken now.
pub(crate) async fn spoken(files: &Files) -> Result<Spoken, Fault> {
    let files = files.clone();
    apart(move || Ok(Spoken::of(&files))).await
}

/// Runs `work`, which looks at the disk, on a thread for such.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let lost = |_| Fault::of(StatusCode::INTERNAL_SERVER_ERROR, "the disk was not asked");
    tokio::task::spawn_blocking(work).await.map_err(lost)?
}

/// Checks what is looked for.
///
/// # Errors
///
/// If it says nothing, or too much.
pub(crate) fn checked(query: String) -> Result<String, Fault> {
    if query.trim().is_empty() {
        return Err(Fault::field("query", "`query` is empty: say what is looked for"));
    }
    if query.len() > MOST_QUERY {
        let message = format!("`query` has {} bytes; at most {MOST_QUERY} are taken", query.len());
        return Err(Fault::field("query", message));
    }
    Ok(query)
}

/// `POST /v1/search`: finds pages.
pub(crate) async fn search(
    State(server): State<Server>,
    body: Bytes,
) -> Result<Json<Value>, Fault> {
    let request: Request = json(&body)?;
    let text = checked(request.query)?;
    let (limit, whole) = (request.limit.unwrap_or(10), request.texts);
    if !(1..=MOST_HITS).contains(&limit) {
        let message = format!("`limit` is {limit}, but must be from 1 to {MOST_HITS}");
        return Err(Fault::field("limit", message));
    }
    if (whole || request.previews == Previews::Data) && limit > MOST_WHOLE {
        let message = format!(
            "`limit` is {limit}, but with `texts`, or with `previews` as data, at most {MOST_WHOLE}"
        );
        return Err(Fault::field("limit", message));
    }
    if request.words && request.fused {
        let message = "`fused` asks models, and `words` none: leave one of them out";
        return Err(Fault::field("fused", message));
    }
    let again = request.rerank_pages.unwrap_or(USUALLY_AGAIN);
    if request.rerank_pages.is_some() && request.rerank.is_none() {
        let message = "`rerank_pages` is of `rerank`, which names a model";
        return Err(Fault::field("rerank_pages", message));
    }
    if !(1..=MOST_AGAIN).contains(&again) {
        let message = format!("`rerank_pages` is {again}, but must be from 1 to {MOST_AGAIN}");
        return Err(Fault::field("rerank_pages", message));
    }
    let pages = request.pages.map(|text| {
        page_range(&text).ok_or_else(|| {
            let message = format!("`pages` is `{text}`, but must be a page or a range: 3, 1-5, 7-");
            Fault::field("pages", message)
        })
    });
    let narrow = Narrow {
        path: request.path,
        categories: request.category.map(OneOrMany::into_vec).unwrap_or_default(),
        from: request.from,
        to: request.to,
        pages: pages.transpose()?,
    };
    let rules = server.rules();
    let (library, offer) = (&server.library, &rules.indexes);
    let index = meant(library, offer, request.index).await?;
    let spoken = spoken(&rules.files).await?;
    let asked = spoken.clone();
    let filter = apart(move || narrow.filter(&asked)).await?;
    let question = Question {
        text,
        candidates: if request.fused { Candidates::Fused } else { Candidates::All },
        filter,
        limit,
        words: request.words,
        rerank: request.rerank.map(|model| (model, again)),
        texts: whole,
        previews: request.previews == Previews::Data,
        told: None,
    };
    let hits = library.search(offer, &index, question).await?;
    Ok(Json(told::answer(&index, &hits, request.previews, &spoken)))
}
